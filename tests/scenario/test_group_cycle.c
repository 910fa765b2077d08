/* SPDX-License-Identifier: Apache-2.0 */
/* A group's ordinary life: points on an interval, unchanged ones, requests, pause, membership. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)

static int setup(void **state)
{
    *state = pair_new(INTERVAL);
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

static void test_first_copy_is_committed_and_identical(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 3);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_NEVER_SYNCED);
    assert_int_equal(fs_group_lag_ns(group), -1);
    pair_advance(pair, INTERVAL + FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->n_contents, 3);
    assert_int_equal(group->stats.committed, 1);
    assert_int_equal(pair_find(&pair->west, "a")->stats.committed, 1);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
}

static void test_interval_is_kept_under_a_writer(void **state)
{
    struct pair *pair = *state;
    const unsigned seconds = 200;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    for (unsigned i = 0; i < seconds; i++) {
        pair_write(pair, "a");
        pair_advance(pair, FS_SEC);
        if (i > 25) {
            assert_in_range(fs_group_lag_ns(group), 0, INTERVAL + FS_SEC);
        }
    }
    assert_in_range(group->stats.committed, seconds / 10 - 2, seconds / 10 + 1);
    pair_check_synced(pair, "a");
    /* Points beyond the retention went, at both sites. */
    assert_in_range(group->record->n_points, 1, 2);
    assert_in_range(pair_find(&pair->west, "a")->record->n_points, 1, 3);
}

static void test_unchanged_group_takes_no_point_and_stays_current(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 2);
    pair_advance(pair, 100 * FS_SEC);
    assert_int_equal(group->stats.committed, 1);
    assert_in_range(group->stats.unchanged, 8, 10);
    struct fs_group *replica = pair_find(&pair->west, "a");
    assert_in_range(fs_group_lag_ns(group), 0, INTERVAL + 2 * FS_SEC);
    assert_in_range(fs_group_lag_ns(replica), 0, INTERVAL + 2 * FS_SEC);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
    /* It is durable: a new process of the secondary knows it. */
    struct fs_record *stored = mem_store_load(pair->west.store, &replica->record->group);
    assert_true(stored->current_until_ns == fs_group_wall_of(replica, replica->current_until_ns));
    fs_record_free(stored);
}

static void test_moment_counts_only_when_the_peer_has_stored_it(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    pair_advance(pair, 30 * FS_SEC);
    mem_store_hold(pair->west.store, MEM_OP_NOTE_CURRENT);
    int64_t before = group->current_until_ns;
    pair_advance(pair, 60 * FS_SEC);
    assert_true(group->unchanged_until_ns > before);
    assert_true(group->current_until_ns == before);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_LATE);
    mem_store_release(pair->west.store, MEM_OP_NOTE_CURRENT);
    pair_advance(pair, 15 * FS_SEC);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_missed_intervals_come_to_one_point(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    pair_advance(pair, 2 * INTERVAL);
    uint64_t committed = group->stats.committed;
    mem_store_hold(pair->west.store, MEM_OP_COMMIT);
    pair_write(pair, "a");
    pair_advance(pair, 6 * INTERVAL);
    pair_write(pair, "a");
    assert_int_equal(group->stats.committed, committed);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_LATE);
    mem_store_release(pair->west.store, MEM_OP_COMMIT);
    pair_advance(pair, FS_SEC);
    assert_int_equal(group->stats.committed, committed + 2);
    pair_check_synced(pair, "a");
    pair_advance(pair, INTERVAL / 2);
    assert_int_equal(group->stats.committed, committed + 2);
}

static void test_request_takes_a_point_before_the_deadline(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL + FS_SEC);
    pair_write(pair, "a");
    int64_t asked = fs_context_boot(&pair->east.ctx);
    group->requested = true;
    pair_advance(pair, 200 * FS_MSEC);
    assert_true(group->current_until_ns >= asked);
    assert_int_equal(group->stats.committed, 2);
}

static void test_pause_is_stored_and_resume_catches_up(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL + FS_SEC);
    group->pause_wanted = group->pause_pending = true;
    pair_pump(pair);
    assert_false(group->pause_pending);
    pair_write(pair, "a");
    pair_advance(pair, 5 * INTERVAL);
    assert_int_equal(group->stats.committed, 1);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_PAUSED);

    pair_restart(&pair->east);
    pair_connect(pair);
    pair_discover(pair, NULL);
    pair_advance(pair, 2 * INTERVAL);
    group = pair_find(&pair->east, "a");
    assert_true(group->record->paused);
    assert_int_equal(group->stats.committed, 0);
    group->pause_wanted = false;
    group->pause_pending = true;
    pair_advance(pair, FS_SEC);
    assert_int_equal(group->stats.committed, 1);
    pair_check_synced(pair, "a");
}

static void test_interval_edit_takes_effect_at_once(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL + FS_SEC);
    struct fs_config next = pair->east.config;
    struct fs_config_policy policy = pair->east.policy;
    policy.interval_ns = 2 * FS_SEC;
    next.policies = &policy;
    pair->east.ctx.config = &next;
    uint64_t before = group->stats.committed;
    for (unsigned i = 0; i < 10; i++) {
        pair_write(pair, "a");
        pair_advance(pair, FS_SEC);
    }
    assert_in_range(group->stats.committed - before, 4, 5);
    assert_int_equal(group->record->interval_ns, 2 * FS_SEC);
    assert_int_equal(pair_find(&pair->west, "a")->record->interval_ns, 2 * FS_SEC);
    pair->east.ctx.config = &pair->east.config;
}

static void test_volume_that_joins_is_in_the_next_point(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    (void)pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL + FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->n_contents, 1);
    mem_image_scribble(mem_store_create(pair->east.store, "rbd", "a-1", PAIR_IMAGE_SIZE), 0, 50000,
                       true);
    pair_discover(pair, NULL);
    pair_advance(pair, INTERVAL + FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->n_contents, 2);
}

static void test_group_that_is_let_go_stops_and_comes_back(void **state)
{
    struct pair *pair = *state;

    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 1);
    const struct fs_uuid uuid = group->record->group;
    pair_advance(pair, INTERVAL + FS_SEC);
    pair_discover(pair, "a");
    assert_null(pair_find(&pair->east, "a"));
    pair_write(pair, "a");
    pair_advance(pair, 5 * INTERVAL);
    assert_int_equal(group->stats.committed, 1);
    pair_discover(pair, NULL);
    pair_advance(pair, FS_SEC);
    assert_ptr_equal(pair_find(&pair->east, "a"), group);
    assert_memory_equal(&group->record->group, &uuid, sizeof(uuid));
    assert_int_equal(group->stats.committed, 2);
    pair_check_synced(pair, "a");
}

static void test_huge_first_copies_do_not_starve_the_others(void **state)
{
    struct pair *pair = *state;
    static const char *const huge[] = {"b", "c", "d", "e"};

    pair_connect(pair);
    struct fs_group *small = pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL + FS_SEC);
    /* From now on nothing new can be opened at the target, as if first copies took hours. */
    for (size_t i = 0; i < 4; i++) {
        (void)pair_add_group(pair, huge[i], 1);
    }
    mem_store_hold(pair->west.store, MEM_OP_SINK_OPEN);
    pair_advance(pair, INTERVAL + FS_SEC);
    unsigned shipping = 0;
    for (size_t i = 0; i < 4; i++) {
        shipping += pair_find(&pair->east, huge[i])->phase == FS_PHASE_SHIPPING;
    }
    assert_int_equal(shipping, FS_SLOTS_FIRST_COPIES);
    uint64_t checked = small->stats.unchanged;
    pair_advance(pair, 3 * INTERVAL);
    assert_true(small->stats.unchanged > checked);
    mem_store_release(pair->west.store, MEM_OP_SINK_OPEN);
    pair_advance(pair, 2 * INTERVAL);
    for (size_t i = 0; i < 4; i++) {
        pair_check_synced(pair, huge[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_first_copy_is_committed_and_identical),
        TEST(test_interval_is_kept_under_a_writer),
        TEST(test_unchanged_group_takes_no_point_and_stays_current),
        TEST(test_moment_counts_only_when_the_peer_has_stored_it),
        TEST(test_missed_intervals_come_to_one_point),
        TEST(test_request_takes_a_point_before_the_deadline),
        TEST(test_pause_is_stored_and_resume_catches_up),
        TEST(test_interval_edit_takes_effect_at_once),
        TEST(test_volume_that_joins_is_in_the_next_point),
        TEST(test_group_that_is_let_go_stops_and_comes_back),
        TEST(test_huge_first_copies_do_not_starve_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
