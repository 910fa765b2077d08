/* SPDX-License-Identifier: Apache-2.0 */
/* List changed extents ahead and cut them into chunks, segments and reads. */
#include "ship/sender_delta.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#define DELTA_CHUNK_MIN (UINT64_C(256) << 10)

/* --- listing --------------------------------------------------------------------------------- */

/* The diff is ours: a wrong one is a bug, and shipping it would corrupt the target. */
static bool list_is_valid(const struct fs_extent_list *list, uint64_t from, uint64_t size)
{
    uint64_t at = from;
    for (size_t i = 0; i < list->count; i++) {
        const struct fs_extent *extent = &list->extents[i];
        if (extent->offset < at || extent->length == 0 || extent->offset > list->next ||
            extent->length > list->next - extent->offset) {
            return false;
        }
        at = extent->offset + extent->length;
    }
    return list->next <= size && (list->next > from || from == size);
}

void fs_sender_listed(struct fs_sender *sender, struct fs_extent_list *list,
                      const struct fs_error *err)
{
    struct batch *batch = sender->spare;
    sender->listing = false;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    struct fs_error failed = FS_ERROR_INIT;
    uint64_t size = sender->volumes[batch->volume].size;
    if (err && fs_error_is_set(err)) {
        failed = *err;
    } else if (!list_is_valid(list, sender->list_from, size)) {
        fs_error_set(&failed, FS_ERR_BUG, EINVAL,
                     "the diff of volume %u from %" PRIu64 " is out of order: please report it",
                     batch->volume, sender->list_from);
    }
    if (fs_error_is_set(&failed)) {
        fs_error_context(&failed, "list changes of %s",
                         sender->offer.volumes[batch->volume].volume.image.name);
        fs_sender_fail(sender, &failed);
        return;
    }
    sender->spare = NULL;
    sender->batches[sender->n_batches++] = batch;
    for (size_t i = 0; i < list->count; i++) {
        sender->listed_bytes +=
            list->extents[i].kind == FS_EXTENT_DATA ? list->extents[i].length : 0;
    }
    sender->list_from = list->next;
    if (list->next == size) {
        sender->list_volume++;
        sender->list_from = sender->list_volume < sender->offer.n_volumes
                                ? sender->volumes[sender->list_volume].planned
                                : 0;
    }
    fs_sender_pump(sender);
}

static void listed_cb(void *arg, struct fs_extent_list *list, const struct fs_error *err)
{
    fs_sender_listed(arg, list, err);
}

/* Volumes that are complete at the target already are passed over. */
static void list_ahead(struct fs_sender *sender)
{
    if (sender->state != SENDER_SHIPPING) {
        return; /* it failed on the way here */
    }
    while (sender->list_volume < sender->offer.n_volumes &&
           sender->list_from == sender->volumes[sender->list_volume].size) {
        sender->list_volume++;
        sender->list_from = sender->list_volume < sender->offer.n_volumes
                                ? sender->volumes[sender->list_volume].planned
                                : 0;
    }
    if (sender->listing || fs_sender_delta_holds(sender) || sender->n_batches == LIST_BATCHES ||
        sender->list_volume == sender->offer.n_volumes) {
        return;
    }
    struct batch *batch = sender->spare ? sender->spare : malloc(sizeof(*batch));
    if (!batch) {
        struct fs_error err = FS_ERROR_INIT;
        fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a list of changes");
        fs_sender_fail(sender, &err);
        return;
    }
    batch->volume = sender->list_volume;
    batch->used = 0;
    batch->taken = 0;
    batch->list = (struct fs_extent_list){.extents = batch->extents, .capacity = LIST_EXTENTS};
    sender->spare = batch;
    sender->listing = true;
    if (sender->comparison) {
        fs_sender_compare(sender, batch->volume, sender->list_from, &batch->list);
        return;
    }
    sender->reading->ops->list(sender->reading, batch->volume, sender->list_from, &batch->list,
                               listed_cb, sender);
}

static void drop_batch(struct fs_sender *sender)
{
    if (sender->spare) {
        free(sender->batches[0]);
    } else {
        sender->spare = sender->batches[0];
    }
    sender->n_batches--;
    for (size_t i = 0; i < sender->n_batches; i++) {
        sender->batches[i] = sender->batches[i + 1];
    }
}

/* --- chunks ---------------------------------------------------------------------------------- */

static struct chunk *chunk_new(struct fs_sender *sender, unsigned volume)
{
    struct chunk *chunk = calloc(1, sizeof(*chunk));
    if (!chunk) {
        return NULL;
    }
    chunk->sender = sender;
    chunk->volume = volume;
    chunk->start = chunk->end = sender->volumes[volume].planned;
    chunk->pieces = malloc(CHUNK_PIECES * sizeof(*chunk->pieces));
    chunk->piece_at = malloc(CHUNK_PIECES * sizeof(*chunk->piece_at));
    chunk->ranges = malloc(CHUNK_PIECES * sizeof(*chunk->ranges));
    chunk->reads = malloc(CHUNK_PIECES * sizeof(*chunk->reads));
    if (!chunk->pieces || !chunk->piece_at || !chunk->ranges || !chunk->reads) {
        fs_chunk_free(chunk);
        return NULL;
    }
    chunk->segment_max = fs_session_segment_max(sender->session);
    /* A delta takes several times its content in memory: smaller ones, so that as many are on their
     * way. */
    chunk->delta = fs_sender_delta_choose(sender, volume);
    chunk->max = sender->chunk_max;
    if (chunk->delta != CHUNK_PLAIN) {
        chunk->max = chunk->max / 4 > DELTA_CHUNK_MIN ? chunk->max / 4 : DELTA_CHUNK_MIN;
    }
    chunk->n_segments = 1;
    chunk->segments[0].start = chunk->start;
    return chunk;
}

static bool same_window(uint64_t a, uint64_t b)
{
    return a / READ_WINDOW == b / READ_WINDOW;
}

/* The range that goes on at offset, after at most what is cheaper to read than to leave out; NULL:
 * it takes another one. */
static struct fs_read *reaching(struct chunk *chunk, uint64_t offset)
{
    struct fs_reading *reading = chunk->sender->reading;
    struct fs_read *range = chunk->n_ranges > 0 ? &chunk->ranges[chunk->n_ranges - 1] : NULL;
    if (!range || !same_window(range->offset, offset)) {
        return NULL;
    }
    uint64_t gap = offset - (range->offset + range->length);
    return gap <= reading->ops->read_gap(reading, chunk->volume) ? range : NULL;
}

static struct fs_read *add_range(struct chunk *chunk, uint64_t offset)
{
    struct chunk_read *read = chunk->n_reads > 0 ? &chunk->reads[chunk->n_reads - 1] : NULL;
    if (!read || !same_window(chunk->ranges[read->first].offset, offset)) {
        read = &chunk->reads[chunk->n_reads++];
        *read = (struct chunk_read){.chunk = chunk, .first = chunk->n_ranges};
    }
    read->count++;
    chunk->ranges[chunk->n_ranges] = (struct fs_read){.offset = offset};
    return &chunk->ranges[chunk->n_ranges++];
}

/* Where a piece of at most length bytes ends, so that later ones begin at a block of the image. */
static uint64_t cut(uint64_t offset, uint64_t length, uint64_t room)
{
    if (length <= room) {
        return length;
    }
    uint64_t end = (offset + room) / FS_ZERO_BLOCK * FS_ZERO_BLOCK;
    return end > offset ? end - offset : 0;
}

static void add_piece(struct chunk *chunk, uint64_t offset, uint64_t length,
                      enum fs_extent_kind kind, size_t at)
{
    struct chunk_segment *segment = &chunk->segments[chunk->n_segments - 1];
    struct fs_piece *last = segment->n_pieces > 0 ? &chunk->pieces[chunk->n_pieces - 1] : NULL;
    segment->content += kind == FS_EXTENT_DATA ? length : 0;
    chunk->end = offset + length;
    if (last && last->extent.kind == kind && last->extent.offset + last->extent.length == offset &&
        (kind == FS_EXTENT_ZERO ||
         chunk->piece_at[chunk->n_pieces - 1] + last->extent.length == at)) {
        last->extent.length += length;
        return;
    }
    chunk->piece_at[chunk->n_pieces] = at;
    chunk->pieces[chunk->n_pieces++] = (struct fs_piece){
        .extent = {.offset = offset, .length = length, .kind = kind},
    };
    segment->n_pieces++;
}

static bool begin_segment(struct chunk *chunk)
{
    if (chunk->n_segments == CHUNK_SEGMENTS) {
        return false;
    }
    chunk->segments[chunk->n_segments - 1].end = chunk->end;
    chunk->segments[chunk->n_segments++] = (struct chunk_segment){
        .start = chunk->end,
        .first_piece = chunk->n_pieces,
    };
    return true;
}

/*
 * A segment that is half full ends where a window does: what changed in an object is then in one or
 * two segments, and becomes as many writes.
 */
static bool ends_before(const struct chunk *chunk, uint64_t offset, uint64_t length)
{
    const struct chunk_segment *segment = &chunk->segments[chunk->n_segments - 1];
    if (segment->content >= chunk->segment_max / 2 && !same_window(chunk->end - 1, offset)) {
        return true;
    }
    return cut(offset, length, chunk->segment_max - segment->content) == 0;
}

/* Returns how much of the DATA was taken, 0: the chunk is full. */
static uint64_t add_data(struct chunk *chunk, uint64_t offset, uint64_t length)
{
    uint64_t take = cut(offset, length, READ_WINDOW - offset % READ_WINDOW);
    if (ends_before(chunk, offset, take) && !begin_segment(chunk)) {
        return 0;
    }
    take = cut(offset, take, chunk->segment_max - chunk->segments[chunk->n_segments - 1].content);

    struct fs_read *range = reaching(chunk, offset);
    uint64_t gap = range ? offset - (range->offset + range->length) : 0;
    uint64_t room = chunk->max - chunk->buffer_length;
    take = cut(offset, take, room > gap ? room - gap : 0);
    if (take == 0) {
        return 0;
    }
    if (!range) {
        range = add_range(chunk, offset);
    }
    range->length += gap + take;
    chunk->reads[chunk->n_reads - 1].bytes += gap + take;
    chunk->buffer_length += gap + take;
    add_piece(chunk, offset, take, FS_EXTENT_DATA, chunk->buffer_length - take);
    return take;
}

/* Move the batch's next extent, or a part of it, into the chunk. False: the chunk is full. */
static bool add_extent(struct chunk *chunk, struct batch *batch)
{
    const struct fs_extent *extent = &batch->list.extents[batch->used];
    uint64_t offset = extent->offset + batch->taken;
    uint64_t length = extent->length - batch->taken;
    uint64_t take = length;
    if (chunk->n_pieces == CHUNK_PIECES) {
        return false;
    }
    if (extent->kind == FS_EXTENT_ZERO) {
        add_piece(chunk, offset, length, FS_EXTENT_ZERO, 0);
    } else {
        take = add_data(chunk, offset, length);
        chunk->sender->planned_bytes += take;
    }
    chunk->sender->stats.changed_bytes += take;
    batch->taken += take;
    if (batch->taken == extent->length) {
        batch->used++;
        batch->taken = 0;
    }
    return take > 0;
}

/* Arrays as long as they need to be: many chunks are small. */
static void shrink(struct chunk *chunk)
{
    struct fs_piece *pieces =
        realloc(chunk->pieces, (chunk->n_pieces + 1) * sizeof(*chunk->pieces));
    size_t *piece_at = realloc(chunk->piece_at, (chunk->n_pieces + 1) * sizeof(size_t));
    struct fs_read *ranges = realloc(chunk->ranges, (chunk->n_ranges + 1) * sizeof(*ranges));
    struct chunk_read *reads = realloc(chunk->reads, (chunk->n_reads + 1) * sizeof(*reads));
    chunk->pieces = pieces ? pieces : chunk->pieces;
    chunk->piece_at = piece_at ? piece_at : chunk->piece_at;
    chunk->ranges = ranges ? ranges : chunk->ranges;
    chunk->reads = reads ? reads : chunk->reads;
}

/* The chunk being built covers its volume up to end. */
static void finish_chunk(struct fs_sender *sender, uint64_t end)
{
    struct chunk *chunk = sender->building;
    sender->building = NULL;
    if (end == chunk->start) {
        fs_chunk_free(chunk);
        return;
    }
    chunk->end = end;
    chunk->segments[chunk->n_segments - 1].end = end;
    if (chunk->segments[chunk->n_segments - 1].start == end) {
        chunk->n_segments--; /* it was begun, and then the chunk had no room for its content */
    }
    sender->volumes[chunk->volume].planned = end;
    shrink(chunk);
    fs_sender_queue_chunk(sender, chunk);
}

/* One step with the oldest batch; false: out of memory. */
static bool plan_batch(struct fs_sender *sender)
{
    struct batch *batch = sender->batches[0];
    if (!sender->building) {
        sender->building = chunk_new(sender, batch->volume);
    }
    struct chunk *chunk = sender->building;
    if (!chunk) {
        return false;
    }
    if (batch->used < batch->list.count) {
        if (!add_extent(chunk, batch)) {
            finish_chunk(sender, chunk->end);
        }
        return true;
    }
    chunk->end = batch->list.next;
    bool last = chunk->end == sender->volumes[batch->volume].size;
    drop_batch(sender);
    if (last) {
        finish_chunk(sender, chunk->end);
    }
    return true;
}

/* How content is encoded is decided when it is planned: where the link is slow, that is to be soon
 * before it is sent. What is sent brings the planner back. */
static bool is_far_ahead(const struct fs_sender *sender)
{
    return sender->planned_bytes - sender->sent_bytes >= fs_tuner_ahead(sender->tuner);
}

void fs_sender_plan(struct fs_sender *sender)
{
    list_ahead(sender);
    while (sender->state == SENDER_SHIPPING && !sender->waiting && !is_far_ahead(sender)) {
        if (sender->n_batches == 0) {
            /* Waiting for the lister. A small chunk now is better than an idle source. */
            if (sender->building && sender->n_unread == 0) {
                finish_chunk(sender, sender->building->end);
            }
            return;
        }
        if (!plan_batch(sender)) {
            struct fs_error err = FS_ERROR_INIT;
            fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory for a chunk");
            fs_sender_fail(sender, &err);
            return;
        }
        list_ahead(sender);
    }
}

bool fs_sender_planned_all(const struct fs_sender *sender)
{
    return sender->list_volume == sender->offer.n_volumes && !sender->listing &&
           sender->n_batches == 0 && !sender->building;
}
