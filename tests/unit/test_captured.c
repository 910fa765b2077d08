/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of Kubernetes objects, packed: farshore/captured.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/captured.h"

#define TEXT "{\"format\":1,\"missing\":[],\"objects\":[]}"

static void test_unpack_gives_what_was_packed(void **state)
{
    struct fs_captured captured;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf packed, text;

    (void)state;
    fs_captured_name(TEXT, strlen(TEXT), &captured);
    assert_int_equal(captured.size, strlen(TEXT));
    assert_int_equal(fs_captured_pack(TEXT, strlen(TEXT), &packed, &err), 0);
    assert_int_equal(fs_captured_unpack(&captured, packed.data, packed.length, &text, &err), 0);
    assert_string_equal((const char *)text.data, TEXT);
    assert_int_equal(text.length, strlen(TEXT));
    fs_buf_fini(&text);
    fs_buf_fini(&packed);
}

static void check_refused(const struct fs_captured *captured, const void *packed, size_t length)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf text;

    assert_int_equal(fs_captured_unpack(captured, packed, length, &text, &err), -EBADMSG);
    assert_null(text.data);
}

static void test_unpack_refuses_what_is_not_named(void **state)
{
    struct fs_captured captured, other;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf packed;

    (void)state;
    fs_captured_name(TEXT, strlen(TEXT), &captured);
    assert_int_equal(fs_captured_pack(TEXT, strlen(TEXT), &packed, &err), 0);
    for (size_t length = 0; length < packed.length; length++) {
        check_refused(&captured, packed.data, length);
    }
    for (size_t i = 0; i < packed.length; i++) {
        packed.data[i] ^= 0x40;
        struct fs_buf text;
        struct fs_error damaged = FS_ERROR_INIT;
        int rc = fs_captured_unpack(&captured, packed.data, packed.length, &text, &damaged);
        assert_true(rc == -EBADMSG || rc == 0); /* some bits of a frame mean nothing */
        if (rc == 0) {
            assert_string_equal((const char *)text.data, TEXT);
        }
        fs_buf_fini(&text);
        packed.data[i] ^= 0x40;
    }
    other = captured;
    other.digest.b[0] ^= 1;
    check_refused(&other, packed.data, packed.length);
    other = captured;
    other.size++;
    check_refused(&other, packed.data, packed.length);
    other.size = 0;
    check_refused(&other, packed.data, packed.length);
    other.size = UINT32_MAX;
    check_refused(&other, packed.data, packed.length);
    fs_buf_fini(&packed);
}

static void test_pack_refuses_what_is_too_large(void **state)
{
    struct fs_error err = FS_ERROR_INIT, noise_err = FS_ERROR_INIT;
    size_t length = FS_CAPTURED_PACKED_MAX + FS_CAPTURED_PACKED_MAX / 2;
    char *text = calloc(1, FS_CAPTURED_MAX + 1);
    uint32_t random = 1;
    struct fs_buf packed;

    (void)state;
    assert_int_equal(fs_captured_pack(text, FS_CAPTURED_MAX + 1, &packed, &err), -EFBIG);
    assert_non_null(strstr(err.message, "objects.kinds"));
    for (size_t i = 0; i < length; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = (char)(random >> 24);
    }
    assert_int_equal(fs_captured_pack(text, length, &packed, &noise_err), -EFBIG);
    assert_non_null(strstr(noise_err.message, "compressed"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_gives_what_was_packed),
        cmocka_unit_test(test_unpack_refuses_what_is_not_named),
        cmocka_unit_test(test_pack_refuses_what_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
