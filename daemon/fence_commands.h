/* SPDX-License-Identifier: Apache-2.0 */
/* The commands `fence` and `unfence`, as a client of the control socket meets them. LOOP only. */
#ifndef FARSHORE_DAEMON_FENCE_COMMANDS_H
#define FARSHORE_DAEMON_FENCE_COMMANDS_H

#include "daemon/control.h"
#include "daemon/fence.h"

struct fs_fence_commands;

struct fs_fence_commands *fs_fence_commands_new(struct fs_context *ctx); /* NULL: out of memory */
void fs_fence_commands_free(struct fs_fence_commands *commands);

/* Without "yes" the answer is who would be fenced; with it, or to unfence, it is done. */
void fs_fence_command(struct fs_fence_commands *commands, struct fs_call *call,
                      const json_t *request, struct fs_group *group);
void fs_unfence_command(struct fs_fence_commands *commands, struct fs_call *call,
                        struct fs_group *group);
/* The client went away; what has begun goes on. */
void fs_fence_commands_gone(struct fs_fence_commands *commands, struct fs_call *call);
/* A round of the loop: progress and answers; when it wants to be called again (boot). */
int64_t fs_fence_commands_run(struct fs_fence_commands *commands);

#endif
