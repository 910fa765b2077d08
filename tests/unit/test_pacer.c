/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "farshore/clock.h"
#include "farshore/pacer.h"

#define START (1000 * FS_SEC)

/* Sends whenever it is open, as one who waits for it does; wakes late by up to late_ns. */
static uint64_t send_for(struct fs_pacer *pacer, int64_t from, int64_t ns, uint64_t frame,
                         int64_t late_ns)
{
    uint64_t sent = 0;
    unsigned seed = 1;
    int64_t now = from;
    while (now < from + ns) {
        while (fs_pacer_is_open(pacer, now)) {
            fs_pacer_charge(pacer, frame, now);
            sent += frame;
        }
        int64_t next = fs_pacer_next(pacer);
        assert_true(next > now);
        now = next + (late_ns > 0 ? rand_r(&seed) % late_ns : 0);
    }
    return sent;
}

static void test_open_without_a_rate(void **state)
{
    struct fs_pacer pacer = {0};
    (void)state;
    fs_pacer_charge(&pacer, 1 << 30, START);
    assert_true(fs_pacer_is_open(&pacer, START));
    assert_int_equal(fs_pacer_segment(&pacer, 1 << 20), 1 << 20);
}

static void test_rate_over_ten_seconds_is_exact_to_a_twentieth(void **state)
{
    static const uint64_t rates[] = {FS_PACER_RATE_MIN, 12500000, 50000000, UINT64_C(1250000000)};
    static const int64_t late[] = {0, 3 * FS_MSEC, 80 * FS_MSEC};
    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (size_t k = 0; k < sizeof(late) / sizeof(late[0]); k++) {
            struct fs_pacer pacer = {0};
            fs_pacer_set(&pacer, rates[i], START);
            /* After an idle time, which it may not make up for. */
            uint64_t sent = send_for(&pacer, START + 60 * FS_SEC, 10 * FS_SEC,
                                     fs_pacer_segment(&pacer, 1 << 20), late[k]);
            assert_in_range(sent, rates[i] * 10 * 95 / 100, rates[i] * 10 * 105 / 100);
        }
    }
}

static void test_charge_while_closed_is_paid_back(void **state)
{
    struct fs_pacer pacer = {0};
    (void)state;
    fs_pacer_set(&pacer, 1000000, START);
    fs_pacer_charge(&pacer, 3000000, START);
    assert_false(fs_pacer_is_open(&pacer, START + 2 * FS_SEC));
    fs_pacer_charge(&pacer, 1000000, START);
    assert_false(fs_pacer_is_open(&pacer, START + 3 * FS_SEC));
    assert_true(fs_pacer_is_open(&pacer, START + 4 * FS_SEC));
}

static void test_set_keeps_what_is_owed_in_bytes(void **state)
{
    struct fs_pacer pacer = {0};
    (void)state;
    fs_pacer_set(&pacer, 1000000, START);
    fs_pacer_charge(&pacer, 1000000, START);
    fs_pacer_set(&pacer, 500000, START);
    assert_false(fs_pacer_is_open(&pacer, START + 2 * FS_SEC - 1));
    assert_true(fs_pacer_is_open(&pacer, START + 2 * FS_SEC));
    fs_pacer_set(&pacer, 4000000, START);
    assert_true(fs_pacer_is_open(&pacer, START + FS_SEC / 4));
    fs_pacer_set(&pacer, 0, START);
    assert_true(fs_pacer_is_open(&pacer, START));
    /* What was sent while there was no limit is not owed when there is one. */
    fs_pacer_charge(&pacer, 1 << 30, START);
    fs_pacer_set(&pacer, 1000000, START);
    assert_true(fs_pacer_is_open(&pacer, START));
}

static void test_segment_is_short_in_time_and_aligned(void **state)
{
    static const uint64_t rates[] = {FS_PACER_RATE_MIN, 1000000, 12345678, 1000000000};
    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct fs_pacer pacer = {0};
        fs_pacer_set(&pacer, rates[i], START);
        uint64_t segment = fs_pacer_segment(&pacer, 1 << 20);
        assert_in_range(segment, 16384, 1 << 20);
        assert_int_equal(segment % 4096, 0);
        assert_true(segment == 16384 || segment <= rates[i] / 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_without_a_rate),
        cmocka_unit_test(test_rate_over_ten_seconds_is_exact_to_a_twentieth),
        cmocka_unit_test(test_charge_while_closed_is_paid_back),
        cmocka_unit_test(test_set_keeps_what_is_owed_in_bytes),
        cmocka_unit_test(test_segment_is_short_in_time_and_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
