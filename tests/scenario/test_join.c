/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is added to a group with recovery points, in memory: it is copied beside them, as a
 * group of its own, and joins when little is left; wherever a site dies, and whatever either has
 * lost of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/failover.h"
#include "daemon/join.h"
#include "daemon/relocate.h"
#include "farshore/fault.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define DISK     "a-1"
#define BESIDE   "a+a-1"

/* A group of one disk with a point at both sites. */
static struct pair *protected(void)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL + FS_SEC);
    (void)pair_check_synced(pair, "a");
    return pair;
}

/* Another disk gets the label. */
static void add_disk(struct pair *pair)
{
    mem_image_scribble(mem_store_create(pair->east.store, "rbd", DISK, PAIR_IMAGE_SIZE), 0, 2000000,
                       false);
    pair_discover(pair, NULL);
}

static size_t disks_of(struct pair_site *site)
{
    const struct fs_record_point *newest = fs_record_newest_committed(pair_find(site, "a")->record);

    return newest ? newest->n_contents : 0;
}

static bool missing_at(struct pair_site *site)
{
    return fs_record_newest_committed(pair_find(site, "a")->record)->flags &
           FS_POINT_VOLUME_MISSING;
}

/* One life goes on until the disk is in the group's points at both sites. */
static void live_on(struct pair *pair)
{
    for (unsigned i = 0; i < 12; i++) {
        pair_write(pair, "a");
        pair_advance(pair, INTERVAL / 2);
        pair_discover(pair, NULL);
    }
}

static void check_joined(struct pair *pair)
{
    assert_int_equal(disks_of(&pair->east), 2);
    assert_int_equal(disks_of(&pair->west), 2);
    assert_false(missing_at(&pair->east));
    (void)pair_check_synced(pair, "a");
    for (unsigned i = 0; i < 2; i++) {
        struct pair_site *site = i == 0 ? &pair->east : &pair->west;
        assert_null(pair_find(site, BESIDE));
        assert_int_equal(mem_store_count_records(site->store), 1);
        pair_restart(site);
        assert_null(pair_find(site, BESIDE));
    }
}

static void test_disk_is_copied_beside_the_points_and_joins_them(void **state)
{
    (void)state;
    struct pair *pair = protected();

    add_disk(pair);
    struct fs_group *beside = pair_find(&pair->east, BESIDE);
    assert_non_null(beside);
    assert_ptr_equal(fs_join_of(beside), pair_find(&pair->east, "a"));
    assert_ptr_equal(fs_join_any(pair_find(&pair->east, "a")), beside);
    char text[640];
    assert_non_null(fs_relocate_refusal(pair_find(&pair->east, "a"), "west", text, sizeof(text)));
    assert_non_null(strstr(text, BESIDE));

    /* It may take long: the group's own points go on meanwhile, and say that it is missing. */
    beside->retry_ns = INT64_MAX;
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(disks_of(&pair->west), 1);
    assert_true(missing_at(&pair->east));
    assert_true(missing_at(&pair->west));
    pair_discover(pair, NULL);
    assert_int_equal(disks_of(&pair->west), 1);

    beside->retry_ns = 0;
    pair_advance(pair, FS_SEC);
    const struct fs_record_point *own = fs_record_newest_committed(beside->record);
    assert_non_null(own);
    assert_non_null(pair_find(&pair->west, BESIDE));
    live_on(pair);
    /* Nothing of it was sent again. */
    assert_true(pair_find(&pair->east, "a")->stats.total.wire_bytes < 1000000);
    check_joined(pair);
    assert_int_equal(mem_image_snapshots(mem_store_find(pair->east.store, "rbd", DISK)), 1);
    pair_free(pair);
}

static void test_it_joins_when_what_is_left_goes_in_an_interval(void **state)
{
    (void)state;
    struct pair *pair = protected();
    struct fs_group *group = pair_find(&pair->east, "a");

    add_disk(pair);
    struct fs_group *beside = pair_find(&pair->east, BESIDE);
    fs_join_shipped(group, 1);
    assert_false(group->join.ready); /* it joins nothing */
    fs_join_shipped(beside, 100 * INTERVAL);
    assert_false(beside->join.ready);
    fs_join_shipped(beside, 10 * INTERVAL);
    assert_false(beside->join.ready);
    fs_join_shipped(beside, 9 * INTERVAL); /* it will not become much less */
    assert_true(beside->join.ready);
    fs_join_shipped(beside, 5 * INTERVAL);
    assert_false(beside->join.ready);
    fs_join_shipped(beside, INTERVAL);
    assert_true(beside->join.ready);
    fs_join_shipped(beside, 0); /* nothing changed */
    assert_true(beside->join.ready);
    pair_free(pair);
}

static void test_disk_loses_its_label_before_it_joins(void **state)
{
    (void)state;
    struct pair *pair = protected();

    add_disk(pair);
    pair_find(&pair->east, BESIDE)->retry_ns = INT64_MAX;
    mem_image_trash(mem_store_find(pair->east.store, "rbd", DISK));
    pair_discover(pair, NULL);
    assert_null(pair_find(&pair->east, BESIDE));
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(disks_of(&pair->west), 1);
    assert_false(missing_at(&pair->east));
    pair_free(pair);
}

/* The target does not know the disk's newest point any more, or has another one. */
static void test_seeds_that_differ_are_compared(void **state)
{
    (void)state;
    struct pair *pair = protected();

    add_disk(pair);
    struct fs_group *beside = pair_find(&pair->east, BESIDE);
    pair_advance(pair, FS_SEC);
    struct fs_group *there = pair_find(&pair->west, BESIDE);
    assert_non_null(fs_record_newest_committed(there->record));
    fs_uuid_random(&there->record->points[0].point.id);
    mem_store_put(pair->west.store, there->record);
    assert_true(beside->join.ready);
    live_on(pair);
    assert_int_equal(disks_of(&pair->west), 2);
    (void)pair_check_synced(pair, "a");
    pair_free(pair);
}

static void test_site_is_lost_before_the_disk_joins(void **state)
{
    (void)state;
    struct pair *pair = protected();

    pair_find(&pair->east, "a")->record->paused = true;
    add_disk(pair);
    pair_advance(pair, FS_SEC);
    pair_cut(pair);
    pair_advance(pair, FS_SEC);
    static const char *const names[] = {"a", BESIDE};
    const struct fs_uuid newest = {0};
    for (unsigned i = 0; i < 2; i++) {
        struct fs_group *group = pair_find(&pair->west, names[i]);
        assert_true(fs_failover_start(group, &newest, FS_FENCE_NONE, "tester") != 0);
        pair_advance(pair, FS_SEC);
        assert_int_equal(group->record->role, FS_ROLE_PRIMARY);
    }
    assert_int_equal(disks_of(&pair->west), 1);
    assert_true(mem_image_is_writable(mem_store_find(pair->west.store, "rbd", DISK)));
    pair_free(pair);
}

#ifdef FARSHORE_FAULTS

/* From the label to the first points of the group with the disk, and what it was is forgotten. */
static void test_crash_at_any_step(void **state)
{
    static const struct {
        const char *step;
        bool east;
        unsigned nth;
    } crashes[] = {
        {"group.stored", true, 1},       {"take.seq", true, 1},
        {"take.complete", true, 1},      {"offer.received", false, 1},
        {"open.stamped", false, 1},      {"open.stored", false, 1},
        {"commit.committing", false, 1}, {"commit.committed", false, 1},
        {"settle.committed", true, 1},   {"members.store", true, 1},
        {"members.stored", true, 1},     {"take.seq", true, 2},
        {"take.complete", true, 2},      {"take.complete", true, 3},
        {"join.taken_over", false, 1},   {"open.stored", false, 2},
        {"open.stored", false, 3},       {"commit.committing", false, 2},
        {"commit.snapshot", false, 3},   {"commit.committed", false, 2},
        {"commit.committed", false, 3},  {"retain.gone", false, 1},
        {"retain.gone", false, 2},       {"retain.stored", false, 1},
        {"settle.committed", true, 2},   {"settle.committed", true, 3},
        {"settle.gone", true, 1},        {"settle.gone", true, 2},
        {"settle.stored", true, 2},      {"forget.record", true, 1},
        {"forget.record", false, 1},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        struct pair *pair = protected();
        struct pair_site *site = crashes[i].east ? &pair->east : &pair->west;
        struct pair_death death = {
            .step = crashes[i].step, .store = site->store, .nth = crashes[i].nth};

        fs_fault_set_hook(pair_pass, &death);
        add_disk(pair);
        for (unsigned k = 0; k < 40 && !death.dead; k++) {
            pair_write(pair, "a");
            pair_advance(pair, INTERVAL / 4);
            if (!death.dead) {
                pair_discover(pair, NULL);
            }
        }
        fs_fault_set_hook(NULL, NULL);
        assert_true(death.dead);
        pair_restart(site);
        pair_connect(pair);
        pair_discover(pair, NULL);
        live_on(pair);
        check_joined(pair);
        pair_free(pair);
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_is_copied_beside_the_points_and_joins_them),
        cmocka_unit_test(test_it_joins_when_what_is_left_goes_in_an_interval),
        cmocka_unit_test(test_disk_loses_its_label_before_it_joins),
        cmocka_unit_test(test_seeds_that_differ_are_compared),
        cmocka_unit_test(test_site_is_lost_before_the_disk_joins),
#ifdef FARSHORE_FAULTS
        cmocka_unit_test(test_crash_at_any_step),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
