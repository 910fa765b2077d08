/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An RBD image opened by its identity (never by its name) and its snapshots. WORKER throughout;
 * one user at a time.
 */
#ifndef FARSHORE_SNAPSHOT_IMAGE_H
#define FARSHORE_SNAPSHOT_IMAGE_H

#include "snapshot/cluster.h"

struct fs_image {
    rados_ioctx_t ioctx;
    rbd_image_t handle; /* NULL: not open */
};

enum fs_image_mode {
    FS_IMAGE_READ = 0,
    FS_IMAGE_WRITE, /* registers a watch; takes no lock by itself */
    /* The same; on a full cluster what needs no room is done, and what does fails: nothing waits
     * for ever. */
    FS_IMAGE_WRITE_FULL,
};

/*
 * Open ref by its id; NULL handle on failure. -ENOENT only where the image id really is not there
 * any more; a pool that is gone is an error of its own (-ENXIO). Needs fs_image_close after
 * success.
 */
int fs_image_open(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                  enum fs_image_mode mode, struct fs_image *ret_image, struct fs_error *err);
void fs_image_close(struct fs_image *image); /* also what was never opened but zeroed */

/* The name that the image has now, into ref->name. */
int fs_image_refresh_name(const struct fs_image *image, struct fs_image_ref *ref,
                          struct fs_error *err);

struct fs_snap {
    uint64_t id;
    uint64_t size;
    rbd_snap_namespace_type_t type;
    char name[FS_SNAP_NAME_SIZE]; /* "" where it is longer: not one of ours */
};

struct fs_snap_list {
    size_t count;
    struct fs_snap *snaps; /* owned; ascending ids */
};

int fs_snap_list_load(const struct fs_image *image, struct fs_snap_list *ret_list,
                      struct fs_error *err);
void fs_snap_list_fini(struct fs_snap_list *list);
/* Borrowed from the list; NULL where there is none. */
const struct fs_snap *fs_snap_list_find(const struct fs_snap_list *list, uint64_t id);
const struct fs_snap *fs_snap_list_find_user(const struct fs_snap_list *list, const char *name);

/*
 * True where librbd's fast diff may be believed from snapshot from_id (0: the beginning) to to_id
 * (0: the head): the feature is there and the flags of every object map from one end to the other
 * are good, whoever made the snapshots between. Not where a user snapshot is older than from_id: a
 * rollback to it puts its object map in the head's place, in which what changed before from_id and
 * was rolled back counts as clean. Otherwise ret_why says what forbids it. Leaves the
 * handle set to to_id. -errno where the flags cannot be read.
 */
int fs_image_fast_diff_valid(const struct fs_image *image, const struct fs_snap_list *list,
                             uint64_t from_id, uint64_t to_id, bool *ret_valid, char *ret_why,
                             size_t why_size, struct fs_error *err);

/* Whether the object map of this snapshot (0: the head) is there and tells the truth. Leaves the
 * handle set to it. */
int fs_image_map_valid(const struct fs_image *image, uint64_t id, bool *ret_valid,
                       struct fs_error *err);

#endif
