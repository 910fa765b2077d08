/* SPDX-License-Identifier: Apache-2.0 */
/* The base is opened, and the index made of its content. */
#include "ship/sender_delta.h"

#include <stdlib.h>

/* Bytes that a transfer has to have listed before deltas are begun in it. */
#define LISTED_MIN (UINT64_C(16) << 20)

/* --- memory ---------------------------------------------------------------------------------- */

static void free_steps(struct fs_sender *sender)
{
    struct sender_delta *delta = sender->delta;
    for (size_t i = 0; delta->steps && i < INDEX_STEPS; i++) {
        free(delta->steps[i].buffer);
    }
    free(delta->steps);
    delta->steps = NULL;
    free(delta->batch);
    delta->batch = NULL;
}

static void give(struct fs_sender *sender, uint64_t bytes)
{
    fs_budget_unkeep(sender->budget, bytes);
    sender->delta->kept -= bytes;
}

/* False: there is no room for it at the moment, and deltas do without an index. */
static bool make_room(struct fs_sender *sender)
{
    struct sender_delta *delta = sender->delta;
    uint64_t bytes = INDEX_BYTES_MAX;
    while (bytes > sender->budget->limit / 16) {
        bytes /= 2;
    }
    delta->step_max = bytes / 2 / INDEX_STEPS;
    uint64_t all = bytes + INDEX_STEPS * (delta->step_max + sizeof(*delta->steps));
    if (!fs_budget_keep(sender->budget, all)) {
        return false;
    }
    delta->kept = all;
    delta->index = fs_delta_index_new(bytes);
    delta->batch = calloc(1, sizeof(*delta->batch));
    delta->steps = calloc(INDEX_STEPS, sizeof(*delta->steps));
    bool made = delta->index && delta->batch && delta->steps;
    for (size_t i = 0; made && i < INDEX_STEPS; i++) {
        delta->steps[i].sender = sender;
        delta->steps[i].buffer = malloc(delta->step_max);
        made = delta->steps[i].buffer != NULL;
    }
    if (!made) {
        free_steps(sender);
        fs_delta_index_free(delta->index);
        delta->index = NULL;
        give(sender, delta->kept);
    }
    return made;
}

void fs_sender_delta_free(struct fs_sender *sender)
{
    if (sender->delta) {
        free_steps(sender);
        fs_delta_index_free(sender->delta->index);
        give(sender, sender->delta->kept);
        free(sender->delta);
        sender->delta = NULL;
    }
}

/* --- the pass -------------------------------------------------------------------------------- */

/* done: all that is to be known is in the index, or it could not be read: then it knows less. */
static void end_pass(struct fs_sender *sender)
{
    struct sender_delta *delta = sender->delta;
    if (delta->steps_busy > 0 || delta->listing) {
        return;
    }
    uint64_t steps = INDEX_STEPS * (delta->step_max + sizeof(*delta->steps));
    free_steps(sender);
    give(sender, steps);
    delta->state = DELTA_READY;
}

static struct index_step *step_of(struct fs_job *job)
{
    return (struct index_step *)((char *)job - offsetof(struct index_step, job));
}

/* WORKER */
static void add_run(struct fs_job *job)
{
    const struct index_step *step = step_of(job);
    for (size_t i = 0; i < step->n_reads; i++) {
        fs_delta_index_add(step->sender->delta->index, step->volume, step->reads[i].offset,
                           step->reads[i].buffer, step->reads[i].length);
    }
}

static void leave_step(struct index_step *step)
{
    struct fs_sender *sender = step->sender;
    step->busy = false;
    sender->delta->steps_busy--;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
    } else {
        fs_sender_pump(sender);
    }
}

static void add_done(struct fs_job *job)
{
    step_of(job)->sender->jobs_in_flight--;
    leave_step(step_of(job));
}

static void read_cb(void *arg, const struct fs_error *err)
{
    struct index_step *step = arg;
    struct fs_sender *sender = step->sender;
    sender->reads_in_flight--;
    if (sender->state == SENDER_ENDING || (err && fs_error_is_set(err))) {
        sender->delta->listed = true; /* what is in it is good enough */
        leave_step(step);
        return;
    }
    step->job = (struct fs_job){.run = add_run, .done = add_done};
    sender->jobs_in_flight++;
    fs_pool_submit(sender->cpu, &step->job);
}

/* Of the batch's extents as much as fits. */
static void fill(struct fs_sender *sender, struct index_step *step)
{
    struct sender_delta *delta = sender->delta;
    struct batch *batch = delta->batch;
    uint64_t room = delta->step_max;
    uint8_t *at = step->buffer;
    step->volume = batch->volume;
    step->n_reads = 0;
    while (batch->used < batch->list.count && step->n_reads < INDEX_RANGES && room > 0) {
        const struct fs_extent *extent = &batch->list.extents[batch->used];
        uint64_t offset = extent->offset + batch->taken;
        uint64_t take = extent->length - batch->taken;
        take = take < room ? take : room;
        take =
            take < READ_WINDOW - offset % READ_WINDOW ? take : READ_WINDOW - offset % READ_WINDOW;
        if (extent->kind == FS_EXTENT_ZERO) {
            take = extent->length - batch->taken;
        } else {
            fs_base_plan(&delta->base, batch->volume, offset, take, &at, step->reads,
                         &step->n_reads);
            room -= take;
            delta->indexed += take;
        }
        batch->taken += take;
        if (batch->taken == extent->length) {
            batch->used++;
            batch->taken = 0;
        }
    }
}

static void listed_cb(void *arg, struct fs_extent_list *list, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    struct sender_delta *delta = sender->delta;
    delta->listing = false;
    if ((err && fs_error_is_set(err)) || list->next <= delta->from) {
        delta->listed = true; /* whoever lists for sending will say so */
        list->count = 0;
    }
    delta->from = list->next;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
    } else {
        fs_sender_pump(sender);
    }
}

/* Of volumes that the base has. */
static void list(struct fs_sender *sender)
{
    struct sender_delta *delta = sender->delta;
    while (delta->volume < sender->offer.n_volumes &&
           (delta->from >= sender->volumes[delta->volume].size ||
            delta->from >= fs_base_size(&delta->base, delta->volume))) {
        delta->volume++;
        delta->from = 0;
    }
    if (delta->volume == sender->offer.n_volumes || delta->indexed >= INDEX_CONTENT_MAX) {
        delta->listed = true;
        return;
    }
    struct batch *batch = delta->batch;
    batch->volume = delta->volume;
    batch->used = batch->taken = 0;
    batch->list = (struct fs_extent_list){.extents = batch->extents, .capacity = LIST_EXTENTS};
    delta->listing = true;
    sender->reading->ops->list(sender->reading, delta->volume, delta->from, &batch->list, listed_cb,
                               sender);
}

static struct index_step *free_step(const struct sender_delta *delta)
{
    for (size_t i = 0; i < INDEX_STEPS; i++) {
        if (!delta->steps[i].busy) {
            return &delta->steps[i];
        }
    }
    return NULL;
}

static void pump_pass(struct fs_sender *sender)
{
    struct sender_delta *delta = sender->delta;
    struct index_step *step;
    while (!delta->listing && !delta->listed && (step = free_step(delta)) != NULL) {
        if (delta->batch->used == delta->batch->list.count) {
            if (!sender->listing) { /* else its callback comes back here */
                list(sender);
            }
            break;
        }
        fill(sender, step);
        if (step->n_reads > 0) {
            step->busy = true;
            delta->steps_busy++;
            sender->reads_in_flight++;
            fs_base_read(&delta->base, step->volume, step->reads, step->n_reads, read_cb, step,
                         &step->io);
        }
    }
    if (delta->listed) {
        end_pass(sender);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static void opened_cb(void *arg, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    struct sender_delta *delta = sender->delta;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (err) {
        delta->state = DELTA_GIVEN_UP;
    } else {
        delta->state = make_room(sender) ? DELTA_INDEXING : DELTA_READY;
    }
    fs_sender_pump(sender);
}

/* What is left, as far as one can tell, pays for the pass: it opens all volumes at both sites, and
 * asks once more what changed. */
static bool is_long(const struct fs_sender *sender)
{
    const struct fs_transfer_stats *stats = &sender->stats;
    if (sender->listed_bytes < LISTED_MIN) {
        return false;
    }
    if (sender->listed_bytes - sender->planned_bytes > sender->listed_bytes / 2) {
        return true;
    }
    return sender->list_volume < sender->offer.n_volumes &&
           stats->done_bytes < stats->total_bytes / 2;
}

static bool is_worth_it(const struct fs_sender *sender)
{
    if (sender->delta->mode == FS_DELTA_ALWAYS) {
        return sender->list_volume < sender->offer.n_volumes;
    }
    return fs_tuner_deltas_pay(sender->tuner) && is_long(sender);
}

void fs_sender_delta_pump(struct fs_sender *sender)
{
    struct sender_delta *delta = sender->delta;
    if (!delta || sender->state != SENDER_SHIPPING) {
        return;
    }
    if (delta->state == DELTA_OFF && is_worth_it(sender)) {
        delta->state = DELTA_OPENING;
        fs_base_open(&delta->base, sender->source, sender->record, &delta->point, &sender->offer,
                     opened_cb, sender);
    } else if (delta->state == DELTA_INDEXING) {
        pump_pass(sender);
    }
}

bool fs_sender_delta_holds(const struct fs_sender *sender)
{
    return sender->delta &&
           (sender->delta->state == DELTA_OPENING || sender->delta->state == DELTA_INDEXING);
}

bool fs_sender_delta_is_busy(const struct fs_sender *sender)
{
    return sender->delta &&
           (sender->delta->base.state == FS_BASE_OPENING || sender->delta->listing);
}

bool fs_sender_delta_close(struct fs_sender *sender, fs_io_fn *closed)
{
    return sender->delta && fs_base_close(&sender->delta->base, closed, sender);
}
