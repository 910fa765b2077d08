/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relocation: a planned move of a group's workload to the other site, without loss. The site that
 * is primary carries it out; what the other site does about it is a promotion like any other. The
 * order of the steps is in relocate.c. LOOP only.
 */
#ifndef FARSHORE_DAEMON_RELOCATE_H
#define FARSHORE_DAEMON_RELOCATE_H

#include "daemon/operation.h"

/* Why the group cannot be relocated to that site from here, or NULL. */
const char *fs_relocate_refusal(const struct fs_group *group, const char *to, char *text,
                                size_t size);
/* About how long the workload would stand still, without the hooks' own time; -1: not known. */
int64_t fs_relocate_downtime_ns(const struct fs_group *group);

/* Is the group at that site already, and can that site be asked how its workload is? */
bool fs_relocate_is_done(const struct fs_group *group, const char *to);
/* Of one that is done: have the other site bring up what it left over. As fs_relocate_start. */
uint64_t fs_relocate_again(struct fs_group *group, const char *who);
/* Begin one that is not refused. Returns its serial, 0 when out of memory. */
uint64_t fs_relocate_start(struct fs_group *group, const char *who);
/* Whoever asked for the operation with this serial went away: before the switch it is undone. */
void fs_relocate_cancel(struct fs_group *group, uint64_t serial);
/* What a record says of one that nobody carries on: forward once it is granted, back before. */
void fs_relocate_resume(struct fs_group *group);

/* MOVE from the peer, and its answer to ours. */
void fs_relocate_asked(struct fs_groups *groups, const char *peer, struct fs_session *session,
                       const struct fs_move *move);
void fs_relocate_answered(struct fs_groups *groups, const char *peer,
                          const struct fs_move_answer *answer);
/* What this site says to a MOVE. */
void fs_relocate_answer(struct fs_session *session, const struct fs_move *move,
                        enum fs_move_outcome outcome, const char *message);

#endif
