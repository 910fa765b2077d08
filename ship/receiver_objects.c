/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes objects of a point that this site has not got yet. */
#include "ship/receiver.h"
#include "ship/stream.h"

#include "farshore/fault.h"

void fs_receiver_objects_want(struct fs_receiver *receiver)
{
    struct fs_objects_want want = {.digest = receiver->offer.objects.digest};
    receiver->objects_wanted = true;
    FS_STREAM_SEND(receiver->session, FS_FRAME_OBJECTS_WANT, receiver->stream, objects_want, &want);
}

static void stored_cb(void *arg, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    receiver->storing_objects = false;
    if (receiver->session) {
        fs_session_release_credit(receiver->session, receiver->objects_credit);
    }
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "keep the Kubernetes objects of the point");
        fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
    }
    fs_receiver_progress(receiver);
}

int fs_receiver_objects(struct fs_receiver *receiver, const struct fs_frame *frame,
                        struct fs_error *err)
{
    struct fs_objects_data data;
    struct fs_buf packed = FS_BUF_INIT;
    int r = fs_objects_data_decode(frame->payload, frame->length, &data, err);
    if (r == 0 && (receiver->state != RECEIVER_RECEIVING || !receiver->objects_wanted)) {
        r = fs_error_set(err, FS_ERR_PEER, EPROTO,
                         "the peer sent objects that were not asked for, or twice");
    }
    if (r == 0) {
        fs_buf_put(&packed, data.packed, data.length);
        r = packed.failed ? fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory") : 0;
    }
    if (r < 0) {
        fs_buf_fini(&packed);
        return r;
    }
    receiver->objects_wanted = false;
    receiver->storing_objects = true;
    receiver->objects_credit = frame->length;
    fs_fault("objects.received");
    receiver->incoming->ops->objects(receiver->incoming, &packed, stored_cb, receiver);
    return 0;
}
