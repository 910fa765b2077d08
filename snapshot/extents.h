/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing set of extents: what diffs report, in whatever order and overlap, made ascending,
 * disjoint and as few as possible. Pure; no thread of its own.
 */
#ifndef FARSHORE_SNAPSHOT_EXTENTS_H
#define FARSHORE_SNAPSHOT_EXTENTS_H

#include "farshore/model.h"

struct fs_extents {
    struct fs_extent *items; /* owned */
    size_t count;
    size_t capacity;
    bool sorted; /* nothing was added out of order or overlapping since */
};

#define FS_EXTENTS_INIT ((struct fs_extents){.sorted = true})

void fs_extents_fini(struct fs_extents *extents);
void fs_extents_clear(struct fs_extents *extents); /* keeps the memory */

/* Add a run, clipped to [low, high); nothing is added where nothing is left of it. -ENOMEM. */
int fs_extents_add(struct fs_extents *extents, const struct fs_extent *extent, uint64_t low,
                   uint64_t high);

/*
 * Sort, let DATA win where kinds overlap, and merge neighbours of one kind. -ENOMEM.
 */
int fs_extents_normalize(struct fs_extents *extents);

#endif
