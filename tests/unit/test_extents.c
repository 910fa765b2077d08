/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/extents.h"

#define SPACE 200

static void add(struct fs_extents *extents, uint64_t offset, uint64_t length,
                enum fs_extent_kind kind)
{
    struct fs_extent extent = {.offset = offset, .length = length, .kind = kind};

    assert_int_equal(fs_extents_add(extents, &extent, 0, UINT64_MAX), 0);
}

static void check(struct fs_extents *extents, size_t index, uint64_t offset, uint64_t length,
                  enum fs_extent_kind kind)
{
    assert_true(index < extents->count);
    assert_int_equal(extents->items[index].offset, offset);
    assert_int_equal(extents->items[index].length, length);
    assert_int_equal(extents->items[index].kind, kind);
}

static void test_extents_add_touching_of_one_kind_merges(void **state)
{
    struct fs_extents extents = FS_EXTENTS_INIT;

    (void)state;
    add(&extents, 0, 10, FS_EXTENT_DATA);
    add(&extents, 10, 5, FS_EXTENT_DATA);
    add(&extents, 15, 5, FS_EXTENT_ZERO);
    add(&extents, 30, 5, FS_EXTENT_ZERO);
    assert_true(extents.sorted);
    assert_int_equal(extents.count, 3);
    check(&extents, 0, 0, 15, FS_EXTENT_DATA);
    check(&extents, 1, 15, 5, FS_EXTENT_ZERO);
    fs_extents_fini(&extents);
}

static void test_extents_add_outside_is_clipped(void **state)
{
    struct fs_extents extents = FS_EXTENTS_INIT;

    (void)state;
    assert_int_equal(fs_extents_add(&extents, &(struct fs_extent){0, 100, FS_EXTENT_DATA}, 20, 50),
                     0);
    assert_int_equal(fs_extents_add(&extents, &(struct fs_extent){60, 10, FS_EXTENT_DATA}, 20, 50),
                     0);
    assert_int_equal(fs_extents_add(&extents, &(struct fs_extent){0, 20, FS_EXTENT_DATA}, 20, 50),
                     0);
    assert_int_equal(extents.count, 1);
    check(&extents, 0, 20, 30, FS_EXTENT_DATA);
    fs_extents_fini(&extents);
}

static void test_extents_add_end_above_u64_is_clipped(void **state)
{
    struct fs_extents extents = FS_EXTENTS_INIT;
    struct fs_extent extent = {.offset = UINT64_MAX - 10, .length = 100};

    (void)state;
    assert_int_equal(fs_extents_add(&extents, &extent, 0, UINT64_MAX - 5), 0);
    check(&extents, 0, UINT64_MAX - 10, 5, FS_EXTENT_DATA);
    fs_extents_fini(&extents);
}

static void test_extents_normalize_data_wins_over_zero(void **state)
{
    struct fs_extents extents = FS_EXTENTS_INIT;

    (void)state;
    add(&extents, 50, 10, FS_EXTENT_DATA);
    add(&extents, 0, 100, FS_EXTENT_ZERO);
    assert_false(extents.sorted);
    assert_int_equal(fs_extents_normalize(&extents), 0);
    assert_int_equal(extents.count, 3);
    check(&extents, 0, 0, 50, FS_EXTENT_ZERO);
    check(&extents, 1, 50, 10, FS_EXTENT_DATA);
    check(&extents, 2, 60, 40, FS_EXTENT_ZERO);
    fs_extents_fini(&extents);
}

/* Against a byte map, for many random sets. */
static void test_extents_normalize_random_equals_byte_map(void **state)
{
    (void)state;
    srandom(4711);
    for (unsigned round = 0; round < 5000; round++) {
        struct fs_extents extents = FS_EXTENTS_INIT;
        uint8_t wanted[SPACE] = {0}, got[SPACE] = {0}; /* 0 nothing, 1 zero, 2 data */
        uint64_t at = 0;
        int last_kind = -1;

        for (long n = random() % 12; n > 0; n--) {
            uint64_t offset = (uint64_t)random() % SPACE;
            uint64_t length = (uint64_t)random() % (SPACE - offset) + 1;
            enum fs_extent_kind kind = random() % 2 ? FS_EXTENT_DATA : FS_EXTENT_ZERO;
            uint8_t value = kind == FS_EXTENT_DATA ? 2 : 1;

            add(&extents, offset, length, kind);
            for (uint64_t i = offset; i < offset + length; i++) {
                wanted[i] = wanted[i] > value ? wanted[i] : value;
            }
        }
        assert_int_equal(fs_extents_normalize(&extents), 0);
        for (size_t i = 0; i < extents.count; i++) {
            const struct fs_extent *extent = &extents.items[i];

            assert_true(extent->length > 0 && extent->offset >= at);
            /* neighbours of one kind are one */
            assert_false(extent->offset == at && (int)extent->kind == last_kind);
            at = extent->offset + extent->length;
            last_kind = (int)extent->kind;
            memset(got + extent->offset, extent->kind == FS_EXTENT_DATA ? 2 : 1, extent->length);
        }
        assert_memory_equal(wanted, got, SPACE);
        fs_extents_fini(&extents);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extents_add_touching_of_one_kind_merges),
        cmocka_unit_test(test_extents_add_outside_is_clipped),
        cmocka_unit_test(test_extents_add_end_above_u64_is_clipped),
        cmocka_unit_test(test_extents_normalize_data_wins_over_zero),
        cmocka_unit_test(test_extents_normalize_random_equals_byte_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
