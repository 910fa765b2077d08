/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is added to a group which has recovery points would hold up the others' with its
 * first copy. So it is a group of its own at first, GROUP+DISK (the record's joins says which group
 * it is to join), and joins it once little is left: the source's record of the group takes the
 * volume over with its newest point as a seed (fs_record_join), the target does the same at the
 * offer of the next point, and once that is committed each site forgets the group that it was.
 * LOOP only.
 */
#ifndef FARSHORE_DAEMON_JOIN_H
#define FARSHORE_DAEMON_JOIN_H

#include "daemon/groups.h"

/* --- at the source --- */

/* Is a found volume to be copied beside the group at first? It was never a member. */
bool fs_join_is_beside(const struct fs_group *group, const struct fs_volume *found);
/* The group that the volume is, beside group: the one there is, or a new one. NULL: out of memory,
 * or no name for it. */
struct fs_group *fs_join_group_beside(struct fs_groups *groups, const struct fs_group *group,
                                      const struct fs_found_group *found,
                                      const struct fs_volume *volume);
/* The primary group that the image is, beside group, or NULL. */
struct fs_group *fs_join_find_beside(const struct fs_groups *groups, const struct fs_group *group,
                                     const struct fs_image_ref *image);
/* A point of it that was taken took_ns ago has gone to the peer, or nothing had changed (0). */
void fs_join_shipped(struct fs_group *group, int64_t took_ns);
/* Ready, and the group that it joins has something under way: a point of its own would only be in
 * the way then. */
bool fs_join_waits(const struct fs_group *group);
/* Points of the group that are taken now are without a disk that is copied beside it. */
bool fs_join_is_missing(const struct fs_group *group);

/* --- at both --- */

/* Its volume is a member of the group that it joins: it does nothing of its own any more. */
bool fs_join_is_over(const struct fs_group *group);
/* The group that it joined has a point with it, whatever became of their roles. */
bool fs_join_is_complete(const struct fs_group *group);
/* The group that it joins, where this site has it; NULL otherwise. */
struct fs_group *fs_join_of(const struct fs_group *group);
/* One whose volume is in no point of group yet, or NULL. */
const struct fs_group *fs_join_any(const struct fs_group *group);
/* Why its volume is not its own to promote: the group that it joined has a point with it, or is to
 * be failed over first. NULL, or text. */
const char *fs_join_holds(const struct fs_group *group, char *text, size_t size);
/* Those whose volume can become a member now do; those are forgotten that the group that they
 * joined has a point of. */
void fs_join_run(struct fs_groups *groups);

/* --- at the target --- */

/* Why the offer cannot be taken now: one of the groups whose volumes it brings has something under
 * way. NULL, or text. */
const char *fs_join_refusal(const struct fs_groups *groups, const struct fs_offer *offer,
                            char *text, size_t size);
/* Lends the transfer of an offer the records of those groups: nothing else works on them then. */
void fs_join_lend(struct fs_groups *groups, const struct fs_offer *offer,
                  struct fs_admission *admission);
/* The transfer of the group has ended. */
void fs_join_give_back(struct fs_group *group);

#endif
