/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/groups.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/capture.h"
#include "daemon/drill.h"
#include "daemon/fence.h"
#include "daemon/fence_look.h"
#include "daemon/fence_peer.h"
#include "daemon/join.h"
#include "daemon/operation.h"
#include "daemon/peer.h"
#include "daemon/primary.h"
#include "daemon/recovery.h"
#include "daemon/release.h"
#include "daemon/relocate_look.h"
#include "daemon/terms.h"
#include "farshore/log.h"

/* Unchanged groups are told of together, this often; an unanswered message is sent again. */
#define CURRENT_EVERY_NS (1 * FS_SEC)
#define CURRENT_AGAIN_NS (10 * FS_SEC)
/* While a transfer moves, its rate is looked at this often. */
#define SAMPLE_EVERY_NS (1 * FS_SEC)
/* States are not news before the peers and discovery had a chance. */
#define SETTLE_NS (5 * FS_SEC)

struct fs_groups *fs_groups_new(struct fs_context *ctx)
{
    struct fs_groups *groups = calloc(1, sizeof(*groups));

    if (groups) {
        groups->ctx = ctx;
        groups->verifier = fs_verifier_new(groups);
        groups->drills = fs_drills_new(groups);
        groups->fences = fs_fences_new(groups);
        groups->looks = fs_fence_looks_new(groups);
        groups->moves = fs_relocate_looks_new(groups);
        if (!groups->verifier || !groups->drills || !groups->fences || !groups->looks ||
            !groups->moves) {
            fs_verifier_free(groups->verifier);
            fs_drills_free(groups->drills);
            fs_fences_free(groups->fences);
            fs_fence_looks_free(groups->looks);
            fs_relocate_looks_free(groups->moves);
            free(groups);
            groups = NULL;
        }
    }
    return groups;
}

void fs_groups_free(struct fs_groups *groups)
{
    if (!groups) {
        return;
    }
    fs_verifier_free(groups->verifier);
    fs_drills_free(groups->drills);
    fs_fences_free(groups->fences);
    fs_fence_looks_free(groups->looks);
    fs_relocate_looks_free(groups->moves);
    for (size_t i = 0; i < groups->count; i++) {
        fs_group_free(groups->list[i]);
    }
    free(groups->list);
    free(groups->candidates);
    free(groups->skipped);
    free(groups->skipped_news);
    free(groups);
}

/* --- the table ------------------------------------------------------------------------------- */

static int reserve(struct fs_groups *groups)
{
    if (groups->count < groups->capacity) {
        return 0;
    }
    size_t capacity = groups->capacity ? 2 * groups->capacity : 16;
    struct fs_group **list = reallocarray(groups->list, capacity, sizeof(struct fs_group *));
    if (list) {
        groups->list = list;
    }
    struct fs_candidate *candidates =
        reallocarray(groups->candidates, capacity, sizeof(*candidates));
    if (candidates) {
        groups->candidates = candidates;
    }
    if (!list || !candidates) {
        return -ENOMEM;
    }
    groups->capacity = capacity;
    return 0;
}

int fs_groups_add(struct fs_groups *groups, struct fs_group *group)
{
    if (!group || reserve(groups) < 0) {
        fs_group_free(group);
        return -ENOMEM;
    }
    size_t i = groups->count++;
    while (i > 0 && strcmp(groups->list[i - 1]->record->name, group->record->name) > 0) {
        groups->list[i] = groups->list[i - 1];
        i--;
    }
    groups->list[i] = group;
    return 0;
}

struct fs_group *fs_groups_find_uuid(const struct fs_groups *groups, const struct fs_uuid *uuid)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (fs_uuid_equal(&groups->list[i]->record->group, uuid)) {
            return groups->list[i];
        }
    }
    return NULL;
}

struct fs_group *fs_groups_find(const struct fs_groups *groups, const char *text,
                                bool *ret_ambiguous)
{
    struct fs_uuid uuid;
    struct fs_group *found = NULL;

    *ret_ambiguous = false;
    if (fs_uuid_parse(text, &uuid) == 0) {
        found = fs_groups_find_uuid(groups, &uuid);
        return found && !found->let_go ? found : NULL;
    }
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];
        if (!group->let_go && strcmp(group->record->name, text) == 0) {
            *ret_ambiguous = found != NULL;
            found = group;
        }
    }
    return *ret_ambiguous ? NULL : found;
}

int fs_groups_load(struct fs_groups *groups, struct fs_record **records, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        struct fs_record *record = records[i];
        struct fs_group *group = fs_groups_find_uuid(groups, &record->group);
        records[i] = NULL;
        if (group) {
            fs_group_set_record(group, record);
            fs_announced_loaded(&group->announced, record, fs_context_boot(groups->ctx));
            group->retry_ns = 0;
        } else if (fs_groups_add(groups, fs_group_new(groups->ctx, record)) < 0) {
            rc = -ENOMEM;
        }
    }
    for (size_t i = 0; i < groups->count; i++) {
        groups->list[i]->seen = false;
        groups->list[i]->recovery_pending = true;
        fs_quiesce_loaded(groups->list[i]);
    }
    return rc;
}

/* --- discovery ------------------------------------------------------------------------------- */

/* Whether one of the volumes has been the group's, or it has none yet. What was made again under an
 * old name, whole, is another group: retention must not let it push out the old one's points. */
static bool has_one_of(const struct fs_group *group, const struct fs_found_group *found)
{
    for (size_t i = 0; i < found->n_volumes; i++) {
        if (fs_record_find_image(group->record, &found->volumes[i].image)) {
            return true;
        }
    }
    return group->record->n_volumes == 0;
}

static struct fs_group *match(const struct fs_groups *groups, const struct fs_found_group *found)
{
    if (!fs_uuid_is_zero(&found->group)) {
        return fs_groups_find_uuid(groups, &found->group);
    }
    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_record *record = groups->list[i]->record;
        if (record->role == FS_ROLE_PRIMARY && strcmp(record->name, found->name) == 0 &&
            strcmp(record->policy, found->policy) == 0 && has_one_of(groups->list[i], found)) {
            return groups->list[i];
        }
    }
    return NULL;
}

/* A group that this site has no record of: stamped volumes without one mean that it was lost. */
struct fs_group *fs_groups_make(struct fs_groups *groups, const struct fs_found_group *found)
{
    const struct fs_context *ctx = groups->ctx;
    const struct fs_config_policy *policy = fs_config_find_policy(ctx->config, found->policy);
    struct fs_record *record = fs_record_new();

    if (!record) {
        return NULL;
    }
    if (fs_uuid_is_zero(&found->group)) {
        fs_uuid_random(&record->group);
        record->role = FS_ROLE_PRIMARY;
    } else {
        record->group = found->group;
        record->role = FS_ROLE_RECORD_LOST;
    }
    (void)snprintf(record->name, sizeof(record->name), "%s", found->name);
    (void)snprintf(record->policy, sizeof(record->policy), "%s", found->policy);
    (void)snprintf(record->peer, sizeof(record->peer), "%s", policy ? policy->peer : "");
    record->term = (struct fs_term){.number = 1, .site = ctx->site_uuid};
    record->next_seq = 1;
    record->interval_ns = policy ? policy->interval_ns : 0;
    struct fs_group *group = fs_group_new(groups->ctx, record);
    return fs_groups_add(groups, group) < 0 ? NULL : group;
}

static void report_found(const struct fs_group *group, const struct fs_found_group *found)
{
    fs_log(FS_EV_GROUP_FOUND, FS_S("group", found->name), FS_S("policy", found->policy),
           FS_U("volumes", found->n_volumes), FS_S("role", fs_role_name(group->record->role)));
}

/* One of the found volumes is a group of its own beside the others'. */
static int found_beside(struct fs_group *beside, const struct fs_found_group *found,
                        struct fs_volume *volume)
{
    struct fs_found_group own = *found;

    memcpy(own.name, beside->record->name, sizeof(own.name));
    own.volumes = volume;
    own.n_volumes = 1;
    if (!beside->was_seen) {
        report_found(beside, &own);
    }
    return fs_primary_found(beside, &own);
}

/* Disks that are new to a group with points are copied beside it at first. */
static int take_found(struct fs_groups *groups, struct fs_group *group,
                      const struct fs_found_group *found)
{
    struct fs_found_group rest = *found;
    int rc = 0;

    rest.n_volumes = 0;
    rest.volumes = calloc(found->n_volumes + 1, sizeof(*rest.volumes));
    if (!rest.volumes) {
        return -ENOMEM;
    }
    for (size_t i = 0; rc == 0 && i < found->n_volumes; i++) {
        struct fs_volume *volume = &found->volumes[i];
        struct fs_group *beside = NULL;

        if (!found->problem[0] && fs_join_is_beside(group, volume)) {
            beside = fs_join_group_beside(groups, group, found, volume);
            rc = beside ? 0 : -ENOMEM;
        }
        if (beside) {
            rc = found_beside(beside, found, volume);
        } else {
            rest.volumes[rest.n_volumes++] = *volume; /* borrowed */
        }
    }
    if (rc == 0) {
        rc = fs_primary_found(group, &rest);
    }
    free(rest.volumes);
    return rc;
}

/* Volumes that had joined a group which is not primary any more, and are stamped as its own, are
 * the groups' again that they were, where those are. */
static int give_back(struct fs_groups *groups, const struct fs_group *group,
                     const struct fs_found_group *found)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && group->record->role != FS_ROLE_PRIMARY && i < found->n_volumes;
         i++) {
        struct fs_group *beside = fs_join_find_beside(groups, group, &found->volumes[i].image);

        rc = beside ? found_beside(beside, found, &found->volumes[i]) : 0;
    }
    return rc;
}

/* Volumes that have become members of a group and are not stamped as its own yet. */
static int hand_over_joined(struct fs_groups *groups, const struct fs_discovery *discovery)
{
    int rc = 0;

    for (size_t i = 0; i < discovery->n_groups; i++) {
        const struct fs_found_group *found = &discovery->groups[i];
        struct fs_group *group = fs_groups_find_uuid(groups, &found->group);

        if (group && fs_join_is_over(group)) {
            for (size_t k = 0; rc == 0 && k < found->n_volumes; k++) {
                rc = fs_primary_found_too(fs_join_of(group), &found->volumes[k]);
            }
        }
    }
    return rc;
}

/* A discovery that looked while the role was another one, or is about to be, says nothing of it:
 * the images of a secondary are not found. */
static bool is_role_settled(const struct fs_group *group, int64_t began_ns)
{
    return !group->operation && group->role_since_ns < began_ns;
}

/* Let go of what is no longer selected: its work stops, its record and the target's points stay. */
static void let_go_unseen(struct fs_groups *groups, int64_t began_ns)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];
        bool ours =
            group->record->role == FS_ROLE_PRIMARY || group->record->role == FS_ROLE_RECORD_LOST;
        if (!ours || group->seen || group->let_go || fs_group_is_kept(group) ||
            !is_role_settled(group, began_ns) || fs_join_is_over(group)) {
            continue;
        }
        group->let_go = true;
        fs_primary_cancel(group);
        if (!group->was_seen) {
            continue; /* it had been let go of before this daemon started */
        }
        group->was_seen = false;
        fs_log(
            FS_EV_GROUP_LET_GO, FS_S("group", group->record->name),
            FS_S("hint", "the points at the peer stay; label its volumes again to go on with it"));
    }
}

static const struct fs_skipped_news *find_skipped(const struct fs_groups *groups,
                                                  const struct fs_skipped_volume *now)
{
    for (size_t i = 0; i < groups->n_skipped; i++) {
        const struct fs_skipped_volume *before = &groups->skipped[i];
        if (fs_image_ref_same(&before->image, &now->image) && strcmp(before->pvc, now->pvc) == 0 &&
            strcmp(before->pvc_namespace, now->pvc_namespace) == 0 &&
            strcmp(before->reason, now->reason) == 0) {
            return &groups->skipped_news[i];
        }
    }
    return NULL;
}

static void report_skipped(const struct fs_skipped_volume *volume)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    fs_log(FS_EV_VOLUME_SKIPPED,
           FS_S("image", volume->image.pool[0] ? fs_image_spec(&volume->image, spec) : NULL),
           FS_S("namespace", volume->pvc[0] ? volume->pvc_namespace : NULL),
           FS_S("pvc", volume->pvc[0] ? volume->pvc : NULL), FS_S("policy", volume->policy),
           FS_S("reason", volume->reason));
}

static void note_skipped(struct fs_groups *groups, const struct fs_discovery *discovery)
{
    struct fs_skipped_volume *list = calloc(discovery->n_skipped + 1, sizeof(*list));
    struct fs_skipped_news *news = calloc(discovery->n_skipped + 1, sizeof(*news));
    size_t n = list && news ? discovery->n_skipped : 0;

    for (size_t i = 0; i < n; i++) {
        list[i] = discovery->skipped[i];
        const struct fs_skipped_news *before = find_skipped(groups, &list[i]);
        if (before) {
            news[i] = *before;
        } else {
            news[i].since_ns = fs_context_boot(groups->ctx);
            report_skipped(&list[i]);
        }
        fs_announce_skipped(groups->ctx, &list[i], &news[i]);
    }
    free(groups->skipped);
    free(groups->skipped_news);
    groups->skipped = list;
    groups->skipped_news = news;
    groups->n_skipped = n;
}

int fs_groups_discovered(struct fs_groups *groups, const struct fs_discovery *discovery,
                         int64_t began_ns)
{
    for (size_t i = 0; i < groups->count; i++) {
        groups->list[i]->seen = false;
    }
    for (size_t i = 0; i < discovery->n_groups; i++) {
        const struct fs_found_group *found = &discovery->groups[i];
        struct fs_group *group = match(groups, found);
        bool report = !group || group->let_go;
        if (!group) {
            group = fs_groups_make(groups, found);
        }
        if (group && fs_join_is_over(group)) {
            continue; /* its image is still stamped as it was */
        }
        if (!group || give_back(groups, group, found) < 0 || take_found(groups, group, found) < 0) {
            return -ENOMEM;
        }
        if (report) {
            report_found(group, found);
        }
    }
    if (hand_over_joined(groups, discovery) < 0) {
        return -ENOMEM;
    }
    let_go_unseen(groups, began_ns);
    note_skipped(groups, discovery);
    groups->ctx->kick(groups->ctx->hook_arg);
    return 0;
}

/* --- the round ------------------------------------------------------------------------------- */

static void count_slots(const struct fs_groups *groups, const char *peer, struct fs_slots *slots)
{
    *slots = (struct fs_slots){0};
    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_group *group = groups->list[i];
        if (group->phase >= FS_PHASE_TAKING && group->phase <= FS_PHASE_SETTLING &&
            strcmp(group->record->peer, peer) == 0) {
            slots->running++;
            slots->first_copies += fs_primary_is_first_copy(group);
        }
    }
}

/* Start the candidates that find a free slot, the most overdue one first. */
static void start_due(struct fs_groups *groups)
{
    size_t n = 0;

    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];
        if (fs_group_is_primary(group) && fs_primary_wants_sync(group, &groups->candidates[n])) {
            groups->candidates[n++].owner = group;
        }
    }
    fs_schedule_sort(groups->candidates, n);
    for (size_t i = 0; i < n; i++) {
        struct fs_group *group = groups->candidates[i].owner;
        struct fs_slots slots;
        count_slots(groups, group->record->peer, &slots);
        if (fs_slots_free(&slots, fs_primary_is_first_copy(group))) {
            fs_primary_sync(group);
        }
    }
}

/* A group whose slot is taken waits for a kick, not for a moment that has passed. */
static int64_t next_due(const struct fs_groups *groups, int64_t now)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_group *group = groups->list[i];
        int64_t due = fs_group_is_primary(group) ? fs_primary_next_ns(group) : INT64_MAX;
        int64_t release = fs_release_next_ns(group);
        int64_t thaw = fs_quiesce_next_ns(group);
        due = release < due ? release : due;
        due = thaw < due ? thaw : due;
        if (group->retry_ns > now && group->retry_ns < due) {
            due = group->retry_ns;
        }
        if (due > now && due < next) {
            next = due;
        }
        if (group->phase != FS_PHASE_IDLE && now + SAMPLE_EVERY_NS < next) {
            next = now + SAMPLE_EVERY_NS;
        }
    }
    return next;
}

static void sample(struct fs_group *group, int64_t now)
{
    struct fs_transfer_stats stats;

    fs_lag_history_sample(&group->lags, fs_group_lag_ns(group), now);
    /* From where it goes on, not from zero: what an earlier attempt did is not this one's speed. */
    if (fs_group_transfer(group, &stats) && stats.done_bytes > 0) {
        fs_rate_sample(&group->rate, stats.done_bytes, now);
    }
}

/* Syncing is what a healthy group does all day: only what differs from that is told. */
static void report_state(struct fs_group *group)
{
    struct fs_verdict verdict;

    fs_group_verdict(group, &verdict);
    if (verdict.state == FS_STATE_SYNCING) {
        verdict = FS_VERDICT_OK;
    }
    fs_announce_run(group, &verdict);
    enum fs_group_state state = verdict.state;
    if (!group->let_go && state != group->reported) {
        group->reported = state;
        fs_log(FS_EV_GROUP_STATE, FS_S("group", group->record->name),
               FS_S("state", fs_state_name(state)),
               FS_S("reason", verdict.reason[0] ? verdict.reason : NULL),
               FS_S("hint", verdict.hint[0] ? verdict.hint : NULL));
    }
}

/* --- moments of unchanged groups ------------------------------------------------------------- */

static bool has_news(const struct fs_group *group, const char *peer, int64_t now)
{
    return fs_group_is_primary(group) && strcmp(group->record->peer, peer) == 0 &&
           group->phase != FS_PHASE_SETTLING &&
           group->unchanged_until_ns > group->current_until_ns &&
           fs_record_newest_committed(group->record) &&
           (!group->sending || now - group->sent_ns > CURRENT_AGAIN_NS);
}

static void send_current_to(struct fs_groups *groups, const char *peer, int64_t now)
{
    struct fs_session *session = fs_peers_session(groups->ctx->peers, peer);
    struct fs_current_list list = {0};

    if (!session) {
        return;
    }
    for (size_t i = 0; i < groups->count && list.count < FS_CURRENT_MAX; i++) {
        struct fs_group *group = groups->list[i];
        if (!has_news(group, peer, now)) {
            continue;
        }
        if (!list.entries) {
            list.entries = calloc(FS_CURRENT_MAX, sizeof(*list.entries));
            if (!list.entries) {
                return;
            }
        }
        int64_t age = now - group->unchanged_until_ns;
        group->sent_point = fs_record_newest_committed(group->record)->point.id;
        group->sent_until_ns = group->unchanged_until_ns;
        group->sending = true;
        group->sent_ns = now;
        list.entries[list.count++] = (struct fs_current_entry){
            .group = group->record->group,
            .point = group->sent_point,
            .age_ns = age > 0 ? (uint64_t)age : 0,
        };
    }
    if (list.count > 0) {
        struct fs_buf buf = FS_BUF_INIT;
        size_t start = fs_frame_begin(&buf, FS_FRAME_CURRENT, 0, 0);
        fs_current_list_encode(&list, &buf);
        fs_frame_finish(&buf, start);
        fs_session_send(session, &buf);
        fs_buf_fini(&buf);
    }
    free(list.entries);
}

/* When the next batch may go; INT64_MAX where nothing waits. */
static int64_t send_current(struct fs_groups *groups, int64_t now)
{
    const struct fs_config *config = groups->ctx->config;
    bool waiting = false;

    for (size_t i = 0; i < groups->count && !waiting; i++) {
        waiting = has_news(groups->list[i], groups->list[i]->record->peer, now) &&
                  fs_peers_session(groups->ctx->peers, groups->list[i]->record->peer);
    }
    if (!waiting) {
        return INT64_MAX;
    }
    if (now < groups->current_sent_ns + CURRENT_EVERY_NS) {
        return groups->current_sent_ns + CURRENT_EVERY_NS;
    }
    groups->current_sent_ns = now;
    for (size_t i = 0; i < config->n_peers; i++) {
        send_current_to(groups, config->peers[i].name, now);
    }
    return INT64_MAX;
}

static void noted(void *arg, const struct fs_error *err)
{
    struct fs_groups *groups = arg;

    groups->noting--;
    /* Only for the time after a restart: until the next answer the lag looks longer. */
    if (err && fs_error_is_set(err)) {
        fs_log(FS_EV_SYNC_FAILED, FS_S("reason", "note_current"), FS_E(err));
    }
}

void fs_groups_current_acked(struct fs_groups *groups, const char *peer,
                             const struct fs_current_list *list)
{
    struct fs_context *ctx = groups->ctx;
    struct fs_current *entries = calloc(list->count ? list->count : 1, sizeof(*entries));
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct fs_group *group = fs_groups_find_uuid(groups, &list->entries[i].group);
        if (!group || !group->sending || strcmp(group->record->peer, peer) != 0 ||
            !fs_uuid_equal(&group->sent_point, &list->entries[i].point)) {
            continue;
        }
        fs_group_note_current(group, group->sent_until_ns);
        if (entries) {
            entries[n++] = (struct fs_current){
                .group = group->record->group,
                .point = group->sent_point,
                .current_until_ns = fs_group_wall_of(group, group->current_until_ns)};
        }
        group->sending = false;
    }
    if (n > 0 && ctx->sink && !groups->stopping) {
        groups->noting++;
        ctx->sink->ops->note_current(ctx->sink, entries, n, noted, groups);
    }
    free(entries);
}

int64_t fs_groups_run(struct fs_groups *groups)
{
    int64_t now = fs_context_boot(groups->ctx);

    fs_quiesce_run(groups); /* what is frozen is thawed whatever becomes of the site */
    if (!groups->stopping) {
        for (size_t i = 0; i < groups->count; i++) {
            struct fs_group *group = groups->list[i];
            if (fs_group_is_primary(group) && (group->let_go || !fs_primary_store_pending(group))) {
                (void)fs_release_start(group);
            }
        }
        fs_terms_run(groups);
        fs_join_run(groups);
        fs_drills_run(groups->drills);
        fs_fences_run(groups->fences);
        fs_fence_peer_run(groups);
        fs_recovery_run(groups);
        start_due(groups);
    }
    fs_operations_run(groups);
    for (size_t i = 0; i < groups->count; i++) {
        sample(groups->list[i], now);
        /* While the site's work stops one event tells it for all groups. */
        if (!groups->stopping && now >= groups->report_ns) {
            report_state(groups->list[i]);
        }
    }
    int64_t next = groups->stopping ? INT64_MAX : send_current(groups, now);
    int64_t due = next_due(groups, now);
    next = due < next ? due : next;
    due = fs_fence_looks_run(groups->looks);
    next = due < next ? due : next;
    due = fs_relocate_looks_run(groups->moves);
    next = due < next ? due : next;
    due = fs_verifier_run(groups->verifier);
    return due < next ? due : next;
}

/* --- stop ------------------------------------------------------------------------------------ */

void fs_groups_stop(struct fs_groups *groups)
{
    struct fs_capturer *capturer = groups->ctx->capturer;
    struct fs_error err = FS_ERROR_INIT;

    groups->stopping = true;
    (void)fs_error_set(&err, FS_ERR_TRANSIENT, ECANCELED, "%s", groups->ctx->site_reason);
    if (capturer) {
        capturer->cancel(capturer, &err);
    }
    fs_verifier_stop(groups->verifier);
    fs_operations_stop(groups);
    fs_drills_stop(groups->drills);
    fs_fences_stop(groups->fences);
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];
        fs_primary_cancel(group);
        if (group->receiver && !group->cancelled) {
            group->cancelled = true;
            fs_receiver_cancel(group->receiver);
        }
    }
}

void fs_groups_resume(struct fs_groups *groups)
{
    groups->stopping = false;
    fs_verifier_resume(groups->verifier);
    groups->report_ns = fs_context_boot(groups->ctx) + SETTLE_NS;
}

size_t fs_groups_busy(const struct fs_groups *groups)
{
    size_t busy = groups->noting + fs_verifier_busy(groups->verifier);

    for (size_t i = 0; i < groups->count; i++) {
        busy += groups->list[i]->phase != FS_PHASE_IDLE ||
                groups->list[i]->quiesce.step != FS_QUIESCE_IDLE;
    }
    return busy;
}

void fs_groups_peer_changed(struct fs_groups *groups, const char *peer)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (strcmp(groups->list[i]->record->peer, peer) == 0) {
            fs_primary_peer_changed(groups->list[i]);
        }
    }
}
