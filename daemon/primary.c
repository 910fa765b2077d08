/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/primary.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/groups.h"
#include "daemon/join.h"
#include "daemon/offer.h"
#include "daemon/peer.h"
#include "daemon/weather.h"
#include "farshore/fault.h"
#include "farshore/log.h"

static void enter(struct fs_group *group, enum fs_phase phase)
{
    group->phase = phase;
    group->phase_since_ns = fs_context_boot(group->ctx);
    if (phase == FS_PHASE_IDLE) {
        group->rate = (struct fs_rate){0};
        group->ctx->kick(group->ctx->hook_arg);
    }
}

/* Whether the error means that this daemon does not work for the site any more. */
static bool is_site_lost(const struct fs_error *err)
{
    return err->code == ESTALE || err->code == ESHUTDOWN;
}

static void report_failure(struct fs_group *group, enum fs_event event, const char *label,
                           const struct fs_verdict *verdict, const struct fs_error *err)
{
    fs_group_failed(group, label, verdict, err);
    fs_log(event, FS_S("group", group->record->name), FS_S("reason", label), FS_E(err));
    if (is_site_lost(err)) {
        group->ctx->site_lost(group->ctx->hook_arg, err);
    }
}

static void report_error(struct fs_group *group, enum fs_event event, const struct fs_error *err)
{
    struct fs_verdict verdict;
    const char *label = fs_verdict_of_error(err, &verdict);

    report_failure(group, event, label, &verdict, err);
}

static struct fs_record *copy_record(struct fs_group *group)
{
    struct fs_record *copy = fs_record_copy(group->record);

    if (copy) {
        copy->quiesced = fs_quiesce_frozen(group);
    }

    if (!copy) {
        struct fs_error err = FS_ERROR_INIT;
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        report_error(group, FS_EV_SYNC_FAILED, &err);
    }
    return copy;
}

/* --- membership, pause: the record as it should be ------------------------------------------- */

static void drop_found(struct fs_group *group)
{
    for (size_t i = 0; i < group->n_found; i++) {
        fs_volume_fini(&group->found[i]);
    }
    free(group->found);
    group->found = NULL;
    group->n_found = 0;
}

int fs_primary_found(struct fs_group *group, const struct fs_found_group *found)
{
    drop_found(group);
    group->seen = group->was_seen = true;
    group->let_go = false;
    (void)snprintf(group->problem, sizeof(group->problem), "%s", found->problem);
    if (group->problem[0]) {
        group->merge_pending = false;
        return 0;
    }
    group->found = calloc(found->n_volumes ? found->n_volumes : 1, sizeof(*group->found));
    if (!group->found) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < found->n_volumes; i++) {
        if (fs_volume_copy(&found->volumes[i], &group->found[group->n_found]) < 0) {
            drop_found(group);
            return -ENOMEM;
        }
        group->n_found++;
    }
    (void)snprintf(group->found_name, sizeof(group->found_name), "%s", found->name);
    (void)snprintf(group->found_policy, sizeof(group->found_policy), "%s", found->policy);
    group->merge_pending = true;
    return 0;
}

int fs_primary_found_too(struct fs_group *group, const struct fs_volume *volume)
{
    if (!group->seen) { /* it is all that is left of it */
        struct fs_found_group none = {.group = group->record->group};
        memcpy(none.name, group->record->name, sizeof(none.name));
        memcpy(none.policy, group->record->policy, sizeof(none.policy));
        if (fs_primary_found(group, &none) < 0) {
            return -ENOMEM;
        }
    }
    struct fs_volume *more = reallocarray(group->found, group->n_found + 1, sizeof(*group->found));
    if (!more) {
        return -ENOMEM;
    }
    group->found = more;
    if (fs_volume_copy(volume, &more[group->n_found]) < 0) {
        return -ENOMEM;
    }
    group->n_found++;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Bring one member up to date. 1: it changed, 0: not, -ENOMEM. */
static int merge_volume(struct fs_record *record, const struct fs_volume *found)
{
    struct fs_record_volume *volume = fs_record_find_image(record, &found->image);

    if (!volume) {
        return fs_record_add_volume(record, found) ? 1 : -ENOMEM;
    }
    struct fs_volume *known = &volume->volume;
    if (!volume->gone && same_text(known->image.name, found->image.name) &&
        same_text(known->pvc, found->pvc) &&
        same_text(known->pvc_namespace, found->pvc_namespace) && same_text(known->vm, found->vm) &&
        same_text(known->labels, found->labels)) {
        return 0;
    }
    struct fs_volume fresh;
    if (fs_volume_copy(found, &fresh) < 0) {
        return -ENOMEM;
    }
    fresh.uuid = known->uuid;
    fs_volume_fini(known);
    *known = fresh;
    volume->gone = false;
    return 1;
}

static bool is_found(const struct fs_group *group, const struct fs_image_ref *image)
{
    for (size_t i = 0; i < group->n_found; i++) {
        if (fs_image_ref_same(&group->found[i].image, image)) {
            return true;
        }
    }
    return false;
}

/* What discovery found, into the record. 1: it changed. */
static int merge_found(const struct fs_group *group, struct fs_record *record)
{
    int changed = 0;

    for (size_t i = 0; i < group->n_found; i++) {
        int rc = merge_volume(record, &group->found[i]);
        if (rc < 0) {
            return rc;
        }
        changed |= rc;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        struct fs_record_volume *volume = &record->volumes[i];
        if (!volume->gone && !is_found(group, &volume->volume.image)) {
            volume->gone = true;
            changed = 1;
        }
    }
    fs_record_drop_stale_seeds(record);
    if (!same_text(record->policy, group->found_policy) ||
        !same_text(record->name, group->found_name)) {
        (void)snprintf(record->policy, sizeof(record->policy), "%s", group->found_policy);
        (void)snprintf(record->name, sizeof(record->name), "%s", group->found_name);
        changed = 1;
    }
    return changed;
}

static int merge_config(const struct fs_group *group, struct fs_record *record)
{
    const struct fs_config_policy *policy =
        fs_config_find_policy(group->ctx->config, record->policy);
    int changed = 0;

    if (policy && !same_text(record->peer, policy->peer)) {
        (void)snprintf(record->peer, sizeof(record->peer), "%s", policy->peer);
        record->peer_term = (struct fs_term){0}; /* of another site's record */
        record->peer_version = 0;
        changed = 1;
    }
    if (policy && policy->interval_ns > 0 && record->interval_ns != policy->interval_ns) {
        record->interval_ns = policy->interval_ns;
        changed = 1;
    }
    return changed;
}

/* The fault point of what a store is for; the group still has the record before it. */
static void pass_store(const struct fs_group *group, const char *first, const char *members,
                       const char *pause)
{
    const char *step = group->pause_pending ? pause : members;

    step = group->record->version == 0 ? first : step;
    (void)step; /* without fault points */
    fs_fault(step);
}

static void store_done(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    bool failed = err && fs_error_is_set(err);

    if (failed) {
        /* What was to be stored is merged anew from what is pending: keep the old record. */
        fs_record_free(record);
        report_error(group, FS_EV_SYNC_FAILED, err);
    } else {
        bool changed = group->record->version > 0 && group->members_changed;
        pass_store(group, "group.stored", "members.stored", "pause.stored");
        fs_group_set_record(group, record);
        if (group->pause_pending && group->record->paused == group->pause_wanted) {
            group->pause_pending = false;
        }
        if (changed) {
            fs_log(FS_EV_GROUP_CHANGED, FS_S("group", group->record->name),
                   FS_U("volumes", group->record->n_volumes));
        }
    }
    group->merge_pending = group->merge_pending && failed;
    enter(group, FS_PHASE_IDLE);
}

/* joining: whose volume becomes a member with it, or NULL. 1: it has begun; 0: there is nothing to
 * store, or not now; -errno: it cannot be. */
static int store_pending(struct fs_group *group, const struct fs_record *joining)
{
    struct fs_context *ctx = group->ctx;
    int64_t now = fs_context_boot(ctx);

    if (group->phase != FS_PHASE_IDLE || !ctx->source || group->problem[0] || group->operation ||
        group->heard_pending || now < group->retry_ns || fs_join_is_over(group)) {
        return 0;
    }
    const struct fs_config_policy *policy = fs_group_policy(group);
    bool config_changed =
        policy && ((policy->interval_ns > 0 && group->record->interval_ns != policy->interval_ns) ||
                   !same_text(group->record->peer, policy->peer));
    if (!group->merge_pending && !group->pause_pending && !config_changed && !joining) {
        return 0;
    }
    struct fs_record *record = copy_record(group);
    if (!record) {
        return -ENOMEM;
    }
    int changed = group->merge_pending ? merge_found(group, record) : 0;
    if (changed >= 0 && joining) {
        int rc = fs_record_join(record, joining);
        changed = rc < 0 ? rc : 1;
    }
    if (changed < 0) {
        fs_record_free(record);
        return changed;
    }
    group->members_changed = changed > 0;
    changed |= merge_config(group, record);
    if (group->pause_pending && record->paused != group->pause_wanted) {
        record->paused = group->pause_wanted;
        changed = 1;
    }
    if (!changed && record->version > 0) {
        group->merge_pending = false;
        group->pause_pending = false;
        fs_record_free(record);
        return 0;
    }
    pass_store(group, "group.store", "members.store", "pause.store");
    enter(group, FS_PHASE_STORING);
    ctx->source->ops->store(ctx->source, record, store_done, group);
    return 1;
}

bool fs_primary_store_pending(struct fs_group *group)
{
    return store_pending(group, NULL) > 0;
}

int fs_primary_take_in(struct fs_group *group, const struct fs_record *joining)
{
    int rc = store_pending(group, joining);

    return rc < 0 ? rc : 0;
}

/* --- when ------------------------------------------------------------------------------------ */

/* The newest point that exists here and is not known to be committed there. */
static struct fs_record_point *uncommitted_point(const struct fs_record *record)
{
    for (size_t i = record->n_points; i-- > 0;) {
        if (record->points[i].state == FS_POINT_COMMITTED) {
            return NULL;
        }
        if (record->points[i].state == FS_POINT_COMPLETE) {
            return &record->points[i];
        }
    }
    return NULL;
}

bool fs_primary_is_first_copy(const struct fs_group *group)
{
    return !fs_record_newest_committed(group->record);
}

/* Whether anything but time keeps it from a sync. */
static bool is_ready(const struct fs_group *group)
{
    const struct fs_context *ctx = group->ctx;

    return group->phase == FS_PHASE_IDLE && (group->seen || fs_group_is_kept(group)) &&
           !group->let_go && !group->problem[0] && ctx->source && group->record->version > 0 &&
           !group->record->paused && !group->pause_pending && !group->operation &&
           !group->heard_pending && !fs_quiesce_is_busy(group) && !fs_group_is_split(group) &&
           !fs_join_is_over(group) && fs_group_policy(group) &&
           fs_peers_session_with_terms(ctx->peers, group->record->peer);
}

int64_t fs_primary_next_ns(const struct fs_group *group)
{
    if (!is_ready(group)) {
        return INT64_MAX;
    }
    bool waits = uncommitted_point(group->record) != NULL;
    if (!waits && fs_weather_full_pool(group)) {
        return INT64_MAX; /* its writers wait already; the snapshot would, too */
    }
    int64_t due = group->checked_ns + fs_weather_interval_ns(group);
    if (due < group->not_before_ns) {
        due = group->not_before_ns;
    }
    if (group->requested || waits) {
        due = INT64_MIN;
    }
    return due > group->retry_ns ? due : group->retry_ns;
}

bool fs_primary_wants_sync(const struct fs_group *group, struct fs_candidate *ret_candidate)
{
    if (fs_primary_next_ns(group) > fs_context_boot(group->ctx) || fs_join_waits(group)) {
        return false;
    }
    *ret_candidate = (struct fs_candidate){
        .deadline_ns =
            group->requested ? INT64_MIN : group->checked_ns + fs_group_interval_ns(group),
        .group = group->record->group,
    };
    return true;
}

/* --- ship and settle ------------------------------------------------------------------------- */

struct settling { /* what settle_done reports */
    struct fs_group *group;
    struct fs_point_id point;
    struct fs_transfer_stats stats;
    int64_t covered_ns; /* since the point before it; 0: not known, or no difference */
};

static void settle_done(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct settling *settling = arg;
    struct fs_group *group = settling->group;
    struct fs_context *ctx = group->ctx;

    fs_group_set_record(group, record);
    if (err && fs_error_is_set(err)) {
        /* The peer has the point; the next offer of it is answered as committed. */
        report_error(group, FS_EV_SYNC_FAILED, err);
    } else {
        int64_t took = fs_context_boot(ctx) - group->sync_began_ns;
        fs_group_succeeded(group);
        fs_join_shipped(group,
                        fs_group_instant_age_ns(group, fs_record_newest_committed(group->record)));
        group->stats.committed++;
        fs_histogram_observe_ns(&group->stats.sync_duration, took);
        fs_change_add(&group->stats.change, settling->covered_ns, took,
                      settling->stats.changed_bytes, settling->stats.wire_bytes);
        fs_log(FS_EV_POINT_COMMITTED, FS_S("group", group->record->name),
               FS_U("seq", settling->point.seq), FS_I("lag_ms", fs_group_lag_ns(group) / FS_MSEC),
               FS_I("duration_ms", took / FS_MSEC), FS_U("bytes", settling->stats.changed_bytes),
               FS_U("wire_bytes", settling->stats.wire_bytes));
    }
    free(settling);
    enter(group, FS_PHASE_IDLE);
}

static void settle(struct fs_group *group, const struct fs_sender_result *result)
{
    struct fs_context *ctx = group->ctx;
    struct fs_record_point *point = uncommitted_point(group->record);
    struct settling *settling = calloc(1, sizeof(*settling));
    struct fs_record *record = settling && point ? copy_record(group) : NULL;

    if (!record || !ctx->source) {
        /* Nothing is lost: it is offered again, and the peer says that it has it. */
        free(settling);
        fs_record_free(record);
        enter(group, FS_PHASE_IDLE);
        return;
    }
    *settling = (struct settling){.group = group, .point = point->point, .stats = result->stats};
    const struct fs_record_point *before = fs_record_newest_committed(group->record);
    if (before && !result->compared) {
        settling->covered_ns = point->taken_ns - before->taken_ns;
    }
    fs_record_find_point(record, &point->point.id)->bytes = result->stats.changed_bytes;
    if (result->objects_lost) {
        fs_record_find_point(record, &point->point.id)->objects = (struct fs_captured){0};
    }
    /* What the peer says it has stored; less than before only where an operator let it. */
    record->peer_term = record->term;
    record->peer_version = result->record_version;
    enter(group, FS_PHASE_SETTLING);
    ctx->source->ops->settle(ctx->source, record, &settling->point.id, result->agreed,
                             point->taken_ns, settle_done, settling);
}

/* A point whose snapshots are gone here can never be shipped: the next take removes what is left
 * of it, as of one that was not finished. */
static void abandon_if_gone(struct fs_group *group, const struct fs_error *err)
{
    struct fs_record_point *point = uncommitted_point(group->record);

    if (point && err->code == ENOENT && err->class == FS_ERR_PERMANENT) {
        point->state = FS_POINT_TAKING;
    }
}

/* What the peer has as the base may not be what we have: without deltas there is no need for it.
 * Not again until the daemon restarts, or every point would be sent twice. */
static void note_deltas(struct fs_group *group, const struct fs_sender_result *result)
{
    if (result->outcome == FS_SENT_REFUSED && result->stats.delta_bytes > 0 &&
        (result->refusal == FS_REFUSE_DIGEST || result->refusal == FS_REFUSE_BROKEN)) {
        group->deltas_refused = true;
    }
}

static void sent(void *arg, const struct fs_sender_result *result)
{
    struct fs_group *group = arg;
    struct fs_verdict verdict;

    group->sender = NULL;
    group->cancelled = false;
    note_deltas(group, result);
    fs_group_stats_add(&group->stats, &result->stats);
    fs_group_stats_speed(&group->stats, result->stats.wire_bytes,
                         fs_context_boot(group->ctx) - group->phase_since_ns);
    if (result->stats.resumed_bytes > 0) {
        fs_log(FS_EV_SYNC_RESUMED, FS_S("group", group->record->name),
               FS_U("resumed_bytes", result->stats.resumed_bytes),
               FS_U("resent_bytes", result->stats.resent_bytes),
               FS_U("wire_bytes", result->stats.wire_bytes));
    }
    if (result->compared && result->outcome == FS_SENT_COMMITTED) {
        fs_log(FS_EV_REBASED, FS_S("group", group->record->name),
               FS_U("bytes", result->stats.changed_bytes),
               FS_U("wire_bytes", result->stats.wire_bytes));
    }
    switch (result->outcome) {
    case FS_SENT_COMMITTED:
        settle(group, result);
        return;
    case FS_SENT_REFUSED: {
        const char *label = fs_verdict_of_refusal(result->refusal, &result->err, &verdict);
        if (result->refusal == FS_REFUSE_TRIMMING) {
            fs_weather_peer_trims(group);
        }
        report_failure(
            group, result->refusal == FS_REFUSE_DIGEST ? FS_EV_DIGEST_MISMATCH : FS_EV_SYNC_FAILED,
            label, &verdict, &result->err);
        break;
    }
    case FS_SENT_FAILED:
        if (result->err.class == FS_ERR_CANCELLED) {
            break;
        }
        if (!fs_peers_session(group->ctx->peers, group->record->peer)) {
            /* peer_down says it all; the next session tries at once. */
            fs_group_stats_failed(&group->stats, "peer_lost");
            break;
        }
        report_error(group, FS_EV_SYNC_FAILED, &result->err);
        abandon_if_gone(group, &result->err);
        break;
    }
    enter(group, FS_PHASE_IDLE);
}

static void ship(struct fs_group *group, const struct fs_record_point *point)
{
    struct fs_context *ctx = group->ctx;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_offer offer;

    if (fs_offer_build(group->record, &point->point.id, ctx->fsid,
                       fs_group_instant_age_ns(group, point), fs_group_interval_ns(group), &offer,
                       &err) < 0) {
        report_error(group, FS_EV_SYNC_FAILED, &err);
        enter(group, FS_PHASE_IDLE);
        return;
    }
    struct fs_session *session = fs_peers_session(ctx->peers, group->record->peer);
    if (fs_offer_fit(&offer, fs_session_peer(session)->features, &err) < 0) {
        fs_offer_fini(&offer);
        report_error(group, FS_EV_SYNC_FAILED, &err);
        enter(group, FS_PHASE_IDLE);
        return;
    }
    const struct fs_sender_options options = {
        .source = ctx->source,
        .digester = ctx->digester,
        .session = session,
        .cpu = ctx->cpu,
        .clock = ctx->clock,
        .budget = &ctx->sending,
        .tuner = fs_peers_tuner(ctx->peers, group->record->peer),
        .reach = &group->reach,
        .delta = group->deltas_refused ? FS_DELTA_NEVER : ctx->config->delta,
    };
    enter(group, FS_PHASE_SHIPPING);
    group->sender = fs_sender_start(&options, group->record, &point->point.id, &offer, sent, group);
    if (!group->sender) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        report_error(group, FS_EV_SYNC_FAILED, &err);
        enter(group, FS_PHASE_IDLE);
    }
}

/* --- take ------------------------------------------------------------------------------------ */

static void note_slow(struct fs_group *group, const char *reason)
{
    if (reason[0] && strcmp(group->slow_reason, reason) != 0) {
        fs_log(FS_EV_SLOW_DIFF, FS_S("group", group->record->name), FS_S("reason", reason));
    }
    (void)snprintf(group->slow_reason, sizeof(group->slow_reason), "%s", reason);
}

static void taken(struct fs_group *group, const struct fs_take_result *result)
{
    const struct fs_record_point *point = uncommitted_point(group->record);

    group->checked_ns = group->take_began_ns;
    if (point) {
        int64_t age = fs_context_wall(group->ctx) - point->taken_ns;
        fs_group_note_instant(group, &point->point.id, age > 0 ? age : 0);
    }
    fs_histogram_observe_ns(&group->stats.snapshot_pause, result->pause_ns);
    fs_log(FS_EV_POINT_TAKEN, FS_S("group", group->record->name),
           FS_U("seq", point ? point->point.seq : 0), FS_I("pause_ms", result->pause_ns / FS_MSEC));
    /* Where the session went meanwhile the point waits for the next one. */
    if (point && is_ready(group)) {
        ship(group, point);
    }
}

static void take_failed(struct fs_group *group, const struct fs_take_result *result)
{
    struct fs_verdict verdict;

    if (result->err.class == FS_ERR_CANCELLED) {
        return;
    }
    const char *label = fs_verdict_of_take(result->reason, &result->err, &verdict);
    /* A hook of librbd's that hangs would make it so each time. */
    const struct fs_config_policy *policy = fs_group_policy(group);
    group->skip_hooks =
        result->reason == FS_TAKE_BOUND_PASSED && policy && !policy->quiesce_or_skip;
    report_failure(group,
                   result->reason == FS_TAKE_BOUND_PASSED ? FS_EV_TAKE_KILLED : FS_EV_TAKE_FAILED,
                   label, &verdict, &result->err);
    group->requested = group->requested || group->take_requested;
}

static void frozen(void *arg, int64_t until_ns, const struct fs_error *err);

static void take_done(void *arg, struct fs_take_result *result)
{
    struct fs_group *group = arg;

    fs_group_set_record(group, result->record);
    result->record = NULL;
    note_slow(group, result->slow_reason);
    if (result->outcome == FS_TAKE_PREPARED) {
        fs_quiesce_freeze(group, frozen, group);
        return;
    }
    fs_quiesce_thaw(group);
    group->record->quiesced = fs_quiesce_frozen(group);
    enter(group, FS_PHASE_IDLE);
    switch (result->outcome) {
    case FS_TAKE_POINT:
        group->skip_hooks = false;
        taken(group, result);
        break;
    case FS_TAKE_UNCHANGED:
        group->checked_ns = group->take_began_ns;
        group->stats.unchanged++;
        group->unchanged_until_ns = group->take_began_ns; /* a moment before the check began */
        fs_group_succeeded(group);
        fs_join_shipped(group, 0);
        fs_log(FS_EV_POINT_UNCHANGED, FS_S("group", group->record->name));
        break;
    default:
        take_failed(group, result);
        break;
    }
}

static struct fs_take_request make_request(const struct fs_group *group, struct fs_record *record)
{
    const struct fs_config_policy *policy = fs_group_policy(group);

    return (struct fs_take_request){
        .record = record,
        .refuse_not_one_instant = policy && policy->refuse_not_one_instant,
        .refuse_unquiesced = policy && policy->quiesce_or_skip,
        .skip_hooks = group->skip_hooks,
        .volume_missing = fs_join_is_missing(group),
        .bound_ns = policy ? policy->snapshot_timeout_ns : 5 * FS_SEC,
    };
}

/* A point that is not taken after all stays half-taken in the record, for the next take to remove.
 */
static void leave_point(struct fs_group *group, const struct fs_error *err)
{
    struct fs_verdict verdict = FS_VERDICT_OK;

    if (err) {
        fs_verdict_add(&verdict, FS_STATE_ERROR,
                       "see the log; quiesce.on_failure: crash takes such points all the same",
                       "no point is taken: %s", err->message);
        report_failure(group, FS_EV_TAKE_FAILED, "freeze_failed", &verdict, err);
        group->requested = group->requested || group->take_requested;
    }
    fs_quiesce_thaw(group);
    enter(group, FS_PHASE_IDLE);
}

static void frozen(void *arg, int64_t until_ns, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_context *ctx = group->ctx;
    const struct fs_config_policy *policy = fs_group_policy(group);

    if (!ctx->source || ctx->groups->stopping || !policy) {
        leave_point(group, NULL);
        return;
    }
    if (err && policy->quiesce_or_skip) {
        leave_point(group, err);
        return;
    }
    struct fs_record *record = copy_record(group);
    if (!record) {
        leave_point(group, NULL);
        return;
    }
    struct fs_take_request request = make_request(group, record);
    request.application_until_ns = until_ns;
    ctx->source->ops->snapshot(ctx->source, &request, take_done, group);
}

/* The objects are captured; a configuration without the policy, and a site that is lost, may have
 * come meanwhile. */
static void take_now(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    const struct fs_record_point *base = fs_record_newest_committed(group->record);
    bool goes_on = ctx->source && fs_group_policy(group) && !ctx->groups->stopping;
    struct fs_record *record = goes_on ? copy_record(group) : NULL;

    if (!record) {
        fs_capture_end(group);
        enter(group, FS_PHASE_IDLE);
        return;
    }
    struct fs_take_request request = make_request(group, record);
    request.base = base ? &base->point.id : NULL;
    request.objects = group->capture.objects;
    request.packed = group->capture.packed.length > 0 ? &group->capture.packed : NULL;
    /* A relocation stops what uses the volumes anyway. */
    unsigned kinds = group->operation ? 0 : fs_quiesce_wanted(group);
    request.prepare = kinds != 0;
    record->quiesced |= kinds;
    ctx->source->ops->take(ctx->source, &request, take_done, group);
    fs_capture_end(group);
}

static void take(struct fs_group *group)
{
    group->take_began_ns = fs_context_boot(group->ctx);
    group->take_requested = group->requested;
    group->requested = false;
    enter(group, FS_PHASE_TAKING);
    if (!fs_capture_start(group, take_now)) {
        take_now(group);
    }
}

void fs_primary_sync(struct fs_group *group)
{
    const struct fs_record_point *point = uncommitted_point(group->record);

    group->sync_began_ns = fs_context_boot(group->ctx);
    if (point) {
        ship(group, point);
    } else {
        take(group);
    }
}

void fs_primary_cancel(struct fs_group *group)
{
    if (group->sender && !group->cancelled) {
        group->cancelled = true;
        fs_sender_cancel(group->sender);
    }
}

void fs_primary_peer_changed(struct fs_group *group)
{
    /* A new session is a new chance, and what it was told is told again. */
    group->retry_ns = 0;
    group->failures = 0;
    group->sending = false;
}
