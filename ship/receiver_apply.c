/* SPDX-License-Identifier: Apache-2.0 */
/* Segments from their arrival to the sink. */
#include "ship/receiver.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "farshore/fault.h"

/* --- one arrival ------------------------------------------------------------------------------ */

/* Its credit and its share of the budget go back. */
static void arrival_free(struct arrival *arrival)
{
    struct fs_receiver *receiver = arrival->receiver;
    uint64_t reserved = arrival->reserved;
    if (receiver->session) {
        fs_session_release_credit(receiver->session, arrival->credit);
        fs_session_back(receiver->session, arrival->ahead);
    }
    fs_buf_fini(&arrival->frame);
    free(arrival->raw);
    free(arrival->ranges);
    free(arrival->prefix);
    free(arrival->reads);
    free(arrival->hashed);
    free(arrival->extents);
    free(arrival);
    fs_budget_give(receiver->budget, &receiver->client, reserved);
}

/* The buffers of a written segment; the rest stays until those before it are written too. */
static void arrival_release(struct arrival *arrival)
{
    struct fs_receiver *receiver = arrival->receiver;
    uint64_t reserved = arrival->reserved;
    fs_buf_fini(&arrival->frame);
    free(arrival->raw);
    free(arrival->extents);
    free(arrival->ranges);
    free(arrival->reads);
    arrival->ranges = NULL;
    arrival->reads = NULL;
    arrival->raw = NULL;
    arrival->extents = NULL;
    arrival->reserved = 0;
    if (receiver->session && fs_session_ahead(receiver->session, arrival->credit)) {
        fs_session_release_credit(receiver->session, arrival->credit);
        arrival->ahead = arrival->credit;
        arrival->credit = 0;
    }
    fs_budget_give(receiver->budget, &receiver->client, reserved);
}

/* --- positions ------------------------------------------------------------------------------- */

static void move_position(struct fs_receiver *receiver, unsigned index,
                          const struct fs_position *position)
{
    struct receiver_volume *volume = &receiver->volumes[index];
    receiver->stats.done_bytes += position->offset - volume->applied.offset;
    volume->applied = *position;
    receiver->unsynced = true;
}

static void advance(struct fs_receiver *receiver, unsigned index)
{
    struct receiver_volume *volume = &receiver->volumes[index];
    while (volume->first && volume->first->written) {
        struct arrival *arrival = volume->first;
        volume->first = arrival->next;
        volume->last = volume->first ? volume->last : NULL;
        move_position(receiver, index, &arrival->position);
        receiver->ahead += arrival->ahead;
        receiver->kept += arrival->credit;
        arrival->ahead = arrival->credit = 0;
        arrival_free(arrival);
    }
}

/* --- write ----------------------------------------------------------------------------------- */

static void written_cb(void *arg, const struct fs_error *err)
{
    struct arrival *arrival = arg;
    struct fs_receiver *receiver = arrival->receiver;
    uint64_t bytes = 0;
    receiver->writes_in_flight--;
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "write %s",
                         receiver->offer.volumes[arrival->volume].volume.image.name);
        fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
        fs_receiver_progress(receiver);
        return;
    }
    for (size_t i = 0; i < arrival->n_extents; i++) {
        bytes += arrival->extents[i].length;
    }
    receiver->stats.written_bytes += bytes;
    receiver->unsynced_bytes += bytes;
    arrival->written = true;
    fs_fault("apply.written");
    unsigned volume = arrival->volume;
    arrival_release(arrival);
    advance(receiver, volume);
    fs_receiver_sync_due(receiver);
    fs_receiver_progress(receiver);
}

/* --- decode ---------------------------------------------------------------------------------- */

/* WORKER */
static void decode_run(struct fs_job *job)
{
    struct arrival *arrival = (struct arrival *)((char *)job - offsetof(struct arrival, job));
    const uint8_t *content = arrival->payload;
    bool packed = arrival->codec != FS_CODEC_RAW;
    arrival->extents = malloc(arrival->n_extents * sizeof(*arrival->extents));
    if (packed) {
        arrival->raw = malloc(arrival->raw_length);
        content = arrival->raw;
    }
    if (!arrival->extents || (packed && !arrival->raw)) {
        fs_error_set(&arrival->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a segment");
        return;
    }
    if (packed && fs_content_decompress(arrival->payload, arrival->payload_length, arrival->prefix,
                                        arrival->prefix_length, arrival->raw, arrival->raw_length,
                                        &arrival->err) < 0) {
        return;
    }
    if (fs_content_verify(arrival->hashed, arrival->n_extents, content, &arrival->err) < 0) {
        if (arrival->codec == FS_CODEC_DELTA) {
            fs_error_context(&arrival->err,
                             "made whole from the base that this site holds, which may "
                             "be what differs (farshore verify tells)");
        }
        return;
    }
    for (size_t i = 0; i < arrival->n_extents; i++) {
        arrival->extents[i] = arrival->hashed[i].extent;
    }
    free(arrival->hashed);
    free(arrival->prefix);
    arrival->hashed = NULL;
    arrival->prefix = NULL;
    if (arrival->raw) {
        fs_buf_fini(&arrival->frame);
    }
    arrival->segment = (struct fs_segment_data){
        .volume = arrival->volume,
        .extents = arrival->extents,
        .n_extents = arrival->n_extents,
        .payload = content,
        .payload_length = arrival->raw_length,
    };
}

static void decode_done(struct fs_job *job)
{
    struct arrival *arrival = (struct arrival *)((char *)job - offsetof(struct arrival, job));
    struct fs_receiver *receiver = arrival->receiver;
    receiver->jobs_in_flight--;
    bool failure = fs_error_is_set(&arrival->err);
    if (failure) {
        struct fs_error failed = arrival->err;
        fs_error_context(&failed, "%s", receiver->offer.volumes[arrival->volume].volume.image.name);
        fs_receiver_fail(receiver, fs_receiver_refusal_of(&failed), &failed);
    }
    if (failure || (receiver->state == RECEIVER_ENDING && !receiver->salvaging)) {
        fs_receiver_progress(receiver); /* not written: positions stay below it */
        return;
    }
    receiver->writes_in_flight++;
    receiver->incoming->ops->write(receiver->incoming, &arrival->segment, written_cb, arrival);
}

void fs_receiver_decode(struct arrival *arrival)
{
    struct fs_receiver *receiver = arrival->receiver;
    arrival->job.run = decode_run;
    arrival->job.done = decode_done;
    receiver->jobs_in_flight++;
    fs_pool_submit(receiver->cpu, &arrival->job);
}

/* The first of the queue has its memory. */
static void start(struct fs_receiver *receiver, uint64_t reserved)
{
    struct arrival *arrival = receiver->queue;
    receiver->queue = arrival->queued;
    receiver->queue_last = receiver->queue ? receiver->queue_last : NULL;
    arrival->reserved = reserved;
    if (arrival->codec == FS_CODEC_DELTA) {
        fs_receiver_read_base(arrival);
    } else {
        fs_receiver_decode(arrival);
    }
}

/* What comes RAW is in memory already, within the credit. */
static uint64_t bytes_of(const struct arrival *arrival)
{
    switch (arrival->codec) {
    case FS_CODEC_ZSTD:
        return arrival->raw_length;
    case FS_CODEC_DELTA:
        return arrival->raw_length + fs_arrival_prefix_length(arrival) +
               (arrival->n_ranges + arrival->n_extents) * FS_BASE_READ_BYTES;
    default:
        return 0;
    }
}

void fs_receiver_pump(struct fs_receiver *receiver)
{
    while (receiver->queue && !receiver->waiting) {
        if (receiver->queue->codec == FS_CODEC_DELTA && !fs_receiver_base_ready(receiver)) {
            return;
        }
        uint64_t bytes = bytes_of(receiver->queue);
        receiver->waiting = receiver->queue;
        if (bytes > 0 && !fs_budget_take(receiver->budget, &receiver->client, bytes)) {
            return;
        }
        receiver->waiting = NULL;
        start(receiver, bytes);
    }
}

void fs_receiver_granted_cb(struct fs_budget_client *client)
{
    struct fs_receiver *receiver =
        (struct fs_receiver *)((char *)client - offsetof(struct fs_receiver, client));
    receiver->waiting = NULL;
    if (!receiver->queue) { /* dropped meanwhile */
        fs_budget_give(receiver->budget, client, client->wanted);
        return;
    }
    start(receiver, client->wanted);
    fs_receiver_pump(receiver);
}

/* --- arrival --------------------------------------------------------------------------------- */

static int check(const struct fs_receiver *receiver, const struct fs_segment *segment,
                 struct fs_error *err)
{
    if (receiver->state != RECEIVER_RECEIVING) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent a SEGMENT before ACCEPT or after COMMIT");
    }
    if (segment->volume >= receiver->offer.n_volumes) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent a SEGMENT of volume %u, but offered %zu",
                            segment->volume, receiver->offer.n_volumes);
    }
    const struct receiver_volume *volume = &receiver->volumes[segment->volume];
    if (segment->start != volume->received.offset || segment->end > volume->size) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO,
                            "the peer sent [%" PRIu64 ", %" PRIu64
                            ") of volume %u; next is %" PRIu64 " of %" PRIu64,
                            segment->start, segment->end, segment->volume, volume->received.offset,
                            volume->size);
    }
    return fs_receiver_check_delta(receiver, segment, err);
}

static struct arrival *arrival_new(struct fs_receiver *receiver, struct fs_segment *segment,
                                   const struct fs_frame *frame)
{
    struct arrival *arrival = calloc(1, sizeof(*arrival));
    if (!arrival) {
        return NULL;
    }
    arrival->frame = *frame->buf;
    *frame->buf = FS_BUF_INIT;
    arrival->receiver = receiver;
    arrival->volume = segment->volume;
    arrival->codec = segment->codec;
    arrival->raw_length = segment->raw_length;
    arrival->payload_length = segment->payload_length;
    arrival->payload = segment->payload;
    arrival->n_extents = segment->n_extents;
    arrival->n_ranges = segment->n_ranges;
    arrival->ranges = segment->ranges;
    segment->ranges = NULL;
    arrival->hashed = segment->extents;
    segment->extents = NULL;
    arrival->credit = frame->length;
    return arrival;
}

/* A segment in which nothing changed only moves the position: that of what is before it. */
static void skip(struct fs_receiver *receiver, unsigned index)
{
    struct receiver_volume *volume = &receiver->volumes[index];
    if (volume->last) {
        volume->last->position = volume->received;
    } else {
        move_position(receiver, index, &volume->received);
    }
}

static void enqueue(struct fs_receiver *receiver, struct arrival *arrival)
{
    struct receiver_volume *volume = &receiver->volumes[arrival->volume];
    arrival->position = volume->received;
    if (volume->last) {
        volume->last->next = arrival;
    } else {
        volume->first = arrival;
    }
    volume->last = arrival;
    if (receiver->queue_last) {
        receiver->queue_last->queued = arrival;
    } else {
        receiver->queue = arrival;
    }
    receiver->queue_last = arrival;
    fs_receiver_pump(receiver);
}

int fs_receiver_segment(struct fs_receiver *receiver, const struct fs_frame *frame,
                        struct fs_error *err)
{
    struct fs_segment segment;
    int r = fs_segment_decode(frame->payload, frame->length, &segment, err);
    if (r < 0) {
        return r;
    }
    r = check(receiver, &segment, err);
    if (r < 0) {
        fs_segment_fini(&segment);
        return r;
    }
    if (!fs_receiver_takes_delta(receiver, &segment)) {
        fs_segment_fini(&segment);
        fs_session_release_credit(receiver->session, frame->length);
        return 0;
    }
    struct receiver_volume *volume = &receiver->volumes[segment.volume];
    unsigned index = segment.volume;
    uint32_t raw_length = segment.raw_length;
    struct arrival *arrival = NULL;
    if (segment.n_extents > 0) {
        arrival = arrival_new(receiver, &segment, frame);
        if (!arrival) {
            fs_segment_fini(&segment);
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a segment");
        }
    }
    if (receiver->reach && fs_reach_pass(receiver->reach, index, segment.start, segment.end)) {
        receiver->stats.resent_bytes += frame->length;
    }
    volume->received.offset = segment.end;
    fs_chain_extend(&volume->received.chain, arrival ? arrival->hashed : NULL, segment.n_extents);
    fs_segment_fini(&segment);
    receiver->stats.content_bytes += raw_length;
    receiver->stats.wire_bytes += frame->length;
    if (arrival && arrival->codec == FS_CODEC_DELTA) {
        receiver->stats.delta_bytes += raw_length;
        receiver->stats.delta_wire_bytes += frame->length;
    }
    if (arrival) {
        for (size_t i = 0; i < arrival->n_extents; i++) {
            receiver->stats.changed_bytes += arrival->hashed[i].extent.length;
        }
        enqueue(receiver, arrival);
    } else {
        skip(receiver, index);
        fs_session_release_credit(receiver->session, frame->length);
    }
    fs_receiver_sync_due(receiver);
    return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

void fs_receiver_drop_queue(struct fs_receiver *receiver)
{
    /* They stay on their volumes' lists, unwritten, and are freed with those. */
    receiver->queue = receiver->queue_last = NULL;
}

void fs_receiver_free_arrivals(struct fs_receiver *receiver)
{
    for (size_t i = 0; i < receiver->offer.n_volumes; i++) {
        while (receiver->volumes[i].first) {
            struct arrival *arrival = receiver->volumes[i].first;
            receiver->volumes[i].first = arrival->next;
            arrival_free(arrival);
        }
        receiver->volumes[i].last = NULL;
    }
}
