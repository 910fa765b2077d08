/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the message codecs share: checked fields of text, lists of positions, and the one way to
 * fail. Private to ship/. Any thread.
 */
#ifndef FARSHORE_SHIP_CODEC_H
#define FARSHORE_SHIP_CODEC_H

#include <endian.h>
#include <string.h>

#include "farshore/wire.h"

static inline void fs_codec_store_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}

static inline void fs_codec_store_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

/* Smallest encoding of one element: a count that promises more than the bytes left is refused
 * before anything is allocated for it. */
#define FS_POSITION_SIZE 24

/* Well-formed UTF-8 without control characters. */
bool fs_codec_text_valid(const char *text);

/* Fills err with "the peer's NAME message: ..." and returns -EPROTO. */
int fs_codec_fail(struct fs_error *err, const char *message, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The peer broke the protocol in another way than by what a message says: -EPROTO with err. */
int fs_protocol_error(struct fs_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What is wrong with a text field of a message, besides that it is too long. */
enum fs_codec_text {
    FS_TEXT_MAY_BE_EMPTY,
    FS_TEXT_NOT_EMPTY,
};

/*
 * Reads a string into ret_text. The cursor fails where it does not fit, is not valid text, or is
 * empty against the rule.
 */
void fs_codec_get_text(struct fs_cursor *cursor, char *ret_text, size_t size,
                       enum fs_codec_text rule);
/* A text for people: what is not valid text becomes '?', so that it always arrives. */
void fs_codec_put_message(struct fs_buf *buf, const char *text);

void fs_codec_put_digest(struct fs_buf *buf, const struct fs_digest *digest);
struct fs_digest fs_codec_get_digest(struct fs_cursor *cursor);

/* u16 count and 24 bytes each. */
void fs_codec_put_positions(struct fs_buf *buf, const struct fs_position *positions, size_t count);
/* 0, -ENOMEM or -EPROTO with err; *ret_positions is then NULL. At least one, at most
 * FS_VOLUMES_MAX. name is of the message. */
int fs_codec_get_positions(struct fs_cursor *cursor, const char *name,
                           struct fs_position **ret_positions, size_t *ret_count,
                           struct fs_error *err);

#endif
