/* SPDX-License-Identifier: Apache-2.0 */
/* TERMS: which term and role each site has for the groups that the two share. */
#include <assert.h>
#include <stdlib.h>

#include "ship/codec.h"

#define ENTRY_SIZE (16 + 8 + 16 + 1 + 1)

void fs_terms_encode(const struct fs_terms *message, struct fs_buf *buf)
{
    assert(message->count <= FS_TERMS_MAX);
    fs_buf_put_u8(buf, (uint8_t)message->more);
    fs_buf_put_u32(buf, (uint32_t)message->count);
    for (size_t i = 0; i < message->count; i++) {
        fs_buf_put_uuid(buf, &message->entries[i].group);
        fs_buf_put_u64(buf, message->entries[i].term.number);
        fs_buf_put_uuid(buf, &message->entries[i].term.site);
        fs_buf_put_u8(buf, (uint8_t)message->entries[i].role);
        fs_buf_put_u8(buf, message->entries[i].flags);
    }
}

/* A role of a later version says nothing to us, but its term does. */
static enum fs_role role_of(uint8_t number)
{
    return number <= FS_ROLE_RECORD_LOST ? (enum fs_role)number : FS_ROLE_NONE;
}

int fs_terms_decode(const uint8_t *payload, size_t length, struct fs_terms *ret_message,
                    struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    uint8_t more = fs_cursor_get_u8(&cursor);
    size_t count = fs_cursor_get_u32(&cursor);
    if (cursor.failed || more > 1 || count > FS_TERMS_MAX ||
        fs_cursor_left(&cursor) != count * ENTRY_SIZE) {
        return fs_codec_fail(err, "TERMS", "%zu entries in %zu bytes", count, length);
    }
    /* calloc(0) may give NULL; one spare entry keeps NULL for "out of memory". */
    struct fs_terms terms = {
        .more = more, .count = count, .entries = calloc(count + 1, sizeof(*terms.entries))};
    if (terms.entries == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        struct fs_terms_entry *entry = &terms.entries[i];
        entry->group = fs_cursor_get_uuid(&cursor);
        entry->term.number = fs_cursor_get_u64(&cursor);
        entry->term.site = fs_cursor_get_uuid(&cursor);
        entry->role = role_of(fs_cursor_get_u8(&cursor));
        entry->flags = fs_cursor_get_u8(&cursor);
        if (fs_uuid_is_zero(&entry->group) || entry->term.number > INT64_MAX) {
            fs_terms_fini(&terms);
            return fs_codec_fail(err, "TERMS", "entry %zu is impossible", i);
        }
    }
    *ret_message = terms;
    return 0;
}

void fs_terms_fini(struct fs_terms *message)
{
    free(message->entries);
    *message = (struct fs_terms){0};
}
