/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/buf.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_SMALLEST 256

void fs_buf_fini(struct fs_buf *buf)
{
    free(buf->data);
    *buf = FS_BUF_INIT;
}

bool fs_buf_reserve(struct fs_buf *buf, size_t more)
{
    size_t need;

    if (buf->failed) {
        return false;
    }
    if (__builtin_add_overflow(buf->length, more, &need)) {
        buf->failed = true;
        return false;
    }
    if (need <= buf->capacity) {
        return true;
    }

    size_t capacity = buf->capacity < BUF_SMALLEST ? BUF_SMALLEST : buf->capacity;

    while (capacity < need) {
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity)) {
            capacity = need;
        }
    }

    uint8_t *data = realloc(buf->data, capacity);

    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void fs_buf_put(struct fs_buf *buf, const void *bytes, size_t length)
{
    if (length > 0 && fs_buf_reserve(buf, length)) {
        memcpy(buf->data + buf->length, bytes, length);
        buf->length += length;
    }
}

void fs_buf_put_u8(struct fs_buf *buf, uint8_t value)
{
    fs_buf_put(buf, &value, sizeof(value));
}

void fs_buf_put_u16(struct fs_buf *buf, uint16_t value)
{
    value = htole16(value);
    fs_buf_put(buf, &value, sizeof(value));
}

void fs_buf_put_u32(struct fs_buf *buf, uint32_t value)
{
    value = htole32(value);
    fs_buf_put(buf, &value, sizeof(value));
}

void fs_buf_put_u64(struct fs_buf *buf, uint64_t value)
{
    value = htole64(value);
    fs_buf_put(buf, &value, sizeof(value));
}

void fs_buf_put_uuid(struct fs_buf *buf, const struct fs_uuid *uuid)
{
    fs_buf_put(buf, uuid->b, sizeof(uuid->b));
}

void fs_buf_put_string(struct fs_buf *buf, const char *text)
{
    size_t length = strlen(text);

    if (length > UINT16_MAX) {
        buf->failed = true;
        return;
    }
    fs_buf_put_u16(buf, (uint16_t)length);
    fs_buf_put(buf, text, length);
}

void fs_buf_printf(struct fs_buf *buf, const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);

    int length = vsnprintf(NULL, 0, format, args);

    if (length < 0) {
        buf->failed = true;
    } else if (fs_buf_reserve(buf, (size_t)length + 1)) {
        vsnprintf((char *)buf->data + buf->length, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

const uint8_t *fs_cursor_get(struct fs_cursor *cursor, size_t length)
{
    static const uint8_t nothing;

    if (cursor->failed || length > cursor->length - cursor->at) {
        cursor->failed = true;
        return NULL;
    }

    const uint8_t *data = cursor->data ? cursor->data + cursor->at : &nothing;

    cursor->at += length;
    return data;
}

uint8_t fs_cursor_get_u8(struct fs_cursor *cursor)
{
    const uint8_t *data = fs_cursor_get(cursor, 1);

    return data ? *data : 0;
}

uint16_t fs_cursor_get_u16(struct fs_cursor *cursor)
{
    uint16_t value = 0;
    const uint8_t *data = fs_cursor_get(cursor, sizeof(value));

    if (data) {
        memcpy(&value, data, sizeof(value));
    }
    return le16toh(value);
}

uint32_t fs_cursor_get_u32(struct fs_cursor *cursor)
{
    uint32_t value = 0;
    const uint8_t *data = fs_cursor_get(cursor, sizeof(value));

    if (data) {
        memcpy(&value, data, sizeof(value));
    }
    return le32toh(value);
}

uint64_t fs_cursor_get_u64(struct fs_cursor *cursor)
{
    uint64_t value = 0;
    const uint8_t *data = fs_cursor_get(cursor, sizeof(value));

    if (data) {
        memcpy(&value, data, sizeof(value));
    }
    return le64toh(value);
}

struct fs_uuid fs_cursor_get_uuid(struct fs_cursor *cursor)
{
    struct fs_uuid uuid = {{0}};
    const uint8_t *data = fs_cursor_get(cursor, sizeof(uuid.b));

    if (data) {
        memcpy(uuid.b, data, sizeof(uuid.b));
    }
    return uuid;
}

/* The bytes of a string without a NUL in it, or NULL with the cursor failed. */
static const uint8_t *get_text(struct fs_cursor *cursor, size_t limit, size_t *ret_length)
{
    size_t length = fs_cursor_get_u16(cursor);
    const uint8_t *data = fs_cursor_get(cursor, length);

    if (data && (length > limit || memchr(data, 0, length))) {
        cursor->failed = true;
        data = NULL;
    }
    *ret_length = data ? length : 0;
    return data;
}

void fs_cursor_get_string(struct fs_cursor *cursor, char *ret_text, size_t size)
{
    size_t length;
    const uint8_t *data = get_text(cursor, size - 1, &length);

    if (data) {
        memcpy(ret_text, data, length);
    }
    ret_text[length] = '\0';
}

char *fs_cursor_get_string_dup(struct fs_cursor *cursor, size_t limit)
{
    size_t length;
    const uint8_t *data = get_text(cursor, limit, &length);

    if (!data) {
        return NULL;
    }

    char *text = malloc(length + 1);

    if (!text) {
        cursor->failed = true;
        return NULL;
    }
    memcpy(text, data, length);
    text[length] = '\0';
    return text;
}

bool fs_cursor_finished(const struct fs_cursor *cursor)
{
    return !cursor->failed && cursor->at == cursor->length;
}

size_t fs_cursor_left(const struct fs_cursor *cursor)
{
    return cursor->failed ? 0 : cursor->length - cursor->at;
}

/* --- hexadecimal ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

bool fs_hex_decode(const char *hex, size_t n_bytes, uint8_t *ret_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
