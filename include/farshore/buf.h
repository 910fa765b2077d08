/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer to encode into, and a checked cursor to decode from. Little endian.
 * Both remember their first failure, so that a codec checks once at the end. Not thread-safe.
 */
#ifndef FARSHORE_BUF_H
#define FARSHORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farshore/uuid.h"

struct fs_buf {
    uint8_t *data; /* owned */
    size_t length;
    size_t capacity;
    bool failed; /* out of memory; later puts do nothing */
};

#define FS_BUF_INIT ((struct fs_buf){0})

void fs_buf_fini(struct fs_buf *buf);
/* Room for more bytes after length; false when out of memory. */
bool fs_buf_reserve(struct fs_buf *buf, size_t more);
void fs_buf_put(struct fs_buf *buf, const void *bytes, size_t length);
void fs_buf_put_u8(struct fs_buf *buf, uint8_t value);
void fs_buf_put_u16(struct fs_buf *buf, uint16_t value);
void fs_buf_put_u32(struct fs_buf *buf, uint32_t value);
void fs_buf_put_u64(struct fs_buf *buf, uint64_t value);
void fs_buf_put_uuid(struct fs_buf *buf, const struct fs_uuid *uuid);
/* A u16 length and the bytes, without a NUL; a longer text than 65535 fails the buffer. */
void fs_buf_put_string(struct fs_buf *buf, const char *text);
/* printf at the end, without a NUL in length (but data[length] is NUL). */
void fs_buf_printf(struct fs_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct fs_cursor {
    const uint8_t *data; /* borrowed */
    size_t length;
    size_t at;
    bool failed; /* something did not fit; later gets return zeroes */
};

static inline struct fs_cursor fs_cursor_of(const void *data, size_t length)
{
    return (struct fs_cursor){.data = data, .length = length};
}

/* Points into the cursor's data, or NULL when it is too short. */
const uint8_t *fs_cursor_get(struct fs_cursor *cursor, size_t length);
uint8_t fs_cursor_get_u8(struct fs_cursor *cursor);
uint16_t fs_cursor_get_u16(struct fs_cursor *cursor);
uint32_t fs_cursor_get_u32(struct fs_cursor *cursor);
uint64_t fs_cursor_get_u64(struct fs_cursor *cursor);
struct fs_uuid fs_cursor_get_uuid(struct fs_cursor *cursor);
/* Copies into text and terminates it. Fails where it does not fit or where it holds a NUL. */
void fs_cursor_get_string(struct fs_cursor *cursor, char *ret_text, size_t size);
/* As above into new memory of at most limit bytes without the NUL; NULL on failure. */
char *fs_cursor_get_string_dup(struct fs_cursor *cursor, size_t limit);
/* True when nothing failed and everything was read. */
bool fs_cursor_finished(const struct fs_cursor *cursor);
size_t fs_cursor_left(const struct fs_cursor *cursor);

/* So many bytes from two lower-case digits each, as fs_digest_format writes them; false at any
 * other character, with the bytes before it written. */
bool fs_hex_decode(const char *hex, size_t n_bytes, uint8_t *ret_bytes);

#endif
