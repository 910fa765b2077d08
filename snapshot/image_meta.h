/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images of a pool and their metadata, for many images at little cost.
 *
 * librbd reads an image's metadata only through an open image, some ten round trips and a
 * millisecond of CPU each. Here it is one round trip: the class method `metadata_list` on the
 * image's header object, which librbd calls itself. Its encoding is part of the protocol between
 * clients and OSDs of different releases, so it cannot change. Many are in flight at once: 10,000
 * images take a second or two.
 *
 * Nothing is cached: a label counts from the next call on. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_IMAGE_META_H
#define FARSHORE_SNAPSHOT_IMAGE_META_H

#include "snapshot/omap.h"

/* An image with more keys than this is given as -EFBIG. */
#define FS_IMAGE_META_KEYS_MAX 1024u

/* Called once for each image; id is "" for format 1. rc 0: meta (borrowed) is all its metadata,
 * -errno: it could not be read. What it returns other than 0 ends the scan with that. */
typedef int fs_image_meta_fn(void *arg, const char *id, const char *name, int rc,
                             const struct fs_omap *meta);

/*
 * Every image of the ioctx's pool and namespace. Images that are deleted under way are left out;
 * the trash is not looked at. -errno of the listing, of the callback, or where the cluster does not
 * answer or does not let us.
 */
int fs_image_meta_scan(rados_ioctx_t ioctx, fs_image_meta_fn *seen, void *arg);

/* What the class method answers, appended to meta: 0, -EINVAL or -ENOMEM. Pure, any thread. */
int fs_image_meta_decode(const void *data, size_t length, struct fs_omap *meta);

#endif
