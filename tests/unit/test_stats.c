/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/stats.h"

static void test_histogram_counts_bounds_as_inside(void **state)
{
    (void)state;
    struct fs_group_stats stats;

    fs_group_stats_init(&stats);
    struct fs_histogram *histogram = &stats.sync_duration;
    assert_in_range(histogram->n_bounds, 1, FS_BUCKETS_MAX);
    fs_histogram_observe_ns(histogram, 100 * FS_MSEC);
    fs_histogram_observe_ns(histogram, 700 * FS_MSEC);
    fs_histogram_observe_ns(histogram, 1000000 * FS_SEC);
    fs_histogram_observe_ns(histogram, -5);
    assert_int_equal(fs_histogram_cumulative(histogram, 0), 2);
    assert_int_equal(fs_histogram_cumulative(histogram, 2), 3);
    assert_int_equal(fs_histogram_cumulative(histogram, histogram->n_bounds), 4);
    assert_int_equal(histogram->count, 4);
    assert_true(histogram->sum > 1000000 && histogram->sum < 1000001);
}

static void test_failures_of_one_reason_are_one_count(void **state)
{
    (void)state;
    struct fs_group_stats stats;

    fs_group_stats_init(&stats);
    fs_group_stats_failed(&stats, "transient");
    fs_group_stats_failed(&stats, "no_space");
    fs_group_stats_failed(&stats, "transient");
    assert_int_equal(stats.n_failures, 2);
    assert_string_equal(stats.failures[0].reason, "transient");
    assert_int_equal(stats.failures[0].count, 2);
}

static void test_compression_is_that_of_the_newest_transfer_with_content(void **state)
{
    (void)state;
    struct fs_group_stats stats;

    fs_group_stats_init(&stats);
    assert_true(stats.compression_ratio == 0);
    fs_group_stats_add(&stats,
                       &(struct fs_transfer_stats){.content_bytes = 600, .wire_bytes = 200});
    assert_true(stats.compression_ratio == 3);
    fs_group_stats_add(&stats, &(struct fs_transfer_stats){.wire_bytes = 32});
    assert_true(stats.compression_ratio == 3);
    fs_group_stats_add(&stats, &(struct fs_transfer_stats){.content_bytes = 64, .wire_bytes = 64});
    assert_true(stats.compression_ratio == 1);
    assert_int_equal(stats.total.wire_bytes, 296);
}

static void test_rate_of_a_steady_transfer_is_its_speed(void **state)
{
    (void)state;
    struct fs_rate rate = {0};

    assert_true(fs_rate_eta_s(&rate, 100) < 0);
    for (int64_t i = 1; i <= 20; i++) {
        fs_rate_sample(&rate, (uint64_t)i * 1000, i * FS_SEC);
    }
    assert_true(rate.bytes_per_s > 999 && rate.bytes_per_s < 1001);
    double eta = fs_rate_eta_s(&rate, 5000);
    assert_true(eta > 4.9 && eta < 5.1);
    assert_int_equal(rate.moved_ns, 20 * FS_SEC);
    fs_rate_sample(&rate, 20000, 30 * FS_SEC);
    assert_int_equal(rate.moved_ns, 20 * FS_SEC);
    assert_true(rate.bytes_per_s < 999);
    /* A new transfer begins anew. */
    fs_rate_sample(&rate, 0, 31 * FS_SEC);
    assert_true(rate.bytes_per_s < 1);
    assert_true(fs_rate_eta_s(&rate, 0) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_counts_bounds_as_inside),
        cmocka_unit_test(test_failures_of_one_reason_are_one_count),
        cmocka_unit_test(test_compression_is_that_of_the_newest_transfer_with_content),
        cmocka_unit_test(test_rate_of_a_steady_transfer_is_its_speed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
