/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fence_commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/groups.h"
#include "daemon/status.h"

#define PROGRESS_EVERY_NS (1 * FS_SEC)

struct request {
    struct fs_fence_commands *commands;
    struct fs_call *call; /* NULL: the client has gone */
    struct fs_uuid group;
    uint64_t serial; /* of the operation; 0: a worker looks */
    const char *operation;
    int64_t progress_ns; /* boot: next */
    struct request *next;
};

struct fs_fence_commands {
    struct fs_context *ctx;
    struct request *requests;
};

struct fs_fence_commands *fs_fence_commands_new(struct fs_context *ctx)
{
    struct fs_fence_commands *commands = calloc(1, sizeof(*commands));

    if (commands) {
        commands->ctx = ctx;
    }
    return commands;
}

static void request_free(struct request *request)
{
    struct request **at = &request->commands->requests;

    while (*at != request) {
        at = &(*at)->next;
    }
    *at = request->next;
    free(request);
}

void fs_fence_commands_free(struct fs_fence_commands *commands)
{
    while (commands && commands->requests) {
        request_free(commands->requests);
    }
    free(commands);
}

void fs_fence_commands_gone(struct fs_fence_commands *commands, struct fs_call *call)
{
    for (struct request *request = commands->requests; request; request = request->next) {
        if (request->call == call) {
            request->call = NULL;
        }
    }
}

static struct request *request_new(struct fs_fence_commands *commands, struct fs_call *call,
                                   const struct fs_group *group, const char *operation)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request) {
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
        return NULL;
    }
    *request = (struct request){
        .commands = commands,
        .call = call,
        .group = group->record->group,
        .operation = operation,
        .progress_ns = fs_context_boot(commands->ctx) + PROGRESS_EVERY_NS,
        .next = commands->requests,
    };
    commands->requests = request;
    return request;
}

/* --- whom it would fence ---------------------------------------------------------------------- */

static void looked(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                   const struct fs_error *err)
{
    struct request *request = arg;
    struct fs_groups *groups = request->commands->ctx->groups;
    const struct fs_group *group = fs_groups_find_uuid(groups, &request->group);
    struct fs_call *call = request->call;

    groups->noting--;
    request_free(request);
    if (!call) {
        return;
    }
    if (!group || (err && fs_error_is_set(err))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", group ? err->message : "the group is gone");
    } else {
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:o, s:o, s:b}", "schema_version", 1, "group",
                                 fs_status_text(group->record->name), "would_fence",
                                 fs_fences_json(list, count), "all_seen", all_seen));
    }
}

static void look(struct fs_fence_commands *commands, struct fs_call *call,
                 const struct fs_group *group)
{
    struct fs_context *ctx = commands->ctx;
    struct request *request = request_new(commands, call, group, "fence");
    struct fs_fence_order *order = request ? calloc(1, sizeof(*order)) : NULL;
    char who[FS_CALL_WHO_SIZE];

    if (order) {
        fs_fence_order(group, fs_call_who(call, who), order);
        ctx->groups->noting++;
        ctx->operators->ops->fence_look(ctx->operators, order, looked, request);
        free(order);
    } else if (request) {
        request_free(request);
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
    }
}

/* --- doing it --------------------------------------------------------------------------------- */

static void follow(struct fs_fence_commands *commands, struct fs_call *call, struct fs_group *group,
                   const char *operation,
                   uint64_t (*start)(struct fs_group *group, const char *who))
{
    struct request *request = request_new(commands, call, group, operation);
    char who[FS_CALL_WHO_SIZE];

    if (!request) {
        return;
    }
    request->serial = start(group, fs_call_who(call, who));
    if (request->serial == 0) {
        request_free(request);
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
    }
}

void fs_fence_command(struct fs_fence_commands *commands, struct fs_call *call,
                      const json_t *request, struct fs_group *group)
{
    char text[640];

    if (fs_fence_refusal(group, text, sizeof(text))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
    } else if (json_is_true(json_object_get(request, "yes"))) {
        follow(commands, call, group, "fence", fs_fence_start);
    } else {
        look(commands, call, group);
    }
}

void fs_unfence_command(struct fs_fence_commands *commands, struct fs_call *call,
                        struct fs_group *group)
{
    const struct fs_context *ctx = commands->ctx;
    const struct fs_fences *fences = ctx->groups->fences;
    const char *name = group->record->name;

    if (!ctx->operators || ctx->groups->stopping || !fs_fences_loaded(fences)) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site does not work now: %s",
                     ctx->operators ? "it has just begun to" : ctx->site_reason);
    } else if (group->operation) {
        fs_call_fail(call, FS_EXIT_REFUSED, "an operation on %s is under way", name);
    } else if (fs_fence_count(fences, group) == 0) {
        fs_call_fail(call, FS_EXIT_REFUSED, "no client of %s is fenced here", name);
    } else {
        follow(commands, call, group, "unfence", fs_unfence_start);
    }
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void give_result(struct request *request, const struct fs_group *group,
                        const struct fs_operation_result *result)
{
    struct fs_call *call = request->call;

    if (call && (!group || result->failed)) {
        fs_call_fail(call, FS_EXIT_FAILURE, "%s", group ? result->message : "the group is gone");
    } else if (call) {
        fs_call_finish(call, FS_EXIT_OK,
                       json_pack("{s:i, s:o, s:o, s:o}", "schema_version", 1, "group",
                                 fs_status_text(group->record->name), "message",
                                 fs_status_text(result->message), "fences",
                                 fs_fences_status(group->ctx->groups->fences, group)));
    }
    request_free(request);
}

static void give_progress(struct request *request, const struct fs_group *group)
{
    char text[600];

    fs_operation_text(group, text, sizeof(text));
    fs_call_progress(request->call,
                     json_pack("{s:s, s:i, s:i, s:o, s:o}", "operation", request->operation, "done",
                               0, "total", 1, "group", fs_status_text(group->record->name), "doing",
                               fs_status_text(text)));
}

int64_t fs_fence_commands_run(struct fs_fence_commands *commands)
{
    const struct fs_context *ctx = commands->ctx;
    int64_t now = fs_context_boot(ctx), next = INT64_MAX;
    struct request *after;

    for (struct request *request = commands->requests; request; request = after) {
        after = request->next;
        if (request->serial == 0) {
            continue; /* ends with its answer */
        }
        const struct fs_group *group = fs_groups_find_uuid(ctx->groups, &request->group);
        const struct fs_operation_result *result =
            group ? fs_operation_result(group, request->serial) : NULL;
        /* The list is read anew after each operation; not while the site's cluster is away. */
        bool listed = fs_fences_loaded(ctx->groups->fences) || !ctx->operators;
        if (!group || !request->call || (result && listed)) {
            give_result(request, group, result);
            continue;
        }
        if (!result && now >= request->progress_ns) {
            request->progress_ns = now + PROGRESS_EVERY_NS;
            give_progress(request, group);
        }
        next = request->progress_ns < next ? request->progress_ns : next;
    }
    return next;
}
