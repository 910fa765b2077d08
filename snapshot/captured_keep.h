/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kubernetes objects of points (farshore/captured.h) in the state namespace:
 *
 *   objects.<group uuid>            omap: <digest> -> "", of those that are or are about to be
 * there objects.<group uuid>.<digest>   data: a packed document
 *
 * Points with the same objects share one. It is stored before the record names it. One that no
 * point of the record names is removed when a point that carries some goes, before the record
 * forgets that point: so after a crash it is done again. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_CAPTURED_KEEP_H
#define FARSHORE_SNAPSHOT_CAPTURED_KEEP_H

#include "farshore/captured.h"
#include "snapshot/state.h"

/* Store it, whole or not at all; also where it is there. */
int fs_captured_keep(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_captured *captured, const void *packed, size_t length,
                     struct fs_error *err);
/* 0; -ENOENT (err is left alone): it is not there. */
int fs_captured_find(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_captured *captured, struct fs_error *err);
/* ret_packed needs fs_buf_fini, and has been checked. -ENOENT (permanent): it is not there;
 * -EBADMSG (data): it is not what it was. */
int fs_captured_load(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_captured *captured, struct fs_buf *ret_packed,
                     struct fs_error *err);
/* Remove what no point of the record names. */
int fs_captured_sweep(struct fs_state *state, const struct fs_record *record, struct fs_error *err);
/* Remove all of the group's, and what lists them. */
int fs_captured_forget(struct fs_state *state, const struct fs_uuid *group, struct fs_error *err);

#endif
