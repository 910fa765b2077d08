/* SPDX-License-Identifier: Apache-2.0 */
/* The other site's opinion, over a stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/prover.h"
#include "ship/stream.h"

static int unexpected(const struct fs_frame *frame, struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_PEER, EPROTO, "protocol error: %s on a stream of digests",
                        fs_frame_type_name(frame->type));
}

static int on_ready(struct fs_prover *prover, const struct fs_frame *frame, struct fs_error *err)
{
    if (prover->step != PROVER_OPEN_OTHER || !prover->waiting) {
        return unexpected(frame, err);
    }
    int r = fs_digest_ready_decode(frame->payload, frame->length, &prover->other, err);
    if (r == 0) {
        fs_prover_stepped(prover, NULL);
    }
    return r;
}

static int on_batch(struct fs_prover *prover, const struct fs_frame *frame, struct fs_error *err)
{
    bool narrow = prover->step == PROVER_NARROW_OTHER;
    struct fs_digest_list *list = narrow ? &prover->narrow_theirs : &prover->theirs;
    struct fs_digest_batch batch;
    if ((!narrow && prover->step != PROVER_OTHER) || !prover->waiting) {
        return unexpected(frame, err);
    }
    int r = fs_digest_batch_decode(frame->payload, frame->length, &batch, err);
    if (r < 0) {
        return r;
    }
    if (fs_digest_batch_answers(&batch, &prover->query)) {
        list->count = batch.n_entries;
        list->next = batch.next;
        memcpy(list->entries, batch.entries, batch.n_entries * sizeof(*batch.entries));
        fs_prover_stepped(prover, NULL);
    } else {
        r = fs_error_set(err, FS_ERR_PEER, EPROTO,
                         "protocol error: digests of another range than was asked for");
    }
    fs_digest_batch_fini(&batch);
    return r;
}

static int on_refuse(struct fs_prover *prover, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_refuse refuse;
    struct fs_error why = FS_ERROR_INIT;
    int r = fs_refuse_decode(frame->payload, frame->length, &refuse, err);
    if (r < 0) {
        return r;
    }
    bool passing = refuse.reason == FS_REFUSE_BUSY || refuse.reason == FS_REFUSE_UNAVAILABLE;
    fs_session_detach(prover->session, prover->stream);
    prover->stream = 0;
    fs_error_set(&why, passing ? FS_ERR_TRANSIENT : FS_ERR_PEER, passing ? EAGAIN : ENOENT,
                 "the other site: %s", refuse.message);
    if (prover->step == PROVER_OPEN_OTHER && !passing) {
        prover->report.phase = FS_VERIFY_REFUSED;
    }
    if (prover->waiting && (prover->step == PROVER_OPEN_OTHER || prover->step == PROVER_OTHER ||
                            prover->step == PROVER_NARROW_OTHER)) {
        fs_prover_stepped(prover, &why);
    } else if (!fs_error_is_set(&prover->err)) {
        prover->err = why; /* after what is under way */
        prover->ending = true;
    }
    return 0;
}

static int on_frame(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_prover *prover = arg;
    switch (frame->type) {
    case FS_FRAME_DIGEST_READY:
        return on_ready(prover, frame, err);
    case FS_FRAME_DIGEST_BATCH:
        return on_batch(prover, frame, err);
    case FS_FRAME_REFUSE:
        return on_refuse(prover, frame, err);
    default:
        return unexpected(frame, err);
    }
}

static void on_lost(void *arg, const struct fs_error *err)
{
    struct fs_prover *prover = arg;
    bool remote = prover->step == PROVER_OPEN_OTHER || prover->step == PROVER_OTHER ||
                  prover->step == PROVER_NARROW_OTHER;
    prover->stream = 0;
    prover->session = NULL;
    if (remote && prover->waiting) {
        fs_prover_stepped(prover, err);
    } else if (!fs_error_is_set(&prover->err)) {
        prover->err = *err;
        prover->ending = true;
    }
}

static const struct fs_stream_events stream_events = {.frame = on_frame, .lost = on_lost};

int fs_prover_dial(struct fs_prover *prover, struct fs_error *err)
{
    struct fs_digest_open open = {.group = prover->record->group, .point = prover->point};
    if (prover->session == NULL || !fs_session_is_up(prover->session)) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOTCONN,
                            "the session with the other site is gone");
    }
    if ((fs_session_peer(prover->session)->features & FS_FEATURE_VERIFY) == 0) {
        prover->report.phase = FS_VERIFY_REFUSED;
        return fs_error_set(err, FS_ERR_PERMANENT, EOPNOTSUPP,
                            "the other site's Farshore (%s) cannot verify: upgrade it",
                            fs_session_peer(prover->session)->software);
    }
    prover->stream = fs_session_open_stream(prover->session, &stream_events, prover);
    if (prover->stream == 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EAGAIN, "too many transfers at once");
    }
    FS_STREAM_SEND(prover->session, FS_FRAME_DIGEST_OPEN, prover->stream, digest_open, &open);
    return 0;
}

void fs_prover_want(struct fs_prover *prover)
{
    struct fs_digest_want want = {.query = prover->query};
    FS_STREAM_SEND(prover->session, FS_FRAME_DIGEST_WANT, prover->stream, digest_want, &want);
}

void fs_prover_hang_up(struct fs_prover *prover)
{
    struct fs_text text = {0};
    if (prover->session == NULL || prover->stream == 0) {
        return;
    }
    snprintf(text.text, sizeof(text.text), "%s",
             fs_error_is_set(&prover->err) ? prover->err.message : "done");
    FS_STREAM_SEND(prover->session, FS_FRAME_ABORT, prover->stream, text, &text);
    fs_session_detach(prover->session, prover->stream);
    prover->stream = 0;
}
