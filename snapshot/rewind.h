/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking an image back to a snapshot by what differs, and not, as librbd's rollback does, object by
 * object for all that there are. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_REWIND_H
#define FARSHORE_SNAPSHOT_REWIND_H

#include "snapshot/target.h"

/*
 * The target is held. Only where nobody has rolled the image back to an older snapshot since snap
 * was taken, which a fast diff might not show. Size and contents become snap's. What was written
 * with the same bytes, or not at all, stays untouched.
 */
int fs_rewind(struct fs_cluster *cluster, const struct fs_target *target,
              const struct fs_snap_list *snaps, const struct fs_snap *snap, struct fs_error *err);

#endif
