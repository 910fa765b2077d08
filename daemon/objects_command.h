/* SPDX-License-Identifier: Apache-2.0 */
/* The command `objects`: what Kubernetes objects a point carries, and how those of this site's API
 * differ from them. LOOP only. */
#ifndef FARSHORE_DAEMON_OBJECTS_COMMAND_H
#define FARSHORE_DAEMON_OBJECTS_COMMAND_H

#include "daemon/group.h"
#include "daemon/operation_commands.h"

/* request: "point" (a name or id; without: the newest one that carries some), "secrets": true shows
 * what Secrets hold. */
void fs_objects_command(struct fs_operation_commands *commands, struct fs_call *call,
                        const json_t *request, const struct fs_group *group);

#endif
