/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/join.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/drill.h"
#include "daemon/forget.h"
#include "daemon/peer.h"
#include "daemon/primary.h"
#include "farshore/log.h"

/* A group that could not be forgotten is tried again after that. */
#define FORGET_AGAIN_NS (60 * FS_SEC)

static bool is_joining(const struct fs_group *group)
{
    return !fs_uuid_is_zero(&group->record->joins);
}

struct fs_group *fs_join_of(const struct fs_group *group)
{
    return is_joining(group) ? fs_groups_find_uuid(group->ctx->groups, &group->record->joins)
                             : NULL;
}

static bool is_member(const struct fs_group *group, const struct fs_uuid *volume)
{
    const struct fs_record_volume *known = fs_record_find_volume(group->record, volume);

    return known && !known->gone;
}

bool fs_join_is_over(const struct fs_group *group)
{
    const struct fs_group *into = fs_join_of(group);
    const struct fs_record *record = group->record;

    if (!into || record->n_volumes == 0) { /* one that was forgotten has none any more */
        return into && record->version == 0 && group->let_go;
    }
    /* A change of role of one of them parts them, until a point has both. */
    return into->record->role == record->role && is_member(into, &record->volumes[0].volume.uuid);
}

static bool has_point_of(const struct fs_group *group, const struct fs_uuid *volume)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);

    return newest && fs_record_find_content(newest, volume);
}

/* As it was is what still counts: the group that it joins has no point with it. */
static bool is_apart(const struct fs_group *group)
{
    return group->record->n_volumes == 0 ||
           !has_point_of(fs_join_of(group), &group->record->volumes[0].volume.uuid);
}

const struct fs_group *fs_join_any(const struct fs_group *group)
{
    const struct fs_groups *groups = group->ctx->groups;

    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_group *other = groups->list[i];

        if (fs_uuid_equal(&other->record->joins, &group->record->group) && !other->let_go &&
            is_apart(other)) {
            return other;
        }
    }
    return NULL;
}

bool fs_join_is_complete(const struct fs_group *group)
{
    const struct fs_group *into = fs_join_of(group);

    if (!into || group->record->n_volumes == 0) {
        return fs_join_is_over(group);
    }
    return is_member(into, &group->record->volumes[0].volume.uuid) && !is_apart(group);
}

bool fs_join_is_missing(const struct fs_group *group)
{
    const struct fs_group *disk = fs_join_any(group);

    return disk && !fs_join_is_over(disk);
}

/* --- at the source ---------------------------------------------------------------------------- */

/* Of a peer that is away nobody knows; it may do so when it comes. */
static bool peer_knows(const struct fs_group *group)
{
    struct fs_session *session = fs_peers_session(group->ctx->peers, group->record->peer);

    return !session || (fs_session_peer(session)->features & FS_FEATURE_JOIN);
}

bool fs_join_is_beside(const struct fs_group *group, const struct fs_volume *found)
{
    char name[FS_NAME_SIZE];

    return group->record->role == FS_ROLE_PRIMARY && !is_joining(group) &&
           fs_record_newest_committed(group->record) &&
           !fs_record_find_image(group->record, &found->image) && peer_knows(group) &&
           fs_group_name_beside(group->record->name, found, name) == 0;
}

struct fs_group *fs_join_find_beside(const struct fs_groups *groups, const struct fs_group *group,
                                     const struct fs_image_ref *image)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *other = groups->list[i];

        if (other->record->role == FS_ROLE_PRIMARY &&
            fs_uuid_equal(&other->record->joins, &group->record->group) &&
            !fs_join_is_over(other) &&
            (fs_record_find_image(other->record, image) ||
             (other->n_found == 1 && fs_image_ref_same(&other->found[0].image, image)))) {
            return other;
        }
    }
    return NULL;
}

struct fs_group *fs_join_group_beside(struct fs_groups *groups, const struct fs_group *group,
                                      const struct fs_found_group *found,
                                      const struct fs_volume *volume)
{
    struct fs_group *beside = fs_join_find_beside(groups, group, &volume->image);
    struct fs_found_group own = *found;

    if (beside) {
        return beside;
    }
    own.group = (struct fs_uuid){0};
    if (fs_group_name_beside(group->record->name, volume, own.name) < 0) {
        return NULL;
    }
    beside = fs_groups_make(groups, &own);
    if (beside) {
        beside->record->joins = group->record->group;
    }
    return beside;
}

void fs_join_shipped(struct fs_group *group, int64_t took_ns)
{
    int64_t before = group->join.took_ns;

    /* What was written while the newest point was shipped goes in less than an interval; or it
     * does not become less any more, and waiting does not help. */
    group->join.ready = is_joining(group) && (took_ns <= fs_group_interval_ns(group) ||
                                              (before > 0 && took_ns > before / 5 * 4));
    group->join.took_ns = took_ns;
}

static bool all_committed(const struct fs_record *record)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state != FS_POINT_COMMITTED) {
            return false;
        }
    }
    return record->n_points > 0;
}

static bool is_called_after(const struct fs_record *record, const struct fs_record *into)
{
    size_t length = strlen(into->name);

    return strncmp(record->name, into->name, length) == 0 && record->name[length] == '+' &&
           strcmp(record->policy, into->policy) == 0 && strcmp(record->peer, into->peer) == 0;
}

static bool is_at_rest(const struct fs_group *group)
{
    return group->record->role == FS_ROLE_PRIMARY && group->record->version > 0 &&
           (group->seen || fs_group_is_kept(group)) && !group->let_go && !group->problem[0] &&
           group->phase == FS_PHASE_IDLE && !group->operation && !group->heard_pending &&
           !group->record->paused && all_committed(group->record);
}

/* What the peer has of it must be its replica; of a peer that has not said so it is not known. */
static bool is_replica_there(const struct fs_group *group)
{
    return group->peer_role == FS_ROLE_SECONDARY || group->peer_role == FS_ROLE_NONE;
}

bool fs_join_waits(const struct fs_group *group)
{
    const struct fs_group *into = group->join.ready ? fs_join_of(group) : NULL;

    return into && into->record->role == FS_ROLE_PRIMARY && into->phase != FS_PHASE_IDLE &&
           !group->requested;
}

static void refuse(struct fs_group *group, const char *reason)
{
    const struct fs_volume *volume = &group->record->volumes[0].volume;
    char spec[FS_IMAGE_SPEC_SIZE];

    group->join.ready = false;
    if (!group->join.told) {
        fs_log(FS_EV_VOLUME_SKIPPED, FS_S("group", group->record->name),
               FS_S("image", fs_image_spec(&volume->image, spec)), FS_S("reason", reason));
    }
    group->join.told = true;
}

/* Its volume becomes a member of the group that it joins, where both have nothing under way. */
static void join(struct fs_group *group)
{
    struct fs_group *into = fs_join_of(group);

    if (!into || is_joining(into) || !is_at_rest(into) || !peer_knows(into) ||
        !fs_peers_session(into->ctx->peers, into->record->peer) || !is_at_rest(group) ||
        !is_replica_there(group) || !is_called_after(group->record, into->record) ||
        fs_join_is_over(group)) {
        return;
    }
    if (fs_primary_take_in(into, group->record) == -E2BIG) {
        refuse(group, "it cannot join its group, which has as many volumes or points as there may "
                      "be: it stays a group of its own");
    }
}

/* --- at both ---------------------------------------------------------------------------------- */

const char *fs_join_holds(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_group *into = fs_join_of(group);
    const struct fs_record *record = group->record;

    if (!into || record->n_volumes == 0 || !is_member(into, &record->volumes[0].volume.uuid)) {
        return NULL;
    }
    if (!is_apart(group)) {
        (void)snprintf(text, size, "%.250s has joined %.250s, which has its disk now", record->name,
                       into->record->name);
        return text;
    }
    if (fs_join_is_over(group) && !into->operation) {
        (void)snprintf(
            text, size,
            "%.200s was about to join %.200s, which has its disk until it is failed over: "
            "`farshore failover %.200s` first",
            record->name, into->record->name, into->record->name);
        return text;
    }
    return NULL;
}

static bool is_drilled(const struct fs_groups *groups, const struct fs_group *group)
{
    json_t *drills = fs_drills_status(groups->drills, group);
    bool any = json_array_size(drills) > 0;

    json_decref(drills);
    return any;
}

static void forget_joined(struct fs_groups *groups, struct fs_group *group)
{
    int64_t now = fs_context_boot(groups->ctx);

    if (group->record->version == 0 || !fs_join_is_complete(group) || is_drilled(groups, group)) {
        return;
    }
    group->let_go = true; /* not shown any more, and no command finds it */
    if (group->phase == FS_PHASE_IDLE && !group->operation && now >= group->join.forget_ns &&
        groups->ctx->operators) {
        group->join.forget_ns = now + FORGET_AGAIN_NS;
        (void)fs_forget_start(group, groups->ctx->config->site);
    }
}

void fs_join_run(struct fs_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        if (group->join.ready) {
            join(group);
        }
        if (is_joining(group)) {
            forget_joined(groups, group);
        }
    }
}

/* --- at the target ---------------------------------------------------------------------------- */

static bool is_offered(const struct fs_offer *offer, const struct fs_uuid *volume)
{
    for (size_t i = 0; i < offer->n_volumes; i++) {
        if (fs_uuid_equal(&offer->volumes[i].volume.uuid, volume)) {
            return true;
        }
    }
    return false;
}

/* The record of the group that it joins has its newest point, as a seed or as what became of it. */
static bool is_taken_over(const struct fs_group *group)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    const struct fs_group *into = fs_join_of(group);

    return into && newest &&
           (!is_apart(group) || fs_record_find_point(into->record, &newest->point.id));
}

static bool is_brought(const struct fs_group *group, const struct fs_offer *offer)
{
    const struct fs_record *record = group->record;

    return fs_uuid_equal(&record->joins, &offer->group) && record->role == FS_ROLE_SECONDARY &&
           record->version > 0 && record->n_volumes == 1 && !is_taken_over(group) &&
           is_offered(offer, &record->volumes[0].volume.uuid);
}

const char *fs_join_refusal(const struct fs_groups *groups, const struct fs_offer *offer,
                            char *text, size_t size)
{
    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_group *group = groups->list[i];

        if (is_brought(group, offer) && (group->phase != FS_PHASE_IDLE || group->operation)) {
            (void)snprintf(text, size,
                           "%.150s joins %.150s, and a transfer or an operation of it is under way "
                           "at %.64s",
                           group->record->name, offer->name, groups->ctx->config->site);
            return text;
        }
    }
    return NULL;
}

void fs_join_lend(struct fs_groups *groups, const struct fs_offer *offer,
                  struct fs_admission *admission)
{
    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        if (is_brought(group, offer) && admission->n_joining < FS_JOINING_MAX) {
            admission->joining[admission->n_joining++] = group->record;
            group->join.lent = true;
            group->phase = FS_PHASE_OPERATING;
        }
    }
}

void fs_join_give_back(struct fs_group *group)
{
    const struct fs_groups *groups = group->ctx->groups;

    for (size_t i = 0; i < groups->count; i++) {
        struct fs_group *other = groups->list[i];

        if (other->join.lent && fs_uuid_equal(&other->record->joins, &group->record->group)) {
            other->join.lent = false;
            other->phase = FS_PHASE_IDLE;
        }
    }
}
