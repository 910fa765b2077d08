/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to the site's Ceph cluster. Also used by the farshore-take helper. The cache of
 * librbd is off and discards are exact (rbd_cache=false, rbd_skip_partial_discard=false) on it.
 */
#ifndef FARSHORE_SNAPSHOT_CLUSTER_H
#define FARSHORE_SNAPSHOT_CLUSTER_H

#include <rados/librados.h>
#include <rbd/librbd.h>

#include "farshore/error.h"
#include "farshore/model.h"

/* What the client needs, as `ceph auth caps client.NAME` takes it. */
#define FS_CLUSTER_CAPS "mon 'profile rbd, allow command \"osd blocklist\"' osd 'profile rbd'"

struct fs_cluster;

/* WORKER. Connects with bounded op timeouts. Errors name conf, user, what is missing. */
int fs_cluster_open(const char *conf, const char *user, int64_t op_timeout_ns,
                    struct fs_cluster **ret_cluster, struct fs_error *err);
void fs_cluster_close(struct fs_cluster *cluster); /* WORKER */

/* ANY thread; constant after open, borrowed from the cluster. */
rados_t fs_cluster_rados(const struct fs_cluster *cluster);
const char *fs_cluster_fsid(const struct fs_cluster *cluster);
/* The user's name without "client.". */
const char *fs_cluster_user(const struct fs_cluster *cluster);
/* Our own client address as `osd blocklist` wants it ("10.0.0.1:0/123456"). */
const char *fs_cluster_address(const struct fs_cluster *cluster);

/* WORKER. Before closing: operations that start from now on are given up after 2 s. */
void fs_cluster_hurry(struct fs_cluster *cluster);

/* WORKER. A new ioctx of the caller's (rados_ioctx_destroy). Errors name pool and namespace. */
int fs_cluster_ioctx(struct fs_cluster *cluster, const char *pool, const char *ns,
                     rados_ioctx_t *ret_ioctx, struct fs_error *err);

/*
 * WORKER. Blocklist one client instance for expire_s seconds. On return this client has the map
 * that says so: whatever it writes from now on comes after the last write of that instance to the
 * same place.
 */
int fs_cluster_blocklist(struct fs_cluster *cluster, const char *address, uint32_t expire_s,
                         struct fs_error *err);

/* WORKER. Take the entry away, where there is one. */
int fs_cluster_unblocklist(struct fs_cluster *cluster, const char *address, struct fs_error *err);
/* WORKER. Is there an entry of exactly this address? False also where that cannot be asked. */
bool fs_cluster_is_blocklisted(struct fs_cluster *cluster, const char *address);

/* ANY thread. Has fs_cluster_blocklist fenced this address, as locks have it? */
bool fs_cluster_has_fenced(struct fs_cluster *cluster, const char *address);

/* WORKER. Proves that this client may blocklist; changes nothing. Errors name the cap. */
int fs_cluster_check_blocklist(struct fs_cluster *cluster, struct fs_error *err);

/* An error from a negative return value of librados or librbd: class by code, "what: strerror".
 * Returns rc. -ESHUTDOWN (we are blocklisted) is transient with a message that says so. */
int fs_cluster_error(struct fs_error *err, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
