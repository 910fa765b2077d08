/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps at the primary, S, with the other site T:
 *
 *   CHECK    T is asked whether it could
 *   SYNC     points are shipped while the workload runs, until one takes little time
 *   WORKLOAD hook on.stop
 *   USERS    until no client has the images open
 *   LAST     the last point is taken and shipped; T commits it
 *   DEMOTE   S's record: demoted. The images are locked, compared with the last point, parked
 *   GRANT    S's record: the next term is T's. THE SWITCH. T is told until it is primary in it
 *   FOLLOW   S is the secondary in T's term; its images hold the last point already
 *   AWAIT    until T says that its images are writable; hook on.demoted
 *   UNDO     S's record: primary, in a term above what was granted; the images are let go; on.start
 *
 * Before the switch every failure, a restart of S's daemon, and the end of whoever asked lead to
 * UNDO (to nothing, where nothing was done yet). After it there is no way back by itself: S does
 * not know whether T has taken the term. It tells T again and again, across restarts, until T's
 * TERMS say so, or T says that it never will: then S takes a number above the granted one, which T
 * can never use again. An operator who runs a failover at S decides the same without T.
 *
 * T says no only for what cannot change while S is demoted: another term or role, or another newest
 * point than the granted one (S sends it none). Everything else is "later". So a grant that arrives
 * twice is never refused once and taken later.
 *
 * No loss: users are gone before the last point is taken, and from the comparison under the lock on
 * nobody can write; T takes the term only with exactly that point.
 */
#include "daemon/relocate.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/hook.h"
#include "daemon/operation_log.h"
#include "daemon/peer.h"
#include "daemon/primary.h"
#include "daemon/relocate_look.h"
#include "daemon/terms.h"
#include "daemon/workload.h"
#include "farshore/fault.h"
#include "farshore/log.h"

enum {
    STOP,
    ROUTE,
    CHECK,
    SYNC,
    WORKLOAD,
    USERS,
    LAST,
    DEMOTE,
    GRANT,
    FOLLOW,
    AWAIT,
    DEMOTED,
    UNDO,
    START
};

#define AGAIN_NS   (1 * FS_SEC) /* a question to the peer */
#define POLL_NS    (100 * FS_MSEC)
#define SMALL_NS   (2 * FS_SEC) /* a remainder that the workload can wait for */
#define ROUNDS_MAX 5            /* points that do not get smaller do not help */

static const struct fs_operation_kind kind;

static struct fs_session *session_of(const struct fs_group *group)
{
    return fs_peers_session_with_terms(group->ctx->peers, group->record->peer);
}

static bool is_relocating(const struct fs_group *group)
{
    return group->operation && group->operation->kind == &kind;
}

/* --- going back ------------------------------------------------------------------------------- */

/* Is the workload stopped, or the images out of its reach? */
static bool has_begun(const struct fs_group *group)
{
    return group->record->role == FS_ROLE_DEMOTED || group->operation->workload_ns > 0;
}

/* Of a step that failed for good. After the switch there is no way back but T's word. */
static void give_up(struct fs_group *group, const char *message)
{
    struct fs_operation *operation = group->operation;
    const struct fs_record *record = group->record;

    if (record->grant.present) {
        fs_operation_enter(group, GRANT);
        operation->retry_ns = fs_context_boot(group->ctx) + AGAIN_NS;
        return;
    }
    if (record->role == FS_ROLE_SECONDARY || !has_begun(group) || operation->step >= UNDO) {
        /* Switched already: what is still to be done about it the record carries on. */
        fs_operation_finish(group, true, message);
        return;
    }
    (void)snprintf(operation->result.message, sizeof(operation->result.message), "%s", message);
    fs_operation_enter(group, record->role == FS_ROLE_PRIMARY && !record->promotion.present ? START
                                                                                            : UNDO);
}

/* A promotion of the peer, by an operator who could not wait: this site yields to it, and does not
 * start its workload again. */
static void yield(struct fs_group *group)
{
    if (group->record->role == FS_ROLE_DEMOTED) {
        fs_operation_enter(group, FOLLOW);
    } else {
        fs_operation_finish(group, true,
                            has_begun(group)
                                ? "the other site was promoted meanwhile; the workload "
                                  "was stopped here, and stays so"
                                : "the other site was promoted meanwhile");
    }
}

/* Before the switch: was it called off, by whoever asked or by a promotion of the peer? */
static bool is_called_off(struct fs_group *group)
{
    if (group->heard_pending && group->heard.number > group->record->term.number) {
        yield(group);
        return true;
    }
    if (group->operation->cancelled || group->heard_pending) {
        give_up(group, "it was interrupted, and everything is as it was");
        return true;
    }
    return false;
}

static void retry_soon(struct fs_group *group, int64_t ns)
{
    group->operation->retry_ns = fs_context_boot(group->ctx) + ns;
}

static void wait_for_peer(struct fs_group *group, const char *what)
{
    struct fs_error err = FS_ERROR_INIT;

    (void)fs_error_set(&err, FS_ERR_TRANSIENT, EAGAIN, "%s", what);
    fs_operation_failed(group, &err);
}

/* --- asking the other site -------------------------------------------------------------------- */

static void send_move(struct fs_group *group, enum fs_move_what what)
{
    struct fs_session *session = session_of(group);
    const struct fs_record *record = group->record;
    struct fs_move move = {.group = record->group, .what = what, .term = record->term};
    struct fs_buf buf = FS_BUF_INIT;

    if (!session) {
        return;
    }
    if (what == FS_MOVE_GRANT) {
        move.number = record->grant.term.number;
        move.point = record->grant.point;
    }
    size_t start = fs_frame_begin(&buf, FS_FRAME_MOVE, 0, 0);
    fs_move_encode(&move, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

static void check(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    if (is_called_off(group)) {
        return;
    }
    if (operation->answered && operation->answer.outcome == FS_MOVE_YES) {
        fs_operation_enter(group, SYNC);
        return;
    }
    if (operation->answered && operation->answer.outcome == FS_MOVE_NO) {
        fs_operation_finish(group, true, operation->answer.message);
        return;
    }
    send_move(group, FS_MOVE_CHECK);
    wait_for_peer(group, operation->answered ? operation->answer.message : "the peer's answer");
}

/* --- shipping --------------------------------------------------------------------------------- */

static bool is_uncommitted(const struct fs_record *record)
{
    return record->n_points > 0 && record->points[record->n_points - 1].state == FS_POINT_COMPLETE;
}

/*
 * One point that is taken from now on is at the peer, or nothing had changed. True where that is
 * so; otherwise it goes on.
 */
static bool ship_one(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    struct fs_error err = FS_ERROR_INIT;

    if (group->phase != FS_PHASE_IDLE) {
        retry_soon(group, POLL_NS);
        return false;
    }
    if (group->failed_at != operation->failed_at) {
        operation->failed_at = group->failed_at;
        operation->taking = false;
        (void)fs_error_set(&err, group->failed_class, EIO, "%s", group->failure.reason);
        fs_operation_failed(group, &err);
        return false;
    }
    bool taken = operation->taking && !is_uncommitted(group->record);
    if (taken) {
        operation->taking = false;
        return true;
    }
    if (!session_of(group)) {
        wait_for_peer(group, "there is no session with the peer");
        return false;
    }
    operation->taking = operation->taking || !is_uncommitted(group->record);
    fs_primary_sync(group);
    retry_soon(group, POLL_NS);
    return false;
}

static void begin_shipping(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    operation->taking = false;
    operation->failed_at = group->failed_at;
    operation->round_ns = fs_context_boot(group->ctx);
}

static void sync_running(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    if (is_called_off(group)) {
        return;
    }
    if (operation->rounds == 0) {
        operation->rounds = 1;
        begin_shipping(group);
    }
    if (!ship_one(group)) {
        return;
    }
    int64_t now = fs_context_boot(group->ctx);
    if (now - operation->round_ns <= SMALL_NS || operation->rounds == ROUNDS_MAX) {
        fs_operation_enter(group, WORKLOAD);
        return;
    }
    operation->rounds++;
    operation->step_ns = now; /* each has its own time */
    begin_shipping(group);
}

static void ship_last(struct fs_group *group)
{
    if (is_called_off(group)) {
        return;
    }
    if (ship_one(group)) {
        fs_operation_enter(group, DEMOTE);
    }
}

/* --- the workload ----------------------------------------------------------------------------- */

static void stopped(void *arg, const json_t *workloads, bool pending, const struct fs_error *err)
{
    struct fs_group *group = arg;

    (void)workloads;
    (void)pending;
    group->operation->working = false;
    if (err) {
        give_up(group, err->message);
    } else {
        fs_operation_enter(group, USERS);
    }
    group->ctx->kick(group->ctx->hook_arg);
}

/* What on.stop left running that the API knows of. */
static void hook_stopped(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;

    group->operation->hook = NULL;
    if (err || !fs_workload_stop(group, stopped, group)) {
        stopped(group, NULL, false, err);
    }
}

static void noted_bring_up(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    bool failed = err && fs_error_is_set(err);

    if (failed) {
        fs_record_free(record); /* the same is stored again, and is known by that */
    }
    (void)fs_operation_take_back(group, failed ? NULL : record, err);
}

/* Were this daemon to end while the workload is stopped, the next one starts it again. */
static void note_bring_up(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (group->phase != FS_PHASE_IDLE) {
        retry_soon(group, POLL_NS);
        return;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (record) {
        record->bring_up = (struct fs_record_bring_up){.present = true};
        ctx->source->ops->store(ctx->source, record, noted_bring_up, group);
    }
}

static void stop_workload(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    if (is_called_off(group)) {
        return;
    }
    if (fs_workload_is_managed(group) && !group->record->bring_up.present) {
        note_bring_up(group);
        return;
    }
    operation->workload_ns = fs_context_boot(group->ctx);
    operation->working = true;
    operation->hook = fs_hook_name(FS_HOOK_STOP);
    if (!fs_hook_start(group, FS_HOOK_STOP, NULL, hook_stopped, group)) {
        hook_stopped(group, NULL);
    }
}

static void looked(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (fs_operation_take_back(group, NULL, err)) {
        begin_shipping(group);
        fs_operation_enter(group, LAST);
    }
}

static void await_users(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (is_called_off(group)) {
        return;
    }
    if (group->phase != FS_PHASE_IDLE) {
        retry_soon(group, POLL_NS);
        return;
    }
    group->phase = FS_PHASE_OPERATING;
    group->operation->working = true;
    ctx->operators->ops->unused(ctx->operators, group->record, &group->operation->doing, looked,
                                group);
}

/* --- demotion, grant, following --------------------------------------------------------------- */

static void parked(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (fs_operation_take_back(group, record, err)) {
        fs_operation_enter(group, GRANT);
    }
}

static void stored_demoted(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    bool failed = err && fs_error_is_set(err);

    if (failed) {
        fs_record_free(record); /* the same is stored again, and is known by that */
    }
    (void)fs_operation_take_back(group, failed ? NULL : record, err);
}

static void demote(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (is_called_off(group)) {
        return;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (!record) {
        return;
    }
    if (record->role == FS_ROLE_PRIMARY) {
        record->role = FS_ROLE_DEMOTED;
        fs_fault("demote.store");
        ctx->source->ops->store(ctx->source, record, stored_demoted, group);
    } else {
        fs_fault("demote.stored");
        ctx->operators->ops->demote(ctx->operators, record, &group->operation->doing, parked,
                                    group);
    }
}

/* The next term, and the point that goes with it. */
static void store_grant(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_session *session = session_of(group);

    if (is_called_off(group)) {
        return;
    }
    if (!session) {
        wait_for_peer(group, "there is no session with the peer");
        return;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (!record) {
        return;
    }
    struct fs_term own = record->term;
    fs_record_raise_term(record, &fs_session_peer(session)->site_uuid);
    record->grant = (struct fs_record_grant){
        .present = true,
        .term = record->term,
        .point = fs_record_newest_committed(record)->point.id,
    };
    record->term = own;
    fs_fault("grant.store");
    ctx->source->ops->store(ctx->source, record, stored_demoted, group);
}

/* T says that it never takes what was granted: the number is burnt. */
static bool is_refused(const struct fs_group *group)
{
    const struct fs_operation *operation = group->operation;

    return operation->answered && operation->answer.what == FS_MOVE_GRANT &&
           operation->answer.number == group->record->grant.term.number &&
           operation->answer.outcome == FS_MOVE_NO;
}

static void grant(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    const struct fs_record *record = group->record;

    if (!record->grant.present) {
        store_grant(group);
        return;
    }
    fs_fault("grant.stored");
    if (group->heard_pending && group->heard.number >= record->grant.term.number) {
        fs_operation_enter(group, FOLLOW);
        return;
    }
    if (is_refused(group)) {
        (void)snprintf(operation->result.message, sizeof(operation->result.message), "%s",
                       operation->answer.message);
        fs_operation_enter(group, UNDO);
        return;
    }
    send_move(group, FS_MOVE_GRANT);
    fs_fault("grant.sent");
    (void)fs_error_set(&operation->last, FS_ERR_TRANSIENT, EAGAIN, "%s",
                       session_of(group) ? "the peer to take it" : "the session with the peer");
    retry_soon(group, AGAIN_NS);
}

static void followed(void *arg, struct fs_record *record, size_t kept, const struct fs_error *err)
{
    struct fs_group *group = arg;

    (void)kept;
    if (!fs_operation_take_back(group, record, err)) {
        return;
    }
    fs_group_succeeded(group);
    group->heard_pending = false;
    fs_log(FS_EV_FOLLOWING, FS_S("group", record->name), FS_S("peer", record->peer),
           FS_U("term", record->term.number), FS_U("images_kept", kept));
    fs_operation_log(group, "switched", &group->operation->id, group->operation->who, "");
    fs_terms_send_group(group);
    fs_operation_enter(group, AWAIT);
}

static void follow(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    const struct fs_follow_request request = {.term = group->heard};
    struct fs_record *record = fs_operation_hand_over(group);

    if (record) {
        ctx->operators->ops->follow(ctx->operators, record, &request, &group->operation->doing,
                                    followed, group);
    }
}

static void told_demoted(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_operation *operation = group->operation;
    char text[600];

    operation->working = false;
    (void)snprintf(text, sizeof(text), "%.100s is primary in term %" PRIu64 "%s%.300s",
                   group->record->peer, group->record->term.number, err ? "; " : "",
                   err ? err->message : "");
    fs_relocate_watch(group, &operation->result, false);
    fs_operation_finish(group, false, text);
}

static void tell_demoted(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;

    operation->hook = fs_hook_name(FS_HOOK_DEMOTED);
    operation->working = true;
    if (!fs_hook_start(group, FS_HOOK_DEMOTED, NULL, told_demoted, group)) {
        told_demoted(group, NULL);
    }
}

/* T lets go of its images right after it has raised its term; this only looks, for the figure. */
static void await_primary(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    int64_t now = fs_context_boot(group->ctx);

    if (group->peer_role == FS_ROLE_PRIMARY) {
        operation->result.downtime_ns = operation->workload_ns ? now - operation->workload_ns : -1;
        fs_operation_enter(group, DEMOTED);
    } else if (now - operation->step_ns > 20 * FS_SEC) {
        fs_operation_enter(group, DEMOTED);
    } else {
        retry_soon(group, POLL_NS);
    }
}

/* --- undoing it ------------------------------------------------------------------------------- */

static void undone(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (fs_operation_take_back(group, record, err)) {
        fs_operation_enter(group, START);
    }
}

static void undo(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (group->heard_pending && group->heard.number > group->record->term.number) {
        yield(group);
        return;
    }
    if (group->record->role == FS_ROLE_PRIMARY && !group->record->promotion.present) {
        fs_operation_enter(group, START); /* nothing was taken from the workload */
        return;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (!record) {
        return;
    }
    if (record->role == FS_ROLE_PRIMARY) {
        ctx->operators->ops->promote(ctx->operators, record, &group->operation->doing, undone,
                                     group);
        return;
    }
    if (record->grant.present) {
        fs_record_raise_term(record, &ctx->site_uuid);
    }
    fs_record_become_primary(record);
    record->promotion = (struct fs_record_promotion){
        .present = true, .point = fs_record_newest_committed(record)->point.id};
    fs_fault("undo.store");
    ctx->source->ops->store(ctx->source, record, stored_demoted, group);
}

static void hook_started(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_operation *operation = group->operation;
    char text[sizeof(operation->result.message)];

    operation->working = false;
    (void)snprintf(text, sizeof(text), "%.350s%s%.250s", operation->result.message,
                   err ? "; this site is primary as before, but "
                       : "; this site is primary as before",
                   err ? err->message : "");
    fs_terms_send_group(group);
    fs_operation_finish(group, true, text);
}

static void restarted(void *arg, const json_t *workloads, bool pending, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_operation *operation = group->operation;

    (void)workloads;
    (void)pending;
    if (err) {
        hook_started(group, err);
        return;
    }
    operation->hook = fs_hook_name(FS_HOOK_START);
    if (!fs_hook_start(group, FS_HOOK_START, NULL, hook_started, group)) {
        hook_started(group, NULL);
    }
}

static void start_workload(struct fs_group *group)
{
    group->operation->working = true;
    if (!fs_workload_undo(group, restarted, group)) {
        restarted(group, NULL, false, NULL);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* Where it begins, also anew after the site was lost: what the record says counts. */
static void route(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    const struct fs_record *record = group->record;

    if (record->role == FS_ROLE_SECONDARY) { /* it was so far; following is carried on by itself */
        fs_operation_enter(group, record->following.present ? FOLLOW : AWAIT);
    } else if (record->grant.present) {
        fs_operation_enter(group, GRANT);
    } else if (has_begun(group) || record->promotion.present || !operation->who[0]) {
        (void)snprintf(operation->result.message, sizeof(operation->result.message),
                       "this site's daemon was interrupted in a relocation");
        fs_operation_enter(group, UNDO);
    } else {
        fs_operation_enter(group, CHECK);
    }
}

static const struct fs_operation_step steps[] = {
    [STOP] = {"waiting for what is under way to end", 20 * FS_SEC, fs_operation_run_stop, 0},
    [ROUTE] = {"looking at the record", 20 * FS_SEC, route, 0},
    [CHECK] = {"asking the other site", 10 * FS_SEC, check, 0},
    [SYNC] = {"shipping while the workload runs", 3600 * FS_SEC, sync_running, 0},
    [WORKLOAD] = {"stopping the workload", 600 * FS_SEC, stop_workload, 0},
    [USERS] = {"waiting until nobody has the volumes open", 30 * FS_SEC, await_users,
               FS_STEP_SHOWS_DOING},
    [LAST] = {"shipping the last point", 60 * FS_SEC, ship_last, 0},
    [DEMOTE] = {"comparing the volumes with the last point", 30 * FS_SEC, demote,
                FS_STEP_SHOWS_DOING},
    [GRANT] = {"handing over to the other site", 20 * FS_SEC, grant, 0},
    [FOLLOW] = {"becoming the secondary", 30 * FS_SEC, follow, FS_STEP_SHOWS_DOING},
    [AWAIT] = {"waiting for the other site's volumes", 30 * FS_SEC, await_primary, 0},
    [DEMOTED] = {"running on.demoted", 600 * FS_SEC, tell_demoted, 0},
    [UNDO] = {"taking it back", 30 * FS_SEC, undo, FS_STEP_SHOWS_DOING},
    [START] = {"starting the workload again", 600 * FS_SEC, start_workload,
               FS_STEP_WITHOUT_CLUSTER},
};

static const struct fs_operation_kind kind = {
    .name = "relocate", .steps = steps, .give_up = give_up};

/* --- once more -------------------------------------------------------------------------------- */

bool fs_relocate_is_done(const struct fs_group *group, const char *to)
{
    return group->record->role == FS_ROLE_SECONDARY && strcmp(group->record->peer, to) == 0 &&
           !group->operation && !group->record->following.present && fs_relocate_look_can(group);
}

/* It is there already: what is left over of the workload is all that there is to do. */
static void ask_again(struct fs_group *group)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "%.100s is primary in term %" PRIu64 " already",
                   group->record->peer, group->record->term.number);
    group->operation->result.already = true;
    fs_relocate_watch(group, &group->operation->result, true);
    fs_operation_finish(group, false, text);
}

static const struct fs_operation_step again_steps[] = {
    {"asking the other site", 20 * FS_SEC, ask_again, 0},
};

static const struct fs_operation_kind again_kind = {.name = "relocate", .steps = again_steps};

uint64_t fs_relocate_again(struct fs_group *group, const char *who)
{
    struct fs_operation *operation = fs_operation_start(group, &again_kind, who);

    return operation ? operation->serial : 0;
}

uint64_t fs_relocate_start(struct fs_group *group, const char *who)
{
    struct fs_operation *operation = fs_operation_start(group, &kind, who);

    return operation ? operation->serial : 0;
}

void fs_relocate_cancel(struct fs_group *group, uint64_t serial)
{
    if (is_relocating(group) && group->operation->serial == serial) {
        group->operation->cancelled = true;
        group->operation->retry_ns = 0;
        group->ctx->kick(group->ctx->hook_arg);
    }
}

void fs_relocate_resume(struct fs_group *group)
{
    if (group->record->role == FS_ROLE_DEMOTED) {
        (void)fs_operation_start(group, &kind, "");
    }
}

void fs_relocate_answered(struct fs_groups *groups, const char *peer,
                          const struct fs_move_answer *reply)
{
    struct fs_group *group = fs_groups_find_uuid(groups, &reply->group);

    if (reply->what >= FS_MOVE_LOOK) {
        fs_relocate_look_answered(groups, peer, reply);
    } else if (group && is_relocating(group) && strcmp(group->record->peer, peer) == 0) {
        group->operation->answered = true;
        group->operation->answer = *reply;
        if (reply->outcome != FS_MOVE_LATER) {
            group->operation->retry_ns = 0;
        }
        group->ctx->kick(group->ctx->hook_arg);
    }
}
