/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images are protected, by which policy, and in which group: what discovery makes of names,
 * metadata and stamps. Pure; any thread.
 */
#ifndef FARSHORE_SNAPSHOT_GROUPING_H
#define FARSHORE_SNAPSHOT_GROUPING_H

#include "farshore/site.h"
#include "snapshot/omap.h"

/* The JSON text of the labels that travel is at most this long. */
#define FS_GROUPING_LABELS_MAX 16384

/* Labels that travel with a volume which a PVC names: what its group and its VM are called, for a
 * site whose own Kubernetes does not know it. */
#define FS_LABEL_GROUP "farshore.io/group"
#define FS_LABEL_VM    "farshore.io/vm"

/* Images of one discovery, collected one by one. */
struct fs_grouping;

/* policies and claims (NULL: Kubernetes is no source) are borrowed until free. NULL when out of
 * memory. */
struct fs_grouping *fs_grouping_new(const struct fs_discovery_policy *policies, size_t n_policies,
                                    const struct fs_claims *claims);
void fs_grouping_free(struct fs_grouping *grouping);

/* An image as the scan found it; borrowed during the call. */
struct fs_grouping_image {
    int64_t pool_id;
    const char *pool;
    const char *ns;
    const char *id;   /* "" for format 1 */
    const char *name; /* of any length */
    const struct fs_omap *meta;
    int meta_rc; /* -errno where meta could not be read */
};

/* 0 or -ENOMEM. Images that no policy selects, and replicas, leave no trace. */
int fs_grouping_add(struct fs_grouping *grouping, const struct fs_grouping_image *image);

/* A pool or namespace that is not there; ns "" for a pool. 0 or -ENOMEM. */
int fs_grouping_add_missing(struct fs_grouping *grouping, const char *pool, const char *ns);

/* Once, after all were added. 0 or -ENOMEM; ret_discovery then needs fs_discovery_fini. */
int fs_grouping_finish(struct fs_grouping *grouping, struct fs_discovery *ret_discovery);

#endif
