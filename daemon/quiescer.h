/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What freezes and thaws in the daemon: the policy's command, and KubeVirt, which has the file
 * systems of a virtual machine frozen by the agent in it. When, and what a failure means, is
 * daemon/quiesce.h's. LOOP only.
 */
#ifndef FARSHORE_DAEMON_QUIESCER_H
#define FARSHORE_DAEMON_QUIESCER_H

#include "daemon/quiesce.h"

extern const struct fs_quiescer fs_quiescer;

#endif
