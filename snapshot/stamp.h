/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stamp: image metadata "farshore.stamp" (JSON: format, group, volume, site, term, role,
 * image_id) that says what an image is to Farshore. A stamp whose image_id is not the image's own
 * is a copy's (clone, cp and deep cp carry metadata along) and counts as none. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_STAMP_H
#define FARSHORE_SNAPSHOT_STAMP_H

#include "farshore/record.h"
#include "snapshot/cluster.h"

struct fs_stamp {
    struct fs_uuid group, volume;
    struct fs_term term;
    enum fs_role role;
};

/* 0; -ENOENT: none, or a copy's; -EPROTONOSUPPORT: written by a newer Farshore. image_id is the
 * image's own. */
int fs_stamp_read(rbd_image_t image, const char *image_id, struct fs_stamp *ret_stamp,
                  struct fs_error *err);
int fs_stamp_write(rbd_image_t image, const char *image_id, const struct fs_stamp *stamp,
                   struct fs_error *err);
int fs_stamp_remove(rbd_image_t image, struct fs_error *err);

#endif
