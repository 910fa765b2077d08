/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: the commands of a policy that stop and start what uses a group's volumes, and tell others
 * of its new role. Each runs as a process group of its own, with the daemon's rights, for at most
 * the policy's on.timeout; what it prints goes to the log. This module runs one; when, and what a
 * failure means, is the operation's. LOOP only.
 */
#ifndef FARSHORE_DAEMON_HOOK_H
#define FARSHORE_DAEMON_HOOK_H

#include <event2/event.h>

#include "daemon/group.h"

/* Of one run so many lines come into the log, the rest is counted. */
#define FS_HOOK_LINES_MAX 100

struct fs_hooks;

struct fs_hooks *fs_hooks_new(struct event_base *base); /* NULL when out of memory */
/* Kills what runs, and calls nobody back. */
void fs_hooks_free(struct fs_hooks *hooks);

/* What is run at the site that became primary, in this order; FS_HOOKS_AFTER of them. */
extern const enum fs_hook fs_hooks_after[];

/* "on.stop", as the configuration calls it. */
const char *fs_hook_name(enum fs_hook hook);

/* err: NULL after exit status 0; otherwise what became of it, with the last line it printed. */
typedef void fs_hook_fn(void *arg, const struct fs_error *err);

/*
 * Run the command that the group's policy has for the hook; point (may be NULL) goes into its
 * environment. False where there is none: nothing is called. True: done is called exactly once,
 * later, on the LOOP, also where it could not be started; unless fs_hooks_free comes first.
 */
bool fs_hook_start(const struct fs_group *group, enum fs_hook hook, const struct fs_point_id *point,
                   fs_hook_fn *done, void *arg);
/* The same for a command of quiesce.command: thaw is what it is told to do, limit_ns its limit. */
bool fs_hook_start_quiesce(const struct fs_group *group, const char *command, bool thaw,
                           int64_t limit_ns, fs_hook_fn *done, void *arg);
/* The same for drill.exec, with what `farshore drill --exec` puts in the environment. */
bool fs_hook_start_drill(const struct fs_group *group, const struct fs_drill *drill,
                         fs_hook_fn *done, void *arg);

#endif
