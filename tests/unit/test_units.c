/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/units.h"
#include "farshore/clock.h"

static void assert_duration(const char *text, int64_t expected_ns)
{
    struct fs_error err = FS_ERROR_INIT;
    int64_t ns = -1;

    assert_int_equal(fs_units_parse_duration(text, &ns, &err), 0);
    assert_int_equal(ns, expected_ns);
    assert_false(fs_error_is_set(&err));
}

static void assert_size(const char *text, uint64_t expected)
{
    struct fs_error err = FS_ERROR_INIT;
    uint64_t bytes = 1;

    assert_int_equal(fs_units_parse_size(text, &bytes, &err), 0);
    assert_int_equal(bytes, expected);
}

static void assert_refused(int rc, int expected, const struct fs_error *err, const char *part)
{
    assert_int_equal(rc, expected);
    assert_int_equal(err->class, FS_ERR_CONFIG);
    if (!strstr(err->message, part)) {
        fail_msg("\"%s\" is not in \"%s\"", part, err->message);
    }
}

static void test_duration_with_each_unit_is_nanoseconds(void **state)
{
    (void)state;
    assert_duration("500ms", 500 * FS_MSEC);
    assert_duration("5s", 5 * FS_SEC);
    assert_duration("1 m", 60 * FS_SEC);
    assert_duration("1h", 3600 * FS_SEC);
    assert_duration("2d", 48 * 3600 * FS_SEC);
    assert_duration("0s", 0);
    assert_duration("106751d", INT64_C(106751) * 24 * 3600 * FS_SEC);
}

static void test_duration_malformed_is_refused_with_a_hint(void **state)
{
    static const struct {
        const char *text, *part;
        int rc;
    } cases[] = {
        {"5", "no unit", -EINVAL},
        {"5 ", "no unit", -EINVAL},
        {"", "whole number", -EINVAL},
        {"s", "whole number", -EINVAL},
        {"-5s", "whole number", -EINVAL},
        {"+5s", "whole number", -EINVAL},
        {" 5s", "whole number", -EINVAL},
        {"1.5h", "unknown unit", -EINVAL},
        {"5  s", "unknown unit", -EINVAL},
        {"5 s ", "unknown unit", -EINVAL},
        {"5S", "unknown unit", -EINVAL},
        {"5w", "ms, s, m, h, d", -EINVAL},
        {"1h30m", "unknown unit", -EINVAL},
        {"106752d", "too large", -ERANGE},
        {"18446744073709551615s", "too large", -ERANGE},
        {"18446744073709551616s", "too large", -ERANGE},
        {"99999999999999999999999999s", "too large", -ERANGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_error err = FS_ERROR_INIT;
        int64_t ns = 77;

        assert_refused(fs_units_parse_duration(cases[i].text, &ns, &err), cases[i].rc, &err,
                       cases[i].part);
        assert_int_equal(ns, 77);
    }
}

static void test_size_with_each_unit_is_bytes(void **state)
{
    (void)state;
    assert_size("0 B", 0);
    assert_size("512 B", 512);
    assert_size("64KiB", 65536);
    assert_size("256 MiB", UINT64_C(256) << 20);
    assert_size("1 GiB", UINT64_C(1) << 30);
    assert_size("2TiB", UINT64_C(2) << 40);
    assert_size("4 kB", 4000);
    assert_size("3 MB", 3000000);
    assert_size("5 GB", UINT64_C(5000000000));
    assert_size("1 TB", UINT64_C(1000000000000));
    assert_size("18446744073709551615 B", UINT64_MAX);
}

static void test_size_malformed_is_refused_with_a_hint(void **state)
{
    static const struct {
        const char *text, *part;
        int rc;
    } cases[] = {
        {"256", "no unit", -EINVAL},
        {"256 M", "unknown unit", -EINVAL},
        {"256 mib", "KiB, MiB", -EINVAL},
        {"MiB", "whole number", -EINVAL},
        {"16777216 TiB", "too large", -ERANGE},
        {"18446744073709551616 B", "too large", -ERANGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_error err = FS_ERROR_INIT;
        uint64_t bytes = 77;

        assert_refused(fs_units_parse_size(cases[i].text, &bytes, &err), cases[i].rc, &err,
                       cases[i].part);
        assert_int_equal(bytes, 77);
    }
}

static void test_rate_with_each_unit_is_bytes_a_second(void **state)
{
    static const struct {
        const char *text;
        uint64_t expected;
    } cases[] = {
        {"1 Mbit/s", 125000},
        {"400 Mbit/s", 50000000},
        {"8kbit/s", 1000},
        {"10 Gbit/s", UINT64_C(1250000000)},
        {"3 kB/s", 3000},
        {"50MB/s", 50000000},
        {"2 GB/s", UINT64_C(2000000000)},
        {"64 KiB/s", 65536},
        {"8 MiB/s", 8u << 20},
        {"1 GiB/s", 1u << 30},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_error err = FS_ERROR_INIT;
        uint64_t rate = 0;

        assert_int_equal(fs_units_parse_rate(cases[i].text, &rate, &err), 0);
        assert_int_equal(rate, cases[i].expected);
    }
    struct fs_error err = FS_ERROR_INIT;
    uint64_t rate = 77;
    assert_refused(fs_units_parse_rate("5 Mbps", &rate, &err), -EINVAL, &err, "kbit/s, Mbit/s");
    err = FS_ERROR_INIT;
    assert_refused(fs_units_parse_rate("99999999999 GiB/s", &rate, &err), -ERANGE, &err,
                   "too large");
    assert_int_equal(rate, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_with_each_unit_is_nanoseconds),
        cmocka_unit_test(test_duration_malformed_is_refused_with_a_hint),
        cmocka_unit_test(test_size_with_each_unit_is_bytes),
        cmocka_unit_test(test_rate_with_each_unit_is_bytes_a_second),
        cmocka_unit_test(test_size_malformed_is_refused_with_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
