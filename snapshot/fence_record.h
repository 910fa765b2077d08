/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of fenced clients, in the state namespace, so that unfence takes away exactly
 * those entries of the blocklist that fence made:
 *
 *   fences   omap: <group uuid> <site> <address> -> JSON (see fence_record.c)
 *
 * WORKER, but where it says pure.
 */
#ifndef FARSHORE_SNAPSHOT_FENCE_RECORD_H
#define FARSHORE_SNAPSHOT_FENCE_RECORD_H

#include "farshore/operator.h"
#include "snapshot/state.h"

int fs_fence_store(struct fs_state *state, const struct fs_fence *fence, struct fs_error *err);
int fs_fence_forget(struct fs_state *state, const struct fs_fence *fence, struct fs_error *err);
/* All of the site's; the array is the caller's. */
int fs_fence_load(struct fs_state *state, struct fs_fence **ret_fences, size_t *ret_count,
                  struct fs_error *err);

/* Text of an entry, and back. Pure. */
char *fs_fence_encode(const struct fs_fence *fence);               /* free; NULL: no memory */
int fs_fence_decode(const char *text, struct fs_fence *ret_fence); /* 0 or -EINVAL */

#endif
