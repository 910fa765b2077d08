/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/incoming.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "snapshot/alloc.h"
#include "snapshot/sink.h"

#define DEFAULT_IO_DEPTH 32

/* One write of the caller's: a segment, cut into image I/Os. LOOP. */
struct segment_write {
    struct fs_letter letter; /* to complete one without I/O */
    struct fs_rbd_incoming *owner;
    struct segment_write *next;
    struct fs_segment_data segment; /* its arrays are the caller's until done */
    size_t next_extent;             /* the first that is not submitted yet */
    size_t next_payload;            /* where its content starts */
    unsigned in_flight;
    struct fs_error err; /* the first one */
    fs_sink_io_fn *done;
    void *arg;
};

/* One image I/O: the loop's until it is submitted, then Ceph's, then the loop's again. */
struct io {
    struct fs_letter letter;
    struct fs_mailbox *mailbox;
    struct segment_write *write;
    uint64_t offset, length;
    enum fs_extent_kind kind;
    int result;
};

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

struct fs_rbd_incoming {
    struct fs_incoming incoming; /* first: what the caller holds */
    /* set once */
    struct fs_site *site;
    struct fs_pool *blocking;
    struct fs_mailbox *mailbox;
    fs_rbd_incoming_gone_fn *gone;
    void *gone_arg;
    size_t n_targets;
    unsigned io_depth;
    /* the job's while one runs, the loop's otherwise */
    struct fs_record *record;
    struct fs_target *targets; /* handles are used for I/O at the same time, which librbd allows */
    struct fs_commit_plan plan;
    /* loop only */
    struct segment_write *queue, **queue_tail;
    unsigned in_flight; /* image I/Os */
    size_t writes;      /* segments not done yet */
    bool job_running;
    struct record_job *closing; /* runs when everything else is done */
};

static struct fs_rbd_incoming *of(struct fs_incoming *incoming)
{
    return (struct fs_rbd_incoming *)incoming;
}

struct fs_rbd_incoming *fs_rbd_incoming_new(struct fs_opening *opening, struct fs_pool *blocking,
                                            struct fs_mailbox *mailbox,
                                            fs_rbd_incoming_gone_fn *gone, void *arg)
{
    struct fs_rbd_incoming *in = fs_operation_new(sizeof(*in));

    in->incoming.ops = &fs_rbd_sink_ops;
    in->site = opening->site;
    in->blocking = blocking;
    in->mailbox = mailbox;
    in->gone = gone;
    in->gone_arg = arg;
    in->n_targets = opening->offer->n_volumes;
    in->io_depth = opening->site->options.io_depth;
    if (in->io_depth == 0) {
        in->io_depth = DEFAULT_IO_DEPTH;
    }
    in->record = opening->record;
    in->targets = opening->targets;
    in->plan = opening->plan;
    in->queue_tail = &in->queue;
    opening->record = NULL;
    opening->targets = NULL;
    return in;
}

struct fs_incoming *fs_rbd_incoming_handle(struct fs_rbd_incoming *incoming)
{
    return &incoming->incoming;
}

/* --- writing -------------------------------------------------------------------------------- */

static void pump(struct fs_rbd_incoming *in);
static void close_when_idle(struct fs_rbd_incoming *in);

static bool is_submitted(const struct segment_write *write)
{
    return write->next_extent == write->segment.n_extents || fs_error_is_set(&write->err);
}

static void finish_write(struct segment_write *write)
{
    struct fs_rbd_incoming *in = write->owner;

    in->writes--;
    write->done(write->arg, fs_error_is_set(&write->err) ? &write->err : NULL);
    free(write);
    close_when_idle(in);
}

static void empty_write_cb(struct fs_letter *letter)
{
    finish_write((struct segment_write *)letter);
}

static void io_delivered_cb(struct fs_letter *letter)
{
    struct io *io = (struct io *)letter;
    struct segment_write *write = io->write;
    struct fs_rbd_incoming *in = write->owner;
    const struct fs_target *target = &in->targets[write->segment.volume];
    char spec[FS_IMAGE_SPEC_SIZE];

    in->in_flight--;
    write->in_flight--;
    if (io->result < 0) {
        fs_cluster_error(&write->err, io->result,
                         "group %s, image %s: cannot write %" PRIu64 " bytes at %" PRIu64,
                         in->record->name, fs_image_spec(&target->ref, spec), io->length,
                         io->offset);
    }
    free(io);
    pump(in); /* takes a failed write off the queue */
    if (write->in_flight == 0 && is_submitted(write)) {
        finish_write(write);
    }
}

/* CEPH_CB */
static void io_complete_cb(rbd_completion_t completion, void *arg)
{
    struct io *io = arg;

    io->result = (int)rbd_aio_get_return_value(completion);
    rbd_aio_release(completion);
    fs_mailbox_post(io->mailbox, &io->letter);
}

/* The next run of touching extents of one kind: their contents touch, too. */
static struct io *next_io(struct segment_write *write, const uint8_t **ret_payload)
{
    const struct fs_extent *extents = write->segment.extents;
    struct io *io = fs_operation_new(sizeof(*io));
    size_t i = write->next_extent;

    io->letter.deliver = io_delivered_cb;
    io->mailbox = write->owner->mailbox;
    io->write = write;
    io->offset = extents[i].offset;
    io->kind = extents[i].kind;
    do {
        io->length += extents[i].length;
        i++;
    } while (i < write->segment.n_extents && extents[i].kind == io->kind &&
             extents[i].offset == io->offset + io->length);
    *ret_payload = write->segment.payload + write->next_payload;
    if (io->kind == FS_EXTENT_DATA) {
        write->next_payload += io->length;
    }
    write->next_extent = i;
    return io;
}

static void submit(struct segment_write *write)
{
    struct fs_rbd_incoming *in = write->owner;
    rbd_image_t image = in->targets[write->segment.volume].image.handle;
    rbd_completion_t completion;
    const uint8_t *payload;
    struct io *io = next_io(write, &payload);
    int rc;

    in->in_flight++;
    write->in_flight++;
    rc = rbd_aio_create_completion(io, io_complete_cb, &completion);
    if (rc == 0) {
        rc = io->kind == FS_EXTENT_DATA
                 ? rbd_aio_write(image, io->offset, io->length, (const char *)payload, completion)
                 : rbd_aio_write_zeroes(image, io->offset, io->length, completion, 0, 0);
        if (rc < 0) { /* the completion will not run */
            rbd_aio_release(completion);
        }
    }
    if (rc < 0) {
        io->result = rc;
        fs_mailbox_post(in->mailbox, &io->letter);
    }
}

/* Keep io_depth image I/Os in flight. */
static void pump(struct fs_rbd_incoming *in)
{
    while (in->queue) {
        struct segment_write *write = in->queue;

        while (!is_submitted(write) && in->in_flight < in->io_depth) {
            submit(write);
        }
        if (!is_submitted(write)) {
            return;
        }
        in->queue = write->next;
        if (!in->queue) {
            in->queue_tail = &in->queue;
        }
        if (write->in_flight == 0) { /* nothing to wait for; done is never called from here */
            fs_mailbox_post(in->mailbox, &write->letter);
            write->in_flight = 1;
        }
    }
}

void fs_rbd_incoming_write(struct fs_incoming *incoming, const struct fs_segment_data *segment,
                           fs_sink_io_fn *done, void *arg)
{
    struct fs_rbd_incoming *in = of(incoming);
    struct segment_write *write = fs_operation_new(sizeof(*write));

    assert(segment->volume < in->n_targets && !in->closing);
    write->letter.deliver = empty_write_cb;
    write->owner = in;
    write->segment = *segment;
    write->done = done;
    write->arg = arg;
    in->writes++;
    *in->queue_tail = write;
    in->queue_tail = &write->next;
    pump(in);
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

    assert(in->writes == 0);
    job->record_done = done;
    in->plan.bytes = bytes;
    copy_positions(job, finals);
    start_job(job);
}

/* WORKER */
static void run_close(struct fs_job *letter)
{
    struct fs_rbd_incoming *in = ((struct record_job *)letter)->owner;

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
    if (in->closing && in->writes == 0 && !in->job_running) {
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
