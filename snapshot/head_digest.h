/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of what the images of a transfer hold now, beside the writes to them: through handles of
 * their own, since a handle that looks at objects must not be the one that has the lock. WORKER;
 * one user at a time.
 */
#ifndef FARSHORE_SNAPSHOT_HEAD_DIGEST_H
#define FARSHORE_SNAPSHOT_HEAD_DIGEST_H

#include "snapshot/digest_image.h"
#include "snapshot/target.h"

struct fs_head_digest;

/* NULL: no memory. The targets are borrowed, and have the size of the point. ANY thread. */
struct fs_head_digest *fs_head_digest_new(struct fs_cluster *cluster,
                                          const struct fs_target *targets, size_t n_targets);
/* NULL is allowed. Before the targets are parked. */
void fs_head_digest_free(struct fs_head_digest *heads);

/* Fills list as a digester's next does. Nothing of the range is being written. -ENOENT: none of the
 * targets is that volume. */
int fs_head_digest_next(struct fs_head_digest *heads, const struct fs_digest_query *query,
                        struct fs_digest_list *list, struct fs_error *err);

#endif
