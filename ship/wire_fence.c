/* SPDX-License-Identifier: Apache-2.0 */
/* FENCE_WANT and FENCE_DONE: a site that is about to be promoted has the other one fence. */
#include "ship/codec.h"

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
