/* SPDX-License-Identifier: Apache-2.0 */
/* What a failover will do, as it is told before it begins. LOOP only. */
#ifndef FARSHORE_DAEMON_FAILOVER_PLAN_H
#define FARSHORE_DAEMON_FAILOVER_PLAN_H

#include "daemon/control.h"
#include "daemon/operation_commands.h"

/* What was said ("required", checked; NULL: nothing), or what the group's policy says. */
enum fs_fence_mode fs_failover_fence_mode(const struct fs_group *group, const char *said);

/* Ends the call with the plan of these groups, of a single one only later: the other site is asked
 * whom it would fence, and this site's Kubernetes what would not come up. wanted: the point that
 * was asked for, or zero; fence: what was said. */
void fs_failover_plan(struct fs_operation_commands *commands, struct fs_call *call,
                      struct fs_group *const *groups, size_t count, const struct fs_uuid *wanted,
                      const char *fence);

#endif
