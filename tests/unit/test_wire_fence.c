/* SPDX-License-Identifier: Apache-2.0 */
/* The messages by which a site has the other one fence. */
#include "tests/unit/wire_rig.h"

DECODER(fence_want, no_fini)
DECODER(fence_done, no_fini)

static void test_fence_messages_round_trip(void **state)
{
    (void)state;
    struct fs_fence_want want = {.group = uuid_a, .term = {7, uuid_b}, .who = "root"}, got_want;
    struct fs_fence_done done = {
        .group = uuid_b, .number = 7, .outcome = FS_FENCE_FAILED, .message = "they hold on"};
    struct fs_fence_done got_done;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_fence_want_encode(&want, &buf);
    assert_int_equal(fs_fence_want_decode(buf.data, buf.length, &got_want, &err), 0);
    assert_true(fs_uuid_equal(&got_want.group, &uuid_a));
    assert_int_equal(got_want.term.number, 7);
    assert_true(fs_uuid_equal(&got_want.term.site, &uuid_b));
    assert_string_equal(got_want.who, "root");
    check_bounds(decode_fence_want, &buf);
    fs_buf_fini(&buf);
    fs_fence_done_encode(&done, &buf);
    assert_int_equal(fs_fence_done_decode(buf.data, buf.length, &got_done, &err), 0);
    assert_true(fs_uuid_equal(&got_done.group, &uuid_b));
    assert_int_equal(got_done.number, 7);
    assert_int_equal(got_done.outcome, FS_FENCE_FAILED);
    assert_string_equal(got_done.message, "they hold on");
    check_bounds(decode_fence_done, &buf);
    fs_buf_fini(&buf);
}

static void test_fence_impossible_fields_are_refused(void **state)
{
    (void)state;
    const struct fs_fence_want wants[] = {
        {.term = {7, uuid_b}},
        {.group = uuid_a, .term = {0, uuid_b}},
        {.group = uuid_a, .term = {UINT64_MAX, uuid_b}},
    };
    const struct fs_fence_done dones[] = {
        {.number = 7}, {.group = uuid_a, .number = 7, .outcome = (enum fs_fence_outcome)3}};
    struct fs_buf buf = FS_BUF_INIT;
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        fs_fence_want_encode(&wants[i], &buf);
        assert_int_equal(decode_copy(decode_fence_want, buf.data, buf.length), -EPROTO);
        fs_buf_fini(&buf);
    }
    for (size_t i = 0; i < sizeof(dones) / sizeof(dones[0]); i++) {
        fs_fence_done_encode(&dones[i], &buf);
        assert_int_equal(decode_copy(decode_fence_done, buf.data, buf.length), -EPROTO);
        fs_buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fence_messages_round_trip),
        cmocka_unit_test(test_fence_impossible_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
