/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stamp: image metadata "farshore.stamp" (JSON: format, group, volume, site, term, role,
 * image_id, joins) that says what an image is to Farshore. A stamp whose image_id is not the
 * image's own is a copy's (clone, cp and deep cp carry metadata along) and counts as none. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_STAMP_H
#define FARSHORE_SNAPSHOT_STAMP_H

#include "farshore/record.h"
#include "snapshot/cluster.h"

struct fs_stamp {
    struct fs_uuid group, volume;
    struct fs_term term;
    enum fs_role role;
    struct fs_uuid joins; /* the group that its group is to join; zero: none */
};

#define FS_STAMP_KEY "farshore.stamp"

/*
 * From the text of a stamp; image_id is the id of the image that carries it. 0; -ENOENT: a copy's;
 * -EPROTONOSUPPORT: written by a newer Farshore; -EINVAL (data): not a stamp at all, so that nobody
 * can say what the image is. Pure, any thread.
 */
int fs_stamp_parse(const char *text, size_t length, const char *image_id,
                   struct fs_stamp *ret_stamp, struct fs_error *err);
/* The text of a stamp (free), or NULL when out of memory. Pure, any thread. */
char *fs_stamp_encode(const char *image_id, const struct fs_stamp *stamp);

/* 0; -ENOENT: none, or a copy's (err is left alone); else as fs_stamp_parse, or what librbd said.
 * image_id is the image's own. */
int fs_stamp_read(rbd_image_t image, const char *image_id, struct fs_stamp *ret_stamp,
                  struct fs_error *err);
int fs_stamp_write(rbd_image_t image, const char *image_id, const struct fs_stamp *stamp,
                   struct fs_error *err);
/* Also 0 where there is none. */
int fs_stamp_remove(rbd_image_t image, struct fs_error *err);

#endif
