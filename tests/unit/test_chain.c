/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/wire.h"

static const struct fs_segment_extent extents[] = {
    {.extent = {.offset = 0, .length = 4096, .kind = FS_EXTENT_DATA}, .hash = 0x1122334455667788},
    {.extent = {.offset = 8192, .length = 65536, .kind = FS_EXTENT_ZERO}, .hash = 0},
    {.extent = {.offset = 1 << 20, .length = 512, .kind = FS_EXTENT_DATA}, .hash = 42},
};

/* Both sites and all versions must agree on it for ever: the value was computed with xxHash's
 * one-shot function over the bytes that farshore-protocol(5) describes. */
static void test_extend_known_extents_gives_known_digest(void **state)
{
    (void)state;
    struct fs_digest chain = {0};
    fs_chain_extend(&chain, extents, 3);
    char text[FS_DIGEST_TEXT];
    fs_digest_format(&chain, text);
    assert_string_equal(text, "04b55685598b8f3450a1b9ec685f07b7");
}

static void test_extend_nothing_leaves_it(void **state)
{
    (void)state;
    struct fs_digest chain = {.b = {1, 2, 3}};
    const struct fs_digest before = chain;
    fs_chain_extend(&chain, NULL, 0);
    assert_memory_equal(&chain, &before, sizeof(chain));
}

static void test_extend_any_change_changes_it(void **state)
{
    (void)state;
    struct fs_digest expected = {0};
    fs_chain_extend(&expected, extents, 3);
    for (int change = 0; change < 5; change++) {
        struct fs_segment_extent other[3];
        memcpy(other, extents, sizeof(other));
        struct fs_digest chain = {0};
        switch (change) {
        case 0:
            other[1].extent.offset++;
            break;
        case 1:
            other[1].extent.length--;
            break;
        case 2:
            other[1].extent.kind = FS_EXTENT_DATA;
            break;
        case 3:
            other[2].hash ^= 1;
            break;
        default:
            chain.b[15] = 1;
        }
        fs_chain_extend(&chain, other, 3);
        assert_memory_not_equal(&chain, &expected, sizeof(chain));
    }
}

/* Where segments end is part of the chain: both sides extend it segment by segment. */
static void test_extend_split_differently_differs(void **state)
{
    (void)state;
    struct fs_digest whole = {0};
    struct fs_digest split = {0};
    fs_chain_extend(&whole, extents, 3);
    fs_chain_extend(&split, extents, 1);
    fs_chain_extend(&split, extents + 1, 2);
    assert_memory_not_equal(&whole, &split, sizeof(whole));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend_known_extents_gives_known_digest),
        cmocka_unit_test(test_extend_nothing_leaves_it),
        cmocka_unit_test(test_extend_any_change_changes_it),
        cmocka_unit_test(test_extend_split_differently_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
