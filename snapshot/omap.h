/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key/value pairs of one RADOS object, read in one bounded piece, and guarded changes to them.
 * Used by state.c and lease.c. WORKER; the ioctx is the caller's.
 */
#ifndef FARSHORE_SNAPSHOT_OMAP_H
#define FARSHORE_SNAPSHOT_OMAP_H

#include "snapshot/cluster.h"

struct fs_omap_pair {
    char *key;   /* owned, terminated */
    char *value; /* owned, terminated; length does not count the NUL */
    size_t length;
};

struct fs_omap { /* ascending keys */
    size_t count;
    struct fs_omap_pair *pairs; /* owned */
};

void fs_omap_fini(struct fs_omap *omap);
/* Room for so many more pairs; 0 or -ENOMEM. */
int fs_omap_reserve(struct fs_omap *omap, size_t more);
/* A copy of one more, for which there is room; 0 or -ENOMEM. */
int fs_omap_append(struct fs_omap *omap, const char *key, size_t key_length, const void *value,
                   size_t length);
/* The value of key (borrowed), or NULL. */
const char *fs_omap_get(const struct fs_omap *omap, const char *key);

/*
 * All pairs of an object; read page by page, so not at one instant where there are more than
 * FS_OMAP_PAGE. -ENOENT: no object; -EFBIG: more than limit pairs. Without a message: the caller
 * knows what it reads.
 */
#define FS_OMAP_PAGE 512
int fs_omap_read(rados_ioctx_t ioctx, const char *object, size_t limit, struct fs_omap *ret_omap);

/* The pairs of the given keys, at one instant; absent ones are left out. -ENOENT as above. */
int fs_omap_read_keys(rados_ioctx_t ioctx, const char *object, const char *const *keys,
                      size_t n_keys, struct fs_omap *ret_omap);

/* One compound write, made step by step. */
rados_write_op_t fs_omap_change(void);
/* Holds only while key has this value; "" also stands for an absent key. -ECANCELED otherwise. */
void fs_omap_expect(rados_write_op_t op, const char *key, const char *value);
void fs_omap_set(rados_write_op_t op, const char *key, const char *value, size_t length);
void fs_omap_remove(rados_write_op_t op, const char *key);
/* Does it, also on a full cluster, and releases op. */
int fs_omap_apply(rados_ioctx_t ioctx, const char *object, rados_write_op_t op);

#endif
