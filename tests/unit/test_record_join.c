/* SPDX-License-Identifier: Apache-2.0 */
/* A record that takes a volume over from the group that it was, and gives it back. */
#include <stdlib.h>

#include "tests/unit/record_rig.h"

/* A group of one volume with a point before its newest, as another group would take it over. */
static struct fs_record *joining_record(void)
{
    struct fs_record *joining = fs_record_new();
    const struct fs_volume volume = {.uuid = uuid_of(150), .image = {.image_id = "abc"}};

    assert_non_null(joining);
    assert_non_null(fs_record_add_volume(joining, &volume));
    for (uint8_t i = 40; i <= 41; i++) {
        add_point(joining, i, 1);
        joining->points[i - 40].state = FS_POINT_COMMITTED;
        joining->points[i - 40].contents[0].volume = volume.uuid;
        joining->points[i - 40].contents[0].snap_id = i;
    }
    joining->next_seq = 42;
    return joining;
}

static void test_join_brings_the_volume_with_its_newest_point_as_seed(void **state)
{
    (void)state;
    struct fs_record *record = fs_record_new(), *joining = joining_record();
    const struct fs_uuid volume = uuid_of(150), newest = uuid_of(41), older = uuid_of(40);
    const struct fs_record_point *from;

    add_point(record, 3, 1);
    record->points[0].state = FS_POINT_COMMITTED;
    record->next_seq = 4;
    assert_int_equal(fs_record_join(record, joining), 0);
    assert_int_equal(fs_record_join(record, joining), 0);
    assert_int_equal(record->n_volumes, 1);
    assert_int_equal(record->n_points, 3);
    assert_int_equal(record->next_seq, 42); /* numbers are not given out twice */
    assert_int_equal(fs_record_find_point(record, &newest)->state, FS_POINT_SEED);
    assert_int_equal(fs_record_find_point(record, &older)->state, FS_POINT_SEED);
    assert_true(fs_uuid_equal(&fs_record_find_seed(record, &volume)->point.id, &newest));

    /* It is no point of the group's, and a diff of the volume starts there. */
    const struct fs_record_point *base = fs_record_newest_committed(record);
    assert_int_equal(base->point.seq, 3);
    assert_int_equal(fs_record_base_content(record, base, &volume, &from)->snap_id, 41);
    assert_true(fs_uuid_equal(&from->point.id, &newest));
    assert_null(fs_record_base_content(record, NULL, &volume, &from));
    assert_null(from);

    add_point(record, 43, 1);
    fs_record_end_seeds(record, &record->points[3]); /* has another volume */
    assert_non_null(fs_record_find_seed(record, &volume));
    record->points[3].contents[0].volume = volume;
    fs_record_end_seeds(record, &record->points[3]);
    assert_null(fs_record_find_seed(record, &volume));
    assert_int_equal(fs_record_find_point(record, &newest)->state, FS_POINT_TAKING);

    /* It leaves before a point has it, and comes back. */
    record->points[0].state = FS_POINT_SEED;
    fs_record_find_volume(record, &volume)->gone = true;
    add_point(joining, 44, 1);
    joining->points[2].state = FS_POINT_COMMITTED;
    joining->points[2].contents[0].volume = volume;
    assert_int_equal(fs_record_join(record, joining), 0);
    assert_false(fs_record_find_volume(record, &volume)->gone);
    assert_int_equal(fs_record_find_seed(record, &volume)->point.seq, 44);
    assert_int_equal(fs_record_find_point(record, &newest)->state, FS_POINT_SEED);

    joining->n_points -= 2;
    joining->points[0].state = FS_POINT_COMPLETE;
    assert_int_equal(fs_record_join(record, joining), -EINVAL); /* nothing to start from */
    joining->n_points += 2;
    fs_record_free(record);
    fs_record_free(joining);
}

static void test_join_takes_over_what_is_in_doubt(void **state)
{
    (void)state;
    struct fs_record *record = fs_record_new(), *joining = joining_record();
    const struct fs_uuid volume = uuid_of(150);
    const struct fs_volume own = {.uuid = uuid_of(151), .image = {.image_id = "own"}};

    add_point(record, 3, 1);
    record->points[0].state = FS_POINT_COMMITTED;
    assert_non_null(fs_record_add_volume(record, &own));
    record->incoming.present = true;
    record->incoming.base = uuid_of(3);
    record->incoming.n_positions = 1;
    record->incoming.positions = calloc(1, sizeof(*record->incoming.positions));
    record->incoming.positions[0].volume = own.uuid;
    record->incoming.positions[0].position.offset = 4096;
    joining->incoming.present = true;
    joining->incoming.base = uuid_of(98);
    assert_int_equal(fs_record_join(record, joining), 0);
    assert_true(record->incoming.present && fs_uuid_is_zero(&record->incoming.base));
    assert_int_equal(fs_record_incoming_reach(record, &volume), INT64_MAX);
    assert_int_equal(fs_record_incoming_reach(record, &own.uuid), 4096);
    assert_int_equal(record->incoming.positions[0].position.offset, 0);
    assert_false(fs_record_is_resync(record));
    fs_record_free(record);

    record = fs_record_new();
    joining->incoming.base = joining->incoming.point.id = uuid_of(99);
    assert_int_equal(fs_record_join(record, joining), 0);
    assert_true(fs_record_is_resync(record));
    fs_record_free(record);
    fs_record_free(joining);
}

/* The group that it was goes on with it: its record names the snapshots. */
static void test_volume_that_no_point_has_leaves_with_the_role(void **state)
{
    (void)state;
    struct fs_record *record = fs_record_new(), *joining = joining_record();
    const struct fs_uuid volume = uuid_of(150);
    const struct fs_term theirs = {.number = 9, .site = uuid_of(201)};

    record->role = FS_ROLE_PRIMARY;
    assert_int_equal(fs_record_join(record, joining), 0);
    fs_record_become_secondary(record, &theirs);
    assert_true(fs_record_find_volume(record, &volume)->gone);
    fs_record_drop_stale_seeds(record);
    assert_int_equal(record->n_points, 0);
    fs_record_free(record);

    /* Its image is stamped as the group's once a point was to be taken with it. */
    record = fs_record_new();
    record->role = FS_ROLE_PRIMARY;
    assert_int_equal(fs_record_join(record, joining), 0);
    add_point(record, 50, 2);
    record->points[record->n_points - 1].state = FS_POINT_COMPLETE;
    record->points[record->n_points - 1].contents[0].volume = volume;
    fs_record_become_secondary(record, &theirs);
    assert_false(fs_record_find_volume(record, &volume)->gone);
    assert_int_equal(record->points[record->n_points - 1].state, FS_POINT_TAKING);
    fs_record_find_volume(record, &volume)->gone = true; /* the other site has points without it */
    fs_record_drop_stale_seeds(record);
    assert_non_null(fs_record_find_seed(record, &volume)); /* its image may be opened by it */

    /* A site that goes on from its heads keeps it. */
    fs_record_free(record);
    record = fs_record_new();
    assert_int_equal(fs_record_join(record, joining), 0);
    fs_record_become_primary(record);
    assert_non_null(fs_record_find_seed(record, &volume));
    assert_false(fs_record_find_volume(record, &volume)->gone);
    fs_record_free(record);
    fs_record_free(joining);
}

static void test_promotion_leaves_seeds_behind(void **state)
{
    (void)state;
    struct fs_record *record = fs_record_new(), *joining = joining_record();
    const struct fs_uuid volume = uuid_of(150);

    add_point(record, 3, 1);
    record->points[0].state = FS_POINT_COMMITTED;
    assert_int_equal(fs_record_join(record, joining), 0);
    record->promotion = (struct fs_record_promotion){.present = true, .point = uuid_of(3)};
    fs_record_become_primary(record);
    assert_null(fs_record_find_seed(record, &volume));
    assert_true(fs_record_find_volume(record, &volume)->gone);
    fs_record_free(record);
    fs_record_free(joining);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_brings_the_volume_with_its_newest_point_as_seed),
        cmocka_unit_test(test_join_takes_over_what_is_in_doubt),
        cmocka_unit_test(test_volume_that_no_point_has_leaves_with_the_role),
        cmocka_unit_test(test_promotion_leaves_seeds_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
