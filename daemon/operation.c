/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step needs and does not get (a lock that somebody holds, a cluster that does not answer)
 * is tried again every second; past the step's limit whoever asked is told what it waits for, and
 * past twice that the operation has failed. What its record says is still to be done is then tried
 * again by the daemon itself, with growing pauses.
 */
#include "daemon/operation.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/failover.h"
#include "daemon/follow.h"
#include "daemon/operation_hooks.h"
#include "daemon/operation_log.h"
#include "daemon/primary.h"
#include "daemon/relocate.h"
#include "daemon/workload.h"
#include "farshore/log.h"

#define RETRY_NS (1 * FS_SEC)

static const struct fs_operation_step *step_of(const struct fs_operation *operation)
{
    return &operation->kind->steps[operation->step];
}

void fs_operation_enter(struct fs_group *group, unsigned step)
{
    struct fs_operation *operation = group->operation;

    operation->step = step;
    operation->step_ns = fs_context_boot(group->ctx);
    operation->retry_ns = 0;
    operation->last = FS_ERROR_INIT;
    group->ctx->kick(group->ctx->hook_arg);
}

void fs_operation_note_result(struct fs_group *group, bool failed, const char *message)
{
    struct fs_operation *operation = group->operation;
    struct fs_operation_result *result = &operation->result;

    result->serial = operation->serial;
    result->failed = failed;
    result->took_ns = fs_context_boot(group->ctx) - operation->began_ns;
    (void)snprintf(result->message, sizeof(result->message), "%s", message);
    fs_operation_log(group, failed ? "failed" : "done", &operation->id, operation->who, message);
}

void fs_operation_end(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    json_decref(group->finished.workload.objects);
    operation->result.kind = operation->kind->name;
    group->finished = operation->result;
    group->operation = NULL;
    free(operation);
    group->ctx->kick(group->ctx->hook_arg);
}

void fs_operation_finish(struct fs_group *group, bool failed, const char *message)
{
    fs_operation_note_result(group, failed, message);
    fs_operation_end(group);
}

static void end_for_good(struct fs_group *group, const char *message)
{
    if (group->operation->kind->give_up) {
        group->operation->kind->give_up(group, message);
    } else {
        fs_operation_finish(group, true, message);
    }
}

void fs_operation_failed(struct fs_group *group, const struct fs_error *err)
{
    struct fs_operation *operation = group->operation;
    struct fs_context *ctx = group->ctx;
    int64_t now = fs_context_boot(ctx);
    struct fs_verdict verdict;

    if (err->code == ESTALE || err->code == ESHUTDOWN || ctx->groups->stopping) {
        fs_operation_enter(group, 0); /* the records are read anew, then it goes on */
        operation->last = *err;
        operation->retry_ns = now + RETRY_NS;
        if (!ctx->groups->stopping) {
            ctx->site_lost(ctx->hook_arg, err);
        }
        return;
    }
    if (err->class == FS_ERR_TRANSIENT &&
        now - operation->step_ns < 2 * step_of(operation)->limit_ns) {
        operation->last = *err;
        operation->retry_ns = now + RETRY_NS;
        return;
    }
    const char *label = fs_verdict_of_error(err, &verdict);
    fs_group_failed(group, label, &verdict, err);
    end_for_good(group, err->message);
}

bool fs_operation_take_back(struct fs_group *group, struct fs_record *record,
                            const struct fs_error *err)
{
    bool failed = err && fs_error_is_set(err);

    group->phase = FS_PHASE_IDLE;
    group->operation->working = false;
    fs_group_set_record(group, record);
    if (failed) {
        fs_operation_failed(group, err);
    }
    group->ctx->kick(group->ctx->hook_arg);
    return !failed;
}

struct fs_record *fs_operation_hand_over(struct fs_group *group)
{
    struct fs_record *record = fs_record_copy(group->record);

    if (record) {
        group->phase = FS_PHASE_OPERATING;
        group->phase_since_ns = fs_context_boot(group->ctx);
        group->operation->working = true;
    }
    return record;
}

void fs_operation_run_stop(struct fs_group *group)
{
    fs_primary_cancel(group);
    if (group->receiver && !group->cancelled) {
        group->cancelled = true;
        fs_receiver_cancel(group->receiver);
    }
    if (group->phase == FS_PHASE_IDLE) {
        fs_operation_enter(group, 1);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct fs_operation *fs_operation_start(struct fs_group *group,
                                        const struct fs_operation_kind *kind, const char *who)
{
    struct fs_operation *operation = calloc(1, sizeof(*operation));

    if (!operation) {
        return NULL;
    }
    operation->kind = kind;
    operation->serial = ++group->ctx->groups->serial;
    fs_uuid_random(&operation->id);
    (void)snprintf(operation->who, sizeof(operation->who), "%s", who);
    operation->began_ns = fs_context_boot(group->ctx);
    group->operation = operation;
    group->retry_ns = 0;
    fs_operation_enter(group, 0);
    fs_operation_log(group, *who ? "begun" : "resumed", &operation->id, who, kind->name);
    return operation;
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
        (void)snprintf(text, size, "done");
        return;
    }
    if (operation->hook) {
        (void)snprintf(text, size, "running %s", operation->hook);
        return;
    }
    if (fs_workload_text(group)) {
        (void)snprintf(text, size, "%s", fs_workload_text(group));
        return;
    }
    const struct fs_operation_step *step = step_of(operation);
    struct fs_doing *doing = (struct fs_doing *)&operation->doing;
    const char *what = (step->flags & FS_STEP_SHOWS_DOING) ? atomic_load(&doing->what) : NULL;
    unsigned of = what ? atomic_load(&doing->of) : 0;
    int64_t took = fs_context_boot(group->ctx) - operation->step_ns;
    int n = snprintf(text, size, "%s", what ? what : step->text);

    if (of > 1 && n > 0 && (size_t)n < size) {
        n += snprintf(text + n, size - (size_t)n, " (%u of %u)", atomic_load(&doing->at) + 1, of);
    }
    if (n > 0 && (size_t)n < size && (took > step->limit_ns || fs_error_is_set(&operation->last))) {
        (void)snprintf(
            text + n, size - (size_t)n, " for %.0f s%s%.300s", (double)took / (double)FS_SEC,
            fs_error_is_set(&operation->last) ? ", waits: " : "", operation->last.message);
    }
}

/* What a record knows of, and nobody carries on. */
static void resume(struct fs_group *group, int64_t now)
{
    if (!group->operation && group->phase == FS_PHASE_IDLE && now >= group->retry_ns) {
        enum fs_role role = group->record->role;
        if (group->record->promotion.present &&
            (role == FS_ROLE_PROMOTING || role == FS_ROLE_PRIMARY)) {
            fs_failover_resume(group);
        } else if (group->record->following.present) {
            fs_follow_resume(group);
        } else if (role == FS_ROLE_DEMOTED) {
            fs_relocate_resume(group);
        } else if (now >= group->bring_up_ns && fs_bring_up_needed(group)) {
            (void)fs_bring_up_start(group, "");
        }
    }
}

/* Steps that need no worker follow each other at once. */
static void run(struct fs_group *group, int64_t now)
{
    unsigned before;

    do {
        before = group->operation->step;
        if (group->operation->working || now < group->operation->retry_ns) {
            return;
        }
        step_of(group->operation)->run(group);
    } while (group->operation && group->operation->step != before);
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
        bool runs = group->operation && !groups->stopping &&
                    (works || (step_of(group->operation)->flags & FS_STEP_WITHOUT_CLUSTER));
        if (runs) {
            run(group, now);
        } else if (group->operation && !group->operation->working &&
                   now - group->operation->step_ns > 2 * step_of(group->operation)->limit_ns) {
            end_for_good(group, ctx->site_reason);
        }
    }
}

void fs_operations_stop(struct fs_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        if (group->operation && !group->operation->working) {
            fs_operation_enter(group, 0);
        }
    }
}
