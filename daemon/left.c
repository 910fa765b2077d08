/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/left.h"

#include <stdio.h>

#include "daemon/operation_question.h"
#include "daemon/status.h"

/* --- the list ----------------------------------------------------------------------------------
 */

static json_t *left_json(const struct fs_left *left)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:f}", "pool", left->image.pool, "namespace",
                     left->image.ns, "image", fs_status_text(left->image.name), "snapshot",
                     left->name, "size_bytes", (json_int_t)left->size, "taken_timestamp",
                     (double)left->taken_ns / (double)FS_SEC);
}

static void listed(void *arg, const struct fs_left *list, size_t count, const struct fs_error *err)
{
    struct question *question = arg;
    struct fs_groups *groups = fs_question_groups(question);
    const struct fs_group *group = fs_groups_find_uuid(groups, &question->group);
    struct fs_call *call = question->call;
    json_t *array = json_array();

    groups->noting--;
    fs_question_free(question);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, left_json(&list[i]));
    }
    if (call && (!group || (err && fs_error_is_set(err)))) {
        fs_call_fail(call, FS_EXIT_FAILURE, "%s", group ? err->message : "the group is gone");
    } else if (call) {
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:o, s:O}", "schema_version", 1, "group",
                                 fs_status_text(group->record->name), "left", array));
    }
    json_decref(array);
}

void fs_left_command(struct fs_operation_commands *commands, struct fs_call *call,
                     const struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (!ctx->operators || ctx->groups->stopping) {
        fs_call_fail(call, FS_EXIT_FAILURE, "this site does not work now: %s", ctx->site_reason);
        return;
    }
    struct question *question = fs_question_new(commands, call, NULL, 0);
    if (question) {
        question->group = group->record->group;
        ctx->groups->noting++;
        ctx->operators->ops->left(ctx->operators, group->record, listed, question);
    }
}

/* --- discarding --------------------------------------------------------------------------------
 */

enum { WAIT, DISCARD };

static void wait_for_idle(struct fs_group *group)
{
    if (group->phase == FS_PHASE_IDLE) {
        fs_operation_enter(group, DISCARD);
    }
}

static void discarded(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    char text[160];

    if (fs_operation_take_back(group, record, err)) {
        (void)snprintf(text, sizeof(text), "discarded %s", group->operation->snapshot);
        fs_operation_finish(group, false, text);
    }
}

static void discard(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_record *record = fs_operation_hand_over(group);

    if (record) {
        ctx->operators->ops->discard(ctx->operators, record, group->operation->snapshot, discarded,
                                     group);
    }
}

static const struct fs_operation_step steps[] = {
    [WAIT] = {"waiting for what is under way to end", 3600 * FS_SEC, wait_for_idle, 0},
    [DISCARD] = {"removing the snapshots", 30 * FS_SEC, discard, 0},
};

static const struct fs_operation_kind kind = {.name = "discard", .steps = steps};

/* outcome: "discarded", "failed" or "refused". */
static json_t *outcome(const struct fs_group *group, const struct target *target,
                       const struct fs_operation_result *result)
{
    return fs_question_outcome(group, target, result, "discarded");
}

static const struct question_kind question_kind = {.operation = "discard", .outcome = outcome};

static const char *refusal(const struct fs_group *group, const char *name, char *text, size_t size)
{
    if (strncmp(name, FS_LEFT_PREFIX, strlen(FS_LEFT_PREFIX)) != 0) {
        (void)snprintf(text, size, "%.80s is not one of the snapshots that `farshore left` lists",
                       name);
        return text;
    }
    if (!group->ctx->operators) {
        (void)snprintf(text, size, "this site does not work now: %s", group->ctx->site_reason);
        return text;
    }
    if (group->operation) {
        (void)snprintf(text, size, "another operation on %s is under way: %s", group->record->name,
                       group->operation->kind->name);
        return text;
    }
    return NULL;
}

void fs_discard_command(struct fs_operation_commands *commands, struct fs_call *call,
                        const json_t *request, struct fs_group *group)
{
    const char *name = json_string_value(json_object_get(request, "snapshot"));
    char text[640], who[FS_CALL_WHO_SIZE];

    if (!name) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "discard needs \"snapshot\"");
        return;
    }
    if (refusal(group, name, text, sizeof(text))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
        return;
    }
    if (!json_is_true(json_object_get(request, "yes"))) {
        json_t *list = json_array();
        fs_question_text(list,
                         "removes snapshot %.80s from each image of the group that has it; what "
                         "it holds is gone for good",
                         name);
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:[o]}", "schema_version", 1, "plan",
                                 fs_question_plan(group, list, false)));
        return;
    }
    struct question *question = fs_question_new(commands, call, &question_kind, 1);
    struct fs_operation *operation =
        question ? fs_operation_start(group, &kind, fs_call_who(call, who)) : NULL;
    if (!question) {
        return;
    }
    struct target *target = fs_question_add(question, group);
    if (operation) {
        (void)snprintf(operation->snapshot, sizeof(operation->snapshot), "%s", name);
        target->serial = operation->serial;
    } else {
        (void)snprintf(target->message, sizeof(target->message), "out of memory");
    }
    group->ctx->kick(group->ctx->hook_arg);
}
