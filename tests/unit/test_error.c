/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/error.h"

static void test_set_empty_is_filled(void **state)
{
    struct fs_error err = FS_ERROR_INIT;

    (void)state;
    assert_false(fs_error_is_set(&err));
    assert_int_equal(fs_error_set(&err, FS_ERR_PEER, EPROTO, "frame %d of %s", 7, "west"), -EPROTO);
    assert_true(fs_error_is_set(&err));
    assert_int_equal(err.class, FS_ERR_PEER);
    assert_int_equal(err.code, EPROTO);
    assert_string_equal(err.message, "frame 7 of west");
}

static void test_set_filled_keeps_the_first(void **state)
{
    struct fs_error err = FS_ERROR_INIT;

    (void)state;
    fs_error_set(&err, FS_ERR_DATA, EIO, "first");
    assert_int_equal(fs_error_set(&err, FS_ERR_BUG, EINVAL, "second"), -EINVAL);
    assert_int_equal(err.class, FS_ERR_DATA);
    assert_int_equal(err.code, EIO);
    assert_string_equal(err.message, "first");
}

static void test_set_without_an_error_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(fs_error_set(NULL, FS_ERR_CONFIG, ENOENT, "nobody sees %s", "it"), -ENOENT);
    fs_error_context(NULL, "nor this");
}

static void test_context_comes_before_the_message(void **state)
{
    struct fs_error err = FS_ERROR_INIT;

    (void)state;
    fs_error_context(&err, "has no effect");
    assert_false(fs_error_is_set(&err));
    assert_string_equal(err.message, "");
    fs_error_set(&err, FS_ERR_TRANSIENT, EAGAIN, "busy");
    fs_error_context(&err, "image %s", "disk");
    fs_error_context(&err, "group %s", "web");
    assert_string_equal(err.message, "group web: image disk: busy");
    assert_int_equal(err.code, EAGAIN);
}

static void test_message_too_long_is_cut_between_characters(void **state)
{
    struct fs_error err = FS_ERROR_INIT;
    char text[600];

    (void)state;
    /* 510 bytes, then a character of three of which one would fit. */
    memset(text, 'x', sizeof(text));
    memcpy(text + 510, "\xe2\x82\xac", 4);
    fs_error_set(&err, FS_ERR_BUG, EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), 510);
    /* 508 and the whole character fit exactly. */
    err = FS_ERROR_INIT;
    memset(text, 'x', sizeof(text));
    memcpy(text + 508,
           "\xe2\x82\xac"
           "abc",
           7);
    fs_error_set(&err, FS_ERR_BUG, EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), 511);
    assert_memory_equal(err.message + 508, "\xe2\x82\xac", 4);
}

static void test_context_too_long_is_cut_and_terminated(void **state)
{
    struct fs_error err = FS_ERROR_INIT;
    char text[600];

    (void)state;
    memset(text, 'y', sizeof(text));
    text[599] = '\0';
    fs_error_set(&err, FS_ERR_BUG, EINVAL, "cause");
    fs_error_context(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    err = FS_ERROR_INIT;
    text[505] = '\0';
    fs_error_set(&err, FS_ERR_BUG, EINVAL, "cau\xc3\xa4");
    fs_error_context(&err, "%s", text);
    assert_int_equal(strlen(err.message), 510); /* half of the last character was left out */
}

static void test_class_of_code_has_either_sign(void **state)
{
    (void)state;
    assert_int_equal(fs_error_class_of(ETIMEDOUT), FS_ERR_TRANSIENT);
    assert_int_equal(fs_error_class_of(-ETIMEDOUT), FS_ERR_TRANSIENT);
    assert_int_equal(fs_error_class_of(-ESHUTDOWN), FS_ERR_TRANSIENT);
    assert_int_equal(fs_error_class_of(-ENOSPC), FS_ERR_TRANSIENT);
    assert_int_equal(fs_error_class_of(-ENOENT), FS_ERR_PERMANENT);
    assert_int_equal(fs_error_class_of(EINVAL), FS_ERR_PERMANENT);
    assert_int_equal(fs_error_class_of(0), FS_ERR_NONE);
}

static void test_class_names_are_distinct(void **state)
{
    (void)state;
    for (int i = FS_ERR_NONE; i <= FS_ERR_BUG; i++) {
        assert_string_not_equal(fs_error_class_name((enum fs_error_class)i), "unknown");
        for (int j = FS_ERR_NONE; j < i; j++) {
            assert_string_not_equal(fs_error_class_name((enum fs_error_class)i),
                                    fs_error_class_name((enum fs_error_class)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_empty_is_filled),
        cmocka_unit_test(test_set_filled_keeps_the_first),
        cmocka_unit_test(test_set_without_an_error_returns_the_code),
        cmocka_unit_test(test_context_comes_before_the_message),
        cmocka_unit_test(test_message_too_long_is_cut_between_characters),
        cmocka_unit_test(test_context_too_long_is_cut_and_terminated),
        cmocka_unit_test(test_class_of_code_has_either_sign),
        cmocka_unit_test(test_class_names_are_distinct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
