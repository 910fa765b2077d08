/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of messages share: a decoder of each message by its payload, and its bounds. */
#ifndef FARSHORE_UNIT_WIRE_RIG_H
#define FARSHORE_UNIT_WIRE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/wire.h"

static const struct fs_uuid uuid_a = {.b = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct fs_uuid uuid_b = {.b = {0xff, 0xee}};

typedef int decode_fn(const uint8_t *payload, size_t length, struct fs_error *err);

/* Decodes and frees; the struct's content does not matter here. */
#define DECODER(name, fini)                                                                        \
    static int decode_##name(const uint8_t *payload, size_t length, struct fs_error *err)          \
    {                                                                                              \
        struct fs_##name message;                                                                  \
        int r = fs_##name##_decode(payload, length, &message, err);                                \
        if (r == 0) {                                                                              \
            fini(&message);                                                                        \
        }                                                                                          \
        return r;                                                                                  \
    }

static inline void no_fini(const void *message)
{
    (void)message;
}

/* From a heap copy of exactly that length, so that a sanitizer sees what is read too far. */
static inline int decode_copy(decode_fn *decode, const uint8_t *payload, size_t length)
{
    struct fs_error err = FS_ERROR_INIT;
    uint8_t *copy = malloc(length == 0 ? 1 : length);
    memcpy(copy, payload, length);
    int r = decode(length == 0 ? copy + 1 : copy, length, &err);
    free(copy);
    assert_int_equal(fs_error_is_set(&err), r != 0);
    assert_true(r == 0 || r == -EPROTO);
    return r;
}

/* The payload decodes; no shorter one does; nor a longer one, unless later versions may add to the
 * message. Frees buf. */
static inline void check_bounds_of(decode_fn *decode, bool grows, struct fs_buf *buf)
{
    assert_false(buf->failed);
    assert_int_equal(decode_copy(decode, buf->data, buf->length), 0);
    for (size_t length = 0; length < buf->length; length++) {
        assert_int_equal(decode_copy(decode, buf->data, length), -EPROTO);
    }
    fs_buf_put_u8(buf, 0);
    assert_int_equal(decode_copy(decode, buf->data, buf->length), grows ? 0 : -EPROTO);
    fs_buf_fini(buf);
}

static inline void check_bounds(decode_fn *decode, struct fs_buf *buf)
{
    check_bounds_of(decode, false, buf);
}

#endif
