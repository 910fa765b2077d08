/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the client that holds an image's exclusive lock alive? Any operation of ours that needs the
 * lock (a snapshot, its removal, a stamp) makes librbd break the lock of an owner that does not
 * answer, and blocklist it: a writer that was only stopped for a while would be killed. So its
 * owner is asked first, by a notification that every librbd and krbd answers by itself. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_PROBE_H
#define FARSHORE_SNAPSHOT_PROBE_H

#include "snapshot/cluster.h"

/* Short beside the 26 s after which librbd would kill a silent owner; long for a busy one. */
#define FS_PROBE_TIMEOUT_MS 4000

/*
 * 0: nobody holds the lock, its owner answered, or its owner is blocklisted already. -EHOSTDOWN:
 * it is silent, and nothing that needs the lock may be tried. -EBUSY: the image is locked by hand
 * (rbd lock add). ioctx is the image's.
 */
int fs_probe_owner(struct fs_cluster *cluster, rados_ioctx_t ioctx,
                   const struct fs_image_ref *image, struct fs_error *err);

#endif
