/* SPDX-License-Identifier: Apache-2.0 */
/* struct fs_source over Ceph: the table, and the jobs that carry its operations to a worker. */
#include "farshore/source.h"

#include <stdlib.h>

#include "snapshot/alloc.h"
#include "snapshot/captured_keep.h"
#include "snapshot/helper.h"
#include "snapshot/reading.h"
#include "snapshot/release.h"
#include "snapshot/site.h"
#include "snapshot/take.h"

/*
 * A snapshot is made by the client that holds the image's lock. Where that stands still the helper
 * is killed, the point is given up and its snapshot not found; and a client that goes on after that
 * still makes it. What it was asked before it has made once it makes the next one: the take after
 * that finds all there is.
 */
#define TAKES_TO_SWEEP 2

struct swept {
    struct fs_uuid group;
    unsigned takes; /* points since the start, or since a failure */
};

struct source {
    struct fs_source base;
    struct fs_site *site;
    struct fs_pool *blocking;
    struct fs_helpers *helpers;
    struct fs_reading_context reading;

    /* loop only: groups of which snapshots without a record are looked for */
    struct swept *swept; /* owned */
    size_t n_swept;
};

static struct source *source_of(struct fs_source *base)
{
    return (struct source *)base; /* base is its first member */
}

/* NULL when out of memory: then it is not swept this time. */
static struct swept *swept_of(struct source *source, const struct fs_uuid *group)
{
    struct swept *more;

    for (size_t i = 0; i < source->n_swept; i++) {
        if (fs_uuid_equal(&source->swept[i].group, group)) {
            return &source->swept[i];
        }
    }
    more = reallocarray(source->swept, source->n_swept + 1, sizeof(*more));
    if (!more) {
        return NULL;
    }
    source->swept = more;
    more[source->n_swept] = (struct swept){.group = *group};
    return &more[source->n_swept++];
}

static bool is_to_sweep(struct source *source, const struct fs_uuid *group)
{
    const struct swept *swept = swept_of(source, group);

    return swept && swept->takes < TAKES_TO_SWEEP;
}

static void note_take(struct source *source, const struct fs_uuid *group,
                      enum fs_take_outcome outcome)
{
    struct swept *swept = swept_of(source, group);

    if (swept && outcome == FS_TAKE_FAILED) {
        swept->takes = 0;
    } else if (swept && outcome == FS_TAKE_POINT && swept->takes < TAKES_TO_SWEEP) {
        swept->takes++;
    }
}

/* --- take ----------------------------------------------------------------------------------- */

struct take_operation {
    struct fs_job job;
    struct source *source;
    struct fs_take_job take;
    bool prepared; /* by a take before */
    struct fs_take_result result;
    fs_take_fn *done;
    void *arg;
};

static void take_run(struct fs_job *job)
{
    struct take_operation *operation = (struct take_operation *)job; /* its first member */

    (operation->prepared ? fs_take_snapshot_run : fs_take_run)(&operation->take,
                                                               &operation->result);
}

static void take_done(struct fs_job *job)
{
    struct take_operation *operation = (struct take_operation *)job;

    operation->result.record = operation->take.record;
    note_take(operation->source, &operation->take.record->group, operation->result.outcome);
    operation->done(operation->arg, &operation->result);
    fs_buf_fini(&operation->take.packed);
    free(operation);
}

static void submit_take(struct fs_source *base, const struct fs_take_request *request,
                        bool prepared, fs_take_fn *done, void *arg)
{
    static const struct fs_uuid no_base;
    struct source *source = source_of(base);
    struct take_operation *operation = fs_operation_new(sizeof(*operation));

    operation->job = (struct fs_job){.run = take_run, .done = take_done};
    operation->source = source;
    operation->take =
        (struct fs_take_job){.site = source->site,
                             .helpers = source->helpers,
                             .record = request->record,
                             .base = request->base ? *request->base : no_base,
                             .force = request->force,
                             .refuse_not_one_instant = request->refuse_not_one_instant,
                             .sweep = !prepared && is_to_sweep(source, &request->record->group),
                             .bound_ns = request->bound_ns,
                             .objects = request->objects,
                             .prepare = request->prepare,
                             .refuse_unquiesced = request->refuse_unquiesced,
                             .skip_hooks = request->skip_hooks,
                             .volume_missing = request->volume_missing,
                             .application_until_ns = request->application_until_ns};
    operation->prepared = prepared;
    if (request->packed) {
        fs_buf_put(&operation->take.packed, request->packed->data, request->packed->length);
    }
    operation->done = done;
    operation->arg = arg;
    fs_pool_submit(source->blocking, &operation->job);
}

static void source_take(struct fs_source *source, const struct fs_take_request *request,
                        fs_take_fn *done, void *arg)
{
    submit_take(source, request, false, done, arg);
}

static void source_snapshot(struct fs_source *source, const struct fs_take_request *request,
                            fs_take_fn *done, void *arg)
{
    submit_take(source, request, true, done, arg);
}

/* --- settle, store and release
 * ----------------------------------------------------------------------- */

struct record_operation {
    struct fs_job job;
    struct fs_site *site;
    struct fs_helpers *helpers;
    struct fs_record *record;
    enum { ONLY_STORE = 0, SETTLE, RELEASE } kind;
    bool whole, removed_only; /* of a release */
    struct fs_uuid committed;
    struct fs_digest agreed[FS_VOLUMES_MAX];
    size_t n_agreed;
    int64_t current_until_ns;
    struct fs_error err;
    fs_record_fn *done;
    void *arg;
};

static void record_run(struct fs_job *job)
{
    struct record_operation *operation = (struct record_operation *)job; /* its first member */

    if (operation->kind == RELEASE) {
        fs_release_run(operation->site, operation->helpers, operation->record, operation->whole,
                       operation->removed_only, &operation->err);
    } else if (operation->kind == SETTLE) {
        fs_settle_run(operation->site, operation->helpers, operation->record, &operation->committed,
                      operation->agreed, operation->n_agreed, operation->current_until_ns,
                      &operation->err);
    } else {
        fs_state_store(operation->site->state, operation->record, &operation->err);
    }
}

static void record_done(struct fs_job *job)
{
    struct record_operation *operation = (struct record_operation *)job;

    operation->done(operation->arg, operation->record, &operation->err);
    free(operation);
}

static struct record_operation *record_operation_new(struct source *source,
                                                     struct fs_record *record, fs_record_fn *done,
                                                     void *arg)
{
    struct record_operation *operation = fs_operation_new(sizeof(*operation));

    operation->job = (struct fs_job){.run = record_run, .done = record_done};
    operation->site = source->site;
    operation->helpers = source->helpers;
    operation->record = record;
    operation->done = done;
    operation->arg = arg;
    return operation;
}

static void source_settle(struct fs_source *base, struct fs_record *record,
                          const struct fs_uuid *committed, const struct fs_digest *agreed,
                          int64_t current_until_ns, fs_record_fn *done, void *arg)
{
    struct source *source = source_of(base);
    struct record_operation *operation = record_operation_new(source, record, done, arg);
    const struct fs_record_point *point = fs_record_find_point(record, committed);

    operation->kind = SETTLE;
    operation->committed = *committed;
    operation->current_until_ns = current_until_ns;
    for (size_t i = 0; point && i < point->n_contents && i < FS_VOLUMES_MAX; i++) {
        operation->agreed[i] = agreed[i];
        operation->n_agreed++;
    }
    fs_pool_submit(source->blocking, &operation->job);
}

static void source_store(struct fs_source *base, struct fs_record *record, fs_record_fn *done,
                         void *arg)
{
    struct source *source = source_of(base);

    fs_pool_submit(source->blocking, &record_operation_new(source, record, done, arg)->job);
}

static void source_release(struct fs_source *base, struct fs_record *record, bool whole,
                           bool removed_only, fs_record_fn *done, void *arg)
{
    struct source *source = source_of(base);
    struct record_operation *operation = record_operation_new(source, record, done, arg);

    operation->kind = RELEASE;
    operation->whole = whole;
    operation->removed_only = removed_only;
    fs_pool_submit(source->blocking, &operation->job);
}

/* --- objects -------------------------------------------------------------------------------- */

struct objects_operation {
    struct fs_job job;
    struct fs_site *site;
    struct fs_uuid group;
    struct fs_captured captured;
    struct fs_buf packed;
    struct fs_error err;
    fs_packed_fn *done;
    void *arg;
};

static void objects_run(struct fs_job *job)
{
    struct objects_operation *operation = (struct objects_operation *)job; /* its first member */

    fs_captured_load(operation->site->state, &operation->group, &operation->captured,
                     &operation->packed, &operation->err);
}

static void objects_done(struct fs_job *job)
{
    struct objects_operation *operation = (struct objects_operation *)job;

    operation->done(operation->arg, &operation->packed,
                    fs_error_is_set(&operation->err) ? &operation->err : NULL);
    fs_buf_fini(&operation->packed);
    free(operation);
}

static void source_objects(struct fs_source *base, const struct fs_uuid *group,
                           const struct fs_captured *captured, fs_packed_fn *done, void *arg)
{
    struct source *source = source_of(base);
    struct objects_operation *operation = fs_operation_new(sizeof(*operation));

    operation->job = (struct fs_job){.run = objects_run, .done = objects_done};
    operation->site = source->site;
    operation->group = *group;
    operation->captured = *captured;
    operation->done = done;
    operation->arg = arg;
    fs_pool_submit(source->blocking, &operation->job);
}

static void source_open(struct fs_source *base, const struct fs_record *record,
                        const struct fs_uuid *point, const struct fs_uuid *against,
                        fs_reading_fn *done, void *arg)
{
    fs_reading_open(&source_of(base)->reading, record, point, against, done, arg);
}

static const struct fs_source_ops source_ops = {
    .take = source_take,
    .snapshot = source_snapshot,
    .settle = source_settle,
    .store = source_store,
    .release = source_release,
    .objects = source_objects,
    .open = source_open,
    .list = fs_reading_list,
    .read_gap = fs_reading_gap,
    .read = fs_reading_read,
    .close = fs_reading_close,
};

struct fs_source *fs_rbd_source_new(struct fs_site *site, struct fs_pool *blocking,
                                    struct fs_mailbox *mailbox)
{
    struct source *source = calloc(1, sizeof(*source));

    if (!source) {
        return NULL;
    }
    source->helpers = fs_helpers_new(site);
    if (!source->helpers) {
        free(source);
        return NULL;
    }
    source->base.ops = &source_ops;
    source->site = site;
    source->blocking = blocking;
    source->reading = (struct fs_reading_context){.ops = &source_ops,
                                                  .cluster = site->cluster,
                                                  .blocking = blocking,
                                                  .mailbox = mailbox,
                                                  .io_depth = site->options.io_depth,
                                                  .object_io = site->options.object_io};
    return &source->base;
}

void fs_rbd_source_free(struct fs_source *base)
{
    if (!base) {
        return;
    }

    struct source *source = source_of(base);

    fs_helpers_free(source->helpers);
    free(source->swept);
    free(source);
}
