/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/captured.h"
#include "tests/unit/wire_rig.h"

DECODER(objects_want, no_fini)
DECODER(objects_data, no_fini)

static void test_objects_round_trip(void **state)
{
    struct fs_objects_want want = {.digest = {{9, 8, 7}}}, want_got;
    struct fs_objects_data data = {.packed = (const uint8_t *)"zstd", .length = 4}, data_got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;

    (void)state;
    fs_objects_want_encode(&want, &buf);
    assert_int_equal(fs_objects_want_decode(buf.data, buf.length, &want_got, &err), 0);
    assert_memory_equal(&want_got, &want, sizeof(want));
    check_bounds(decode_objects_want, &buf);

    fs_objects_data_encode(&data, &buf);
    assert_int_equal(fs_objects_data_decode(buf.data, buf.length, &data_got, &err), 0);
    assert_int_equal(data_got.length, 4);
    assert_memory_equal(data_got.packed, "zstd", 4);
    fs_buf_fini(&buf);
    assert_int_equal(decode_copy(decode_objects_data, (const uint8_t *)"", 0), 0);
    uint8_t *large = calloc(1, FS_CAPTURED_PACKED_MAX + 1);
    assert_int_equal(decode_copy(decode_objects_data, large, FS_CAPTURED_PACKED_MAX), 0);
    assert_int_equal(decode_copy(decode_objects_data, large, FS_CAPTURED_PACKED_MAX + 1), -EPROTO);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
