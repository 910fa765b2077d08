/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes over fake links: what goes in at one end comes out at the other, whatever the lanes do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/bundle.h"
#include "tests/scenario/fake_transport.h"

#define WINDOW FS_LANES_WINDOW_MIN
#define STALL  (7 * FS_SEC)
#define WAIT   (10 * FS_SEC)
#define MIB    (UINT64_C(1) << 20)

struct end {
    struct fs_transport *transport;
    uint64_t sent, received;
    unsigned lost, drained;
    struct fs_error closed;
    uint8_t room[100000];
};

struct rig {
    struct fs_clock_scripted clock;
    struct fake_link *links[FS_LANES_MAX];
    unsigned n_links;
    struct end ends[2]; /* 0 dialed */
    unsigned random;
};

static uint8_t byte_at(uint64_t position)
{
    return (uint8_t)(position * 7 + (position >> 8) * 13 + (position >> 16) * 31);
}

static uint8_t *on_room(void *arg, size_t *ret_length)
{
    struct end *end = arg;
    *ret_length = sizeof(end->room);
    return end->room;
}

static void on_received(void *arg, size_t length)
{
    struct end *end = arg;
    assert_in_range(length, 1, sizeof(end->room));
    bool same = true;
    for (size_t i = 0; i < length; i++) {
        same = same && end->room[i] == byte_at(end->received + i);
    }
    assert_true(same);
    end->received += length;
}

static void on_drained(void *arg)
{
    struct end *end = arg;
    end->drained++;
    assert_true(end->transport->ops->pending(end->transport) < FS_TRANSPORT_LOW);
}

static void on_closed(void *arg, const struct fs_error *err)
{
    struct end *end = arg;
    assert_false(fs_error_is_set(&end->closed));
    assert_true(fs_error_is_set(err));
    end->closed = *err;
}

static void on_lost(void *arg, bool worked, const struct fs_error *err)
{
    (void)worked;
    assert_true(fs_error_is_set(err));
    ((struct end *)arg)->lost++;
}

static const struct fs_transport_events events = {on_room, on_received, on_drained, on_closed};

static struct fs_transport *bundle(struct rig *rig, struct end *end, struct fs_transport *first)
{
    const struct bundle_options options = {&rig->clock.clock, WINDOW, STALL, WAIT, on_lost, end};
    first->events = &events;
    first->events_arg = end;
    end->transport = bundle_new(&options, first);
    assert_non_null(end->transport);
    return end->transport;
}

/* The test is end 1 of the link. */
static struct fs_transport *open_half(struct rig *rig)
{
    struct fs_transport *first[2];
    memset(rig, 0, sizeof(*rig));
    rig->random = 1;
    fs_clock_scripted_init(&rig->clock, 1000 * FS_SEC);
    rig->links[rig->n_links++] = fake_link_new(first);
    bundle_open(bundle(rig, &rig->ends[0], first[0]), WINDOW);
    return first[1];
}

static void add_lane(struct rig *rig)
{
    struct fs_transport *more[2];
    rig->links[rig->n_links++] = fake_link_new(more);
    assert_true(bundle_add(rig->ends[1].transport, more[1], false));
    assert_true(bundle_add(rig->ends[0].transport, more[0], true));
}

static unsigned next_random(struct rig *rig)
{
    rig->random = rig->random * 1103515245 + 12345;
    return rig->random >> 8;
}

/* Each link a random part at a time, so that lanes overtake each other. */
static void run(struct rig *rig)
{
    bool happened = true;
    while (happened) {
        happened = false;
        for (unsigned i = 0; i < rig->n_links; i++) {
            happened = fake_link_step(rig->links[i], 1 + next_random(rig) % 200000) || happened;
        }
    }
}

static void open_lanes(struct rig *rig, unsigned lanes)
{
    struct fs_transport *other = open_half(rig);
    bundle_open(bundle(rig, &rig->ends[1], other), WINDOW);
    while (rig->n_links < lanes) {
        add_lane(rig);
    }
    run(rig);
}

static void close_all(struct rig *rig)
{
    for (unsigned i = 0; i < 2; i++) {
        if (rig->ends[i].transport != NULL) {
            rig->ends[i].transport->ops->close(rig->ends[i].transport);
        }
    }
    for (unsigned i = 0; i < rig->n_links; i++) {
        fake_link_free(rig->links[i]);
    }
}

static void send_bytes(struct end *end, size_t length)
{
    struct fs_buf buf = FS_BUF_INIT;
    assert_true(fs_buf_reserve(&buf, length));
    for (size_t i = 0; i < length; i++) {
        buf.data[i] = byte_at(end->sent + i);
    }
    buf.length = length;
    end->sent += length;
    end->transport->ops->send(end->transport, &buf);
    assert_null(buf.data);
}

static void send_much(struct rig *rig, struct end *end, uint64_t bytes)
{
    uint64_t to = end->sent + bytes;
    while (end->sent < to) {
        uint64_t length =
            next_random(rig) % 3 == 0 ? next_random(rig) % 200 + 1 : next_random(rig) % 700000 + 1;
        send_bytes(end, (size_t)(length < to - end->sent ? length : to - end->sent));
    }
}

static void check_all_there(struct rig *rig)
{
    for (unsigned i = 0; i < 2; i++) {
        if (fs_error_is_set(&rig->ends[i].closed)) {
            fail_msg("closed: %s", rig->ends[i].closed.message);
        }
        assert_int_equal(rig->ends[1 - i].received, rig->ends[i].sent);
        assert_int_equal(rig->ends[i].transport->ops->pending(rig->ends[i].transport), 0);
    }
}

static void test_bundle_of_any_lanes_keeps_the_order(void **state)
{
    (void)state;
    for (unsigned lanes = 1; lanes <= FS_LANES_MAX; lanes += 5) {
        struct rig rig;
        open_lanes(&rig, lanes);
        for (unsigned round = 0; round < 4; round++) {
            send_much(&rig, &rig.ends[0], 3 * MIB);
            send_much(&rig, &rig.ends[1], MIB / 2);
            run(&rig);
            check_all_there(&rig);
        }
        for (unsigned i = 0; i < lanes; i++) {
            assert_true(fake_link_delivered(rig.links[i], 0) > 12 * MIB / lanes / 3);
        }
        close_all(&rig);
    }
}

static void test_bundle_sends_nothing_twice_while_all_is_well(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 4);
    send_much(&rig, &rig.ends[0], 16 * MIB);
    run(&rig);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < 4; i++) {
        bytes += fake_link_delivered(rig.links[i], 0);
    }
    assert_in_range(bytes, 16 * MIB, 16 * MIB + 16 * MIB / 1000);
    check_all_there(&rig);
    close_all(&rig);
}

static void test_bundle_tells_when_it_is_drained(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 2);
    unsigned before = rig.ends[0].drained;
    send_much(&rig, &rig.ends[0], MIB);
    run(&rig);
    assert_int_equal(rig.ends[0].drained, before);
    send_much(&rig, &rig.ends[0], 4 * MIB);
    assert_true(rig.ends[0].transport->ops->pending(rig.ends[0].transport) >= FS_TRANSPORT_LOW);
    run(&rig);
    assert_int_equal(rig.ends[0].drained, before + 1);
    close_all(&rig);
}

/* Inside headers, inside blocks, at their ends; data and acknowledgements. */
static void test_lane_that_dies_anywhere_loses_nothing(void **state)
{
    (void)state;
    for (unsigned victim = 0; victim < 3; victim++) {
        for (uint64_t at = 0; at < 350000; at += at < 60 ? 3 : 70011) {
            struct rig rig;
            open_lanes(&rig, 3);
            rig.random = (unsigned)at + 77;
            uint64_t now = fake_link_delivered(rig.links[victim], 0);
            fake_link_cut_after(rig.links[victim], 0, now + at);
            send_much(&rig, &rig.ends[0], 3 * MIB / 2);
            send_much(&rig, &rig.ends[1], MIB / 2);
            run(&rig);
            assert_int_equal(bundle_lanes(rig.ends[0].transport), 2);
            assert_int_equal(bundle_lanes(rig.ends[1].transport), 2);
            assert_int_equal(rig.ends[0].lost, 1);
            assert_int_equal(rig.ends[1].lost, 1);
            send_much(&rig, &rig.ends[0], MIB / 4);
            run(&rig);
            check_all_there(&rig);
            close_all(&rig);
        }
    }
}

static void test_bundle_ends_with_its_last_lane(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 3);
    for (unsigned i = 0; i < 2; i++) {
        send_much(&rig, &rig.ends[0], 2 * MIB);
        fake_link_cut_after(rig.links[i], 0, fake_link_delivered(rig.links[i], 0) + 200000);
        run(&rig);
        check_all_there(&rig);
        assert_int_equal(rig.ends[1].lost, i + 1);
    }
    fake_link_cut_after(rig.links[2], 0, 0);
    send_much(&rig, &rig.ends[0], MIB);
    run(&rig);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fs_error_is_set(&rig.ends[i].closed));
        assert_int_equal(bundle_lanes(rig.ends[i].transport), 0);
        send_bytes(&rig.ends[i], 100); /* no harm */
        rig.ends[i].transport->ops->pending(rig.ends[i].transport);
    }
    close_all(&rig);
}

static void test_lane_is_replaced(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 2);
    for (unsigned i = 0; i < 8; i++) {
        send_much(&rig, &rig.ends[0], MIB);
        fake_link_cut_after(rig.links[i], 0, fake_link_delivered(rig.links[i], 0) + 50000 * i);
        run(&rig);
        add_lane(&rig);
        run(&rig);
        check_all_there(&rig);
        assert_int_equal(bundle_lanes(rig.ends[0].transport), 2);
    }
    close_all(&rig);
}

static void test_lane_is_not_used_until_the_peer_has_let_it_in(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 1);
    struct fs_transport *more[2];
    rig.links[rig.n_links++] = fake_link_new(more);
    assert_true(bundle_add(rig.ends[0].transport, more[0], true));
    send_much(&rig, &rig.ends[0], 3 * MIB);
    run(&rig);
    check_all_there(&rig);
    assert_int_equal(fake_link_delivered(rig.links[1], 0), 0);
    more[1]->ops->close(more[1]); /* it does not */
    run(&rig);
    assert_int_equal(rig.ends[0].lost, 1);
    send_much(&rig, &rig.ends[0], 3 * MIB);
    run(&rig);
    check_all_there(&rig);
    close_all(&rig);
}

static void test_bundle_takes_no_more_lanes_than_the_most(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *more[2];
    open_lanes(&rig, FS_LANES_MAX);
    struct fake_link *link = fake_link_new(more);
    assert_false(bundle_add(rig.ends[0].transport, more[0], true));
    assert_false(bundle_add(rig.ends[1].transport, more[1], false));
    fake_link_free(link);
    close_all(&rig);
}

static void test_lanes_get_no_further_ahead_than_the_window(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 3);
    fake_link_stall(rig.links[1], 0, true);
    send_much(&rig, &rig.ends[0], 5 * WINDOW);
    run(&rig);
    assert_true(rig.ends[1].received < WINDOW);
    assert_in_range(fake_link_delivered(rig.links[0], 0) + fake_link_delivered(rig.links[2], 0),
                    WINDOW / 2, rig.ends[1].received + WINDOW + 10000);
    assert_true(rig.ends[0].transport->ops->pending(rig.ends[0].transport) >= 3 * WINDOW);
    fake_link_stall(rig.links[1], 0, false);
    run(&rig);
    check_all_there(&rig);
    close_all(&rig);
}

static void test_lane_that_stands_still_is_given_up(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 3);
    fake_link_stall(rig.links[1], 0, true);
    fake_link_stall(rig.links[1], 1, true);
    send_much(&rig, &rig.ends[0], 2 * MIB);
    fs_clock_scripted_advance(&rig.clock, 1);
    run(&rig);
    fs_clock_scripted_advance(&rig.clock, STALL - 1);
    send_bytes(&rig.ends[0], 10);
    run(&rig);
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 3);
    assert_true(rig.ends[1].received < rig.ends[0].sent);
    assert_true(bundle_heard(rig.ends[1].transport)); /* if out of order */
    fs_clock_scripted_advance(&rig.clock, STALL / 3);
    send_bytes(&rig.ends[0], 10);
    run(&rig);
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 2);
    assert_int_equal(rig.ends[0].lost, 1);
    check_all_there(&rig);
    /* Nothing is under way: nothing stands still. */
    fs_clock_scripted_advance(&rig.clock, 100 * STALL);
    send_much(&rig, &rig.ends[0], MIB);
    run(&rig);
    fs_clock_scripted_advance(&rig.clock, STALL);
    run(&rig);
    check_all_there(&rig);
    close_all(&rig);
}

static void test_outage_of_all_lanes_costs_none(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 3);
    for (unsigned i = 0; i < 6; i++) {
        fake_link_stall(rig.links[i / 2], i % 2, true);
    }
    send_much(&rig, &rig.ends[0], 2 * WINDOW);
    for (unsigned i = 0; i < 4; i++) {
        fs_clock_scripted_advance(&rig.clock, STALL / 2);
        send_bytes(&rig.ends[0], 10);
        send_bytes(&rig.ends[1], 10);
        run(&rig);
    }
    (void)bundle_heard(rig.ends[0].transport);
    assert_false(bundle_heard(rig.ends[0].transport));
    /* They come back one after the other. */
    for (unsigned i = 0; i < 6; i++) {
        fake_link_stall(rig.links[i / 2], i % 2, false);
        fs_clock_scripted_advance(&rig.clock, STALL / 20);
        run(&rig);
    }
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 3);
    assert_int_equal(bundle_lanes(rig.ends[1].transport), 3);
    assert_int_equal(rig.ends[0].lost + rig.ends[1].lost, 0);
    check_all_there(&rig);
    close_all(&rig);
}

static void test_all_lanes_that_are_silent_are_given_up_at_once(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 4);
    for (unsigned i = 0; i < 4; i++) {
        fake_link_stall(rig.links[i / 2], i % 2, true);
    }
    send_much(&rig, &rig.ends[0], 2 * MIB);
    fs_clock_scripted_advance(&rig.clock, 1);
    run(&rig);
    fs_clock_scripted_advance(&rig.clock, STALL);
    send_bytes(&rig.ends[0], 10);
    run(&rig);
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 2);
    check_all_there(&rig);
    close_all(&rig);
}

/* What it brings says nothing of what it takes. */
static void test_lane_that_is_slow_is_given_up_when_the_others_wait_for_it(void **state)
{
    (void)state;
    struct rig rig;
    open_lanes(&rig, 3);
    fake_link_stall(rig.links[1], 0, true);
    send_much(&rig, &rig.ends[0], 3 * WINDOW);
    run(&rig);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(bundle_lanes(rig.ends[0].transport), 3);
        fs_clock_scripted_advance(&rig.clock, STALL / 4 + 1);
        send_bytes(&rig.ends[1], 10);
        send_bytes(&rig.ends[1], 10);
        send_bytes(&rig.ends[1], 10);
        run(&rig);
    }
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 2);
    assert_int_equal(rig.ends[0].lost, 1);
    fake_link_stall(rig.links[1], 0, false); /* the end of it arrives, too */
    run(&rig);
    check_all_there(&rig);
    close_all(&rig);
}

static void test_lane_that_is_not_let_in_is_given_up(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *more[2];
    open_lanes(&rig, 1);
    rig.links[rig.n_links++] = fake_link_new(more);
    assert_true(bundle_add(rig.ends[0].transport, more[0], true));
    fs_clock_scripted_advance(&rig.clock, WAIT - 1);
    send_bytes(&rig.ends[0], 10);
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 2);
    fs_clock_scripted_advance(&rig.clock, 1);
    send_bytes(&rig.ends[0], 10);
    send_bytes(&rig.ends[1], 10);
    run(&rig);
    assert_int_equal(bundle_lanes(rig.ends[0].transport), 1);
    assert_int_equal(rig.ends[0].lost, 1);
    check_all_there(&rig);
    more[1]->ops->close(more[1]);
    close_all(&rig);
}

static void test_lane_that_waits_does_not_keep_the_bundle(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *more[2];
    open_lanes(&rig, 1);
    rig.links[rig.n_links++] = fake_link_new(more);
    assert_true(bundle_add(rig.ends[0].transport, more[0], true));
    fake_link_cut_after(rig.links[0], 0, 0);
    run(&rig);
    assert_true(fs_error_is_set(&rig.ends[0].closed));
    more[1]->ops->close(more[1]);
    close_all(&rig);
}

/* --- a peer that lies ----------------------------------------------------------------------- */

static void inject(struct fs_transport *from, uint32_t length, uint64_t offset, uint64_t acked,
                   uint32_t bytes)
{
    struct fs_buf buf = FS_BUF_INIT;
    fs_buf_put_u32(&buf, length);
    fs_buf_put_u64(&buf, offset);
    fs_buf_put_u64(&buf, acked);
    for (uint32_t i = 0; i < bytes; i++) {
        fs_buf_put_u8(&buf, byte_at(offset + i));
    }
    from->ops->send(from, &buf);
}

static void check_refused(struct rig *rig, struct fs_transport *odd, const char *words)
{
    run(rig);
    assert_int_equal(rig->ends[0].closed.class, FS_ERR_PEER);
    if (strstr(rig->ends[0].closed.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", rig->ends[0].closed.message, words);
    }
    odd->ops->close(odd);
    run(rig);
    close_all(rig);
}

static void test_hostile_blocks_end_the_bundle(void **state)
{
    (void)state;
    static const struct {
        uint32_t length;
        uint64_t offset, acked;
        const char *words;
    } bad[] = {
        {0, 0, 1, "acknowledges more"},
        {0, 0, UINT64_MAX, "acknowledges more"},
        {BUNDLE_BLOCK_MAX + 1, 0, 0, "a block of"},
        {UINT32_MAX, 0, 0, "a block of"},
        {1, UINT64_MAX, 0, "a block of"},
        {2, UINT64_MAX - 2, 0, "a block of"},
        {1, WINDOW, 0, "a block of"},
        {BUNDLE_BLOCK_MAX, WINDOW - BUNDLE_BLOCK_MAX + 1, 0, "a block of"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rig rig;
        struct fs_transport *odd = open_half(&rig);
        inject(odd, bad[i].length, bad[i].offset, bad[i].acked, 0);
        check_refused(&rig, odd, bad[i].words);
    }
}

static void test_blocks_that_overlap_end_the_bundle(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        uint32_t length;
    } bad[] = {{100, 101}, {99, 2}, {199, 2}, {150, 10}, {50, 500}, {100, 99}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rig rig;
        struct fs_transport *odd = open_half(&rig);
        inject(odd, 100, 100, 0, 100);
        inject(odd, bad[i].length, bad[i].offset, 0, bad[i].length);
        check_refused(&rig, odd, "overlap");
    }
}

static void test_too_many_blocks_ahead_end_the_bundle(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *odd = open_half(&rig);
    for (unsigned i = 0; i < BUNDLE_BLOCKS_MAX; i++) {
        inject(odd, 1, 2 + 2 * i, 0, 1);
    }
    run(&rig);
    assert_false(fs_error_is_set(&rig.ends[0].closed));
    inject(odd, 1, 4 * BUNDLE_BLOCKS_MAX, 0, 1);
    check_refused(&rig, odd, "are ahead");
}

static void test_blocks_that_were_there_are_dropped(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *odd = open_half(&rig);
    inject(odd, 100, 100, 0, 100);
    inject(odd, 100, 100, 0, 100); /* the same again, early */
    inject(odd, 50, 0, 0, 50);
    inject(odd, 100, 0, 0, 100);   /* half of it is there */
    inject(odd, 100, 0, 0, 100);   /* all of it */
    inject(odd, 300, 100, 0, 300); /* two thirds are new */
    run(&rig);
    assert_int_equal(rig.ends[0].received, 400);
    assert_false(fs_error_is_set(&rig.ends[0].closed));
    odd->ops->close(odd);
    run(&rig);
    close_all(&rig);
}

static void test_acknowledgements_do_not_pile_up(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *odd = open_half(&rig);
    fake_link_stall(rig.links[0], 0, true);
    for (unsigned i = 0; i < 140; i++) {
        for (unsigned j = 0; j < 100; j++) {
            inject(odd, 1, 0, 0, 1);
        }
        run(&rig);
    }
    fake_link_stall(rig.links[0], 0, false);
    (void)fake_link_step(rig.links[0], 0);
    assert_in_range(fake_link_delivered(rig.links[0], 0), 2 * BUNDLE_BLOCK_MAX,
                    2 * BUNDLE_BLOCK_MAX + BUNDLE_BLOCK_HEADER);
    assert_false(fs_error_is_set(&rig.ends[0].closed));
    odd->ops->close(odd);
    run(&rig);
    close_all(&rig);
}

static void test_block_that_was_there_is_acknowledged_again(void **state)
{
    (void)state;
    struct rig rig;
    struct fs_transport *odd = open_half(&rig);
    for (unsigned i = 0; i < 3; i++) {
        inject(odd, 100, 0, 0, 100);
        run(&rig);
        assert_int_equal(fake_link_delivered(rig.links[0], 0), i * BUNDLE_BLOCK_HEADER);
    }
    odd->ops->close(odd);
    run(&rig);
    close_all(&rig);
}

/* On two lanes at once; whatever comes out is in order, and it ends or goes on. */
static void test_random_blocks_never_do_harm(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 300; seed++) {
        struct rig rig;
        struct fs_transport *odd[2] = {open_half(&rig)}, *more[2];
        rig.links[rig.n_links++] = fake_link_new(more);
        odd[1] = more[1];
        rig.random = seed;
        assert_true(bundle_add(rig.ends[0].transport, more[0], true));
        send_bytes(&rig.ends[0], 1000);
        for (unsigned i = 0; i < 200; i++) {
            uint32_t length = next_random(&rig) % 3000;
            uint64_t offset = next_random(&rig) % 20000;
            inject(odd[next_random(&rig) % 2], length, offset, next_random(&rig) % 1001, length);
            fake_link_step(rig.links[next_random(&rig) % 2], next_random(&rig) % 4000 + 1);
        }
        run(&rig);
        for (unsigned i = 0; i < 2; i++) {
            odd[i]->ops->close(odd[i]);
        }
        run(&rig);
        assert_true(fs_error_is_set(&rig.ends[0].closed));
        close_all(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundle_of_any_lanes_keeps_the_order),
        cmocka_unit_test(test_bundle_sends_nothing_twice_while_all_is_well),
        cmocka_unit_test(test_bundle_tells_when_it_is_drained),
        cmocka_unit_test(test_lane_that_dies_anywhere_loses_nothing),
        cmocka_unit_test(test_bundle_ends_with_its_last_lane),
        cmocka_unit_test(test_lane_is_replaced),
        cmocka_unit_test(test_lane_is_not_used_until_the_peer_has_let_it_in),
        cmocka_unit_test(test_bundle_takes_no_more_lanes_than_the_most),
        cmocka_unit_test(test_lanes_get_no_further_ahead_than_the_window),
        cmocka_unit_test(test_lane_that_stands_still_is_given_up),
        cmocka_unit_test(test_outage_of_all_lanes_costs_none),
        cmocka_unit_test(test_all_lanes_that_are_silent_are_given_up_at_once),
        cmocka_unit_test(test_lane_that_is_slow_is_given_up_when_the_others_wait_for_it),
        cmocka_unit_test(test_lane_that_is_not_let_in_is_given_up),
        cmocka_unit_test(test_lane_that_waits_does_not_keep_the_bundle),
        cmocka_unit_test(test_hostile_blocks_end_the_bundle),
        cmocka_unit_test(test_blocks_that_overlap_end_the_bundle),
        cmocka_unit_test(test_too_many_blocks_ahead_end_the_bundle),
        cmocka_unit_test(test_blocks_that_were_there_are_dropped),
        cmocka_unit_test(test_acknowledgements_do_not_pile_up),
        cmocka_unit_test(test_block_that_was_there_is_acknowledged_again),
        cmocka_unit_test(test_random_blocks_never_do_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
