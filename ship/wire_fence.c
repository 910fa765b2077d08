/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FENCE_WANT and FENCE_DONE: a site that is about to be promoted has the other one fence.
 * FENCE_LOOK and FENCE_SEEN: whom that would concern.
 */
#include <assert.h>
#include <stdlib.h>

#include "ship/codec.h"

/* Four empty strings. */
#define CLIENT_SIZE_MIN (4 * 2)

void fs_fence_want_encode(const struct fs_fence_want *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_u64(buf, message->term.number);
    fs_buf_put_uuid(buf, &message->term.site);
    fs_codec_put_message(buf, message->who);
}

int fs_fence_want_decode(const uint8_t *payload, size_t length, struct fs_fence_want *ret_message,
                         struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_fence_want want = {0};

    want.group = fs_cursor_get_uuid(&cursor);
    want.term.number = fs_cursor_get_u64(&cursor);
    want.term.site = fs_cursor_get_uuid(&cursor);
    fs_codec_get_text(&cursor, want.who, sizeof(want.who), FS_TEXT_MAY_BE_EMPTY);
    if (cursor.failed || fs_cursor_left(&cursor) > 0 || fs_uuid_is_zero(&want.group) ||
        want.term.number == 0 || want.term.number > INT64_MAX) {
        return fs_codec_fail(err, "FENCE_WANT", "a field is missing or impossible");
    }
    *ret_message = want;
    return 0;
}

void fs_fence_done_encode(const struct fs_fence_done *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_u64(buf, message->number);
    fs_buf_put_u8(buf, (uint8_t)message->outcome);
    fs_codec_put_message(buf, message->message);
}

int fs_fence_done_decode(const uint8_t *payload, size_t length, struct fs_fence_done *ret_message,
                         struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_fence_done done = {0};

    done.group = fs_cursor_get_uuid(&cursor);
    done.number = fs_cursor_get_u64(&cursor);
    uint8_t outcome = fs_cursor_get_u8(&cursor);
    fs_codec_get_text(&cursor, done.message, sizeof(done.message), FS_TEXT_MAY_BE_EMPTY);
    if (cursor.failed || fs_cursor_left(&cursor) > 0 || fs_uuid_is_zero(&done.group) ||
        outcome > FS_FENCE_FAILED) {
        return fs_codec_fail(err, "FENCE_DONE", "a field is missing or impossible");
    }
    done.outcome = (enum fs_fence_outcome)outcome;
    *ret_message = done;
    return 0;
}

void fs_fence_look_encode(const struct fs_fence_look *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_u64(buf, message->number);
}

int fs_fence_look_decode(const uint8_t *payload, size_t length, struct fs_fence_look *ret_message,
                         struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_fence_look look = {0};

    look.group = fs_cursor_get_uuid(&cursor);
    look.number = fs_cursor_get_u64(&cursor);
    if (cursor.failed || fs_cursor_left(&cursor) > 0 || fs_uuid_is_zero(&look.group)) {
        return fs_codec_fail(err, "FENCE_LOOK", "a field is missing or impossible");
    }
    *ret_message = look;
    return 0;
}

void fs_fence_seen_encode(const struct fs_fence_seen *message, struct fs_buf *buf)
{
    assert(message->count <= FS_SEEN_MAX);
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_u64(buf, message->number);
    fs_buf_put_u8(buf, message->flags);
    fs_codec_put_message(buf, message->message);
    fs_buf_put_u16(buf, (uint16_t)message->count);
    for (size_t i = 0; i < message->count; i++) {
        fs_codec_put_message(buf, message->clients[i].client);
        fs_codec_put_message(buf, message->clients[i].address);
        fs_codec_put_message(buf, message->clients[i].images);
        fs_codec_put_message(buf, message->clients[i].others);
    }
}

static void get_client(struct fs_cursor *cursor, struct fs_fence *ret_client)
{
    fs_codec_get_text(cursor, ret_client->client, sizeof(ret_client->client), FS_TEXT_NOT_EMPTY);
    fs_codec_get_text(cursor, ret_client->address, sizeof(ret_client->address), FS_TEXT_NOT_EMPTY);
    fs_codec_get_text(cursor, ret_client->images, sizeof(ret_client->images), FS_TEXT_MAY_BE_EMPTY);
    fs_codec_get_text(cursor, ret_client->others, sizeof(ret_client->others), FS_TEXT_MAY_BE_EMPTY);
}

int fs_fence_seen_decode(const uint8_t *payload, size_t length, struct fs_fence_seen *ret_message,
                         struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_fence_seen seen = {0};

    seen.group = fs_cursor_get_uuid(&cursor);
    seen.number = fs_cursor_get_u64(&cursor);
    seen.flags = fs_cursor_get_u8(&cursor);
    fs_codec_get_text(&cursor, seen.message, sizeof(seen.message), FS_TEXT_MAY_BE_EMPTY);
    size_t count = fs_cursor_get_u16(&cursor);
    if (cursor.failed || fs_uuid_is_zero(&seen.group) || count > FS_SEEN_MAX ||
        fs_cursor_left(&cursor) < count * CLIENT_SIZE_MIN) {
        return fs_codec_fail(err, "FENCE_SEEN", "a field is missing or impossible");
    }
    /* calloc(0) may give NULL; one spare entry keeps NULL for "out of memory". */
    seen.clients = calloc(count + 1, sizeof(*seen.clients));
    if (seen.clients == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (seen.count = 0; seen.count < count; seen.count++) {
        get_client(&cursor, &seen.clients[seen.count]);
    }
    if (cursor.failed || fs_cursor_left(&cursor) > 0 ||
        ((seen.flags & FS_SEEN_FAILED) && count > 0)) {
        fs_fence_seen_fini(&seen);
        return fs_codec_fail(err, "FENCE_SEEN", "%zu clients in %zu bytes", count, length);
    }
    *ret_message = seen;
    return 0;
}

void fs_fence_seen_fini(struct fs_fence_seen *message)
{
    free(message->clients);
    *message = (struct fs_fence_seen){0};
}
