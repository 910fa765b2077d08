/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
/* For hash states on the stack, whose size the library otherwise keeps to itself. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "ship/codec.h"

#define MAGIC       0x31485346u /* "FSH1" */
#define AT_TYPE     4
#define AT_LENGTH   8
#define AT_CHECKSUM 24

const char *fs_frame_type_name(uint16_t type)
{
    switch (type) {
    case FS_FRAME_HELLO:
        return "HELLO";
    case FS_FRAME_BYE:
        return "BYE";
    case FS_FRAME_PING:
        return "PING";
    case FS_FRAME_PONG:
        return "PONG";
    case FS_FRAME_CREDIT:
        return "CREDIT";
    case FS_FRAME_LANES:
        return "LANES";
    case FS_FRAME_LANE:
        return "LANE";
    case FS_FRAME_OFFER:
        return "OFFER";
    case FS_FRAME_ACCEPT:
        return "ACCEPT";
    case FS_FRAME_REFUSE:
        return "REFUSE";
    case FS_FRAME_SEGMENT:
        return "SEGMENT";
    case FS_FRAME_PROGRESS:
        return "PROGRESS";
    case FS_FRAME_COMMIT:
        return "COMMIT";
    case FS_FRAME_COMMITTED:
        return "COMMITTED";
    case FS_FRAME_ABORT:
        return "ABORT";
    case FS_FRAME_OBJECTS_WANT:
        return "OBJECTS_WANT";
    case FS_FRAME_OBJECTS_DATA:
        return "OBJECTS_DATA";
    case FS_FRAME_CURRENT:
        return "CURRENT";
    case FS_FRAME_CURRENT_ACK:
        return "CURRENT_ACK";
    case FS_FRAME_TERMS:
        return "TERMS";
    case FS_FRAME_MOVE:
        return "MOVE";
    case FS_FRAME_MOVE_ANSWER:
        return "MOVE_ANSWER";
    case FS_FRAME_FENCE_WANT:
        return "FENCE_WANT";
    case FS_FRAME_FENCE_DONE:
        return "FENCE_DONE";
    case FS_FRAME_FENCE_LOOK:
        return "FENCE_LOOK";
    case FS_FRAME_FENCE_SEEN:
        return "FENCE_SEEN";
    case FS_FRAME_VERIFY:
        return "VERIFY";
    case FS_FRAME_VERIFY_REPORT:
        return "VERIFY_REPORT";
    case FS_FRAME_DIGEST_OPEN:
        return "DIGEST_OPEN";
    case FS_FRAME_DIGEST_READY:
        return "DIGEST_READY";
    case FS_FRAME_DIGEST_WANT:
        return "DIGEST_WANT";
    case FS_FRAME_DIGEST_BATCH:
        return "DIGEST_BATCH";
    default:
        return "unknown";
    }
}

/*
 * How much of the payload the checksum covers: all of it, but for the content of a SEGMENT, which
 * its extents have hashes of. So the content is hashed once at each end, by a worker.
 */
static size_t covered(uint16_t type, const uint8_t *payload, size_t length)
{
    if (type != FS_FRAME_SEGMENT || length < FS_SEGMENT_HEAD_SIZE) {
        return length;
    }
    struct fs_cursor cursor = fs_cursor_of(payload + FS_SEGMENT_AT_EXTENTS, sizeof(uint32_t));
    uint64_t head =
        FS_SEGMENT_HEAD_SIZE + (uint64_t)fs_cursor_get_u32(&cursor) * FS_SEGMENT_EXTENT_SIZE;
    return head < length ? (size_t)head : length;
}

static uint64_t checksum(uint16_t type, const uint8_t *header, const uint8_t *payload,
                         size_t length)
{
    length = covered(type, payload, length);
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, header, AT_CHECKSUM);
    if (length > 0) {
        XXH3_64bits_update(&state, payload, length);
    }
    return XXH3_64bits_digest(&state);
}

size_t fs_frame_begin(struct fs_buf *buf, uint16_t type, uint16_t flags, uint32_t stream)
{
    size_t start = buf->length;
    fs_buf_put_u32(buf, MAGIC);
    fs_buf_put_u16(buf, type);
    fs_buf_put_u16(buf, flags);
    fs_buf_put_u32(buf, 0);
    fs_buf_put_u32(buf, stream);
    fs_buf_put_u64(buf, 0);
    fs_buf_put_u64(buf, 0);
    return start;
}

void fs_frame_finish(struct fs_buf *buf, size_t start)
{
    if (buf->failed) {
        return;
    }
    assert(buf->length >= start + FS_FRAME_HEADER);
    size_t length = buf->length - start - FS_FRAME_HEADER;
    if (length > FS_FRAME_PAYLOAD_MAX) {
        buf->failed = true;
        return;
    }
    uint8_t *header = buf->data + start;
    struct fs_cursor cursor = fs_cursor_of(header + AT_TYPE, sizeof(uint16_t));
    uint16_t type = fs_cursor_get_u16(&cursor);
    fs_codec_store_u32(header + AT_LENGTH, (uint32_t)length);
    fs_codec_store_u64(header + AT_CHECKSUM,
                       checksum(type, header, header + FS_FRAME_HEADER, length));
}

uint32_t fs_frame_length(const uint8_t *header)
{
    struct fs_cursor cursor = fs_cursor_of(header + AT_LENGTH, sizeof(uint32_t));
    return fs_cursor_get_u32(&cursor);
}

long fs_frame_parse(const uint8_t *data, size_t length, struct fs_frame *ret_frame,
                    struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(data, length);
    if (length < 4) {
        return 0;
    }
    if (fs_cursor_get_u32(&cursor) != MAGIC) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "what arrived is not a Farshore frame; is the other end a Farshore "
                            "of this protocol?");
    }
    if (length < FS_FRAME_HEADER) {
        return 0;
    }
    struct fs_frame frame = {0};
    frame.type = fs_cursor_get_u16(&cursor);
    frame.flags = fs_cursor_get_u16(&cursor);
    frame.length = fs_cursor_get_u32(&cursor);
    frame.stream = fs_cursor_get_u32(&cursor);
    uint64_t reserved = fs_cursor_get_u64(&cursor);
    uint64_t expected = fs_cursor_get_u64(&cursor);
    if (frame.length > FS_FRAME_PAYLOAD_MAX) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "a frame of %u bytes is above the bound of %u", frame.length,
                            FS_FRAME_PAYLOAD_MAX);
    }
    if (length - FS_FRAME_HEADER < frame.length) {
        return 0;
    }
    frame.payload = data + FS_FRAME_HEADER;
    if (checksum(frame.type, data, frame.payload, frame.length) != expected) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "a %s frame has the wrong checksum",
                            fs_frame_type_name(frame.type));
    }
    if (reserved != 0) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "a %s frame uses the reserved field",
                            fs_frame_type_name(frame.type));
    }
    *ret_frame = frame;
    return FS_FRAME_HEADER + (long)frame.length;
}
