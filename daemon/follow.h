/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failback and resync: this site, which was primary for a group, becomes the secondary of the site
 * that is primary now. Nothing is shipped here: the next offer of the peer brings the difference.
 * From the stored record on it is carried through restarts. LOOP only.
 */
#ifndef FARSHORE_DAEMON_FOLLOW_H
#define FARSHORE_DAEMON_FOLLOW_H

#include "daemon/operation.h"

/* Why it is not possible, or NULL. */
const char *fs_failback_refusal(const struct fs_group *group, char *text, size_t size);
/* from: the site whose data is to stay. */
const char *fs_resync_refusal(const struct fs_group *group, const char *from, char *text,
                              size_t size);
/* Is this site the peer's secondary already, or about to be? */
bool fs_failback_is_done(const struct fs_group *group);

/* Begin one that is not refused. compare: a resync. Returns its serial, 0 when out of memory. */
uint64_t fs_follow_start(struct fs_group *group, bool compare, const char *who);
/* A following that the record knows of, and nobody carries on. */
void fs_follow_resume(struct fs_group *group);

#endif
