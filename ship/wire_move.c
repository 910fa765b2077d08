/* SPDX-License-Identifier: Apache-2.0 */
/* MOVE and MOVE_ANSWER: a relocation. */
#include "ship/codec.h"

static void term_encode(const struct fs_term *term, struct fs_buf *buf)
{
    fs_buf_put_u64(buf, term->number);
    fs_buf_put_uuid(buf, &term->site);
}

void fs_move_encode(const struct fs_move *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_u8(buf, (uint8_t)message->what);
    term_encode(&message->term, buf);
    fs_buf_put_u64(buf, message->number);
    fs_buf_put_uuid(buf, &message->point);
}

static bool what_valid(uint8_t what)
{
    return what >= FS_MOVE_CHECK && what <= FS_MOVE_BRING;
}

int fs_move_decode(const uint8_t *payload, size_t length, struct fs_move *ret_message,
                   struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_move move = {.group = fs_cursor_get_uuid(&cursor)};
    uint8_t what = fs_cursor_get_u8(&cursor);

    move.term.number = fs_cursor_get_u64(&cursor);
    move.term.site = fs_cursor_get_uuid(&cursor);
    move.number = fs_cursor_get_u64(&cursor);
    move.point = fs_cursor_get_uuid(&cursor);
    if (cursor.failed || fs_cursor_left(&cursor) != 0 || !what_valid(what)) {
        return fs_codec_fail(err, "MOVE", "%zu bytes, kind %u", length, what);
    }
    move.what = (enum fs_move_what)what;
    bool grant = what == FS_MOVE_GRANT;
    if (fs_uuid_is_zero(&move.group) || fs_uuid_is_zero(&move.term.site) || move.term.number == 0 ||
        move.term.number > INT64_MAX || move.number > INT64_MAX ||
        (grant ? move.number <= move.term.number : move.number != 0) ||
        grant == fs_uuid_is_zero(&move.point)) {
        return fs_codec_fail(err, "MOVE", "a group, term or point that is impossible");
    }
    *ret_message = move;
    return 0;
}

void fs_move_answer_encode(const struct fs_move_answer *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_u8(buf, (uint8_t)message->what);
    fs_buf_put_u64(buf, message->number);
    fs_buf_put_u8(buf, (uint8_t)message->outcome);
    fs_codec_put_message(buf, message->message);
}

int fs_move_answer_decode(const uint8_t *payload, size_t length, struct fs_move_answer *ret_message,
                          struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_move_answer answer = {.group = fs_cursor_get_uuid(&cursor)};
    uint8_t what = fs_cursor_get_u8(&cursor);

    answer.number = fs_cursor_get_u64(&cursor);
    uint8_t outcome = fs_cursor_get_u8(&cursor);
    fs_codec_get_text(&cursor, answer.message, sizeof(answer.message), FS_TEXT_MAY_BE_EMPTY);
    if (cursor.failed || fs_cursor_left(&cursor) != 0 || !what_valid(what) ||
        outcome > FS_MOVE_LATER || fs_uuid_is_zero(&answer.group)) {
        return fs_codec_fail(err, "MOVE_ANSWER", "%zu bytes, kind %u, outcome %u", length, what,
                             outcome);
    }
    answer.what = (enum fs_move_what)what;
    answer.outcome = (enum fs_move_outcome)outcome;
    *ret_message = answer;
    return 0;
}
