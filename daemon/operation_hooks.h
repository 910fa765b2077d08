/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an operation by which this site became primary: the policy's hooks for it. LOOP only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_HOOKS_H
#define FARSHORE_DAEMON_OPERATION_HOOKS_H

#include "daemon/operation.h"

/*
 * The switch is done, and logged as done with message; then on.promoted and on.start are run, one
 * after the other. What comes of them is in the result and in the log, and is never a reason to go
 * back. Then the operation is over and freed.
 */
void fs_operation_conclude(struct fs_group *group, const char *message);

#endif
