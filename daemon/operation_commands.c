/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operation_commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/commands.h"
#include "daemon/failover.h"
#include "daemon/failover_plan.h"
#include "daemon/hook.h"
#include "daemon/join.h"
#include "daemon/operation_hooks.h"
#include "daemon/operation_log.h"
#include "daemon/operation_question.h"
#include "daemon/status.h"

#define PROGRESS_EVERY_NS (1 * FS_SEC)

struct fs_operation_commands {
    struct fs_context *ctx;
    struct question *questions;
};

struct fs_operation_commands *fs_operation_commands_new(struct fs_context *ctx)
{
    struct fs_operation_commands *commands = calloc(1, sizeof(*commands));

    if (commands) {
        commands->ctx = ctx;
    }
    return commands;
}

void fs_question_free(struct question *question)
{
    struct question **at = &question->commands->questions;

    while (*at != question) {
        at = &(*at)->next;
    }
    *at = question->next;
    json_decref(question->found);
    for (size_t i = 0; i < question->n_targets; i++) {
        free(question->targets[i].kept);
    }
    free(question->targets);
    free(question);
}

void fs_operation_commands_free(struct fs_operation_commands *commands)
{
    while (commands && commands->questions) {
        fs_question_free(commands->questions);
    }
    free(commands);
}

struct question *fs_question_new(struct fs_operation_commands *commands, struct fs_call *call,
                                 const struct question_kind *kind, size_t max_targets)
{
    struct question *question = calloc(1, sizeof(*question));
    struct target *targets = calloc(max_targets + 1, sizeof(*targets));

    if (!question || !targets) {
        free(question);
        free(targets);
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
        return NULL;
    }
    question->commands = commands;
    question->kind = kind;
    question->call = call;
    question->targets = targets;
    question->progress_ns = fs_context_boot(commands->ctx) + PROGRESS_EVERY_NS;
    question->next = commands->questions;
    commands->questions = question;
    return question;
}

struct fs_groups *fs_question_groups(const struct question *question)
{
    return question->commands->ctx->groups;
}

struct target *fs_question_add(struct question *question, const struct fs_group *group)
{
    struct target *target = &question->targets[question->n_targets++];

    *target = (struct target){
        .group = group->record->group,
        .began_ns = fs_context_boot(group->ctx),
        .failed_at = group->failed_at,
        .wire_bytes = group->stats.total.wire_bytes,
        .written_bytes = group->stats.total.written_bytes,
    };
    return target;
}

void fs_operation_commands_gone(struct fs_operation_commands *commands, struct fs_call *call)
{
    for (struct question *question = commands->questions; question; question = question->next) {
        if (question->call != call) {
            continue;
        }
        question->call = NULL;
        for (size_t i = 0; question->kind && question->kind->gone && i < question->n_targets; i++) {
            struct fs_group *group =
                fs_groups_find_uuid(commands->ctx->groups, &question->targets[i].group);
            if (group) {
                question->kind->gone(group, &question->targets[i]);
            }
        }
        return;
    }
}

/* --- the log ---------------------------------------------------------------------------------- */

static void history_read(void *arg, const struct fs_history_entry *entries, size_t count,
                         const struct fs_error *err)
{
    struct question *question = arg;
    struct fs_groups *groups = question->commands->ctx->groups;
    const struct fs_group *group = fs_groups_find_uuid(groups, &question->group);
    struct fs_call *call = question->call;

    groups->noting--;
    fs_question_free(question);
    if (!call) {
        return;
    }
    if (!group || (err && fs_error_is_set(err))) {
        fs_call_fail(call, FS_EXIT_FAILURE, "%s", group ? err->message : "the group is gone");
    } else {
        fs_call_finish(call, FS_EXIT_OK, fs_operation_history(group, entries, count));
    }
}

void fs_operation_commands_history(struct fs_operation_commands *commands, struct fs_call *call,
                                   const struct fs_group *group)
{
    struct fs_context *ctx = commands->ctx;

    if (!ctx->operators || ctx->groups->stopping) {
        fs_call_fail(call, FS_EXIT_FAILURE, "this site does not work now: %s", ctx->site_reason);
        return;
    }
    struct question *question = fs_question_new(commands, call, NULL, 0);
    if (question) {
        question->group = group->record->group;
        ctx->groups->noting++;
        ctx->operators->ops->history(ctx->operators, &question->group, history_read, question);
    }
}

/* --- the plan --------------------------------------------------------------------------------- */

json_t *fs_question_volumes(const struct fs_group *group, const struct fs_record_point *point)
{
    json_t *array = json_array();

    for (size_t i = 0; i < group->record->n_volumes; i++) {
        const struct fs_record_volume *volume = &group->record->volumes[i];
        char spec[FS_IMAGE_SPEC_SIZE];
        bool in =
            point ? fs_record_find_content(point, &volume->volume.uuid) != NULL : !volume->gone;
        if (in) {
            json_array_append_new(array,
                                  fs_status_text(fs_image_spec(&volume->volume.image, spec)));
        }
    }
    return array;
}

void fs_question_text(json_t *list, const char *format, ...)
{
    char text[700];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_array_append_new(list, fs_status_text(text));
}

json_t *fs_question_plan(const struct fs_group *group, json_t *steps, bool parks)
{
    const struct fs_record *record = group->record;

    return json_pack("{s:o, s:s, s:s, s:I, s:o, s:o, s:b}", "group", fs_status_text(record->name),
                     "peer", record->peer, "role", fs_role_name(record->role), "term",
                     (json_int_t)record->term.number, "volumes", fs_question_volumes(group, NULL),
                     "steps", steps, "parks", parks);
}

/* --- failover --------------------------------------------------------------------------------- */

static json_t *failover_outcome(const struct fs_group *group, const struct target *target,
                                const struct fs_operation_result *result);

static const struct question_kind failover = {.operation = "failover", .outcome = failover_outcome};

struct selection {
    struct fs_group **groups; /* owned */
    size_t count;
};

/* Of what was deleted and made again under its name the old points are still here, as a group of
 * their own: the newer one is meant, unless it has no point yet. */
static bool is_replaced(const struct fs_groups *groups, const struct fs_group *group)
{
    const struct fs_record_point *ours = fs_record_newest_committed(group->record);

    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_record *record = groups->list[i]->record;
        const struct fs_record_point *theirs = fs_record_newest_committed(record);

        if (groups->list[i] != group && record->role == FS_ROLE_SECONDARY && theirs &&
            strcmp(record->name, group->record->name) == 0 &&
            strcmp(record->peer, group->record->peer) == 0 &&
            (!ours || theirs->taken_ns > ours->taken_ns)) {
            return true;
        }
    }
    return false;
}

/* Whole policies and sites mean their secondaries; anything else is asked for by name. */
static bool is_meant(const struct fs_groups *groups, const struct fs_group *group,
                     const char *policy)
{
    const struct fs_record *record = group->record;

    return !group->let_go && !fs_join_is_complete(group) &&
           ((record->role == FS_ROLE_SECONDARY && !is_replaced(groups, group)) ||
            record->role == FS_ROLE_PROMOTING) &&
           (!policy || strcmp(record->policy, policy) == 0);
}

static int select_groups(const struct fs_groups *groups, const json_t *request,
                         struct fs_group *group, struct selection *selection)
{
    const char *policy = json_string_value(json_object_get(request, "policy"));

    *selection = (struct selection){.groups = calloc(groups->count + 1, sizeof(struct fs_group *))};
    if (!selection->groups) {
        return -ENOMEM;
    }
    if (group) {
        selection->groups[selection->count++] = group;
        return 0;
    }
    for (size_t i = 0; i < groups->count; i++) {
        if (is_meant(groups, groups->list[i], policy)) {
            selection->groups[selection->count++] = groups->list[i];
        }
    }
    return 0;
}

static void begin(struct fs_operation_commands *commands, struct fs_call *call,
                  const struct selection *selection, const struct fs_uuid *wanted,
                  const char *fence)
{
    struct question *question = fs_question_new(commands, call, &failover, selection->count);
    char who[FS_CALL_WHO_SIZE];

    if (!question) {
        return;
    }
    for (size_t i = 0; i < selection->count; i++) {
        struct fs_group *group = selection->groups[i];
        struct target *target = fs_question_add(question, group);
        const struct fs_record_point *point;

        target->done = fs_failover_is_done(group);
        if (target->done && fs_bring_up_needed(group)) {
            target->serial = fs_bring_up_start(group, fs_call_who(call, who));
            target->done = target->serial == 0;
            continue;
        }
        if (!fs_failover_refusal(group, wanted, &point, target->message, sizeof(target->message))) {
            target->serial = fs_failover_start(group, wanted, fs_failover_fence_mode(group, fence),
                                               fs_call_who(call, who));
            if (target->serial == 0) {
                (void)snprintf(target->message, sizeof(target->message), "out of memory");
            }
        }
    }
    commands->ctx->kick(commands->ctx->hook_arg);
}

void fs_operation_commands_failover(struct fs_operation_commands *commands, struct fs_call *call,
                                    const json_t *request, struct fs_group *group)
{
    const char *point = json_string_value(json_object_get(request, "point"));
    const char *policy = json_string_value(json_object_get(request, "policy"));
    const char *fence = json_string_value(json_object_get(request, "fence"));
    enum fs_fence_mode mode;
    struct fs_uuid wanted = {0};
    struct selection selection;

    if (!group && !policy && !json_is_true(json_object_get(request, "all"))) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "failover needs a group, a policy or all");
        return;
    }
    if (fence && !fs_fence_mode_parse(fence, &mode)) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST,
                     "\"%.64s\" is none of none, best-effort and required", fence);
        return;
    }
    if (point && (!group || !fs_commands_find_point(group, point, &wanted))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site holds no point %.100s%s%s", point,
                     group ? " of " : ": name its group", group ? group->record->name : "");
        return;
    }
    if (select_groups(commands->ctx->groups, request, group, &selection) < 0) {
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
        return;
    }
    if (selection.count == 0) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site is secondary for no group%s%s",
                     policy ? " of policy " : "", policy ? policy : "");
    } else if (json_is_true(json_object_get(request, "yes"))) {
        begin(commands, call, &selection, &wanted, fence);
    } else {
        fs_failover_plan(commands, call, selection.groups, selection.count, &wanted, fence);
    }
    free(selection.groups);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void lose_sight(struct fs_operation_result *result)
{
    result->coming = false;
    result->workload.ran = true;
    result->workload.failed = true;
    (void)snprintf(result->workload.message, sizeof(result->workload.message),
                   "what came of the workload is not known: another operation has followed");
}

/* What is waited for after an operation outlasts it, and the next one's result takes its place. */
static void keep_results(struct question *question)
{
    for (size_t i = 0; question->kind->waits && i < question->n_targets; i++) {
        struct target *target = &question->targets[i];
        const struct fs_group *group =
            fs_groups_find_uuid(fs_question_groups(question), &target->group);
        bool newest = group && target->serial > 0 && group->finished.serial == target->serial;

        if (newest && !target->kept) {
            target->kept = calloc(1, sizeof(*target->kept));
        }
        if (newest && target->kept) {
            *target->kept = group->finished;
            target->kept->workload.objects = NULL; /* the group's; these kinds have none */
        } else if (target->kept && target->kept->coming) {
            lose_sight(target->kept);
        }
    }
}

static const struct fs_operation_result *result_of(const struct fs_group *group,
                                                   const struct target *target)
{
    return target->kept ? target->kept : fs_operation_result(group, target->serial);
}

static bool is_finished(const struct question *question, const struct target *target)
{
    const struct fs_groups *groups = question->commands->ctx->groups;
    const struct fs_group *group = fs_groups_find_uuid(groups, &target->group);

    if (target->serial == 0 || !group) {
        return true;
    }
    const struct fs_operation_result *result = result_of(group, target);
    return result &&
           (result->failed || !question->kind->waits || !question->kind->waits(group, target));
}

static size_t count_finished(const struct question *question)
{
    size_t finished = 0;

    for (size_t i = 0; i < question->n_targets; i++) {
        finished += is_finished(question, &question->targets[i]);
    }
    return finished;
}

static json_t *progress_json(const struct question *question)
{
    const struct fs_groups *groups = question->commands->ctx->groups;
    json_t *object =
        json_pack("{s:s, s:I, s:I}", "operation", question->kind->operation, "done",
                  (json_int_t)count_finished(question), "total", (json_int_t)question->n_targets);

    for (size_t i = 0; object && i < question->n_targets; i++) {
        const struct target *target = &question->targets[i];
        const struct fs_group *group = fs_groups_find_uuid(groups, &target->group);
        char text[600];

        if (group && !is_finished(question, target)) {
            if (result_of(group, target)) {
                (void)json_object_set_new(object, "sync", fs_status_sync(group));
                question->kind->waiting(group, text, sizeof(text));
            } else {
                fs_operation_text(group, text, sizeof(text));
            }
            (void)json_object_set_new(object, "group", fs_status_text(group->record->name));
            (void)json_object_set_new(object, "doing", fs_status_text(text));
            break; /* the first one that is not done stands for the others */
        }
    }
    return object;
}

static json_t *hooks_json(const struct fs_operation_result *result)
{
    json_t *list = json_array();

    for (size_t i = 0; i < FS_HOOKS_AFTER; i++) {
        const struct fs_hook_outcome *hook = &result->hooks[i];
        if (hook->ran) {
            json_array_append_new(
                list, json_pack("{s:s, s:b, s:o}", "hook", fs_hook_name(fs_hooks_after[i]),
                                "failed", hook->failed, "message", fs_status_text(hook->message)));
        }
    }
    return list;
}

static bool has_failed_hook(const struct fs_operation_result *result)
{
    bool failed = result->workload.failed;

    for (size_t i = 0; i < FS_HOOKS_AFTER; i++) {
        failed = failed || result->hooks[i].failed;
    }
    return failed;
}

json_t *fs_question_outcome(const struct fs_group *group, const struct target *target,
                            const struct fs_operation_result *result, const char *success)
{
    json_t *object = json_pack("{s:o}", "group", fs_status_text(group->record->name));
    char name[FS_SNAP_NAME_SIZE];

    if (!object) {
        return NULL;
    }
    if (!result) {
        (void)json_object_set_new(object, "outcome",
                                  json_string(target->done ? "already" : "refused"));
        (void)json_object_set_new(object, "message", fs_status_text(target->message));
        return object;
    }
    (void)json_object_set_new(object, "outcome",
                              json_string(result->refused  ? "refused"
                                          : result->failed ? "failed"
                                                           : success));
    (void)json_object_set_new(object, "message", fs_status_text(result->message));
    (void)json_object_set_new(object, "term", json_integer((json_int_t)group->record->term.number));
    (void)json_object_set_new(object, "duration_seconds",
                              json_real((double)result->took_ns / (double)FS_SEC));
    (void)json_object_set_new(object, "hooks", hooks_json(result));
    if (result->workload.ran) {
        (void)json_object_set_new(object, "workload",
                                  json_pack("{s:b, s:o, s:O?}", "failed", result->workload.failed,
                                            "message", fs_status_text(result->workload.message),
                                            "objects", result->workload.objects));
    }
    if (result->has_point) {
        (void)json_object_set_new(object, "point",
                                  json_string(fs_point_snap_name(&result->point, name)));
        (void)json_object_set_new(object, "taken_timestamp",
                                  json_real((double)result->taken_ns / (double)FS_SEC));
        (void)json_object_set_new(object, "loss_seconds",
                                  json_real((double)result->loss_ns / (double)FS_SEC));
    }
    return object;
}

/* outcome: "promoted", "already", "failed" or "refused". */
static json_t *failover_outcome(const struct fs_group *group, const struct target *target,
                                const struct fs_operation_result *result)
{
    json_t *object = fs_question_outcome(group, target, result, "promoted");

    if (object && result) {
        (void)json_object_set_new(object, "fencing", fs_status_text(result->fencing));
    }
    return object;
}

static void give_outcome(struct question *question)
{
    const struct fs_groups *groups = question->commands->ctx->groups;
    struct fs_call *call = question->call;
    size_t promoted = 0, refused = 0, total = question->n_targets;
    char message[640] = "";
    bool hook_failed = false;
    json_t *list = json_array();

    for (size_t i = 0; i < total; i++) {
        const struct target *target = &question->targets[i];
        const struct fs_group *group = fs_groups_find_uuid(groups, &target->group);
        const struct fs_operation_result *result =
            group && target->serial > 0 ? result_of(group, target) : NULL;

        hook_failed = hook_failed || (result && has_failed_hook(result));
        bool went_on = result && !result->failed && question->kind->waits &&
                       !question->kind->reached(group, target);
        promoted += target->done || (result && !result->failed && !went_on);
        refused += !target->done && (!result || result->refused);
        if (went_on) { /* it is done, and what it was for is not */
            (void)snprintf(message, sizeof(message),
                           "%.300s; no point has come yet: %.150s: %.150s", result->message,
                           group->failure.reason, group->failure.hint);
        } else if (!target->done && (!result || result->failed)) {
            (void)snprintf(message, sizeof(message), "%s",
                           result ? result->message : target->message);
        }
        if (group) {
            json_array_append_new(list, question->kind->outcome(group, target, result));
        }
    }
    fs_question_free(question);
    if (total == 1 && promoted == 0) {
        json_decref(list);
        fs_call_fail(call, refused ? FS_EXIT_REFUSED : FS_EXIT_FAILURE, "%s", message);
        return;
    }
    fs_call_finish(call,
                   promoted == total  ? hook_failed ? FS_EXIT_FOUND : FS_EXIT_OK
                   : refused == total ? FS_EXIT_REFUSED
                                      : FS_EXIT_FAILURE,
                   json_pack("{s:i, s:o}", "schema_version", 1, "groups", list));
}

/* Of those that end by themselves only a plan can take long. */
static int64_t wait_for_plan(struct question *question, int64_t now)
{
    const struct fs_group *group =
        fs_groups_find_uuid(fs_question_groups(question), &question->group);
    char text[400];

    if (!(question->fence_asked || question->workload_asked) || !question->call || !group) {
        return INT64_MAX;
    }
    if (now >= question->progress_ns) {
        question->progress_ns = now + PROGRESS_EVERY_NS;
        (void)snprintf(text, sizeof(text),
                       question->fence_asked ? "asking %.200s whom it would fence"
                                             : "asking %.200s what would not come up",
                       question->fence_asked ? group->record->peer : question->workload_asked);
        fs_call_progress(question->call, json_pack("{s:s, s:i, s:i, s:o, s:o}", "operation",
                                                   question->planned, "done", 0, "total", 1,
                                                   "group", fs_status_text(group->record->name),
                                                   "doing", fs_status_text(text)));
    }
    return question->progress_ns;
}

/* Where all is over it is answered and freed. */
static int64_t wait_for_operations(struct question *question, int64_t now)
{
    keep_results(question);
    if (count_finished(question) == question->n_targets) {
        give_outcome(question);
        return INT64_MAX;
    }
    if (now >= question->progress_ns) {
        question->progress_ns = now + PROGRESS_EVERY_NS;
        fs_call_progress(question->call, progress_json(question));
    }
    return question->progress_ns;
}

int64_t fs_operation_commands_run(struct fs_operation_commands *commands)
{
    int64_t now = fs_context_boot(commands->ctx), next = INT64_MAX;
    struct question *after;

    for (struct question *question = commands->questions; question; question = after) {
        after = question->next;
        if (!question->kind) {
            int64_t due = wait_for_plan(question, now);
            next = due < next ? due : next;
        } else if (!question->call) {
            fs_question_free(question);
        } else {
            int64_t due = wait_for_operations(question, now);
            next = due < next ? due : next;
        }
    }
    return next;
}
