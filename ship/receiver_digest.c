/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of what the images hold, for a source that looks for the difference by them. */
#include "ship/receiver.h"
#include "ship/stream.h"

#include <stdlib.h>

#include "farshore/fault.h"

static void digested_cb(void *arg, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    struct fs_digest_list *list = receiver->digests;
    receiver->digesting = false;
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "digest what the target holds");
        fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
    } else if (receiver->session && receiver->state == RECEIVER_RECEIVING) {
        struct fs_digest_batch batch = {
            .next = list->next, .n_entries = list->count, .entries = list->entries};
        fs_fault("compare.digested");
        FS_STREAM_SEND(receiver->session, FS_FRAME_DIGEST_BATCH, receiver->stream, digest_batch,
                       &batch);
    }
    fs_receiver_progress(receiver);
}

static bool is_offered(const struct fs_offer *offer, const struct fs_uuid *volume)
{
    for (size_t i = 0; i < offer->n_volumes; i++) {
        if (fs_uuid_equal(&offer->volumes[i].volume.uuid, volume)) {
            return true;
        }
    }
    return false;
}

int fs_receiver_digest(struct fs_receiver *receiver, const struct fs_frame *frame,
                       struct fs_error *err)
{
    struct fs_digest_want want;
    int r = fs_digest_want_decode(frame->payload, frame->length, &want, err);
    if (r < 0) {
        return r;
    }
    if (receiver->state != RECEIVER_RECEIVING || receiver->digesting ||
        !is_offered(&receiver->offer, &want.query.volume)) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent a DIGEST_WANT before ACCEPT, before the answer to the "
                            "last one, or of a volume that it did not offer");
    }
    if (!receiver->digests) {
        receiver->digests = malloc(sizeof(*receiver->digests));
        if (!receiver->digests) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for digests");
        }
    }
    receiver->digesting = true;
    receiver->incoming->ops->digest(receiver->incoming, &want.query, receiver->digests, digested_cb,
                                    receiver);
    return 0;
}
