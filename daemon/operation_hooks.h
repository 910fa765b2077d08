/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an operation by which this site became primary: the policy's hooks for it, and what
 * uses the volumes in this site's Kubernetes. LOOP only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_HOOKS_H
#define FARSHORE_DAEMON_OPERATION_HOOKS_H

#include "daemon/operation.h"

/*
 * The switch is done, and logged as done with message; then on.promoted is run, what uses the
 * volumes is brought up, and on.start is run. What comes of them is in the result and in the log,
 * and is never a reason to go back. Then the operation is over and freed.
 */
void fs_operation_conclude(struct fs_group *group, const char *message);

/* The record says that something is still to be brought up here, and it may be. */
bool fs_bring_up_needed(const struct fs_group *group);
/* The operation under way does that, or comes to it. */
bool fs_bring_up_goes_on(const struct fs_group *group);
/* Only that, as an operation of its own; its serial, 0 when out of memory. */
uint64_t fs_bring_up_start(struct fs_group *group, const char *who);

#endif
