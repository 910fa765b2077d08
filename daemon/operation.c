/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A failover is forward only from its record on: RAISE stores the term, the role and the point in
 * one write, and from then on every start of the daemon carries it on. Before it nothing has
 * changed. What a step needs and does not get (a lock that somebody holds, a cluster that does not
 * answer) is tried again every second; past the step's limit whoever asked is told what it waits
 * for, and the daemon goes on trying by itself, with growing pauses.
 */
#include "daemon/operation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/operation_log.h"
#include "daemon/peer.h"
#include "daemon/primary.h"
#include "daemon/recovery.h"
#include "daemon/terms.h"
#include "farshore/fault.h"
#include "farshore/log.h"

#define RETRY_NS (1 * FS_SEC)

/* Past it a step says what it waits for; past twice that it is given up. */
static const int64_t limits_ns[] = {
    [FS_STEP_STOP] = 20 * FS_SEC,
    [FS_STEP_RECOVER] = 20 * FS_SEC,
    [FS_STEP_RAISE] = 20 * FS_SEC,
    [FS_STEP_PROMOTE] = 30 * FS_SEC,
};

static const char *const step_texts[] = {
    [FS_STEP_STOP] = "waiting for what is under way to end",
    [FS_STEP_RECOVER] = "finishing a commit",
    [FS_STEP_RAISE] = "raising the term",
    [FS_STEP_PROMOTE] = "promoting the images",
    [FS_STEP_FINISHED] = "done",
};

/* --- may it be, and what would it do --------------------------------------------------------- */

static const struct fs_record_point *wanted_point(const struct fs_record *record,
                                                  const struct fs_uuid *wanted)
{
    if (fs_uuid_is_zero(wanted)) {
        return fs_record_newest_committed(record);
    }
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state == FS_POINT_COMMITTED &&
            fs_uuid_equal(&record->points[i].point.id, wanted)) {
            return &record->points[i];
        }
    }
    return NULL;
}

static const char *refuse_secondary(const struct fs_record *record, const struct fs_uuid *wanted,
                                    const struct fs_record_point **ret_point, char *text,
                                    size_t size)
{
    *ret_point = wanted_point(record, wanted);
    if (*ret_point) {
        return NULL;
    }
    (void)snprintf(text, size,
                   fs_uuid_is_zero(wanted)
                       ? "%s has no recovery point here: there is nothing to promote"
                       : "%s has no recovery point of that id here: see `farshore points`",
                   record->name);
    return text;
}

/*
 * A primary that is cut off may be told to carry on alone: a peer that was promoted meanwhile then
 * meets an equal or higher term. It has done so already where the peer cannot have seen its term.
 */
bool fs_failover_is_done(const struct fs_group *group)
{
    const struct fs_record *record = group->record;

    if (record->role != FS_ROLE_PRIMARY || fs_group_is_split(group) || group->operation) {
        return false;
    }
    return fs_peers_session(group->ctx->peers, record->peer) ||
           (record->term.number > 1 && !fs_term_same(&record->term, &record->peer_term));
}

const char *fs_failover_refusal(const struct fs_group *group, const struct fs_uuid *wanted,
                                const struct fs_record_point **ret_point, char *text, size_t size)
{
    const struct fs_record *record = group->record;

    *ret_point = NULL;
    if (!group->ctx->operators) {
        (void)snprintf(text, size, "this site does not work now: %s", group->ctx->site_reason);
        return text;
    }
    switch (record->role) {
    case FS_ROLE_SECONDARY:
        return refuse_secondary(record, wanted, ret_point, text, size);
    case FS_ROLE_PROMOTING:
        *ret_point = wanted_point(record, &record->promotion.point);
        if (!fs_uuid_is_zero(wanted) && !fs_uuid_equal(wanted, &record->promotion.point)) {
            (void)snprintf(text, size, "%s is being promoted to another point already",
                           record->name);
            return text;
        }
        return NULL;
    case FS_ROLE_PRIMARY:
        if (fs_failover_is_done(group)) {
            (void)snprintf(text, size, "this site is primary for %s already, in term %" PRIu64,
                           record->name, record->term.number);
            return text;
        }
        break;
    case FS_ROLE_SUPERSEDED:
    case FS_ROLE_DEMOTED:
        break;
    default:
        (void)snprintf(text, size, "%s is %s here: its records must be found first", record->name,
                       fs_role_name(record->role));
        return text;
    }
    if (!fs_uuid_is_zero(wanted)) {
        (void)snprintf(text, size,
                       "%s is %s here: it goes on from what its volumes hold, and "
                       "takes no --point",
                       record->name, fs_role_name(record->role));
        return text;
    }
    return NULL;
}

int64_t fs_failover_loss_ns(const struct fs_group *group, const struct fs_record_point *point)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);

    if (!point) {
        return -1;
    }
    int64_t until = point->taken_ns;
    if (point == newest && group->current_until_ns > until) {
        until = group->current_until_ns;
    }
    int64_t loss = fs_context_wall(group->ctx) - until;
    return loss > 0 ? loss : 0;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void enter(struct fs_group *group, enum fs_operation_step step)
{
    struct fs_operation *operation = group->operation;

    operation->step = step;
    operation->step_ns = fs_context_boot(group->ctx);
    operation->retry_ns = 0;
    operation->last = FS_ERROR_INIT;
    group->ctx->kick(group->ctx->hook_arg);
}

static void finish(struct fs_group *group, bool failed, const char *message)
{
    struct fs_operation *operation = group->operation;
    struct fs_operation_result *result = &operation->result;

    result->serial = operation->serial;
    result->failed = failed;
    result->took_ns = fs_context_boot(group->ctx) - operation->began_ns;
    (void)snprintf(result->message, sizeof(result->message), "%s", message);
    fs_operation_log(group, failed ? "failed" : "done", &operation->id, operation->who, message);
    group->finished = *result;
    group->operation = NULL;
    free(operation);
    group->ctx->kick(group->ctx->hook_arg);
}

/* Back from a worker with an error: 1 s later again, until the step has had its time. */
static void step_failed(struct fs_group *group, const struct fs_error *err)
{
    struct fs_operation *operation = group->operation;
    struct fs_context *ctx = group->ctx;
    int64_t now = fs_context_boot(ctx);
    struct fs_verdict verdict;

    if (err->code == ESTALE || err->code == ESHUTDOWN || ctx->groups->stopping) {
        enter(group, FS_STEP_STOP); /* the records are read anew, then it goes on */
        operation->last = *err;
        operation->retry_ns = now + RETRY_NS;
        if (!ctx->groups->stopping) {
            ctx->site_lost(ctx->hook_arg, err);
        }
        return;
    }
    if (err->class == FS_ERR_TRANSIENT &&
        now - operation->step_ns < 2 * limits_ns[operation->step]) {
        operation->last = *err;
        operation->retry_ns = now + RETRY_NS;
        return;
    }
    const char *label = fs_verdict_of_error(err, &verdict);
    fs_group_failed(group, label, &verdict, err);
    finish(group, true, err->message);
}

/* The record that a worker gives back; true where it went well. */
static bool take_back(struct fs_group *group, struct fs_record *record, const struct fs_error *err)
{
    bool failed = err && fs_error_is_set(err);

    group->phase = FS_PHASE_IDLE;
    group->operation->working = false;
    fs_group_set_record(group, record);
    if (failed) {
        step_failed(group, err);
    }
    group->ctx->kick(group->ctx->hook_arg);
    return !failed;
}

static struct fs_record *hand_over(struct fs_group *group)
{
    struct fs_record *record = fs_record_copy(group->record);

    if (record) {
        group->phase = FS_PHASE_OPERATING;
        group->phase_since_ns = fs_context_boot(group->ctx);
        group->operation->working = true;
    }
    return record;
}

static void stop_group(struct fs_group *group)
{
    fs_primary_cancel(group);
    if (group->receiver && !group->cancelled) {
        group->cancelled = true;
        fs_receiver_cancel(group->receiver);
    }
    if (group->phase == FS_PHASE_IDLE) {
        enter(group, FS_STEP_RECOVER);
    }
}

static void recovered(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (take_back(group, record, err)) {
        enter(group, FS_STEP_RAISE);
    }
}

static void recover(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (!fs_recovery_needed(group->record)) {
        enter(group, FS_STEP_RAISE);
        return;
    }
    struct fs_record *record = hand_over(group);
    if (record) {
        ctx->sink->ops->recover(ctx->sink, record, recovered, group);
    }
}

static void succeed(struct fs_group *group)
{
    const struct fs_record *record = group->record;
    struct fs_operation_result *result = &group->operation->result;
    char name[FS_SNAP_NAME_SIZE], text[300];

    fs_group_succeeded(group);
    if (result->has_point) {
        (void)snprintf(text, sizeof(text),
                       "primary in term %" PRIu64 ", at point %s, loss at most "
                       "%.1f s",
                       record->term.number, fs_point_snap_name(&result->point, name),
                       (double)result->loss_ns / (double)FS_SEC);
    } else {
        (void)snprintf(text, sizeof(text),
                       "primary in term %" PRIu64 ", from what the volumes hold",
                       record->term.number);
    }
    fs_log(
        FS_EV_PROMOTED, FS_S("group", record->name), FS_U("term", record->term.number),
        FS_S("point", result->has_point ? name : NULL),
        FS_I("loss_ms", result->has_point ? result->loss_ns / FS_MSEC : 0),
        FS_I("duration_ms", (fs_context_boot(group->ctx) - group->operation->began_ns) / FS_MSEC));
    group->recovery_pending = false;
    fs_terms_send_group(group);
    finish(group, false, text);
}

/* What is lost counts from the moment in which the term is raised: nothing comes after it. */
static void note_point(struct fs_group *group, const struct fs_record_point *point)
{
    struct fs_operation_result *result = &group->operation->result;

    result->has_point = point != NULL;
    if (point) {
        result->point = point->point;
        result->taken_ns = point->taken_ns;
        result->loss_ns = fs_failover_loss_ns(group, point);
    }
}

static void raised(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    char text[80];

    if (err && fs_error_is_set(err)) {
        fs_record_free(record); /* the same is stored again, and is known by that */
        (void)take_back(group, NULL, err);
        return;
    }
    (void)take_back(group, record, NULL);
    fs_fault("promote.raised");
    (void)snprintf(text, sizeof(text), "term %" PRIu64, group->record->term.number);
    fs_operation_log(group, "raised", &group->operation->id, group->operation->who, text);
    fs_terms_send_group(group);
    if (group->record->role == FS_ROLE_PRIMARY) {
        succeed(group);
    } else {
        enter(group, FS_STEP_PROMOTE);
    }
}

static void raise_term(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    struct fs_context *ctx = group->ctx;
    const struct fs_record_point *point;
    struct fs_error err = FS_ERROR_INIT;
    char text[512];

    if (fs_failover_refusal(group, &operation->point, &point, text, sizeof(text))) {
        (void)fs_error_set(&err, FS_ERR_PERMANENT, EPERM, "%s", text);
        step_failed(group, &err);
        return;
    }
    note_point(group, point);
    struct fs_record *record = hand_over(group);
    if (!record) {
        return;
    }
    fs_record_raise_term(record, &ctx->site_uuid);
    if (point) {
        record->role = FS_ROLE_PROMOTING;
        record->promotion = (struct fs_record_promotion){.present = true, .point = point->point.id};
    } else {
        fs_record_become_primary(record);
    }
    fs_fault("promote.raise");
    ctx->source->ops->store(ctx->source, record, raised, group);
}

static void promoted(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (take_back(group, record, err)) {
        succeed(group);
    }
}

static void promote(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_record *record = hand_over(group);

    if (record) {
        ctx->operators->ops->promote(ctx->operators, record, &group->operation->doing, promoted,
                                     group);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static struct fs_operation *start(struct fs_group *group, const char *who)
{
    struct fs_operation *operation = calloc(1, sizeof(*operation));

    if (!operation) {
        return NULL;
    }
    operation->serial = ++group->ctx->groups->serial;
    fs_uuid_random(&operation->id);
    (void)snprintf(operation->who, sizeof(operation->who), "%s", who);
    operation->began_ns = fs_context_boot(group->ctx);
    group->operation = operation;
    group->retry_ns = 0;
    enter(group, FS_STEP_STOP);
    return operation;
}

uint64_t fs_failover_start(struct fs_group *group, const struct fs_uuid *wanted, const char *who)
{
    struct fs_operation *operation = group->operation;

    if (!operation) {
        operation = start(group, who);
        if (!operation) {
            return 0;
        }
        operation->point = *wanted;
        if (group->record->promotion.present) { /* it has begun; nobody was there to carry it on */
            operation->resumed = true;
        }
        fs_operation_log(group, "begun", &operation->id, who, "failover");
    }
    return operation->serial;
}

const struct fs_operation_result *fs_operation_result(const struct fs_group *group, uint64_t serial)
{
    bool running = group->operation && group->operation->serial == serial;

    return !running && group->finished.serial >= serial ? &group->finished : NULL;
}

void fs_operation_text(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_operation *operation = group->operation;

    if (!operation) {
        (void)snprintf(text, size, "%s", step_texts[FS_STEP_FINISHED]);
        return;
    }
    struct fs_doing *doing = (struct fs_doing *)&operation->doing;
    const char *what = operation->step == FS_STEP_PROMOTE ? atomic_load(&doing->what) : NULL;
    unsigned of = what ? atomic_load(&doing->of) : 0;
    int64_t took = fs_context_boot(group->ctx) - operation->step_ns;
    int n = snprintf(text, size, "%s", what ? what : step_texts[operation->step]);

    if (of > 1 && n > 0 && (size_t)n < size) {
        n += snprintf(text + n, size - (size_t)n, " (%u of %u)", atomic_load(&doing->at) + 1, of);
    }
    if (n > 0 && (size_t)n < size &&
        (took > limits_ns[operation->step] || fs_error_is_set(&operation->last))) {
        (void)snprintf(
            text + n, size - (size_t)n, " for %.0f s%s%.300s", (double)took / (double)FS_SEC,
            fs_error_is_set(&operation->last) ? ", waits: " : "", operation->last.message);
    }
}

/* A promotion that a record knows of, and nobody carries on. */
static void resume(struct fs_group *group, int64_t now)
{
    if (!group->record->promotion.present || group->operation || group->phase != FS_PHASE_IDLE ||
        now < group->retry_ns) {
        return;
    }
    struct fs_operation *operation = start(group, "");
    if (operation) {
        operation->resumed = true;
        fs_operation_log(group, "resumed", &operation->id, "", "failover");
    }
}

static void run(struct fs_group *group, int64_t now)
{
    struct fs_operation *operation = group->operation;

    if (operation->working || now < operation->retry_ns) {
        return;
    }
    if (operation->step == FS_STEP_STOP) {
        stop_group(group);
        operation = group->operation;
    }
    if (operation->step == FS_STEP_RECOVER && group->record->promotion.present) {
        note_point(group, wanted_point(group->record, &group->record->promotion.point));
        enter(group, FS_STEP_PROMOTE);
    }
    if (operation->step == FS_STEP_RECOVER) {
        recover(group);
    }
    if (operation->step == FS_STEP_RAISE && !operation->working) {
        raise_term(group);
    } else if (operation->step == FS_STEP_PROMOTE && !operation->working) {
        promote(group);
    }
}

void fs_operations_run(struct fs_groups *groups)
{
    struct fs_context *ctx = groups->ctx;
    int64_t now = fs_context_boot(ctx);
    bool works = ctx->operators && !groups->stopping;

    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        if (works) {
            resume(group, now);
        }
        if (group->operation && works) {
            run(group, now);
        } else if (group->operation && !group->operation->working &&
                   now - group->operation->step_ns > 2 * limits_ns[FS_STEP_STOP]) {
            finish(group, true, ctx->site_reason);
        }
    }
}

void fs_operations_stop(struct fs_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        if (group->operation && !group->operation->working) {
            enter(group, FS_STEP_STOP);
        }
    }
}
