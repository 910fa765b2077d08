/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "snapshot/admit.h"

static struct fs_uuid uuid_of(uint8_t number)
{
    return (struct fs_uuid){{number}};
}

/* Points 1 to count, all committed; point N has the id N. */
static struct fs_record *make_record(unsigned count)
{
    struct fs_record *record = fs_record_new();

    assert_non_null(record);
    snprintf(record->name, sizeof(record->name), "rbd/vm");
    record->role = FS_ROLE_SECONDARY;
    record->term = (struct fs_term){.number = 3, .site = uuid_of(1)};
    for (unsigned i = 1; i <= count; i++) {
        struct fs_record_point *point = fs_record_add_point(record, 0);

        assert_non_null(point);
        point->point = (struct fs_point_id){.id = uuid_of((uint8_t)i), .seq = i};
        point->state = FS_POINT_COMMITTED;
    }
    return record;
}

static void expect_term(enum fs_role role, uint64_t number, uint8_t site, enum fs_refusal expected)
{
    struct fs_record *record = make_record(0);
    struct fs_offer offer = {.term = {.number = number, .site = uuid_of(site)}};
    enum fs_refusal refusal = FS_REFUSE_NONE;
    struct fs_error err = FS_ERROR_INIT;
    int rc;

    record->role = role;
    rc = fs_admit_term(record, &offer, &refusal, &err);
    assert_int_equal(refusal, expected);
    assert_int_equal(rc == 0, expected == FS_REFUSE_NONE);
    assert_int_equal(fs_error_is_set(&err), expected != FS_REFUSE_NONE);
    fs_record_free(record);
}

static void test_term_decides_who_may_write(void **state)
{
    (void)state;
    struct fs_offer offer = {.term = {.number = 1}};
    enum fs_refusal refusal = FS_REFUSE_NONE;

    expect_term(FS_ROLE_SECONDARY, 3, 1, FS_REFUSE_NONE);
    expect_term(FS_ROLE_SECONDARY, 4, 2, FS_REFUSE_NONE);
    expect_term(FS_ROLE_SECONDARY, 2, 1, FS_REFUSE_STALE_TERM);
    expect_term(FS_ROLE_SECONDARY, 3, 2, FS_REFUSE_SPLIT_BRAIN);
    expect_term(FS_ROLE_PRIMARY, 3, 1, FS_REFUSE_NOT_SECONDARY);
    expect_term(FS_ROLE_PRIMARY, 3, 2, FS_REFUSE_SPLIT_BRAIN);
    expect_term(FS_ROLE_RECORD_LOST, 9, 1, FS_REFUSE_NOT_SECONDARY);
    assert_int_equal(fs_admit_term(NULL, &offer, &refusal, NULL), 0);
}

static void expect_version(uint64_t number, uint64_t version, uint64_t seq,
                           enum fs_refusal expected)
{
    struct fs_record *record = make_record(4);
    const struct fs_term term = {.number = number, .site = uuid_of(1)};
    const struct fs_offer offer = {
        .term = term, .record_version = version, .point = {.term = term, .seq = seq}};
    enum fs_refusal refusal = FS_REFUSE_NONE;
    struct fs_error err = FS_ERROR_INIT;

    record->peer_term = record->term;
    record->peer_version = 50;
    record->points[3].point.term = record->term;
    assert_int_equal(fs_admit_version(record, &offer, &refusal, &err),
                     expected == FS_REFUSE_NONE ? 0 : -EBADFD);
    assert_int_equal(refusal, expected);
    fs_record_free(record);
}

static void test_sender_that_went_back_in_time_is_refused(void **state)
{
    (void)state;
    const struct fs_offer offer = {.record_version = 1};
    enum fs_refusal refusal = FS_REFUSE_NONE;

    expect_version(3, 50, 5, FS_REFUSE_NONE);
    expect_version(3, 51, 9, FS_REFUSE_NONE);
    expect_version(3, 49, 5, FS_REFUSE_RECORD_LOST);
    expect_version(3, 51, 4, FS_REFUSE_RECORD_LOST); /* a number that is used up */
    expect_version(4, 1, 1, FS_REFUSE_NONE);         /* promoted since: other records */
    assert_int_equal(fs_admit_version(NULL, &offer, &refusal, NULL), 0);
}

static void test_target_that_went_back_in_time_is_refused(void **state)
{
    (void)state;
    struct fs_record *record = make_record(4);
    struct fs_offer offer = {.name = "a", .peer_version = 50};
    enum fs_refusal refusal = FS_REFUSE_NONE;
    struct fs_error err = FS_ERROR_INIT;

    record->version = 50;
    assert_int_equal(fs_admit_seen(record, &offer, &refusal, &err), 0);
    record->version = 49;
    assert_int_equal(fs_admit_seen(record, &offer, &refusal, &err), -EBADFD);
    assert_int_equal(refusal, FS_REFUSE_RECORD_LOST);
    assert_non_null(strstr(err.message, "version 49"));

    refusal = FS_REFUSE_NONE;
    assert_int_equal(fs_admit_seen(NULL, &offer, &refusal, NULL), -EBADFD);
    assert_int_equal(refusal, FS_REFUSE_RECORD_LOST);
    offer.peer_version = 0; /* it has never seen one */
    assert_int_equal(fs_admit_seen(NULL, &offer, &refusal, NULL), 0);
    fs_record_free(record);
}

static void test_pool_is_matched_with_its_namespace(void **state)
{
    (void)state;
    const struct fs_pool_map maps[] = {
        {.source_pool = "a", .target_pool = "x"},
        {.source_pool = "a", .source_ns = "n", .target_pool = "y"},
    };
    const struct fs_admission admission = {.pools = maps, .n_pools = 2};

    const char *pool, *ns;

    assert_true(fs_admit_place(&admission, "a", "", &pool, &ns));
    assert_ptr_equal(pool, maps[0].target_pool);
    assert_true(fs_admit_place(&admission, "a", "n", &pool, &ns));
    assert_ptr_equal(pool, maps[1].target_pool);
    assert_ptr_equal(ns, maps[1].target_ns);
    assert_false(fs_admit_place(&admission, "a", "m", &pool, &ns));
    assert_false(fs_admit_place(&admission, "z", "", &pool, &ns));
    /* The way back. */
    assert_true(fs_admit_place(&admission, maps[1].target_pool, maps[1].target_ns, &pool, &ns));
    assert_string_equal(pool, "a");
    assert_string_equal(ns, "n");
}

static void test_base_is_the_newest_common_point(void **state)
{
    (void)state;
    struct fs_record *record = make_record(4);
    struct fs_uuid held[] = {uuid_of(1), uuid_of(3), uuid_of(4), uuid_of(9)};
    struct fs_offer offer = {.n_held = 4, .held = held};
    const struct fs_record_point *base;
    enum fs_refusal refusal = FS_REFUSE_NONE;
    struct fs_error err = FS_ERROR_INIT;
    bool gone = true;

    record->points[3].state = FS_POINT_COMMITTING; /* not a point yet */
    assert_int_equal(fs_admit_base(record, &offer, &base, &gone, &refusal, &err), 0);
    assert_int_equal(base->point.seq, 3);
    assert_false(gone);
    fs_record_free(record);
}

static void test_base_that_is_gone_is_told_from_histories_that_parted(void **state)
{
    (void)state;
    struct fs_record *record = make_record(4);
    struct fs_offer offer = {.term = {.number = 7, .site = uuid_of(1)}};
    const struct fs_record_point *base = record->points;
    enum fs_refusal refusal = FS_REFUSE_NONE;
    struct fs_error err = FS_ERROR_INIT;
    bool gone = false;

    record->points[3].point.term = offer.term; /* the newest decides */
    assert_int_equal(fs_admit_base(record, &offer, &base, &gone, &refusal, &err), 0);
    assert_true(gone);
    assert_null(base);

    offer.term.number = 8;
    assert_int_equal(fs_admit_base(record, &offer, &base, &gone, &refusal, &err), -ENOENT);
    assert_int_equal(refusal, FS_REFUSE_NO_BASE);
    assert_non_null(strstr(err.message, "parted"));
    offer.term = (struct fs_term){.number = 7, .site = uuid_of(2)};
    assert_int_equal(fs_admit_base(record, &offer, &base, &gone, &refusal, NULL), -ENOENT);
    assert_null(base);

    /* An operator said so: a resync is stored as a transfer that is its own base. */
    record->incoming.present = true;
    record->incoming.point.id = record->incoming.base = uuid_of(77);
    assert_int_equal(fs_admit_base(record, &offer, &base, &gone, &refusal, NULL), 0);
    assert_true(gone);
    assert_null(base);
    fs_record_free(record);
}

static void test_base_of_an_empty_record_is_a_first_copy(void **state)
{
    (void)state;
    struct fs_record *record = make_record(1);
    struct fs_offer offer = {0};
    const struct fs_record_point *base;
    enum fs_refusal refusal = FS_REFUSE_NONE;
    bool gone = true;

    record->points[0].state = FS_POINT_TAKING;
    assert_int_equal(fs_admit_base(record, &offer, &base, &gone, &refusal, NULL), 0);
    assert_null(base);
    assert_false(gone);
    assert_int_equal(fs_admit_base(NULL, &offer, &base, &gone, &refusal, NULL), 0);
    assert_null(base);
    assert_false(gone);
    fs_record_free(record);
}

static void test_first_refusal_wins(void **state)
{
    (void)state;
    enum fs_refusal refusal = FS_REFUSE_NONE;
    struct fs_error err = FS_ERROR_INIT;

    assert_int_equal(fs_refuse(&refusal, FS_REFUSE_BUSY, &err, FS_ERR_TRANSIENT, EBUSY, "a %d", 1),
                     -EBUSY);
    assert_int_equal(fs_refuse(&refusal, FS_REFUSE_BROKEN, &err, FS_ERR_CONFIG, EIO, "b"), -EIO);
    assert_int_equal(refusal, FS_REFUSE_BUSY);
    assert_string_equal(err.message, "a 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_term_decides_who_may_write),
        cmocka_unit_test(test_sender_that_went_back_in_time_is_refused),
        cmocka_unit_test(test_pool_is_matched_with_its_namespace),
        cmocka_unit_test(test_target_that_went_back_in_time_is_refused),
        cmocka_unit_test(test_base_is_the_newest_common_point),
        cmocka_unit_test(test_base_that_is_gone_is_told_from_histories_that_parted),
        cmocka_unit_test(test_base_of_an_empty_record_is_a_first_copy),
        cmocka_unit_test(test_first_refusal_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
