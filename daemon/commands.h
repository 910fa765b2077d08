/* SPDX-License-Identifier: Apache-2.0 */
/* What the requests on the control socket do; those that begin operations are in
 * operation_commands.h. LOOP only. */
#ifndef FARSHORE_DAEMON_COMMANDS_H
#define FARSHORE_DAEMON_COMMANDS_H

#include "daemon/control.h"
#include "daemon/group.h"

struct fs_daemon;
struct fs_commands;

struct fs_commands *fs_commands_new(struct fs_daemon *daemon); /* NULL when out of memory */
void fs_commands_free(struct fs_commands *commands);

/* fs_control_fn and fs_call_gone_fn; arg is the commands. */
void fs_commands_handle(void *arg, struct fs_call *call, const json_t *request);
void fs_commands_gone(void *arg, struct fs_call *call);

/* A point by its name or its id; an id need not be of a point that this site holds. */
bool fs_commands_find_point(const struct fs_group *group, const char *text,
                            struct fs_uuid *ret_point);

/* Those that wait: progress and ends. Returns when it wants to be called again (boot clock). */
int64_t fs_commands_run(struct fs_commands *commands);

#endif
