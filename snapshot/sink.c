/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/sink.h"

#include <stdlib.h>

#include "farshore/fault.h"
#include "snapshot/alloc.h"
#include "snapshot/commit.h"
#include "snapshot/incoming.h"
#include "snapshot/site.h"

/* Groups that have a transfer here, from open until its close is done. LOOP. */
struct busy_group {
    struct busy_group *next;
    struct fs_uuid group;
};

struct rbd_sink {
    struct fs_sink sink; /* first */
    struct fs_site *site;
    struct fs_pool *blocking;
    struct fs_mailbox *mailbox;
    struct busy_group *busy;
};

struct open_job {
    struct fs_job job;
    struct fs_letter letter; /* for a refusal without a job */
    struct rbd_sink *sink;
    struct fs_opening opening;
    fs_sink_open_fn *done;
    void *arg;
};

struct current_job {
    struct fs_job job;
    struct rbd_sink *sink;
    struct fs_current *entries; /* owned */
    size_t count;
    struct fs_error err;
    fs_sink_io_fn *done;
    void *arg;
};

static bool is_busy(const struct rbd_sink *sink, const struct fs_uuid *group)
{
    for (const struct busy_group *at = sink->busy; at; at = at->next) {
        if (fs_uuid_equal(&at->group, group)) {
            return true;
        }
    }
    return false;
}

static void set_busy(struct rbd_sink *sink, const struct fs_uuid *group)
{
    struct busy_group *busy = fs_operation_new(sizeof(*busy));

    busy->group = *group;
    busy->next = sink->busy;
    sink->busy = busy;
}

static void set_idle(void *arg, const struct fs_uuid *group)
{
    struct rbd_sink *sink = arg;

    for (struct busy_group **at = &sink->busy; *at; at = &(*at)->next) {
        if (fs_uuid_equal(&(*at)->group, group)) {
            struct busy_group *gone = *at;

            *at = gone->next;
            free(gone);
            return;
        }
    }
}

/* --- open ----------------------------------------------------------------------------------- */

static void report(struct open_job *job, struct fs_incoming *incoming, struct fs_record *record)
{
    struct fs_sink_open_result result = {
        .record = record,
        .incoming = incoming,
        .committed = job->opening.committed,
        .base = job->opening.plan.base,
        .positions = job->opening.positions,
        .objects_wanted = job->opening.objects_wanted,
        .refusal = job->opening.refusal,
        .err = job->opening.err,
    };

    job->done(job->arg, &result);
    free(job->opening.positions);
    free(job);
}

/* WORKER */
static void run_open(struct fs_job *letter)
{
    fs_opening_run(&((struct open_job *)letter)->opening);
}

static void open_finished(struct fs_job *letter)
{
    struct open_job *job = (struct open_job *)letter;
    struct rbd_sink *sink = job->sink;
    struct fs_record *record = job->opening.record;

    if (!job->opening.targets) {
        set_idle(sink, &job->opening.offer->group);
        report(job, NULL, record);
        return;
    }

    /* The caller keeps a copy to look at; the transfer works on its own until close. */
    struct fs_record *copy = fs_record_copy(record);
    struct fs_rbd_incoming *incoming =
        fs_rbd_incoming_new(&job->opening, sink->blocking, sink->mailbox, set_idle, sink);

    report(job, fs_rbd_incoming_handle(incoming), copy);
}

static void busy_cb(struct fs_letter *letter)
{
    struct open_job *job = (struct open_job *)((char *)letter - offsetof(struct open_job, letter));

    report(job, NULL, job->opening.record);
}

static void sink_open(struct fs_sink *base, struct fs_record *record, const struct fs_offer *offer,
                      const struct fs_admission *admission, fs_sink_open_fn *done, void *arg)
{
    struct rbd_sink *sink = (struct rbd_sink *)base;
    struct open_job *job = fs_operation_new(sizeof(*job));

    job->job.run = run_open;
    job->job.done = open_finished;
    job->letter.deliver = busy_cb;
    job->sink = sink;
    job->opening.site = sink->site;
    job->opening.record = record;
    job->opening.offer = offer;
    job->opening.admission = admission;
    job->done = done;
    job->arg = arg;
    if (is_busy(sink, &offer->group)) {
        job->opening.refusal = FS_REFUSE_BUSY;
        fs_error_set(&job->opening.err, FS_ERR_TRANSIENT, EBUSY,
                     "group %s: another transfer of the group is under way at the target; it is "
                     "tried again",
                     offer->name);
        fs_mailbox_post(sink->mailbox, &job->letter);
        return;
    }
    set_busy(sink, &offer->group);
    fs_pool_submit(sink->blocking, &job->job);
}

/* --- recover -------------------------------------------------------------------------------- */

struct recover_job {
    struct fs_job job;
    struct rbd_sink *sink;
    struct fs_record *record;
    struct fs_error err;
    fs_sink_record_fn *done;
    void *arg;
};

/* WORKER */
static void run_recover(struct fs_job *letter)
{
    struct recover_job *job = (struct recover_job *)letter;

    fs_sink_recover(job->sink->site, job->record, &job->err);
}

static void recover_finished(struct fs_job *letter)
{
    struct recover_job *job = (struct recover_job *)letter;

    set_idle(job->sink, &job->record->group);
    job->done(job->arg, job->record, fs_error_is_set(&job->err) ? &job->err : NULL);
    free(job);
}

static void sink_recover(struct fs_sink *base, struct fs_record *record, fs_sink_record_fn *done,
                         void *arg)
{
    struct rbd_sink *sink = (struct rbd_sink *)base;
    struct recover_job *job = fs_operation_new(sizeof(*job));

    job->job.run = run_recover;
    job->job.done = recover_finished;
    job->sink = sink;
    job->record = record;
    job->done = done;
    job->arg = arg;
    set_busy(sink, &record->group);
    fs_pool_submit(sink->blocking, &job->job);
}

/* --- note_current --------------------------------------------------------------------------- */

/* WORKER */
static void run_note_current(struct fs_job *letter)
{
    struct current_job *job = (struct current_job *)letter;

    if (!fs_error_is_set(&job->err)) {
        fs_fault("current.note");
        fs_state_note_current(job->sink->site->state, job->entries, job->count, &job->err);
        fs_fault("current.noted");
    }
}

static void note_current_finished(struct fs_job *letter)
{
    struct current_job *job = (struct current_job *)letter;

    job->done(job->arg, fs_error_is_set(&job->err) ? &job->err : NULL);
    free(job->entries);
    free(job);
}

static void sink_note_current(struct fs_sink *base, const struct fs_current *entries, size_t count,
                              fs_sink_io_fn *done, void *arg)
{
    struct rbd_sink *sink = (struct rbd_sink *)base;
    struct current_job *job = fs_operation_new(sizeof(*job));

    job->job.run = run_note_current;
    job->job.done = note_current_finished;
    job->sink = sink;
    job->entries = calloc(count + 1, sizeof(*entries));
    if (job->entries) {
        memcpy(job->entries, entries, count * sizeof(*entries));
        job->count = count;
    } else {
        fs_error_set(&job->err, FS_ERR_TRANSIENT, ENOMEM, "no memory to note current groups");
    }
    job->done = done;
    job->arg = arg;
    fs_pool_submit(sink->blocking, &job->job);
}

/* --- the table ------------------------------------------------------------------------------ */

const struct fs_sink_ops fs_rbd_sink_ops = {
    .open = sink_open,
    .write = fs_rbd_incoming_write,
    .digest = fs_rbd_incoming_digest,
    .sync = fs_rbd_incoming_sync,
    .objects = fs_rbd_incoming_objects,
    .commit = fs_rbd_incoming_commit,
    .close = fs_rbd_incoming_close,
    .recover = sink_recover,
    .note_current = sink_note_current,
};

struct fs_sink *fs_rbd_sink_new(struct fs_site *site, struct fs_pool *blocking,
                                struct fs_mailbox *mailbox)
{
    struct rbd_sink *sink = fs_operation_new(sizeof(*sink));

    sink->sink.ops = &fs_rbd_sink_ops;
    sink->site = site;
    sink->blocking = blocking;
    sink->mailbox = mailbox;
    return &sink->sink;
}

void fs_rbd_sink_free(struct fs_sink *base)
{
    struct rbd_sink *sink = (struct rbd_sink *)base;

    if (!sink) {
        return;
    }
    while (sink->busy) {
        struct busy_group *gone = sink->busy;

        sink->busy = gone->next;
        free(gone);
    }
    free(sink);
}
