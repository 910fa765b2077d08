/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operation_hooks.h"

#include <stdio.h>

#include "daemon/hook.h"
#include "daemon/operation_log.h"
#include "daemon/workload.h"

static void run_next(struct fs_group *group);

static void hook_ended(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_operation *operation = group->operation;
    struct fs_hook_outcome *outcome = &operation->result.hooks[operation->n_hooks++];
    char text[600];

    outcome->ran = true;
    outcome->failed = err != NULL;
    if (err) {
        (void)snprintf(outcome->message, sizeof(outcome->message), "%.250s", err->message);
        (void)snprintf(text, sizeof(text), "%s", err->message);
    } else {
        (void)snprintf(text, sizeof(text), "%s was run", operation->hook);
    }
    fs_operation_log(group, "hook", &operation->id, operation->who, text);
    run_next(group);
}

/* --- what uses the volumes -------------------------------------------------------------------- */

/* The next try by itself: after 30 s, then twice as long each time, up to 15 min. */
#define AGAIN_FIRST_NS   (30 * FS_SEC)
#define AGAIN_LONGEST_NS (900 * FS_SEC)

static const struct fs_operation_kind bring_up_kind;

static void go_on(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    if (operation->kind == &bring_up_kind) {
        fs_operation_finish(group, false,
                            operation->result.workload.failed ? operation->result.workload.message
                                                              : "what uses the volumes is up");
    } else {
        run_next(group);
    }
}

/* Where it could not be stored, it is brought up once more: that changes nothing. */
static void stored(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    bool failed = err && fs_error_is_set(err);

    if (failed) {
        fs_record_free(record);
    }
    (void)fs_operation_take_back(group, failed ? NULL : record, NULL);
    go_on(group);
}

static void note_again(struct fs_group *group)
{
    int64_t wait = AGAIN_FIRST_NS;

    for (unsigned i = 0; i < group->bring_ups && wait < AGAIN_LONGEST_NS; i++) {
        wait *= 2;
    }
    group->bring_ups++;
    group->bring_up_ns =
        fs_context_boot(group->ctx) + (wait < AGAIN_LONGEST_NS ? wait : AGAIN_LONGEST_NS);
}

static void brought_up(void *arg, const json_t *report, bool pending, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_context *ctx = group->ctx;
    struct fs_operation *operation = group->operation;
    struct fs_operation_result *result = &operation->result;

    result->workload.ran = true;
    result->workload.failed = err != NULL;
    result->workload.objects = json_incref((json_t *)report);
    (void)snprintf(result->workload.message, sizeof(result->workload.message), "%s",
                   err ? err->message : "");
    fs_operation_log(group, "workload", &operation->id, operation->who,
                     err ? err->message : "what uses the volumes is up");
    if (pending) {
        note_again(group);
    } else if (ctx->source && !ctx->groups->stopping) {
        group->bring_ups = 0;
        struct fs_record *record = fs_operation_hand_over(group);
        if (record) {
            record->bring_up = (struct fs_record_bring_up){0};
            ctx->source->ops->store(ctx->source, record, stored, group);
            return;
        }
    }
    operation->working = false;
    go_on(group);
}

/* It was heard, and is not in the record yet. */
static bool is_superseded(const struct fs_group *group)
{
    return group->heard_pending && group->heard.number > group->record->term.number;
}

/* False: there is nothing to bring up. */
static bool bring_up(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    bool again = operation->kind == &bring_up_kind && !*operation->who;

    operation->brought_up = true;
    if (!fs_bring_up_needed(group) || !fs_workload_bring_up(group, again, brought_up, group)) {
        return false;
    }
    operation->working = true;
    return true;
}

bool fs_bring_up_needed(const struct fs_group *group)
{
    return group->record->role == FS_ROLE_PRIMARY && group->record->bring_up.present &&
           !is_superseded(group) && fs_workload_is_managed(group);
}

bool fs_bring_up_goes_on(const struct fs_group *group)
{
    const struct fs_operation *operation = group->operation;

    return operation && operation->kind->brings_up && !operation->result.workload.ran;
}

static void bring_up_only(struct fs_group *group)
{
    if (!bring_up(group)) {
        note_again(group);
        fs_operation_finish(group, false, "there is nothing to bring up");
    }
}

static const struct fs_operation_step bring_up_steps[] = {
    {"waiting for what is under way to end", 20 * FS_SEC, fs_operation_run_stop, 0},
    {"bringing up what uses the volumes", 600 * FS_SEC, bring_up_only, 0},
};

static const struct fs_operation_kind bring_up_kind = {
    .name = "bring-up", .steps = bring_up_steps, .brings_up = true};

uint64_t fs_bring_up_start(struct fs_group *group, const char *who)
{
    struct fs_operation *operation = fs_operation_start(group, &bring_up_kind, who);

    return operation ? operation->serial : 0;
}

/* --- one after the other ---------------------------------------------------------------------- */

/* In between nothing is left to the round: it would begin at the first step again where the site
 * was lost meanwhile. */
static void run_next(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    const struct fs_point_id *point = operation->result.has_point ? &operation->result.point : NULL;

    operation->hook = NULL;
    for (; operation->n_hooks < FS_HOOKS_AFTER; operation->n_hooks++) {
        enum fs_hook hook = fs_hooks_after[operation->n_hooks];
        if (hook == FS_HOOK_START && !operation->brought_up && bring_up(group)) {
            return;
        }
        if (hook == FS_HOOK_START && is_superseded(group)) {
            continue;
        }
        if (fs_hook_start(group, hook, point, hook_ended, group)) {
            operation->hook = fs_hook_name(hook);
            operation->working = true;
            return;
        }
    }
    fs_operation_end(group);
}

void fs_operation_conclude(struct fs_group *group, const char *message)
{
    fs_operation_note_result(group, false, message);
    run_next(group);
}
