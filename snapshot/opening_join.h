/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of an opening that is about volumes which were groups of their own until now, and what
 * it shares with the rest of it. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_OPENING_JOIN_H
#define FARSHORE_SNAPSHOT_OPENING_JOIN_H

#include "snapshot/opening.h"

/*
 * Volumes that were groups of their own become this group's, before anything is done to their
 * images. Those groups' own records are removed once a point of this one has the volumes.
 */
int fs_opening_join(struct fs_opening *opening);
/* Where the sites would start such a volume from different content, the difference is found by
 * digests: plan.base says so. */
int fs_opening_check_seeds(struct fs_opening *opening);

/* opening.c: store work; what is stored becomes the opening's record. */
int fs_opening_store(struct fs_opening *opening, struct fs_record *work);
int fs_opening_no_memory(struct fs_opening *opening);

#endif
