/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crash left half-done in a secondary's record is finished when the site is opened, without
 * waiting for the peer: a commit under way, points that were being removed. One group's failure is
 * its own state; the others go on. LOOP only.
 */
#ifndef FARSHORE_DAEMON_RECOVERY_H
#define FARSHORE_DAEMON_RECOVERY_H

#include "daemon/groups.h"

/* Is there a commit to finish, or are there points to remove? */
bool fs_recovery_needed(const struct fs_record *record);
/* Start what is due, at most a few groups at a time: each opens its images. */
void fs_recovery_run(struct fs_groups *groups);

#endif
