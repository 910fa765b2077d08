/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong, and how a group comes back from it by itself. */
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
    pair_free(*state);
    return 0;
}

static void test_peer_that_is_gone_makes_the_lag_grow_until_it_is_back(void **state)
{
    struct pair *pair = *state;
    struct fs_group *group = pair_find(&pair->east, "a");

    pair_cut(pair);
    pair_write(pair, "a");
    pair_advance(pair, 100 * FS_SEC);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_PEER_DOWN);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_PEER_DOWN);
    assert_in_range(fs_group_lag_ns(group), 95 * FS_SEC, 120 * FS_SEC);
    assert_true(fs_group_lag_ns(pair_find(&pair->west, "a")) >= 95 * FS_SEC);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_in_range(fs_group_lag_ns(group), 0, 2 * FS_SEC);
    pair_check_synced(pair, "a");
}

static void test_cut_transfer_is_offered_again_with_the_same_point(void **state)
{
    struct pair *pair = *state;
    struct fs_group *group = pair_find(&pair->east, "a");

    pair_write(pair, "a");
    mem_store_hold(pair->west.store, MEM_OP_COMMIT);
    pair_advance(pair, INTERVAL);
    assert_int_equal(group->phase, FS_PHASE_SHIPPING);
    const struct fs_uuid point = fs_group_point_under_way(group)->id;
    pair_cut(pair);
    mem_store_release(pair->west.store, MEM_OP_COMMIT);
    pair_advance(pair, 30 * FS_SEC);
    uint64_t takes = mem_store_started(pair->east.store, MEM_OP_TAKE);
    pair_connect(pair);
    pair_advance(pair, 200 * FS_MSEC);
    assert_int_equal(group->stats.committed, 2);
    /* That one first; the next one, long due, after it. */
    assert_true(mem_store_started(pair->east.store, MEM_OP_TAKE) > takes);
    assert_true(fs_record_newest_committed(group->record)->point.seq >= 2);
    assert_true(
        mem_store_same_point(pair->east.store, pair->west.store, &group->record->group, &point));
}

static void test_restart_of_the_primary_goes_on_with_its_point(void **state)
{
    struct pair *pair = *state;

    pair_write(pair, "a");
    mem_store_hold(pair->west.store, MEM_OP_COMMIT);
    pair_advance(pair, INTERVAL);
    const struct fs_uuid point = fs_group_point_under_way(pair_find(&pair->east, "a"))->id;
    pair_restart(&pair->east);
    mem_store_release(pair->west.store, MEM_OP_COMMIT);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    /* Nothing happens before discovery has seen that its volumes are there. */
    assert_int_equal(pair_find(&pair->east, "a")->phase, FS_PHASE_IDLE);
    pair_discover(pair, NULL);
    pair_advance(pair, FS_SEC);
    assert_memory_equal(&pair_check_synced(pair, "a")->point.id, &point, sizeof(point));
}

static void test_restart_of_the_secondary_in_a_transfer_resumes(void **state)
{
    struct pair *pair = *state;

    pair_write(pair, "a");
    mem_store_hold(pair->west.store, MEM_OP_WRITE);
    pair_advance(pair, INTERVAL);
    assert_int_equal(pair_find(&pair->west, "a")->phase, FS_PHASE_RECEIVING);
    mem_store_crash(pair->west.store);
    mem_store_release(pair->west.store, MEM_OP_WRITE);
    pair_restart(&pair->west);
    pair_connect(pair);
    pair_advance(pair, 2 * INTERVAL);
    pair_check_synced(pair, "a");
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
}

/* The peer need not come back: whoever promotes this site wants the point. */
static void test_commit_cut_by_a_crash_is_finished_without_the_peer(void **state)
{
    struct pair *pair = *state;

    for (uint64_t point = 2; point < 12; point++) {
        pair_write(pair, "a");
        mem_store_crash_at(pair->west.store, point); /* in some of the rounds the commit */
        pair_advance(pair, INTERVAL);
        mem_store_crash(pair->west.store);
        pair_restart(&pair->west);
        struct fs_group *group = pair_find(&pair->west, "a");
        const struct fs_record *record = group->record;
        bool half_done = false;
        for (size_t i = 0; i < record->n_points; i++) {
            half_done = half_done || record->points[i].state != FS_POINT_COMMITTED;
        }
        pair_pump(pair);
        assert_int_equal(mem_store_started(pair->west.store, MEM_OP_RECOVER) > 0, half_done);
        for (size_t i = 0; i < group->record->n_points; i++) {
            assert_int_equal(group->record->points[i].state, FS_POINT_COMMITTED);
        }
        if (half_done) {
            pair_connect(pair);
            pair_advance(pair, 2 * INTERVAL);
            pair_check_synced(pair, "a");
            return;
        }
        pair_connect(pair);
        pair_advance(pair, INTERVAL);
    }
    fail_msg("no crash hit a commit");
}

static void test_recovery_that_fails_is_tried_again(void **state)
{
    struct pair *pair = *state;
    struct fs_record *record;

    pair_cut(pair);
    record = mem_store_load_at(pair->west.store, 0);
    record->points[0].state = FS_POINT_COMMITTING;
    mem_store_put(pair->west.store, record);
    fs_record_free(record);
    pair_restart(&pair->west);
    mem_store_fail(pair->west.store, MEM_OP_RECOVER, 1, 2, FS_ERR_TRANSIENT, EIO);
    pair_advance(pair, FS_SEC / 2);
    struct fs_group *group = pair_find(&pair->west, "a");
    assert_int_equal(group->failures, 1);
    assert_int_equal(group->record->points[0].state, FS_POINT_COMMITTING);
    pair_advance(pair, 10 * FS_SEC);
    assert_int_equal(group->failures, 0);
    assert_int_equal(group->record->points[0].state, FS_POINT_COMMITTED);
    pair_connect(pair);
    pair_advance(pair, INTERVAL);
    pair_check_synced(pair, "a");
}

static void test_each_transient_failure_heals(void **state)
{
    struct pair *pair = *state;
    static const enum mem_op source_ops[] = {MEM_OP_TAKE, MEM_OP_SETTLE, MEM_OP_OPEN, MEM_OP_LIST,
                                             MEM_OP_READ};
    static const enum mem_op sink_ops[] = {MEM_OP_SINK_OPEN, MEM_OP_WRITE, MEM_OP_COMMIT};

    for (size_t i = 0; i < 8; i++) {
        bool source = i < 5;
        struct mem_store *store = source ? pair->east.store : pair->west.store;
        enum mem_op op = source ? source_ops[i] : sink_ops[i - 5];
        struct fs_group *group = pair_find(&pair->east, "a");
        uint64_t committed = group->stats.committed, failed = group->failed_at;
        mem_store_fail(store, op, 1, 2, FS_ERR_TRANSIENT, EIO);
        pair_write(pair, "a");
        pair_advance(pair, 3 * INTERVAL);
        assert_true(group->failed_at > failed);
        assert_true(group->stats.committed > committed);
        assert_int_equal(group->failures, 0);
        assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
        pair_check_synced(pair, "a");
    }
}

static void test_lasting_failure_is_a_state_with_its_reason_and_backs_off(void **state)
{
    struct pair *pair = *state;
    struct fs_group *group = pair_find(&pair->east, "a");
    struct fs_verdict verdict;

    mem_store_fail(pair->east.store, MEM_OP_OPEN, 1, UINT64_MAX, FS_ERR_PERMANENT, EPERM);
    pair_write(pair, "a");
    pair_advance(pair, 100 * FS_SEC);
    fs_group_verdict(group, &verdict);
    assert_int_equal(verdict.state, FS_STATE_ERROR);
    assert_true(verdict.reason[0] && verdict.hint[0]);
    /* 1, 2, 4, 8, then every interval. */
    assert_in_range(group->failed_at, 8, 16);
    mem_store_fail(pair->east.store, MEM_OP_OPEN, 1, 0, FS_ERR_NONE, 0);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_full_target_is_no_space_at_both_sites(void **state)
{
    struct pair *pair = *state;

    mem_store_fail(pair->west.store, MEM_OP_WRITE, 1, UINT64_MAX, FS_ERR_TRANSIENT, ENOSPC);
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_NO_SPACE);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_NO_SPACE);
    mem_store_fail(pair->west.store, MEM_OP_WRITE, 1, 0, FS_ERR_NONE, 0);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
    pair_check_synced(pair, "a");
}

static void test_unknown_policy_is_refused_with_what_to_add(void **state)
{
    struct pair *pair = *state;
    struct fs_verdict verdict;

    pair->west.config.n_policies = 0;
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    fs_group_verdict(pair_find(&pair->east, "a"), &verdict);
    assert_int_equal(verdict.state, FS_STATE_ERROR);
    assert_non_null(strstr(verdict.reason, "gold"));
    assert_non_null(strstr(verdict.reason, "policies"));
    pair->west.config.n_policies = 1;
    pair_advance(pair, 2 * INTERVAL);
    pair_check_synced(pair, "a");
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_policy_of_another_peer_is_refused(void **state)
{
    struct pair *pair = *state;
    struct fs_verdict verdict;

    pair->west.policy.peer = (char *)"north";
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    fs_group_verdict(pair_find(&pair->east, "a"), &verdict);
    assert_int_equal(verdict.state, FS_STATE_ERROR);
    assert_non_null(strstr(verdict.reason, "north"));
    pair->west.policy.peer = (char *)"east";
    pair_advance(pair, 2 * INTERVAL);
    pair_check_synced(pair, "a");
}

static void test_lost_lease_stops_the_site(void **state)
{
    struct pair *pair = *state;

    mem_store_fail(pair->east.store, MEM_OP_TAKE, 1, 1, FS_ERR_TRANSIENT, ESTALE);
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair->east.lost, 1);
}

static void test_stop_in_the_middle_of_a_transfer_ends_and_resumes(void **state)
{
    struct pair *pair = *state;
    struct fs_group *group = pair_find(&pair->east, "a");

    mem_image_scribble(mem_store_find(pair->east.store, "rbd", "a-0"), 0, PAIR_IMAGE_SIZE, false);
    mem_store_hold(pair->west.store, MEM_OP_WRITE);
    pair_advance(pair, INTERVAL);
    assert_int_equal(group->phase, FS_PHASE_SHIPPING);
    fs_groups_stop(pair->west.ctx.groups);
    fs_groups_stop(pair->east.ctx.groups);
    mem_store_release(pair->west.store, MEM_OP_WRITE);
    pair_pump(pair);
    assert_int_equal(fs_groups_busy(pair->east.ctx.groups), 0);
    assert_int_equal(fs_groups_busy(pair->west.ctx.groups), 0);
    assert_int_equal(group->failures, 0);
    pair_restart(&pair->east);
    pair_restart(&pair->west);
    pair_connect(pair);
    pair_discover(pair, NULL);
    pair_advance(pair, 2 * INTERVAL);
    pair_check_synced(pair, "a");
}

static int64_t lag_at(struct pair_site *site)
{
    return fs_group_lag_ns(pair_find(site, "a"));
}

/* The clocks of both sites; what is current and what is late goes by time that passes. */
static void test_lag_does_not_lie_where_the_wall_clock_is_set(void **state)
{
    struct pair *pair = *state;
    static const int64_t steps_ns[] = {3600 * FS_SEC, -3600 * FS_SEC, -3600 * FS_SEC};

    for (size_t i = 0; i < 3; i++) {
        int64_t before = lag_at(&pair->west);
        pair->clock.wall_now_ns += steps_ns[i];
        assert_int_equal(lag_at(&pair->west), before);
        pair_advance(pair, 3 * INTERVAL); /* it is idle: what is told is that nothing changed */
        assert_in_range(lag_at(&pair->east), 0, INTERVAL + 2 * FS_SEC);
        assert_in_range(lag_at(&pair->west), 0, INTERVAL + 2 * FS_SEC);
        pair_write(pair, "a");
        uint64_t committed = pair_find(&pair->east, "a")->stats.committed;
        pair_advance(pair, 2 * INTERVAL);
        assert_true(pair_find(&pair->east, "a")->stats.committed > committed);
        assert_in_range(lag_at(&pair->west), 0, INTERVAL + 2 * FS_SEC);
        pair_cut(pair);
        pair_advance(pair, 60 * FS_SEC);
        assert_in_range(lag_at(&pair->east), 60 * FS_SEC, 60 * FS_SEC + 2 * INTERVAL);
        assert_in_range(lag_at(&pair->west), 60 * FS_SEC, 60 * FS_SEC + 2 * INTERVAL);
        pair_connect(pair);
        pair_advance(pair, 3 * INTERVAL);
    }
}

/* The boot clock begins anew with the machine, and the newest point is older than that. */
static void test_lag_does_not_lie_after_a_reboot(void **state)
{
    struct pair *pair = *state;

    pair_cut(pair);
    pair->clock.wall_now_ns += 3 * 3600 * FS_SEC;
    pair->clock.boot_now_ns = 60 * FS_SEC;
    pair_restart(&pair->east);
    pair_restart(&pair->west);
    pair_connect(pair);
    pair_advance(pair, 5 * FS_SEC); /* nothing was discovered, so nothing is taken */
    assert_in_range(lag_at(&pair->west), 3 * 3600 * FS_SEC, 4 * 3600 * FS_SEC);
}

/* What is stored is by the wall clock. A daemon that starts when that has been set back cannot tell
 * how old the newest point is, but it knows that it grows older. */
static void test_lag_grows_after_a_start_with_the_wall_clock_set_back(void **state)
{
    struct pair *pair = *state;

    pair_cut(pair);
    pair->clock.wall_now_ns -= 3600 * FS_SEC;
    pair_restart(&pair->west);
    assert_int_equal(lag_at(&pair->west), 0);
    pair_advance(pair, 60 * FS_SEC);
    assert_in_range(lag_at(&pair->west), 60 * FS_SEC, 61 * FS_SEC);
}

static void test_second_session_of_the_same_peer_replaces_a_dead_one(void **state)
{
    struct pair *pair = *state;
    struct fs_transport *ends[2];

    /* East lost its end without west noticing; it dials again. */
    struct fake_link *old = pair->link;
    fake_link_stall(old, 0, true);
    fake_link_stall(old, 1, true);
    pair->link = fake_link_new(ends);
    fs_peers_accept(pair->east.ctx.peers, ends[0]);
    fs_peers_accept(pair->west.ctx.peers, ends[1]);
    pair_advance(pair, 3 * FS_SEC);
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    pair_check_synced(pair, "a");
    fake_link_free(old);
}

static void test_both_sides_keep_the_same_one_of_two_dials(void **state)
{
    struct pair *pair = *state;
    struct fs_transport *first[2], *second[2];

    pair_cut(pair);
    struct fake_link *one = fake_link_new(first), *two = fake_link_new(second);
    fs_peers_accept(pair->east.ctx.peers, first[0]); /* east dialed it */
    fs_peers_accept(pair->west.ctx.peers, first[1]);
    fs_peers_accept(pair->west.ctx.peers, second[0]); /* west dialed it */
    fs_peers_accept(pair->east.ctx.peers, second[1]);
    for (unsigned i = 0; i < 100; i++) {
        (void)fake_link_step(one, 0);
        (void)fake_link_step(two, 0);
        pair_advance(pair, 100 * FS_MSEC);
    }
    assert_non_null(fs_peers_session(pair->east.ctx.peers, "west"));
    assert_non_null(fs_peers_session(pair->west.ctx.peers, "east"));
    assert_true(fs_session_transport(fs_peers_session(pair->east.ctx.peers, "west"))->dialed !=
                fs_session_transport(fs_peers_session(pair->west.ctx.peers, "east"))->dialed);
    fake_link_free(one);
    fake_link_free(two);
    pair_pump(pair);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_peer_that_is_gone_makes_the_lag_grow_until_it_is_back),
        TEST(test_cut_transfer_is_offered_again_with_the_same_point),
        TEST(test_restart_of_the_primary_goes_on_with_its_point),
        TEST(test_restart_of_the_secondary_in_a_transfer_resumes),
        TEST(test_commit_cut_by_a_crash_is_finished_without_the_peer),
        TEST(test_recovery_that_fails_is_tried_again),
        TEST(test_each_transient_failure_heals),
        TEST(test_lasting_failure_is_a_state_with_its_reason_and_backs_off),
        TEST(test_full_target_is_no_space_at_both_sites),
        TEST(test_unknown_policy_is_refused_with_what_to_add),
        TEST(test_policy_of_another_peer_is_refused),
        TEST(test_lost_lease_stops_the_site),
        TEST(test_stop_in_the_middle_of_a_transfer_ends_and_resumes),
        TEST(test_lag_does_not_lie_where_the_wall_clock_is_set),
        TEST(test_lag_does_not_lie_after_a_reboot),
        TEST(test_lag_grows_after_a_start_with_the_wall_clock_set_back),
        TEST(test_second_session_of_the_same_peer_replaces_a_dead_one),
        TEST(test_both_sides_keep_the_same_one_of_two_dials),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
