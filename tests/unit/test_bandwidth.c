/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/bandwidth.h"
#include "farshore/clock.h"

/* 2026-11-23 is a Monday. */
#define MONDAY INT64_C(1795392000)

static int64_t at(unsigned day, unsigned hour, unsigned minute)
{
    return (MONDAY + (int64_t)day * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60) * FS_SEC;
}

static struct fs_window window_of(const char *days, const char *from, const char *to)
{
    struct fs_window window = {.bytes_per_s = 1};
    assert_int_equal(fs_window_parse_days(days, &window.days, NULL), 0);
    assert_int_equal(fs_window_parse_time(from, &window.from, NULL), 0);
    assert_int_equal(fs_window_parse_time(to, &window.to, NULL), 0);
    return window;
}

static void test_days_are_read_and_said(void **state)
{
    static const struct {
        const char *text, *said;
        unsigned days;
    } cases[] = {
        {"mon-fri", "mon-fri", 0x1f},     {"sat,sun", "sat-sun", 0x60},
        {"mon-sun", "mon-sun", 0x7f},     {"wed", "wed", 0x04},
        {"fri-mon", "mon,fri-sun", 0x71}, {"mon,wed,fri-sat", "mon,wed,fri-sat", 0x35},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_window window = window_of(cases[i].text, "08:00", "18:30");
        char said[FS_WINDOW_TEXT], expected[FS_WINDOW_TEXT];
        assert_int_equal(window.days, cases[i].days);
        snprintf(expected, sizeof(expected), "%s 08:00 to 18:30", cases[i].said);
        assert_string_equal(fs_window_format(&window, said), expected);
    }
}

static void test_days_and_times_malformed_are_refused(void **state)
{
    static const char *const days[] = {"",    "mo",       "mon-",      "mon,",   ",mon",
                                       "Mon", "mon-fri-", "mon - fri", "monday", "all"};
    static const char *const times[] = {"", "8:00", "08:60", "24:01", "08.00", "08:00:00", "-1:00"};
    unsigned value;
    (void)state;
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        struct fs_error err = FS_ERROR_INIT;
        assert_int_equal(fs_window_parse_days(days[i], &value, &err), -EINVAL);
        assert_non_null(strstr(err.message, "mon-fri"));
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        assert_int_equal(fs_window_parse_time(times[i], &value, NULL), -EINVAL);
    }
}

static void test_window_holds_from_its_first_minute_to_its_last(void **state)
{
    const struct fs_window window = window_of("mon-fri", "08:00", "18:00");
    (void)state;
    assert_null(fs_window_find(&window, 1, at(0, 7, 59)));
    assert_ptr_equal(fs_window_find(&window, 1, at(0, 8, 0)), &window);
    assert_ptr_equal(fs_window_find(&window, 1, at(4, 17, 59)), &window);
    assert_null(fs_window_find(&window, 1, at(4, 18, 0)));
    assert_null(fs_window_find(&window, 1, at(5, 12, 0)));
    assert_null(fs_window_find(NULL, 0, at(0, 12, 0)));
}

static void test_window_over_midnight_belongs_to_the_day_it_begins(void **state)
{
    const struct fs_window window = window_of("sun", "22:00", "06:00");
    (void)state;
    assert_null(fs_window_find(&window, 1, at(6, 5, 0)));
    assert_ptr_equal(fs_window_find(&window, 1, at(6, 22, 0)), &window);
    assert_ptr_equal(fs_window_find(&window, 1, at(7, 5, 59)), &window); /* Monday */
    assert_null(fs_window_find(&window, 1, at(7, 6, 0)));
    assert_null(fs_window_find(&window, 1, at(7, 22, 0)));
}

static void test_first_of_overlapping_windows_counts(void **state)
{
    const struct fs_window windows[] = {window_of("wed", "10:00", "11:00"),
                                        window_of("mon-sun", "00:00", "24:00")};
    (void)state;
    assert_ptr_equal(fs_window_find(windows, 2, at(2, 10, 30)), &windows[0]);
    assert_ptr_equal(fs_window_find(windows, 2, at(2, 11, 0)), &windows[1]);
    assert_ptr_equal(fs_window_find(windows, 2, at(2, 23, 59)), &windows[1]);
}

/* Times are those of the wall clock at the site, across its changes. */
static void test_window_follows_local_time(void **state)
{
    const struct fs_window window = window_of("mon-sun", "08:00", "09:00");
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    assert_ptr_equal(fs_window_find(&window, 1, at(0, 7, 0)), &window); /* winter: UTC + 1 */
    assert_null(fs_window_find(&window, 1, at(0, 6, 0)));
    assert_ptr_equal(fs_window_find(&window, 1, at(210, 6, 0)), &window); /* June: UTC + 2 */
    setenv("TZ", "UTC", 1);
    tzset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days_are_read_and_said),
        cmocka_unit_test(test_days_and_times_malformed_are_refused),
        cmocka_unit_test(test_window_holds_from_its_first_minute_to_its_last),
        cmocka_unit_test(test_window_over_midnight_belongs_to_the_day_it_begins),
        cmocka_unit_test(test_first_of_overlapping_windows_counts),
        cmocka_unit_test(test_window_follows_local_time),
    };
    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
