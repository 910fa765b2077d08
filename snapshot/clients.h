/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients of images: who has them open for writing (watchers) or holds their lock, which of
 * them are Farshore's own, and which other images they serve. Ourselves are left out. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_CLIENTS_H
#define FARSHORE_SNAPSHOT_CLIENTS_H

#include "farshore/clock.h"
#include "farshore/operator.h"
#include "snapshot/image.h"

struct fs_client {
    char name[FS_FENCE_CLIENT_SIZE];     /* "client.4711" */
    char address[FS_FENCE_ADDRESS_SIZE]; /* as `osd blocklist` wants it */
    uint64_t holds;                      /* bit i: images[i] */
    bool instance;                       /* a daemon or helper of Farshore's, or one is recorded */
    char others[FS_FENCE_TEXT_SIZE];     /* "rbd/a, rbd/b" */
    size_t n_others;
};

struct fs_client_list {
    size_t count;
    struct fs_client *clients; /* owned */
};

void fs_client_list_fini(struct fs_client_list *list);

/* Of the open images (handle NULL: left out), refs[i] being images[i]'s. */
int fs_clients_find(struct fs_cluster *cluster, const struct fs_image *images,
                    const struct fs_image_ref *refs, size_t count, struct fs_client_list *ret_list,
                    struct fs_error *err);

/*
 * Tell Farshore's instances apart, of whichever site's records there are in the cluster. It is an
 * error where that cannot be told.
 */
int fs_clients_mark_instances(struct fs_cluster *cluster, struct fs_client_list *list,
                              struct fs_error *err);

/*
 * Look at all images of the cluster, other than refs, for what the clients serve; ends after
 * limit_ns, and then *ret_all is false. What cannot be read is left out, and counts as such.
 */
int fs_clients_find_others(struct fs_cluster *cluster, const struct fs_clock *clock,
                           int64_t limit_ns, const struct fs_image_ref *refs, size_t count,
                           struct fs_client_list *list, bool *ret_all, struct fs_error *err);

#endif
