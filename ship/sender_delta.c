/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as deltas: whether, against what, and the reading of it. */
#include "ship/sender_delta.h"

#include <stdlib.h>

/* One chunk in so many is encoded both ways, to see what it saves. */
#define TRY_BOTH_EVERY 16
/* It has to save a tenth, or it is not worth the reads. */
#define SAVES_ENOUGH(delta, plain) ((delta) <= (plain) - (plain) / 10)
/* What a small segment may have of the base elsewhere. */
#define RANGES_MIN (UINT64_C(128) << 10)

void fs_sender_delta_accept(struct fs_sender *sender, const struct fs_uuid *base)
{
    if (sender->delta_mode == FS_DELTA_NEVER ||
        !(fs_session_peer(sender->session)->features & FS_FEATURE_DELTA) ||
        !fs_base_is_usable(sender->record, base, &sender->offer)) {
        return;
    }
    sender->delta = calloc(1, sizeof(*sender->delta));
    if (sender->delta) { /* else without */
        sender->delta->mode = sender->delta_mode;
        sender->delta->point = *base;
    }
}

/* --- the choice ------------------------------------------------------------------------------ */

enum chunk_delta fs_sender_delta_choose(struct fs_sender *sender, unsigned volume)
{
    struct sender_delta *delta = sender->delta;
    if (!delta || delta->state != DELTA_READY || fs_base_size(&delta->base, volume) == 0) {
        return CHUNK_PLAIN;
    }
    if (delta->mode == FS_DELTA_AUTO && !fs_tuner_link_is_scarce(sender->tuner)) {
        return CHUNK_PLAIN;
    }
    if (delta->turns++ % TRY_BOTH_EVERY == 0) {
        return CHUNK_BOTH;
    }
    return delta->mode == FS_DELTA_ALWAYS || SAVES_ENOUGH(delta->delta_bytes, delta->plain_bytes)
               ? CHUNK_DELTA
               : CHUNK_PLAIN;
}

static void learn(struct sender_delta *delta, const struct fs_content_result *result)
{
    if (result->plain_bytes > 0) {
        delta->plain_bytes = delta->plain_bytes / 2 + result->plain_bytes;
        delta->delta_bytes = delta->delta_bytes / 2 + result->delta_bytes;
    }
}

/* --- memory ---------------------------------------------------------------------------------- */

/* Bytes of the base elsewhere that a segment may name, not above FS_DELTA_BYTES_MAX. */
static uint64_t ranges_bytes_max(const struct chunk_segment *segment)
{
    return segment->content > RANGES_MIN ? segment->content : RANGES_MIN;
}

uint64_t fs_sender_delta_bound(const struct chunk *chunk)
{
    uint64_t bound = 0;
    for (size_t i = 0; chunk->delta != CHUNK_PLAIN && i < chunk->n_segments; i++) {
        const struct chunk_segment *segment = &chunk->segments[i];
        bound += sizeof(struct segment_delta) + ranges_bytes_max(segment) + segment->content;
        bound += (FS_DELTA_RANGES_MAX + segment->n_pieces) * FS_BASE_READ_BYTES;
        bound += chunk->delta == CHUNK_BOTH ? segment->content : 0;
    }
    return bound;
}

void fs_segment_delta_free(struct segment_delta *delta)
{
    if (delta) {
        free(delta->prefix);
        free(delta->reads);
        free(delta);
    }
}

/* --- one segment ----------------------------------------------------------------------------- */

static struct segment_delta *delta_of(struct fs_job *job)
{
    return (struct segment_delta *)((char *)job - offsetof(struct segment_delta, job));
}

static const struct fs_piece *pieces_of(const struct chunk_segment *segment)
{
    return segment->chunk->pieces + segment->first_piece;
}

/* WORKER */
static void look_up_run(struct fs_job *job)
{
    struct segment_delta *delta = delta_of(job);
    const struct chunk_segment *segment = delta->segment;
    const struct fs_sender *sender = segment->chunk->sender;
    uint64_t size = fs_base_size(&sender->delta->base, segment->chunk->volume);
    uint64_t now = sender->volumes[segment->chunk->volume].size;
    const struct fs_delta_query query = {
        .volume = segment->chunk->volume,
        .pieces = pieces_of(segment),
        .n_pieces = segment->n_pieces,
        .size = size < now ? size : now,
        .window = READ_WINDOW,
        .most = ranges_bytes_max(segment),
    };
    delta->n_ranges = fs_delta_index_find(sender->delta->index, &query, delta->ranges);
}

/* The base could not be read: the transfer goes on without it. */
static void encode_plain(struct segment_delta *delta)
{
    struct chunk_segment *segment = delta->segment;
    segment->delta = NULL;
    fs_segment_delta_free(delta);
    fs_sender_encode(segment);
}

static void read_cb(void *arg, const struct fs_error *err)
{
    struct segment_delta *delta = arg;
    struct fs_sender *sender = delta->segment->chunk->sender;
    sender->reads_in_flight--;
    delta->in_flight--;
    delta->failed = delta->failed || (err && fs_error_is_set(err));
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (delta->in_flight == 0 && delta->failed) {
        sender->delta->state = DELTA_GIVEN_UP;
        encode_plain(delta);
    } else if (delta->in_flight == 0) {
        fs_sender_encode(delta->segment);
    }
    fs_sender_pump(sender); /* chunks may have waited to be read */
}

static void read_part(struct segment_delta *delta, const struct fs_read *reads, size_t n,
                      struct fs_base_io *io)
{
    struct fs_sender *sender = delta->segment->chunk->sender;
    if (n > 0) {
        delta->in_flight++;
        sender->reads_in_flight++;
        fs_base_read(&sender->delta->base, delta->segment->chunk->volume, reads, n, read_cb, delta,
                     io);
    }
}

/* The ranges first, what is in the same place behind them: zstd has it nearer. */
static void read_prefix(struct segment_delta *delta)
{
    struct chunk_segment *segment = delta->segment;
    const struct fs_base_point *base = &segment->chunk->sender->delta->base;
    unsigned volume = segment->chunk->volume;
    const struct fs_piece *pieces = pieces_of(segment);
    for (size_t i = 0; i < delta->n_ranges; i++) {
        delta->ranges_length += delta->ranges[i].length;
    }
    delta->prefix = malloc(delta->ranges_length + segment->content);
    delta->reads = malloc((delta->n_ranges + segment->n_pieces) * sizeof(*delta->reads));
    if (!delta->prefix || !delta->reads) {
        encode_plain(delta);
        return;
    }
    uint8_t *at = delta->prefix;
    for (size_t i = 0; i < delta->n_ranges; i++) {
        fs_base_plan(base, volume, delta->ranges[i].offset, delta->ranges[i].length, &at,
                     delta->reads, &delta->n_reads);
    }
    size_t elsewhere = delta->n_reads;
    for (size_t i = 0; i < segment->n_pieces; i++) {
        if (pieces[i].extent.kind == FS_EXTENT_DATA) {
            fs_base_plan(base, volume, pieces[i].extent.offset, pieces[i].extent.length, &at,
                         delta->reads, &delta->n_reads);
        }
    }
    read_part(delta, delta->reads, elsewhere, &delta->ios[0]);
    read_part(delta, delta->reads + elsewhere, delta->n_reads - elsewhere, &delta->ios[1]);
    if (delta->in_flight == 0) {
        fs_sender_encode(segment);
    }
}

static void look_up_done(struct fs_job *job)
{
    struct segment_delta *delta = delta_of(job);
    struct fs_sender *sender = delta->segment->chunk->sender;
    sender->jobs_in_flight--;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    read_prefix(delta);
}

void fs_sender_delta_prepare(struct chunk_segment *segment)
{
    struct fs_sender *sender = segment->chunk->sender;
    struct segment_delta *delta = segment->content > 0 ? calloc(1, sizeof(*delta)) : NULL;
    if (!delta) {
        fs_sender_encode(segment);
        return;
    }
    delta->segment = segment;
    segment->delta = delta;
    if (!sender->delta->index) {
        read_prefix(delta);
        return;
    }
    delta->job.run = look_up_run;
    delta->job.done = look_up_done;
    sender->jobs_in_flight++;
    fs_pool_submit(sender->cpu, &delta->job);
}

void fs_sender_delta_encoded(struct fs_sender *sender, struct chunk_segment *segment)
{
    if (segment->delta) {
        learn(sender->delta, &segment->result);
        fs_segment_delta_free(segment->delta);
        segment->delta = NULL;
    }
}
