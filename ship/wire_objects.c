/* SPDX-License-Identifier: Apache-2.0 */
/* OBJECTS_WANT and OBJECTS_DATA: the Kubernetes objects of a point. */
#include "ship/codec.h"

void fs_objects_want_encode(const struct fs_objects_want *message, struct fs_buf *buf)
{
    fs_codec_put_digest(buf, &message->digest);
}

int fs_objects_want_decode(const uint8_t *payload, size_t length,
                           struct fs_objects_want *ret_message, struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_objects_want want = {.digest = fs_codec_get_digest(&cursor)};

    if (!fs_cursor_finished(&cursor)) {
        return fs_codec_fail(err, "OBJECTS_WANT", "%zu bytes are no digest", length);
    }
    *ret_message = want;
    return 0;
}

void fs_objects_data_encode(const struct fs_objects_data *message, struct fs_buf *buf)
{
    fs_buf_put(buf, message->packed, message->length);
}

/* What they are is told by their digest, not here. */
int fs_objects_data_decode(const uint8_t *payload, size_t length,
                           struct fs_objects_data *ret_message, struct fs_error *err)
{
    if (length > FS_CAPTURED_PACKED_MAX) {
        return fs_codec_fail(err, "OBJECTS_DATA", "%zu bytes, at most %u are possible", length,
                             FS_CAPTURED_PACKED_MAX);
    }
    *ret_message = (struct fs_objects_data){.packed = payload, .length = (uint32_t)length};
    return 0;
}
