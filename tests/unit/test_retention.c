/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "farshore/clock.h"
#include "farshore/retention.h"

#define MINUTE INT64_C(60)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MONDAY (INT64_C(19996) * DAY) /* 2024-09-30 00:00 UTC */

static struct fs_uuid id_of(size_t number)
{
    return (struct fs_uuid){{(uint8_t)number, (uint8_t)(number >> 8), 1}};
}

/* Committed points, taken at these moments. */
static struct fs_record *make_record(const int64_t *taken_s, size_t count)
{
    struct fs_record *record = fs_record_new();

    assert_non_null(record);
    for (size_t i = 0; i < count; i++) {
        struct fs_record_point *point = fs_record_add_point(record, 0);

        assert_non_null(point);
        point->point = (struct fs_point_id){.id = id_of(i), .seq = i};
        point->state = FS_POINT_COMMITTED;
        point->taken_ns = taken_s[i] * FS_SEC;
    }
    return record;
}

/* One letter a point: the rule that keeps it (l, h, d, w), '+' for more than one, '-' for none. */
static void expect(const struct fs_retention *rules, const int64_t *taken_s, size_t count,
                   const char *expected)
{
    struct fs_record *record = make_record(taken_s, count);
    unsigned keep[FS_POINTS_MAX];
    char found[FS_POINTS_MAX + 1] = "";

    fs_retention_judge(rules, record, keep);
    for (size_t i = 0; i < count; i++) {
        static const char letters[] = {0, 'l', 'h', 0, 'd', 0, 0, 0, 'w'};
        char letter = keep[i] < sizeof(letters) ? letters[keep[i]] : 0;

        found[i] = keep[i] == 0 ? '-' : letter ? letter : '+';
    }
    assert_string_equal(found, expected);
    fs_record_free(record);
}

static void test_latest_keeps_the_newest(void **state)
{
    (void)state;
    const int64_t taken[] = {MONDAY, MONDAY, MONDAY + 1, MONDAY + 2, MONDAY + HOUR};

    expect(&(struct fs_retention){.latest = 2}, taken, 5, "---ll");
    expect(&(struct fs_retention){.latest = 9}, taken, 5, "lllll");
    expect(&(struct fs_retention){0}, taken, 5, "----l");
    expect(&(struct fs_retention){.latest = 2}, taken, 0, "");
}

static void test_hourly_keeps_the_newest_of_each_hour(void **state)
{
    (void)state;
    /* Two hours without a point between count for nothing. */
    const int64_t taken[] = {
        MONDAY + 10 * MINUTE,       MONDAY + HOUR - 1, MONDAY + HOUR,
        MONDAY + 2 * HOUR - MINUTE, MONDAY + 5 * HOUR, MONDAY + 5 * HOUR + 1,
        MONDAY + 5 * HOUR + 2,
    };

    expect(&(struct fs_retention){.latest = 1, .hourly = 3}, taken, 7, "-h-h--+");
    expect(&(struct fs_retention){.latest = 1, .hourly = 2}, taken, 7, "---h--+");
    expect(&(struct fs_retention){.latest = 2, .hourly = 9}, taken, 7, "-h-h-l+");
}

static void test_weeks_begin_on_monday_in_utc(void **state)
{
    (void)state;
    const int64_t taken[] = {MONDAY - 8 * DAY, MONDAY - 7 * DAY, MONDAY - 1, MONDAY,
                             MONDAY + 6 * DAY};

    expect(&(struct fs_retention){.latest = 1, .weekly = 9}, taken, 5, "w-w-+");
    expect(&(struct fs_retention){.latest = 1, .daily = 3}, taken, 5, "--dd+");
}

static void test_moments_before_1970_are_ordered_too(void **state)
{
    (void)state;
    const int64_t taken[] = {-HOUR - 1, -HOUR, -1, 0};

    expect(&(struct fs_retention){.latest = 1, .hourly = 9}, taken, 4, "h-h+");
}

/* What a target has after a year of points every ten minutes. */
static void test_a_year_thins_out(void **state)
{
    (void)state;
    const struct fs_retention rules = {.latest = 3, .hourly = 24, .daily = 7, .weekly = 4};
    struct fs_record *record = make_record(NULL, 0);
    const struct fs_uuid none = {{0}};

    for (int64_t at = 0; at < 365 * DAY; at += 10 * MINUTE) {
        struct fs_record_point *point = fs_record_add_point(record, 0);

        assert_non_null(point);
        point->point =
            (struct fs_point_id){.id = id_of((size_t)(at / MINUTE)), .seq = (uint64_t)at};
        point->state = FS_POINT_COMMITTED;
        point->taken_ns = (MONDAY + at) * FS_SEC;
        fs_retention_let_go(&rules, record, &none);
        for (size_t i = 0; i < record->n_points;) {
            if (record->points[i].state == FS_POINT_TAKING) {
                const struct fs_uuid id = record->points[i].point.id;

                fs_record_remove_point(record, &id);
            } else {
                i++;
            }
        }
    }
    /* Three latest, of which one also ends the hour, day and week; 23 hours, 6 days, 3 weeks. The
     * newest day and week are among the hours, the week before among the days. */
    int64_t end = MONDAY + 365 * DAY - 10 * MINUTE;
    unsigned keep[FS_POINTS_MAX];
    size_t hours = 0, days = 0, weeks = 0;

    fs_retention_judge(&rules, record, keep);
    for (size_t i = 0; i < record->n_points; i++) {
        int64_t age = end - record->points[i].taken_ns / FS_SEC;

        hours += age < 24 * HOUR;
        days += age < 7 * DAY;
        weeks += age < 28 * DAY;
        assert_int_not_equal(keep[i], 0);
    }
    assert_int_equal(hours, 24 + 2);
    assert_int_equal(days, 24 + 2 + 6);
    assert_int_equal(weeks, record->n_points);
    assert_in_range(record->n_points, 24 + 2 + 6 + 2, 24 + 2 + 6 + 3);
    fs_record_free(record);
}

static void expect_kept(unsigned count, unsigned latest, size_t base, const char *expected)
{
    const int64_t taken[8] = {0};
    struct fs_record *record = make_record(taken, count);
    const struct fs_uuid base_id = id_of(base);
    const struct fs_retention rules = {.latest = latest};
    size_t dropped = fs_retention_let_go(&rules, record, &base_id), kept = 0;

    for (unsigned i = 0; i < count; i++) {
        bool committed = record->points[i].state == FS_POINT_COMMITTED;

        assert_int_equal(committed, expected[i] == '+');
        kept += committed;
    }
    assert_int_equal(dropped, count - kept);
    fs_record_free(record);
}

static void test_the_newest_and_the_base_are_never_let_go(void **state)
{
    (void)state;
    expect_kept(5, 2, 3, "---++");
    expect_kept(5, 1, 3, "---++");
    expect_kept(5, 1, 1, "-+--+");
    expect_kept(5, 9, 3, "+++++");
    expect_kept(3, 0, 99, "--+");
    expect_kept(1, 1, 99, "+");
}

static void test_only_committed_points_count(void **state)
{
    (void)state;
    const int64_t taken[4] = {0};
    struct fs_record *record = make_record(taken, 4);
    const struct fs_uuid none = {{0}};

    record->points[3].state = FS_POINT_COMMITTING;
    record->points[1].state = FS_POINT_TAKING;
    assert_int_equal(fs_retention_let_go(&(struct fs_retention){.latest = 2}, record, &none), 0);
    assert_int_equal(record->points[0].state, FS_POINT_COMMITTED);
    assert_int_equal(record->points[3].state, FS_POINT_COMMITTING);
    assert_int_equal(fs_retention_let_go(&(struct fs_retention){.latest = 1}, record, &none), 1);
    assert_int_equal(record->points[0].state, FS_POINT_TAKING);
    fs_record_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latest_keeps_the_newest),
        cmocka_unit_test(test_hourly_keeps_the_newest_of_each_hour),
        cmocka_unit_test(test_weeks_begin_on_monday_in_utc),
        cmocka_unit_test(test_moments_before_1970_are_ordered_too),
        cmocka_unit_test(test_a_year_thins_out),
        cmocka_unit_test(test_the_newest_and_the_base_are_never_let_go),
        cmocka_unit_test(test_only_committed_points_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
