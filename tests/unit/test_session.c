/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/session.h"
#include "tests/scenario/fake_transport.h"
#include "tests/unit/session_rig.h"

/* --- hello ---------------------------------------------------------------------------------- */

static void test_hello_both_come_up(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    assert_false(fs_session_is_up(pair.sides[0].session));
    assert_null(fs_session_peer(pair.sides[0].session));
    run(&pair);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pair.sides[i].ups, 1);
        assert_string_equal(fs_session_peer(pair.sides[i].session)->site, i == 0 ? "west" : "east");
    }
    close_pair(&pair);
}

static void test_hello_byte_by_byte_comes_up(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    while (fake_link_step(pair.link, 1)) {
    }
    assert_int_equal(pair.sides[0].ups, 1);
    assert_int_equal(pair.sides[1].ups, 1);
    close_pair(&pair);
}

static void test_hello_cut_at_any_byte_ends_with_closed(void **state)
{
    (void)state;
    for (uint64_t cut = 0; cut < 60; cut++) {
        struct pair pair;
        open_pair(&pair);
        fake_link_cut_after(pair.link, 0, cut);
        run(&pair);
        assert_int_equal(pair.sides[0].downs, 1);
        assert_int_equal(pair.sides[1].downs, 1);
        assert_int_equal(pair.sides[1].ups, 0);
        assert_int_equal(pair.sides[1].err.class, FS_ERR_TRANSIENT);
        close_pair(&pair);
    }
}

static void test_hello_refused_tells_both_why(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    pair.sides[1].refusal = "who are you";
    run(&pair);
    assert_int_equal(pair.sides[0].downs, 1);
    assert_non_null(strstr(pair.sides[0].err.message, "who are you"));
    fs_session_free(pair.sides[0].session);
    pair.sides[0].session = NULL;
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(pair.sides[1].ups, 0);
    assert_non_null(strstr(pair.sides[1].err.message, "who are you"));
    close_pair(&pair);
}

static void test_hello_without_common_version_names_both(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_hello(odd, 2, 5, 2);
    run(&pair);
    assert_int_equal(pair.sides[0].ups, 0);
    check_ended(&pair, odd, "speaks 2 to 5");
}

static void test_hello_of_newer_peer_with_overlap_comes_up(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_hello(odd, 1, 9, 2);
    run(&pair);
    assert_int_equal(pair.sides[0].ups, 1);
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_hello_of_own_site_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_hello(odd, 1, 1, 1);
    check_ended(&pair, odd, "same Ceph cluster");
}

static void test_hello_missing_ends_in_time(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    run(&pair);
    assert_int_equal(fs_session_deadline(pair.sides[0].session),
                     pair.clock.boot_now_ns + 5 * FS_SEC);
    tick(&pair, 5 * FS_SEC - 1);
    assert_int_equal(pair.sides[0].downs, 0);
    tick(&pair, 1);
    tick(&pair, FS_SEC); /* the odd side does not hang up */
    assert_int_equal(pair.sides[0].downs, 1);
    assert_int_equal(pair.sides[0].err.code, ETIMEDOUT);
    assert_int_equal(fs_session_deadline(pair.sides[0].session), INT64_MAX);
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_frame_before_hello_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_half(&pair);
    inject_offer(odd, 2);
    check_ended(&pair, odd, "OFFER before HELLO");
}

/* --- protocol errors ------------------------------------------------------------------------ */

static void test_misplaced_frames_end_session(void **state)
{
    (void)state;
    const struct {
        uint16_t type;
        uint32_t stream;
        const char *words;
    } cases[] = {
        {FS_FRAME_HELLO, 0, "a second HELLO"},      {FS_FRAME_PING, 2, "PING on stream 2"},
        {FS_FRAME_OFFER, 0, "OFFER on stream 0"},   {FS_FRAME_OFFER, 1, "OFFER on stream 1"},
        {FS_FRAME_ACCEPT, 2, "ACCEPT on stream 2"}, {FS_FRAME_SEGMENT, 1, "SEGMENT on stream 1"},
        {FS_FRAME_SEGMENT, 2, "never opened"},      {FS_FRAME_ABORT, 4, "never opened"},
        {FS_FRAME_COMMITTED, 1, "never opened"},    {FS_FRAME_PONG, 0, "malformed"},
        {FS_FRAME_CURRENT, 0, "malformed"},         {99, 0, "unknown critical type 99"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair pair;
        struct fs_transport *odd = open_odd(&pair);
        inject(odd, cases[i].type, FS_FRAME_CRITICAL, cases[i].stream, NULL, 0);
        check_ended(&pair, odd, cases[i].words);
    }
}

static void test_pong_without_ping_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    const uint8_t pong[24] = {200};
    inject(odd, FS_FRAME_PONG, 1, 0, pong, sizeof(pong));
    check_ended(&pair, odd, "a PONG without a PING");
}

static void test_garbage_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    struct fs_buf buf = FS_BUF_INIT;
    fs_buf_put(&buf, "GET / HTTP/1.1\r\n", 16);
    odd->ops->send(odd, &buf);
    check_ended(&pair, odd, "not a Farshore frame");
}

/* A frame that is bad as a whole, or just its header, and more behind it. */
static void test_bad_frame_with_more_behind_it_ends_session(void **state)
{
    (void)state;
    static const size_t spoilt[] = {8 + 3, 24, FS_FRAME_HEADER + 7};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        struct fs_transport *odd = open_odd(&pair);
        struct fs_buf buf = FS_BUF_INIT;
        size_t start = fs_frame_begin(&buf, 99, 0, 0);
        fs_buf_put(&buf, "whatever", 8);
        fs_frame_finish(&buf, start);
        buf.data[spoilt[i]] ^= 0x80;
        odd->ops->send(odd, &buf);
        for (unsigned k = 0; k < 10; k++) {
            inject(odd, 99, 0, 0, "whatever", 8);
        }
        check_ended(&pair, odd, i == 0 ? "above the bound" : "wrong checksum");
    }
}

static void test_unknown_optional_frame_is_skipped(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject(odd, 99, 0, 0, "whatever", 8);
    inject(odd, 99, 0, 12345, NULL, 0);
    run(&pair);
    assert_true(fs_session_is_up(pair.sides[0].session));
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_stream_number_used_twice_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject_offer(odd, 4);
    inject_offer(odd, 2);
    check_ended(&pair, odd, "OFFER on stream 2 after 4");
}

static void test_handlers_error_ends_session_and_loses_streams(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    target.fail = true;
    send_frame(pair.sides[0].session, FS_FRAME_COMMIT, source.stream, NULL, 3);
    run(&pair);
    assert_int_equal(pair.sides[0].downs, 1);
    assert_int_equal(source.lost, 1);
    assert_non_null(strstr(pair.sides[0].err.message, "not like that"));
    tick(&pair, FS_SEC);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(target.lost, 1);
    close_pair(&pair);
}

/* --- the end -------------------------------------------------------------------------------- */

static void test_end_tells_the_peer(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_session_end(pair.sides[0].session, "going home");
    assert_int_equal(pair.sides[0].downs, 0);
    assert_int_equal(source.lost, 0);
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(target.lost, 1);
    assert_non_null(strstr(pair.sides[1].err.message, "going home"));
    assert_int_equal(pair.sides[0].downs, 0);
    fs_session_free(pair.sides[1].session); /* hangs up */
    pair.sides[1].session = NULL;
    run(&pair);
    assert_int_equal(pair.sides[0].downs, 1);
    assert_int_equal(pair.sides[0].err.class, FS_ERR_CANCELLED);
    assert_int_equal(source.lost, 1);
    close_pair(&pair);
}

static void test_free_loses_streams_without_down(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_session_free(pair.sides[0].session);
    pair.sides[0].session = NULL;
    assert_int_equal(source.lost, 1);
    assert_int_equal(pair.sides[0].downs, 0);
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    assert_int_equal(target.lost, 1);
    close_pair(&pair);
}

static void test_after_the_end_nothing_is_sent(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    fs_session_end(pair.sides[0].session, "over");
    size_t pending = fs_session_transport(pair.sides[0].session)
                         ->ops->pending(fs_session_transport(pair.sides[0].session));
    send_frame(pair.sides[0].session, FS_FRAME_ABORT, 1, NULL, 2);
    assert_int_equal(pending, fs_session_transport(pair.sides[0].session)
                                  ->ops->pending(fs_session_transport(pair.sides[0].session)));
    assert_false(fs_session_take_credit(pair.sides[0].session, 1));
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, NULL), 0);
    close_pair(&pair);
}

static void test_failed_buffer_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    struct fs_buf buf = {.failed = true};
    fs_buf_put_u8(&buf, 1);
    buf = (struct fs_buf){.data = malloc(1), .length = 1, .capacity = 1, .failed = true};
    fs_session_send(pair.sides[0].session, &buf);
    assert_false(fs_session_is_up(pair.sides[0].session));
    run(&pair);
    assert_int_equal(pair.sides[1].downs, 1);
    close_pair(&pair);
}

/* --- heart-beat ----------------------------------------------------------------------------- */

static void test_heartbeat_measures_rtt_and_offset(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair);
    run(&pair);
    assert_int_equal(fs_session_rtt_ns(pair.sides[0].session), -1);
    tick(&pair, 0); /* both ping */
    fs_clock_scripted_advance(&pair.clock, 30 * FS_MSEC);
    fake_link_step(pair.link, 0);
    fs_clock_scripted_advance(&pair.clock, 10 * FS_MSEC);
    run(&pair);
    assert_int_equal(fs_session_rtt_ns(pair.sides[0].session), 40 * FS_MSEC);
    /* The clocks are one; what shows is how uneven the two ways were. */
    assert_int_equal(fs_session_clock_offset_ns(pair.sides[0].session), 10 * FS_MSEC);
    tick(&pair, HEARTBEAT);
    run(&pair); /* an rtt of 0 */
    assert_int_equal(fs_session_rtt_ns(pair.sides[0].session), 35 * FS_MSEC);
    close_pair(&pair);
}

static void test_heartbeat_silence_of_three_beats_is_down(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fake_link_stall(pair.link, 1, true); /* nothing from side 1 any more */
    unsigned beats = 0;
    while (pair.sides[0].downs == 0 && beats < 10) {
        int64_t left = fs_session_deadline(pair.sides[0].session) - pair.clock.boot_now_ns;
        assert_true(left > 0 && left <= HEARTBEAT);
        tick(&pair, left);
        fake_link_step(pair.link, 0);
        beats++;
    }
    assert_in_range(beats, 3, 4);
    assert_int_equal(pair.sides[0].err.code, ETIMEDOUT);
    assert_int_equal(source.lost, 1);
    assert_int_equal(pair.sides[1].downs, 0);
    close_pair(&pair);
}

/* A machine that slept wakes up to one late tick, not to a dead session. */
static void test_heartbeat_one_late_tick_is_not_down(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    tick(&pair, 3600 * FS_SEC);
    assert_true(fs_session_is_up(pair.sides[0].session));
    run(&pair);
    tick(&pair, HEARTBEAT);
    assert_true(fs_session_is_up(pair.sides[0].session));
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_both_come_up),
        cmocka_unit_test(test_hello_byte_by_byte_comes_up),
        cmocka_unit_test(test_hello_cut_at_any_byte_ends_with_closed),
        cmocka_unit_test(test_hello_refused_tells_both_why),
        cmocka_unit_test(test_hello_without_common_version_names_both),
        cmocka_unit_test(test_hello_of_newer_peer_with_overlap_comes_up),
        cmocka_unit_test(test_hello_of_own_site_is_refused),
        cmocka_unit_test(test_hello_missing_ends_in_time),
        cmocka_unit_test(test_frame_before_hello_ends_session),
        cmocka_unit_test(test_misplaced_frames_end_session),
        cmocka_unit_test(test_pong_without_ping_ends_session),
        cmocka_unit_test(test_garbage_ends_session),
        cmocka_unit_test(test_bad_frame_with_more_behind_it_ends_session),
        cmocka_unit_test(test_unknown_optional_frame_is_skipped),
        cmocka_unit_test(test_stream_number_used_twice_ends_session),
        cmocka_unit_test(test_handlers_error_ends_session_and_loses_streams),
        cmocka_unit_test(test_end_tells_the_peer),
        cmocka_unit_test(test_free_loses_streams_without_down),
        cmocka_unit_test(test_after_the_end_nothing_is_sent),
        cmocka_unit_test(test_failed_buffer_ends_session),
        cmocka_unit_test(test_heartbeat_measures_rtt_and_offset),
        cmocka_unit_test(test_heartbeat_silence_of_three_beats_is_down),
        cmocka_unit_test(test_heartbeat_one_late_tick_is_not_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
