/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the helper process does: probe the writers of a group's volumes and take the snapshots of
 * one point. Runs only in farshore-take, whose client instance may be blocklisted in the middle.
 * Blocks; one call at a time.
 */
#ifndef FARSHORE_SNAPSHOT_TAKEPOINT_H
#define FARSHORE_SNAPSHOT_TAKEPOINT_H

#include <jansson.h>

#include "farshore/source.h"
#include "snapshot/cluster.h"

/* Called right before and right after each librbd call that holds writers. */
typedef void fs_takepoint_hold_fn(bool holding);

/*
 * request: {"group": "farshore.<uuid>", "snap", "mark", "refuse_not_one_instant": bool,
 *           "volumes": [{"pool_id", "pool", "ns", "id", "name"}]}
 * Returns a new reference, or NULL when out of memory:
 *   {"event": "done", "ok": true, "group_snapshot": bool, "not_one_instant": bool, "pause_ns",
 *    "age_ns", "contents": [{"snap_id", "mark_id", "size"}]}
 *   {"event": "done", "ok": false, "reason": enum fs_take_reason, "class", "code", "message"}
 * What a failed call leaves behind is the daemon's to remove: it knows the names.
 */
json_t *fs_takepoint(struct fs_cluster *cluster, const json_t *request, fs_takepoint_hold_fn *hold);

/* The answer that tells of a failure; as above. */
json_t *fs_takepoint_failed(enum fs_take_reason reason, const struct fs_error *err);

#endif
