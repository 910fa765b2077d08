/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a group's operations, kept in the cluster: who did what when, step by step. What
 * cannot be written goes to the event log instead: nothing waits for it. LOOP only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_LOG_H
#define FARSHORE_DAEMON_OPERATION_LOG_H

#include <jansson.h>

#include "daemon/groups.h"

/* An entry; step "begun", "done", ...; id names the operation that it belongs to, NULL: none; who
 * and detail may be "". */
void fs_operation_log(struct fs_group *group, const char *step, const struct fs_uuid *id,
                      const char *who, const char *detail);

/* The answer of `farshore history`; a new reference. */
json_t *fs_operation_history(const struct fs_group *group, const struct fs_history_entry *entries,
                             size_t count);

/* The newest entries, oldest first, a new reference; NULL while they are not read yet: the first to
 * ask makes them be. */
json_t *fs_operation_recent(struct fs_group *group);

#endif
