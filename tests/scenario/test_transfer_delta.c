/* SPDX-License-Identifier: Apache-2.0 */
/* Content that travels as the difference to what the base holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/content.h"
#include "tests/scenario/mem_private.h"
#include "tests/scenario/rig.h"

#define KIB  UINT64_C(1024)
#define MIB  (1024 * KIB)
#define PAGE (8 * KIB)

static size_t threads_of(void **state)
{
    return *state ? *(size_t *)*state : 0;
}

/* One volume of noise, which nothing compresses, with a committed base. */
static struct mem_image *begin_with(struct rig *rig, void **state, enum fs_delta_mode mode,
                                    uint64_t content)
{
    rig_init(rig, threads_of(state), 1);
    rig->delta = mode;
    struct mem_image *image = rig_add_volume(rig, "disk", content + 4 * MIB);
    mem_image_scribble(image, 0, content, false);
    rig_connect(rig);
    struct fs_uuid base = rig_take(rig);
    assert_true(rig_ship(rig, &base));
    assert_int_equal(rig->sent.stats.delta_bytes, 0); /* a first copy has no base */
    rig_settle(rig, &base);
    return image;
}

static struct mem_image *begin(struct rig *rig, void **state, enum fs_delta_mode mode)
{
    return begin_with(rig, state, mode, 12 * MIB);
}

/* A few bytes in every part of each page. */
static void touch(struct mem_image *image, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += 512) {
        mem_image_scribble(image, at + 100, 8, false);
    }
}

static void copy(struct mem_image *image, uint64_t from, uint64_t to, uint64_t length)
{
    uint8_t *bytes = malloc(length);
    mem_image_read(image, from, bytes, length);
    mem_image_write(image, to, bytes, length);
    free(bytes);
}

static void ship_and_check(struct rig *rig, struct fs_uuid *ret_point)
{
    *ret_point = rig_take(rig);
    if (!rig_ship(rig, ret_point)) {
        fail_msg("not committed: %s", rig->sent.err.message);
    }
    rig_check(rig, ret_point);
    assert_int_equal(rig->received_stats.delta_bytes, rig->sent.stats.delta_bytes);
    assert_int_equal(rig->received_stats.wire_bytes, rig->sent.stats.wire_bytes);
    rig_settle(rig, ret_point);
}

static void test_delta_small_changes_are_small(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    for (unsigned i = 0; i < 3; i++) {
        touch(image, i * MIB, (i + 4) * MIB);
        ship_and_check(&rig, &point);
        assert_true(rig.sent.stats.delta_bytes >= 4 * MIB);
        assert_true(rig.sent.stats.wire_bytes < MIB);
    }
    rig_fini(&rig);
}

static void test_delta_never_is_never(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_NEVER);
    touch(image, 0, 2 * MIB);
    ship_and_check(&rig, &point);
    assert_int_equal(rig.sent.stats.delta_bytes, 0);
    assert_true(rig.sent.stats.wire_bytes >= 2 * MIB);
    rig_fini(&rig);
}

/* Where nothing waits for the link, or only a long transfer before it did, not even the base is
 * opened. */
static void test_delta_auto_costs_nothing_on_an_idle_link(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_AUTO);
    uint64_t opens = mem_store_started(rig.stores[0], MEM_OP_OPEN);
    for (unsigned i = 0; i < 2; i++) {
        touch(image, 0, 2 * MIB);
        ship_and_check(&rig, &point);
        assert_int_equal(mem_store_started(rig.stores[0], MEM_OP_OPEN), ++opens);
        assert_int_equal(mem_store_started(rig.stores[1], MEM_OP_OPEN), 0);
        assert_int_equal(rig.sent.stats.delta_bytes, 0);
        rig_make_thin(&rig);
        rig.chunk = 16 * KIB;
    }
    rig_fini(&rig);
}

static void test_delta_auto_begins_in_a_long_transfer_on_a_thin_link(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin_with(&rig, state, FS_DELTA_AUTO, 48 * MIB);
    rig_make_thin(&rig);
    rig.chunk = 32 * KIB;
    touch(image, 0, 48 * MIB);
    ship_and_check(&rig, &point);
    assert_true(rig.sent.stats.delta_bytes >= 16 * MIB);
    assert_true(rig.sent.stats.wire_bytes < 32 * MIB);
    rig_fini(&rig);
}

/* What does not become shorter is tried now and then, and else sent as it is. */
static void test_delta_auto_gives_up_what_does_not_pay(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin_with(&rig, state, FS_DELTA_AUTO, 48 * MIB);
    rig_make_thin(&rig);
    rig.chunk = 32 * KIB;
    mem_image_scribble(image, 0, 48 * MIB, false);
    ship_and_check(&rig, &point);
    assert_true(mem_store_started(rig.stores[0], MEM_OP_OPEN) >= 3);
    assert_int_equal(rig.sent.stats.delta_bytes, 0);
    rig_fini(&rig);
}

/* A log that repeats pages as they were, before them and behind them on the volume. */
static void test_delta_finds_old_pages_elsewhere(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    copy(image, 4 * MIB, 100, 2 * MIB);
    copy(image, 6 * MIB, 12 * MIB + 3333, 2 * MIB);
    touch(image, 4 * MIB, 8 * MIB);
    ship_and_check(&rig, &point);
    assert_true(rig.sent.stats.content_bytes >= 8 * MIB);
    assert_true(rig.sent.stats.wire_bytes < 2 * MIB);
    rig_fini(&rig);
}

static void test_delta_follows_every_shape(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    touch(image, 0, MIB); /* with holes in what had content, and content in what were holes */
    mem_image_zero(image, 2 * MIB, MIB + 100);
    mem_image_scribble(image, 13 * MIB + 77, 300 * KIB, false);
    ship_and_check(&rig, &point);
    mem_image_resize(image, 20 * MIB + 512); /* larger than the base */
    copy(image, 4 * MIB, 17 * MIB, 3 * MIB);
    touch(image, 4 * MIB, 8 * MIB);
    ship_and_check(&rig, &point);
    mem_image_resize(image, 5 * MIB - 512); /* smaller */
    touch(image, 3 * MIB, 5 * MIB - 512);
    ship_and_check(&rig, &point);
    struct mem_image *late = rig_add_volume(&rig, "late", 4 * MIB); /* not in the base */
    mem_image_scribble(late, 0, 2 * MIB, false);
    touch(image, 0, MIB);
    ship_and_check(&rig, &point);
    assert_true(rig.sent.stats.delta_bytes >= MIB && rig.sent.stats.delta_bytes < 2 * MIB);
    touch(image, 0, MIB);
    touch(late, 0, MIB);
    ship_and_check(&rig, &point);
    assert_true(rig.sent.stats.delta_bytes >= 2 * MIB);
    rig_fini(&rig);
}

static void test_delta_budgets_bound_memory(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    mem_store_shuffle(rig.stores[0], true);
    mem_store_shuffle(rig.stores[1], true);
    rig.budgets[0].peak = rig.budgets[1].peak = 0;
    touch(image, 0, 12 * MIB);
    ship_and_check(&rig, &point); /* every step asserts that nobody has more than the limit */
    assert_true(rig.budgets[0].peak > MIB && rig.budgets[1].peak > MIB);
    assert_int_equal(rig.budgets[0].kept, 0);
    rig_fini(&rig);
}

static void test_delta_old_peer_gets_none(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    struct fs_hello *hello = (struct fs_hello *)fs_session_peer(rig.sessions[0]);
    hello->features &= ~FS_FEATURE_DELTA;
    touch(image, 0, 2 * MIB);
    ship_and_check(&rig, &point);
    assert_int_equal(rig.sent.stats.delta_bytes, 0);
    rig_fini(&rig);
}

/* The base at the target is not what the source has: refused, and right without. */
static void test_delta_wrong_base_is_refused_and_sent_without(void **state)
{
    struct rig rig;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    struct fs_record *target = mem_store_load(rig.stores[1], &rig.record->group);
    struct mem_image *there = mem_store_find_ref(rig.stores[1], &target->volumes[0].volume.image);
    struct mem_snap *snap = mem_image_snap(there, target->points[0].contents[0].snap_id);
    uint8_t bytes[512];
    memset(bytes, 7, sizeof(bytes));
    mem_content_write(&snap->content, MIB, bytes, sizeof(bytes));
    touch(image, 0, 2 * MIB);
    struct fs_uuid point = rig_take(&rig);
    assert_false(rig_ship(&rig, &point));
    assert_int_equal(rig.sent.outcome, FS_SENT_REFUSED);
    assert_int_equal(rig.sent.refusal, FS_REFUSE_DIGEST);
    assert_true(rig.sent.stats.delta_bytes > 0);
    assert_int_equal(rig.received_refusal, FS_REFUSE_DIGEST);
    rig.delta = FS_DELTA_NEVER;
    rig_ship_again(&rig, &point, 1);
    rig_check(&rig, &point);
    fs_record_free(target);
    rig_fini(&rig);
}

/* Nor does one that the target cannot read at all end the session. */
static void test_delta_unusable_base_at_the_target_is_refused(void **state)
{
    struct rig rig;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    touch(image, 0, 12 * MIB);
    struct fs_uuid point = rig_take(&rig);
    rig.no_base_reads = true;
    assert_false(rig_ship(&rig, &point));
    assert_int_equal(rig.sent.refusal, FS_REFUSE_DIGEST);
    assert_true(rig.sent.stats.delta_bytes > 0);
    assert_false(rig.down[0] || rig.down[1]);
    rig.delta = FS_DELTA_NEVER;
    assert_true(rig_ship(&rig, &point)); /* over the same session, with all of its credit */
    rig_check(&rig, &point);
    rig_fini(&rig);
}

/* Whoever cannot read the base at the source sends without it. */
static void test_delta_unreadable_base_at_the_source_does_no_harm(void **state)
{
    for (uint64_t nth = 1; nth <= 6; nth++) {
        struct rig rig;
        struct fs_uuid point;
        struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
        touch(image, 0, 12 * MIB);
        /* The first reads are those of the index. */
        mem_store_fail(rig.stores[0], MEM_OP_READ, nth, 1, FS_ERR_TRANSIENT, EIO);
        ship_and_check(&rig, &point);
        rig_fini(&rig);
    }
}

static void test_delta_base_that_cannot_be_opened_is_left_alone(void **state)
{
    struct rig rig;
    struct fs_uuid point;
    struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
    touch(image, 0, 2 * MIB);
    mem_store_fail(rig.stores[0], MEM_OP_OPEN, 2, 1, FS_ERR_TRANSIENT, EIO);
    ship_and_check(&rig, &point);
    assert_int_equal(rig.sent.stats.delta_bytes, 0);
    rig_fini(&rig);
}

static void test_delta_unreadable_base_at_the_target_is_tried_again(void **state)
{
    const enum mem_op kinds[] = {MEM_OP_OPEN, MEM_OP_READ};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        struct mem_image *image = begin(&rig, state, FS_DELTA_ALWAYS);
        touch(image, 0, 4 * MIB);
        struct fs_uuid point = rig_take(&rig);
        mem_store_fail(rig.stores[1], kinds[i], 1, 1, FS_ERR_TRANSIENT, EIO);
        assert_false(rig_ship(&rig, &point));
        assert_int_equal(rig.sent.refusal, FS_REFUSE_UNAVAILABLE);
        rig_ship_again(&rig, &point, 1);
        rig_check(&rig, &point);
        rig_fini(&rig);
    }
}

/* A transfer that is cut or cancelled anywhere, also while the index is made. */
static void test_delta_ends_at_any_step(void **state)
{
    for (unsigned steps = 1; steps < 400; steps += 1 + steps / 8) {
        struct rig rig;
        struct mem_image *image = begin_with(&rig, state, FS_DELTA_ALWAYS, 6 * MIB);
        mem_store_shuffle(rig.stores[0], true);
        mem_store_shuffle(rig.stores[1], true);
        touch(image, 0, 6 * MIB);
        struct fs_uuid point = rig_take(&rig);
        rig.chunk = 16 * KIB;
        rig_start(&rig, &point);
        for (unsigned i = 0; i < steps && rig.sender; i++) {
            rig_step(&rig);
        }
        if (steps % 2 && rig.sender) {
            fs_sender_cancel(rig.sender);
        } else {
            rig_disconnect(&rig);
        }
        rig_run(&rig);
        rig.chunk = 0;
        rig_ship_again(&rig, &point, 1);
        rig_check(&rig, &point);
        rig_fini(&rig);
    }
}

static size_t two = 2;

int main(void)
{
#define BOTH(test) cmocka_unit_test(test), cmocka_unit_test_prestate(test, &two)
    const struct CMUnitTest tests[] = {
        BOTH(test_delta_small_changes_are_small),
        BOTH(test_delta_never_is_never),
        BOTH(test_delta_auto_costs_nothing_on_an_idle_link),
        BOTH(test_delta_auto_begins_in_a_long_transfer_on_a_thin_link),
        BOTH(test_delta_auto_gives_up_what_does_not_pay),
        BOTH(test_delta_finds_old_pages_elsewhere),
        BOTH(test_delta_follows_every_shape),
        BOTH(test_delta_budgets_bound_memory),
        BOTH(test_delta_old_peer_gets_none),
        BOTH(test_delta_wrong_base_is_refused_and_sent_without),
        BOTH(test_delta_unusable_base_at_the_target_is_refused),
        BOTH(test_delta_unreadable_base_at_the_source_does_no_harm),
        BOTH(test_delta_base_that_cannot_be_opened_is_left_alone),
        BOTH(test_delta_unreadable_base_at_the_target_is_tried_again),
        BOTH(test_delta_ends_at_any_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
