/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kubernetes objects that a point carries: a document (daemon/kube/strip.h), which here is just
 * bytes. It is named by its digest, stored and sent packed (zstd), and believed only where it has
 * that digest. Pure; any thread.
 */
#ifndef FARSHORE_CAPTURED_H
#define FARSHORE_CAPTURED_H

#include "farshore/buf.h"
#include "farshore/error.h"
#include "farshore/model.h"

/* The longest document, and the longest packed one: with it a frame is not longer than two
 * segments. */
#define FS_CAPTURED_MAX        (8u << 20)
#define FS_CAPTURED_PACKED_MAX (2u << 20)

bool fs_captured_same(const struct fs_captured *a, const struct fs_captured *b);

/* What a document is named; stale is false. */
void fs_captured_name(const char *text, size_t length, struct fs_captured *ret_captured);
/* ret_packed needs fs_buf_fini. -EFBIG: the document is too large, and err says how much. */
int fs_captured_pack(const char *text, size_t length, struct fs_buf *ret_packed,
                     struct fs_error *err);
/* The document that was packed, with a NUL behind its length. -EBADMSG (data): it is not the one
 * that captured names. ret_text needs fs_buf_fini. */
int fs_captured_unpack(const struct fs_captured *captured, const void *packed, size_t length,
                       struct fs_buf *ret_text, struct fs_error *err);

#endif
