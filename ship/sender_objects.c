/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes objects of a point, to a target that has not got them. */
#include "ship/sender.h"
#include "ship/stream.h"

#include <string.h>

#include "farshore/fault.h"

int fs_sender_objects_want(struct fs_sender *sender, const struct fs_frame *frame,
                           struct fs_error *err)
{
    struct fs_objects_want want;
    int r = fs_objects_want_decode(frame->payload, frame->length, &want, err);
    if (r < 0) {
        return r;
    }
    const struct fs_captured *offered = &sender->offer.objects;
    if (sender->state != SENDER_OFFERED || sender->objects != SENDER_OBJECTS_NONE ||
        offered->size == 0 || memcmp(&want.digest, &offered->digest, sizeof(want.digest)) != 0) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer wants objects that it was not offered, or too late");
    }
    sender->objects = SENDER_OBJECTS_WANTED;
    return 0;
}

static void loaded_cb(void *arg, const struct fs_buf *packed, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    bool failed = err && fs_error_is_set(err);
    /* The data matter more: the point travels without. */
    bool lost = failed && (err->code == ENOENT || err->code == EBADMSG);
    sender->objects = SENDER_OBJECTS_READY;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (failed && !lost) {
        struct fs_error own = *err;
        fs_error_context(&own, "read the Kubernetes objects of the point");
        fs_sender_fail(sender, &own);
        return;
    }
    sender->result.objects_lost = lost;
    if (!lost) {
        fs_buf_put(&sender->packed, packed->data, packed->length);
    }
    if (sender->packed.failed) {
        struct fs_error own = FS_ERROR_INIT;
        fs_error_set(&own, FS_ERR_TRANSIENT, ENOMEM, "out of memory for Kubernetes objects");
        fs_sender_fail(sender, &own);
        return;
    }
    fs_sender_pump(sender);
}

void fs_sender_objects_load(struct fs_sender *sender)
{
    if (sender->objects == SENDER_OBJECTS_WANTED) {
        sender->objects = SENDER_OBJECTS_LOADING;
        sender->source->ops->objects(sender->source, &sender->record->group, &sender->offer.objects,
                                     loaded_cb, sender);
    }
}

bool fs_sender_objects_pump(struct fs_sender *sender)
{
    if (sender->objects != SENDER_OBJECTS_READY) {
        return true;
    }
    struct fs_objects_data data = {.packed = sender->packed.data,
                                   .length = (uint32_t)sender->packed.length};
    if (!fs_session_take_credit(sender->session, data.length)) {
        return false;
    }
    FS_STREAM_SEND(sender->session, FS_FRAME_OBJECTS_DATA, sender->stream, objects_data, &data);
    sender->stats.wire_bytes += data.length;
    fs_buf_fini(&sender->packed);
    sender->objects = SENDER_OBJECTS_SENT;
    fs_fault("objects.sent");
    return true;
}

bool fs_sender_objects_settled(const struct fs_sender *sender)
{
    return sender->objects == SENDER_OBJECTS_NONE || sender->objects == SENDER_OBJECTS_SENT;
}
