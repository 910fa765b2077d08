/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking an image back to a snapshot by what differs, and not, as librbd's rollback does, object by
 * object for all that there are. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_REWIND_H
#define FARSHORE_SNAPSHOT_REWIND_H

#include "snapshot/base.h"
#include "snapshot/target.h"

/*
 * The target is held. Size and contents become the base's. What was written with the same bytes, or
 * not at all, stays untouched. never_back: nobody has rolled the image back to an older snapshot
 * since the base was taken, which a fast diff might not show; otherwise it takes longer.
 */
int fs_rewind(struct fs_cluster *cluster, const struct fs_target *target,
              const struct fs_snap_list *snaps, const struct fs_base *base, bool never_back,
              struct fs_error *err);

#endif
