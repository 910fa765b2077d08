/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leave to write to a target's objects past librbd, and the end of it: when somebody takes a
 * snapshot of the image, resizes it or changes anything else about it. From then on librbd does all
 * I/O until the image is opened again. Why this is needed is in objects.c, how it works in
 * direct.c.
 */
#ifndef FARSHORE_SNAPSHOT_DIRECT_H
#define FARSHORE_SNAPSHOT_DIRECT_H

#include "snapshot/objects.h"

struct fs_direct;

/*
 * WORKER. For an image whose lock is held and whose head is ready to be written; header names the
 * object with the lock. *ret_direct is NULL where librbd must do all I/O. The image stays open
 * until fs_direct_stop.
 */
int fs_direct_start(const struct fs_image *image, const char *header, struct fs_direct **ret_direct,
                    struct fs_error *err);
/* WORKER. Nothing is in flight; NULL is allowed. */
void fs_direct_stop(struct fs_direct *direct);

/* ANY; constant. */
const struct fs_objects *fs_direct_objects(const struct fs_direct *direct);

/*
 * LOOP. librbd has written to an object, so that it exists and its object map says so. Only the
 * last few are remembered: extents come in ascending order, and to forget one costs one more write
 * through librbd.
 */
void fs_direct_touched(struct fs_direct *direct, uint64_t object);

/* LOOP. May one operation be sent to an object that librbd was the first to write to? Where the
 * answer is yes, fs_direct_leave has to follow when it has completed. */
bool fs_direct_enter(struct fs_direct *direct, uint64_t object);
void fs_direct_leave(struct fs_direct *direct);

#endif
