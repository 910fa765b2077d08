/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ship/content.h"

#define BLOCK FS_ZERO_BLOCK

static void fill(uint8_t *bytes, size_t length, bool noise)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = noise ? (uint8_t)x : (uint8_t)(x % 4 + 1);
    }
}

/* Encode one piece at offset, decode the frame again, and compare with what went in. */
static struct fs_segment round_trip(uint64_t offset, const uint8_t *bytes, size_t length, int level,
                                    struct fs_buf *ret_frame)
{
    uint8_t *content = malloc(length);
    uint8_t *raw = malloc(length + 1);
    memcpy(content, bytes, length);
    struct fs_piece piece = {.extent = {.offset = offset, .length = length}, .content = content};
    struct fs_content_request request = {.stream = 3,
                                         .volume = 1,
                                         .start = offset,
                                         .end = offset + length,
                                         .pieces = &piece,
                                         .n_pieces = 1,
                                         .zstd_level = level};
    struct fs_content_result result;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_segment segment;
    struct fs_frame frame;
    assert_int_equal(fs_content_encode(&request, &result, &err), 0);
    assert_true(result.frame.length <= fs_content_frame_bound(1, length));
    assert_true(fs_frame_parse(result.frame.data, result.frame.length, &frame, &err) > 0);
    assert_int_equal(frame.stream, 3);
    assert_int_equal(fs_segment_decode(frame.payload, frame.length, &segment, &err), 0);
    assert_int_equal(segment.n_extents, result.n_extents);
    if (segment.codec == FS_CODEC_ZSTD) {
        assert_int_equal(fs_content_decompress(segment.payload, segment.payload_length, NULL, 0,
                                               raw, segment.raw_length, &err),
                         0);
    } else {
        memcpy(raw, segment.payload, segment.raw_length);
    }
    assert_int_equal(fs_content_verify(segment.extents, segment.n_extents, raw, &err), 0);
    uint64_t at = offset;
    const uint8_t *from = raw;
    for (size_t i = 0; i < segment.n_extents; i++) {
        const struct fs_extent *extent = &segment.extents[i].extent;
        assert_int_equal(extent->offset, at);
        at += extent->length;
        if (extent->kind == FS_EXTENT_ZERO) {
            assert_true(fs_content_is_zero(bytes + (extent->offset - offset), extent->length));
        } else {
            assert_memory_equal(bytes + (extent->offset - offset), from, extent->length);
            from += extent->length;
        }
    }
    assert_int_equal(at, offset + length);
    *ret_frame = result.frame;
    result.frame = FS_BUF_INIT;
    fs_content_result_fini(&result);
    free(content);
    free(raw);
    return segment;
}

static void test_is_zero_finds_every_byte(void **state)
{
    uint8_t bytes[100] = {0};
    (void)state;
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        assert_true(fs_content_is_zero(bytes, length));
        for (size_t i = 0; i < length; i++) {
            bytes[i] = 1;
            assert_false(fs_content_is_zero(bytes, length));
            bytes[i] = 0;
        }
    }
}

static void test_encode_compressible_is_zstd(void **state)
{
    static uint8_t bytes[FS_SEGMENT_MAX];
    struct fs_buf frame;
    (void)state;
    fill(bytes, sizeof(bytes), false);
    struct fs_segment segment = round_trip(0, bytes, sizeof(bytes), 1, &frame);
    assert_int_equal(segment.codec, FS_CODEC_ZSTD);
    assert_true(segment.payload_length < sizeof(bytes) / 2);
    fs_segment_fini(&segment);
    fs_buf_fini(&frame);
}

static void test_encode_noise_is_raw(void **state)
{
    static uint8_t bytes[FS_SEGMENT_MAX];
    struct fs_buf frame;
    (void)state;
    fill(bytes, sizeof(bytes), true);
    for (size_t length = 1; length <= sizeof(bytes); length *= 4) {
        struct fs_segment segment = round_trip(777, bytes, length, 3, &frame);
        assert_int_equal(segment.codec, FS_CODEC_RAW);
        assert_int_equal(segment.payload_length, length);
        fs_segment_fini(&segment);
        fs_buf_fini(&frame);
    }
}

static void test_encode_zeroes_become_extents(void **state)
{
    static uint8_t bytes[64 * BLOCK];
    struct fs_buf frame;
    (void)state;
    fill(bytes, sizeof(bytes), true);
    memset(bytes + 8 * BLOCK, 0, 4 * BLOCK);  /* long enough */
    memset(bytes + 20 * BLOCK, 0, 3 * BLOCK); /* too short inside data */
    memset(bytes + 60 * BLOCK, 0, 4 * BLOCK); /* at the end */
    struct fs_segment segment = round_trip(0, bytes, sizeof(bytes), 1, &frame);
    assert_int_equal(segment.n_extents, 4);
    assert_int_equal(segment.extents[1].extent.kind, FS_EXTENT_ZERO);
    assert_int_equal(segment.extents[1].extent.offset, 8 * BLOCK);
    assert_int_equal(segment.extents[1].extent.length, 4 * BLOCK);
    assert_int_equal(segment.extents[3].extent.kind, FS_EXTENT_ZERO);
    fs_segment_fini(&segment);
    fs_buf_fini(&frame);

    memset(bytes, 0, sizeof(bytes));
    segment = round_trip(100, bytes, 512, 1, &frame); /* small, but zero as a whole */
    assert_int_equal(segment.n_extents, 1);
    assert_int_equal(segment.extents[0].extent.kind, FS_EXTENT_ZERO);
    assert_int_equal(segment.payload_length, 0);
    fs_segment_fini(&segment);
    fs_buf_fini(&frame);
}

static void test_encode_any_alignment_round_trips(void **state)
{
    static uint8_t bytes[40 * BLOCK];
    struct fs_buf frame;
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        uint64_t offset = i * 1237u;
        size_t length = 1 + (i * 7919u) % (sizeof(bytes) - 1);
        size_t hole = (i * 104729u) % length;
        fill(bytes, sizeof(bytes), i % 2);
        memset(bytes + hole, 0, (length - hole) / (1 + i % 3));
        struct fs_segment segment = round_trip(offset, bytes, length, (int)(i % 4), &frame);
        assert_true(segment.n_extents <= FS_PIECE_EXTENTS_MAX(length));
        fs_segment_fini(&segment);
        fs_buf_fini(&frame);
    }
}

static void test_decompress_of_another_size_fails(void **state)
{
    static uint8_t bytes[BLOCK], raw[2 * BLOCK];
    struct fs_buf frame;
    struct fs_error err = FS_ERROR_INIT;
    (void)state;
    fill(bytes, sizeof(bytes), false);
    struct fs_segment segment = round_trip(0, bytes, sizeof(bytes), 1, &frame);
    assert_int_equal(segment.codec, FS_CODEC_ZSTD);
    for (size_t length = 1; length <= sizeof(raw); length++) {
        int r = fs_content_decompress(segment.payload, segment.payload_length, NULL, 0, raw, length,
                                      &err);
        assert_int_equal(r, length == sizeof(bytes) ? 0 : -EPROTO);
    }
    for (size_t cut = 0; cut < segment.payload_length; cut++) {
        assert_int_equal(
            fs_content_decompress(segment.payload, cut, NULL, 0, raw, sizeof(bytes), &err),
            -EPROTO);
    }
    assert_int_equal(err.class, FS_ERR_PEER);
    fs_segment_fini(&segment);
    fs_buf_fini(&frame);
}

/* --- deltas ---------------------------------------------------------------------------------- */

/* Noise in two pieces, of which the second has a hole in it, and what the base has of it: the same
 * with other bytes here and there, and something else that is like the first piece. */
struct delta_case {
    uint8_t content[256 << 10], base[256 << 10], elsewhere[64 << 10];
    struct fs_piece pieces[2];
    struct fs_range range;
};

static void fill_case(struct delta_case *c)
{
    fill(c->content, sizeof(c->content), true);
    memcpy(c->base, c->content, sizeof(c->base));
    memcpy(c->elsewhere, c->content + 1000, sizeof(c->elsewhere));
    memset(c->base, 9, 64 << 10); /* nothing of use in the same place */
    for (size_t at = 64 << 10; at < sizeof(c->base); at += 3000) {
        c->base[at]++;
    }
    memset(c->content + (128 << 10), 0, 32 << 10);
    c->pieces[0] =
        (struct fs_piece){.extent = {.offset = 0, .length = 64 << 10}, .content = c->content};
    c->pieces[1] = (struct fs_piece){.extent = {.offset = 1 << 20, .length = 192 << 10},
                                     .content = c->content + (64 << 10)};
    c->range = (struct fs_range){4 << 20, sizeof(c->elsewhere)};
}

/* The prefix as a target makes it. */
static size_t prefix_of(const struct delta_case *c, const struct fs_segment *segment,
                        uint8_t *prefix)
{
    size_t length = 0;
    for (size_t i = 0; i < segment->n_ranges; i++) {
        memcpy(prefix, c->elsewhere, sizeof(c->elsewhere));
        length += sizeof(c->elsewhere);
    }
    for (size_t i = 0; i < segment->n_extents; i++) {
        const struct fs_extent *extent = &segment->extents[i].extent;
        uint64_t at =
            extent->offset >= 1 << 20 ? extent->offset - (1 << 20) + (64 << 10) : extent->offset;
        if (extent->kind == FS_EXTENT_DATA) {
            memcpy(prefix + length, c->base + at, extent->length);
            length += extent->length;
        }
    }
    return length;
}

static void encode_case(struct delta_case *c, bool both, bool useless, int level,
                        struct fs_content_result *ret_result)
{
    struct fs_error err = FS_ERROR_INIT;
    uint8_t *prefix = malloc(sizeof(c->elsewhere) + sizeof(c->base));
    memcpy(prefix, c->elsewhere, sizeof(c->elsewhere));
    memcpy(prefix + sizeof(c->elsewhere), c->base, sizeof(c->base));
    if (useless) {
        memset(prefix, 1, sizeof(c->elsewhere) + sizeof(c->base));
    }
    struct fs_content_delta delta = {.ranges = &c->range,
                                     .n_ranges = 1,
                                     .prefix = prefix,
                                     .ranges_length = sizeof(c->elsewhere),
                                     .try_both = both};
    struct fs_content_request request = {.stream = 3,
                                         .end = 2 << 20,
                                         .pieces = c->pieces,
                                         .n_pieces = 2,
                                         .zstd_level = level,
                                         .delta = &delta};
    assert_int_equal(fs_content_encode(&request, ret_result, &err), 0);
    assert_true(ret_result->frame.length <= fs_content_frame_bound(2, sizeof(c->content)));
    free(prefix);
}

static void test_delta_is_made_whole_again(void **state)
{
    static struct delta_case c, kept;
    static uint8_t prefix[512 << 10], raw[256 << 10];
    (void)state;
    for (int level = -7; level <= 19; level += 13) {
        for (unsigned both = 0; both < 2; both++) {
            struct fs_content_result result;
            struct fs_segment segment;
            struct fs_frame frame;
            struct fs_error err = FS_ERROR_INIT;
            fill_case(&c);
            fill_case(&kept);
            encode_case(&c, both, false, level, &result);
            assert_true(result.delta && result.payload_bytes < 16 << 10);
            assert_true(!both || (result.delta_bytes == result.payload_bytes &&
                                  result.plain_bytes > 200 << 10));
            assert_true(fs_frame_parse(result.frame.data, result.frame.length, &frame, &err) > 0);
            assert_int_equal(fs_segment_decode(frame.payload, frame.length, &segment, &err), 0);
            assert_int_equal(segment.codec, FS_CODEC_DELTA);
            assert_int_equal(segment.raw_length, 224 << 10);
            size_t length = prefix_of(&kept, &segment, prefix);
            assert_int_equal(fs_content_decompress(segment.payload, segment.payload_length, prefix,
                                                   length, raw, segment.raw_length, &err),
                             0);
            assert_int_equal(fs_content_verify(segment.extents, segment.n_extents, raw, &err), 0);
            /* Another base: it shows, one way or the other. */
            memset(prefix, 5, length);
            int r = fs_content_decompress(segment.payload, segment.payload_length, prefix, length,
                                          raw, segment.raw_length, &err);
            r = r < 0 ? r : fs_content_verify(segment.extents, segment.n_extents, raw, &err);
            assert_int_equal(r, -EBADMSG);
            assert_int_equal(err.class, FS_ERR_DATA);
            fs_segment_fini(&segment);
            fs_content_result_fini(&result);
        }
    }
}

static void test_delta_that_saves_nothing_is_not_one(void **state)
{
    static struct delta_case c;
    (void)state;
    for (unsigned both = 0; both < 2; both++) {
        struct fs_content_result result;
        fill_case(&c);
        encode_case(&c, both, true, 3, &result);
        assert_false(result.delta);
        assert_int_equal(result.payload_bytes, 224 << 10);
        fs_content_result_fini(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_zero_finds_every_byte),
        cmocka_unit_test(test_encode_compressible_is_zstd),
        cmocka_unit_test(test_encode_noise_is_raw),
        cmocka_unit_test(test_encode_zeroes_become_extents),
        cmocka_unit_test(test_encode_any_alignment_round_trips),
        cmocka_unit_test(test_decompress_of_another_size_fails),
        cmocka_unit_test(test_delta_is_made_whole_again),
        cmocka_unit_test(test_delta_that_saves_nothing_is_not_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
