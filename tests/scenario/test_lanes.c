/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of daemons that several connections carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/lanes.h"
#include "tests/scenario/pair.h"

#define INTERVAL (3600 * FS_SEC)
#define LANES    4

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

static void configure(struct pair *pair, unsigned lanes, uint64_t bytes_per_s)
{
    pair->east.peer.lanes = lanes;
    pair->east.peer.bandwidth = bytes_per_s;
    fs_peers_reconfigure(pair->east.ctx.peers);
}

static unsigned lanes_of(struct pair_site *site)
{
    struct fs_peer_status status;

    fs_peers_status(site->ctx.peers, 0, &status);
    return status.lanes;
}

static void check_lanes(struct pair *pair, unsigned lanes)
{
    assert_int_equal(lanes_of(&pair->east), lanes);
    assert_int_equal(lanes_of(&pair->west), lanes);
}

static void test_wanted_follows_round_trip_and_rate(void **state)
{
    const uint64_t mbit = 125000;

    (void)state;
    assert_int_equal(fs_lanes_wanted(0, 0, 0), 1);
    assert_int_equal(fs_lanes_wanted(0, 5 * FS_MSEC - 1, 1000 * mbit), 1);
    assert_int_equal(fs_lanes_wanted(0, 5 * FS_MSEC, 100 * mbit), 2);
    assert_int_equal(fs_lanes_wanted(0, 40 * FS_MSEC, 1 * mbit), 1);
    assert_int_equal(fs_lanes_wanted(0, 40 * FS_MSEC, 20 * mbit), 3);
    assert_int_equal(fs_lanes_wanted(0, 40 * FS_MSEC, 50 * mbit), 6);
    assert_int_equal(fs_lanes_wanted(0, 20 * FS_MSEC, 0),
                     fs_lanes_wanted(0, 20 * FS_MSEC, 100 * mbit));
    assert_int_equal(fs_lanes_wanted(0, 40 * FS_MSEC, 0), 12);
    assert_int_equal(fs_lanes_wanted(0, INT64_MAX, UINT64_MAX), 12);
    assert_int_equal(fs_lanes_wanted(1, 40 * FS_MSEC, 0), 1);
    assert_int_equal(fs_lanes_wanted(16, 0, 0), 16);
}

static void test_short_way_has_one_connection(void **state)
{
    struct pair *pair = *state;

    configure(pair, 0, 0);
    pair_connect(pair);
    pair_add_group(pair, "a", 2);
    pair_advance(pair, 10 * FS_SEC);
    pair_check_synced(pair, "a");
    check_lanes(pair, 1);
    assert_int_equal(pair->n_lanes, 0);
}

/* Both have said hello, and the answers to PINGs come late_ns later than they were asked for; how
 * often is the test's. */
static void connect_late(struct pair *pair, int64_t late_ns)
{
    struct fs_transport *ends[2];

    configure(pair, 0, 0);
    pair->link = fake_link_new(ends);
    fs_peers_accept(pair->east.ctx.peers, ends[0]);
    fs_peers_accept(pair->west.ctx.peers, ends[1]);
    (void)fake_link_step(pair->link, 0);
    assert_non_null(fs_peers_session(pair->east.ctx.peers, "west"));
    fake_link_stall(pair->link, 1, true);
    pair_pump(pair);
    fs_clock_scripted_advance(&pair->clock, late_ns);
    fake_link_stall(pair->link, 1, false);
}

static void test_one_late_answer_is_no_long_way(void **state)
{
    struct pair *pair = *state;

    connect_late(pair, 40 * FS_MSEC);
    pair_advance(pair, 2 * FS_SEC);
    const struct fs_session *session = fs_peers_session(pair->east.ctx.peers, "west");
    assert_true(fs_session_rtt_samples(session) >= 2);
    assert_int_equal(fs_session_rtt_least_ns(session), 0);
    check_lanes(pair, 1);
}

static void test_long_way_has_lanes(void **state)
{
    struct pair *pair = *state;

    connect_late(pair, 40 * FS_MSEC);
    for (unsigned i = 0; i < 10; i++) {
        (void)fake_link_step(pair->link, 0);
        fake_link_stall(pair->link, 1, true);
        pair_pump(pair);
        fs_clock_scripted_advance(&pair->clock, 40 * FS_MSEC);
        fake_link_stall(pair->link, 1, false);
    }
    pair_advance(pair, FS_SEC);
    assert_int_equal(fs_session_rtt_least_ns(fs_peers_session(pair->east.ctx.peers, "west")),
                     40 * FS_MSEC);
    check_lanes(pair, 12);
}

static void test_lanes_carry_a_group(void **state)
{
    struct pair *pair = *state;

    configure(pair, LANES, 0);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, LANES);
    pair_add_group(pair, "a", 12);
    pair_advance(pair, 10 * FS_SEC);
    pair_check_synced(pair, "a");
    for (unsigned i = 0; i < pair->n_lanes; i++) {
        assert_true(fake_link_delivered(pair->lanes[i], 0) > 100000);
    }
    assert_int_equal(pair->n_lanes, LANES - 1);
}

static void test_transfer_goes_on_when_lanes_end(void **state)
{
    struct pair *pair = *state;

    configure(pair, LANES, FS_PACER_RATE_MIN);
    pair_connect(pair);
    struct fs_group *group = pair_add_group(pair, "a", 12);
    pair_advance(pair, 3 * FS_SEC);
    check_lanes(pair, LANES);
    const struct fs_sender *sender = group->sender;
    assert_non_null(sender);

    /* The connection that the session began with is nothing special. */
    fake_link_cut_after(pair->link, 0, 0);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, LANES - 1);
    fake_link_cut_after(pair->lanes[1], 1, 0);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, LANES - 2);
    assert_ptr_equal(group->sender, sender);

    pair_advance(pair, FS_LANE_RETRY_NS + FS_SEC);
    check_lanes(pair, LANES);
    assert_int_equal(pair->n_lanes, LANES - 1 + 2);
    assert_ptr_equal(group->sender, sender);
    pair_advance(pair, 60 * FS_SEC);
    pair_check_synced(pair, "a");
}

static void test_session_ends_with_its_last_lane(void **state)
{
    struct pair *pair = *state;

    configure(pair, LANES, FS_PACER_RATE_MIN);
    pair_connect(pair);
    pair_add_group(pair, "a", 12);
    pair_advance(pair, 3 * FS_SEC);
    pair_cut(pair);
    assert_null(fs_peers_session(pair->east.ctx.peers, "west"));
    assert_null(fs_peers_session(pair->west.ctx.peers, "east"));
    check_lanes(pair, 0);
    pair_connect(pair);
    pair_advance(pair, 90 * FS_SEC);
    pair_check_synced(pair, "a");
    check_lanes(pair, LANES);
}

static void test_lane_that_cannot_be_made_is_tried_again(void **state)
{
    struct pair *pair = *state;

    configure(pair, LANES, 0);
    pair->no_lanes = true;
    pair_connect(pair);
    pair_add_group(pair, "a", 2);
    pair_advance(pair, 2 * FS_LANE_RETRY_NS);
    pair_check_synced(pair, "a");
    check_lanes(pair, 1);
    pair->no_lanes = false;
    pair_advance(pair, FS_LANE_RETRY_NS + FS_SEC);
    check_lanes(pair, LANES);
}

static void test_lanes_that_never_can_be_made_are_tried_seldom(void **state)
{
    struct pair *pair = *state;

    configure(pair, LANES, 0);
    pair->no_lanes = true;
    pair_connect(pair);
    pair_advance(pair, 600 * FS_SEC);
    /* At 0, 5, 15, 35 and 75 s, then each minute. */
    assert_in_range(pair->lanes_refused, 12, 14);
    pair->no_lanes = false;
    pair_advance(pair, FS_LANE_RETRY_MOST_NS + FS_SEC);
    check_lanes(pair, LANES);
}

static void test_more_lanes_come_with_a_reload(void **state)
{
    struct pair *pair = *state;

    configure(pair, 1, 0);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, 1);
    configure(pair, 2, 0);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, 2);
    configure(pair, LANES, 0);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, LANES);
    configure(pair, 2, 0);
    pair_advance(pair, 10 * FS_SEC);
    check_lanes(pair, LANES);
}

static void test_lane_with_another_name_is_not_used(void **state)
{
    struct pair *pair = *state;

    configure(pair, 2, 0);
    pair->lane_name = "mallory";
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    check_lanes(pair, 1);
    pair->lane_name = NULL;
    pair_advance(pair, FS_LANE_RETRY_NS + FS_SEC);
    check_lanes(pair, 2);
}

/* --- connections that are no lanes ------------------------------------------------------------ */

static struct fs_transport *open_odd(struct pair *pair, const char *name)
{
    struct fs_transport *ends[2];

    pair->lanes[pair->n_lanes] = fake_link_new(ends);
    fake_link_set_peer_name(pair->lanes[pair->n_lanes++], 1, name);
    fs_peers_accept_lane(pair->west.ctx.peers, ends[1]);
    return ends[0];
}

struct odd {
    unsigned closed;
    uint8_t room[64];
};

static uint8_t *odd_room(void *arg, size_t *ret_length)
{
    struct odd *odd = arg;

    *ret_length = sizeof(odd->room);
    return odd->room;
}

static void odd_received(void *arg, size_t length)
{
    (void)arg;
    (void)length;
}

static void odd_closed(void *arg, const struct fs_error *err)
{
    (void)err;
    ((struct odd *)arg)->closed++;
}

static void check_turned_away(struct pair *pair, struct fs_transport *from, struct fs_buf *says,
                              int64_t wait_ns)
{
    static const struct fs_transport_events events = {
        .room = odd_room, .received = odd_received, .closed = odd_closed};
    struct odd odd = {0};

    from->events = &events;
    from->events_arg = &odd;
    from->ops->send(from, says);
    pair_pump(pair);
    if (wait_ns > 0) {
        assert_int_equal(odd.closed, 0);
        pair_advance(pair, wait_ns);
    }
    assert_int_equal(odd.closed, 1);
    from->ops->close(from);
    assert_int_equal(lanes_of(&pair->west), 2);
}

static struct fs_buf lane_frame(const struct fs_lane *lane)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_LANE, FS_FRAME_CRITICAL, 0);

    fs_lane_encode(lane, &buf);
    fs_frame_finish(&buf, start);
    return buf;
}

static void test_what_is_no_lane_is_turned_away(void **state)
{
    struct pair *pair = *state;
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_lane token, wrong = {{1}};

    configure(pair, 2, 0);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    assert_true(fs_session_lanes_token(fs_peers_session(pair->east.ctx.peers, "west"), &token));
    fs_buf_put_u64(&buf, UINT64_C(0x0d0a0d0a20544547));
    check_turned_away(pair, open_odd(pair, NULL), &buf, 0);
    buf = lane_frame(&wrong);
    check_turned_away(pair, open_odd(pair, NULL), &buf, 0);
    buf = lane_frame(&token);
    check_turned_away(pair, open_odd(pair, "mallory"), &buf, 0);
    buf = lane_frame(&token);
    buf.length -= 1;
    check_turned_away(pair, open_odd(pair, NULL), &buf, 11 * FS_SEC);
    buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_PING, FS_FRAME_CRITICAL, 0);
    fs_lane_encode(&token, &buf);
    fs_frame_finish(&buf, start);
    check_turned_away(pair, open_odd(pair, NULL), &buf, 0);
    buf = FS_BUF_INIT;
    start = fs_frame_begin(&buf, FS_FRAME_LANE, FS_FRAME_CRITICAL, 0);
    fs_buf_put_u64(&buf, 1);
    fs_frame_finish(&buf, start);
    check_turned_away(pair, open_odd(pair, NULL), &buf, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wanted_follows_round_trip_and_rate),
        cmocka_unit_test_setup_teardown(test_short_way_has_one_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_late_answer_is_no_long_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_way_has_lanes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lanes_carry_a_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transfer_goes_on_when_lanes_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_session_ends_with_its_last_lane, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lane_that_cannot_be_made_is_tried_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_lanes_that_never_can_be_made_are_tried_seldom, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_more_lanes_come_with_a_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lane_with_another_name_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_lane_is_turned_away, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
