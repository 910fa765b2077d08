/* SPDX-License-Identifier: Apache-2.0 */
/* The sender's conversation with the peer, its outcome and its end. */
#include "ship/sender_delta.h"
#include "ship/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"

static const struct fs_stream_events sender_events;

/* --- the end --------------------------------------------------------------------------------- */

static void finish(struct fs_sender *sender)
{
    fs_sender_drop_chunks(sender);
    fs_budget_leave(sender->budget, &sender->client);
    for (size_t i = 0; i < sender->n_batches; i++) {
        free(sender->batches[i]);
    }
    free(sender->spare);
    sender->result.compared = sender->comparison != NULL;
    free(sender->comparison);
    fs_sender_delta_free(sender);
    fs_buf_fini(&sender->packed);
    if (sender->result.outcome == FS_SENT_COMMITTED) {
        sender->result.agreed = sender->agreed;
        sender->result.n_agreed = sender->offer.n_volumes;
    }
    sender->result.stats = sender->stats;
    sender->done(sender->arg, &sender->result);
    fs_offer_fini(&sender->offer);
    fs_record_free(sender->record);
    free(sender);
}

static void closed_cb(void *arg, const struct fs_error *err)
{
    (void)err; /* closing never fails */
    finish(arg);
}

static void end_run(struct fs_job *job)
{
    (void)job;
}

static void end_done(struct fs_job *job)
{
    finish((struct fs_sender *)((char *)job - offsetof(struct fs_sender, end_job)));
}

static void close_reading_cb(void *arg, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    (void)err; /* closing never fails */
    if (sender->reading) {
        sender->reading->ops->close(sender->reading, closed_cb, sender);
    } else {
        finish(sender);
    }
}

/* A list that waits for the peer's digests is over with the stream. */
static bool is_listing(const struct fs_sender *sender)
{
    return fs_sender_delta_is_busy(sender) ||
           (sender->comparison ? fs_sender_compares(sender) : sender->listing);
}

static void close_rest_cb(void *arg, const struct fs_error *err)
{
    if (!fs_sender_compare_close(arg, close_reading_cb)) {
        close_reading_cb(arg, err);
    }
}

void fs_sender_check_drained(struct fs_sender *sender)
{
    if (sender->state != SENDER_ENDING || sender->closing || sender->opening ||
        is_listing(sender) || sender->reads_in_flight > 0 || sender->jobs_in_flight > 0 ||
        sender->objects == SENDER_OBJECTS_LOADING) {
        return;
    }
    sender->closing = true;
    if (fs_sender_delta_close(sender, close_rest_cb) ||
        fs_sender_compare_close(sender, close_reading_cb)) {
        return;
    }
    if (sender->reading) {
        sender->reading->ops->close(sender->reading, closed_cb, sender);
        return;
    }
    /* Nothing to wait for, but done is never called from inside. */
    sender->end_job.run = end_run;
    sender->end_job.done = end_done;
    fs_pool_submit(sender->cpu, &sender->end_job);
}

static void end(struct fs_sender *sender, enum fs_sender_outcome outcome)
{
    sender->state = SENDER_ENDING;
    sender->result.outcome = outcome;
    if (sender->session) {
        fs_session_detach(sender->session, sender->stream);
        sender->session = NULL;
    }
    if (sender->delta) {
        fs_base_stop(&sender->delta->base);
    }
    fs_sender_check_drained(sender);
}

void fs_sender_fail(struct fs_sender *sender, const struct fs_error *err)
{
    if (sender->state == SENDER_ENDING) {
        return;
    }
    sender->result.err = *err;
    if (sender->session) {
        struct fs_text text;
        snprintf(text.text, sizeof(text.text), "%s", err->message);
        FS_STREAM_SEND(sender->session, FS_FRAME_ABORT, sender->stream, text, &text);
    }
    end(sender, FS_SENT_FAILED);
}

void fs_sender_cancel(struct fs_sender *sender)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_CANCELLED, ECANCELED, "the transfer was cancelled at the source");
    fs_sender_fail(sender, &err);
}

static void lost_cb(void *arg, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    struct fs_error lost = FS_ERROR_INIT;
    if (err) {
        lost = *err;
    }
    fs_error_set(&lost, FS_ERR_TRANSIENT, ECONNRESET, "the session with the peer is over");
    sender->session = NULL; /* the stream is detached already */
    fs_sender_fail(sender, &lost);
}

/* --- what the peer says ---------------------------------------------------------------------- */

static void opened_cb(void *arg, struct fs_reading *reading, const struct fs_error *err);

/* The diff cannot tell what changed: open for comparing. */
static void open_compared(struct fs_sender *sender)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_sender_delta_free(sender);
    sender->opening = true;
    if (fs_sender_compare_open(sender, &err) < 0) {
        sender->opening = false;
        fs_sender_fail(sender, &err);
    }
}

void fs_sender_compare_opened(struct fs_sender *sender, const struct fs_error *err)
{
    sender->opening = false;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
    } else if (err) {
        fs_sender_fail(sender, err);
    } else {
        sender->opening = true;
        sender->source->ops->open(sender->source, sender->record, &sender->point, NULL, opened_cb,
                                  sender);
    }
}

static void opened_cb(void *arg, struct fs_reading *reading, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    sender->opening = false;
    sender->reading = reading;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (!reading && !sender->comparison && err && err->code == ENODATA) {
        open_compared(sender);
        return;
    }
    if (!reading) {
        struct fs_error failed = FS_ERROR_INIT;
        if (err) {
            failed = *err;
        }
        fs_error_set(&failed, FS_ERR_BUG, EINVAL, "the source opened nothing");
        fs_error_context(&failed, "open the point for reading");
        fs_sender_fail(sender, &failed);
        return;
    }
    sender->state = SENDER_SHIPPING;
    sender->list_volume = 0;
    sender->list_from = sender->volumes[0].planned;
    fs_sender_pump(sender);
}

static bool is_held(const struct fs_offer *offer, const struct fs_uuid *base)
{
    for (size_t i = 0; i < offer->n_held; i++) {
        if (fs_uuid_equal(&offer->held[i], base)) {
            return true;
        }
    }
    return fs_uuid_is_zero(base) || fs_uuid_equal(base, &offer->point.id);
}

static int accepted(struct fs_sender *sender, const struct fs_accept *accept, struct fs_error *err)
{
    if (sender->state != SENDER_OFFERED) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "the peer accepted an offer twice");
    }
    if (accept->n_positions != sender->offer.n_volumes || !is_held(&sender->offer, &accept->base)) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer accepted something else than what was offered");
    }
    for (size_t i = 0; i < accept->n_positions; i++) {
        struct sender_volume *volume = &sender->volumes[i];
        if (accept->positions[i].offset > volume->size) {
            return fs_error_set(err, FS_ERR_PEER, EPROTO,
                                "the peer wants volume %zu from %" PRIu64 ", beyond its end", i,
                                accept->positions[i].offset);
        }
        volume->position = accept->positions[i];
        volume->planned = volume->position.offset;
        sender->stats.resumed_bytes += volume->planned;
    }
    sender->stats.done_bytes = sender->stats.resumed_bytes;
    if (sender->reach) {
        fs_reach_begin(sender->reach, &sender->point);
    }
    fs_fault("accept.received");
    sender->state = SENDER_OPENING;
    fs_sender_objects_load(sender);
    if (fs_uuid_equal(&accept->base, &sender->point)) {
        open_compared(sender);
        return 0;
    }
    fs_sender_delta_accept(sender, &accept->base);
    sender->opening = true;
    sender->source->ops->open(sender->source, sender->record, &sender->point, &accept->base,
                              opened_cb, sender);
    return 0;
}

/* What a refusal means to us; the message is the peer's. */
static enum fs_error_class refusal_class(enum fs_refusal reason)
{
    switch (reason) {
    case FS_REFUSE_NO_SPACE:
    case FS_REFUSE_BUSY:
    case FS_REFUSE_UNAVAILABLE:
        return FS_ERR_TRANSIENT;
    case FS_REFUSE_UNKNOWN_POLICY:
    case FS_REFUSE_POOL_NOT_MAPPED:
    case FS_REFUSE_NOT_OWNED:
        return FS_ERR_CONFIG;
    case FS_REFUSE_DIGEST:
    case FS_REFUSE_TAMPERED:
        return FS_ERR_DATA;
    default:
        return FS_ERR_PEER;
    }
}

static void refused(struct fs_sender *sender, const struct fs_refuse *refuse)
{
    int code = refuse->reason == FS_REFUSE_NO_SPACE ? ENOSPC
               : refuse->reason == FS_REFUSE_DIGEST ? EBADMSG
                                                    : ECONNREFUSED;
    sender->result.refusal = refuse->reason;
    fs_error_set(&sender->result.err, refusal_class(refuse->reason), code, "%s", refuse->message);
    end(sender, FS_SENT_REFUSED);
}

/* In answer to COMMIT, or to an OFFER of a point that the peer has committed before. */
static int committed(struct fs_sender *sender, const struct fs_committed *message,
                     struct fs_error *err)
{
    bool asked = sender->state == SENDER_OFFERED || sender->state == SENDER_COMMITTING;
    if (!asked || !fs_uuid_equal(&message->point, &sender->point)) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer committed a point that it was not asked to");
    }
    for (size_t i = 0; sender->state == SENDER_COMMITTING && i < sender->offer.n_volumes; i++) {
        sender->agreed[i] = sender->volumes[i].position.chain;
    }
    sender->result.record_version = message->record_version;
    fs_fault("answer.received");
    sender->stats.done_bytes = sender->stats.total_bytes;
    end(sender, FS_SENT_COMMITTED);
    return 0;
}

static int accept_frame(struct fs_sender *sender, const struct fs_frame *frame,
                        struct fs_error *err)
{
    struct fs_accept message;
    int r = fs_accept_decode(frame->payload, frame->length, &message, err);
    if (r == 0) {
        r = accepted(sender, &message, err);
        fs_accept_fini(&message);
    }
    return r;
}

/* Durable positions only matter to a later sender, which hears of them in ACCEPT. */
static int progress_frame(struct fs_sender *sender, const struct fs_frame *frame,
                          struct fs_error *err)
{
    struct fs_progress message;
    int r = fs_progress_decode(frame->payload, frame->length, &message, err);
    if (r < 0) {
        return r;
    }
    bool valid = message.n_positions == sender->offer.n_volumes;
    for (size_t i = 0; valid && i < message.n_positions; i++) {
        valid = message.positions[i].offset <= sender->volumes[i].position.offset;
    }
    fs_progress_fini(&message);
    return valid ? 0
                 : fs_error_set(err, FS_ERR_PEER, EPROTO,
                                "the peer says that it has what was not sent");
}

static int frame_cb(void *arg, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_sender *sender = arg;
    struct fs_refuse refuse;
    struct fs_committed commit;
    int r;
    switch (frame->type) {
    case FS_FRAME_ACCEPT:
        return accept_frame(sender, frame, err);
    case FS_FRAME_PROGRESS:
        return progress_frame(sender, frame, err);
    case FS_FRAME_DIGEST_BATCH:
        return fs_sender_digests(sender, frame, err);
    case FS_FRAME_OBJECTS_WANT:
        return fs_sender_objects_want(sender, frame, err);
    case FS_FRAME_REFUSE:
        r = fs_refuse_decode(frame->payload, frame->length, &refuse, err);
        if (r == 0) {
            refused(sender, &refuse);
        }
        return r;
    case FS_FRAME_COMMITTED:
        r = fs_committed_decode(frame->payload, frame->length, &commit, err);
        return r == 0 ? committed(sender, &commit, err) : r;
    default:
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "the peer sent %s to a sender",
                            fs_frame_type_name(frame->type));
    }
}

static void writable_cb(void *arg)
{
    fs_sender_pump(arg);
}

static const struct fs_stream_events sender_events = {
    .frame = frame_cb,
    .writable = writable_cb,
    .lost = lost_cb,
};

/* --- the start ------------------------------------------------------------------------------- */

static void send_offer(struct fs_sender *sender)
{
    sender->stream = fs_session_open_stream(sender->session, &sender_events, sender);
    if (sender->stream == 0) {
        struct fs_error err = FS_ERROR_INIT;
        fs_error_set(&err, FS_ERR_TRANSIENT, ENOTCONN,
                     "the session with the peer cannot take another transfer");
        sender->session = NULL;
        fs_sender_fail(sender, &err);
        return;
    }
    FS_STREAM_SEND(sender->session, FS_FRAME_OFFER, sender->stream, offer, &sender->offer);
    fs_fault("offer.sent");
}

struct fs_sender *fs_sender_start(const struct fs_sender_options *options,
                                  const struct fs_record *record, const struct fs_uuid *point,
                                  struct fs_offer *offer, fs_sender_fn *done, void *arg)
{
    struct fs_sender *sender = calloc(1, sizeof(*sender));
    struct fs_record *copy = sender ? fs_record_copy(record) : NULL;
    assert(offer->n_volumes > 0 && offer->n_volumes <= FS_VOLUMES_MAX);
    if (!copy) {
        free(sender);
        fs_offer_fini(offer);
        return NULL;
    }
    sender->source = options->source;
    sender->digester = options->digester;
    sender->session = options->session;
    sender->cpu = options->cpu;
    sender->budget = options->budget;
    sender->clock = options->clock;
    sender->tuner = options->tuner;
    sender->reach = options->reach;
    sender->delta_mode = options->delta;
    sender->chunk_max = options->budget->limit / 16;
    sender->chunk_max = sender->chunk_max < CHUNK_MIN ? CHUNK_MIN : sender->chunk_max;
    sender->chunk_max = sender->chunk_max > READ_WINDOW ? READ_WINDOW : sender->chunk_max;
    sender->record = copy;
    sender->point = *point;
    sender->offer = *offer;
    *offer = (struct fs_offer){0};
    sender->done = done;
    sender->arg = arg;
    for (size_t i = 0; i < sender->offer.n_volumes; i++) {
        sender->volumes[i].size = sender->offer.volumes[i].geometry.size;
        sender->stats.total_bytes += sender->volumes[i].size;
    }
    fs_budget_join(sender->budget, &sender->client, fs_sender_granted_cb);
    send_offer(sender);
    return sender;
}

void fs_sender_get_stats(const struct fs_sender *sender, struct fs_transfer_stats *ret_stats)
{
    *ret_stats = sender->stats;
}
