/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/groups.h"
#include "daemon/operation.h"
#include "daemon/peer.h"
#include "daemon/weather.h"
#include "farshore/log.h"

/* A transfer that moves nothing for so long is stalled. */
#define STALL_NS (60 * FS_SEC)

struct fs_group *fs_group_new(struct fs_context *ctx, struct fs_record *record)
{
    struct fs_group *group = calloc(1, sizeof(*group));

    if (!group) {
        fs_record_free(record);
        return NULL;
    }
    group->ctx = ctx;
    fs_group_stats_init(&group->stats);
    fs_lag_history_init(&group->lags);
    group->current_until_ns = group->unchanged_until_ns = INT64_MIN;
    fs_group_set_record(group, record);
    fs_announced_init(&group->announced, record, fs_context_boot(ctx));

    int64_t boot = fs_context_boot(ctx), wall = fs_context_wall(ctx);
    int64_t interval = fs_group_interval_ns(group);
    group->known_ns = wall;
    /* A restart finds every group due at once and spreads them out; a group that was labelled just
     * now is wanted now, and first copies have few slots anyway. */
    group->not_before_ns = boot;
    if (record->version > 0) {
        group->not_before_ns += fs_schedule_stagger_ns(&record->group, interval);
    }
    /* The next deadline goes by the newest point, also across a restart. A wall clock that was
     * stepped back must not push it away. */
    group->checked_ns = boot - interval;
    if (record->n_points > 0) {
        int64_t age = wall - record->points[record->n_points - 1].taken_ns;
        if (age >= 0 && age < interval) {
            group->checked_ns = boot - age;
        }
    }
    return group;
}

void fs_group_free(struct fs_group *group)
{
    if (!group) {
        return;
    }
    for (size_t i = 0; i < group->n_found; i++) {
        fs_volume_fini(&group->found[i]);
    }
    free(group->found);
    fs_buf_fini(&group->capture.packed);
    fs_quiesce_fini(&group->quiesce);
    if (group->operation) {
        json_decref(group->operation->result.workload.objects);
    }
    json_decref(group->finished.workload.objects);
    free(group->operation);
    fs_record_free(group->record);
    json_decref(group->log.recent);
    free(group);
}

bool fs_group_is_primary(const struct fs_group *group)
{
    return group->record->role == FS_ROLE_PRIMARY;
}

bool fs_group_is_split(const struct fs_group *group)
{
    return fs_group_is_primary(group) &&
           fs_term_clashes(&group->record->term, &group->record->peer_term);
}

bool fs_group_is_kept(const struct fs_group *group)
{
    const struct fs_config_policy *policy = fs_group_policy(group);

    return fs_group_is_primary(group) && group->record->term.number > 1 && policy &&
           !policy->selector;
}

const struct fs_config_policy *fs_group_policy(const struct fs_group *group)
{
    return fs_config_find_policy(group->ctx->config, group->record->policy);
}

int64_t fs_group_interval_ns(const struct fs_group *group)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    int64_t interval = group->record->interval_ns;

    /* Where the policy has none, the one that was heard of the former source goes on. */
    if (policy && policy->interval_ns > 0 && (fs_group_is_primary(group) || interval <= 0)) {
        interval = policy->interval_ns;
    }
    return interval > 0 ? interval : 60 * FS_SEC;
}

int64_t fs_group_lag_ns(const struct fs_group *group)
{
    if (!fs_record_newest_committed(group->record)) {
        return -1;
    }
    int64_t lag = fs_context_boot(group->ctx) - group->current_until_ns;
    return lag > 0 ? lag : 0;
}

int64_t fs_group_wall_of(const struct fs_group *group, int64_t boot_ns)
{
    return fs_context_wall(group->ctx) - (fs_context_boot(group->ctx) - boot_ns);
}

/* Of what the wall clock said when it may have been ahead: not in the future, at least. */
static int64_t boot_of(const struct fs_group *group, int64_t wall_ns)
{
    int64_t age = fs_context_wall(group->ctx) - wall_ns;

    return fs_context_boot(group->ctx) - (age > 0 ? age : 0);
}

void fs_group_note_instant(struct fs_group *group, const struct fs_uuid *point, int64_t age_ns)
{
    group->instant_point = *point;
    group->instant_ns = fs_context_boot(group->ctx) - age_ns;
}

static int64_t instant_of(const struct fs_group *group, const struct fs_record_point *point)
{
    return fs_uuid_equal(&point->point.id, &group->instant_point) ? group->instant_ns
                                                                  : boot_of(group, point->taken_ns);
}

int64_t fs_group_instant_age_ns(const struct fs_group *group, const struct fs_record_point *point)
{
    return fs_context_boot(group->ctx) - instant_of(group, point);
}

void fs_group_forget(struct fs_group *group)
{
    group->let_go = true;
    group->current_until_ns = INT64_MIN;
    group->current_stored_ns = 0;
    group->current_point = (struct fs_uuid){0};
    group->adopt = false;
    fs_group_succeeded(group);
}

void fs_group_note_current(struct fs_group *group, int64_t until_ns)
{
    int64_t stored = fs_group_wall_of(group, until_ns);

    if (group->current_until_ns < until_ns) {
        group->current_until_ns = until_ns;
    }
    if (group->current_stored_ns < stored) {
        group->current_stored_ns = stored;
    }
}

bool fs_group_transfer(const struct fs_group *group, struct fs_transfer_stats *ret_stats)
{
    if (group->sender) {
        fs_sender_get_stats(group->sender, ret_stats);
    } else if (group->receiver) {
        fs_receiver_get_stats(group->receiver, ret_stats);
    } else {
        return false;
    }
    return true;
}

const struct fs_point_id *fs_group_point_under_way(const struct fs_group *group)
{
    if (group->receiver) {
        return &group->incoming;
    }
    if (group->phase != FS_PHASE_SHIPPING && group->phase != FS_PHASE_SETTLING) {
        return NULL;
    }
    for (size_t i = group->record->n_points; i-- > 0;) {
        if (group->record->points[i].state == FS_POINT_COMPLETE) {
            return &group->record->points[i].point;
        }
    }
    return NULL;
}

/* A point that is committed is current at least until it was taken. */
static void read_current(struct fs_group *group)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);

    if (!newest) {
        return;
    }
    bool same = fs_uuid_equal(&newest->point.id, &group->current_point);
    int64_t stored = group->record->current_until_ns;
    if (!same) {
        group->current_point = newest->point.id;
        group->current_stored_ns = newest->taken_ns;
        fs_group_note_current(group, instant_of(group, newest));
    }
    if (stored > group->current_stored_ns) {
        group->current_stored_ns = stored;
        fs_group_note_current(group, boot_of(group, stored));
    }
}

void fs_group_set_record(struct fs_group *group, struct fs_record *record)
{
    if (!record) {
        return;
    }
    if (record != group->record) {
        if (group->record && record->role != group->record->role) {
            group->role_since_ns = fs_context_boot(group->ctx);
            group->let_go = false; /* that was another role's */
        }
        fs_record_free(group->record);
        group->record = record;
    }
    read_current(group);
}

void fs_group_failed(struct fs_group *group, const char *label, const struct fs_verdict *verdict,
                     const struct fs_error *err)
{
    group->failures++;
    group->failed_at++;
    group->failed_class = err->class;
    group->failure = *verdict;
    group->failure_label = label;
    group->retry_ns = fs_context_boot(group->ctx) +
                      fs_schedule_backoff_ns(group->failures, fs_group_interval_ns(group));
    fs_group_stats_failed(&group->stats, label);
}

void fs_group_succeeded(struct fs_group *group)
{
    group->failures = 0;
    group->retry_ns = 0;
    group->failure = FS_VERDICT_OK;
    group->failure_label = NULL;
}

static void add_role(const struct fs_group *group, struct fs_verdict *verdict)
{
    switch (group->record->role) {
    case FS_ROLE_DEMOTED:
        fs_verdict_add(verdict, FS_STATE_DEMOTED, NULL, "this site has stopped taking writes");
        break;
    case FS_ROLE_SUPERSEDED:
        fs_verdict_add(
            verdict, FS_STATE_SUPERSEDED,
            "stop what still uses its volumes here (nothing of it reaches the peer); then "
            "farshore failback GROUP makes this site the secondary",
            "%s was promoted to term %" PRIu64 " since, this site was primary in term "
            "%" PRIu64,
            group->record->peer, group->record->peer_term.number, group->record->term.number);
        break;
    case FS_ROLE_PROMOTING:
        fs_verdict_add(verdict, FS_STATE_DEGRADED, "it goes on by itself; see farshore history",
                       "it is being promoted to term %" PRIu64, group->record->term.number);
        break;
    case FS_ROLE_RECORD_LOST:
        fs_verdict_add(verdict, FS_STATE_RECORD_LOST,
                       "restore the state pool, or remove the image metadata farshore.stamp of "
                       "every volume to protect them as a new group",
                       "its volumes are stamped as a group of which there is no record");
        break;
    case FS_ROLE_SECONDARY:
        if (group->record->following.present) {
            fs_verdict_add(verdict, FS_STATE_DEGRADED, "it goes on by itself; see farshore history",
                           "it was primary here, and its images are being taken from their users");
        }
        break;
    default:
        break;
    }
    if (fs_group_is_split(group)) {
        fs_verdict_add(verdict, FS_STATE_SPLIT_BRAIN,
                       "decide which site's data is to stay, stop the workload at the other, and "
                       "run farshore resync GROUP --from SITE there",
                       "both sites were promoted to term %" PRIu64
                       ": neither ships to the other, nothing is overwritten",
                       group->record->term.number);
    }
}

static void add_lag(const struct fs_group *group, struct fs_verdict *verdict)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    int64_t lag = fs_group_lag_ns(group);
    int64_t interval = fs_group_interval_ns(group);
    unsigned warn = policy && policy->alert_warn ? policy->alert_warn : 2;

    if (lag < 0) {
        fs_verdict_add(verdict, FS_STATE_NEVER_SYNCED, NULL, "%s",
                       group->phase == FS_PHASE_IDLE || group->phase == FS_PHASE_STORING
                           ? "there is no recovery point yet"
                           : "the first copy is under way");
    } else if (lag / warn > interval) {
        fs_verdict_add(verdict, FS_STATE_LATE, NULL,
                       "the newest recovery point is %.0f s old, the interval is %.0f s",
                       (double)lag / (double)FS_SEC, (double)interval / (double)FS_SEC);
    }
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    if (newest && (newest->flags & FS_POINT_NOT_ONE_INSTANT)) {
        fs_verdict_add(verdict, FS_STATE_NOT_ONE_INSTANT,
                       "enable exclusive-lock on every volume of the group and keep them in one "
                       "namespace",
                       "its volumes are not captured at one instant");
    }
}

static void add_stall(const struct fs_group *group, struct fs_verdict *verdict)
{
    int64_t moved = group->rate.sampled_ns ? group->rate.moved_ns : group->phase_since_ns;
    int64_t still = fs_context_boot(group->ctx) - moved;

    if ((group->sender || group->receiver) && still > STALL_NS) {
        fs_verdict_add(verdict, FS_STATE_STALLED, "look at both clusters and the link",
                       "the transfer has not moved for %.0f s", (double)still / (double)FS_SEC);
    }
}

void fs_group_verdict(const struct fs_group *group, struct fs_verdict *ret_verdict)
{
    const struct fs_context *ctx = group->ctx;
    const char *peer = group->record->peer;

    *ret_verdict = FS_VERDICT_OK;
    add_role(group, ret_verdict);
    if (group->problem[0]) {
        fs_verdict_add(ret_verdict, FS_STATE_ERROR, "correct the labels of its images", "%s",
                       group->problem);
    }
    if (!ctx->source) {
        fs_verdict_add(ret_verdict, FS_STATE_CLUSTER_DOWN,
                       "look at the Ceph cluster: `ceph -s`; it goes on by itself", "%s",
                       ctx->site_reason);
    }
    if (!fs_peers_session(ctx->peers, peer)) {
        fs_verdict_add(ret_verdict, FS_STATE_PEER_DOWN,
                       "see why at peers in `farshore status -o json`; it goes on by itself",
                       "there is no session with %s%s", peer,
                       fs_group_is_primary(group) && !fs_peers_was_heard(ctx->peers, peer)
                           ? ", nor has there been one since this daemon started: the peer may "
                             "have been promoted meanwhile"
                           : "");
    }
    if (!fs_group_policy(group)) {
        fs_verdict_add(ret_verdict, FS_STATE_ERROR, "add the policy and reload",
                       "the configuration has no policy %s any more", group->record->policy);
    }
    fs_verdict_merge(ret_verdict, &group->failure);
    fs_weather_add_verdict(group, ret_verdict);
    fs_verifier_add_verdict(ctx->groups->verifier, group, ret_verdict);
    if (group->record->paused) {
        fs_verdict_add(ret_verdict, FS_STATE_PAUSED, "farshore resume GROUP", "paused by command");
    }
    fs_quiesce_add_verdict(group, ret_verdict);
    add_stall(group, ret_verdict);
    add_lag(group, ret_verdict);
    if (group->phase > FS_PHASE_STORING) {
        fs_verdict_add(ret_verdict, FS_STATE_SYNCING, NULL, "%s",
                       group->phase == FS_PHASE_TAKING      ? "a point is being taken"
                       : group->phase == FS_PHASE_OPERATING ? "an operation is under way"
                                                            : "a transfer is under way");
    }
}
