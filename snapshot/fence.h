/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the users of images out, and letting them in again; the essay is in fence.c. WORKER. */
#ifndef FARSHORE_SNAPSHOT_FENCE_H
#define FARSHORE_SNAPSHOT_FENCE_H

#include "farshore/operator.h"
#include "snapshot/site.h"

struct fs_fence_list {
    size_t count;
    struct fs_fence *fences; /* owned */
    bool all_seen;           /* of the other images that the clients serve */
};

/* As the operations of struct fs_operator_ops; *ret_list is the caller's, also on failure. Where
 * the order's images are at the other site their names are filled in. */
int fs_fence_look(struct fs_site *site, struct fs_fence_order *order,
                  struct fs_fence_list *ret_list, struct fs_error *err);
int fs_fence_run(struct fs_site *site, struct fs_fence_order *order, struct fs_doing *doing,
                 struct fs_fence_list *ret_list, struct fs_error *err);
int fs_fence_lift(struct fs_site *site, const struct fs_fence_order *order,
                  struct fs_fence_list *ret_list, struct fs_error *err);

/* --- for the two files of it (unfence.c) --------------------------------------------------------
 */

int fs_fence_list_append(struct fs_fence_list *list, const struct fs_fence *fence,
                         struct fs_error *err);
/* A connection to the other site's cluster, which may be gone; fs_cluster_close it. */
int fs_fence_reach_open(const struct fs_fence_reach *other, struct fs_cluster **ret_cluster,
                        struct fs_error *err);

#endif
