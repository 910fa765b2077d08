/* SPDX-License-Identifier: Apache-2.0 */
/* A pair without a usable base mends itself by digests; one whose histories parted does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define MIB      (1u << 20)
#define LARGE    (12 * MIB)
#define HUGE     (40 * MIB) /* positions are made durable every 32 MiB */
/* What pair_write changes, at most two chunks of an image, and what a transfer costs anyway. */
#define LITTLE (2 * FS_DIGEST_CHUNK + 4096)

struct lab {
    struct pair *pair;
    struct fs_group *east, *west;
    uint64_t wire; /* of east's transfers, when it was looked at last */
};

static uint64_t wire_since(struct lab *lab)
{
    uint64_t before = lab->wire;

    lab->wire = lab->east->stats.total.wire_bytes;
    return lab->wire - before;
}

/* Three points; then the newest common one is the base. */
static int set_up(void **state)
{
    struct lab *lab = calloc(1, sizeof(*lab));

    lab->pair = pair_new(INTERVAL);
    pair_connect(lab->pair);
    mem_image_scribble(mem_store_create(lab->pair->east.store, "rbd", "a-0", LARGE), 0, LARGE,
                       false);
    mem_image_scribble(mem_store_create(lab->pair->east.store, "rbd", "a-1", PAIR_IMAGE_SIZE), 0,
                       2 * MIB, false);
    pair_discover(lab->pair, NULL);
    lab->east = pair_find(&lab->pair->east, "a");
    pair_advance(lab->pair, INTERVAL + FS_SEC);
    for (unsigned i = 0; i < 2; i++) {
        pair_write(lab->pair, "a");
        pair_advance(lab->pair, INTERVAL);
    }
    pair_check_synced(lab->pair, "a");
    lab->west = pair_find(&lab->pair->west, "a");
    assert_true(wire_since(lab) >= LARGE);
    *state = lab;
    return 0;
}

static int tear_down(void **state)
{
    struct lab *lab = *state;

    pair_free(lab->pair);
    free(lab);
    return 0;
}

static void remove_base(struct lab *lab, struct pair_site *site)
{
    const struct fs_uuid base = pair_check_synced(lab->pair, "a")->point.id;

    for (unsigned i = 0; i < 2; i++) {
        char image[FS_IMAGE_NAME_SIZE];
        (void)snprintf(image, sizeof(image), "a-%u", i);
        mem_image_drop_point(mem_store_find(site->store, "rbd", image), &base);
    }
}

static size_t committed_at(const struct fs_group *group)
{
    size_t count = 0;

    for (size_t i = 0; i < group->record->n_points; i++) {
        count += group->record->points[i].state == FS_POINT_COMMITTED;
    }
    return count;
}

/* One more point, which costs little; the newest of the records of both sites is the same. */
static void write_and_check(struct lab *lab)
{
    uint64_t seq = fs_record_newest_committed(lab->west->record)->point.seq;

    pair_write(lab->pair, "a");
    pair_advance(lab->pair, 2 * INTERVAL);
    assert_true(pair_check_synced(lab->pair, "a")->point.seq > seq);
    assert_true(wire_since(lab) <= LITTLE);
    assert_int_equal(pair_state(&lab->pair->east, "a"), FS_STATE_OK);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_OK);
    assert_int_equal(mem_digester_open(lab->pair->east.digester), 0);
}

static void test_snapshots_of_the_base_removed_at_the_source_mends_itself(void **state)
{
    struct lab *lab = *state;
    uint64_t compared = mem_store_started(lab->pair->west.store, MEM_OP_DIGEST);

    remove_base(lab, &lab->pair->east);
    write_and_check(lab);
    assert_true(mem_store_started(lab->pair->west.store, MEM_OP_DIGEST) > compared);
    assert_int_equal(committed_at(lab->west), 3); /* the target's points are kept */
    compared = mem_store_started(lab->pair->west.store, MEM_OP_DIGEST);
    write_and_check(lab); /* and from now on as ever */
    assert_int_equal(mem_store_started(lab->pair->west.store, MEM_OP_DIGEST), compared);
}

static void test_snapshots_of_the_base_removed_at_the_target_mends_itself(void **state)
{
    struct lab *lab = *state;
    const struct fs_uuid base = pair_check_synced(lab->pair, "a")->point.id;

    remove_base(lab, &lab->pair->west);
    write_and_check(lab);
    /* What was no recovery point any more is not listed. */
    assert_null(fs_record_find_point(lab->west->record, &base));
    assert_int_equal(committed_at(lab->west), 3);
    write_and_check(lab);
}

static void test_source_that_holds_none_of_the_points_mends_itself(void **state)
{
    struct lab *lab = *state;
    struct fs_record *record = mem_store_load_at(lab->pair->east.store, 0);

    remove_base(lab, &lab->pair->east);
    while (record->n_points > 0) {
        fs_record_remove_point(record, &record->points[0].point.id);
    }
    mem_store_put(lab->pair->east.store, record);
    fs_record_free(record);
    pair_restart(&lab->pair->east);
    pair_connect(lab->pair);
    pair_discover(lab->pair, NULL);
    lab->east = pair_find(&lab->pair->east, "a");
    lab->wire = 0;
    write_and_check(lab);
}

static void test_histories_that_parted_are_not_mended(void **state)
{
    struct lab *lab = *state;
    struct fs_record *record = mem_store_load_at(lab->pair->west.store, 0);
    uint64_t written = mem_store_started(lab->pair->west.store, MEM_OP_WRITE);

    remove_base(lab, &lab->pair->east);
    for (size_t i = 0; i < record->n_points; i++) { /* points of another term */
        fs_uuid_random(&record->points[i].point.id);
        record->points[i].point.term.number++;
    }
    mem_store_put(lab->pair->west.store, record);
    fs_record_free(record);
    pair_restart(&lab->pair->west);
    pair_connect(lab->pair);
    pair_write(lab->pair, "a");
    pair_advance(lab->pair, 5 * INTERVAL);
    assert_int_equal(pair_state(&lab->pair->east, "a"), FS_STATE_DIVERGED);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_DIVERGED);
    assert_int_equal(mem_store_started(lab->pair->west.store, MEM_OP_WRITE), written);
    assert_int_equal(mem_store_started(lab->pair->west.store, MEM_OP_DIGEST), 0);
}

static void test_volume_that_comes_back_is_compared(void **state)
{
    struct lab *lab = *state;
    struct fs_record *record = mem_store_load_at(lab->pair->east.store, 0);
    struct fs_record *there = mem_store_load_at(lab->pair->west.store, 0);

    /* The newest points are without the first volume: it was away. */
    for (size_t i = 0; i < record->n_points; i++) {
        record->points[i].n_contents = 1;
        record->points[i].contents[0] = record->points[i].contents[1];
    }
    there->points[there->n_points - 1].n_contents = 1;
    there->points[there->n_points - 1].contents[0] = there->points[there->n_points - 1].contents[1];
    mem_store_put(lab->pair->east.store, record);
    mem_store_put(lab->pair->west.store, there);
    fs_record_free(record);
    fs_record_free(there);
    pair_restart(&lab->pair->west);
    pair_restart(&lab->pair->east);
    pair_connect(lab->pair);
    pair_discover(lab->pair, NULL);
    lab->east = pair_find(&lab->pair->east, "a");
    lab->west = pair_find(&lab->pair->west, "a");
    lab->wire = 0;
    pair_advance(lab->pair, INTERVAL);
    write_and_check(lab);
}

static void test_cut_in_the_middle_goes_on_from_the_durable_position(void **state)
{
    struct lab *lab = *state;
    struct mem_image *image = mem_store_find(lab->pair->east.store, "rbd", "a-0");

    remove_base(lab, &lab->pair->east);
    mem_image_resize(image, HUGE);
    mem_image_scribble(image, 0, HUGE, false); /* all of it differs */
    pair_connect(lab->pair);
    fake_link_cut_after(lab->pair->link, 0, 36 * MIB);
    pair_advance(lab->pair, INTERVAL);
    assert_in_range(wire_since(lab), 32 * MIB, 38 * MIB);
    pair_connect(lab->pair);
    pair_advance(lab->pair, INTERVAL);
    pair_check_synced(lab->pair, "a");
    assert_true(wire_since(lab) <= HUGE - 32 * MIB + LITTLE);
    assert_int_equal(pair_state(&lab->pair->east, "a"), FS_STATE_OK);
}

static void test_failures_at_either_site_heal(void **state)
{
    struct lab *lab = *state;

    for (unsigned nth = 1; nth < 14; nth += 4) {
        remove_base(lab, &lab->pair->east);
        mem_store_fail(lab->pair->west.store, MEM_OP_DIGEST, nth, 1, FS_ERR_TRANSIENT, EIO);
        pair_write(lab->pair, "a");
        pair_advance(lab->pair, 3 * INTERVAL);
        pair_check_synced(lab->pair, "a");
        remove_base(lab, &lab->pair->east);
        mem_digester_fail_next(lab->pair->east.digester, nth);
        pair_write(lab->pair, "a");
        pair_advance(lab->pair, 3 * INTERVAL);
        pair_check_synced(lab->pair, "a");
        remove_base(lab, &lab->pair->east);
        mem_store_shuffle(lab->pair->west.store, true);
        mem_store_fail(lab->pair->east.store, MEM_OP_OPEN, 2, 1, FS_ERR_TRANSIENT, EIO);
        pair_write(lab->pair, "a");
        pair_advance(lab->pair, 3 * INTERVAL);
        pair_check_synced(lab->pair, "a");
    }
    assert_int_equal(lab->east->failed_at, 12);
    assert_int_equal(pair_state(&lab->pair->east, "a"), FS_STATE_OK);
    assert_int_equal(mem_digester_open(lab->pair->east.digester), 0);
}

/* --- what each site remembers of the other ---------------------------------------------------- */

static void test_each_site_remembers_the_others_record(void **state)
{
    struct lab *lab = *state;

    pair_write(lab->pair, "a");
    pair_advance(lab->pair, INTERVAL);
    struct fs_record *here = mem_store_load_at(lab->pair->east.store, 0);
    struct fs_record *there = mem_store_load_at(lab->pair->west.store, 0);
    assert_true(here->peer_version > 0);
    assert_true(here->peer_version <= there->version);
    assert_int_equal(here->peer_term.number, there->term.number);
    fs_record_free(here);
    fs_record_free(there);
}

/* The target's state pool was restored from a backup: nothing is written, until an operator lets
 * it. */
static void test_target_whose_record_went_back_in_time_is_left_alone(void **state)
{
    struct lab *lab = *state;
    struct fs_record *old = mem_store_load_at(lab->pair->west.store, 0);
    uint64_t seen, written;

    for (unsigned i = 0; i < 4; i++) { /* the old points are let go of */
        write_and_check(lab);
    }
    mem_store_put(lab->pair->west.store, old);
    pair_restart(&lab->pair->west);
    pair_connect(lab->pair);
    written = mem_store_started(lab->pair->west.store, MEM_OP_WRITE);
    seen = lab->east->record->peer_version;
    assert_true(old->version < seen);
    fs_record_free(old);
    pair_write(lab->pair, "a");
    pair_advance(lab->pair, 3 * INTERVAL);
    lab->west = pair_find(&lab->pair->west, "a");
    assert_int_equal(pair_state(&lab->pair->east, "a"), FS_STATE_RECORD_LOST);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_RECORD_LOST);
    assert_int_equal(mem_store_started(lab->pair->west.store, MEM_OP_WRITE), written);
    assert_int_equal(lab->east->record->peer_version, seen);

    lab->west->adopt = true;
    pair_advance(lab->pair, 2 * INTERVAL);
    assert_true(lab->east->record->peer_version < seen);
    write_and_check(lab);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_snapshots_of_the_base_removed_at_the_source_mends_itself),
        TEST(test_snapshots_of_the_base_removed_at_the_target_mends_itself),
        TEST(test_source_that_holds_none_of_the_points_mends_itself),
        TEST(test_histories_that_parted_are_not_mended),
        TEST(test_volume_that_comes_back_is_compared),
        TEST(test_cut_in_the_middle_goes_on_from_the_durable_position),
        TEST(test_failures_at_either_site_heal),
        TEST(test_each_site_remembers_the_others_record),
        TEST(test_target_whose_record_went_back_in_time_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
