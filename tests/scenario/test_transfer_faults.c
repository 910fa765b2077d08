/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts at any byte, crashes at any operation, failing storage, cancels: it goes on, and is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/scenario/rig.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
/* Lists of the same changes differ: they report more than has changed, at random. */
#define LIST_NOISE (128 * KIB)
/* The largest SEGMENT frame, and what else of a stream is not segments. */
#define SEGMENT_BOUND (FS_SEGMENT_MAX + 128 * KIB)

static size_t threads_of(void **state)
{
    return *state ? *(size_t *)*state : 0;
}

/* Two volumes with a committed base and a second point: random data, holes, a resize. */
static struct fs_uuid begin(struct rig *rig, size_t threads, uint64_t seed)
{
    rig_init(rig, threads, seed);
    mem_store_shuffle(rig->stores[0], true);
    mem_store_shuffle(rig->stores[1], true);
    struct mem_image *a = rig_add_volume(rig, "a", 2 * MIB);
    struct mem_image *b = rig_add_volume(rig, "b", MIB + 512);
    mem_image_scribble(a, 300 * KIB, 400 * KIB, true);
    mem_image_scribble(b, 0, 200 * KIB, false);
    rig_connect(rig);
    struct fs_uuid base = rig_take(rig);
    assert_true(rig_ship(rig, &base));
    rig_settle(rig, &base);
    mem_image_scribble(a, 5000, 150 * KIB, false);
    mem_image_scribble(a, 1500 * KIB, 300 * KIB, false);
    mem_image_zero(a, 400 * KIB, 100 * KIB);
    mem_image_resize(b, 3 * MIB);
    mem_image_scribble(b, 100 * KIB, 2 * MIB, false);
    return rig_take(rig);
}

/* How many bytes a whole session and transfer takes in each direction. */
static void measure(uint64_t ret_bytes[2], uint64_t *ret_wire)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, 0, 1);
    rig_connect(&rig);
    assert_true(rig_ship(&rig, &point));
    ret_bytes[0] = fake_link_delivered(rig.link, 0);
    ret_bytes[1] = fake_link_delivered(rig.link, 1);
    *ret_wire = rig.sent.stats.wire_bytes;
    rig_fini(&rig);
}

/* A transfer with deltas takes many times as long, and goes through the same steps. */
static unsigned stride(void)
{
    return rig_delta == FS_DELTA_ALWAYS ? 5 : 1;
}

static void cut_once(size_t threads, unsigned direction, uint64_t at, uint64_t wire)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads, 1);
    rig.chunk = 64 * KIB;
    rig_connect(&rig);
    fake_link_cut_after(rig.link, direction, at);
    rig_start(&rig, &point);
    rig_run(&rig);
    assert_null(rig.sender);
    assert_null(rig.receiver);
    if (rig.sent.outcome != FS_SENT_COMMITTED) {
        rig_ship_again(&rig, &point, 1);
        uint64_t again = rig.sent.stats.wire_bytes;
        assert_true(again <= wire + LIST_NOISE);
        if (direction == 0 && at > SEGMENT_BOUND) { /* what arrived whole is not sent again */
            assert_true(again <= wire + LIST_NOISE - (at - SEGMENT_BOUND));
        }
    }
    rig_check(&rig, &point);
    rig_fini(&rig);
}

static void test_transfer_cut_anywhere_resumes(void **state)
{
    uint64_t bytes[2], wire;
    measure(bytes, &wire);
    for (unsigned direction = 0; direction < 2; direction++) {
        for (uint64_t i = 0; i < 30; i += stride()) {
            cut_once(threads_of(state), direction, 300 + (bytes[direction] - 300) * i / 30, wire);
        }
        for (uint64_t at = bytes[direction] - 12; at <= bytes[direction]; at += stride()) {
            cut_once(threads_of(state), direction, at, wire);
        }
    }
}

static void test_transfer_cut_again_and_again_comes_to_an_end(void **state)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads_of(state), 2);
    int tries = 0;
    rig.chunk = 16 * KIB;
    do {
        rig_connect(&rig);
        fake_link_cut_after(rig.link, 0, SEGMENT_BOUND + 4096);
        rig_start(&rig, &point);
        rig_run(&rig);
        tries++;
    } while (rig.sent.outcome != FS_SENT_COMMITTED && tries < 20);
    assert_true(tries > 1 && tries < 20);
    rig_check(&rig, &point);
    rig_fini(&rig);
}

/* Site 0 or 1 dies at its nth operation. False: it came to the end without. */
static bool crash_once(size_t threads, int site, uint64_t nth)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads, nth);
    rig.chunk = 200 * KIB;
    rig_connect(&rig);
    mem_store_crash_at(rig.stores[site], nth);
    rig_start(&rig, &point);
    rig_run(&rig);
    bool crashed = mem_store_crashed(rig.stores[site]);
    rig_disconnect(&rig);
    rig_run(&rig);
    assert_null(rig.sender);
    assert_null(rig.receiver);
    mem_store_crash_at(rig.stores[site], 0);
    mem_store_restart(rig.stores[site]);
    rig_ship_again(&rig, &point, 1);
    rig_check(&rig, &point);
    rig_fini(&rig);
    return crashed;
}

static void test_transfer_crash_at_every_operation_goes_on(void **state)
{
    for (int site = 0; site < 2; site++) {
        uint64_t nth = 1;
        while (crash_once(threads_of(state), site, nth)) {
            nth += stride();
        }
        assert_true(nth > 5);
    }
}

static const struct {
    enum mem_op kind;
    int site;
} kinds[] = {
    {MEM_OP_OPEN, 0},  {MEM_OP_LIST, 0}, {MEM_OP_READ, 0},   {MEM_OP_SINK_OPEN, 1},
    {MEM_OP_WRITE, 1}, {MEM_OP_SYNC, 1}, {MEM_OP_COMMIT, 1},
};

static void test_transfer_storage_fails_once_then_goes_on(void **state)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (uint64_t nth = 1; nth <= 3; nth++) {
            struct rig rig;
            struct fs_uuid point = begin(&rig, threads_of(state), k * 10 + nth);
            rig_connect(&rig);
            mem_store_fail(rig.stores[kinds[k].site], kinds[k].kind, nth, 1, FS_ERR_TRANSIENT, EIO);
            uint64_t before = mem_store_started(rig.stores[kinds[k].site], kinds[k].kind);
            bool committed = rig_ship(&rig, &point);
            /* Workers may be so slow that no sync comes before COMMIT. */
            bool hit = mem_store_started(rig.stores[kinds[k].site], kinds[k].kind) - before >= nth;
            /* One of the source's that was only for deltas does no harm. */
            bool harmless = committed && rig.delta == FS_DELTA_ALWAYS && kinds[k].site == 0;
            assert_true(committed == !hit || harmless);
            assert_true(hit || nth > 1 || kinds[k].kind == MEM_OP_SYNC);
            if (hit && !harmless) {
                assert_int_equal(rig.sent.outcome,
                                 kinds[k].site == 0 ? FS_SENT_FAILED : FS_SENT_REFUSED);
                assert_int_equal(rig.sent.err.class, FS_ERR_TRANSIENT);
                assert_true(strlen(rig.sent.err.message) > 0);
            }
            if (!committed) { /* the session is still good */
                assert_true(fs_session_is_up(rig.sessions[0]));
                assert_true(rig_ship(&rig, &point));
            }
            rig_check(&rig, &point);
            rig_fini(&rig);
        }
    }
}

static void test_transfer_full_target_refuses_no_space_and_keeps_positions(void **state)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads_of(state), 5);
    rig_connect(&rig);
    mem_store_fail(rig.stores[1], MEM_OP_WRITE, 3, UINT64_MAX, FS_ERR_TRANSIENT, ENOSPC);
    assert_false(rig_ship(&rig, &point));
    assert_int_equal(rig.sent.outcome, FS_SENT_REFUSED);
    assert_int_equal(rig.sent.refusal, FS_REFUSE_NO_SPACE);
    assert_int_equal(rig.received_refusal, FS_REFUSE_NO_SPACE);
    mem_store_fail(rig.stores[1], MEM_OP_WRITE, 0, 0, FS_ERR_NONE, 0);
    assert_true(rig_ship(&rig, &point));
    rig_check(&rig, &point);
    rig_fini(&rig);
}

/* A flush that does not come to an end: what would be sent again after a crash is bounded, not by
 * the cluster's speed, and once it ends all goes on. */
static void test_transfer_is_never_far_ahead_of_what_is_durable(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 9);
    mem_image_scribble(rig_add_volume(&rig, "a", 60 * MIB), 0, 60 * MIB, false);
    mem_image_scribble(rig_add_volume(&rig, "b", 36 * MIB), 0, 36 * MIB, false);
    rig_connect(&rig);
    struct fs_uuid point = rig_take(&rig);
    for (int crash = 1; crash >= 0; crash--) {
        struct fs_transfer_stats stats;
        mem_store_hold(rig.stores[1], MEM_OP_SYNC);
        rig_start(&rig, &point);
        rig_run(&rig);
        assert_non_null(rig.sender);
        fs_sender_get_stats(rig.sender, &stats);
        assert_in_range(stats.wire_bytes, FS_SESSION_AHEAD_MAX - 3 * SEGMENT_BOUND,
                        FS_SESSION_AHEAD_MAX);
        assert_int_equal(stats.resumed_bytes, 0);
        if (!crash) {
            assert_in_range(stats.resent_bytes, stats.wire_bytes - 2 * SEGMENT_BOUND,
                            stats.wire_bytes);
            mem_store_release(rig.stores[1], MEM_OP_SYNC);
            rig_run(&rig);
            assert_int_equal(rig.sent.outcome, FS_SENT_COMMITTED);
            break;
        }
        mem_store_crash(rig.stores[1]);
        rig_disconnect(&rig);
        mem_store_release(rig.stores[1], MEM_OP_SYNC);
        rig_run(&rig);
        mem_store_restart(rig.stores[1]);
        rig_connect(&rig);
    }
    assert_in_range(rig.sent.stats.resent_bytes, 1, FS_SESSION_AHEAD_MAX);
    assert_in_range(rig.received_stats.resent_bytes, 1, FS_SESSION_AHEAD_MAX);
    rig_check(&rig, &point);
    rig_fini(&rig);
}

/* After `rounds` rounds the given end gives up. False: the transfer was over by then. */
static bool cancel_once(size_t threads, bool receiver, unsigned rounds)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads, rounds);
    rig.chunk = 100 * KIB;
    rig_connect(&rig);
    rig_start(&rig, &point);
    for (unsigned i = 0; i < rounds; i++) {
        rig_step(&rig);
    }
    bool running = receiver ? rig.receiver != NULL : rig.sender != NULL;
    bool over = !rig.sender;
    size_t done = receiver ? rig.receivers_done : rig.senders_done;
    if (running && receiver) {
        fs_receiver_cancel(rig.receiver);
    } else if (running) {
        fs_sender_cancel(rig.sender);
    }
    assert_int_equal(receiver ? rig.receivers_done : rig.senders_done, done); /* not from inside */
    rig_run(&rig);
    assert_null(rig.sender);
    assert_null(rig.receiver);
    if (running && !receiver && rig.sent.outcome != FS_SENT_COMMITTED) { /* not too late */
        assert_int_equal(rig.sent.outcome, FS_SENT_FAILED);
        assert_int_equal(rig.sent.err.class, FS_ERR_CANCELLED);
    } else if (running && !rig.received_committed) {
        assert_int_equal(rig.received_err.class, FS_ERR_CANCELLED);
        assert_int_equal(rig.sent.refusal, FS_REFUSE_UNAVAILABLE);
    }
    if (rig.sent.outcome != FS_SENT_COMMITTED) {
        assert_true(fs_session_is_up(rig.sessions[0]) && fs_session_is_up(rig.sessions[1]));
        assert_true(rig_ship(&rig, &point));
    }
    rig_check(&rig, &point);
    rig_fini(&rig);
    return !over;
}

static void test_transfer_cancel_in_every_phase_resumes(void **state)
{
    for (int receiver = 0; receiver < 2; receiver++) {
        unsigned rounds = 0;
        while (cancel_once(threads_of(state), receiver == 1, rounds)) {
            /* With workers rounds are many and vary. */
            rounds += stride() * (threads_of(state) > 0 ? 4 : 1);
        }
        assert_true(rounds > 5);
    }
}

static void test_transfer_refusals_name_their_reason(void **state)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads_of(state), 7);
    rig_connect(&rig);
    rig.refuse_offers = true;
    assert_false(rig_ship(&rig, &point));
    assert_int_equal(rig.sent.refusal, FS_REFUSE_BUSY);
    rig.record->term.number = 2;
    assert_true(rig_ship(&rig, &point));
    rig.record->term.number = 1;
    assert_false(rig_ship(&rig, &point));
    assert_int_equal(rig.sent.refusal, FS_REFUSE_STALE_TERM);
    rig.record->term.number = 2;
    rig.record->term.site.b[3] ^= 1;
    assert_false(rig_ship(&rig, &point));
    assert_int_equal(rig.sent.refusal, FS_REFUSE_SPLIT_BRAIN);
    rig.record->term.site.b[3] ^= 1;
    rig_add_volume(&rig, "c", MIB);
    mem_store_create(rig.stores[1], "copies", "c", MIB); /* somebody else's */
    struct fs_uuid next = rig_take(&rig);
    assert_false(rig_ship(&rig, &next));
    assert_int_equal(rig.sent.refusal, FS_REFUSE_NOT_OWNED);
    assert_int_equal(rig.sent.err.class, FS_ERR_CONFIG);
    assert_true(rig_ship(&rig, &point));
    rig_fini(&rig);
}

static void test_transfer_over_a_dead_session_fails_later(void **state)
{
    struct rig rig;
    struct fs_uuid point = begin(&rig, threads_of(state), 8);
    rig_connect(&rig);
    fs_session_end(rig.sessions[0], "test");
    rig_start(&rig, &point);
    assert_non_null(rig.sender);
    rig_run(&rig);
    assert_null(rig.sender);
    assert_int_equal(rig.sent.outcome, FS_SENT_FAILED);
    assert_int_equal(rig.sent.err.class, FS_ERR_TRANSIENT);
    rig_fini(&rig);
}

static size_t two = 2;

int main(void)
{
#define BOTH(test) cmocka_unit_test(test), cmocka_unit_test_prestate(test, &two)
    const struct CMUnitTest tests[] = {
        BOTH(test_transfer_cut_anywhere_resumes),
        BOTH(test_transfer_cut_again_and_again_comes_to_an_end),
        BOTH(test_transfer_crash_at_every_operation_goes_on),
        BOTH(test_transfer_storage_fails_once_then_goes_on),
        BOTH(test_transfer_full_target_refuses_no_space_and_keeps_positions),
        BOTH(test_transfer_is_never_far_ahead_of_what_is_durable),
        BOTH(test_transfer_cancel_in_every_phase_resumes),
        BOTH(test_transfer_refusals_name_their_reason),
        BOTH(test_transfer_over_a_dead_session_fails_later),
    };
    const struct CMUnitTest deltas[] = {
        cmocka_unit_test_prestate(test_transfer_cut_anywhere_resumes, &two),
        cmocka_unit_test_prestate(test_transfer_cut_again_and_again_comes_to_an_end, &two),
        cmocka_unit_test_prestate(test_transfer_crash_at_every_operation_goes_on, &two),
        BOTH(test_transfer_storage_fails_once_then_goes_on),
        cmocka_unit_test_prestate(test_transfer_cancel_in_every_phase_resumes, &two),
    };
    rig_delta = FS_DELTA_NEVER;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_delta = FS_DELTA_ALWAYS;
    failed += cmocka_run_group_tests(deltas, NULL, NULL);
    return failed;
}
