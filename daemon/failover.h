/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover: this site becomes primary for a group, whatever the other one does. From the raised
 * term on the record carries it through restarts. LOOP only.
 */
#ifndef FARSHORE_DAEMON_FAILOVER_H
#define FARSHORE_DAEMON_FAILOVER_H

#include "daemon/operation.h"

/*
 * Why a failover of the group is not possible here, or NULL. *ret_point is the point that it would
 * go to; NULL where this site goes on from its heads. wanted as in fs_operation.
 */
const char *fs_failover_refusal(const struct fs_group *group, const struct fs_uuid *wanted,
                                const struct fs_record_point **ret_point, char *text, size_t size);
/* Is this site primary for it already, by the newest promotion that is known of? */
bool fs_failover_is_done(const struct fs_group *group);
/* At most so much will not be at this site, if it is promoted now; -1: it is not known. */
int64_t fs_failover_loss_ns(const struct fs_group *group, const struct fs_record_point *point);

/* Begin one that is not refused; or, where one is under way, join it. Returns its serial, 0 when
 * out of memory. */
uint64_t fs_failover_start(struct fs_group *group, const struct fs_uuid *wanted,
                           enum fs_fence_mode fence, const char *who);
/* A promotion that the record knows of, and nobody carries on. */
void fs_failover_resume(struct fs_group *group);

#endif
