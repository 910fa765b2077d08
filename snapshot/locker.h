/* SPDX-License-Identifier: Apache-2.0 */
/* Who has librbd's lock on an image, read from its header object. WORKER. */
#ifndef FARSHORE_SNAPSHOT_LOCKER_H
#define FARSHORE_SNAPSHOT_LOCKER_H

#include "snapshot/cluster.h"

#define FS_LOCK_NAME   "rbd_lock"
#define FS_LOCKER_SIZE 256
/* The object that carries the lock of the image with this id. */
#define FS_HEADER_SIZE (sizeof("rbd_header.") + FS_IMAGE_ID_SIZE)

struct fs_locker {
    bool present;
    char client[FS_LOCKER_SIZE]; /* "client.4114" */
    char cookie[FS_LOCKER_SIZE];
    char address[FS_LOCKER_SIZE]; /* as `osd blocklist` wants it: "10.0.0.1:0/123" */
    char tag[FS_LOCKER_SIZE];     /* of librbd's own lock: "internal" */
};

char *fs_header_name(const char *image_id, char ret_header[FS_HEADER_SIZE]);

/* Up to max lockers (more than one only of a shared lock); *ret_count counts them all. */
int fs_locker_list(rados_ioctx_t ioctx, const char *header, struct fs_locker *ret_lockers,
                   size_t max, size_t *ret_count, struct fs_error *err);
/* The first one; present false where there is none. */
int fs_locker_read(rados_ioctx_t ioctx, const char *header, struct fs_locker *ret_locker,
                   struct fs_error *err);

/* "client.4114" of this connection. */
char *fs_own_client(const struct fs_cluster *cluster, char ret_client[FS_LOCKER_SIZE]);

/* Everybody who has the image open for writing, ourselves included, until one returns not 0: that
 * is returned. name "client.4114"; address as in fs_locker. */
typedef int fs_watcher_fn(void *arg, const char *name, const char *address);
int fs_watchers_each(rbd_image_t image, fs_watcher_fn *each, void *arg, struct fs_error *err);
/* The first of them that is client (NULL: anybody but us), with name and address alone; present
 * false where there is none. */
int fs_watcher_find(const struct fs_cluster *cluster, rbd_image_t image, const char *client,
                    struct fs_locker *ret_watcher, struct fs_error *err);

#endif
