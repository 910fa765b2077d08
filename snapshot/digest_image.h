/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digests of one image at one snapshot, or as it is: computed by the OSDs where the data lies,
 * or by reading. What a digest is stands in farshore/digest.h, how it is got in digest_image.c.
 * WORKER; one user at a time.
 */
#ifndef FARSHORE_SNAPSHOT_DIGEST_IMAGE_H
#define FARSHORE_SNAPSHOT_DIGEST_IMAGE_H

#include "farshore/digest.h"
#include "snapshot/extents.h"
#include "snapshot/image.h"

#define FS_DIGEST_PREFIX_SIZE 128

struct fs_digest_image {
    struct fs_image image; /* set to the snapshot */
    rados_ioctx_t data;    /* where its objects are, reading at the snapshot; NULL: not open */
    uint64_t size;         /* at the snapshot */
    uint64_t object_size;
    uint64_t overlap; /* with a parent: what is not in an object there is the parent's */
    bool plain;       /* a unit of object_size is one object */
    bool fast;        /* the object map says which objects there are */
    char prefix[FS_DIGEST_PREFIX_SIZE]; /* of the objects' names */
    struct fs_extents used;             /* objects in [used_start, used_end) */
    uint64_t used_start, used_end;
    uint8_t *buffer; /* owned, FS_DIGEST_READ bytes */
};

/* What is read at once. */
#define FS_DIGEST_READ (4u << 20)

/* snap_id may be LIBRADOS_SNAP_HEAD: what the image holds now; objects that come to be later may be
 * missed. size is the record's. Needs fs_digest_image_close, also after a failure. */
int fs_digest_image_open(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                         uint64_t snap_id, uint64_t size, struct fs_digest_image *ret_image,
                         struct fs_error *err);
void fs_digest_image_close(struct fs_digest_image *image);

/* Fills list as the operation `next` does. */
int fs_digest_image_next(struct fs_digest_image *image, uint64_t from, uint64_t to, uint32_t unit,
                         struct fs_digest_list *list, struct fs_error *err);

#endif
