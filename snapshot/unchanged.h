/* SPDX-License-Identifier: Apache-2.0 */
/* Has one image changed since a snapshot? Answered from object maps, in time that hardly grows
 * with the image, and only where they can be believed. WORKER. */
#ifndef FARSHORE_SNAPSHOT_UNCHANGED_H
#define FARSHORE_SNAPSHOT_UNCHANGED_H

#include "farshore/record.h"
#include "snapshot/image.h"

/*
 * Compare the head of ref with its content in a point. image was opened just before, read-only,
 * and snaps are its snapshots; its handle is left at the head. content NULL: nothing to compare
 * with, only look whether it could be told. ret_slow says why not ("" where it can).
 */
int fs_unchanged_check(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                       const struct fs_image *image, const struct fs_snap_list *snaps,
                       const struct fs_record_content *content, bool *ret_unchanged, char *ret_slow,
                       size_t slow_size, struct fs_error *err);

#endif
