/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/incoming.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "snapshot/alloc.h"
#include "snapshot/applier.h"
#include "snapshot/captured_keep.h"
#include "snapshot/head_digest.h"
#include "snapshot/sink.h"

#define DEFAULT_IO_DEPTH 32

/* A job that works on the record; one at a time. */
struct record_job {
    struct fs_job job;
    struct fs_rbd_incoming *owner;
    struct fs_position *positions; /* owned */
    struct fs_error err;
    fs_sink_io_fn *sync_done;
    fs_sink_record_fn *record_done;
    void *arg;
};

/* A job that digests what an image holds; one at a time, beside the others. */
struct digest_job {
    struct fs_job job;
    struct fs_rbd_incoming *owner;
    struct fs_digest_query query;
    struct fs_digest_list *list; /* the caller's */
    struct fs_error err;
    fs_sink_io_fn *done;
    void *arg;
};

/* A job that stores the point's Kubernetes objects; one at a time, beside the others. */
struct objects_job {
    struct fs_job job;
    struct fs_rbd_incoming *owner;
    struct fs_buf packed;
    struct fs_error err;
    fs_sink_io_fn *done;
    void *arg;
};

struct fs_rbd_incoming {
    struct fs_incoming incoming; /* first: what the caller holds */
    /* set once */
    struct fs_site *site;
    struct fs_pool *blocking;
    struct fs_mailbox *mailbox;
    fs_rbd_incoming_gone_fn *gone;
    void *gone_arg;
    size_t n_targets;
    /* the job's while one runs, the loop's otherwise */
    struct fs_record *record;
    struct fs_target *targets; /* handles are used for I/O at the same time, which librbd allows */
    struct fs_commit_plan plan;
    struct fs_head_digest *heads; /* the digest job's while one runs; NULL: nobody asked yet */
    /* loop only */
    struct fs_applier applier;
    bool job_running;
    bool digesting;
    bool storing_objects;
    struct record_job *closing; /* runs when everything else is done */
};

static struct fs_rbd_incoming *of(struct fs_incoming *incoming)
{
    return (struct fs_rbd_incoming *)incoming;
}

static void close_when_idle(struct fs_rbd_incoming *in);

static void idle_cb(void *arg)
{
    close_when_idle(arg);
}

struct fs_rbd_incoming *fs_rbd_incoming_new(struct fs_opening *opening, struct fs_pool *blocking,
                                            struct fs_mailbox *mailbox,
                                            fs_rbd_incoming_gone_fn *gone, void *arg)
{
    struct fs_rbd_incoming *in = fs_operation_new(sizeof(*in));
    unsigned depth = opening->site->options.io_depth;

    in->incoming.ops = &fs_rbd_sink_ops;
    in->site = opening->site;
    in->blocking = blocking;
    in->mailbox = mailbox;
    in->gone = gone;
    in->gone_arg = arg;
    in->n_targets = opening->offer->n_volumes;
    in->record = opening->record;
    in->targets = opening->targets;
    in->plan = opening->plan;
    fs_applier_init(&in->applier, mailbox, in->record->name, in->targets,
                    depth ? depth : DEFAULT_IO_DEPTH, idle_cb, in);
    opening->record = NULL;
    opening->targets = NULL;
    return in;
}

struct fs_incoming *fs_rbd_incoming_handle(struct fs_rbd_incoming *incoming)
{
    return &incoming->incoming;
}

void fs_rbd_incoming_write(struct fs_incoming *incoming, const struct fs_segment_data *segment,
                           fs_sink_io_fn *done, void *arg)
{
    struct fs_rbd_incoming *in = of(incoming);

    assert(segment->volume < in->n_targets && !in->closing);
    fs_applier_write(&in->applier, segment, done, arg);
}

/* --- digesting ------------------------------------------------------------------------------ */

/* WORKER */
static void run_digest(struct fs_job *letter)
{
    struct digest_job *job = (struct digest_job *)letter;
    struct fs_rbd_incoming *in = job->owner;

    if (!in->heads) {
        in->heads = fs_head_digest_new(in->site->cluster, in->targets, in->n_targets);
    }
    if (in->heads) {
        fs_head_digest_next(in->heads, &job->query, job->list, &job->err);
    } else {
        fs_error_set(&job->err, FS_ERR_TRANSIENT, ENOMEM, "no memory to digest images");
    }
}

static void digest_finished(struct fs_job *letter)
{
    struct digest_job *job = (struct digest_job *)letter;
    struct fs_rbd_incoming *in = job->owner;

    in->digesting = false;
    job->done(job->arg, fs_error_is_set(&job->err) ? &job->err : NULL);
    free(job);
    close_when_idle(in);
}

void fs_rbd_incoming_digest(struct fs_incoming *incoming, const struct fs_digest_query *query,
                            struct fs_digest_list *list, fs_sink_io_fn *done, void *arg)
{
    struct fs_rbd_incoming *in = of(incoming);
    struct digest_job *job = fs_operation_new(sizeof(*job));

    assert(!in->digesting && !in->closing);
    in->digesting = true;
    job->job = (struct fs_job){.run = run_digest, .done = digest_finished};
    job->owner = in;
    job->query = *query;
    job->list = list;
    job->done = done;
    job->arg = arg;
    fs_pool_submit(in->blocking, &job->job);
}

/* --- objects -------------------------------------------------------------------------------- */

/* WORKER */
static void run_objects(struct fs_job *letter)
{
    struct objects_job *job = (struct objects_job *)letter;
    struct fs_rbd_incoming *in = job->owner;
    const struct fs_captured *captured = &in->plan.objects;
    struct fs_buf text;

    if (job->packed.length > 0 &&
        fs_captured_unpack(captured, job->packed.data, job->packed.length, &text, &job->err) == 0) {
        fs_buf_fini(&text);
        fs_captured_keep(in->site->state, &in->record->group, captured, job->packed.data,
                         job->packed.length, &job->err);
    }
}

static void objects_finished(struct fs_job *letter)
{
    struct objects_job *job = (struct objects_job *)letter;
    struct fs_rbd_incoming *in = job->owner;

    in->storing_objects = false;
    if (job->packed.length == 0) {
        in->plan.objects = (struct fs_captured){0};
    }
    job->done(job->arg, fs_error_is_set(&job->err) ? &job->err : NULL);
    fs_buf_fini(&job->packed);
    free(job);
    close_when_idle(in);
}

void fs_rbd_incoming_objects(struct fs_incoming *incoming, struct fs_buf *packed,
                             fs_sink_io_fn *done, void *arg)
{
    struct fs_rbd_incoming *in = of(incoming);
    struct objects_job *job = fs_operation_new(sizeof(*job));

    assert(!in->storing_objects && !in->closing);
    in->storing_objects = true;
    job->job = (struct fs_job){.run = run_objects, .done = objects_finished};
    job->owner = in;
    job->packed = *packed;
    *packed = FS_BUF_INIT;
    job->done = done;
    job->arg = arg;
    fs_pool_submit(in->blocking, &job->job);
}

/* --- what changes the record ---------------------------------------------------------------- */

static struct record_job *new_job(struct fs_rbd_incoming *in, void (*run)(struct fs_job *),
                                  void (*done)(struct fs_job *), void *arg)
{
    struct record_job *job = fs_operation_new(sizeof(*job));

    job->job.run = run;
    job->job.done = done;
    job->owner = in;
    job->arg = arg;
    return job;
}

static void start_job(struct record_job *job)
{
    assert(!job->owner->job_running);
    job->owner->job_running = true;
    fs_pool_submit(job->owner->blocking, &job->job);
}

/* Before done is called, which may start the next one from inside. */
static void leave_record(struct record_job *job)
{
    job->owner->job_running = false;
}

static void end_job(struct record_job *job)
{
    struct fs_rbd_incoming *in = job->owner;

    free(job->positions);
    free(job);
    close_when_idle(in);
}

static bool copy_positions(struct record_job *job, const struct fs_position *positions)
{
    size_t size = job->owner->n_targets * sizeof(*positions);

    job->positions = malloc(size);
    if (!job->positions) {
        fs_error_set(&job->err, FS_ERR_TRANSIENT, ENOMEM, "no memory for positions");
        return false;
    }
    memcpy(job->positions, positions, size);
    return true;
}

static const struct fs_error *error_of(const struct record_job *job)
{
    return fs_error_is_set(&job->err) ? &job->err : NULL;
}

static int flush_targets(struct fs_rbd_incoming *in, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    for (size_t i = 0; i < in->n_targets; i++) {
        int rc = rbd_flush(in->targets[i].image.handle);

        if (rc < 0) {
            return fs_cluster_error(err, rc, "image %s: cannot flush",
                                    fs_image_spec(&in->targets[i].ref, spec));
        }
    }
    return 0;
}

/* WORKER */
static void run_sync(struct fs_job *letter)
{
    struct record_job *job = (struct record_job *)letter;
    struct fs_rbd_incoming *in = job->owner;
    struct fs_record_incoming *stored = &in->record->incoming;

    if (fs_error_is_set(&job->err) || flush_targets(in, &job->err) < 0) {
        return;
    }
    fs_fault("sync.flushed");
    /* The stored transfer has the offer's volumes in the offer's order; none after a commit. */
    for (size_t i = 0; i < stored->n_positions && i < in->n_targets; i++) {
        stored->positions[i].position = job->positions[i];
    }
    if (fs_state_store(in->site->state, in->record, &job->err) < 0) {
        fs_error_context(&job->err, "group %s", in->record->name);
    }
    fs_fault("sync.stored");
}

static void sync_finished(struct fs_job *letter)
{
    struct record_job *job = (struct record_job *)letter;

    leave_record(job);
    job->sync_done(job->arg, error_of(job));
    end_job(job);
}

void fs_rbd_incoming_sync(struct fs_incoming *incoming, const struct fs_position *positions,
                          fs_sink_io_fn *done, void *arg)
{
    struct record_job *job = new_job(of(incoming), run_sync, sync_finished, arg);

    job->sync_done = done;
    copy_positions(job, positions);
    start_job(job);
}

/* WORKER */
static void run_commit(struct fs_job *letter)
{
    struct record_job *job = (struct record_job *)letter;
    struct fs_rbd_incoming *in = job->owner;

    if (fs_error_is_set(&job->err)) {
        return;
    }
    fs_head_digest_free(in->heads); /* nobody asks any more */
    in->heads = NULL;
    for (size_t i = 0; i < in->record->incoming.n_positions && i < in->n_targets; i++) {
        in->record->incoming.positions[i].position = job->positions[i];
    }
    in->plan.finals = job->positions;
    if (fs_commit_point(in->site, in->record, in->targets, in->n_targets, &in->plan, &job->err) <
        0) {
        fs_error_context(&job->err, "group %s", in->record->name);
    }
    in->plan.finals = NULL;
}

static void commit_finished(struct fs_job *letter)
{
    struct record_job *job = (struct record_job *)letter;
    struct fs_record *copy = fs_record_copy(job->owner->record);

    leave_record(job);
    job->record_done(job->arg, copy, error_of(job));
    end_job(job);
}

void fs_rbd_incoming_commit(struct fs_incoming *incoming, const struct fs_position *finals,
                            uint64_t bytes, fs_sink_record_fn *done, void *arg)
{
    struct fs_rbd_incoming *in = of(incoming);
    struct record_job *job = new_job(in, run_commit, commit_finished, arg);

    assert(in->applier.writes == 0);
    job->record_done = done;
    in->plan.bytes = bytes;
    copy_positions(job, finals);
    start_job(job);
}

/* WORKER */
static void run_close(struct fs_job *letter)
{
    struct fs_rbd_incoming *in = ((struct record_job *)letter)->owner;

    fs_head_digest_free(in->heads);
    in->heads = NULL;
    fs_targets_free(in->site, in->targets, in->n_targets);
    in->targets = NULL;
}

static void close_finished(struct fs_job *letter)
{
    struct record_job *job = (struct record_job *)letter;
    struct fs_rbd_incoming *in = job->owner;

    in->gone(in->gone_arg, &in->record->group);
    if (job->record_done) {
        job->record_done(job->arg, in->record, NULL);
    } else {
        fs_record_free(in->record);
    }
    free(in);
    free(job);
}

static void close_when_idle(struct fs_rbd_incoming *in)
{
    if (in->closing && in->applier.writes == 0 && !in->job_running && !in->digesting &&
        !in->storing_objects) {
        start_job(in->closing);
    }
}

void fs_rbd_incoming_close(struct fs_incoming *incoming, fs_sink_record_fn *done, void *arg)
{
    struct fs_rbd_incoming *in = of(incoming);

    assert(!in->closing);
    in->closing = new_job(in, run_close, close_finished, arg);
    in->closing->record_done = done;
    close_when_idle(in);
}
