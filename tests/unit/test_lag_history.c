/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/lag_history.h"

#define STEP FS_LAG_STEP_NS

static void test_sample_keeps_the_largest_of_a_step(void **state)
{
    (void)state;
    struct fs_lag_history history;
    fs_lag_history_init(&history);
    fs_lag_history_sample(&history, 3 * FS_SEC, 10 * STEP);
    fs_lag_history_sample(&history, 9 * FS_SEC, 10 * STEP + FS_SEC);
    fs_lag_history_sample(&history, 1 * FS_SEC, 11 * STEP - 1);
    assert_true(fs_lag_history_get(&history, 0) == 9);
    assert_true(fs_lag_history_get(&history, 1) < 0);
}

static void test_sample_after_a_gap_leaves_it_unknown(void **state)
{
    (void)state;
    struct fs_lag_history history;
    fs_lag_history_init(&history);
    fs_lag_history_sample(&history, 5 * FS_SEC, 10 * STEP);
    fs_lag_history_sample(&history, -1, 12 * STEP);
    fs_lag_history_sample(&history, 7 * FS_SEC, 13 * STEP);
    assert_true(fs_lag_history_get(&history, 0) == 7);
    assert_true(fs_lag_history_get(&history, 1) < 0);
    assert_true(fs_lag_history_get(&history, 2) < 0);
    assert_true(fs_lag_history_get(&history, 3) == 5);
}

static void test_sample_after_a_day_forgets(void **state)
{
    (void)state;
    struct fs_lag_history history;
    fs_lag_history_init(&history);
    for (int64_t i = 0; i < 2 * FS_LAG_STEPS; i++) {
        fs_lag_history_sample(&history, i * FS_SEC, i * STEP);
    }
    assert_true(fs_lag_history_get(&history, 0) == 2 * FS_LAG_STEPS - 1);
    assert_true(fs_lag_history_get(&history, FS_LAG_STEPS - 1) == FS_LAG_STEPS);
    assert_true(fs_lag_history_get(&history, FS_LAG_STEPS) < 0);
    fs_lag_history_sample(&history, FS_SEC, 100 * FS_LAG_STEPS * STEP);
    assert_true(fs_lag_history_get(&history, 0) == 1);
    for (size_t age = 1; age < FS_LAG_STEPS; age++) {
        assert_true(fs_lag_history_get(&history, age) < 0);
    }
}

static void test_sample_from_the_past_changes_nothing(void **state)
{
    (void)state;
    struct fs_lag_history history;
    fs_lag_history_init(&history);
    assert_true(fs_lag_history_get(&history, 0) < 0);
    fs_lag_history_sample(&history, 2 * FS_SEC, 10 * STEP);
    fs_lag_history_sample(&history, 8 * FS_SEC, 9 * STEP);
    assert_true(fs_lag_history_get(&history, 0) == 2);
    assert_true(fs_lag_history_get(&history, 1) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_keeps_the_largest_of_a_step),
        cmocka_unit_test(test_sample_after_a_gap_leaves_it_unknown),
        cmocka_unit_test(test_sample_after_a_day_forgets),
        cmocka_unit_test(test_sample_from_the_past_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
