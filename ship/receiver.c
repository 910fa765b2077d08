/* SPDX-License-Identifier: Apache-2.0 */
/* The receiver's conversation with the peer, the commit, and the end. */
#include "ship/receiver.h"
#include "ship/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"

#define SYNC_INTERVAL_NS (2 * FS_SEC)
#define SYNC_BYTES       (UINT64_C(32) << 20)

/* --- refusing -------------------------------------------------------------------------------- */

void fs_refuse_offer(struct fs_session *session, uint32_t stream, enum fs_refusal reason,
                     const char *message)
{
    struct fs_refuse refuse = {.reason = reason};
    snprintf(refuse.message, sizeof(refuse.message), "%s", message);
    FS_STREAM_SEND(session, FS_FRAME_REFUSE, stream, refuse, &refuse);
}

enum fs_refusal fs_receiver_refusal_of(const struct fs_error *err)
{
    if (err->code == ENOSPC || err->code == EDQUOT) {
        return FS_REFUSE_NO_SPACE;
    }
    switch (err->class) {
    case FS_ERR_TRANSIENT:
    case FS_ERR_CANCELLED:
        return FS_REFUSE_UNAVAILABLE;
    case FS_ERR_DATA:
        return FS_REFUSE_DIGEST;
    default:
        return FS_REFUSE_BROKEN;
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static void take_record(struct fs_receiver *receiver, struct fs_record *record)
{
    if (record) {
        fs_record_free(receiver->result.record);
        receiver->result.record = record;
    }
}

static void finish(struct fs_receiver *receiver)
{
    if (receiver->session && receiver->result.committed) {
        /* Only now: the source may offer the next point at once, and this one is settled. */
        const struct fs_record *record = receiver->result.record;
        struct fs_committed committed = {.point = receiver->offer.point.id,
                                         .record_version = record ? record->version : 0};
        fs_fault("answer.send");
        FS_STREAM_SEND(receiver->session, FS_FRAME_COMMITTED, receiver->stream, committed,
                       &committed);
        fs_fault("answer.sent");
    }
    fs_receiver_free_arrivals(receiver);
    fs_receiver_settle_credit(receiver);
    fs_budget_leave(receiver->budget, &receiver->client);
    if (receiver->session) {
        fs_session_detach(receiver->session, receiver->stream);
    }
    receiver->result.stats = receiver->stats;
    receiver->done(receiver->arg, &receiver->result);
    fs_commit_fini(&receiver->finals);
    fs_offer_fini(&receiver->offer);
    free(receiver->digests);
    free(receiver->pools);
    free(receiver);
}

static void base_closed_cb(void *arg, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    (void)err; /* closing never fails */
    receiver->closing = false;
    fs_receiver_progress(receiver);
}

static void closed_cb(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    (void)err; /* closing never fails */
    take_record(receiver, record);
    finish(receiver);
}

/* Nothing is in flight: one last time durable, then close. */
static void go_on_ending(struct fs_receiver *receiver)
{
    if (receiver->queue || receiver->reads_in_flight > 0 || receiver->jobs_in_flight > 0 ||
        receiver->writes_in_flight > 0 || receiver->base.state == FS_BASE_OPENING ||
        receiver->syncing || receiver->digesting || receiver->storing_objects ||
        receiver->open_pending || receiver->closing) {
        return;
    }
    if (receiver->incoming && receiver->keep_positions && receiver->unsynced) {
        fs_receiver_sync_now(receiver);
        return;
    }
    receiver->closing = true;
    if (fs_receiver_close_base(receiver, base_closed_cb)) {
        return; /* before the images are parked */
    }
    if (receiver->incoming) {
        receiver->incoming->ops->close(receiver->incoming, closed_cb, receiver);
    } else {
        finish(receiver);
    }
}

/* What is written is kept, what is not goes. */
static void begin_end(struct fs_receiver *receiver)
{
    receiver->state = RECEIVER_ENDING;
    fs_base_stop(&receiver->base);
    fs_receiver_drop_queue(receiver);
}

void fs_receiver_fail(struct fs_receiver *receiver, enum fs_refusal refusal,
                      const struct fs_error *err)
{
    if (receiver->state == RECEIVER_COMMITTING) {
        return;
    }
    if (receiver->state == RECEIVER_ENDING) {
        receiver->salvaging = false;
        fs_base_stop(&receiver->base);
        fs_receiver_drop_queue(receiver);
        return;
    }
    receiver->result.refusal = refusal;
    receiver->result.err = *err;
    if (receiver->session && refusal != FS_REFUSE_NONE) {
        fs_refuse_offer(receiver->session, receiver->stream, refusal, err->message);
    }
    begin_end(receiver);
}

/* The peer is gone or has given up: write what it has sent, so that the next transfer begins after
 * it. Bounded by the credit. */
static void salvage(struct fs_receiver *receiver, const struct fs_error *err)
{
    if (receiver->state == RECEIVER_RECEIVING || receiver->state == RECEIVER_FINALS) {
        receiver->result.err = *err;
        receiver->state = RECEIVER_ENDING;
        receiver->salvaging = true;
    } else if (receiver->state == RECEIVER_OPENING) {
        fs_receiver_fail(receiver, FS_REFUSE_NONE, err);
    }
    fs_receiver_progress(receiver);
}

/* --- the commit ------------------------------------------------------------------------------ */

static void committed_cb(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    take_record(receiver, record);
    receiver->keep_positions = false;
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "commit the point");
        receiver->state = RECEIVER_FINALS; /* it may fail again */
        fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
    } else {
        receiver->result.committed = true;
        begin_end(receiver);
    }
    fs_receiver_progress(receiver);
}

/* The positions are not to be trusted: the next transfer of the point begins at its base. */
static void refuse_digest(struct fs_receiver *receiver, size_t volume)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_DATA, EBADMSG,
                 "the sites' digests of %s differ at the end of the transfer: nothing was "
                 "committed, and the point is to be sent again from its base",
                 receiver->offer.volumes[volume].volume.image.name);
    fs_receiver_fail(receiver, FS_REFUSE_DIGEST, &err);
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        receiver->volumes[i].applied = (struct fs_position){0};
    }
    receiver->unsynced = true;
}

static void go_on_committing(struct fs_receiver *receiver)
{
    if (receiver->syncing || receiver->storing_objects) {
        return;
    }
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        if (receiver->volumes[i].first) {
            return;
        }
    }
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        if (memcmp(&receiver->volumes[i].applied.chain, &receiver->finals.finals[i].chain,
                   sizeof(struct fs_digest)) != 0) {
            refuse_digest(receiver, i);
            go_on_ending(receiver);
            return;
        }
    }
    receiver->state = RECEIVER_COMMITTING;
    receiver->incoming->ops->commit(receiver->incoming, receiver->finals.finals,
                                    receiver->finals.bytes, committed_cb, receiver);
}

void fs_receiver_progress(struct fs_receiver *receiver)
{
    if (receiver->state == RECEIVER_FINALS) {
        go_on_committing(receiver);
    } else if (receiver->state == RECEIVER_ENDING) {
        go_on_ending(receiver);
    }
}

/* --- what the peer says ---------------------------------------------------------------------- */

static int commit_frame(struct fs_receiver *receiver, const struct fs_frame *frame,
                        struct fs_error *err)
{
    if (receiver->state != RECEIVER_RECEIVING || receiver->digesting || receiver->objects_wanted) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent COMMIT before ACCEPT, twice, while it waits for "
                            "digests, or without the objects that were asked for");
    }
    int r = fs_commit_decode(frame->payload, frame->length, &receiver->finals, err);
    if (r < 0) {
        receiver->finals = (struct fs_commit){0};
        return r;
    }
    bool valid = receiver->finals.n_finals == receiver->offer.n_volumes;
    for (size_t i = 0; valid && i < receiver->offer.n_volumes; i++) {
        valid = receiver->finals.finals[i].offset == receiver->volumes[i].size &&
                receiver->volumes[i].received.offset == receiver->volumes[i].size;
    }
    if (!valid) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent COMMIT before everything was sent");
    }
    receiver->state = RECEIVER_FINALS;
    fs_receiver_progress(receiver);
    return 0;
}

static int abort_frame(struct fs_receiver *receiver, const struct fs_frame *frame,
                       struct fs_error *err)
{
    struct fs_text text;
    int r = fs_text_decode(frame->payload, frame->length, &text, err);
    if (r < 0) {
        return r;
    }
    struct fs_error aborted = FS_ERROR_INIT;
    fs_error_set(&aborted, FS_ERR_TRANSIENT, ECONNABORTED, "the source gave the transfer up: %s",
                 text.text);
    salvage(receiver, &aborted);
    return 0;
}

static int frame_cb(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    if (receiver->state == RECEIVER_ENDING &&
        (frame->type == FS_FRAME_SEGMENT || frame->type == FS_FRAME_OBJECTS_DATA)) {
        fs_session_release_credit(receiver->session, frame->length);
        return 0; /* it was on its way when we refused */
    }
    if (receiver->state == RECEIVER_ENDING) {
        return 0;
    }
    switch (frame->type) {
    case FS_FRAME_SEGMENT:
        return fs_receiver_segment(receiver, frame, err);
    case FS_FRAME_COMMIT:
        return commit_frame(receiver, frame, err);
    case FS_FRAME_DIGEST_WANT:
        return fs_receiver_digest(receiver, frame, err);
    case FS_FRAME_OBJECTS_DATA:
        return fs_receiver_objects(receiver, frame, err);
    case FS_FRAME_ABORT:
        return abort_frame(receiver, frame, err);
    default:
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "the peer sent %s to a receiver",
                            fs_frame_type_name(frame->type));
    }
}

static void lost_cb(void *arg, const struct fs_error *err)
{
    struct fs_receiver *receiver = arg;
    struct fs_error lost = FS_ERROR_INIT;
    if (err) {
        lost = *err;
    }
    fs_error_set(&lost, FS_ERR_TRANSIENT, ECONNRESET, "the session with the peer is over");
    receiver->session = NULL; /* the stream is detached already */
    salvage(receiver, &lost);
}

static const struct fs_stream_events receiver_events = {.frame = frame_cb, .lost = lost_cb};

/* --- the start ------------------------------------------------------------------------------- */

static void accept_offer(struct fs_receiver *receiver, const struct fs_sink_open_result *result)
{
    struct fs_position positions[FS_VOLUMES_MAX];
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        struct receiver_volume *volume = &receiver->volumes[i];
        positions[i] = result->positions[i];
        volume->received = volume->applied = positions[i];
        receiver->stats.resumed_bytes += positions[i].offset;
    }
    receiver->stats.done_bytes = receiver->stats.resumed_bytes;
    receiver->base_point = result->base;
    if (receiver->reach) {
        fs_reach_begin(receiver->reach, &receiver->offer.point.id);
    }
    receiver->state = RECEIVER_RECEIVING;
    receiver->keep_positions = true;
    receiver->synced_at_ns = fs_clock_boot(receiver->clock);
    if (result->objects_wanted) {
        fs_receiver_objects_want(receiver);
    }
    struct fs_accept accept = {
        .base = result->base,
        .n_positions = receiver->offer.n_volumes,
        .positions = positions,
    };
    FS_STREAM_SEND(receiver->session, FS_FRAME_ACCEPT, receiver->stream, accept, &accept);
    fs_fault("accept.sent");
}

static void opened_cb(void *arg, struct fs_sink_open_result *result)
{
    struct fs_receiver *receiver = arg;
    receiver->open_pending = false;
    take_record(receiver, result->record);
    receiver->incoming = result->incoming;
    if (receiver->state == RECEIVER_ENDING) {
        receiver->result.committed = false; /* the peer asks again */
    } else if (result->committed) {
        receiver->result.committed = true;
        receiver->stats.done_bytes = receiver->stats.total_bytes;
        begin_end(receiver);
    } else if (result->incoming) {
        accept_offer(receiver, result);
    } else {
        struct fs_error err = result->err;
        fs_error_set(&err, FS_ERR_BUG, EINVAL, "the sink opened nothing");
        fs_receiver_fail(receiver,
                         result->refusal != FS_REFUSE_NONE ? result->refusal
                                                           : fs_receiver_refusal_of(&err),
                         &err);
    }
    fs_receiver_progress(receiver);
}

void fs_receiver_cancel(struct fs_receiver *receiver)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_CANCELLED, ECANCELED, "the target stopped the transfer for now");
    fs_receiver_refuse(receiver, FS_REFUSE_UNAVAILABLE, &err);
}

void fs_receiver_refuse(struct fs_receiver *receiver, enum fs_refusal refusal,
                        const struct fs_error *err)
{
    fs_receiver_fail(receiver, refusal, err);
    fs_receiver_progress(receiver);
}

static struct fs_receiver *receiver_new(const struct fs_receiver_options *options,
                                        const struct fs_admission *admission)
{
    struct fs_receiver *receiver = calloc(1, sizeof(*receiver));
    struct fs_pool_map *pools = receiver ? malloc((admission->n_pools + 1) * sizeof(*pools)) : NULL;
    if (!pools) {
        free(receiver);
        return NULL;
    }
    memcpy(pools, admission->pools, admission->n_pools * sizeof(*pools));
    receiver->pools = pools;
    receiver->admission = *admission;
    receiver->admission.pools = pools;
    receiver->sink = options->sink;
    receiver->session = options->session;
    receiver->cpu = options->cpu;
    receiver->clock = options->clock;
    receiver->reach = options->reach;
    receiver->source = options->source;
    receiver->own_budget.limit = FS_BUDGET_MIN;
    receiver->budget = options->budget ? options->budget : &receiver->own_budget;
    receiver->sync_interval_ns =
        options->sync_interval_ns > 0 ? options->sync_interval_ns : SYNC_INTERVAL_NS;
    receiver->sync_bytes = options->sync_bytes > 0 ? options->sync_bytes : SYNC_BYTES;
    return receiver;
}

struct fs_receiver *fs_receiver_start(const struct fs_receiver_options *options, uint32_t stream,
                                      struct fs_record *record, struct fs_offer *offer,
                                      const struct fs_admission *admission, fs_receiver_fn *done,
                                      void *arg)
{
    struct fs_receiver *receiver = receiver_new(options, admission);
    assert(offer->n_volumes > 0 && offer->n_volumes <= FS_VOLUMES_MAX);
    if (!receiver) {
        fs_record_free(record);
        fs_offer_fini(offer);
        return NULL;
    }
    receiver->stream = stream;
    receiver->offer = *offer;
    *offer = (struct fs_offer){0};
    receiver->done = done;
    receiver->arg = arg;
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        receiver->volumes[i].size = receiver->offer.volumes[i].geometry.size;
        receiver->stats.total_bytes += receiver->volumes[i].size;
    }
    fs_budget_join(receiver->budget, &receiver->client, fs_receiver_granted_cb);
    receiver->open_pending = true;
    receiver->sink->ops->open(receiver->sink, record, &receiver->offer, &receiver->admission,
                              opened_cb, receiver);
    if (!fs_session_attach(receiver->session, stream, &receiver_events, receiver)) {
        struct fs_error err = FS_ERROR_INIT;
        fs_error_set(&err, FS_ERR_TRANSIENT, ECONNRESET, "the session with the peer is over");
        receiver->session = NULL;
        fs_receiver_fail(receiver, FS_REFUSE_NONE, &err);
    }
    return receiver;
}

void fs_receiver_get_stats(const struct fs_receiver *receiver, struct fs_transfer_stats *ret_stats)
{
    *ret_stats = receiver->stats;
}
