/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks from the grant of their memory to the transport: read, encode, send in order. */
#include "ship/sender_delta.h"
#include "ship/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "farshore/fault.h"

static void fail_memory(struct fs_sender *sender)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a chunk");
    fs_sender_fail(sender, &err);
}

/* --- memory ---------------------------------------------------------------------------------- */

static void give(struct chunk *chunk, uint64_t bytes)
{
    struct fs_sender *sender = chunk->sender;
    chunk->reserved -= bytes;
    fs_budget_give(sender->budget, &sender->client, bytes);
}

void fs_chunk_free(struct chunk *chunk)
{
    if (!chunk) {
        return;
    }
    for (size_t i = 0; i < chunk->n_segments; i++) {
        fs_content_result_fini(&chunk->segments[i].result);
        fs_segment_delta_free(chunk->segments[i].delta);
    }
    free(chunk->pieces);
    free(chunk->piece_at);
    free(chunk->ranges);
    free(chunk->reads);
    free(chunk->buffer);
    free(chunk);
}

void fs_sender_drop_chunks(struct fs_sender *sender)
{
    while (sender->first) {
        struct chunk *chunk = sender->first;
        sender->first = chunk->next;
        fs_chunk_free(chunk);
    }
    fs_chunk_free(sender->building);
    sender->building = sender->waiting = sender->last = NULL;
}

/* What a chunk holds at most: its buffer, and the frames that are made of it while it is there. */
static uint64_t chunk_bound(const struct chunk *chunk)
{
    uint64_t bound = sizeof(*chunk) + chunk->buffer_length;
    bound += chunk->n_pieces * (sizeof(*chunk->pieces) + sizeof(*chunk->piece_at));
    bound += chunk->n_ranges * sizeof(*chunk->ranges) + chunk->n_reads * sizeof(*chunk->reads);
    for (size_t i = 0; i < chunk->n_segments; i++) {
        bound += fs_content_frame_bound(chunk->segments[i].n_pieces, chunk->segments[i].content);
    }
    return bound + fs_sender_delta_bound(chunk);
}

/* The buffer goes as soon as all frames are made; what stays reserved are the frames. */
static void trade_buffer(struct chunk *chunk)
{
    uint64_t frames = 0;
    for (size_t i = 0; i < chunk->n_segments; i++) {
        frames += chunk->segments[i].result.frame.length;
    }
    free(chunk->buffer);
    chunk->buffer = NULL;
    assert(frames <= chunk->reserved);
    give(chunk, chunk->reserved - frames);
}

/* --- encode ---------------------------------------------------------------------------------- */

static struct chunk_segment *segment_of(struct fs_job *job)
{
    return (struct chunk_segment *)((char *)job - offsetof(struct chunk_segment, job));
}

/* CLOCK_THREAD_CPUTIME_ID is what this thread has computed so far. */
static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * FS_SEC + now.tv_nsec;
}

/* WORKER. The bytes of a segment's pieces are its own; everything else of the chunk is only read.
 */
static void encode_run(struct fs_job *job)
{
    struct chunk_segment *segment = segment_of(job);
    const struct chunk *chunk = segment->chunk;
    const struct segment_delta *against = segment->delta;
    struct fs_content_delta delta;
    struct fs_content_request request = {
        .stream = chunk->sender->stream,
        .volume = (uint16_t)chunk->volume,
        .start = segment->start,
        .end = segment->end,
        .pieces = chunk->pieces + segment->first_piece,
        .n_pieces = segment->n_pieces,
        .zstd_level = segment->level,
    };
    if (against) {
        delta = (struct fs_content_delta){
            .ranges = against->ranges,
            .n_ranges = against->n_ranges,
            .prefix = against->prefix,
            .ranges_length = against->ranges_length,
            .try_both = chunk->delta == CHUNK_BOTH,
        };
        request.delta = &delta;
    }
    int64_t began = read_clock(CLOCK_MONOTONIC), computed = read_clock(CLOCK_THREAD_CPUTIME_ID);
    (void)fs_content_encode(&request, &segment->result, &segment->err);
    segment->run_ns = read_clock(CLOCK_MONOTONIC) - began;
    segment->cpu_ns = read_clock(CLOCK_THREAD_CPUTIME_ID) - computed;
}

static void tell_tuner(struct fs_sender *sender, const struct chunk_segment *segment)
{
    const struct fs_tuner_sample sample = {
        .level = segment->level,
        .run_ns = segment->run_ns,
        .cpu_ns = segment->cpu_ns,
        .compress_ns = segment->result.compress_ns,
        .content_bytes = segment->result.content_bytes,
        .payload_bytes = segment->result.payload_bytes,
        .delta = segment->delta != NULL,
        .link = fs_session_link(sender->session),
        .sent_bytes = fs_session_bytes_sent(sender->session),
    };
    fs_tuner_encoded(sender->tuner, &sample, fs_clock_boot(sender->clock));
    fs_session_set_queue(sender->session, fs_tuner_queue(sender->tuner));
}

static void encode_done(struct fs_job *job)
{
    struct chunk_segment *segment = segment_of(job);
    struct chunk *chunk = segment->chunk;
    struct fs_sender *sender = chunk->sender;
    sender->jobs_in_flight--;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (fs_error_is_set(&segment->err)) {
        fs_sender_fail(sender, &segment->err);
        return;
    }
    segment->encoded = true;
    tell_tuner(sender, segment);
    fs_sender_delta_encoded(sender, segment);
    if (++chunk->segments_encoded == chunk->n_segments) {
        trade_buffer(chunk);
    }
    fs_sender_pump(sender);
}

void fs_sender_encode(struct chunk_segment *segment)
{
    struct fs_sender *sender = segment->chunk->sender;
    segment->level = fs_tuner_level(sender->tuner);
    segment->job.run = encode_run;
    segment->job.done = encode_done;
    sender->jobs_in_flight++;
    fs_pool_submit(sender->cpu, &segment->job);
}

static void encode(struct chunk *chunk)
{
    struct fs_sender *sender = chunk->sender;
    sender->n_unread--;
    for (size_t i = 0; i < chunk->n_pieces; i++) {
        if (chunk->pieces[i].extent.kind == FS_EXTENT_DATA) {
            chunk->pieces[i].content = chunk->buffer + chunk->piece_at[i];
        }
    }
    for (size_t i = 0; i < chunk->n_segments; i++) {
        struct chunk_segment *segment = &chunk->segments[i];
        segment->chunk = chunk;
        if (chunk->delta == CHUNK_PLAIN) {
            fs_sender_encode(segment);
        } else {
            fs_sender_delta_prepare(segment);
        }
    }
}

/* --- read ------------------------------------------------------------------------------------ */

static void read_cb(void *arg, const struct fs_error *err)
{
    struct chunk_read *read = arg;
    struct chunk *chunk = read->chunk;
    struct fs_sender *sender = chunk->sender;
    sender->reads_in_flight--;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "read %s at %" PRIu64,
                         sender->offer.volumes[chunk->volume].volume.image.name,
                         chunk->ranges[read->first].offset);
        fs_sender_fail(sender, &failed);
        return;
    }
    sender->stats.read_bytes += read->bytes;
    if (++chunk->reads_done == chunk->n_reads) {
        encode(chunk);
    }
    fs_sender_pump(sender);
}

static void pump_reads(struct fs_sender *sender)
{
    for (struct chunk *chunk = sender->first; chunk && chunk != sender->waiting;
         chunk = chunk->next) {
        while (chunk->reads_started < chunk->n_reads) {
            if (sender->reads_in_flight >= READS_MAX) {
                return;
            }
            struct chunk_read *read = &chunk->reads[chunk->reads_started++];
            sender->reads_in_flight++;
            sender->reading->ops->read(sender->reading, chunk->volume, chunk->ranges + read->first,
                                       read->count, read_cb, read);
        }
    }
}

/* The chunk's memory was granted. */
static void start_chunk(struct fs_sender *sender, struct chunk *chunk, uint64_t bound)
{
    chunk->reserved = bound;
    if (chunk->buffer_length > 0) {
        chunk->buffer = malloc(chunk->buffer_length);
        if (!chunk->buffer) {
            fail_memory(sender);
            return;
        }
    }
    uint8_t *at = chunk->buffer;
    for (size_t i = 0; i < chunk->n_ranges; i++) {
        chunk->ranges[i].buffer = at;
        at += chunk->ranges[i].length;
    }
    if (chunk->n_reads == 0) {
        encode(chunk);
    }
}

void fs_sender_queue_chunk(struct fs_sender *sender, struct chunk *chunk)
{
    uint64_t bound = chunk_bound(chunk);
    if (sender->last) {
        sender->last->next = chunk;
    } else {
        sender->first = chunk;
    }
    sender->last = chunk;
    sender->n_unread++;
    sender->waiting = chunk;
    if (fs_budget_take(sender->budget, &sender->client, bound)) {
        sender->waiting = NULL;
        start_chunk(sender, chunk, bound);
    }
}

void fs_sender_granted_cb(struct fs_budget_client *client)
{
    struct fs_sender *sender =
        (struct fs_sender *)((char *)client - offsetof(struct fs_sender, client));
    struct chunk *chunk = sender->waiting;
    sender->waiting = NULL;
    start_chunk(sender, chunk, client->wanted);
    if (sender->state == SENDER_SHIPPING) {
        pump_reads(sender); /* when they complete, planning goes on */
    }
}

/* --- send ------------------------------------------------------------------------------------ */

static void send_segment(struct fs_sender *sender, struct chunk_segment *segment, uint64_t payload)
{
    struct chunk *chunk = segment->chunk;
    struct sender_volume *volume = &sender->volumes[chunk->volume];
    uint64_t frame = segment->result.frame.length;
    fs_chain_extend(&volume->position.chain, segment->result.extents, segment->result.n_extents);
    volume->position.offset = segment->end;
    sender->stats.done_bytes += segment->end - segment->start;
    sender->stats.content_bytes += segment->result.content_bytes;
    sender->stats.wire_bytes += payload;
    if (segment->result.delta) {
        sender->stats.delta_bytes += segment->result.content_bytes;
        sender->stats.delta_wire_bytes += payload;
    }
    if (sender->reach &&
        fs_reach_pass(sender->reach, chunk->volume, segment->start, segment->end)) {
        sender->stats.resent_bytes += payload;
    }
    sender->changed_sent += segment->result.changed_bytes;
    sender->sent_bytes += segment->content;
    fs_session_send(sender->session, &segment->result.frame);
    fs_content_result_fini(&segment->result);
    chunk->segments_sent++;
    /* Handed over: the transport bounds what it holds itself. While other segments of the chunk are
     * being encoded the buffer is still there, and all of the bound stays reserved. */
    if (!chunk->buffer && chunk->segments_encoded == chunk->n_segments) {
        give(chunk, chunk->reserved < frame ? chunk->reserved : frame);
    }
}

static void pump_segments(struct fs_sender *sender)
{
    while (sender->first && sender->state == SENDER_SHIPPING) {
        struct chunk *chunk = sender->first;
        if (chunk->segments_sent == chunk->n_segments) {
            uint64_t reserved = chunk->reserved;
            sender->first = chunk->next;
            sender->last = sender->first ? sender->last : NULL;
            fs_chunk_free(chunk);
            fs_budget_give(sender->budget, &sender->client, reserved);
            continue;
        }
        struct chunk_segment *segment = &chunk->segments[chunk->segments_sent];
        if (!segment->encoded) {
            return;
        }
        uint64_t payload = segment->result.frame.length - FS_FRAME_HEADER;
        if (!fs_session_take_credit(sender->session, payload)) {
            return;
        }
        send_segment(sender, segment, payload);
    }
}

static void send_commit(struct fs_sender *sender)
{
    struct fs_position finals[FS_VOLUMES_MAX];
    for (size_t i = 0; i < sender->offer.n_volumes; i++) {
        finals[i] = sender->volumes[i].position;
        assert(finals[i].offset == sender->volumes[i].size);
    }
    struct fs_commit commit = {
        .bytes = sender->changed_sent,
        .n_finals = sender->offer.n_volumes,
        .finals = finals,
    };
    sender->state = SENDER_COMMITTING;
    FS_STREAM_SEND(sender->session, FS_FRAME_COMMIT, sender->stream, commit, &commit);
    fs_fault("finals.sent");
}

void fs_sender_pump(struct fs_sender *sender)
{
    if (sender->state != SENDER_SHIPPING || !fs_sender_objects_pump(sender)) {
        return;
    }
    pump_segments(sender);
    fs_sender_delta_pump(sender);
    fs_sender_plan(sender);
    if (sender->state == SENDER_SHIPPING) {
        pump_reads(sender);
    }
    if (sender->state == SENDER_SHIPPING && !sender->first && fs_sender_planned_all(sender) &&
        fs_sender_objects_settled(sender)) {
        send_commit(sender);
    }
}
