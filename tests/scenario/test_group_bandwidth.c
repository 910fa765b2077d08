/* SPDX-License-Identifier: Apache-2.0 */
/* What a group's transfers are like under a limit of bandwidth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/scenario/pair.h"

#define INTERVAL (3600 * FS_SEC)
#define RATE     FS_PACER_RATE_MIN

static int setup(void **state)
{
    setenv("TZ", "UTC", 1);
    tzset();
    *state = pair_new(INTERVAL);
    return 0;
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

static void set_bandwidth(struct pair *pair, uint64_t bytes_per_s)
{
    pair->east.peer.bandwidth = bytes_per_s;
    fs_peers_reconfigure(pair->east.ctx.peers);
}

static uint64_t sent_bytes(struct pair *pair)
{
    struct fs_peer_status status;
    fs_peers_status(pair->east.ctx.peers, 0, &status);
    return status.sent_bytes;
}

static void test_limit_is_kept_and_a_reload_leaves_the_transfer_alone(void **state)
{
    struct pair *pair = *state;
    struct fs_transfer_stats stats;
    struct fs_peer_status status;

    set_bandwidth(pair, RATE);
    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 12);
    pair_advance(pair, FS_SEC);
    uint64_t before = sent_bytes(pair);
    pair_advance(pair, 10 * FS_SEC);
    assert_in_range(sent_bytes(pair) - before, RATE * 10 * 95 / 100, RATE * 10 * 105 / 100);
    assert_int_equal(group->phase, FS_PHASE_SHIPPING);
    const struct fs_sender *sender = group->sender;

    set_bandwidth(pair, 4 * RATE);
    fs_peers_status(pair->east.ctx.peers, 0, &status);
    assert_int_equal(status.bandwidth, 4 * RATE);
    assert_string_equal(status.window, "");
    before = sent_bytes(pair);
    pair_advance(pair, 2 * FS_SEC);
    assert_in_range(sent_bytes(pair) - before, RATE * 7, RATE * 9);
    assert_ptr_equal(group->sender, sender);

    set_bandwidth(pair, 0);
    pair_advance(pair, FS_SEC);
    pair_check_synced(pair, "a");
    assert_int_equal(group->stats.committed, 1);
    assert_int_equal(group->stats.n_failures, 0);
    assert_false(fs_group_transfer(group, &stats));
}

static void test_small_group_is_not_held_up_by_a_huge_one(void **state)
{
    struct pair *pair = *state;

    set_bandwidth(pair, 4 * RATE);
    pair_connect(pair);
    struct fs_group *huge = pair_add_group(pair, "a", 30);
    pair_advance(pair, 2 * FS_SEC);
    pair_add_group(pair, "b", 1);
    pair_advance(pair, 4 * FS_SEC);
    pair_check_synced(pair, "b");
    assert_int_equal(huge->stats.committed, 0);
    set_bandwidth(pair, 0);
    pair_advance(pair, 2 * FS_SEC);
    pair_check_synced(pair, "a");
}

static void test_window_begins_and_ends_with_its_minute(void **state)
{
    struct pair *pair = *state;
    struct fs_peer_status status;
    int64_t minute = fs_clock_wall(&pair->clock.clock) / (60 * FS_SEC);
    unsigned now = (unsigned)(minute % FS_MINUTES_OF_DAY);
    struct fs_window window = {
        .days = 0x7f, .from = now + 2, .to = now + 4, .bytes_per_s = 5 * RATE};

    pair->east.peer.windows = &window;
    pair->east.peer.n_windows = 1;
    set_bandwidth(pair, RATE);
    for (unsigned i = 0; i < 5; i++) {
        bool inside = i >= 2 && i < 4;
        pair_advance(pair, FS_SEC);
        fs_peers_status(pair->east.ctx.peers, 0, &status);
        assert_int_equal(status.bandwidth, inside ? 5 * RATE : RATE);
        assert_int_equal(status.window[0] != '\0', inside);
        pair_advance(pair, 59 * FS_SEC);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_limit_is_kept_and_a_reload_leaves_the_transfer_alone,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_group_is_not_held_up_by_a_huge_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_window_begins_and_ends_with_its_minute, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
