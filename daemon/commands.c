/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands.h"

#include <stdlib.h>

#include "daemon/daemon.h"
#include "daemon/drill.h"
#include "daemon/fence_commands.h"
#include "daemon/forget.h"
#include "daemon/left.h"
#include "daemon/objects_command.h"
#include "daemon/operation_commands.h"
#include "daemon/status.h"
#include "farshore/log.h"

#define PROGRESS_EVERY_NS (500 * FS_MSEC)

enum waiting_for {
    WAIT_SYNC,  /* a point, or an unchanged check, from after the request is at the peer */
    WAIT_PAUSE, /* the record says so */
    WAIT_VERIFY,
};

struct waiter {
    struct fs_call *call;
    struct fs_uuid group;
    enum waiting_for what;
    int64_t asked_ns;    /* boot */
    int64_t progress_ns; /* boot: next */
    uint64_t failed_at;  /* of the group, when it was asked */
    bool paused;
    uint64_t serial; /* of the verification */
    struct waiter *next;
};

struct fs_commands {
    struct fs_daemon *daemon;
    struct waiter *waiters;
    struct fs_operation_commands *operations;
    struct fs_fence_commands *fences;
};

struct fs_commands *fs_commands_new(struct fs_daemon *daemon)
{
    struct fs_commands *commands = calloc(1, sizeof(*commands));

    if (commands) {
        commands->daemon = daemon;
        commands->operations = fs_operation_commands_new(&daemon->ctx);
        commands->fences = fs_fence_commands_new(&daemon->ctx);
        if (!commands->operations || !commands->fences) {
            fs_operation_commands_free(commands->operations);
            fs_fence_commands_free(commands->fences);
            free(commands);
            commands = NULL;
        }
    }
    return commands;
}

static void waiter_free(struct fs_commands *commands, struct waiter *waiter)
{
    struct waiter **at = &commands->waiters;

    while (*at != waiter) {
        at = &(*at)->next;
    }
    *at = waiter->next;
    free(waiter);
}

void fs_commands_free(struct fs_commands *commands)
{
    if (!commands) {
        return;
    }
    while (commands->waiters) {
        waiter_free(commands, commands->waiters);
    }
    fs_operation_commands_free(commands->operations);
    fs_fence_commands_free(commands->fences);
    free(commands);
}

void fs_commands_gone(void *arg, struct fs_call *call)
{
    struct fs_commands *commands = arg;

    fs_operation_commands_gone(commands->operations, call);
    fs_fence_commands_gone(commands->fences, call);
    fs_drills_gone(commands->daemon->ctx.groups->drills, call);
    for (struct waiter *waiter = commands->waiters; waiter; waiter = waiter->next) {
        if (waiter->call == call) {
            if (waiter->what == WAIT_VERIFY) {
                fs_verifier_let_go(commands->daemon->ctx.groups->verifier, &waiter->group,
                                   waiter->serial);
            }
            waiter_free(commands, waiter);
            return;
        }
    }
}

static struct waiter *wait_for(struct fs_commands *commands, struct fs_call *call,
                               const struct fs_group *group, enum waiting_for what)
{
    struct fs_context *ctx = &commands->daemon->ctx;
    struct waiter *waiter = calloc(1, sizeof(*waiter));

    if (!waiter) {
        fs_call_fail(call, FS_EXIT_FAILURE, "out of memory");
        return NULL;
    }
    waiter->call = call;
    waiter->group = group->record->group;
    waiter->what = what;
    waiter->asked_ns = fs_context_boot(ctx);
    waiter->progress_ns = fs_context_boot(ctx) + PROGRESS_EVERY_NS;
    waiter->failed_at = group->failed_at;
    waiter->next = commands->waiters;
    commands->waiters = waiter;
    ctx->kick(ctx->hook_arg);
    return waiter;
}

/* --- the commands ---------------------------------------------------------------------------- */

static void do_status(struct fs_commands *commands, struct fs_call *call, struct fs_group *group)
{
    fs_call_finish(call, FS_EXIT_OK, fs_status_document_of(commands->daemon, group));
}

/* Why no point can be taken now, or NULL. */
static const char *cannot_sync(const struct fs_group *group, char *text, size_t size)
{
    struct fs_context *ctx = group->ctx;

    if (!fs_group_is_primary(group)) {
        (void)snprintf(text, size, "this site is %s for %s: run it at %s",
                       fs_role_name(group->record->role), group->record->name, group->record->peer);
    } else if (group->record->paused || (group->pause_pending && group->pause_wanted)) {
        (void)snprintf(text, size, "%s is paused: farshore resume %s", group->record->name,
                       group->record->name);
    } else if (group->problem[0]) {
        (void)snprintf(text, size, "%s cannot be protected: %s", group->record->name,
                       group->problem);
    } else if (!ctx->source) {
        (void)snprintf(text, size, "this site does not work now: %s", ctx->site_reason);
    } else if (!fs_peers_session(ctx->peers, group->record->peer)) {
        (void)snprintf(text, size,
                       "there is no session with %s: see its reason in `farshore status`",
                       group->record->peer);
    } else {
        return NULL;
    }
    return text;
}

static void do_sync(struct fs_commands *commands, struct fs_call *call, struct fs_group *group,
                    bool wait)
{
    char text[900];

    if (cannot_sync(group, text, sizeof(text))) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", text);
        return;
    }
    group->requested = true;
    group->retry_ns = 0;
    if (wait) {
        (void)wait_for(commands, call, group, WAIT_SYNC);
        return;
    }
    group->ctx->kick(group->ctx->hook_arg);
    fs_call_finish(call, FS_EXIT_OK, json_pack("{s:i}", "schema_version", 1));
}

static void do_pause(struct fs_commands *commands, struct fs_call *call, struct fs_group *group,
                     bool pause)
{
    if (!fs_group_is_primary(group)) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site is %s for %s: run it at %s",
                     fs_role_name(group->record->role), group->record->name, group->record->peer);
        return;
    }
    if (!group->ctx->source) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site does not work now: %s",
                     group->ctx->site_reason);
        return;
    }
    struct waiter *waiter = wait_for(commands, call, group, WAIT_PAUSE);
    if (waiter) {
        waiter->paused = pause;
        group->pause_wanted = pause;
        group->pause_pending = true;
        group->retry_ns = 0;
    }
}

/*
 * Without "yes" only what it would do. The peer's next offer, which comes by itself, carries it
 * out: whoever wrote to the images may have gone on since.
 */
static bool can_adopt(const struct fs_group *group)
{
    return group->failure.state == FS_STATE_TAMPERED ||
           group->failure.state == FS_STATE_RECORD_LOST ||
           (group->failure_label && strcmp(group->failure_label, FS_LABEL_FOREIGN) == 0);
}

static void do_adopt(struct fs_call *call, struct fs_group *group, bool yes)
{
    const char *name = group->record->name;

    if (group->record->role == FS_ROLE_PRIMARY) {
        fs_call_fail(call, FS_EXIT_REFUSED, "this site is primary for %s: run it at %s", name,
                     group->record->peer);
        return;
    }
    if (group->record->role != FS_ROLE_SECONDARY || !can_adopt(group)) {
        fs_call_fail(call, FS_EXIT_REFUSED,
                     "nobody else wrote to the images of %s, and none is in its way, as far as "
                     "this site knows: there is nothing to adopt",
                     name);
        return;
    }
    if (yes) {
        group->adopt = true;
        fs_log(FS_EV_ADOPTING, FS_S("group", name), FS_S("what", group->failure.reason));
    }
    fs_call_finish(call, FS_EXIT_OK,
                   json_pack("{s:i, s:s, s:s, s:s, s:b}", "schema_version", 1, "group", name,
                             "peer", group->record->peer, "reason", group->failure.reason,
                             "adopting", yes));
}

bool fs_commands_find_point(const struct fs_group *group, const char *text,
                            struct fs_uuid *ret_point)
{
    for (size_t i = 0; i < group->record->n_points; i++) {
        const struct fs_point_id *point = &group->record->points[i].point;
        char name[FS_SNAP_NAME_SIZE];
        if (strcmp(fs_point_snap_name(point, name), text) == 0) {
            *ret_point = point->id;
            return true;
        }
    }
    return fs_uuid_parse(text, ret_point) == 0;
}

static void do_verify(struct fs_commands *commands, struct fs_call *call, struct fs_group *group,
                      const char *text)
{
    struct fs_verifier *verifier = commands->daemon->ctx.groups->verifier;
    struct fs_uuid point = {0};
    struct fs_error err = FS_ERROR_INIT;
    uint64_t serial;

    if (text && !fs_commands_find_point(group, text, &point)) {
        fs_call_fail(call, FS_EXIT_REFUSED,
                     "this site holds no point %.100s of %s: give its id, which `farshore points "
                     "-o json` shows at the site that holds it",
                     text, group->record->name);
        return;
    }
    if (fs_verifier_ask(verifier, group, &point, &serial, &err) < 0) {
        fs_call_fail(call, FS_EXIT_REFUSED, "%s", err.message);
        return;
    }
    struct waiter *waiter = wait_for(commands, call, group, WAIT_VERIFY);
    if (waiter) {
        waiter->serial = serial;
    } else {
        fs_verifier_let_go(verifier, &group->record->group, serial);
    }
}

static bool known(const char *command)
{
    static const char *const names[] = {"status",   "points", "sync",     "pause",   "resume",
                                        "adopt",    "verify", "failover", "history", "drill",
                                        "failback", "resync", "relocate", "enroll",  "fence",
                                        "unfence",  "left",   "discard",  "objects", "forget"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], command) == 0) {
            return true;
        }
    }
    return false;
}

void fs_commands_handle(void *arg, struct fs_call *call, const json_t *request)
{
    struct fs_commands *commands = arg;
    const char *command = json_string_value(json_object_get(request, "command"));
    const char *name = json_string_value(json_object_get(request, "group"));
    bool ambiguous = false;

    if (!command || !known(command)) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "this daemon does not know the command %.64s",
                     command ? command : "(none)");
        return;
    }
    struct fs_group *group =
        name ? fs_groups_find(commands->daemon->ctx.groups, name, &ambiguous) : NULL;
    if (name && !group) {
        fs_call_fail(call, FS_EXIT_REFUSED,
                     ambiguous ? "%.256s is the name of two groups: give the UUID that `farshore "
                                 "status -o json` shows"
                               : "there is no group %.256s here: `farshore status` lists them",
                     name);
        return;
    }
    if (strcmp(command, "status") == 0) {
        do_status(commands, call, group);
    } else if (strcmp(command, "failover") == 0) {
        fs_operation_commands_failover(commands->operations, call, request, group);
    } else if (strcmp(command, "enroll") == 0) {
        fs_enrolment_command(commands->daemon, call, request);
    } else if (!group) {
        fs_call_fail(call, FS_EXIT_BAD_REQUEST, "%s needs a group", command);
    } else if (strcmp(command, "drill") == 0) {
        fs_drills_command(commands->daemon->ctx.groups->drills, call, request, group);
    } else if (strcmp(command, "failback") == 0 || strcmp(command, "resync") == 0) {
        fs_operation_commands_follow(commands->operations, call, request, group,
                                     strcmp(command, "resync") == 0);
    } else if (strcmp(command, "relocate") == 0) {
        fs_operation_commands_relocate(commands->operations, call, request, group);
    } else if (strcmp(command, "fence") == 0) {
        fs_fence_command(commands->fences, call, request, group);
    } else if (strcmp(command, "unfence") == 0) {
        fs_unfence_command(commands->fences, call, group);
    } else if (strcmp(command, "left") == 0) {
        fs_left_command(commands->operations, call, group);
    } else if (strcmp(command, "objects") == 0) {
        fs_objects_command(commands->operations, call, request, group);
    } else if (strcmp(command, "discard") == 0) {
        fs_discard_command(commands->operations, call, request, group);
    } else if (strcmp(command, "forget") == 0) {
        fs_forget_command(commands->operations, call, request, group);
    } else if (strcmp(command, "history") == 0) {
        fs_operation_commands_history(commands->operations, call, group);
    } else if (strcmp(command, "points") == 0) {
        fs_call_finish(call, FS_EXIT_OK, fs_status_points(group));
    } else if (strcmp(command, "adopt") == 0) {
        do_adopt(call, group, json_is_true(json_object_get(request, "yes")));
    } else if (strcmp(command, "verify") == 0) {
        do_verify(commands, call, group, json_string_value(json_object_get(request, "point")));
    } else if (strcmp(command, "sync") == 0) {
        do_sync(commands, call, group, json_is_true(json_object_get(request, "wait")));
    } else {
        do_pause(commands, call, group, strcmp(command, "pause") == 0);
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

static json_t *sync_result(const struct fs_group *group)
{
    json_t *status = fs_status_group(group);
    json_t *result = json_pack("{s:i, s:O?}", "schema_version", 1, "recovery_point",
                               json_object_get(status, "recovery_point"));

    json_decref(status);
    return result;
}

/* True where the waiter is done and freed. */
static bool serve_sync(struct fs_commands *commands, struct waiter *waiter,
                       const struct fs_group *group)
{
    struct fs_call *call = waiter->call;
    char text[900];

    if (group->current_until_ns >= waiter->asked_ns && group->phase == FS_PHASE_IDLE) {
        json_t *result = sync_result(group);
        waiter_free(commands, waiter);
        fs_call_finish(call, FS_EXIT_OK, result);
        return true;
    }
    /* What heals by itself is waited for; anything else would never come. */
    bool failed = group->failed_at != waiter->failed_at &&
                  group->failed_class != FS_ERR_TRANSIENT && group->failure.state != FS_STATE_OK;
    if (failed || cannot_sync(group, text, sizeof(text))) {
        waiter_free(commands, waiter);
        if (failed) {
            fs_call_fail(call, FS_EXIT_FAILURE, "%s%s%s", group->failure.reason,
                         group->failure.hint[0] ? ": " : "", group->failure.hint);
        } else {
            fs_call_fail(call, FS_EXIT_FAILURE, "%s", text);
        }
        return true;
    }
    return false;
}

static bool serve_pause(struct fs_commands *commands, struct waiter *waiter,
                        const struct fs_group *group)
{
    struct fs_call *call = waiter->call;

    if (!group->pause_pending && group->record->paused == waiter->paused) {
        waiter_free(commands, waiter);
        fs_call_finish(call, FS_EXIT_OK, json_pack("{s:i}", "schema_version", 1));
        return true;
    }
    if (group->pause_wanted != waiter->paused || group->failed_at != waiter->failed_at) {
        const char *reason = group->failure.reason;
        waiter_free(commands, waiter);
        fs_call_fail(call, FS_EXIT_FAILURE, "not stored: %s",
                     reason[0] ? reason : "someone asked for the opposite");
        return true;
    }
    return false;
}

static bool serve_verify(struct fs_commands *commands, struct waiter *waiter,
                         const struct fs_group *group)
{
    const struct fs_verifier *verifier = commands->daemon->ctx.groups->verifier;
    struct fs_call *call = waiter->call;
    struct fs_verify_report report;

    if (!fs_verifier_finished(verifier, &waiter->group, waiter->serial, &report)) {
        return false;
    }
    waiter_free(commands, waiter);
    if (report.phase == FS_VERIFY_EQUAL || report.phase == FS_VERIFY_DIFFERENT) {
        json_t *status = fs_verifier_status(verifier, group);
        json_t *result = json_pack("{s:i, s:s, s:O?}", "schema_version", 1, "group",
                                   group->record->name, "verify", json_object_get(status, "last"));
        json_decref(status);
        fs_call_finish(call, report.phase == FS_VERIFY_EQUAL ? FS_EXIT_OK : FS_EXIT_FOUND, result);
    } else {
        fs_call_fail(call, report.phase == FS_VERIFY_REFUSED ? FS_EXIT_REFUSED : FS_EXIT_FAILURE,
                     "%s", report.message);
    }
    return true;
}

static bool serve(struct fs_commands *commands, struct waiter *waiter, int64_t now)
{
    struct fs_call *call = waiter->call;
    const struct fs_group *group =
        fs_groups_find_uuid(commands->daemon->ctx.groups, &waiter->group);

    if (!group || group->let_go) {
        waiter_free(commands, waiter);
        fs_call_fail(call, FS_EXIT_FAILURE, "the group is no longer selected by a policy");
        return true;
    }
    if (waiter->what == WAIT_PAUSE    ? serve_pause(commands, waiter, group)
        : waiter->what == WAIT_VERIFY ? serve_verify(commands, waiter, group)
                                      : serve_sync(commands, waiter, group)) {
        return true;
    }
    if (waiter->what != WAIT_PAUSE && now >= waiter->progress_ns) {
        waiter->progress_ns = now + PROGRESS_EVERY_NS;
        fs_call_progress(call, waiter->what == WAIT_SYNC
                                   ? fs_status_sync(group)
                                   : fs_verifier_status(group->ctx->groups->verifier, group));
    }
    return false;
}

int64_t fs_commands_run(struct fs_commands *commands)
{
    int64_t now = fs_context_boot(&commands->daemon->ctx);
    struct waiter *next;

    for (struct waiter *waiter = commands->waiters; waiter; waiter = next) {
        next = waiter->next;
        (void)serve(commands, waiter, now);
    }
    int64_t due = fs_operation_commands_run(commands->operations);
    int64_t fences = fs_fence_commands_run(commands->fences);
    due = fences < due ? fences : due;
    return commands->waiters && now + PROGRESS_EVERY_NS < due ? now + PROGRESS_EVERY_NS : due;
}
