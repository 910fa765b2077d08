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

/* --- streams -------------------------------------------------------------------------------- */

static void test_streams_have_the_parity_of_their_side(void **state)
{
    (void)state;
    struct pair pair;
    struct end end = {.side = &pair.sides[0]};
    open_up(&pair);
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, &end), 1);
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, &end), 3);
    end.side = &pair.sides[1];
    assert_int_equal(fs_session_open_stream(pair.sides[1].session, &end_events, &end), 2);
    for (uint32_t stream = 1; stream <= 3; stream += 2) {
        fs_session_detach(pair.sides[0].session, stream);
    }
    fs_session_detach(pair.sides[1].session, 2);
    close_pair(&pair);
}

static void test_late_frames_of_detached_streams_are_dropped(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_session_detach(pair.sides[1].session, target.stream);
    fs_session_detach(pair.sides[0].session, source.stream);
    send_frame(pair.sides[1].session, FS_FRAME_COMMITTED, source.stream, NULL, 16);
    run(&pair);
    assert_int_equal(source.frames, 0);
    /* More than the whole credit: what is dropped is given back. */
    for (unsigned i = 0; i < 30; i++) {
        assert_true(fs_session_take_credit(pair.sides[0].session, 1 << 20));
        send_frame(pair.sides[0].session, FS_FRAME_SEGMENT, source.stream, NULL, 1 << 20);
        run(&pair);
    }
    assert_int_equal(target.frames, 0);
    assert_true(fs_session_is_up(pair.sides[1].session));
    close_pair(&pair);
}

static void test_offers_beyond_the_bound_are_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    struct end targets = {0};
    pair.sides[0].attach = &targets;
    for (uint32_t i = 1; i <= FS_SESSION_STREAMS_MAX + 5; i++) {
        inject_offer(odd, i * 2);
    }
    run(&pair);
    assert_int_equal(pair.sides[0].offers, FS_SESSION_STREAMS_MAX);
    assert_true(fs_session_is_up(pair.sides[0].session));
    assert_int_equal(fs_session_open_stream(pair.sides[0].session, &end_events, NULL), 0);
    odd->ops->close(odd);
    run(&pair);
    assert_int_equal(targets.lost, FS_SESSION_STREAMS_MAX);
    close_pair(&pair);
}

static void refuse(struct fs_session *session, uint32_t stream)
{
    struct fs_refuse message = {.reason = FS_REFUSE_BUSY, .message = "no"};
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_REFUSE, FS_FRAME_CRITICAL, stream);
    fs_refuse_encode(&message, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
}

/* Offers that are refused without a handler do not use up the places. */
static void test_refused_offers_free_their_places(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    for (uint32_t i = 1; i <= 2 * FS_SESSION_STREAMS_MAX; i++) {
        inject_offer(odd, i * 2);
        run(&pair);
        assert_int_equal(pair.sides[0].offers, i);
        refuse(pair.sides[0].session, pair.sides[0].offered);
        assert_false(
            fs_session_attach(pair.sides[0].session, pair.sides[0].offered, &end_events, NULL));
    }
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_abort_before_attach_arrives_after_it(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    inject_offer(odd, 2);
    inject_text(odd, FS_FRAME_ABORT, 2, "changed my mind");
    run(&pair);
    assert_int_equal(pair.sides[0].offers, 1);
    struct end end = {.side = &pair.sides[0]};
    assert_true(fs_session_attach(pair.sides[0].session, 2, &end_events, &end));
    assert_int_equal(end.frames, 0);
    assert_true(fs_session_deadline(pair.sides[0].session) <= pair.clock.boot_now_ns);
    tick(&pair, 0);
    assert_int_equal(end.frames, 1);
    assert_int_equal(end.last_type, FS_FRAME_ABORT);
    odd->ops->close(odd);
    close_pair(&pair);
}

static void test_current_travels_both_ways(void **state)
{
    (void)state;
    struct pair pair;
    open_up(&pair);
    struct fs_current_entry entry = {{{1}}, {{2}}, 3};
    struct fs_current_list list = {1, &entry};
    struct fs_buf buf = FS_BUF_INIT;
    fs_current_list_encode(&list, &buf);
    send_frame(pair.sides[0].session, FS_FRAME_CURRENT, 0, buf.data, buf.length);
    run(&pair);
    assert_int_equal(pair.sides[1].currents, 1);
    send_frame(pair.sides[1].session, FS_FRAME_CURRENT_ACK, 0, buf.data, buf.length);
    run(&pair);
    assert_int_equal(pair.sides[0].acks, 1);
    fs_buf_fini(&buf);
    close_pair(&pair);
}

/* --- credit --------------------------------------------------------------------------------- */

static void test_credit_stops_and_continues_the_sender(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    source.segment_size = 1 << 20;
    source.to_send = 64 << 20;
    end_writable(&source);
    run(&pair);
    assert_int_equal(target.received, CREDIT); /* all the credit, and no more */
    while (target.received < source.to_send) {
        uint64_t before = target.received;
        fs_session_release_credit(pair.sides[1].session, target.segment_bytes);
        target.segment_bytes = 0;
        run(&pair);
        assert_true(target.received > before);
        assert_true(target.segment_bytes <= CREDIT);
    }
    assert_true(fs_session_is_up(pair.sides[0].session));
    assert_true(fs_session_bytes_sent(pair.sides[0].session) > (64u << 20));
    assert_int_equal(fs_session_bytes_received(pair.sides[1].session),
                     fs_session_bytes_sent(pair.sides[0].session));
    close_pair(&pair);
}

static void test_credit_exceeded_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct end source, target;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    for (unsigned i = 0; i <= CREDIT >> 20; i++) { /* without asking */
        send_frame(pair.sides[0].session, FS_FRAME_SEGMENT, source.stream, NULL, 1 << 20);
        run(&pair);
    }
    assert_int_equal(pair.sides[0].downs, 1);
    assert_non_null(strstr(pair.sides[0].err.message, "0 of credit left"));
    assert_int_equal(target.received, CREDIT);
    close_pair(&pair);
}

static void test_credit_given_for_nothing_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    const uint8_t one[8] = {1};
    inject(odd, FS_FRAME_CREDIT, FS_FRAME_CRITICAL, 0, one, sizeof(one));
    check_ended(&pair, odd, "CREDIT for more than was sent");
}

/* The limit is what the options say, or what was set, within bounds. */
static void test_full_transport_stops_senders_until_drained(void **state)
{
    static const struct {
        bool set;
        uint64_t bytes, limit;
    } queues[] = {{false, 0, SEND_LIMIT},
                  {true, 0, FS_TRANSPORT_LOW},
                  {true, FS_TRANSPORT_LOW + (512 << 10), FS_TRANSPORT_LOW + (512 << 10)},
                  {true, UINT64_MAX, SEND_LIMIT}};
    (void)state;
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        uint64_t limit = queues[i].limit;
        struct pair pair;
        struct end source, target;
        open_up(&pair);
        open_stream(&pair, &source, &target);
        if (queues[i].set) {
            fs_session_set_queue(pair.sides[0].session, queues[i].bytes);
        }
        fake_link_stall(pair.link, 0, true);
        source.segment_size = 256 << 10;
        source.to_send = 4 << 20; /* within the credit */
        end_writable(&source);
        run(&pair);
        assert_in_range(source.sent, limit, limit + source.segment_size);
        assert_int_equal(target.received, 0);
        fake_link_stall(pair.link, 0, false);
        run(&pair);
        assert_int_equal(target.received, source.to_send);
        close_pair(&pair);
    }
}

/* Each sender would take everything at its turn; over time they get alike. */
static void test_starved_senders_take_turns(void **state)
{
    (void)state;
    enum { SENDERS = 5 };
    struct pair pair;
    struct end sources[SENDERS], targets[SENDERS];
    open_up(&pair);
    for (unsigned i = 0; i < SENDERS; i++) {
        open_stream(&pair, &sources[i], &targets[i]);
        sources[i].segment_size = 1 << 20;
        sources[i].to_send = UINT64_MAX;
    }
    end_writable(&sources[0]);
    for (unsigned round = 0; round < 100; round++) {
        /* One that asks on its own, without being called, does not jump the queue. */
        end_writable(&sources[0]);
        run(&pair);
        for (unsigned i = 0; i < SENDERS; i++) {
            fs_session_release_credit(pair.sides[1].session, targets[i].segment_bytes);
            targets[i].segment_bytes = 0;
        }
        run(&pair);
    }
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        least = targets[i].received < least ? targets[i].received : least;
        most = targets[i].received > most ? targets[i].received : most;
    }
    assert_true(least > 0);
    /* The first one sent alone until the others came. */
    assert_true(most - least <= CREDIT + 2 * FS_SEGMENT_MAX);
    close_pair(&pair);
}

/* --- the pacer ------------------------------------------------------------------------------ */

/* The clock goes on to each deadline, as the daemon's loop does; what arrives is freed at once. */
static void pass(struct pair *pair, int64_t ns, struct end *targets, unsigned n_targets)
{
    int64_t end = pair->clock.boot_now_ns + ns;
    while (pair->clock.boot_now_ns < end) {
        int64_t next = fs_session_deadline(pair->sides[0].session);
        int64_t other = fs_session_deadline(pair->sides[1].session);
        next = other < next ? other : next;
        next = next < end ? next : end;
        tick(pair, next > pair->clock.boot_now_ns ? next - pair->clock.boot_now_ns : 0);
        run(pair);
        for (unsigned i = 0; i < n_targets; i++) {
            fs_session_release_credit(pair->sides[1].session, targets[i].segment_bytes);
            targets[i].segment_bytes = 0;
        }
        run(pair);
    }
}

static void test_pacer_is_kept_and_shared_evenly_in_bytes(void **state)
{
    enum { SENDERS = 3 };
    const uint64_t rate = 12500000; /* 100 Mbit/s */
    struct pair pair;
    struct end sources[SENDERS], targets[SENDERS];
    struct fs_pacer pacer = {0};
    (void)state;
    open_up(&pair);
    fs_pacer_set(&pacer, rate, pair.clock.boot_now_ns);
    fs_session_set_pacer(pair.sides[0].session, &pacer);
    for (unsigned i = 0; i < SENDERS; i++) {
        open_stream(&pair, &sources[i], &targets[i]);
        sources[i].to_send = UINT64_MAX;
    }
    /* As different as segments are that compress well, or not at all. */
    sources[0].segment_size = fs_session_segment_max(pair.sides[0].session);
    sources[1].segment_size = 40 << 10;
    sources[2].segment_size = 200;
    assert_true(sources[0].segment_size <= rate / 20);
    uint64_t before = fs_session_bytes_sent(pair.sides[0].session);
    for (unsigned i = 0; i < SENDERS; i++) {
        end_writable(&sources[i]);
    }
    pass(&pair, 10 * FS_SEC, targets, SENDERS);
    uint64_t sent = fs_session_bytes_sent(pair.sides[0].session) - before;
    assert_in_range(sent, rate * 10 * 95 / 100, rate * 10 * 105 / 100);
    for (unsigned i = 0; i < SENDERS; i++) {
        /* A short segment's frame is more than its payload, which is what turns count. */
        assert_in_range(targets[i].received, rate * 10 / SENDERS * 85 / 100,
                        rate * 10 / SENDERS * 110 / 100);
    }
    assert_true(fs_session_is_up(pair.sides[0].session));
    close_pair(&pair);
}

static void test_pacer_does_not_hold_up_control(void **state)
{
    struct pair pair;
    struct end source, target;
    struct fs_pacer pacer = {0};
    (void)state;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_pacer_set(&pacer, FS_PACER_RATE_MIN, pair.clock.boot_now_ns);
    fs_session_set_pacer(pair.sides[0].session, &pacer);
    source.segment_size = 1 << 20; /* planned before the limit was set: 8 s of it */
    source.to_send = 2 << 20;
    end_writable(&source);
    run(&pair);
    assert_int_equal(target.received, 1 << 20);
    unsigned frames = target.frames;
    send_frame(pair.sides[0].session, FS_FRAME_ABORT, source.stream, "\0\0", 2);
    run(&pair);
    assert_int_equal(target.frames, frames + 1);
    /* Heart-beats come through, the second segment not before its time. */
    pass(&pair, 8 * FS_SEC, &target, 1);
    assert_int_equal(target.received, 1 << 20);
    assert_true(fs_session_rtt_ns(pair.sides[0].session) == 0);
    pass(&pair, FS_SEC, &target, 1);
    assert_int_equal(target.received, 2 << 20);
    close_pair(&pair);
}

/* Segments become ready at any moment: also when the pacer is open, and its waiters not yet woken.
 */
static void test_pacer_wakes_who_asks_too_early(void **state)
{
    struct pair pair;
    struct end source, target;
    struct fs_pacer pacer = {0};
    (void)state;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_pacer_set(&pacer, 1000000, pair.clock.boot_now_ns);
    fs_session_set_pacer(pair.sides[0].session, &pacer);
    source.segment_size = 48 << 10;
    source.to_send = 5 << 20;
    end_writable(&source);
    for (unsigned i = 0; i < 5000; i++) {
        pass(&pair, FS_MSEC, &target, 1);
        end_writable(&source);
    }
    assert_in_range(target.received, 4750000, 5250000);
    close_pair(&pair);
}

static void test_pacer_set_anew_counts_at_once(void **state)
{
    struct pair pair;
    struct end source, target;
    struct fs_pacer pacer = {0};
    (void)state;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    fs_pacer_set(&pacer, 1000000, pair.clock.boot_now_ns);
    fs_session_set_pacer(pair.sides[0].session, &pacer);
    source.segment_size = 64 << 10;
    source.to_send = 40 << 20;
    end_writable(&source);
    pass(&pair, 10 * FS_SEC, &target, 1);
    assert_in_range(target.received, 9500000, 10500000);
    fs_pacer_set(&pacer, 2000000, pair.clock.boot_now_ns);
    pass(&pair, 10 * FS_SEC, &target, 1);
    assert_in_range(target.received, 28500000, 31500000);
    fs_pacer_set(&pacer, 0, pair.clock.boot_now_ns);
    assert_true(fs_session_deadline(pair.sides[0].session) <= pair.clock.boot_now_ns);
    pass(&pair, FS_MSEC, &target, 1);
    assert_int_equal(target.received, source.to_send);
    close_pair(&pair);
}

static void test_link_says_who_waits_for_whom(void **state)
{
    struct pair pair;
    struct end source, target;
    struct fs_pacer pacer = {0};
    (void)state;
    open_up(&pair);
    open_stream(&pair, &source, &target);
    const struct fs_session *session = pair.sides[0].session;
    assert_int_equal(fs_session_link(session), FS_LINK_IDLE);
    fake_link_stall(pair.link, 0, true);
    source.segment_size = FS_SEGMENT_MAX / 2;
    source.to_send = 4 * source.segment_size;
    end_writable(&source);
    assert_int_equal(fs_session_link(session), FS_LINK_FULL);
    fake_link_stall(pair.link, 0, false);
    run(&pair);
    assert_int_equal(fs_session_link(session), FS_LINK_IDLE);
    /* All credit is used up: it is the target that is slow. */
    source.to_send = CREDIT;
    end_writable(&source);
    run(&pair);
    assert_int_equal(target.received, CREDIT);
    assert_int_equal(fs_session_link(session), FS_LINK_HELD);
    fs_session_release_credit(pair.sides[1].session, target.segment_bytes);
    target.segment_bytes = 0;
    run(&pair);
    assert_int_equal(fs_session_link(session), FS_LINK_IDLE);
    fs_pacer_set(&pacer, FS_PACER_RATE_MIN, pair.clock.boot_now_ns);
    fs_session_set_pacer(pair.sides[0].session, &pacer);
    fs_pacer_charge(&pacer, 100000, pair.clock.boot_now_ns);
    assert_int_equal(fs_session_link(session), FS_LINK_FULL);
    close_pair(&pair);
}

/* --- hostility ------------------------------------------------------------------------------ */

/* A peer that asks and never reads: our answers to it are bounded. */
static void test_peer_that_does_not_read_ends_session(void **state)
{
    (void)state;
    struct pair pair;
    struct fs_transport *odd = open_odd(&pair);
    fake_link_stall(pair.link, 0, true);
    const uint8_t ping[24] = {1};
    for (unsigned i = 0; i < 2000 && fs_session_is_up(pair.sides[0].session); i++) {
        for (unsigned j = 0; j < 1000; j++) {
            inject(odd, FS_FRAME_PING, FS_FRAME_CRITICAL, 0, ping, sizeof(ping));
        }
        fake_link_step(pair.link, 0);
    }
    assert_false(fs_session_is_up(pair.sides[0].session));
    assert_true(fs_session_transport(pair.sides[0].session)
                    ->ops->pending(fs_session_transport(pair.sides[0].session)) < (32u << 20));
    tick(&pair, FS_SEC);
    assert_int_equal(pair.sides[0].downs, 1);
    odd->ops->close(odd);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_have_the_parity_of_their_side),
        cmocka_unit_test(test_late_frames_of_detached_streams_are_dropped),
        cmocka_unit_test(test_offers_beyond_the_bound_are_refused),
        cmocka_unit_test(test_refused_offers_free_their_places),
        cmocka_unit_test(test_abort_before_attach_arrives_after_it),
        cmocka_unit_test(test_current_travels_both_ways),
        cmocka_unit_test(test_credit_stops_and_continues_the_sender),
        cmocka_unit_test(test_credit_exceeded_ends_session),
        cmocka_unit_test(test_credit_given_for_nothing_ends_session),
        cmocka_unit_test(test_full_transport_stops_senders_until_drained),
        cmocka_unit_test(test_starved_senders_take_turns),
        cmocka_unit_test(test_pacer_is_kept_and_shared_evenly_in_bytes),
        cmocka_unit_test(test_pacer_does_not_hold_up_control),
        cmocka_unit_test(test_pacer_wakes_who_asks_too_early),
        cmocka_unit_test(test_pacer_set_anew_counts_at_once),
        cmocka_unit_test(test_link_says_who_waits_for_whom),
        cmocka_unit_test(test_peer_that_does_not_read_ends_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
