/* SPDX-License-Identifier: Apache-2.0 */
/* Full pools, and clusters that are behind with trimming snapshots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/weather.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)

static int setup(void **state)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", 2);
    pair_advance(pair, INTERVAL + FS_SEC);
    pair_check_synced(pair, "a");
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;

    fs_weather_forget(&pair->east.ctx);
    fs_weather_forget(&pair->west.ctx);
    pair_free(pair);
    return 0;
}

/* The site's monitors say this of its pool. */
static void hear(struct pair_site *site, bool full, uint64_t trimming, bool known)
{
    struct fs_health health = {.trim_known = known, .n_pools = 1};

    health.pools = calloc(1, sizeof(*health.pools));
    assert_non_null(health.pools);
    health.pools[0] = (struct fs_pool_health){.name = "rbd", .full = full, .trimming = trimming};
    fs_weather_heard(site->ctx.groups, &health);
}

/* As hear, every five seconds while the clock goes on; the queue grows by so many a second. */
static void hear_growing(struct pair *pair, struct pair_site *site, int64_t ns, uint64_t *trimming,
                         uint64_t per_s)
{
    for (int64_t at = 0; at < ns; at += 5 * FS_SEC) {
        *trimming += 5 * per_s;
        hear(site, false, *trimming, true);
        pair_write(pair, "a");
        pair_advance(pair, 5 * FS_SEC);
    }
}

static void expect_reason(struct pair_site *site, enum fs_group_state state, const char *part)
{
    struct fs_verdict verdict;

    fs_group_verdict(pair_find(site, "a"), &verdict);
    assert_string_equal(fs_state_name(verdict.state), fs_state_name(state));
    if (!strstr(verdict.reason, part) || !verdict.hint[0]) {
        fail_msg("not \"%s\" in \"%s\", hint \"%s\"", part, verdict.reason, verdict.hint);
    }
}

static void test_full_target_is_no_space_at_both_sites_until_there_is_room(void **state)
{
    struct pair *pair = *state;
    const struct fs_group *group = pair_find(&pair->east, "a");
    uint64_t opened = mem_store_started(pair->west.store, MEM_OP_SINK_OPEN);

    hear(&pair->west, true, 0, true);
    pair_write(pair, "a");
    pair_advance(pair, 3 * INTERVAL);
    expect_reason(&pair->east, FS_STATE_NO_SPACE, "pool rbd of west is full");
    expect_reason(&pair->west, FS_STATE_NO_SPACE, "pool rbd of west is full");
    assert_int_equal(mem_store_started(pair->west.store, MEM_OP_SINK_OPEN), opened);
    assert_int_equal(group->stats.committed, 1);
    hear(&pair->west, false, 0, true);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
    assert_true(group->stats.committed > 1);
    pair_check_synced(pair, "a");
}

/* Its writes hang, as librbd's do; the peer is told at once, and they end when they can. */
static void test_target_that_becomes_full_refuses_what_is_under_way(void **state)
{
    struct pair *pair = *state;

    pair_write(pair, "a");
    mem_store_hold(pair->west.store, MEM_OP_WRITE);
    pair_advance(pair, INTERVAL);
    assert_int_equal(pair_find(&pair->west, "a")->phase, FS_PHASE_RECEIVING);
    hear(&pair->west, true, 0, true);
    pair_advance(pair, FS_SEC);
    expect_reason(&pair->east, FS_STATE_NO_SPACE, "pool rbd of west is full");
    expect_reason(&pair->west, FS_STATE_NO_SPACE, "pool rbd of west is full");
    mem_store_release(pair->west.store, MEM_OP_WRITE);
    hear(&pair->west, false, 0, true);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    pair_check_synced(pair, "a");
}

static void test_full_source_takes_no_point_and_ships_what_it_has(void **state)
{
    struct pair *pair = *state;

    pair_write(pair, "a");
    mem_store_hold(pair->west.store, MEM_OP_COMMIT);
    pair_advance(pair, INTERVAL);
    uint64_t takes = mem_store_started(pair->east.store, MEM_OP_TAKE);
    hear(&pair->east, true, 0, true);
    mem_store_release(pair->west.store, MEM_OP_COMMIT);
    pair_advance(pair, 3 * INTERVAL);
    assert_int_equal(pair_find(&pair->east, "a")->stats.committed, 2);
    assert_int_equal(mem_store_started(pair->east.store, MEM_OP_TAKE), takes);
    expect_reason(&pair->east, FS_STATE_NO_SPACE, "pool rbd of east is full: no point is taken");
    hear(&pair->east, false, 0, true);
    pair_advance(pair, FS_SEC);
    assert_true(mem_store_started(pair->east.store, MEM_OP_TAKE) > takes);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static uint64_t takes_in(struct pair *pair, struct pair_site *site, int64_t ns, uint64_t *trimming,
                         uint64_t per_s)
{
    uint64_t before = mem_store_started(pair->east.store, MEM_OP_TAKE);

    hear_growing(pair, site, ns, trimming, per_s);
    return mem_store_started(pair->east.store, MEM_OP_TAKE) - before;
}

static void test_source_that_is_behind_with_trimming_takes_points_further_apart(void **state)
{
    struct pair *pair = *state;
    uint64_t trimming = 1000;

    hear_growing(pair, &pair->east, 5 * FS_TRIM_WINDOW_NS, &trimming, 50);
    expect_reason(&pair->east, FS_STATE_DEGRADED, "behind with trimming snapshots");
    assert_int_equal(fs_trim_factor(&pair->east.ctx.trim), 4);
    assert_in_range(takes_in(pair, &pair->east, 20 * INTERVAL, &trimming, 50), 2, 7);
    /* What an operator asks for is taken at once. */
    uint64_t before = mem_store_started(pair->east.store, MEM_OP_TAKE);
    pair_find(&pair->east, "a")->requested = true;
    pair_advance(pair, FS_SEC);
    assert_true(mem_store_started(pair->east.store, MEM_OP_TAKE) > before);
    trimming = 0;
    hear_growing(pair, &pair->east, 4 * FS_TRIM_WINDOW_NS, &trimming, 0);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_in_range(takes_in(pair, &pair->east, 20 * INTERVAL, &trimming, 0), 18, 21);
}

static void test_target_that_is_behind_with_trimming_slows_its_source_down(void **state)
{
    struct pair *pair = *state;
    uint64_t trimming = 1000;

    hear_growing(pair, &pair->west, 5 * FS_TRIM_WINDOW_NS, &trimming, 50);
    expect_reason(&pair->west, FS_STATE_DEGRADED, "this cluster is behind with trimming");
    expect_reason(&pair->east, FS_STATE_DEGRADED, "the cluster of west is behind with trimming");
    uint64_t offers = mem_store_started(pair->west.store, MEM_OP_SINK_OPEN);
    assert_in_range(takes_in(pair, &pair->west, 20 * INTERVAL, &trimming, 50), 2, 7);
    assert_true(mem_store_started(pair->west.store, MEM_OP_SINK_OPEN) > offers);
    trimming = 0;
    hear_growing(pair, &pair->west, 6 * FS_TRIM_WINDOW_NS, &trimming, 0);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_in_range(takes_in(pair, &pair->west, 20 * INTERVAL, &trimming, 0), 18, 21);
}

static void test_queue_of_a_cluster_without_a_manager_is_no_reason(void **state)
{
    struct pair *pair = *state;

    for (unsigned i = 0; i < 400; i++) {
        hear(&pair->east, false, 1000 * i, false);
        pair_advance(pair, 5 * FS_SEC);
    }
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

int main(void)
{
#define GROUP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        GROUP(test_full_target_is_no_space_at_both_sites_until_there_is_room),
        GROUP(test_target_that_becomes_full_refuses_what_is_under_way),
        GROUP(test_full_source_takes_no_point_and_ships_what_it_has),
        GROUP(test_source_that_is_behind_with_trimming_takes_points_further_apart),
        GROUP(test_target_that_is_behind_with_trimming_slows_its_source_down),
        GROUP(test_queue_of_a_cluster_without_a_manager_is_no_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
