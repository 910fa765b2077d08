/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers in which nothing goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/scenario/rig.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static size_t threads_of(void **state)
{
    return *state ? *(size_t *)*state : 0;
}

static struct fs_uuid ship_and_check(struct rig *rig)
{
    struct fs_uuid point = rig_take(rig);
    if (!rig_ship(rig, &point)) {
        fail_msg("not committed: %s", rig->sent.err.message);
    }
    assert_true(rig->received_committed);
    rig_check(rig, &point);
    assert_int_equal(rig->sent.n_agreed, fs_record_find_point(rig->record, &point)->n_contents);
    rig_settle(rig, &point);
    return point;
}

static void test_transfer_first_copy_arrives(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 1);
    struct mem_image *image = rig_add_volume(&rig, "disk", 8 * MIB);
    mem_image_scribble(image, 0, 3 * MIB, true);
    mem_image_scribble(image, 5 * MIB + 100, 200 * KIB, false);
    rig_connect(&rig);
    ship_and_check(&rig);
    assert_true(rig.sent.stats.wire_bytes < 3 * MIB);
    assert_int_equal(rig.sent.stats.done_bytes, 8 * MIB);
    assert_int_equal(rig.sent.stats.total_bytes, 8 * MIB);
    assert_int_equal(rig.received_stats.done_bytes, 8 * MIB);
    assert_int_equal(rig.received_stats.wire_bytes, rig.sent.stats.wire_bytes);
    rig_fini(&rig);
}

static void test_transfer_increments_carry_only_changes(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 2);
    struct mem_image *image = rig_add_volume(&rig, "disk", 8 * MIB);
    mem_image_scribble(image, 0, 8 * MIB, false);
    rig_connect(&rig);
    ship_and_check(&rig);
    assert_true(rig.sent.stats.wire_bytes >= 8 * MIB);
    for (unsigned i = 0; i < 5; i++) {
        mem_image_scribble(image, i * MIB + 777 * i, 10000, false);
        mem_image_zero(image, i * 512 * KIB, 64 * KIB);
        ship_and_check(&rig);
        assert_true(rig.sent.stats.wire_bytes < 64 * KIB);
        assert_true(mem_image_snapshots(image) <= 2);
    }
    rig_fini(&rig);
}

static void test_transfer_unchanged_point_is_nearly_empty(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 3);
    struct mem_image *image = rig_add_volume(&rig, "disk", 4 * MIB);
    mem_image_scribble(image, 0, MIB, true);
    rig_connect(&rig);
    ship_and_check(&rig);
    ship_and_check(&rig);
    assert_true(rig.sent.stats.wire_bytes < 200);
    rig_fini(&rig);
}

static void test_transfer_resize_up_and_down_follows(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 4);
    struct mem_image *image = rig_add_volume(&rig, "disk", 4 * MIB);
    mem_image_scribble(image, 0, 4 * MIB, true);
    rig_connect(&rig);
    ship_and_check(&rig);
    mem_image_resize(image, 6 * MIB + 512);
    mem_image_scribble(image, 5 * MIB, MIB, true);
    ship_and_check(&rig);
    mem_image_resize(image, 2 * MIB - 512);
    ship_and_check(&rig);
    mem_image_resize(image, MIB);
    mem_image_resize(image, 3 * MIB); /* what was beyond reads as zeroes now */
    ship_and_check(&rig);
    mem_image_resize(image, 0);
    ship_and_check(&rig);
    mem_image_resize(image, MIB);
    mem_image_scribble(image, MIB - 513, 513, true);
    ship_and_check(&rig);
    rig_fini(&rig);
}

static void test_transfer_zeroes_arrive_as_holes(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 5);
    struct mem_image *image = rig_add_volume(&rig, "disk", 8 * MIB);
    uint8_t *zeroes = calloc(1, 4 * MIB);
    mem_image_scribble(image, 0, 8 * MIB, false);
    rig_connect(&rig);
    ship_and_check(&rig);
    mem_image_write(image, MIB, zeroes, 4 * MIB); /* zeroes that are allocated */
    mem_image_zero(image, 6 * MIB, MIB);          /* and a discard */
    mem_image_scribble(image, 3 * MIB, 4 * KIB, false);
    ship_and_check(&rig);
    assert_true(rig.sent.stats.wire_bytes < 64 * KIB);
    struct mem_image *copy = mem_store_find(rig.stores[1], "copies", "disk");
    assert_int_equal(mem_image_allocated(copy), 3 * MIB + 4 * KIB);
    free(zeroes);
    rig_fini(&rig);
}

static void test_transfer_many_small_extents_are_read_together(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 6);
    struct mem_image *image = rig_add_volume(&rig, "disk", 64 * MIB);
    mem_image_scribble(image, 0, 64 * MIB, true);
    rig_connect(&rig);
    ship_and_check(&rig);
    for (uint64_t at = 0; at < 64 * MIB; at += 12 * KIB) {
        mem_image_scribble(image, at + at / 999 % 512, 700, false);
    }
    uint64_t reads = mem_store_started(rig.stores[0], MEM_OP_READ);
    ship_and_check(&rig);
    reads = mem_store_started(rig.stores[0], MEM_OP_READ) - reads;
    assert_true(reads < 200); /* for 5461 extents */
    assert_true(rig.sent.stats.wire_bytes < 16 * MIB);
    rig_fini(&rig);
}

static void test_transfer_many_volumes_are_one_point(void **state)
{
    struct rig rig;
    char name[16];
    rig_init(&rig, threads_of(state), 7);
    for (unsigned i = 0; i < FS_VOLUMES_MAX; i++) {
        snprintf(name, sizeof(name), "disk-%u", i);
        struct mem_image *image = rig_add_volume(&rig, name, i * 100 * KIB + (i == 0 ? 0 : 1));
        if (i > 0) {
            mem_image_scribble(image, i * 50 * KIB, i * 10 * KIB, i % 2);
        }
    }
    rig_connect(&rig);
    ship_and_check(&rig);
    struct mem_image *image = mem_store_find(rig.stores[0], "rbd", "disk-33");
    mem_image_scribble(image, 1000, 5000, true);
    ship_and_check(&rig);
    rig_fini(&rig);
}

static void test_transfer_without_compression_is_raw(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 8);
    fs_tuner_fix(&rig.tuner, FS_LEVEL_NONE);
    struct mem_image *image = rig_add_volume(&rig, "disk", 4 * MIB);
    mem_image_scribble(image, 0, 2 * MIB, true);
    rig_connect(&rig);
    ship_and_check(&rig);
    assert_true(rig.sent.stats.wire_bytes > 2 * MIB);
    rig_fini(&rig);
}

/* Each level is only how segments are made: what arrives is the same. */
static void test_transfer_at_changing_levels_arrives(void **state)
{
    static const int levels[] = {FS_LEVEL_MIN, 1, FS_LEVEL_NONE, FS_LEVEL_MAX, -3};
    struct rig rig;
    uint64_t wire[sizeof(levels) / sizeof(levels[0])];
    rig_init(&rig, threads_of(state), 9);
    struct mem_image *image = rig_add_volume(&rig, "disk", 4 * MIB);
    rig_connect(&rig);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        fs_tuner_fix(&rig.tuner, levels[i]);
        mem_image_scribble(image, 0, 2 * MIB, true);
        ship_and_check(&rig);
        wire[i] = rig.sent.stats.wire_bytes;
        assert_int_equal(rig.sent.stats.content_bytes, 2 * MIB);
        assert_int_equal(rig.received_stats.content_bytes, 2 * MIB);
    }
    assert_true(wire[2] > 2 * MIB);
    assert_true(wire[1] < wire[2] && wire[3] < wire[2]);
    rig_fini(&rig);
}

static void test_transfer_budget_and_credit_bound_memory(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 9);
    struct mem_image *image = rig_add_volume(&rig, "disk", 96 * MIB);
    mem_image_scribble(image, 0, 96 * MIB, true);
    mem_store_shuffle(rig.stores[0], true);
    mem_store_shuffle(rig.stores[1], true);
    rig_connect(&rig);
    ship_and_check(&rig);
    for (int i = 0; i < 2; i++) {
        assert_true(rig.budgets[i].peak > 0 && rig.budgets[i].peak <= rig.budgets[i].limit);
    }
    rig_fini(&rig);
}

static void test_transfer_slow_target_holds_the_source_back(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 10);
    struct mem_image *image = rig_add_volume(&rig, "disk", 64 * MIB);
    mem_image_scribble(image, 0, 64 * MIB, false);
    struct fs_uuid point = rig_take(&rig);
    rig_connect(&rig);
    mem_store_hold(rig.stores[1], MEM_OP_WRITE);
    rig_start(&rig, &point);
    rig_run(&rig);
    /* Nothing was written: no more than the credit came, and no more than the budget was read. */
    assert_non_null(rig.sender);
    assert_true(fake_link_delivered(rig.link, 0) <= rig.credit + MIB);
    struct fs_transfer_stats stats;
    fs_sender_get_stats(rig.sender, &stats);
    assert_true(stats.read_bytes <= rig.credit + rig.budgets[0].limit);
    mem_store_release(rig.stores[1], MEM_OP_WRITE);
    rig_run(&rig);
    assert_int_equal(rig.sent.outcome, FS_SENT_COMMITTED);
    rig_check(&rig, &point);
    rig_fini(&rig);
}

/* A scarce link: what it carries in a second, here the least, is read ahead of it; memory has room
 * for more. */
static void test_transfer_scarce_link_bounds_what_is_read_ahead(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 1);
    rig.budgets[0].limit = 256 * MIB;
    struct mem_image *image = rig_add_volume(&rig, "disk", 96 * MIB);
    mem_image_scribble(image, 0, 96 * MIB, false);
    struct fs_uuid point = rig_take(&rig);
    rig_connect(&rig);
    rig_make_thin(&rig);
    mem_store_hold(rig.stores[1], MEM_OP_WRITE);
    rig_start(&rig, &point);
    rig_run(&rig);
    struct fs_transfer_stats stats;
    fs_sender_get_stats(rig.sender, &stats);
    assert_true(stats.read_bytes >= 32 * MIB);
    assert_true(stats.read_bytes <= rig.credit + (32 + 4) * MIB);
    mem_store_release(rig.stores[1], MEM_OP_WRITE);
    rig_run(&rig);
    assert_int_equal(rig.sent.outcome, FS_SENT_COMMITTED);
    rig_check(&rig, &point);
    rig_fini(&rig);
}

static void test_transfer_committed_point_is_not_sent_twice(void **state)
{
    struct rig rig;
    rig_init(&rig, threads_of(state), 11);
    struct mem_image *image = rig_add_volume(&rig, "disk", MIB);
    mem_image_scribble(image, 0, MIB, false);
    rig_connect(&rig);
    struct fs_uuid point = rig_take(&rig);
    assert_true(rig_ship(&rig, &point));
    uint64_t opens = mem_store_started(rig.stores[0], MEM_OP_OPEN);
    assert_true(rig_ship(&rig, &point)); /* the source did not hear of it */
    assert_int_equal(mem_store_started(rig.stores[0], MEM_OP_OPEN), opens);
    assert_int_equal(rig.sent.stats.wire_bytes, 0);
    assert_int_equal(rig.sent.n_agreed, 1);
    rig_fini(&rig);
}

static size_t two = 2;

int main(void)
{
#define BOTH(test) cmocka_unit_test(test), cmocka_unit_test_prestate(test, &two)
    const struct CMUnitTest tests[] = {
        BOTH(test_transfer_first_copy_arrives),
        BOTH(test_transfer_increments_carry_only_changes),
        BOTH(test_transfer_unchanged_point_is_nearly_empty),
        BOTH(test_transfer_resize_up_and_down_follows),
        BOTH(test_transfer_zeroes_arrive_as_holes),
        BOTH(test_transfer_many_small_extents_are_read_together),
        BOTH(test_transfer_many_volumes_are_one_point),
        BOTH(test_transfer_without_compression_is_raw),
        BOTH(test_transfer_at_changing_levels_arrives),
        BOTH(test_transfer_budget_and_credit_bound_memory),
        BOTH(test_transfer_slow_target_holds_the_source_back),
        BOTH(test_transfer_scarce_link_bounds_what_is_read_ahead),
        BOTH(test_transfer_committed_point_is_not_sent_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
