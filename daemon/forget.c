/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/forget.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/drill.h"
#include "daemon/fence.h"
#include "daemon/join.h"
#include "daemon/operation_question.h"
#include "daemon/peer.h"
#include "daemon/status.h"

enum { WAIT, FORGET };

/* Intervals without news after which nobody ships it. */
#define QUIET_INTERVALS 3

/* --- may it be -------------------------------------------------------------------------------- */

/* A group that is still shipped would be made again by the next offer. */
static const char *refuse_shipped(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_record *record = group->record;
    int64_t quiet = QUIET_INTERVALS * fs_group_interval_ns(group);
    int64_t lag = fs_group_lag_ns(group);

    if (!fs_peers_session(group->ctx->peers, record->peer) || lag < 0 || lag > quiet) {
        return NULL;
    }
    (void)snprintf(text, size,
                   "%.100s still protects %.200s: take the label from its volumes there first; "
                   "where that was done just now, %" PRId64 " s without a point tell so",
                   record->peer, record->name, quiet / FS_SEC);
    return text;
}

static const char *refuse_role(const struct fs_record *record, char *text, size_t size)
{
    if (record->role == FS_ROLE_PRIMARY) {
        (void)snprintf(text, size,
                       "this site is primary for %s: take the label from its volumes, and it is no "
                       "longer protected; what the other site has of it is forgotten there",
                       record->name);
    } else {
        (void)snprintf(text, size,
                       "%s is %s here, and only what a site is secondary for is forgotten: "
                       "`farshore failback %s` makes it so",
                       record->name, fs_role_name(record->role), record->name);
    }
    return text;
}

const char *fs_forget_refusal(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_context *ctx = group->ctx;
    const struct fs_record *record = group->record;

    if (!ctx->operators || ctx->groups->stopping) {
        (void)snprintf(text, size, "this site does not work now: %s", ctx->site_reason);
        return text;
    }
    if (group->operation) {
        (void)snprintf(text, size, "another operation on %s is under way: %s", record->name,
                       group->operation->kind->name);
        return text;
    }
    if (record->role != FS_ROLE_SECONDARY || record->following.present) {
        return refuse_role(record, text, size);
    }
    json_t *drills = fs_drills_status(ctx->groups->drills, group);
    size_t n_drills = json_array_size(drills);
    json_decref(drills);
    if (n_drills > 0) {
        (void)snprintf(text, size, "there is a drill of it: `farshore drill %s --end` removes it",
                       record->name);
        return text;
    }
    if (fs_fence_count(ctx->groups->fences, group) > 0) {
        (void)snprintf(text, size,
                       "clients are fenced for it: `farshore unfence %s` lets them in again",
                       record->name);
        return text;
    }
    return refuse_shipped(group, text, size);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void wait_for_idle(struct fs_group *group)
{
    if (group->phase == FS_PHASE_IDLE) {
        fs_operation_enter(group, FORGET);
    }
}

static void forgotten(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (err && err->code == EBUSY && err->class == FS_ERR_PERMANENT) {
        (void)fs_operation_take_back(group, record, NULL);
        group->operation->result.refused = true;
        fs_operation_finish(group, true, err->message);
    } else if (fs_operation_take_back(group, record, err)) {
        const struct fs_group *into = fs_join_of(group);
        char text[FS_NAME_SIZE + 32] = "forgotten; its images are nobody's now";

        if (into) {
            (void)snprintf(text, sizeof(text), "it has joined %s", into->record->name);
        }
        fs_group_forget(group);
        fs_operation_finish(group, false, text);
    }
}

static void forget(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_record *record = fs_operation_hand_over(group);

    if (record) {
        ctx->operators->ops->forget(ctx->operators, record, &group->operation->doing, forgotten,
                                    group);
    }
}

static const struct fs_operation_step steps[] = {
    [WAIT] = {"waiting for what is under way to end", 60 * FS_SEC, wait_for_idle, 0},
    [FORGET] = {"letting go of the images", 60 * FS_SEC, forget, FS_STEP_SHOWS_DOING},
};

static const struct fs_operation_kind kind = {.name = "forget", .steps = steps};

uint64_t fs_forget_start(struct fs_group *group, const char *who)
{
    const struct fs_operation *operation = fs_operation_start(group, &kind, who);

    return operation ? operation->serial : 0;
}

/* --- the command ------------------------------------------------------------------------------ */

/* outcome: "forgotten", "failed" or "refused". */
static json_t *outcome(const struct fs_group *group, const struct target *target,
                       const struct fs_operation_result *result)
{
    return fs_question_outcome(group, target, result, "forgotten");
}

static const struct question_kind question_kind = {.operation = "forget", .outcome = outcome};

static void give_plan(struct fs_call *call, const struct fs_group *group)
{
    const struct fs_record *record = group->record;
    json_t *list = json_array();

    fs_question_text(list, "removes the snapshots of its %zu recovery points here, and its record",
                     record->n_points);
    fs_question_text(list,
                     "takes Farshore's stamp and the labels from its volumes here: the images "
                     "stay, unlocked, and are yours to delete");
    fs_question_text(list, "changes nothing at %.100s", record->peer);
    fs_call_finish(call, FS_EXIT_OK,
                   json_pack("{s:i, s:[o]}", "schema_version", 1, "plan",
                             fs_question_plan(group, list, false)));
}

void fs_forget_command(struct fs_operation_commands *commands, struct fs_call *call,
                       const json_t *request, struct fs_group *group)
{
    char text[640], who[FS_CALL_WHO_SIZE];

    if (fs_forget_refusal(group, text, sizeof(text))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
        return;
    }
    if (!json_is_true(json_object_get(request, "yes"))) {
        give_plan(call, group);
        return;
    }
    struct question *question = fs_question_new(commands, call, &question_kind, 1);
    if (!question) {
        return;
    }
    struct target *target = fs_question_add(question, group);
    target->serial = fs_forget_start(group, fs_call_who(call, who));
    if (target->serial == 0) {
        (void)snprintf(target->message, sizeof(target->message), "out of memory");
    }
    group->ctx->kick(group->ctx->hook_arg);
}
