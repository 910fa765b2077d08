/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that begin operations on groups, or ask for their log: what would be done, progress
 * once a second, what came of it. LOOP only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_COMMANDS_H
#define FARSHORE_DAEMON_OPERATION_COMMANDS_H

#include "daemon/control.h"
#include "daemon/groups.h"

struct fs_operation_commands;

/* NULL when out of memory. */
struct fs_operation_commands *fs_operation_commands_new(struct fs_context *ctx);
void fs_operation_commands_free(struct fs_operation_commands *commands);

/* `failover`: of one group, or (group NULL) of those of "policy", or with "all". Without "yes" only
 * the plan. */
void fs_operation_commands_failover(struct fs_operation_commands *commands, struct fs_call *call,
                                    const json_t *request, struct fs_group *group);
/* `failback`, `resync` ("from"): of one group. Without "yes" only the plan. */
void fs_operation_commands_follow(struct fs_operation_commands *commands, struct fs_call *call,
                                  const json_t *request, struct fs_group *group, bool compare);
/* `relocate` ("to"): of one group. Without "yes" only the plan. */
void fs_operation_commands_relocate(struct fs_operation_commands *commands, struct fs_call *call,
                                    const json_t *request, struct fs_group *group);
/* `history` */
void fs_operation_commands_history(struct fs_operation_commands *commands, struct fs_call *call,
                                   const struct fs_group *group);

/* The client went away. */
void fs_operation_commands_gone(struct fs_operation_commands *commands, struct fs_call *call);
/* A round of the loop; returns when it wants to be called again. */
int64_t fs_operation_commands_run(struct fs_operation_commands *commands);

#endif
