/* SPDX-License-Identifier: Apache-2.0 */
#include "ship/codec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Length of the UTF-8 sequence at text (NUL-terminated), 0 where it is malformed, overlong, a
 * surrogate or above U+10FFFF. A NUL inside a sequence ends it as malformed.
 */
static size_t utf8_length(const unsigned char *text)
{
    if (text[0] < 0x80) {
        return 1;
    }
    size_t length;
    uint32_t code, smallest;
    if ((text[0] & 0xe0) == 0xc0) {
        length = 2, code = text[0] & 0x1f, smallest = 0x80;
    } else if ((text[0] & 0xf0) == 0xe0) {
        length = 3, code = text[0] & 0x0f, smallest = 0x800;
    } else if ((text[0] & 0xf8) == 0xf0) {
        length = 4, code = text[0] & 0x07, smallest = 0x10000;
    } else {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (text[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < smallest || surrogate || code > 0x10ffff ? 0 : length;
}

/* Length of the valid printable character at text, or 0. C1 controls count as controls. */
static size_t character_length(const unsigned char *text)
{
    if (text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0)) {
        return 0;
    }
    return utf8_length(text);
}

bool fs_codec_text_valid(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t length = character_length(at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

int fs_codec_fail(struct fs_error *err, const char *message, const char *format, ...)
{
    char detail[256];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    return fs_error_set(err, FS_ERR_PEER, EPROTO,
                        "the peer's %s message is malformed: %s; "
                        "do both sites run the same version of Farshore?",
                        message, detail);
}

int fs_protocol_error(struct fs_error *err, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return fs_error_set(err, FS_ERR_PEER, EPROTO, "protocol error: %s", text);
}

void fs_codec_get_text(struct fs_cursor *cursor, char *ret_text, size_t size,
                       enum fs_codec_text rule)
{
    fs_cursor_get_string(cursor, ret_text, size);
    if (!fs_codec_text_valid(ret_text) || (rule == FS_TEXT_NOT_EMPTY && ret_text[0] == '\0')) {
        cursor->failed = true;
    }
}

void fs_codec_put_message(struct fs_buf *buf, const char *text)
{
    char clean[512];
    size_t used = 0;
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t length = character_length(at);
        size_t put = length == 0 ? 1 : length;
        if (used + put >= sizeof(clean)) {
            break;
        }
        memcpy(clean + used, length == 0 ? (const void *)"?" : at, put);
        used += put;
        at += put;
    }
    clean[used] = '\0';
    fs_buf_put_string(buf, clean);
}

void fs_codec_put_digest(struct fs_buf *buf, const struct fs_digest *digest)
{
    fs_buf_put(buf, digest->b, sizeof(digest->b));
}

struct fs_digest fs_codec_get_digest(struct fs_cursor *cursor)
{
    struct fs_digest digest = {0};
    const uint8_t *bytes = fs_cursor_get(cursor, sizeof(digest.b));

    if (bytes) {
        memcpy(digest.b, bytes, sizeof(digest.b));
    }
    return digest;
}

void fs_codec_put_positions(struct fs_buf *buf, const struct fs_position *positions, size_t count)
{
    assert(count > 0 && count <= FS_VOLUMES_MAX);
    fs_buf_put_u16(buf, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        fs_buf_put_u64(buf, positions[i].offset);
        fs_buf_put(buf, positions[i].chain.b, sizeof(positions[i].chain.b));
    }
}

static bool position_valid(const struct fs_position *position)
{
    static const struct fs_digest zero;
    return position->offset <= INT64_MAX &&
           (position->offset != 0 || memcmp(&position->chain, &zero, sizeof(zero)) == 0);
}

int fs_codec_get_positions(struct fs_cursor *cursor, const char *name,
                           struct fs_position **ret_positions, size_t *ret_count,
                           struct fs_error *err)
{
    *ret_positions = NULL;
    *ret_count = 0;
    size_t count = fs_cursor_get_u16(cursor);
    if (cursor->failed || count == 0 || count > FS_VOLUMES_MAX ||
        fs_cursor_left(cursor) / FS_POSITION_SIZE < count) {
        return fs_codec_fail(err, name, "%zu positions in %zu bytes", count,
                             fs_cursor_left(cursor));
    }
    struct fs_position *positions = calloc(count, sizeof(*positions));
    if (positions == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        positions[i].offset = fs_cursor_get_u64(cursor);
        memcpy(positions[i].chain.b, fs_cursor_get(cursor, sizeof(positions[i].chain.b)),
               sizeof(positions[i].chain.b));
        if (!position_valid(&positions[i])) {
            free(positions);
            return fs_codec_fail(err, name, "position %zu is impossible", i);
        }
    }
    *ret_positions = positions;
    *ret_count = count;
    return 0;
}
