/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data objects behind an image, for I/O past librbd: several ranges of an object in one RADOS
 * operation. When that is right, and why, is in objects.c. The handle that it was opened from
 * stays open for as long.
 */
#ifndef FARSHORE_SNAPSHOT_OBJECTS_H
#define FARSHORE_SNAPSHOT_OBJECTS_H

#include "snapshot/image.h"

#define FS_OBJECT_PREFIX_SIZE 128
#define FS_OBJECT_NAME_SIZE   (FS_OBJECT_PREFIX_SIZE + 20)

struct fs_objects {
    rados_ioctx_t ioctx; /* of the data pool; NULL: every I/O of the image goes through librbd */
    uint64_t object_size;
    char prefix[FS_OBJECT_PREFIX_SIZE];
};

/*
 * WORKER. For reading at snapshot snap_id, to which the image's handle is set. Leaves ioctx NULL
 * where only librbd can read the image; an error is one of the cluster's.
 */
int fs_objects_open_read(const struct fs_image *image, uint64_t snap_id,
                         struct fs_objects *ret_objects, struct fs_error *err);

/*
 * WORKER. For writing to the head of an image whose exclusive lock this handle holds. Leaves ioctx
 * NULL where only librbd can. What is written then has the snapshots of this moment below it: no
 * write may be sent after another snapshot was taken (snapshot/direct.h sees to that).
 */
int fs_objects_open_write(const struct fs_image *image, const char *header,
                          struct fs_objects *ret_objects, struct fs_error *err);

void fs_objects_close(struct fs_objects *objects); /* also what is zeroed */

/* ANY. The name of an object, into name; returns it. */
const char *fs_objects_name(const struct fs_objects *objects, uint64_t number,
                            char name[FS_OBJECT_NAME_SIZE]);

#endif
