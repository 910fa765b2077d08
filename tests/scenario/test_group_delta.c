/* SPDX-License-Identifier: Apache-2.0 */
/* Deltas between two daemons: what they are told to do, and what follows where it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/scenario/mem_private.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define AT       (UINT64_C(1) << 20)
#define LENGTH   (UINT64_C(64) << 10)

static struct mem_image *first_image(struct pair_site *site)
{
    const struct fs_group *group = pair_find(site, "a");

    return mem_store_find_ref(site->store, &group->record->volumes[0].volume.image);
}

static int setup(void **state)
{
    struct pair *pair = pair_new(INTERVAL);

    pair->east.config.delta = FS_DELTA_ALWAYS;
    pair_connect(pair);
    (void)pair_add_group(pair, "a", 2);
    pair_advance(pair, INTERVAL + FS_SEC);
    mem_image_scribble(first_image(&pair->east), AT, LENGTH, false);
    pair_advance(pair, INTERVAL);
    pair_check_synced(pair, "a");
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

/* A few bytes in each sector. */
static void touch(struct pair *pair)
{
    for (uint64_t at = AT; at < AT + LENGTH; at += 512) {
        mem_image_scribble(first_image(&pair->east), at + 77, 8, false);
    }
}

static uint64_t delta_bytes(struct pair_site *site)
{
    return pair_find(site, "a")->stats.total.delta_bytes;
}

static void test_changes_travel_as_deltas(void **state)
{
    struct pair *pair = *state;

    assert_int_equal(delta_bytes(&pair->east), 0);
    touch(pair);
    pair_advance(pair, INTERVAL);
    pair_check_synced(pair, "a");
    assert_true(delta_bytes(&pair->east) >= LENGTH);
    assert_int_equal(delta_bytes(&pair->west), delta_bytes(&pair->east));
    assert_true(pair_find(&pair->east, "a")->stats.total.delta_wire_bytes < LENGTH / 4);
}

/* The base is another one there: said once, sent without, and no more of them. */
static void test_base_that_differs_ends_the_deltas_of_the_group(void **state)
{
    struct pair *pair = *state;
    struct fs_group *group = pair_find(&pair->east, "a");
    const struct fs_group *there = pair_find(&pair->west, "a");
    const struct fs_record_point *base = fs_record_newest_committed(there->record);
    struct mem_snap *snap = mem_image_snap(first_image(&pair->west), base->contents[0].snap_id);

    mem_content_zero(&snap->content, AT, LENGTH);
    touch(pair);
    pair_advance(pair, 6 * INTERVAL);
    assert_true(group->deltas_refused);
    assert_int_equal(group->stats.n_failures, 1);
    assert_string_equal(group->stats.failures[0].reason, "digest_mismatch");
    assert_int_equal(group->stats.failures[0].count, 1);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    pair_check_synced(pair, "a");

    uint64_t before = delta_bytes(&pair->east);
    touch(pair);
    pair_advance(pair, INTERVAL);
    pair_check_synced(pair, "a");
    assert_int_equal(delta_bytes(&pair->east), before);
    assert_int_equal(group->stats.failures[0].count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_changes_travel_as_deltas),
        TEST(test_base_that_differs_ends_the_deltas_of_the_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
