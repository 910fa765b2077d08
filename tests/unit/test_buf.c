/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/buf.h"

static void test_put_numbers_is_little_endian(void **state)
{
    static const uint8_t expected[] = {0x11, 0x22, 0x11, 0x44, 0x33, 0x22, 0x11, 0x88,
                                       0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    struct fs_buf buf = FS_BUF_INIT;

    (void)state;
    fs_buf_put_u8(&buf, 0x11);
    fs_buf_put_u16(&buf, 0x1122);
    fs_buf_put_u32(&buf, 0x11223344);
    fs_buf_put_u64(&buf, UINT64_C(0x1122334455667788));
    assert_int_equal(buf.length, sizeof(expected));
    assert_memory_equal(buf.data, expected, sizeof(expected));
    fs_buf_fini(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.length, 0);
}

static void test_cursor_reads_what_was_put(void **state)
{
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_uuid uuid;
    char text[8];

    (void)state;
    fs_uuid_random(&uuid);
    fs_buf_put_u8(&buf, 200);
    fs_buf_put_u16(&buf, 60000);
    fs_buf_put_u32(&buf, 4000000000u);
    fs_buf_put_u64(&buf, UINT64_MAX - 1);
    fs_buf_put_uuid(&buf, &uuid);
    fs_buf_put_string(&buf, "seven77");
    fs_buf_put_string(&buf, "");
    fs_buf_put_string(&buf, "dup");
    fs_buf_put(&buf, "raw", 3);

    struct fs_cursor cursor = fs_cursor_of(buf.data, buf.length);

    assert_int_equal(fs_cursor_get_u8(&cursor), 200);
    assert_int_equal(fs_cursor_get_u16(&cursor), 60000);
    assert_int_equal(fs_cursor_get_u32(&cursor), 4000000000u);
    assert_true(fs_cursor_get_u64(&cursor) == UINT64_MAX - 1);

    struct fs_uuid read = fs_cursor_get_uuid(&cursor);

    assert_true(fs_uuid_equal(&read, &uuid));
    fs_cursor_get_string(&cursor, text, sizeof(text));
    assert_string_equal(text, "seven77");
    fs_cursor_get_string(&cursor, text, 1);
    assert_string_equal(text, "");

    char *dup = fs_cursor_get_string_dup(&cursor, 3);

    assert_string_equal(dup, "dup");
    free(dup);
    assert_int_equal(fs_cursor_left(&cursor), 3);
    assert_false(fs_cursor_finished(&cursor));
    assert_memory_equal(fs_cursor_get(&cursor, 3), "raw", 3);
    assert_true(fs_cursor_finished(&cursor));
    fs_buf_fini(&buf);
}

static void test_cursor_past_the_end_fails_for_good(void **state)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5};
    struct fs_cursor cursor = fs_cursor_of(data, sizeof(data));

    (void)state;
    assert_int_equal(fs_cursor_get_u32(&cursor), 0x04030201);
    assert_int_equal(fs_cursor_get_u16(&cursor), 0);
    assert_true(cursor.failed);
    assert_int_equal(fs_cursor_get_u8(&cursor), 0); /* though one byte is left */
    assert_int_equal(fs_cursor_left(&cursor), 0);
    assert_null(fs_cursor_get(&cursor, 0));
    assert_false(fs_cursor_finished(&cursor));

    cursor = fs_cursor_of(data, sizeof(data));
    assert_null(fs_cursor_get(&cursor, SIZE_MAX));
    assert_true(cursor.failed);
}

static void test_cursor_of_nothing_is_finished(void **state)
{
    struct fs_cursor cursor = fs_cursor_of(NULL, 0);

    (void)state;
    assert_true(fs_cursor_finished(&cursor));
    assert_non_null(fs_cursor_get(&cursor, 0));
    assert_true(fs_cursor_finished(&cursor));
    assert_int_equal(fs_cursor_get_u64(&cursor), 0);
    assert_false(fs_cursor_finished(&cursor));
}

static void test_cursor_string_that_does_not_fit_or_holds_nul_fails(void **state)
{
    static const uint8_t four[] = {4, 0, 'a', 'b', 'c', 'd'};
    static const uint8_t nul[] = {3, 0, 'a', 0, 'c'};
    static const uint8_t cut[] = {9, 0, 'a'};
    char text[8];
    struct fs_cursor cursor = fs_cursor_of(four, sizeof(four));

    (void)state;
    memset(text, 'x', sizeof(text));
    fs_cursor_get_string(&cursor, text, 4);
    assert_true(cursor.failed);
    assert_string_equal(text, "");
    cursor = fs_cursor_of(four, sizeof(four));
    fs_cursor_get_string(&cursor, text, 5);
    assert_string_equal(text, "abcd");
    cursor = fs_cursor_of(four, sizeof(four));
    assert_null(fs_cursor_get_string_dup(&cursor, 3));
    assert_true(cursor.failed);
    cursor = fs_cursor_of(nul, sizeof(nul));
    fs_cursor_get_string(&cursor, text, sizeof(text));
    assert_true(cursor.failed);
    assert_string_equal(text, "");
    cursor = fs_cursor_of(cut, sizeof(cut));
    assert_null(fs_cursor_get_string_dup(&cursor, 100));
    assert_true(cursor.failed);
}

static void test_put_string_too_long_fails_the_buffer(void **state)
{
    struct fs_buf buf = FS_BUF_INIT;
    char *text = malloc(65537);

    (void)state;
    memset(text, 'a', 65536);
    text[65536] = '\0';
    fs_buf_put_u8(&buf, 1);
    fs_buf_put_string(&buf, text + 1);
    assert_false(buf.failed);
    assert_int_equal(buf.length, 1 + 2 + 65535);
    fs_buf_put_string(&buf, text);
    assert_true(buf.failed);
    fs_buf_put_u8(&buf, 1);
    assert_int_equal(buf.length, 1 + 2 + 65535);
    fs_buf_fini(&buf);
    assert_false(buf.failed);
    free(text);
}

static void test_reserve_impossible_fails_for_good(void **state)
{
    struct fs_buf buf = FS_BUF_INIT;

    (void)state;
    fs_buf_put_u8(&buf, 7);
    assert_false(fs_buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    assert_false(fs_buf_reserve(&buf, 1));
    fs_buf_put_u64(&buf, 1);
    fs_buf_printf(&buf, "x");
    assert_int_equal(buf.length, 1);
    fs_buf_fini(&buf);
}

static void test_reserve_gives_room_and_keeps_the_data(void **state)
{
    struct fs_buf buf = FS_BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        fs_buf_put_u32(&buf, i);
    }
    assert_true(fs_buf_reserve(&buf, 1 << 20));
    assert_true(buf.capacity - buf.length >= 1 << 20);

    struct fs_cursor cursor = fs_cursor_of(buf.data, buf.length);

    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(fs_cursor_get_u32(&cursor), i);
    }
    assert_true(fs_cursor_finished(&cursor));
    fs_buf_fini(&buf);
}

static void test_printf_appends_and_terminates(void **state)
{
    struct fs_buf buf = FS_BUF_INIT;
    char expected[2000] = "";

    (void)state;
    for (int i = 0; i < 100; i++) {
        fs_buf_printf(&buf, "%d,%s;", i, "word");
        snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%d,word;", i);
    }
    assert_int_equal(buf.length, strlen(expected));
    assert_string_equal((char *)buf.data, expected);
    fs_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_numbers_is_little_endian),
        cmocka_unit_test(test_cursor_reads_what_was_put),
        cmocka_unit_test(test_cursor_past_the_end_fails_for_good),
        cmocka_unit_test(test_cursor_of_nothing_is_finished),
        cmocka_unit_test(test_cursor_string_that_does_not_fit_or_holds_nul_fails),
        cmocka_unit_test(test_put_string_too_long_fails_the_buffer),
        cmocka_unit_test(test_reserve_impossible_fails_for_good),
        cmocka_unit_test(test_reserve_gives_room_and_keeps_the_data),
        cmocka_unit_test(test_printf_appends_and_terminates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
