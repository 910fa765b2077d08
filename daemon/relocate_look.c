/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/relocate_look.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/operation.h"
#include "daemon/operation_hooks.h"
#include "daemon/peer.h"
#include "daemon/relocate.h"
#include "daemon/workload_check.h"

#define AGAIN_NS   (500 * FS_MSEC)
#define ASK_NS     (5 * FS_SEC)  /* of a plan: the session may have been another one */
#define PLAN_NS    (30 * FS_SEC) /* somebody waits for the plan */
#define SILENCE_NS (60 * FS_SEC)
#define WATCH_NS   (5400 * FS_SEC) /* above what workload.start_timeout may be */

/* What this site wants to know. */
struct look {
    struct fs_relocate_looks *looks;
    struct fs_uuid group;
    char peer[FS_NAME_SIZE];
    enum fs_move_what what;
    int64_t until_ns, heard_ns, sent_ns;                         /* boot; sent_ns 0: not yet */
    char text[sizeof(((struct fs_move_answer *)NULL)->message)]; /* of its last LATER */
    uint64_t serial;           /* of the operation that is watched */
    fs_relocate_look_fn *done; /* of one that is not watched */
    void *arg;
    struct look *next;
};

/* What this site finds out for a peer: one at a time for each group. */
struct answer {
    struct fs_relocate_looks *looks;
    struct fs_uuid group;
    char peer[FS_NAME_SIZE];
    struct answer *next;
};

struct fs_relocate_looks {
    struct fs_groups *groups;
    struct look *list;      /* owned */
    struct answer *answers; /* owned */
};

struct fs_relocate_looks *fs_relocate_looks_new(struct fs_groups *groups)
{
    struct fs_relocate_looks *looks = calloc(1, sizeof(*looks));

    if (looks) {
        looks->groups = groups;
    }
    return looks;
}

static void look_free(struct look *look)
{
    struct look **at = &look->looks->list;

    while (*at != look) {
        at = &(*at)->next;
    }
    *at = look->next;
    free(look);
}

static void answer_free(struct answer *answer)
{
    struct answer **at = &answer->looks->answers;

    while (*at != answer) {
        at = &(*at)->next;
    }
    *at = answer->next;
    free(answer);
}

void fs_relocate_looks_free(struct fs_relocate_looks *looks)
{
    while (looks && looks->list) {
        look_free(looks->list);
    }
    while (looks && looks->answers) {
        answer_free(looks->answers);
    }
    free(looks);
}

static struct fs_session *session_with(const struct fs_context *ctx, const char *peer)
{
    struct fs_session *session = fs_peers_session(ctx->peers, peer);

    return session && (fs_session_peer(session)->features & FS_FEATURE_MOVE_LOOK) ? session : NULL;
}

/* There is a session, and it does not know these questions. */
static bool is_older(const struct fs_context *ctx, const char *peer)
{
    return fs_peers_session(ctx->peers, peer) && !session_with(ctx, peer);
}

bool fs_relocate_look_can(const struct fs_group *group)
{
    return session_with(group->ctx, group->record->peer) != NULL;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* The operation that is watched, unless another one has taken its place. */
static void note_watched(const struct look *look, enum fs_move_outcome outcome, const char *text)
{
    struct fs_groups *groups = look->looks->groups;
    struct fs_group *group = fs_groups_find_uuid(groups, &look->group);
    struct fs_operation_result *result = group ? &group->finished : NULL;

    if (!result || result->serial != look->serial || !result->coming) {
        return;
    }
    result->coming = false;
    result->workload.ran = outcome != FS_MOVE_YES || *text;
    result->workload.failed = outcome != FS_MOVE_YES;
    if (result->workload.failed) {
        (void)snprintf(result->workload.message, sizeof(result->workload.message), "%.519s", text);
    } else if (result->workload.ran && result->downtime_ns > 0) {
        result->downtime_ns += fs_context_boot(groups->ctx) - result->coming_ns;
    }
}

static void finish(struct look *look, enum fs_move_outcome outcome, const char *text)
{
    struct fs_context *ctx = look->looks->groups->ctx;
    fs_relocate_look_fn *done = look->done;
    void *arg = look->arg;

    if (!done) {
        note_watched(look, outcome, text);
    }
    look_free(look);
    if (done) {
        done(arg, outcome, text);
    }
    ctx->kick(ctx->hook_arg);
}

static void send_look(struct look *look, struct fs_session *session, const struct fs_record *record)
{
    const struct fs_move move = {.group = look->group, .what = look->what, .term = record->term};
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_MOVE, 0, 0);

    fs_move_encode(&move, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

/* Nobody reads what it finds. */
static bool is_over(const struct look *look, const struct fs_group *group)
{
    return !look->done && ((!group->operation && group->finished.serial != look->serial) ||
                           group->record->role != FS_ROLE_SECONDARY);
}

static void run(struct look *look, int64_t now)
{
    const struct fs_groups *groups = look->looks->groups;
    const struct fs_group *group = fs_groups_find_uuid(groups, &look->group);
    struct fs_session *session = session_with(groups->ctx, look->peer);
    char text[300];

    if (!group) {
        finish(look, FS_MOVE_LATER, "the group is gone");
    } else if (is_over(look, group)) {
        finish(look, FS_MOVE_LATER, "something else has been done to the group meanwhile");
    } else if (now >= look->until_ns || (!look->done && now >= look->heard_ns + SILENCE_NS)) {
        (void)snprintf(text, sizeof(text), "%.200s %s", look->peer,
                       !session     ? "is not connected"
                       : look->done ? "has not answered in time"
                                    : "has not said in time whether it is up there");
        finish(look, FS_MOVE_LATER, text);
    } else if (is_older(groups->ctx, look->peer)) {
        finish(look, FS_MOVE_YES, "");
    } else if (session && now >= look->sent_ns + (look->done ? ASK_NS : AGAIN_NS)) {
        look->sent_ns = now;
        send_look(look, session, group->record);
    }
}

int64_t fs_relocate_looks_run(struct fs_relocate_looks *looks)
{
    int64_t now = fs_context_boot(looks->groups->ctx);
    struct look *after;

    for (struct look *look = looks->list; look; look = after) {
        after = look->next;
        run(look, now);
    }
    return looks->list ? now + AGAIN_NS : INT64_MAX;
}

static struct look *new_look(const struct fs_group *group, enum fs_move_what what, int64_t limit_ns)
{
    struct fs_context *ctx = group->ctx;
    struct look *look = calloc(1, sizeof(*look));

    if (look) {
        *look = (struct look){
            .looks = ctx->groups->moves,
            .group = group->record->group,
            .what = what,
            .until_ns = fs_context_boot(ctx) + limit_ns,
            .heard_ns = fs_context_boot(ctx),
            .next = ctx->groups->moves->list,
        };
        (void)snprintf(look->peer, sizeof(look->peer), "%s", group->record->peer);
        ctx->groups->moves->list = look;
        ctx->kick(ctx->hook_arg);
    }
    return look;
}

bool fs_relocate_look_start(struct fs_group *group, fs_relocate_look_fn *done, void *arg)
{
    struct look *look = new_look(group, FS_MOVE_LOOK, PLAN_NS);

    if (look) {
        look->done = done;
        look->arg = arg;
    }
    return look != NULL;
}

static struct look *watched(const struct fs_group *group)
{
    struct look *look = group->ctx->groups->moves->list;

    while (look && (look->done || !fs_uuid_equal(&look->group, &group->record->group))) {
        look = look->next;
    }
    return look;
}

void fs_relocate_watch(struct fs_group *group, struct fs_operation_result *result, bool again)
{
    struct look *look = watched(group);

    if (look) {
        look_free(look);
    }
    look = !is_older(group->ctx, group->record->peer)
               ? new_look(group, again ? FS_MOVE_BRING : FS_MOVE_COMES, WATCH_NS)
               : NULL;
    if (look) {
        look->serial = group->operation->serial;
        result->coming = true;
        result->coming_ns = fs_context_boot(group->ctx);
    }
}

const char *fs_relocate_watch_text(const struct fs_group *group)
{
    const struct look *look = watched(group);

    return look ? look->text : "";
}

void fs_relocate_look_answered(struct fs_groups *groups, const char *peer,
                               const struct fs_move_answer *answer)
{
    struct look *look = groups->moves->list;

    while (look && !(look->what == answer->what && fs_uuid_equal(&look->group, &answer->group) &&
                     strcmp(look->peer, peer) == 0)) {
        look = look->next;
    }
    if (!look) {
        return;
    }
    look->heard_ns = fs_context_boot(groups->ctx);
    if (answer->outcome != FS_MOVE_LATER) {
        finish(look, answer->outcome, answer->message);
        return;
    }
    (void)snprintf(look->text, sizeof(look->text), "%s", answer->message);
    if (look->what == FS_MOVE_BRING) { /* it is at it */
        look->what = FS_MOVE_COMES;
    }
}

/* --- answering -------------------------------------------------------------------------------- */

/* Where the session is another one by now it is asked again. */
static void checked(void *arg, const json_t *report, const struct fs_error *err)
{
    struct answer *answer = arg;
    struct fs_session *session = session_with(answer->looks->groups->ctx, answer->peer);
    const struct fs_move asked = {.group = answer->group, .what = FS_MOVE_LOOK};
    bool none = json_array_size(report) == 0;
    char text[sizeof(((struct fs_move_answer *)NULL)->message)];

    if (session) {
        fs_relocate_answer(session, &asked, none && err ? FS_MOVE_NO : FS_MOVE_YES,
                           none && err ? err->message
                                       : fs_workload_check_text(report, err, text, sizeof(text)));
    }
    answer_free(answer);
}

static bool is_checking(const struct fs_relocate_looks *looks, const struct fs_uuid *group)
{
    for (const struct answer *answer = looks->answers; answer; answer = answer->next) {
        if (fs_uuid_equal(&answer->group, group)) {
            return true;
        }
    }
    return false;
}

/* False: there is nothing to look at. */
static bool check(struct fs_group *group, const char *peer)
{
    struct fs_relocate_looks *looks = group->ctx->groups->moves;
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    struct answer *answer =
        newest && fs_workload_is_managed(group) ? calloc(1, sizeof(*answer)) : NULL;

    if (!answer) {
        return false;
    }
    *answer =
        (struct answer){.looks = looks, .group = group->record->group, .next = looks->answers};
    (void)snprintf(answer->peer, sizeof(answer->peer), "%s", peer);
    looks->answers = answer;
    if (!fs_workload_check(group, &newest->point.id, checked, answer)) {
        answer_free(answer);
        return false;
    }
    return true;
}

static enum fs_move_outcome look_here(struct fs_group *group, const char *peer)
{
    bool at_it = is_checking(group->ctx->groups->moves, &group->record->group);

    return at_it || check(group, peer) ? FS_MOVE_LATER : FS_MOVE_YES;
}

/* Has what uses the volumes come up here? */
static enum fs_move_outcome has_come(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_record *record = group->record;
    const struct fs_operation_result *result =
        group->operation ? &group->operation->result : &group->finished;

    (void)snprintf(text, size, "%s", "");
    if (record->role == FS_ROLE_PRIMARY && !fs_workload_is_managed(group)) {
        return FS_MOVE_YES;
    }
    if (record->role == FS_ROLE_PRIMARY && result->workload.ran) {
        (void)snprintf(text, size, "%.500s",
                       result->workload.failed ? result->workload.message : "it is up");
        return result->workload.failed ? FS_MOVE_NO : FS_MOVE_YES;
    }
    if (group->operation) {
        fs_operation_text(group, text, size);
        return FS_MOVE_LATER;
    }
    if (record->role == FS_ROLE_SECONDARY || record->role == FS_ROLE_SUPERSEDED) {
        (void)snprintf(text, size, "it is %s there", fs_role_name(record->role));
        return FS_MOVE_NO;
    }
    if (record->role == FS_ROLE_PRIMARY && !record->bring_up.present) {
        (void)snprintf(text, size,
                       "nothing is to be brought up there any more, and whether it is up is not "
                       "known: look at it there; `farshore history` there has what came of it");
        return FS_MOVE_NO;
    }
    (void)snprintf(text, size, "it is brought up soon");
    return FS_MOVE_LATER;
}

/* False: there is no answer yet, and it is asked again. After LATER only COMES is. */
static bool bring_up(struct fs_group *group, const char *peer, enum fs_move_outcome *ret_outcome,
                     char *text, size_t size)
{
    bool ran = group->record->role == FS_ROLE_PRIMARY && group->finished.workload.ran;
    char who[FS_WHO_SIZE];

    if (!group->operation && fs_bring_up_needed(group)) {
        (void)snprintf(who, sizeof(who), "relocation from %.40s", peer);
        (void)snprintf(text, size, "bringing up what is left over");
        *ret_outcome = FS_MOVE_LATER;
        return fs_bring_up_start(group, who) != 0;
    }
    *ret_outcome = has_come(group, text, size);
    if (*ret_outcome == FS_MOVE_NO && !group->operation && ran) {
        (void)snprintf(text, size,
                       "nothing more is brought up there, look at it there; the last time: %.400s",
                       group->finished.workload.message);
    }
    return *ret_outcome != FS_MOVE_LATER || fs_bring_up_goes_on(group);
}

void fs_relocate_look_asked(struct fs_groups *groups, const char *peer, struct fs_session *session,
                            const struct fs_move *move)
{
    struct fs_group *group = fs_groups_find_uuid(groups, &move->group);
    enum fs_move_outcome outcome = FS_MOVE_NO;
    char text[sizeof(((struct fs_move_answer *)NULL)->message)] = "the group is not known there";

    if (!group || strcmp(group->record->peer, peer) != 0) {
        fs_relocate_answer(session, move, outcome, text);
        return;
    }
    text[0] = '\0';
    bool works = groups->ctx->operators && !groups->stopping, answers = true;
    if (!works && move->what == FS_MOVE_BRING) {
        answers = false;
    } else if (!works) {
        (void)snprintf(text, sizeof(text), "it does not work now: %.300s",
                       groups->ctx->site_reason);
        outcome = FS_MOVE_LATER;
    } else if (move->what == FS_MOVE_LOOK) {
        outcome = look_here(group, peer);
    } else if (move->what == FS_MOVE_BRING) {
        answers = bring_up(group, peer, &outcome, text, sizeof(text));
    } else {
        outcome = has_come(group, text, sizeof(text));
    }
    if (answers) {
        fs_relocate_answer(session, move, outcome, text);
    }
}
