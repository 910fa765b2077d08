/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/delta_index.h"

#define MIB (UINT64_C(1) << 20)

static uint8_t old[2 * MIB];

static void fill(void)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < sizeof(old); i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        old[i] = (uint8_t)x;
    }
}

static size_t find(const struct fs_delta_index *index, unsigned volume, uint64_t at,
                   const uint8_t *bytes, size_t length, uint64_t most,
                   struct fs_range ranges[FS_DELTA_RANGES_MAX])
{
    struct fs_piece piece = {.extent = {.offset = at, .length = length},
                             .content = (uint8_t *)bytes};
    struct fs_delta_query query = {.volume = volume,
                                   .pieces = &piece,
                                   .n_pieces = 1,
                                   .size = 100 * MIB + 4096,
                                   .window = 4 * MIB,
                                   .most = most};
    return fs_delta_index_find(index, &query, ranges);
}

static void test_find_names_where_it_was(void **state)
{
    struct fs_range ranges[FS_DELTA_RANGES_MAX];
    struct fs_delta_index *index = fs_delta_index_new(MIB);
    (void)state;
    fill();
    fs_delta_index_add(index, 1, 3 * MIB, old, sizeof(old));
    /* Not aligned, and elsewhere: two ranges, since none crosses a window. */
    assert_int_equal(find(index, 1, 50 * MIB, old + MIB - 64000, 128000, MIB, ranges), 2);
    assert_true(ranges[0].offset >= 4 * MIB - 73728 && ranges[0].offset <= 4 * MIB - 49152);
    assert_int_equal(ranges[0].offset + ranges[0].length, 4 * MIB);
    assert_int_equal(ranges[1].offset, 4 * MIB);
    /* Another volume has nothing in common. */
    assert_int_equal(find(index, 0, 50 * MIB, old + MIB, 128000, MIB, ranges), 0);
    /* What is in the same place is not named. */
    assert_int_equal(find(index, 1, 4 * MIB, old + MIB, 131072, MIB, ranges), 0);
    fs_delta_index_free(index);
}

static void test_find_is_bounded(void **state)
{
    struct fs_range ranges[FS_DELTA_RANGES_MAX];
    struct fs_delta_index *index = fs_delta_index_new(MIB);
    uint64_t sum = 0, at = 0;
    (void)state;
    fill();
    fs_delta_index_add(index, 0, 0, old, sizeof(old));
    size_t n = find(index, 0, 50 * MIB, old, MIB, 128 << 10, ranges);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(ranges[i].offset >= at && ranges[i].length > 0);
        at = ranges[i].offset + ranges[i].length;
        sum += ranges[i].length;
    }
    assert_true(sum > 64 << 10 && sum <= 128 << 10);
    /* The last block would reach beyond the base's end. */
    fs_delta_index_add(index, 3, 100 * MIB, old, sizeof(old));
    assert_int_equal(find(index, 3, 50 * MIB, old, 8192, MIB, ranges), 0);
    fs_delta_index_free(index);
}

static void test_zeroes_and_small_pieces_name_nothing(void **state)
{
    static uint8_t zeroes[MIB];
    struct fs_range ranges[FS_DELTA_RANGES_MAX];
    struct fs_delta_index *index = fs_delta_index_new(64 << 10);
    (void)state;
    fs_delta_index_add(index, 0, 0, zeroes, sizeof(zeroes));
    assert_int_equal(find(index, 0, 50 * MIB, zeroes, sizeof(zeroes), MIB, ranges), 0);
    fs_delta_index_add(index, 0, 0, old, 63);
    assert_int_equal(find(index, 0, 50 * MIB, old, 63, MIB, ranges), 0);
    fs_delta_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_names_where_it_was),
        cmocka_unit_test(test_find_is_bounded),
        cmocka_unit_test(test_zeroes_and_small_pieces_name_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
