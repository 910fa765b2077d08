/* SPDX-License-Identifier: Apache-2.0 */
/* `failback` and `resync`: the plan, and what came of it once the first point has arrived. */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/follow.h"
#include "daemon/join.h"
#include "daemon/operation_question.h"
#include "daemon/status.h"

/* --- the plan --------------------------------------------------------------------------------- */

static json_t *steps_json(const struct fs_group *group, bool compare)
{
    const struct fs_record *record = group->record;
    const struct fs_record_point *newest = fs_record_newest_committed(record);
    char name[FS_SNAP_NAME_SIZE];
    json_t *list = json_array();

    if (record->role != FS_ROLE_SECONDARY) {
        fs_question_text(
            list, "waits until no client has the volumes open, and takes them from their users");
        fs_question_text(list,
                         "keeps what only this site has in a snapshot farshore.left.%" PRIu64
                         ".* of each such volume",
                         record->term.number);
        fs_question_text(list, "becomes the secondary of %s", record->peer);
    }
    if (compare) {
        fs_question_text(
            list,
            "overwrites the volumes with what %s has: the difference is found by digests of "
            "their objects, and only that is shipped",
            record->peer);
    } else if (newest) {
        fs_question_text(
            list,
            "takes the volumes back to the newest point that both sites have (this site's is "
            "%s), and receives what %s has written since",
            fs_point_snap_name(&newest->point, name), record->peer);
    }
    return list;
}

/* --- what came of it -------------------------------------------------------------------------- */

/* What heals by itself is waited for; anything else would never come. */
static bool has_failed(const struct fs_group *group, const struct target *target)
{
    return group->failed_at != target->failed_at && group->failed_class != FS_ERR_TRANSIENT &&
           group->failure.state != FS_STATE_OK;
}

/* What is here is what the primary held when the command was given, or later; or that is another
 * group's by now. */
static bool is_synced(const struct fs_group *group, const struct target *target)
{
    return group->current_until_ns >= target->began_ns || fs_join_is_complete(group);
}

static bool waits(const struct fs_group *group, const struct target *target)
{
    return group->record->role == FS_ROLE_SECONDARY && !is_synced(group, target) &&
           !has_failed(group, target);
}

static void waiting(const struct fs_group *group, char *text, size_t size)
{
    (void)group;
    (void)snprintf(text, size, "receiving what differs");
}

/* outcome: "secondary", "already", "failed" or "refused". */
static json_t *outcome(const struct fs_group *group, const struct target *target,
                       const struct fs_operation_result *result)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    json_t *object = fs_question_outcome(group, target, result, "secondary");

    if (!object || !result || result->failed) {
        return object;
    }
    (void)json_object_set_new(object, "peer", json_string(group->record->peer));
    if (newest) {
        (void)json_object_set_new(object, "recovery_point", fs_status_point(newest));
    }
    (void)json_object_set_new(
        object, "wire_bytes",
        json_integer((json_int_t)(group->stats.total.wire_bytes - target->wire_bytes)));
    (void)json_object_set_new(
        object, "written_bytes",
        json_integer((json_int_t)(group->stats.total.written_bytes - target->written_bytes)));
    return object;
}

static const struct question_kind failback = {.operation = "failback",
                                              .outcome = outcome,
                                              .waits = waits,
                                              .reached = is_synced,
                                              .waiting = waiting};
static const struct question_kind resync = {.operation = "resync",
                                            .outcome = outcome,
                                            .waits = waits,
                                            .reached = is_synced,
                                            .waiting = waiting};

void fs_operation_commands_follow(struct fs_operation_commands *commands, struct fs_call *call,
                                  const json_t *request, struct fs_group *group, bool compare)
{
    const char *from = json_string_value(json_object_get(request, "from"));
    bool yes = json_is_true(json_object_get(request, "yes"));
    char text[640], who[FS_CALL_WHO_SIZE];

    if (compare && !from) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "resync needs \"from\", the site whose data stays");
        return;
    }
    if (!compare && fs_failback_is_done(group) && !group->operation) {
        (void)snprintf(text, sizeof(text), "this site is the secondary of %s already",
                       group->record->peer);
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:[{s:o, s:s, s:o}]}", "schema_version", 1,
                                 yes ? "groups" : "plan", "group",
                                 fs_status_text(group->record->name), "outcome", "already",
                                 yes ? "message" : "nothing_to_do", fs_status_text(text)));
        return;
    }
    if (compare ? fs_resync_refusal(group, from, text, sizeof(text))
                : fs_failback_refusal(group, text, sizeof(text))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
        return;
    }
    if (!yes) {
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:[o]}", "schema_version", 1, "plan",
                                 fs_question_plan(group, steps_json(group, compare), true)));
        return;
    }
    struct question *question = fs_question_new(commands, call, compare ? &resync : &failback, 1);
    if (question) {
        struct target *target = fs_question_add(question, group);
        target->serial = fs_follow_start(group, compare, fs_call_who(call, who));
        if (target->serial == 0) {
            (void)snprintf(target->message, sizeof(target->message), "out of memory");
        }
        group->ctx->kick(group->ctx->hook_arg);
    }
}
