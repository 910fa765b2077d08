/* SPDX-License-Identifier: Apache-2.0 */
/* struct fs_operator over Ceph: the table, and the jobs that carry its operations to a worker. */
#include "farshore/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/alloc.h"
#include "snapshot/drill.h"
#include "snapshot/fence.h"
#include "snapshot/fence_record.h"
#include "snapshot/follow.h"
#include "snapshot/forget.h"
#include "snapshot/history.h"
#include "snapshot/left.h"
#include "snapshot/promote.h"
#include "snapshot/site.h"

struct rbd_operator {
    struct fs_operator base;
    struct fs_site *site;
    struct fs_pool *blocking;
};

static struct rbd_operator *operator_of(struct fs_operator *base)
{
    return (struct rbd_operator *)base; /* base is its first member */
}

/* --- roles ----------------------------------------------------------------------------------- */

struct role_job {
    struct fs_job job;
    struct fs_site *site;
    struct fs_record *record; /* of unused: its own copy */
    struct fs_doing *doing;
    struct fs_follow_request request;
    size_t kept;
    struct fs_error err;
    fs_sink_record_fn *done; /* of promote and demote */
    fs_follow_fn *followed;
    fs_sink_io_fn *looked; /* of unused */
    void *arg;
};

static void promote_run(struct fs_job *letter)
{
    struct role_job *job = (struct role_job *)letter;

    (void)fs_promote_run(job->site, job->record, job->doing, &job->err);
}

static void demote_run(struct fs_job *letter)
{
    struct role_job *job = (struct role_job *)letter;

    (void)fs_demote_run(job->site, job->record, job->doing, &job->err);
}

static void follow_run(struct fs_job *letter)
{
    struct role_job *job = (struct role_job *)letter;

    (void)fs_follow_run(job->site, job->record, &job->request, job->doing, &job->kept, &job->err);
}

static void forget_run(struct fs_job *letter)
{
    struct role_job *job = (struct role_job *)letter;

    (void)fs_forget_run(job->site, job->record, job->doing, &job->err);
}

static void unused_run(struct fs_job *letter)
{
    struct role_job *job = (struct role_job *)letter;

    if (job->record) {
        (void)fs_unused_run(job->site, job->record, job->doing, &job->err);
    } else {
        (void)fs_error_set(&job->err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a record");
    }
}

static void role_done(struct fs_job *letter)
{
    struct role_job *job = (struct role_job *)letter;
    const struct fs_error *err = fs_error_is_set(&job->err) ? &job->err : NULL;

    if (job->followed) {
        job->followed(job->arg, job->record, job->kept, err);
    } else if (job->looked) {
        job->looked(job->arg, err);
        fs_record_free(job->record);
    } else {
        job->done(job->arg, job->record, err);
    }
    free(job);
}

/* done, followed or looked are for the caller to set before it submits. */
static struct role_job *role_job_new(struct fs_operator *base, void (*run)(struct fs_job *job),
                                     struct fs_record *record, struct fs_doing *doing, void *arg)
{
    struct role_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = run, .done = role_done};
    job->site = operator_of(base)->site;
    job->record = record;
    job->doing = doing;
    job->arg = arg;
    return job;
}

static void operator_promote(struct fs_operator *base, struct fs_record *record,
                             struct fs_doing *doing, fs_sink_record_fn *done, void *arg)
{
    struct role_job *job = role_job_new(base, promote_run, record, doing, arg);

    job->done = done;
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

static void operator_demote(struct fs_operator *base, struct fs_record *record,
                            struct fs_doing *doing, fs_sink_record_fn *done, void *arg)
{
    struct role_job *job = role_job_new(base, demote_run, record, doing, arg);

    job->done = done;
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

static void operator_forget(struct fs_operator *base, struct fs_record *record,
                            struct fs_doing *doing, fs_sink_record_fn *done, void *arg)
{
    struct role_job *job = role_job_new(base, forget_run, record, doing, arg);

    job->done = done;
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

static void operator_follow(struct fs_operator *base, struct fs_record *record,
                            const struct fs_follow_request *request, struct fs_doing *doing,
                            fs_follow_fn *done, void *arg)
{
    struct role_job *job = role_job_new(base, follow_run, record, doing, arg);

    job->request = *request;
    job->followed = done;
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

static void operator_unused(struct fs_operator *base, const struct fs_record *record,
                            struct fs_doing *doing, fs_sink_io_fn *done, void *arg)
{
    struct role_job *job = role_job_new(base, unused_run, fs_record_copy(record), doing, arg);

    job->looked = done;
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

/* --- the log --------------------------------------------------------------------------------- */

struct log_job {
    struct fs_job job;
    struct fs_site *site;
    struct fs_uuid group;
    int64_t wall_ns;
    char text[FS_HISTORY_TEXT_MAX + 1];
    struct fs_error err;
    fs_sink_io_fn *done;
    void *arg;
};

static void log_run(struct fs_job *letter)
{
    struct log_job *job = (struct log_job *)letter;

    (void)fs_history_append(job->site->state, &job->group, job->wall_ns, job->text, &job->err);
}

static void log_done(struct fs_job *letter)
{
    struct log_job *job = (struct log_job *)letter;

    job->done(job->arg, fs_error_is_set(&job->err) ? &job->err : NULL);
    free(job);
}

static void operator_log(struct fs_operator *base, const struct fs_uuid *group, const char *text,
                         fs_sink_io_fn *done, void *arg)
{
    struct rbd_operator *own = operator_of(base);
    struct log_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = log_run, .done = log_done};
    job->site = own->site;
    job->group = *group;
    job->wall_ns = fs_clock_wall(own->site->options.clock);
    strncpy(job->text, text, FS_HISTORY_TEXT_MAX);
    job->done = done;
    job->arg = arg;
    fs_pool_submit(own->blocking, &job->job);
}

struct history_job {
    struct fs_job job;
    struct fs_site *site;
    struct fs_uuid group;
    struct fs_history_entry *entries;
    size_t count;
    struct fs_error err;
    fs_history_fn *done;
    void *arg;
};

static void history_run(struct fs_job *letter)
{
    struct history_job *job = (struct history_job *)letter;

    (void)fs_history_load(job->site->state, &job->group, &job->entries, &job->count, &job->err);
}

static void history_done(struct fs_job *letter)
{
    struct history_job *job = (struct history_job *)letter;

    job->done(job->arg, job->entries, job->count, fs_error_is_set(&job->err) ? &job->err : NULL);
    fs_history_free(job->entries, job->count);
    free(job);
}

static void operator_history(struct fs_operator *base, const struct fs_uuid *group,
                             fs_history_fn *done, void *arg)
{
    struct rbd_operator *own = operator_of(base);
    struct history_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = history_run, .done = history_done};
    job->site = own->site;
    job->group = *group;
    job->done = done;
    job->arg = arg;
    fs_pool_submit(own->blocking, &job->job);
}

/* --- what was kept aside ----------------------------------------------------------------------
 */

struct left_job {
    struct fs_job job;
    struct fs_site *site;
    struct fs_record *record; /* of left: its own copy */
    char name[FS_SNAP_NAME_SIZE];
    struct fs_left *list;
    size_t count;
    struct fs_error err;
    fs_left_fn *listed;
    fs_sink_record_fn *discarded;
    void *arg;
};

static void left_run(struct fs_job *letter)
{
    struct left_job *job = (struct left_job *)letter;

    if (!job->record) {
        (void)fs_error_set(&job->err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a record");
    } else if (job->listed) {
        (void)fs_left_list(job->site, job->record, &job->list, &job->count, &job->err);
    } else {
        (void)fs_left_discard(job->site, job->record, job->name, &job->err);
    }
}

static void left_done(struct fs_job *letter)
{
    struct left_job *job = (struct left_job *)letter;
    const struct fs_error *err = fs_error_is_set(&job->err) ? &job->err : NULL;

    if (job->listed) {
        job->listed(job->arg, job->list, err ? 0 : job->count, err);
        fs_record_free(job->record);
    } else {
        job->discarded(job->arg, job->record, err);
    }
    free(job->list);
    free(job);
}

static struct left_job *left_job_new(struct fs_operator *base, struct fs_record *record, void *arg)
{
    struct left_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = left_run, .done = left_done};
    job->site = operator_of(base)->site;
    job->record = record;
    job->arg = arg;
    return job;
}

static void operator_left(struct fs_operator *base, const struct fs_record *record,
                          fs_left_fn *done, void *arg)
{
    struct left_job *job = left_job_new(base, fs_record_copy(record), arg);

    job->listed = done;
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

static void operator_discard(struct fs_operator *base, struct fs_record *record, const char *name,
                             fs_sink_record_fn *done, void *arg)
{
    struct left_job *job = left_job_new(base, record, arg);

    job->discarded = done;
    (void)snprintf(job->name, sizeof(job->name), "%s", name);
    fs_pool_submit(operator_of(base)->blocking, &job->job);
}

/* --- drills ---------------------------------------------------------------------------------- */

struct drill_job {
    struct fs_job job;
    struct fs_site *site;
    struct fs_record *record;
    struct fs_drill drill;
    struct fs_error err;
    fs_drill_fn *done;
    void *arg;
};

static void drill_run(struct fs_job *letter)
{
    struct drill_job *job = (struct drill_job *)letter;

    if (job->record) {
        (void)fs_drill_make(job->site, job->record, &job->drill, &job->err);
    } else {
        (void)fs_error_set(&job->err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a drill");
    }
}

static void end_drill_run(struct fs_job *letter)
{
    struct drill_job *job = (struct drill_job *)letter;

    (void)fs_drill_end(job->site, &job->drill, &job->err);
}

static void note_drill_run(struct fs_job *letter)
{
    struct drill_job *job = (struct drill_job *)letter;

    (void)fs_drill_note(job->site, &job->drill, &job->err);
}

static void drill_done(struct fs_job *letter)
{
    struct drill_job *job = (struct drill_job *)letter;

    job->done(job->arg, &job->drill, fs_error_is_set(&job->err) ? &job->err : NULL);
    fs_record_free(job->record);
    free(job);
}

static void submit_drill(struct fs_operator *base, void (*run)(struct fs_job *job),
                         const struct fs_record *record, const struct fs_drill *drill,
                         fs_drill_fn *done, void *arg)
{
    struct rbd_operator *own = operator_of(base);
    struct drill_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = run, .done = drill_done};
    job->site = own->site;
    job->record = record ? fs_record_copy(record) : NULL;
    job->drill = *drill;
    job->done = done;
    job->arg = arg;
    fs_pool_submit(own->blocking, &job->job);
}

static void operator_drill(struct fs_operator *base, const struct fs_record *record,
                           const struct fs_drill *drill, fs_drill_fn *done, void *arg)
{
    submit_drill(base, drill_run, record, drill, done, arg);
}

static void operator_end_drill(struct fs_operator *base, const struct fs_drill *drill,
                               fs_drill_fn *done, void *arg)
{
    submit_drill(base, end_drill_run, NULL, drill, done, arg);
}

static void operator_note_drill(struct fs_operator *base, const struct fs_drill *drill,
                                fs_drill_fn *done, void *arg)
{
    submit_drill(base, note_drill_run, NULL, drill, done, arg);
}

struct drills_job {
    struct fs_job job;
    struct fs_site *site;
    struct fs_drill *drills;
    size_t count;
    struct fs_error err;
    fs_drills_fn *done;
    void *arg;
};

static void drills_run(struct fs_job *letter)
{
    struct drills_job *job = (struct drills_job *)letter;

    (void)fs_drill_load(job->site, &job->drills, &job->count, &job->err);
}

static void drills_done(struct fs_job *letter)
{
    struct drills_job *job = (struct drills_job *)letter;

    job->done(job->arg, job->drills, job->count, fs_error_is_set(&job->err) ? &job->err : NULL);
    free(job->drills);
    free(job);
}

static void operator_drills(struct fs_operator *base, fs_drills_fn *done, void *arg)
{
    struct rbd_operator *own = operator_of(base);
    struct drills_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = drills_run, .done = drills_done};
    job->site = own->site;
    job->done = done;
    job->arg = arg;
    fs_pool_submit(own->blocking, &job->job);
}

/* --- fencing --------------------------------------------------------------------------------- */

enum fence_work { FENCE_LOOK, FENCE_RUN, FENCE_LIFT, FENCE_LOAD };

struct fence_job {
    struct fs_job job;
    struct fs_site *site;
    enum fence_work work;
    struct fs_fence_order order;
    struct fs_doing *doing;
    struct fs_fence_list list;
    struct fs_error err;
    fs_fences_fn *done;
    void *arg;
};

static void fence_run(struct fs_job *letter)
{
    struct fence_job *job = (struct fence_job *)letter;

    switch (job->work) {
    case FENCE_LOOK:
        (void)fs_fence_look(job->site, &job->order, &job->list, &job->err);
        break;
    case FENCE_RUN:
        (void)fs_fence_run(job->site, &job->order, job->doing, &job->list, &job->err);
        break;
    case FENCE_LIFT:
        (void)fs_fence_lift(job->site, &job->order, &job->list, &job->err);
        break;
    case FENCE_LOAD:
        (void)fs_fence_load(job->site->state, &job->list.fences, &job->list.count, &job->err);
        break;
    }
}

static void fence_done(struct fs_job *letter)
{
    struct fence_job *job = (struct fence_job *)letter;

    job->done(job->arg, job->list.fences, job->list.count, job->list.all_seen,
              fs_error_is_set(&job->err) ? &job->err : NULL);
    free(job->list.fences);
    free(job);
}

static void submit_fence(struct fs_operator *base, enum fence_work work,
                         const struct fs_fence_order *order, struct fs_doing *doing,
                         fs_fences_fn *done, void *arg)
{
    struct rbd_operator *own = operator_of(base);
    struct fence_job *job = fs_operation_new(sizeof(*job));

    job->job = (struct fs_job){.run = fence_run, .done = fence_done};
    job->site = own->site;
    job->work = work;
    if (order) {
        job->order = *order;
    }
    job->doing = doing;
    job->done = done;
    job->arg = arg;
    fs_pool_submit(own->blocking, &job->job);
}

static void operator_fence_look(struct fs_operator *base, const struct fs_fence_order *order,
                                fs_fences_fn *done, void *arg)
{
    submit_fence(base, FENCE_LOOK, order, NULL, done, arg);
}

static void operator_fence(struct fs_operator *base, const struct fs_fence_order *order,
                           struct fs_doing *doing, fs_fences_fn *done, void *arg)
{
    submit_fence(base, FENCE_RUN, order, doing, done, arg);
}

static void operator_unfence(struct fs_operator *base, const struct fs_fence_order *order,
                             fs_fences_fn *done, void *arg)
{
    submit_fence(base, FENCE_LIFT, order, NULL, done, arg);
}

static void operator_fences(struct fs_operator *base, fs_fences_fn *done, void *arg)
{
    submit_fence(base, FENCE_LOAD, NULL, NULL, done, arg);
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct fs_operator_ops operator_ops = {
    .promote = operator_promote,
    .follow = operator_follow,
    .demote = operator_demote,
    .unused = operator_unused,
    .left = operator_left,
    .discard = operator_discard,
    .forget = operator_forget,
    .log = operator_log,
    .history = operator_history,
    .drill = operator_drill,
    .end_drill = operator_end_drill,
    .note_drill = operator_note_drill,
    .drills = operator_drills,
    .fence_look = operator_fence_look,
    .fence = operator_fence,
    .unfence = operator_unfence,
    .fences = operator_fences,
};

struct fs_operator *fs_rbd_operator_new(struct fs_site *site, struct fs_pool *blocking)
{
    struct rbd_operator *own = fs_operation_new(sizeof(*own));

    own->base.ops = &operator_ops;
    own->site = site;
    own->blocking = blocking;
    return &own->base;
}

void fs_rbd_operator_free(struct fs_operator *base)
{
    free(base);
}
