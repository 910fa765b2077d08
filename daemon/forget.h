/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `forget`: the end of a group at a site that is secondary for it, once nobody ships it any more.
 * LOOP only.
 */
#ifndef FARSHORE_DAEMON_FORGET_H
#define FARSHORE_DAEMON_FORGET_H

#include "daemon/operation_commands.h"

/* Without "yes" only what it would do. */
void fs_forget_command(struct fs_operation_commands *commands, struct fs_call *call,
                       const json_t *request, struct fs_group *group);

/* Why it cannot be forgotten now, or NULL. */
const char *fs_forget_refusal(const struct fs_group *group, char *text, size_t size);
/* Begin what is not refused. Its serial; 0: out of memory. */
uint64_t fs_forget_start(struct fs_group *group, const char *who);

#endif
