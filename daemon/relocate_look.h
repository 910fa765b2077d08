/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other site says of a group's workload: before a relocation what of it would not come up
 * there, after one whether it has. Asked again until it is answered; nothing of the relocation's
 * own steps waits for it. LOOP only.
 */
#ifndef FARSHORE_DAEMON_RELOCATE_LOOK_H
#define FARSHORE_DAEMON_RELOCATE_LOOK_H

#include "daemon/groups.h"

struct fs_relocate_looks;

struct fs_relocate_looks *fs_relocate_looks_new(struct fs_groups *groups); /* NULL: no memory */
void fs_relocate_looks_free(struct fs_relocate_looks *looks);              /* nothing is called */

/* Is there a session with the group's peer that knows these questions? */
bool fs_relocate_look_can(const struct fs_group *group);

/* YES or NO, with its text; LATER: it could not be told, text says why. */
typedef void fs_relocate_look_fn(void *arg, enum fs_move_outcome outcome, const char *text);

/*
 * Ask what would not come up there (FS_MOVE_LOOK). done is called once, within half a minute, not
 * from inside. False when out of memory, and then it is not.
 */
bool fs_relocate_look_start(struct fs_group *group, fs_relocate_look_fn *done, void *arg);

/*
 * Ask again and again whether it has come up there (again: and have what is left over be brought up
 * once more), for the group's last operation, which is over or just ends: result->coming says until
 * when, and what came of it is in result->workload. Ends when nothing is heard for a minute,
 * after an hour and a half, or once another operation has followed.
 */
void fs_relocate_watch(struct fs_group *group, struct fs_operation_result *result, bool again);
/* What the other site said last that it does; "" for nothing. */
const char *fs_relocate_watch_text(const struct fs_group *group);

/* MOVE and MOVE_ANSWER of these kinds. */
void fs_relocate_look_asked(struct fs_groups *groups, const char *peer, struct fs_session *session,
                            const struct fs_move *move);
void fs_relocate_look_answered(struct fs_groups *groups, const char *peer,
                               const struct fs_move_answer *answer);

/* A round of the loop; returns when it wants to be called again (boot clock). */
int64_t fs_relocate_looks_run(struct fs_relocate_looks *looks);

#endif
