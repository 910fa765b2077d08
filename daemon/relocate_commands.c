/* SPDX-License-Identifier: Apache-2.0 */
/* `relocate`: the plan, and what came of it. */
#include <stdio.h>

#include "daemon/hook.h"
#include "daemon/operation_question.h"
#include "daemon/relocate.h"
#include "daemon/relocate_look.h"
#include "daemon/status.h"
#include "daemon/workload.h"

static bool has_hook(const struct fs_group *group, enum fs_hook hook)
{
    const struct fs_config_policy *policy = fs_group_policy(group);

    return policy && policy->on[hook];
}

static json_t *steps_json(const struct fs_group *group)
{
    const char *peer = group->record->peer;
    json_t *list = json_array();

    fs_question_text(list, "ships what %s does not have while the workload runs", peer);
    bool managed = fs_workload_is_managed(group);
    fs_question_text(
        list,
        has_hook(group, FS_HOOK_STOP) ? "stops the workload: on.stop of policy %s"
        : managed                     ? "stops what uses the volumes in Kubernetes (policy %s)"
                  : "waits up to a minute until you have stopped the workload (policy %s has "
                    "no on.stop)",
        group->record->policy);
    fs_question_text(list, "ships the last point, and proves that the volumes hold just that");
    fs_question_text(list, "hands over: %s becomes primary, this site its secondary", peer);
    fs_question_text(list, "until then any failure, and Ctrl-C, leaves everything as it is%s",
                     managed || has_hook(group, FS_HOOK_START) ? ", and the workload started again"
                                                               : "");
    return list;
}

static json_t *plan_of(const struct fs_group *group)
{
    int64_t downtime = fs_relocate_downtime_ns(group);
    json_t *plan = fs_question_plan(group, steps_json(group), true);

    if (plan && downtime >= 0) {
        (void)json_object_set_new(plan, "downtime_seconds",
                                  json_real((double)downtime / (double)FS_SEC));
    }
    return plan;
}

/* Of a group that is there already. */
static json_t *plan_again(const struct fs_group *group)
{
    json_t *list = json_array();

    fs_question_text(list, "%s is primary already: it brings up what is left over there",
                     group->record->peer);
    return fs_question_plan(group, list, false);
}

/* It may have changed while the other site was asked. */
static void looked(void *arg, enum fs_move_outcome outcome, const char *text)
{
    struct question *question = arg;
    const struct fs_group *group =
        fs_groups_find_uuid(fs_question_groups(question), &question->group);
    struct fs_call *call = question->call;

    fs_question_free(question);
    if (call && !group) {
        fs_call_fail(call, FS_EXIT_REFUSED, "the group is gone");
    } else if (call) {
        bool known = outcome == FS_MOVE_YES;
        json_t *plan = plan_of(group);
        (void)json_object_set_new(plan, "workload",
                                  json_pack("{s:o, s:o}", "message",
                                            fs_status_text(known ? text : ""), "unknown",
                                            fs_status_text(known ? "" : text)));
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:[o]}", "schema_version", 1, "plan", plan));
    }
}

/* The plan, with what would not come up at the other site where that can be asked. */
static void look_and_plan(struct fs_operation_commands *commands, struct fs_call *call,
                          struct fs_group *group)
{
    struct question *question =
        fs_relocate_look_can(group) ? fs_question_new(commands, call, NULL, 0) : NULL;

    if (question) {
        question->group = group->record->group;
        question->planned = "relocate";
        question->workload_asked = group->record->peer;
        if (fs_relocate_look_start(group, looked, question)) {
            return;
        }
        fs_question_free(question);
    }
    fs_call_finish(call, FS_EXIT_OK,
                   json_pack("{s:i, s:[o]}", "schema_version", 1, "plan", plan_of(group)));
}

static bool waits(const struct fs_group *group, const struct target *target)
{
    return group->finished.serial == target->serial && group->finished.coming;
}

/* What came of the workload is in the result. */
static bool reached(const struct fs_group *group, const struct target *target)
{
    (void)group;
    (void)target;
    return true;
}

static void waiting(const struct fs_group *group, char *text, size_t size)
{
    const char *doing = fs_relocate_watch_text(group);

    (void)snprintf(text, size, "waiting for the workload at %.100s%s%.400s", group->record->peer,
                   *doing ? ": " : "", doing);
}

/* outcome: "relocated", "already", "failed" or "refused". */
static json_t *outcome(const struct fs_group *group, const struct target *target,
                       const struct fs_operation_result *result)
{
    json_t *object = fs_question_outcome(group, target, result,
                                         result && result->already ? "already" : "relocated");

    if (object && result && !result->failed) {
        (void)json_object_set_new(object, "peer", json_string(group->record->peer));
        if (result->downtime_ns > 0) {
            (void)json_object_set_new(object, "downtime_seconds",
                                      json_real((double)result->downtime_ns / (double)FS_SEC));
        }
    }
    return object;
}

static void gone(struct fs_group *group, const struct target *target)
{
    fs_relocate_cancel(group, target->serial);
}

static const struct question_kind relocate = {.operation = "relocate",
                                              .outcome = outcome,
                                              .waits = waits,
                                              .reached = reached,
                                              .waiting = waiting,
                                              .gone = gone};

void fs_operation_commands_relocate(struct fs_operation_commands *commands, struct fs_call *call,
                                    const json_t *request, struct fs_group *group)
{
    const char *to = json_string_value(json_object_get(request, "to"));
    char text[640], who[FS_CALL_WHO_SIZE];

    if (!to) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "relocate needs \"to\", a site");
        return;
    }
    bool again = fs_relocate_is_done(group, to);
    if (!again && fs_relocate_refusal(group, to, text, sizeof(text))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
        return;
    }
    if (!json_is_true(json_object_get(request, "yes"))) {
        if (again) {
            fs_call_finish(
                call, FS_EXIT_OK,
                json_pack("{s:i, s:[o]}", "schema_version", 1, "plan", plan_again(group)));
        } else {
            look_and_plan(commands, call, group);
        }
        return;
    }
    struct question *question = fs_question_new(commands, call, &relocate, 1);
    if (question) {
        struct target *target = fs_question_add(question, group);
        target->serial = again ? fs_relocate_again(group, fs_call_who(call, who))
                               : fs_relocate_start(group, fs_call_who(call, who));
        if (target->serial == 0) {
            (void)snprintf(target->message, sizeof(target->message), "out of memory");
        }
        group->ctx->kick(group->ctx->hook_arg);
    }
}
