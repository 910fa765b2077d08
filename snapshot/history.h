/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a group's operations in the state namespace:
 *
 *   history.<group uuid>   omap: "<wall ns, 20 digits>.<8 hex digits>" -> text
 *
 * The newest FS_HISTORY_MAX entries stay. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_HISTORY_H
#define FARSHORE_SNAPSHOT_HISTORY_H

#include "farshore/operator.h"
#include "snapshot/state.h"

int fs_history_append(struct fs_state *state, const struct fs_uuid *group, int64_t wall_ns,
                      const char *text, struct fs_error *err);
/* The array and its texts are the caller's; fs_history_free. */
int fs_history_load(struct fs_state *state, const struct fs_uuid *group,
                    struct fs_history_entry **ret_entries, size_t *ret_count, struct fs_error *err);
void fs_history_free(struct fs_history_entry *entries, size_t count);

#endif
