/* SPDX-License-Identifier: Apache-2.0 */
/* What carries a point: SEGMENT, PROGRESS, COMMIT and COMMITTED. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ship/codec.h"

/* What a DELTA begins with counts as its payload. */
size_t fs_segment_ranges_size(size_t n_ranges)
{
    return sizeof(uint32_t) + n_ranges * FS_DELTA_RANGE_SIZE;
}

static size_t ranges_size(const struct fs_segment *message)
{
    return message->codec == FS_CODEC_DELTA ? fs_segment_ranges_size(message->n_ranges) : 0;
}

static void ranges_encode(const struct fs_segment *message, struct fs_buf *buf)
{
    if (message->codec != FS_CODEC_DELTA) {
        return;
    }
    fs_buf_put_u32(buf, (uint32_t)message->n_ranges);
    for (size_t i = 0; i < message->n_ranges; i++) {
        fs_buf_put_u64(buf, message->ranges[i].offset);
        fs_buf_put_u32(buf, (uint32_t)message->ranges[i].length);
    }
}

void fs_segment_encode(const struct fs_segment *message, struct fs_buf *buf)
{
    assert(message->n_extents <= FS_SEGMENT_EXTENTS_MAX);
    fs_buf_reserve(buf, fs_segment_size(message));
    fs_buf_put_u16(buf, message->volume);
    fs_buf_put_u8(buf, (uint8_t)message->codec);
    fs_buf_put_u8(buf, 0);
    fs_buf_put_u32(buf, message->raw_length);
    fs_buf_put_u64(buf, message->start);
    fs_buf_put_u64(buf, message->end);
    fs_buf_put_u32(buf, (uint32_t)message->n_extents);
    uint32_t payload_length = message->payload_length + (uint32_t)ranges_size(message);
    fs_buf_put_u32(buf, payload_length);
    for (size_t i = 0; i < message->n_extents; i++) {
        const struct fs_segment_extent *extent = &message->extents[i];
        fs_buf_put_u64(buf, extent->extent.offset);
        fs_buf_put_u64(buf, extent->extent.length);
        fs_buf_put_u8(buf, (uint8_t)extent->extent.kind);
        fs_buf_put_u64(buf, extent->hash);
    }
    ranges_encode(message, buf);
    if (message->payload) {
        fs_buf_put(buf, message->payload, message->payload_length);
    }
}

/*
 * One extent: not empty, from *at on, inside the segment. Moves *at to its end and adds contents
 * to *raw. Everything is below 2^63 once the first comparison holds, so nothing can wrap.
 */
static bool extent_decode(struct fs_cursor *cursor, const struct fs_segment *segment,
                          struct fs_segment_extent *extent, uint64_t *at, uint64_t *raw)
{
    extent->extent.offset = fs_cursor_get_u64(cursor);
    extent->extent.length = fs_cursor_get_u64(cursor);
    unsigned kind = fs_cursor_get_u8(cursor);
    extent->hash = fs_cursor_get_u64(cursor);
    extent->extent.kind = (enum fs_extent_kind)kind;
    if (extent->extent.offset < *at || extent->extent.offset >= segment->end ||
        extent->extent.length == 0 ||
        extent->extent.length > segment->end - extent->extent.offset) {
        return false;
    }
    *at = extent->extent.offset + extent->extent.length;
    if (kind == FS_EXTENT_ZERO) {
        return extent->hash == 0;
    }
    *raw += extent->extent.length;
    return kind == FS_EXTENT_DATA && *raw <= FS_SEGMENT_MAX;
}

static int extents_decode(struct fs_cursor *cursor, struct fs_segment *segment,
                          struct fs_error *err)
{
    uint64_t at = segment->start;
    uint64_t raw = 0;
    for (size_t i = 0; i < segment->n_extents; i++) {
        if (!extent_decode(cursor, segment, &segment->extents[i], &at, &raw)) {
            return fs_codec_fail(
                err, "SEGMENT", "extent %zu is out of order, outside the segment or impossible", i);
        }
    }
    if (raw != segment->raw_length) {
        return fs_codec_fail(err, "SEGMENT", "extents of %llu bytes, but %u are announced",
                             (unsigned long long)raw, segment->raw_length);
    }
    return 0;
}

static int segment_head_decode(struct fs_cursor *cursor, struct fs_segment *segment,
                               struct fs_error *err)
{
    segment->volume = fs_cursor_get_u16(cursor);
    unsigned codec = fs_cursor_get_u8(cursor);
    unsigned reserved = fs_cursor_get_u8(cursor);
    segment->codec = (enum fs_codec)codec;
    segment->raw_length = fs_cursor_get_u32(cursor);
    segment->start = fs_cursor_get_u64(cursor);
    segment->end = fs_cursor_get_u64(cursor);
    segment->n_extents = fs_cursor_get_u32(cursor);
    segment->payload_length = fs_cursor_get_u32(cursor);
    if (cursor->failed || segment->n_extents > FS_SEGMENT_EXTENTS_MAX ||
        segment->payload_length > FS_SEGMENT_MAX ||
        fs_cursor_left(cursor) !=
            segment->n_extents * FS_SEGMENT_EXTENT_SIZE + segment->payload_length) {
        return fs_codec_fail(err, "SEGMENT", "its parts do not add up to its length");
    }
    if (segment->volume >= FS_VOLUMES_MAX || reserved != 0) {
        return fs_codec_fail(err, "SEGMENT", "volume %u, reserved field %u", segment->volume,
                             reserved);
    }
    if (segment->start >= segment->end || segment->end > INT64_MAX) {
        return fs_codec_fail(err, "SEGMENT", "its range is empty or impossible");
    }
    if (codec > FS_CODEC_DELTA) {
        return fs_codec_fail(err, "SEGMENT", "codec %u", codec);
    }
    bool sizes_fit = codec == FS_CODEC_RAW ? segment->payload_length == segment->raw_length
                                           : segment->payload_length > 0 && segment->raw_length > 0;
    if (!sizes_fit) {
        return fs_codec_fail(err, "SEGMENT", "%u bytes of codec %u for %u bytes of content",
                             segment->payload_length, codec, segment->raw_length);
    }
    return 0;
}

/* What they name together is bounded, whatever the peer says: it is read into memory. */
static int ranges_decode(struct fs_cursor *cursor, struct fs_segment *segment, struct fs_error *err)
{
    uint32_t count = fs_cursor_get_u32(cursor);
    uint64_t at = 0, bytes = 0;
    if (cursor->failed || count > FS_DELTA_RANGES_MAX ||
        fs_segment_ranges_size(count) >= segment->payload_length) {
        return fs_codec_fail(err, "SEGMENT", "%u ranges of the base do not fit into it", count);
    }
    segment->payload_length -= (uint32_t)fs_segment_ranges_size(count);
    segment->ranges = calloc(count + 1, sizeof(*segment->ranges));
    if (!segment->ranges) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    segment->n_ranges = count;
    for (size_t i = 0; i < count; i++) {
        struct fs_range *range = &segment->ranges[i];
        range->offset = fs_cursor_get_u64(cursor);
        range->length = fs_cursor_get_u32(cursor);
        bytes += range->length;
        if (range->offset < at || range->length == 0 || bytes > FS_DELTA_BYTES_MAX ||
            range->offset > INT64_MAX - range->length) {
            return fs_codec_fail(err, "SEGMENT", "range %zu of the base is impossible", i);
        }
        at = range->offset + range->length;
    }
    return 0;
}

int fs_segment_decode(const uint8_t *payload, size_t length, struct fs_segment *ret_message,
                      struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_segment segment = {0};
    int r = segment_head_decode(&cursor, &segment, err);
    if (r < 0) {
        return r;
    }
    if (segment.n_extents > 0) {
        segment.extents = calloc(segment.n_extents, sizeof(*segment.extents));
        if (segment.extents == NULL) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        }
    }
    r = extents_decode(&cursor, &segment, err);
    if (r == 0 && segment.codec == FS_CODEC_DELTA) {
        r = ranges_decode(&cursor, &segment, err);
    }
    if (r < 0) {
        fs_segment_fini(&segment);
        return r;
    }
    segment.payload = fs_cursor_get(&cursor, segment.payload_length);
    *ret_message = segment;
    return 0;
}

size_t fs_segment_size(const struct fs_segment *message)
{
    return FS_SEGMENT_HEAD_SIZE + message->n_extents * FS_SEGMENT_EXTENT_SIZE +
           ranges_size(message) + message->payload_length;
}

void fs_segment_fini(struct fs_segment *message)
{
    free(message->extents);
    free(message->ranges);
    *message = (struct fs_segment){0};
}

void fs_progress_encode(const struct fs_progress *message, struct fs_buf *buf)
{
    fs_codec_put_positions(buf, message->positions, message->n_positions);
}

int fs_progress_decode(const uint8_t *payload, size_t length, struct fs_progress *ret_message,
                       struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_progress progress = {0};
    int r = fs_codec_get_positions(&cursor, "PROGRESS", &progress.positions, &progress.n_positions,
                                   err);
    if (r < 0) {
        return r;
    }
    if (!fs_cursor_finished(&cursor)) {
        fs_progress_fini(&progress);
        return fs_codec_fail(err, "PROGRESS", "%zu bytes too many", fs_cursor_left(&cursor));
    }
    *ret_message = progress;
    return 0;
}

void fs_progress_fini(struct fs_progress *message)
{
    free(message->positions);
    *message = (struct fs_progress){0};
}

void fs_commit_encode(const struct fs_commit *message, struct fs_buf *buf)
{
    fs_buf_put_u64(buf, message->bytes);
    fs_codec_put_positions(buf, message->finals, message->n_finals);
}

int fs_commit_decode(const uint8_t *payload, size_t length, struct fs_commit *ret_message,
                     struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_commit commit = {.bytes = fs_cursor_get_u64(&cursor)};
    int r = fs_codec_get_positions(&cursor, "COMMIT", &commit.finals, &commit.n_finals, err);
    if (r < 0) {
        return r;
    }
    if (!fs_cursor_finished(&cursor)) {
        fs_commit_fini(&commit);
        return fs_codec_fail(err, "COMMIT", "%zu bytes too many", fs_cursor_left(&cursor));
    }
    *ret_message = commit;
    return 0;
}

void fs_commit_fini(struct fs_commit *message)
{
    free(message->finals);
    *message = (struct fs_commit){0};
}

void fs_committed_encode(const struct fs_committed *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->point);
    fs_buf_put_u64(buf, message->record_version);
}

int fs_committed_decode(const uint8_t *payload, size_t length, struct fs_committed *ret_message,
                        struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_committed committed = {.point = fs_cursor_get_uuid(&cursor),
                                     .record_version = fs_cursor_get_u64(&cursor)};
    if (!fs_cursor_finished(&cursor) || fs_uuid_is_zero(&committed.point)) {
        return fs_codec_fail(err, "COMMITTED", "it does not name one point");
    }
    *ret_message = committed;
    return 0;
}
