/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of stream 0, and the text of BYE and ABORT. */
#include <assert.h>
#include <stdlib.h>

#include "ship/codec.h"

#define CURRENT_ENTRY_SIZE 40

void fs_hello_encode(const struct fs_hello *message, struct fs_buf *buf)
{
    fs_buf_put_u16(buf, message->version_min);
    fs_buf_put_u16(buf, message->version_max);
    fs_buf_put_u64(buf, message->features);
    fs_buf_put_string(buf, message->site);
    fs_buf_put_uuid(buf, &message->site_uuid);
    fs_buf_put_uuid(buf, &message->instance);
    fs_buf_put_u64(buf, message->credit);
    fs_buf_put_u64(buf, (uint64_t)message->wall_ns);
    fs_buf_put_string(buf, message->software);
}

int fs_hello_decode(const uint8_t *payload, size_t length, struct fs_hello *ret_message,
                    struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_hello hello = {0};
    hello.version_min = fs_cursor_get_u16(&cursor);
    hello.version_max = fs_cursor_get_u16(&cursor);
    hello.features = fs_cursor_get_u64(&cursor);
    fs_codec_get_text(&cursor, hello.site, sizeof(hello.site), FS_TEXT_NOT_EMPTY);
    hello.site_uuid = fs_cursor_get_uuid(&cursor);
    hello.instance = fs_cursor_get_uuid(&cursor);
    hello.credit = fs_cursor_get_u64(&cursor);
    hello.wall_ns = (int64_t)fs_cursor_get_u64(&cursor);
    fs_codec_get_text(&cursor, hello.software, sizeof(hello.software), FS_TEXT_MAY_BE_EMPTY);
    /* Bytes may follow: the only message that a newer version must be able to add to before the
     * version is agreed. */
    if (cursor.failed) {
        return fs_codec_fail(err, "HELLO", "a field is missing or is not valid text");
    }
    if (hello.version_min == 0 || hello.version_min > hello.version_max) {
        return fs_codec_fail(err, "HELLO", "versions %u to %u", hello.version_min,
                             hello.version_max);
    }
    if (fs_uuid_is_zero(&hello.site_uuid) || fs_uuid_is_zero(&hello.instance)) {
        return fs_codec_fail(err, "HELLO", "the site or the instance has no identity");
    }
    if (hello.credit < FS_CREDIT_MIN || hello.credit > FS_CREDIT_MAX) {
        return fs_codec_fail(err, "HELLO", "a credit of %llu bytes",
                             (unsigned long long)hello.credit);
    }
    *ret_message = hello;
    return 0;
}

void fs_ping_encode(const struct fs_ping *message, struct fs_buf *buf)
{
    fs_buf_put_u64(buf, message->id);
    fs_buf_put_u64(buf, message->boot_ns);
    fs_buf_put_u64(buf, (uint64_t)message->wall_ns);
}

int fs_ping_decode(const uint8_t *payload, size_t length, struct fs_ping *ret_message,
                   struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_ping ping = {0};
    ping.id = fs_cursor_get_u64(&cursor);
    ping.boot_ns = fs_cursor_get_u64(&cursor);
    ping.wall_ns = (int64_t)fs_cursor_get_u64(&cursor);
    if (!fs_cursor_finished(&cursor)) {
        return fs_codec_fail(err, "PING or PONG", "%zu bytes", length);
    }
    *ret_message = ping;
    return 0;
}

void fs_credit_encode(const struct fs_credit *message, struct fs_buf *buf)
{
    fs_buf_put_u64(buf, message->bytes);
}

int fs_credit_decode(const uint8_t *payload, size_t length, struct fs_credit *ret_message,
                     struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_credit credit = {.bytes = fs_cursor_get_u64(&cursor)};
    if (!fs_cursor_finished(&cursor) || credit.bytes == 0 || credit.bytes > FS_CREDIT_MAX) {
        return fs_codec_fail(err, "CREDIT", "%llu bytes of credit in a payload of %zu",
                             (unsigned long long)credit.bytes, length);
    }
    *ret_message = credit;
    return 0;
}

void fs_lanes_encode(const struct fs_lanes *message, struct fs_buf *buf)
{
    fs_buf_put_u64(buf, message->window);
    fs_buf_put(buf, message->lane.token, sizeof(message->lane.token));
}

int fs_lanes_decode(const uint8_t *payload, size_t length, struct fs_lanes *ret_message,
                    struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_lanes lanes = {.window = fs_cursor_get_u64(&cursor)};
    const uint8_t *token = fs_cursor_get(&cursor, sizeof(lanes.lane.token));
    if (!fs_cursor_finished(&cursor) || lanes.window < FS_LANES_WINDOW_MIN ||
        lanes.window > FS_CREDIT_MAX) {
        return fs_codec_fail(err, "LANES", "a window of %llu bytes in a payload of %zu",
                             (unsigned long long)lanes.window, length);
    }
    memcpy(lanes.lane.token, token, sizeof(lanes.lane.token));
    *ret_message = lanes;
    return 0;
}

void fs_lane_encode(const struct fs_lane *message, struct fs_buf *buf)
{
    fs_buf_put(buf, message->token, sizeof(message->token));
}

int fs_lane_decode(const uint8_t *payload, size_t length, struct fs_lane *ret_message,
                   struct fs_error *err)
{
    if (length != sizeof(ret_message->token)) {
        return fs_codec_fail(err, "LANE", "a token of %zu bytes", length);
    }
    memcpy(ret_message->token, payload, length);
    return 0;
}

void fs_text_encode(const struct fs_text *message, struct fs_buf *buf)
{
    fs_codec_put_message(buf, message->text);
}

int fs_text_decode(const uint8_t *payload, size_t length, struct fs_text *ret_message,
                   struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_text text = {0};
    fs_codec_get_text(&cursor, text.text, sizeof(text.text), FS_TEXT_MAY_BE_EMPTY);
    if (!fs_cursor_finished(&cursor)) {
        return fs_codec_fail(err, "BYE or ABORT", "it is not one valid text");
    }
    *ret_message = text;
    return 0;
}

void fs_current_list_encode(const struct fs_current_list *message, struct fs_buf *buf)
{
    assert(message->count <= FS_CURRENT_MAX);
    fs_buf_put_u32(buf, (uint32_t)message->count);
    for (size_t i = 0; i < message->count; i++) {
        fs_buf_put_uuid(buf, &message->entries[i].group);
        fs_buf_put_uuid(buf, &message->entries[i].point);
        fs_buf_put_u64(buf, message->entries[i].age_ns);
    }
}

int fs_current_list_decode(const uint8_t *payload, size_t length,
                           struct fs_current_list *ret_message, struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    size_t count = fs_cursor_get_u32(&cursor);
    if (cursor.failed || count > FS_CURRENT_MAX ||
        fs_cursor_left(&cursor) != count * CURRENT_ENTRY_SIZE) {
        return fs_codec_fail(err, "CURRENT", "%zu entries in %zu bytes", count, length);
    }
    /* calloc(0) may give NULL; one spare entry keeps NULL for "out of memory". */
    struct fs_current_list list = {.count = count,
                                   .entries = calloc(count + 1, sizeof(*list.entries))};
    if (list.entries == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        struct fs_current_entry *entry = &list.entries[i];
        entry->group = fs_cursor_get_uuid(&cursor);
        entry->point = fs_cursor_get_uuid(&cursor);
        entry->age_ns = fs_cursor_get_u64(&cursor);
        if (fs_uuid_is_zero(&entry->group) || fs_uuid_is_zero(&entry->point) ||
            entry->age_ns > INT64_MAX) {
            fs_current_list_fini(&list);
            return fs_codec_fail(err, "CURRENT", "entry %zu is impossible", i);
        }
    }
    *ret_message = list;
    return 0;
}

void fs_current_list_fini(struct fs_current_list *message)
{
    free(message->entries);
    *message = (struct fs_current_list){0};
}
