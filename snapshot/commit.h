/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making what was applied a recovery point, finishing that after a crash, and letting old points
 * go. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_COMMIT_H
#define FARSHORE_SNAPSHOT_COMMIT_H

#include "snapshot/site.h"
#include "snapshot/target.h"

struct fs_commit_plan {
    struct fs_point_id point;
    struct fs_uuid base; /* as in struct fs_record_incoming */
    unsigned flags;      /* FS_POINT_* */
    int64_t taken_ns;    /* wall, this site's clock */
    uint64_t bytes;
    struct fs_captured objects;
    struct fs_retention retain;
    const struct fs_position *finals; /* one per target; borrowed */
};

/*
 * Everything of the point is in the targets (held and marked). Flush, store committing, snapshot,
 * store committed, drop what retention lets go. On an error the point stays committing, or was
 * never begun; fs_sink_recover goes on from there.
 */
int fs_commit_point(struct fs_site *site, struct fs_record *record, struct fs_target *targets,
                    size_t n_targets, const struct fs_commit_plan *plan, struct fs_error *err);

/*
 * For a record that was loaded, before anything else is done with its group: finish a commit that
 * was under way (or give it up, where an image may have been written by others since: the
 * transfer then starts again), and remove the snapshots of points that were being dropped.
 * Nothing to do costs nothing. The record is changed in place and stored.
 */
int fs_sink_recover(struct fs_site *site, struct fs_record *record, struct fs_error *err);

#endif
