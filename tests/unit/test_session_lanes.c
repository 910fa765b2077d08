/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that change over to lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/session.h"
#include "tests/scenario/fake_transport.h"
#include "tests/unit/session_rig.h"

#define LANES 3

struct lanes {
    struct pair pair;
    struct fake_link *more[LANES];
};

static bool step(struct lanes *lanes)
{
    bool happened = fake_link_step(lanes->pair.link, 70000);
    for (unsigned i = 0; i < LANES; i++) {
        if (lanes->more[i] != NULL) {
            happened = fake_link_step(lanes->more[i], 30000 * (i + 1)) || happened;
        }
    }
    return happened;
}

static void run_all(struct lanes *lanes)
{
    while (step(lanes)) {
    }
}

static void change_over(struct lanes *lanes)
{
    struct fs_session *east = lanes->pair.sides[0].session, *west = lanes->pair.sides[1].session;
    struct fs_lane token, other = {{1}};
    assert_false(fs_session_lanes_token(east, &token));
    assert_true(fs_session_ask_lanes(east));
    assert_false(fs_session_ask_lanes(east)); /* once */
    assert_false(fs_session_lanes_token(east, &token));
    run(&lanes->pair);
    assert_true(fs_session_lanes_token(east, &token));
    assert_true(fs_session_owns_lane(west, &token));
    assert_false(fs_session_owns_lane(west, &other));
    assert_false(fs_session_owns_lane(east, &token)); /* lanes come from the other end */
    assert_int_equal(fs_session_lanes(east), 1);
}

static void open_lanes(struct lanes *lanes, unsigned count)
{
    memset(lanes, 0, sizeof(*lanes));
    open_up(&lanes->pair);
    change_over(lanes);
    for (unsigned i = 0; i + 1 < count; i++) {
        struct fs_transport *ends[2];
        lanes->more[i] = fake_link_new(ends);
        assert_true(fs_session_add_lane(lanes->pair.sides[1].session, ends[1]));
        assert_true(fs_session_add_lane(lanes->pair.sides[0].session, ends[0]));
    }
    run_all(lanes);
    assert_int_equal(fs_session_lanes(lanes->pair.sides[0].session), count);
}

static void close_lanes(struct lanes *lanes)
{
    close_pair(&lanes->pair);
    for (unsigned i = 0; i < LANES; i++) {
        fake_link_free(lanes->more[i]);
    }
}

static void send_segments(struct lanes *lanes, struct end *source, struct end *target,
                          uint64_t bytes)
{
    source->segment_size = 100000;
    source->to_send += bytes;
    end_writable(source);
    bool more = true;
    while (more) {
        more = step(lanes);
        if (target->segment_bytes > 0) {
            fs_session_release_credit(lanes->pair.sides[1].session, target->segment_bytes);
            target->segment_bytes = 0;
            more = true;
        }
    }
    assert_int_equal(target->received, source->to_send);
}

static void test_stream_goes_on_over_a_change_to_lanes(void **state)
{
    (void)state;
    struct lanes lanes = {0};
    struct end source, target;
    open_up(&lanes.pair);
    open_stream(&lanes.pair, &source, &target);
    source.segment_size = 50000; /* segments are under way on both sides of the change */
    source.to_send = 1000000;
    end_writable(&source);
    change_over(&lanes);
    send_segments(&lanes, &source, &target, 10000000);
    assert_int_equal(fs_session_bytes_sent(lanes.pair.sides[0].session),
                     fs_session_bytes_received(lanes.pair.sides[1].session));
    assert_int_equal(lanes.pair.sides[0].downs + lanes.pair.sides[1].downs, 0);
    close_lanes(&lanes);
}

static void test_stream_goes_on_when_lanes_die(void **state)
{
    (void)state;
    struct lanes lanes;
    struct end source, target;
    open_lanes(&lanes, 4);
    open_stream(&lanes.pair, &source, &target);
    send_segments(&lanes, &source, &target, 4000000);
    fake_link_cut_after(lanes.pair.link, 0, fake_link_delivered(lanes.pair.link, 0) + 345678);
    send_segments(&lanes, &source, &target, 4000000);
    fake_link_cut_after(lanes.more[1], 1, 0);
    send_segments(&lanes, &source, &target, 4000000);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fs_session_is_up(lanes.pair.sides[i].session));
        assert_int_equal(fs_session_lanes(lanes.pair.sides[i].session), 2);
        assert_int_equal(lanes.pair.sides[i].lanes_down, 2);
        assert_int_equal(lanes.pair.sides[i].downs, 0);
    }
    close_lanes(&lanes);
}

static void test_session_outlives_a_lane_that_stands_still(void **state)
{
    (void)state;
    struct lanes lanes;
    struct end source, target;
    open_lanes(&lanes, 3);
    open_stream(&lanes.pair, &source, &target);
    run_all(&lanes);
    for (unsigned direction = 0; direction < 2; direction++) {
        fake_link_stall(lanes.more[0], direction, true);
    }
    source.segment_size = 100000;
    source.to_send = 2000000;
    end_writable(&source);
    for (unsigned i = 0; i < 16; i++) {
        run_all(&lanes);
        tick(&lanes.pair, HEARTBEAT / 4);
    }
    run_all(&lanes);
    assert_int_equal(target.received, source.to_send);
    assert_int_equal(lanes.pair.sides[0].downs + lanes.pair.sides[1].downs, 0);
    assert_int_equal(lanes.pair.sides[0].lanes_down, 1);
    close_lanes(&lanes);
}

static void test_idle_lanes_are_left_alone(void **state)
{
    (void)state;
    struct lanes lanes;
    open_lanes(&lanes, 3);
    for (unsigned i = 0; i < 100; i++) {
        tick(&lanes.pair, HEARTBEAT / 2);
        run_all(&lanes);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fs_session_lanes(lanes.pair.sides[i].session), 3);
        assert_int_equal(lanes.pair.sides[i].lanes_down, 0);
    }
    close_lanes(&lanes);
}

static void test_bye_arrives_over_lanes(void **state)
{
    (void)state;
    struct lanes lanes;
    open_lanes(&lanes, 3);
    fs_session_end(lanes.pair.sides[1].session, "enough");
    run_all(&lanes);
    assert_int_equal(lanes.pair.sides[0].downs, 1);
    assert_non_null(strstr(lanes.pair.sides[0].err.message, "enough"));
    fs_session_free(lanes.pair.sides[0].session);
    lanes.pair.sides[0].session = NULL;
    run_all(&lanes);
    assert_int_equal(lanes.pair.sides[1].downs, 1);
    close_lanes(&lanes);
}

static void test_lanes_need_a_peer_that_knows_them(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    assert_false(fs_session_ask_lanes(pair.sides[0].session));
    struct fs_transport *ends[2];
    struct fake_link *link = fake_link_new(ends);
    assert_false(fs_session_add_lane(pair.sides[0].session, ends[0]));
    ends[1]->ops->close(ends[1]);
    fake_link_free(link);
    odd->ops->close(odd);
    run(&pair);
    close_pair(&pair);
}

static void test_only_the_dialing_side_asks(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    assert_false(fs_session_ask_lanes(pair.sides[1].session));
    close_pair(&pair);
}

static void inject_lanes(struct fs_transport *from, uint64_t window)
{
    struct fs_lanes lanes = {.window = window};
    struct fs_buf buf = FS_BUF_INIT;
    fs_lanes_encode(&lanes, &buf);
    inject(from, FS_FRAME_LANES, FS_FRAME_CRITICAL, 0, buf.data, buf.length);
    fs_buf_fini(&buf);
}

static void test_lanes_that_were_not_asked_for_end_the_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject_lanes(odd, FS_LANES_WINDOW_MIN);
    check_ended(&pair, odd, "nobody asked");
    odd = open_odd(&pair);
    inject_lanes(odd, FS_LANES_WINDOW_MIN - 1);
    check_ended(&pair, odd, "LANES");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_goes_on_over_a_change_to_lanes),
        cmocka_unit_test(test_stream_goes_on_when_lanes_die),
        cmocka_unit_test(test_session_outlives_a_lane_that_stands_still),
        cmocka_unit_test(test_idle_lanes_are_left_alone),
        cmocka_unit_test(test_bye_arrives_over_lanes),
        cmocka_unit_test(test_lanes_need_a_peer_that_knows_them),
        cmocka_unit_test(test_only_the_dialing_side_asks),
        cmocka_unit_test(test_lanes_that_were_not_asked_for_end_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
