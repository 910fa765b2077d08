/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/trim.h"

/* A window in which the queue goes up and down between least and most. */
static void pass(struct fs_trim *trim, int64_t *now, uint64_t least, uint64_t most)
{
    for (int64_t at = 0; at < FS_TRIM_WINDOW_NS; at += 5 * FS_SEC) {
        *now += 5 * FS_SEC;
        (void)fs_trim_observe(trim, at / FS_SEC % 2 ? most : least, *now);
    }
}

static void test_queue_that_only_goes_up_and_down_is_no_reason(void **state)
{
    struct fs_trim trim = {0};
    int64_t now = FS_SEC;

    (void)state;
    for (int i = 0; i < 50; i++) {
        pass(&trim, &now, 5000, 5000 + (uint64_t)i * 1000);
        assert_int_equal(fs_trim_factor(&trim), 1);
    }
}

static void test_short_queue_is_no_reason(void **state)
{
    struct fs_trim trim = {0};
    int64_t now = FS_SEC;

    (void)state;
    for (uint64_t i = 1; i < FS_TRIM_MIN; i++) {
        pass(&trim, &now, i, 2 * FS_TRIM_MIN);
        assert_int_equal(fs_trim_factor(&trim), 1);
    }
}

static void test_queue_that_grows_without_end_slows_down_up_to_a_bound(void **state)
{
    static const unsigned expected[] = {1, 1, 1, 2, 4, 8, 8, 8};
    struct fs_trim trim = {0};
    int64_t now = FS_SEC;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        pass(&trim, &now, 1000u << i, 3000u << i);
        assert_int_equal(fs_trim_factor(&trim), expected[i]);
    }
}

static void test_queue_that_shrinks_speeds_up_again(void **state)
{
    struct fs_trim trim = {0};
    int64_t now = FS_SEC;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        pass(&trim, &now, 1000u << i, 3000u << i);
    }
    assert_int_equal(fs_trim_factor(&trim), 8);
    pass(&trim, &now, 64000, 70000); /* judged: the last one that grew */
    pass(&trim, &now, 64000, 70000); /* judged: grown once more */
    assert_int_equal(fs_trim_factor(&trim), 8);
    pass(&trim, &now, 30000, 70000); /* judged: as it was */
    assert_int_equal(fs_trim_factor(&trim), 8);
    pass(&trim, &now, 10000, 70000);
    assert_int_equal(fs_trim_factor(&trim), 4);
    pass(&trim, &now, 50, 70000);
    assert_int_equal(fs_trim_factor(&trim), 2);
    pass(&trim, &now, 40, 70000);
    assert_int_equal(fs_trim_factor(&trim), 1);
}

static void test_unknown_length_holds_nobody_back(void **state)
{
    struct fs_trim trim = {0};
    int64_t now = FS_SEC;

    (void)state;
    assert_false(fs_trim_forget(&trim));
    for (unsigned i = 0; i < 6; i++) {
        pass(&trim, &now, 1000u << i, 3000u << i);
    }
    assert_true(fs_trim_forget(&trim));
    assert_int_equal(fs_trim_factor(&trim), 1);
    pass(&trim, &now, 1u << 20, 1u << 20); /* begins anew */
    pass(&trim, &now, 1u << 20, 1u << 20);
    assert_int_equal(fs_trim_factor(&trim), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_that_only_goes_up_and_down_is_no_reason),
        cmocka_unit_test(test_short_queue_is_no_reason),
        cmocka_unit_test(test_queue_that_grows_without_end_slows_down_up_to_a_bound),
        cmocka_unit_test(test_queue_that_shrinks_speeds_up_again),
        cmocka_unit_test(test_unknown_length_holds_nobody_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
