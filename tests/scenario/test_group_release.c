/* SPDX-License-Identifier: Apache-2.0 */
/* Images that leave their group: what keeps them from being removed goes, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define GRACE    (600 * FS_SEC)

static int setup(void **state)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", 2);
    (void)pair_add_group(pair, "b", 1);
    pair_advance(pair, 2 * INTERVAL);
    pair_check_synced(pair, "a");
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

static size_t snapshots(struct pair_site *site, const char *image)
{
    return mem_image_snapshots(mem_store_find(site->store, "rbd", image));
}

static void test_unlabelled_group_keeps_its_base_for_a_while(void **state)
{
    struct pair *pair = *state;

    pair_discover(pair, "a");
    pair_advance(pair, GRACE - FS_SEC);
    assert_int_equal(snapshots(&pair->east, "a-0"), 1);
    /* The label comes back in time: the next point starts from the same base. */
    pair_discover(pair, NULL);
    pair_advance(pair, 2 * INTERVAL);
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    pair_check_synced(pair, "a");
    assert_true(pair_find(&pair->east, "a")->stats.total.changed_bytes <
                2 * PAIR_IMAGE_SIZE); /* no second first copy */
    assert_int_equal(snapshots(&pair->east, "a-0"), 1);
}

static void test_unlabelled_group_gives_up_its_snapshots_at_the_source_only(void **state)
{
    struct pair *pair = *state;
    size_t there = snapshots(&pair->west, "a-0");

    pair_discover(pair, "a");
    pair_advance(pair, GRACE + FS_SEC);
    assert_int_equal(snapshots(&pair->east, "a-0"), 0);
    assert_int_equal(snapshots(&pair->east, "a-1"), 0);
    assert_int_equal(snapshots(&pair->east, "b-0"), 1);
    assert_int_equal(snapshots(&pair->west, "a-0"), there);
    assert_true(there > 0);
}

static void test_image_in_the_trash_gives_up_its_snapshots_at_once(void **state)
{
    struct pair *pair = *state;
    struct mem_image *one = mem_store_find(pair->east.store, "rbd", "a-1");
    struct mem_image *other = mem_store_find(pair->east.store, "rbd", "b-0");

    mem_image_trash(one);
    mem_image_trash(other);
    pair_discover(pair, NULL);
    pair_advance(pair, FS_SEC);
    assert_int_equal(mem_image_snapshots(one), 0);
    assert_int_equal(mem_image_snapshots(other), 0);
    /* The volume that stays has its base, and the group goes on without the other. */
    assert_int_equal(snapshots(&pair->east, "a-0"), 1);
    uint64_t changed = pair_find(&pair->east, "a")->stats.total.changed_bytes;
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_check_synced(pair, "a")->n_contents, 1);
    assert_true(pair_find(&pair->east, "a")->stats.total.changed_bytes - changed < 100000);
}

static void test_member_in_the_trash_is_released_while_the_peer_is_away(void **state)
{
    struct pair *pair = *state;
    struct mem_image *one = mem_store_find(pair->east.store, "rbd", "a-1");

    pair_cut(pair);
    mem_image_trash(one);
    pair_discover(pair, NULL);
    pair_advance(pair, FS_SEC);
    assert_int_equal(mem_image_snapshots(one), 0);
    pair_connect(pair);
    pair_write(pair, "a");
    pair_advance(pair, 3 * INTERVAL);
    assert_int_equal(pair_check_synced(pair, "a")->n_contents, 1);
}

static void test_volume_made_again_under_its_name_is_another_group(void **state)
{
    struct pair *pair = *state;
    const struct fs_uuid old = pair_find(&pair->east, "b")->record->group;
    const struct fs_group *kept = fs_groups_find_uuid(pair->west.ctx.groups, &old);
    const struct fs_uuid newest = fs_record_newest_committed(kept->record)->point.id;

    mem_image_trash(mem_store_find(pair->east.store, "rbd", "b-0"));
    mem_image_scribble(mem_store_create(pair->east.store, "rbd", "b-0", PAIR_IMAGE_SIZE), 0, 65536,
                       true);
    pair_discover(pair, NULL);
    const struct fs_group *again = pair_find(&pair->east, "b");
    assert_false(fs_uuid_equal(&again->record->group, &old));
    assert_true(fs_groups_find_uuid(pair->east.ctx.groups, &old)->let_go);
    for (unsigned i = 0; i < 5; i++) {
        pair_write(pair, "b");
        pair_advance(pair, INTERVAL);
    }
    kept = fs_groups_find_uuid(pair->west.ctx.groups, &old);
    assert_true(fs_uuid_equal(&fs_record_newest_committed(kept->record)->point.id, &newest));
    /* A restart finds the one as the other. */
    pair_restart(&pair->east);
    pair_connect(pair);
    pair_discover(pair, NULL);
    again = pair_find(&pair->east, "b");
    assert_false(again->let_go || fs_uuid_equal(&again->record->group, &old));
}

static void test_release_that_fails_is_tried_again(void **state)
{
    struct pair *pair = *state;
    struct mem_image *one = mem_store_find(pair->east.store, "rbd", "b-0");

    mem_store_fail(pair->east.store, MEM_OP_RELEASE, 1, 1, FS_ERR_TRANSIENT, ETIMEDOUT);
    mem_image_trash(one);
    pair_discover(pair, NULL);
    pair_advance(pair, 30 * FS_SEC);
    assert_int_equal(mem_image_snapshots(one), 1);
    pair_advance(pair, 60 * FS_SEC);
    assert_int_equal(mem_image_snapshots(one), 0);
}

static void test_release_goes_on_after_a_restart(void **state)
{
    struct pair *pair = *state;

    pair_discover(pair, "a");
    pair_advance(pair, FS_SEC);
    pair_restart(&pair->east);
    pair_discover(pair, "a");
    pair_advance(pair, GRACE + FS_SEC);
    assert_int_equal(snapshots(&pair->east, "a-0"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unlabelled_group_keeps_its_base_for_a_while),
        TEST(test_unlabelled_group_gives_up_its_snapshots_at_the_source_only),
        TEST(test_image_in_the_trash_gives_up_its_snapshots_at_once),
        TEST(test_member_in_the_trash_is_released_while_the_peer_is_away),
        TEST(test_volume_made_again_under_its_name_is_another_group),
        TEST(test_release_that_fails_is_tried_again),
        TEST(test_release_goes_on_after_a_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
