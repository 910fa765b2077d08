/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/wire.h"

static void put_frame(struct fs_buf *buf, uint16_t type, uint32_t stream, const void *payload,
                      size_t length)
{
    size_t start = fs_frame_begin(buf, type, FS_FRAME_CRITICAL, stream);
    fs_buf_put(buf, payload, length);
    fs_frame_finish(buf, start);
    assert_false(buf->failed);
}

static void test_parse_two_frames_gives_each(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    put_frame(&buf, FS_FRAME_PROGRESS, 7, "hello", 5);
    put_frame(&buf, 999, 8, NULL, 0);

    struct fs_frame frame;
    struct fs_error err = FS_ERROR_INIT;
    long size = fs_frame_parse(buf.data, buf.length, &frame, &err);
    assert_int_equal(size, FS_FRAME_HEADER + 5);
    assert_int_equal(frame.type, FS_FRAME_PROGRESS);
    assert_int_equal(frame.flags, FS_FRAME_CRITICAL);
    assert_int_equal(frame.stream, 7);
    assert_int_equal(frame.length, 5);
    assert_memory_equal(frame.payload, "hello", 5);

    assert_int_equal(fs_frame_parse(buf.data + size, buf.length - (size_t)size, &frame, &err),
                     FS_FRAME_HEADER);
    assert_int_equal(frame.type, 999);
    assert_int_equal(frame.length, 0);
    fs_buf_fini(&buf);
}

static void test_parse_header_is_as_specified(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    put_frame(&buf, FS_FRAME_CREDIT, 0x01020304, "abc", 3);
    const uint8_t head[24] = {'F', 'S', 'H', '1', 5, 0, 1, 0, 3, 0, 0, 0, 4, 3, 2, 1};
    assert_memory_equal(buf.data, head, sizeof(head));
    fs_buf_fini(&buf);
}

/* Of a SEGMENT everything but the content: that has hashes of its own. */
static void test_checksum_covers_head_and_extents_of_a_segment(void **state)
{
    (void)state;
    static const uint8_t content[100] = {1, 2, 3};
    struct fs_segment_extent extents[2] = {
        {.extent = {.offset = 0, .length = 60, .kind = FS_EXTENT_DATA}, .hash = 7},
        {.extent = {.offset = 4096, .length = 40, .kind = FS_EXTENT_DATA}, .hash = 8},
    };
    const struct fs_segment segment = {.codec = FS_CODEC_RAW,
                                       .raw_length = sizeof(content),
                                       .end = 8192,
                                       .n_extents = 2,
                                       .extents = extents,
                                       .payload_length = sizeof(content),
                                       .payload = content};
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_SEGMENT, FS_FRAME_CRITICAL, 1);
    fs_segment_encode(&segment, &buf);
    fs_frame_finish(&buf, start);
    size_t head = buf.length - sizeof(content);
    for (size_t i = 0; i < buf.length; i++) {
        struct fs_frame frame;
        struct fs_error err = FS_ERROR_INIT;
        if (i >= 8 && i < 12) {
            continue; /* another length */
        }
        buf.data[i] ^= 0x40;
        long size = fs_frame_parse(buf.data, buf.length, &frame, &err);
        assert_int_equal(size, i < head ? -EPROTO : (long)buf.length);
        buf.data[i] ^= 0x40;
    }
    fs_buf_fini(&buf);
}

static void test_parse_every_cut_asks_for_more(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    put_frame(&buf, FS_FRAME_SEGMENT, 1, "0123456789", 10);
    for (size_t length = 0; length < buf.length; length++) {
        struct fs_frame frame;
        struct fs_error err = FS_ERROR_INIT;
        uint8_t *cut = malloc(length + 1); /* so that a sanitizer sees what is read too far */
        memcpy(cut, buf.data, length);
        cut = realloc(cut, length == 0 ? 1 : length);
        assert_int_equal(fs_frame_parse(cut, length, &frame, &err), 0);
        assert_false(fs_error_is_set(&err));
        free(cut);
    }
    fs_buf_fini(&buf);
}

static void test_parse_every_flipped_bit_is_found(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    put_frame(&buf, FS_FRAME_SEGMENT, 1, "0123456789", 10);
    for (size_t bit = 0; bit < buf.length * 8; bit++) {
        struct fs_frame frame;
        struct fs_error err = FS_ERROR_INIT;
        buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        long size = fs_frame_parse(buf.data, buf.length, &frame, &err);
        /* A longer length asks for more, which the next frame's bytes then prove wrong. */
        bool longer = bit / 8 >= 8 && bit / 8 < 12 && size == 0;
        assert_true(size == -EPROTO || longer);
        assert_int_equal(fs_error_is_set(&err), size == -EPROTO);
        buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    fs_buf_fini(&buf);
}

static void test_parse_garbage_is_refused_at_four_bytes(void **state)
{
    (void)state;
    struct fs_frame frame;
    struct fs_error err = FS_ERROR_INIT;
    assert_int_equal(fs_frame_parse((const uint8_t *)"GET ", 4, &frame, &err), -EPROTO);
    assert_int_equal(err.class, FS_ERR_PEER);
}

static void test_parse_length_above_bound_is_refused_before_it_arrives(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    put_frame(&buf, FS_FRAME_SEGMENT, 1, NULL, 0);
    const uint32_t length = FS_FRAME_PAYLOAD_MAX + 1;
    memcpy(buf.data + 8, &length, sizeof(length));
    struct fs_frame frame;
    struct fs_error err = FS_ERROR_INIT;
    assert_int_equal(fs_frame_parse(buf.data, buf.length, &frame, &err), -EPROTO);
    fs_buf_fini(&buf);
}

static void test_finish_payload_above_bound_fails_buffer(void **state)
{
    (void)state;
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_SEGMENT, 0, 1);
    assert_true(fs_buf_reserve(&buf, FS_FRAME_PAYLOAD_MAX + 1));
    memset(buf.data + buf.length, 0, FS_FRAME_PAYLOAD_MAX + 1);
    buf.length += FS_FRAME_PAYLOAD_MAX + 1;
    fs_frame_finish(&buf, start);
    assert_true(buf.failed);
    fs_buf_fini(&buf);
}

static void test_type_name_knows_types_and_strangers(void **state)
{
    (void)state;
    assert_string_equal(fs_frame_type_name(FS_FRAME_HELLO), "HELLO");
    assert_string_equal(fs_frame_type_name(FS_FRAME_CURRENT_ACK), "CURRENT_ACK");
    assert_string_equal(fs_frame_type_name(0), "unknown");
    assert_string_equal(fs_frame_type_name(65535), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_two_frames_gives_each),
        cmocka_unit_test(test_parse_header_is_as_specified),
        cmocka_unit_test(test_checksum_covers_head_and_extents_of_a_segment),
        cmocka_unit_test(test_parse_every_cut_asks_for_more),
        cmocka_unit_test(test_parse_every_flipped_bit_is_found),
        cmocka_unit_test(test_parse_garbage_is_refused_at_four_bytes),
        cmocka_unit_test(test_parse_length_above_bound_is_refused_before_it_arrives),
        cmocka_unit_test(test_finish_payload_above_bound_fails_buffer),
        cmocka_unit_test(test_type_name_knows_types_and_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
