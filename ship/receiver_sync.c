/* SPDX-License-Identifier: Apache-2.0 */
/* Durable positions: what a transfer resumes from. */
#include "ship/receiver.h"
#include "ship/stream.h"

#include <assert.h>

static void send_progress(struct fs_receiver *receiver)
{
    struct fs_progress progress = {
        .n_positions = receiver->offer.n_volumes,
        .positions = receiver->syncing_positions,
    };
    FS_STREAM_SEND(receiver->session, FS_FRAME_PROGRESS, receiver->stream, progress, &progress);
}

/* What was being made durable is, or nobody waits for it any more. */
static void settle_credit(struct fs_receiver *receiver)
{
    if (receiver->session) {
        fs_session_back(receiver->session, receiver->syncing_ahead);
        fs_session_release_credit(receiver->session, receiver->syncing_kept);
    }
    receiver->syncing_ahead = receiver->syncing_kept = 0;
}

static void synced_cb(void *arg, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    receiver->syncing = false;
    settle_credit(receiver);
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "make positions durable");
        receiver->keep_positions = false; /* what is durable stays so; it is not tried again */
        fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
    } else if (receiver->session && receiver->state == RECEIVER_RECEIVING) {
        send_progress(receiver);
    }
    fs_receiver_sync_due(receiver); /* what came meanwhile may wait for it */
    fs_receiver_progress(receiver);
}

void fs_receiver_settle_credit(struct fs_receiver *receiver)
{
    receiver->syncing_ahead += receiver->ahead;
    receiver->syncing_kept += receiver->kept;
    receiver->ahead = receiver->kept = 0;
    settle_credit(receiver);
}

void fs_receiver_sync_now(struct fs_receiver *receiver)
{
    assert(!receiver->syncing && receiver->incoming);
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        receiver->syncing_positions[i] = receiver->volumes[i].applied;
    }
    receiver->syncing = true;
    receiver->syncing_ahead = receiver->ahead;
    receiver->syncing_kept = receiver->kept;
    receiver->ahead = receiver->kept = 0;
    receiver->unsynced = false;
    receiver->unsynced_bytes = 0;
    receiver->synced_at_ns = fs_clock_boot(receiver->clock);
    receiver->incoming->ops->sync(receiver->incoming, receiver->syncing_positions, synced_cb,
                                  receiver);
}

void fs_receiver_sync_due(struct fs_receiver *receiver)
{
    if (receiver->state != RECEIVER_RECEIVING || receiver->syncing || !receiver->unsynced) {
        return;
    }
    int64_t age = fs_clock_boot(receiver->clock) - receiver->synced_at_ns;
    if (receiver->kept > 0 || receiver->unsynced_bytes >= receiver->sync_bytes ||
        age >= receiver->sync_interval_ns) {
        fs_receiver_sync_now(receiver);
    }
}
