/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the page shows beside the status document: one group with its points and its last day, and
 * the newest events. docs/architecture.md describes both. LOOP only.
 */
#ifndef FARSHORE_DAEMON_HISTORY_H
#define FARSHORE_DAEMON_HISTORY_H

#include <jansson.h>

#include "daemon/group.h"

/* New references. */
json_t *fs_history_group(struct fs_group *group);
json_t *fs_history_events(void);

#endif
