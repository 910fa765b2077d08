/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a relocation before it begins: what would stop it, and what it costs.
 */
#include <stdio.h>

#include "daemon/join.h"
#include "daemon/peer.h"
#include "daemon/relocate.h"

static const char *refuse_role(const struct fs_group *group, char *text, size_t size)
{
    const struct fs_record *record = group->record;

    if (record->role == FS_ROLE_SECONDARY) {
        (void)snprintf(text, size,
                       "%s is primary for %s: a relocation is run there, and ships the rest from "
                       "there",
                       record->peer, record->name);
        return text;
    }
    if (record->role != FS_ROLE_PRIMARY || fs_group_is_split(group) || group->heard_pending) {
        (void)snprintf(text, size, "%s is %s here, and only an undisputed primary can be relocated",
                       record->name,
                       fs_group_is_split(group) ? "in a split brain" : fs_role_name(record->role));
        return text;
    }
    return NULL;
}

const char *fs_relocate_refusal(const struct fs_group *group, const char *to, char *text,
                                size_t size)
{
    const struct fs_context *ctx = group->ctx;
    const struct fs_record *record = group->record;
    struct fs_session *session = fs_peers_session_with_terms(ctx->peers, record->peer);

    if (!ctx->operators) {
        (void)snprintf(text, size, "this site does not work now: %s", ctx->site_reason);
        return text;
    }
    if (refuse_role(group, text, size)) {
        return text;
    }
    if (strcmp(to, record->peer) != 0) {
        (void)snprintf(text, size, "%s cannot go to %s: its peer is %s", record->name, to,
                       record->peer);
        return text;
    }
    if (group->operation) {
        (void)snprintf(text, size, "another operation on %s is under way: %s", record->name,
                       group->operation->kind->name);
        return text;
    }
    if (record->promotion.present) {
        (void)snprintf(text, size,
                       "%s has just been promoted, and not all of its volumes are let go "
                       "of yet: try again",
                       record->name);
        return text;
    }
    if (group->problem[0] || group->let_go || !fs_group_policy(group)) {
        (void)snprintf(text, size, "%s is not protected now: %s", record->name,
                       group->problem[0] ? group->problem : "no policy selects its volumes");
        return text;
    }
    if (!session) {
        (void)snprintf(text, size, "there is no session with %s, and this needs both sites",
                       record->peer);
        return text;
    }
    if (!(fs_session_peer(session)->features & FS_FEATURE_MOVE)) {
        (void)snprintf(text, size, "the Farshore of %s does not know relocations: upgrade it",
                       record->peer);
        return text;
    }
    /* Where they are primary at different sites, this is what brings them together. */
    const struct fs_group *into = fs_join_of(group), *disk = fs_join_any(group);
    if (into && into->record->role == FS_ROLE_PRIMARY) {
        (void)snprintf(text, size, "%.250s joins %.250s by itself, and goes where that goes",
                       record->name, into->record->name);
        return text;
    }
    if (disk && disk->record->role == FS_ROLE_PRIMARY) {
        (void)snprintf(text, size,
                       "%.250s has another disk, which is still copied beside its points as group "
                       "%.250s: wait until that has joined it",
                       record->name, disk->record->name);
        return text;
    }
    if (!fs_record_newest_committed(record)) {
        (void)snprintf(text, size, "%s has no recovery point at %s yet: the first copy comes first",
                       record->name, record->peer);
        return text;
    }
    return NULL;
}

int64_t fs_relocate_downtime_ns(const struct fs_group *group)
{
    const struct fs_histogram *durations = &group->stats.sync_duration;

    return durations->count
               ? (int64_t)(durations->sum / (double)durations->count * (double)FS_SEC) + FS_SEC
               : -1;
}
