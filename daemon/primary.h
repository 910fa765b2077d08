/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a group does where we are its primary: take, offer and ship, settle, and again. Nothing
 * here waits or looks at the time of its own: fs_groups_run starts what is due. LOOP only.
 */
#ifndef FARSHORE_DAEMON_PRIMARY_H
#define FARSHORE_DAEMON_PRIMARY_H

#include "daemon/group.h"

/* What discovery says of it; copies. 0 or -ENOMEM. */
int fs_primary_found(struct fs_group *group, const struct fs_found_group *found);
/* One volume more, after that; copies. 0 or -ENOMEM. */
int fs_primary_found_too(struct fs_group *group, const struct fs_volume *volume);
/* Store what is pending, where nothing else is under way. True where it started something. */
bool fs_primary_store_pending(struct fs_group *group);
/* The volume of joining, a group of its own so far, becomes a member: store that. 0 where it has
 * begun, or something else comes first; -errno as fs_record_join. */
int fs_primary_take_in(struct fs_group *group, const struct fs_record *joining);
/* Does it want a sync now? Fills the candidate's deadline. */
bool fs_primary_wants_sync(const struct fs_group *group, struct fs_candidate *ret_candidate);
/* When it may want one next, on the boot clock; INT64_MAX: something else has to happen first. */
int64_t fs_primary_next_ns(const struct fs_group *group);
/* No point of it is at the peer yet. */
bool fs_primary_is_first_copy(const struct fs_group *group);
/* Offer the point that is not committed yet, or take one. session is up. */
void fs_primary_sync(struct fs_group *group);
/* Stop what is under way; it ends soon, through its callbacks. */
void fs_primary_cancel(struct fs_group *group);
/* The session with its peer is up, or gone. */
void fs_primary_peer_changed(struct fs_group *group);

#endif
