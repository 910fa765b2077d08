/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/schedule.h"

static void test_slots_with_first_copies_leave_room_for_others(void **state)
{
    (void)state;
    struct fs_slots slots = {.running = FS_SLOTS_FIRST_COPIES,
                             .first_copies = FS_SLOTS_FIRST_COPIES};

    assert_false(fs_slots_free(&slots, true));
    assert_true(fs_slots_free(&slots, false));
    slots.running = FS_SLOTS_PER_PEER;
    assert_false(fs_slots_free(&slots, false));
}

static void test_stagger_of_many_groups_spreads_over_the_interval(void **state)
{
    (void)state;
    unsigned seconds[10] = {0};

    for (unsigned i = 0; i < 1000; i++) {
        struct fs_uuid uuid = {{0}};
        memcpy(uuid.b, &i, sizeof(i));
        int64_t wait = fs_schedule_stagger_ns(&uuid, 60 * FS_SEC);
        assert_in_range(wait, 0, FS_STAGGER_MAX_NS - 1);
        assert_int_equal(wait, fs_schedule_stagger_ns(&uuid, 60 * FS_SEC));
        seconds[wait / FS_SEC]++;
        assert_in_range(fs_schedule_stagger_ns(&uuid, FS_SEC), 0, FS_SEC - 1);
    }
    for (size_t i = 0; i < 10; i++) {
        assert_in_range(seconds[i], 50, 200);
    }
}

static void test_backoff_doubles_up_to_the_interval(void **state)
{
    (void)state;
    assert_int_equal(fs_schedule_backoff_ns(1, 3600 * FS_SEC), FS_SEC);
    assert_int_equal(fs_schedule_backoff_ns(2, 3600 * FS_SEC), 2 * FS_SEC);
    assert_int_equal(fs_schedule_backoff_ns(4, 3600 * FS_SEC), 8 * FS_SEC);
    assert_int_equal(fs_schedule_backoff_ns(100000, 3600 * FS_SEC), 60 * FS_SEC);
    assert_int_equal(fs_schedule_backoff_ns(9, 5 * FS_SEC), 5 * FS_SEC);
    assert_int_equal(fs_schedule_backoff_ns(9, FS_MSEC), FS_SEC);
}

static void test_sort_puts_requests_then_the_most_overdue_first(void **state)
{
    (void)state;
    struct fs_candidate candidates[] = {
        {.deadline_ns = 30, .group = {{3}}},
        {.deadline_ns = INT64_MIN, .group = {{9}}},
        {.deadline_ns = 10, .group = {{2}}},
        {.deadline_ns = 10, .group = {{1}}},
    };

    fs_schedule_sort(candidates, 4);
    assert_int_equal(candidates[0].group.b[0], 9);
    assert_int_equal(candidates[1].group.b[0], 1);
    assert_int_equal(candidates[2].group.b[0], 2);
    assert_int_equal(candidates[3].group.b[0], 3);
    fs_schedule_sort(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_with_first_copies_leave_room_for_others),
        cmocka_unit_test(test_stagger_of_many_groups_spreads_over_the_interval),
        cmocka_unit_test(test_backoff_doubles_up_to_the_interval),
        cmocka_unit_test(test_sort_puts_requests_then_the_most_overdue_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
