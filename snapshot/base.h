/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two snapshots of an image that make one volume's share of a point: the one with the exact
 * content, and the one that a diff can start from. At a secondary they are the same, a user
 * snapshot. A primary that took a group of several has an RBD group snapshot and, just before it, a
 * mark: what was written between them is in the content, and in a diff from the mark. Pure.
 */
#ifndef FARSHORE_SNAPSHOT_BASE_H
#define FARSHORE_SNAPSHOT_BASE_H

#include "farshore/record.h"
#include "snapshot/image.h"

struct fs_base {
    const struct fs_snap *content; /* read by its id; of any type */
    const struct fs_snap *from;    /* a user snapshot, which a diff starts from by its name */
};

/* Borrowed from the list. False where one of them is gone (or content is NULL): no content can be
 * told from it. */
bool fs_base_find(const struct fs_snap_list *snaps, const struct fs_record_content *content,
                  struct fs_base *ret_base);

#endif
