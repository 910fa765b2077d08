/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A failover is forward only from its record on: RAISE stores the term, the role and the point in
 * one write, and from then on every start of the daemon carries it on. Before it nothing has
 * changed.
 */
#include "daemon/failover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/fence.h"
#include "daemon/fence_peer.h"
#include "daemon/join.h"
#include "daemon/operation_hooks.h"
#include "daemon/operation_log.h"
#include "daemon/peer.h"
#include "daemon/recovery.h"
#include "daemon/terms.h"
#include "daemon/workload.h"
#include "farshore/fault.h"
#include "farshore/log.h"

enum { STOP, LOOK, FENCE, RECOVER, RAISE, PROMOTE };

static const struct fs_operation_kind kind;

/* --- may it be, and what would it do --------------------------------------------------------- */

static const struct fs_record_point *wanted_point(const struct fs_record *record,
                                                  const struct fs_uuid *wanted)
{
    if (fs_uuid_is_zero(wanted)) {
        return fs_record_newest_committed(record);
    }
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state == FS_POINT_COMMITTED &&
            fs_uuid_equal(&record->points[i].point.id, wanted)) {
            return &record->points[i];
        }
    }
    return NULL;
}

static const char *refuse_secondary(const struct fs_record *record, const struct fs_uuid *wanted,
                                    const struct fs_record_point **ret_point, char *text,
                                    size_t size)
{
    *ret_point = wanted_point(record, wanted);
    if (*ret_point) {
        return NULL;
    }
    (void)snprintf(text, size,
                   fs_uuid_is_zero(wanted)
                       ? "%s has no recovery point here: there is nothing to promote"
                       : "%s has no recovery point of that id here: see `farshore points`",
                   record->name);
    return text;
}

/* A site that was primary: what left the group since is its users', and may have lost its
 * snapshots. */
static const char *refuse_back(struct fs_record *record, const struct fs_uuid *wanted,
                               const struct fs_record_point **ret_point, char *text, size_t size)
{
    if (refuse_secondary(record, wanted, ret_point, text, size)) {
        return text;
    }
    for (size_t i = 0; i < (*ret_point)->n_contents; i++) {
        const struct fs_record_content *content = &(*ret_point)->contents[i];
        const struct fs_record_volume *volume = fs_record_find_volume(record, &content->volume);

        if (!volume || volume->gone || content->snap_id == 0) {
            (void)snprintf(
                text, size,
                "the point has a volume, %.200s, that has left %.200s since: give a newer "
                "--point, or none, to go on from what the volumes hold",
                volume ? volume->volume.image.name : "?", record->name);
            *ret_point = NULL;
            return text;
        }
    }
    return NULL;
}

/*
 * A primary that is cut off may be told to carry on alone: a peer that was promoted meanwhile then
 * meets an equal or higher term. It has done so already where the peer cannot have seen its term.
 */
bool fs_failover_is_done(const struct fs_group *group)
{
    const struct fs_record *record = group->record;

    if (record->role != FS_ROLE_PRIMARY || fs_group_is_split(group) || group->operation) {
        return false;
    }
    return fs_peers_session(group->ctx->peers, record->peer) ||
           (record->term.number > 1 && !fs_term_same(&record->term, &record->peer_term));
}

/* Of a promotion that has begun: the one that it goes to may turn out not to be whole. */
static bool is_another_point(const struct fs_record *record, const struct fs_uuid *wanted)
{
    return record->role == FS_ROLE_PROMOTING && !fs_uuid_is_zero(wanted) &&
           !fs_uuid_equal(wanted, &record->promotion.point);
}

static const char *refuse_another(const struct fs_group *group, const struct fs_uuid *wanted,
                                  const struct fs_record_point **ret_point, char *text, size_t size)
{
    if (group->operation && group->operation->working) {
        (void)snprintf(text, size, "%s is being promoted to another point just now: try again",
                       group->record->name);
        return text;
    }
    return refuse_secondary(group->record, wanted, ret_point, text, size);
}

const char *fs_failover_refusal(const struct fs_group *group, const struct fs_uuid *wanted,
                                const struct fs_record_point **ret_point, char *text, size_t size)
{
    const struct fs_record *record = group->record;

    *ret_point = NULL;
    if (!group->ctx->operators) {
        (void)snprintf(text, size, "this site does not work now: %s", group->ctx->site_reason);
        return text;
    }
    if (group->operation && group->operation->kind != &kind && group->operation->working) {
        (void)snprintf(text, size, "another operation on %s is under way: %s; try again",
                       record->name, group->operation->kind->name);
        return text;
    }
    if (fs_join_holds(group, text, size)) {
        return text;
    }
    switch (record->role) {
    case FS_ROLE_SECONDARY:
        return refuse_secondary(record, wanted, ret_point, text, size);
    case FS_ROLE_PROMOTING:
        *ret_point = wanted_point(record, &record->promotion.point);
        if (is_another_point(record, wanted)) {
            return refuse_another(group, wanted, ret_point, text, size);
        }
        return NULL;
    case FS_ROLE_PRIMARY:
        if (fs_failover_is_done(group)) {
            (void)snprintf(text, size, "this site is primary for %s already, in term %" PRIu64,
                           record->name, record->term.number);
            return text;
        }
        break;
    case FS_ROLE_SUPERSEDED:
    case FS_ROLE_DEMOTED:
        break;
    default:
        (void)snprintf(text, size, "%s is %s here: its records must be found first", record->name,
                       fs_role_name(record->role));
        return text;
    }
    /* It goes on from what its volumes hold, where no point is asked for. */
    return fs_uuid_is_zero(wanted) ? NULL
                                   : refuse_back(group->record, wanted, ret_point, text, size);
}

int64_t fs_failover_loss_ns(const struct fs_group *group, const struct fs_record_point *point)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);

    if (!point) {
        return -1;
    }
    int64_t loss =
        point == newest ? fs_group_lag_ns(group) : fs_context_wall(group->ctx) - point->taken_ns;
    return loss > 0 ? loss : 0;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* What is lost counts from the moment in which the term is raised: nothing comes after it. */
static void note_point(struct fs_group *group, const struct fs_record_point *point)
{
    struct fs_operation_result *result = &group->operation->result;

    result->has_point = point != NULL;
    if (point) {
        result->point = point->point;
        result->taken_ns = point->taken_ns;
        result->loss_ns = fs_failover_loss_ns(group, point);
    }
}

/* Not at a site that was superseded with some of its images not let go of. */
static bool is_under_way(const struct fs_record *record)
{
    return record->promotion.present &&
           (record->role == FS_ROLE_PROMOTING || record->role == FS_ROLE_PRIMARY);
}

/* Images may be at a point that a promotion went to before: promote.c believes none then. */
static void doubt_images(struct fs_record *record)
{
    fs_record_clear_incoming(record);
    record->incoming.present = true; /* of nothing that is known */
    record->incoming.point.term = record->term;
    fs_uuid_random(&record->incoming.point.id);
}

/* --- the users of our own volumes --------------------------------------------------------------
 */

/* Of a site that was primary, and is to go back to a point: its images are its users' until then.
 */
static bool takes_from_users(const struct fs_group *group)
{
    const struct fs_record *record = group->record;

    return !fs_uuid_is_zero(&group->operation->point) && !is_under_way(record) &&
           record->role != FS_ROLE_SECONDARY;
}

static void looked(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;
    char text[700];

    if (err && err->code == EBUSY) {
        fs_operation_take_back(group, NULL, NULL);
        group->operation->result.refused = true;
        (void)snprintf(text, sizeof(text),
                       "the volumes are to go back to a point, and are in use: %.400s; stop what "
                       "uses them, or `farshore fence %.100s`; nothing was changed",
                       err->message, group->record->name);
        fs_operation_finish(group, true, text);
    } else if (fs_operation_take_back(group, NULL, err)) {
        fs_operation_enter(group, FENCE);
    }
}

static void look_for_users(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (!takes_from_users(group)) {
        fs_operation_enter(group, FENCE);
        return;
    }
    group->phase = FS_PHASE_OPERATING;
    group->operation->working = true;
    ctx->operators->ops->unused(ctx->operators, group->record, &group->operation->doing, looked,
                                group);
}

/* --- the users of the other site's volumes ---------------------------------------------------- */

static void not_fenced(struct fs_group *group, const char *why)
{
    struct fs_operation_result *result = &group->operation->result;
    const char *peer = group->record->peer;
    char text[700];

    if (group->operation->fence == FS_FENCE_REQUIRED) {
        result->refused = true;
        (void)snprintf(text, sizeof(text),
                       "the users of %.100s's volumes cannot be fenced, and that is required: "
                       "%.400s; nothing was changed here",
                       peer, why);
        fs_operation_finish(group, true, text);
        return;
    }
    (void)snprintf(
        result->fencing, sizeof(result->fencing),
        "nobody was fenced now (%.400s): what runs on the volumes at %.100s goes on until "
        "it learns of this, and is fenced there then",
        why, peer);
    fs_operation_log(group, "not_fenced", &group->operation->id, group->operation->who, why);
    fs_operation_enter(group, RECOVER);
}

static void fenced(struct fs_group *group, const char *where)
{
    struct fs_operation *operation = group->operation;

    (void)snprintf(operation->result.fencing, sizeof(operation->result.fencing), "fenced at %s",
                   where);
    fs_operation_log(group, "fenced", &operation->id, operation->who, where);
    fs_operation_enter(group, RECOVER);
}

/* Back from the worker that did it in the other site's cluster. */
static void fenced_there(void *arg, const struct fs_fence *list, size_t count, bool all_seen,
                         const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_groups *groups = group->ctx->groups;
    char text[200];

    (void)all_seen;
    groups->noting--;
    fs_fences_stop(groups->fences); /* read again */
    group->operation->working = false;
    groups->ctx->kick(groups->ctx->hook_arg);
    if (groups->stopping) {
        return; /* it begins anew */
    }
    if (err && fs_error_is_set(err)) {
        not_fenced(group, err->message);
        return;
    }
    fs_fence_log_each(group, "client_fenced", list, count);
    (void)snprintf(text, sizeof(text), "%.100s: %zu client%s out, through its cluster",
                   group->record->peer, count, count == 1 ? " is" : "s are");
    fenced(group, text);
}

/* Without the peer's daemon; why: it cannot be asked. */
static void fence_there(struct fs_group *group, const char *why)
{
    struct fs_operation *operation = group->operation;
    struct fs_operator *operators = group->ctx->operators;
    struct fs_fence_order *order = calloc(1, sizeof(*order));

    if (order && fs_fence_order_other(group, operation->who, order)) {
        operation->working = true;
        group->ctx->groups->noting++;
        operators->ops->fence(operators, order, &operation->doing, fenced_there, group);
    } else {
        not_fenced(group, why);
    }
    free(order);
}

/* A term that was heard of and is not stored yet is above ours, too. */
static void count_heard(const struct fs_group *group, struct fs_record *record)
{
    if (group->heard_pending && group->heard.number > record->peer_term.number) {
        record->peer_term = group->heard;
        record->peer_version = 0;
    }
}

/* Before anything is changed here; from the raised term on it is history. */
static void fence_other(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    struct fs_record next = {.term = group->record->term,
                             .peer_term = group->record->peer_term,
                             .grant = group->record->grant};
    char text[600];

    if (operation->fence == FS_FENCE_NONE || group->record->promotion.present) {
        (void)snprintf(operation->result.fencing, sizeof(operation->result.fencing),
                       operation->fence == FS_FENCE_NONE
                           ? "nobody was fenced: what still runs on the volumes at the other site "
                             "goes on there until it is stopped"
                           : "what was fenced at the other site is in the history of the group");
        fs_operation_enter(group, RECOVER);
        return;
    }
    count_heard(group, &next);
    fs_record_raise_term(&next, &group->ctx->site_uuid);
    switch (fs_fence_peer_ask(group, next.term.number, text, sizeof(text))) {
    case FS_FENCE_WAIT:
        operation->retry_ns = fs_context_boot(group->ctx) + 1 * FS_SEC;
        return;
    case FS_FENCE_FENCED:
        fenced(group, text);
        return;
    case FS_FENCE_IMPOSSIBLE:
        fence_there(group, text);
        return;
    }
}

static void recovered(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (fs_operation_take_back(group, record, err)) {
        fs_operation_enter(group, RAISE);
    }
}

static void gone_elsewhere(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    bool failed = err && fs_error_is_set(err);

    if (failed) {
        fs_record_free(record); /* the same is stored again, and is known by that */
    }
    (void)fs_operation_take_back(group, failed ? NULL : record, err);
}

/* The promotion goes to another point: images may be at the former one by now, so each is compared.
 */
static void go_elsewhere(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_record *record = fs_operation_hand_over(group);

    if (record) {
        record->promotion.point = group->operation->point;
        doubt_images(record);
        ctx->source->ops->store(ctx->source, record, gone_elsewhere, group);
    }
}

static void recover(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (fs_join_is_over(group) && fs_join_of(group)->operation) {
        group->operation->retry_ns = fs_context_boot(ctx) + FS_SEC / 5; /* that comes first */
        return;
    }
    if (is_another_point(group->record, &group->operation->point)) {
        go_elsewhere(group);
        return;
    }
    if (is_under_way(group->record)) {
        note_point(group, wanted_point(group->record, &group->record->promotion.point));
        fs_operation_enter(group, PROMOTE);
        return;
    }
    if (!fs_recovery_needed(group->record)) {
        fs_operation_enter(group, RAISE);
        return;
    }
    struct fs_record *record = fs_operation_hand_over(group);
    if (record) {
        ctx->sink->ops->recover(ctx->sink, record, recovered, group);
    }
}

static void succeed(struct fs_group *group)
{
    const struct fs_record *record = group->record;
    struct fs_operation_result *result = &group->operation->result;
    char name[FS_SNAP_NAME_SIZE], text[300];

    fs_group_succeeded(group);
    if (result->has_point) {
        (void)snprintf(text, sizeof(text),
                       "primary in term %" PRIu64 ", at point %s, loss at most "
                       "%.1f s",
                       record->term.number, fs_point_snap_name(&result->point, name),
                       (double)result->loss_ns / (double)FS_SEC);
    } else {
        (void)snprintf(text, sizeof(text),
                       "primary in term %" PRIu64 ", from what the volumes hold",
                       record->term.number);
    }
    fs_log(
        FS_EV_PROMOTED, FS_S("group", record->name), FS_U("term", record->term.number),
        FS_S("point", result->has_point ? name : NULL),
        FS_I("loss_ms", result->has_point ? result->loss_ns / FS_MSEC : 0),
        FS_I("duration_ms", (fs_context_boot(group->ctx) - group->operation->began_ns) / FS_MSEC));
    group->recovery_pending = false;
    fs_terms_send_group(group);
    fs_operation_conclude(group, text);
}

static void raised(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    char text[80];

    if (err && fs_error_is_set(err)) {
        fs_record_free(record); /* the same is stored again, and is known by that */
        (void)fs_operation_take_back(group, NULL, err);
        return;
    }
    (void)fs_operation_take_back(group, record, NULL);
    fs_fault("promote.raised");
    (void)snprintf(text, sizeof(text), "term %" PRIu64, group->record->term.number);
    fs_operation_log(group, "raised", &group->operation->id, group->operation->who, text);
    fs_terms_send_group(group);
    if (group->record->promotion.present) {
        fs_operation_enter(group, PROMOTE);
    } else {
        succeed(group);
    }
}

static void raise_term(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    struct fs_context *ctx = group->ctx;
    const struct fs_record_point *point;
    struct fs_error err = FS_ERROR_INIT;
    char text[512];

    if (fs_failover_refusal(group, &operation->point, &point, text, sizeof(text))) {
        (void)fs_error_set(&err, FS_ERR_PERMANENT, EPERM, "%s", text);
        fs_operation_failed(group, &err);
        return;
    }
    note_point(group, point);
    struct fs_record *record = fs_operation_hand_over(group);
    if (!record) {
        return;
    }
    if (takes_from_users(group)) {
        record->following = (struct fs_record_following){.present = true, .from = record->term};
    }
    count_heard(group, record);
    fs_record_raise_term(record, &ctx->site_uuid);
    record->fence = operation->fence != FS_FENCE_NONE;
    record->fence_users = false;
    record->bring_up.present = fs_workload_is_managed(group);
    record->bring_up.point = point ? point->point.id : (struct fs_uuid){0};
    if (point) {
        if (record->promotion.present) {
            doubt_images(record);
        }
        record->role = FS_ROLE_PROMOTING;
        record->promotion = (struct fs_record_promotion){.present = true, .point = point->point.id};
    } else {
        /* A relocation had taken the images, or a promotion has not let go of all. */
        bool parked = record->role == FS_ROLE_DEMOTED || record->promotion.present;
        fs_record_become_primary(record);
        if (parked) {
            record->promotion = (struct fs_record_promotion){
                .present = true, .point = fs_record_newest_committed(record)->point.id};
        }
    }
    fs_fault("promote.raise");
    ctx->source->ops->store(ctx->source, record, raised, group);
}

static void promoted(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;

    if (fs_operation_take_back(group, record, err)) {
        succeed(group);
    }
}

static void promote(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    struct fs_record *record = fs_operation_hand_over(group);

    if (record) {
        ctx->operators->ops->promote(ctx->operators, record, &group->operation->doing, promoted,
                                     group);
    }
}

static const struct fs_operation_step steps[] = {
    [STOP] = {"waiting for what is under way to end", 20 * FS_SEC, fs_operation_run_stop, 0},
    [LOOK] = {"looking who uses the images", 20 * FS_SEC, look_for_users, FS_STEP_SHOWS_DOING},
    [FENCE] = {"having the other site fence its users", 75 * FS_SEC, fence_other, 0},
    [RECOVER] = {"finishing a commit", 20 * FS_SEC, recover, 0},
    [RAISE] = {"raising the term", 20 * FS_SEC, raise_term, 0},
    [PROMOTE] = {"promoting the images", 30 * FS_SEC, promote, FS_STEP_SHOWS_DOING},
};

static const struct fs_operation_kind kind = {
    .name = "failover", .steps = steps, .brings_up = true};

/* --- life ------------------------------------------------------------------------------------- */

uint64_t fs_failover_start(struct fs_group *group, const struct fs_uuid *wanted,
                           enum fs_fence_mode fence, const char *who)
{
    if (group->operation && group->operation->kind != &kind) { /* it waits for something */
        fs_operation_finish(group, true, "a failover was asked for instead");
    } else if (group->operation && is_another_point(group->record, wanted)) {
        fs_operation_finish(group, true, "another point was asked for instead");
    }
    struct fs_operation *operation = group->operation;
    if (!operation) {
        operation = fs_operation_start(group, &kind, who);
        if (!operation) {
            return 0;
        }
        operation->point = *wanted;
        operation->fence = fence;
    }
    return operation->serial;
}

void fs_failover_resume(struct fs_group *group)
{
    if (is_under_way(group->record)) {
        struct fs_operation *operation = fs_operation_start(group, &kind, "");
        if (operation) {
            operation->fence = group->record->fence ? FS_FENCE_BEST_EFFORT : FS_FENCE_NONE;
        }
    }
}
