/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/failover_plan.h"

#include <stdio.h>

#include "daemon/failover.h"
#include "daemon/fence.h"
#include "daemon/fence_look.h"
#include "daemon/join.h"
#include "daemon/operation_question.h"
#include "daemon/peer.h"
#include "daemon/status.h"
#include "daemon/workload_check.h"

/* What the other site has to do with it, as far as this one can tell. */
static json_t *peer_json(const struct fs_group *group)
{
    const char *peer = group->record->peer;
    bool up = fs_peers_session(group->ctx->peers, peer) != NULL;
    char text[400];

    if (up) {
        (void)snprintf(text, sizeof(text),
                       "%.100s is connected: it stops shipping as soon as the term is raised, and "
                       "what was written there since the point stays behind there",
                       peer);
    } else {
        (void)snprintf(text, sizeof(text),
                       "%.100s is not connected: if it lives, its users go on writing until it "
                       "learns of this at the next contact",
                       peer);
    }
    return json_string(text);
}

/* refusal: NULL, or why nothing will be done. */
static json_t *plan_of(const struct fs_group *group, const struct fs_record_point *point,
                       enum fs_fence_mode fence, const char *refusal)
{
    json_t *plan = json_pack("{s:o, s:s, s:s, s:I}", "group", fs_status_text(group->record->name),
                             "peer", group->record->peer, "role", fs_role_name(group->record->role),
                             "term", (json_int_t)group->record->term.number);

    if (!plan) {
        return NULL;
    }
    if (refusal) {
        (void)json_object_set_new(plan, fs_failover_is_done(group) ? "nothing_to_do" : "refused",
                                  fs_status_text(refusal));
        return plan;
    }
    if (point) {
        (void)json_object_set_new(plan, "point", fs_status_point(point));
        (void)json_object_set_new(
            plan, "loss_seconds",
            json_real((double)fs_failover_loss_ns(group, point) / (double)FS_SEC));
        /* Its images were its users' until now. */
        (void)json_object_set_new(plan, "keeps_aside",
                                  json_boolean(group->record->role != FS_ROLE_SECONDARY &&
                                               group->record->role != FS_ROLE_PROMOTING));
    }
    (void)json_object_set_new(plan, "volumes", fs_question_volumes(group, point));
    (void)json_object_set_new(plan, "fence", json_string(fs_fence_mode_name(fence)));
    (void)json_object_set_new(plan, "peer_note", peer_json(group));
    const struct fs_group *beside = fs_join_any(group);
    if (beside) {
        (void)json_object_set_new(plan, "beside", fs_status_text(beside->record->name));
    }
    return plan;
}

enum fs_fence_mode fs_failover_fence_mode(const struct fs_group *group, const char *said)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    enum fs_fence_mode mode = policy ? policy->fence : FS_FENCE_NONE;

    if (said) {
        (void)fs_fence_mode_parse(said, &mode);
    }
    return mode;
}

/* --- what is asked first ---------------------------------------------------------------------- */

/* For people, beneath what is said of fencing. */
static void set_fence_note(json_t *plan, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void set_fence_note(json_t *plan, const char *format, ...)
{
    char text[800];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)json_object_set_new(plan, "fence_note", fs_status_text(text));
}

static void set_view(json_t *plan, const struct fs_fence_view *view)
{
    if (view->unknown) {
        set_fence_note(plan, "whom cannot be told now: %s", view->unknown);
        return;
    }
    (void)json_object_set_new(plan, "would_fence", fs_fences_json(view->fences, view->count));
    (void)json_object_set_new(plan, "all_seen", json_boolean(view->all_seen));
    if (view->more) {
        set_fence_note(plan, "and more clients than these %zu", view->count);
    }
}

/* The plan, once nothing is asked any more. It may have changed while it was. */
static void answered(struct question *question)
{
    const struct question asked = *question;
    const struct fs_group *group =
        fs_groups_find_uuid(fs_question_groups(question), &question->group);
    const struct fs_record_point *point;
    char refusal[640] = "";

    if (asked.fence_asked || asked.workload_asked) {
        return;
    }
    json_t *found = json_incref(question->found);
    fs_question_free(question);
    const char *why =
        group ? fs_failover_refusal(group, &asked.point, &point, refusal, sizeof(refusal))
              : "the group is gone";
    if (asked.call && why) {
        fs_call_fail(asked.call, FS_EXIT_REFUSED, "%s", why);
    } else if (asked.call) {
        json_t *plan = plan_of(group, point, asked.fence, NULL);
        (void)json_object_update(plan, found);
        fs_call_finish(asked.call, FS_EXIT_OK,
                       json_pack("{s:i, s:[o]}", "schema_version", 1, "plan", plan));
    }
    json_decref(found);
}

static void fence_looked(void *arg, const struct fs_fence_view *view)
{
    struct question *question = arg;

    question->fence_asked = false;
    set_view(question->found, view);
    answered(question);
}

static void workload_checked(void *arg, const json_t *report, const struct fs_error *err)
{
    struct question *question = arg;

    question->workload_asked = NULL;
    (void)json_object_set_new(question->found, "workload",
                              json_pack("{s:O, s:o}", "objects", report, "unknown",
                                        fs_status_text(err ? err->message : "")));
    answered(question);
}

/* The plan of one group, with whom the other site would fence and what would not come up here. */
static void ask_and_plan(struct fs_operation_commands *commands, struct fs_call *call,
                         struct fs_group *group, const struct fs_uuid *wanted,
                         const struct fs_record_point *point, enum fs_fence_mode fence)
{
    struct question *question = fs_question_new(commands, call, NULL, 0);
    char who[FS_CALL_WHO_SIZE];

    if (!question) {
        return;
    }
    question->group = group->record->group;
    question->point = *wanted;
    question->fence = fence;
    question->planned = "failover";
    question->found = json_object();
    if (fence != FS_FENCE_NONE) {
        question->fence_asked = fs_fence_look_start(fs_question_groups(question)->looks, group,
                                                    fs_call_who(call, who), fence_looked, question);
        if (!question->fence_asked) {
            set_fence_note(question->found, "whom cannot be told now: out of memory");
        }
    }
    const struct fs_uuid none = {0};
    if (fs_workload_check(group, point ? &point->point.id : &none, workload_checked, question)) {
        question->workload_asked = "Kubernetes";
    }
    answered(question);
}

static json_t *plan_among_others(const struct fs_group *group, const struct fs_record_point *point,
                                 enum fs_fence_mode fence, const char *refusal)
{
    json_t *plan = plan_of(group, point, fence, refusal);
    char text[400];

    if (!refusal && fence != FS_FENCE_NONE) {
        set_fence_note(plan, "farshore failover %.300s --dry-run names them", group->record->name);
    }
    if (!refusal && fs_workload_is_managed(group)) {
        (void)snprintf(text, sizeof(text),
                       "farshore failover %.300s --dry-run names what of it would not come up",
                       group->record->name);
        (void)json_object_set_new(
            plan, "workload", json_pack("{s:[], s:o}", "objects", "unknown", fs_status_text(text)));
    }
    return plan;
}

void fs_failover_plan(struct fs_operation_commands *commands, struct fs_call *call,
                      struct fs_group *const *groups, size_t count, const struct fs_uuid *wanted,
                      const char *fence)
{
    json_t *plans = json_array();
    char refusal[640] = "";
    size_t possible = 0;

    for (size_t i = 0; i < count; i++) {
        struct fs_group *group = groups[i];
        enum fs_fence_mode mode = fs_failover_fence_mode(group, fence);
        const struct fs_record_point *point;
        const char *why = fs_failover_refusal(group, wanted, &point, refusal, sizeof(refusal));

        if (!why && count == 1) {
            json_decref(plans);
            ask_and_plan(commands, call, group, wanted, point, mode);
            return;
        }
        possible += why == NULL || fs_failover_is_done(group);
        json_array_append_new(plans, plan_among_others(group, point, mode, why));
    }
    if (possible == 0 && count == 1) {
        json_decref(plans);
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", refusal);
        return;
    }
    fs_call_finish(call, possible > 0 ? FS_EXIT_OK : FS_EXIT_REFUSED,
                   json_pack("{s:i, s:o}", "schema_version", 1, "plan", plans));
}
