/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `left` and `discard`: what was kept aside of a group before something else overwrote it.
 * Discarding is an operation of the group: it waits for what is under way, and cancels nothing.
 * LOOP only.
 */
#ifndef FARSHORE_DAEMON_LEFT_H
#define FARSHORE_DAEMON_LEFT_H

#include "daemon/operation_commands.h"

/* `left`: lists them. */
void fs_left_command(struct fs_operation_commands *commands, struct fs_call *call,
                     const struct fs_group *group);
/* `discard` ("snapshot"): without "yes" only what it would do. */
void fs_discard_command(struct fs_operation_commands *commands, struct fs_call *call,
                        const json_t *request, struct fs_group *group);

#endif
