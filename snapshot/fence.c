/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fencing, step by step, and what a crash after each leaves:
 *
 *   1. what is needed is there: the caps, the images, the list of Farshore's instances  (nothing)
 *   2. the lock of each image is taken, from owners that answer; those have a moment to close what
 *      they have open                                    (locks that a start breaks as any other)
 *   3. who is on an image still is recorded              (entries that are not proven: listed, and
 *                                                         unfence takes them away)
 *   4. and blocklisted                                   (the same; the client is out)
 *   5. nobody is on an image any more, and every lock is ours
 *   6. the entries say proven; the images are closed, which lets go of the locks
 *
 * Repeated it comes to the same end. From 2 on no client writes: one that gives its lock up gets
 * EROFS, and from 4 on ESHUTDOWN. A silent owner is not asked for its lock: librbd would break it,
 * after half a minute, and blocklist the owner for an hour only. For the same reason a fenced
 * client's lock is taken off the header before ours is taken.
 *
 * An entry lasts ten years, which stands for ever: a client instance does not live that long. There
 * are no entries of whole hosts: another client on the same machine is not concerned, but a kernel
 * client is one for all images of its machine, hence the list of what else a client serves.
 */
#include "snapshot/fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "farshore/fault.h"
#include "snapshot/clients.h"
#include "snapshot/fence_record.h"
#include "snapshot/locker.h"
#include "snapshot/probe.h"

#define EXPIRE_S (10u * 365 * 24 * 3600)
#define POLL_NS  (100 * FS_MSEC)
/* For clients that have lost their lock and close by themselves. */
#define GRACE_NS (2 * FS_SEC)
/* A watch ends when its client is blocklisted, and by itself after 30 s. */
#define GONE_NS (45 * FS_SEC)
/* To look at all images of the cluster: somebody waits for the answer. */
#define LOOK_NS (20 * FS_SEC)
#define SCAN_NS (3 * FS_SEC)
#define ROUNDS  8

struct fencing {
    struct fs_site *site;
    struct fs_cluster *cluster; /* of the images */
    struct fs_fence_order *order;
    struct fs_image images[FS_VOLUMES_MAX]; /* handle NULL: it is gone */
    struct fs_doing *doing;                 /* or NULL */
    struct fs_fence_list *list;
    struct fs_error *err;
};

static void now_doing(const struct fencing *fencing, const char *what, size_t at, size_t of)
{
    if (fencing->doing) {
        atomic_store(&fencing->doing->what, what);
        atomic_store(&fencing->doing->at, (unsigned)at);
        atomic_store(&fencing->doing->of, (unsigned)of);
    }
}

static int64_t now_ns(const struct fencing *fencing)
{
    return fs_clock_boot(fencing->site->options.clock);
}

static void pause_a_little(void)
{
    const struct timespec wait = {.tv_nsec = POLL_NS};

    (void)nanosleep(&wait, NULL);
}

/* --- the cluster ------------------------------------------------------------------------------ */

static void close_other(const struct fs_site *site, struct fs_cluster *cluster)
{
    if (cluster != site->cluster) {
        fs_cluster_close(cluster);
    }
}

/* Sets the cluster of the images; close_other afterwards, also on failure. */
static int reach(struct fencing *fencing)
{
    const struct fs_fence_order *order = fencing->order;

    fencing->cluster = fencing->site->cluster;
    if (!order->at_other) {
        return 0;
    }
    struct fs_cluster *other = NULL;
    int rc = fs_fence_reach_open(&order->other, &other, fencing->err);

    if (rc == 0 && strcmp(fs_cluster_fsid(other), order->fsid) != 0) {
        rc = fs_error_set(fencing->err, FS_ERR_CONFIG, EINVAL,
                          "the cluster of %.200s is not the one that has the volumes (fsid %s): "
                          "correct peers.%.100s.fence.conf",
                          order->other.conf, order->fsid, order->other.site);
        fs_cluster_close(other);
    } else if (rc == 0) {
        fencing->cluster = other;
    }
    return rc;
}

/* --- the images ------------------------------------------------------------------------------- */

/* The name of the pool of an image that is known by numbers. */
static int find_pool(const struct fencing *fencing, struct fs_image_ref *ref)
{
    if (ref->pool[0]) {
        return 0;
    }
    int rc = rados_pool_reverse_lookup(fs_cluster_rados(fencing->cluster), ref->pool_id, ref->pool,
                                       sizeof(ref->pool));

    return rc < 0 ? fs_cluster_error(fencing->err, rc, "pool %lld", (long long)ref->pool_id) : 0;
}

static int open_images(struct fencing *fencing, enum fs_image_mode mode)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < fencing->order->n_images; i++) {
        struct fs_image_ref *ref = &fencing->order->images[i];

        rc = find_pool(fencing, ref);
        if (rc == 0) {
            rc = fs_image_open(fencing->cluster, ref, mode, &fencing->images[i], fencing->err);
        }
        if (rc == 0) {
            rc = fs_image_refresh_name(&fencing->images[i], ref, fencing->err);
        }
        if (rc == -ENOENT) { /* nobody is on an image that is not there */
            *fencing->err = FS_ERROR_INIT;
            rc = 0;
        }
    }
    return rc;
}

static void close_images(struct fencing *fencing)
{
    for (size_t i = 0; i < fencing->order->n_images; i++) {
        if (fencing->images[i].handle) {
            fs_image_close(&fencing->images[i]);
        }
    }
}

static int find_clients(const struct fencing *fencing, struct fs_client_list *ret_list)
{
    int rc = fs_clients_find(fencing->cluster, fencing->images, fencing->order->images,
                             fencing->order->n_images, ret_list, fencing->err);

    if (rc == 0) {
        rc = fs_clients_mark_instances(fencing->cluster, ret_list, fencing->err);
        if (rc < 0) {
            fs_client_list_fini(ret_list);
        }
    }
    return rc;
}

/* Owners that do not answer, or do not let go, are left to the blocklist. */
static void take_locks(const struct fencing *fencing)
{
    const struct fs_fence_order *order = fencing->order;

    for (size_t i = 0; i < order->n_images; i++) {
        const struct fs_image *image = &fencing->images[i];
        struct fs_error ignored = FS_ERROR_INIT;

        now_doing(fencing, "asking for the locks of the images", i, order->n_images);
        if (image->handle &&
            fs_probe_owner(fencing->cluster, image->ioctx, &order->images[i], &ignored) == 0) {
            (void)rbd_lock_acquire(image->handle, RBD_LOCK_MODE_EXCLUSIVE);
        }
        fs_fault("fence.asked");
    }
}

/* --- what is told of a client ----------------------------------------------------------------- */

static void name_images(const struct fs_fence_order *order, uint64_t holds,
                        char ret_text[FS_FENCE_TEXT_SIZE])
{
    size_t length = 0;

    ret_text[0] = '\0';
    for (size_t i = 0; i < order->n_images; i++) {
        char spec[FS_IMAGE_SPEC_SIZE];

        fs_image_spec(&order->images[i], spec);
        if ((holds & UINT64_C(1) << i) && length + strlen(spec) + 3 <= FS_FENCE_TEXT_SIZE) {
            length += (size_t)snprintf(ret_text + length, FS_FENCE_TEXT_SIZE - length, "%s%s",
                                       length > 0 ? ", " : "", spec);
        }
    }
}

static struct fs_fence fence_of(const struct fencing *fencing, const struct fs_client *client)
{
    const struct fs_fence_order *order = fencing->order;
    struct fs_fence fence = {
        .group = order->group,
        .since_ns = fs_clock_wall(fencing->site->options.clock),
    };

    snprintf(fence.site, sizeof(fence.site), "%s", order->site);
    snprintf(fence.client, sizeof(fence.client), "%s", client->name);
    snprintf(fence.address, sizeof(fence.address), "%s", client->address);
    snprintf(fence.who, sizeof(fence.who), "%s", order->who);
    snprintf(fence.others, sizeof(fence.others), "%s", client->others);
    name_images(order, client->holds, fence.images);
    return fence;
}

static int find_others(const struct fencing *fencing, int64_t limit_ns, struct fs_client_list *list)
{
    bool all = true;
    int rc = fs_clients_find_others(fencing->cluster, fencing->site->options.clock, limit_ns,
                                    fencing->order->images, fencing->order->n_images, list, &all,
                                    fencing->err);

    fencing->list->all_seen = fencing->list->all_seen && all;
    return rc;
}

/* --- fencing ---------------------------------------------------------------------------------- */

static bool is_fenced(const struct fencing *fencing, const char *address)
{
    for (size_t i = 0; i < fencing->list->count; i++) {
        if (strcmp(fencing->list->fences[i].address, address) == 0) {
            return true;
        }
    }
    return false;
}

static int fence_client(struct fencing *fencing, const struct fs_client *client)
{
    const struct fs_fence fence = fence_of(fencing, client);
    int rc = fs_fence_store(fencing->site->state, &fence, fencing->err);

    if (rc == 0) {
        rc = fs_fence_list_append(fencing->list, &fence, fencing->err);
    }
    if (rc == 0) {
        fs_fault("fence.recorded");
        rc = fs_cluster_blocklist(fencing->cluster, fence.address, EXPIRE_S, fencing->err);
        fs_fault("fence.blocklisted");
    }
    return rc;
}

static size_t count_strangers(const struct fs_client_list *clients)
{
    size_t count = 0;

    for (size_t i = 0; i < clients->count; i++) {
        count += !clients->clients[i].instance;
    }
    return count;
}

/* Whoever is on the images now and is not fenced yet. */
static int fence_all(struct fencing *fencing, struct fs_client_list *clients)
{
    int rc = 0;

    if (count_strangers(clients) > 0) {
        rc = find_others(fencing, SCAN_NS, clients);
    }
    for (size_t i = 0; rc == 0 && i < clients->count; i++) {
        const struct fs_client *client = &clients->clients[i];

        now_doing(fencing, "blocklisting clients", i, clients->count);
        if (!client->instance && !is_fenced(fencing, client->address)) {
            rc = fence_client(fencing, client);
        }
    }
    return rc;
}

static int somebody_left(const struct fencing *fencing, const struct fs_client_list *clients)
{
    const struct fs_client *client = &clients->clients[0];
    char images[FS_FENCE_TEXT_SIZE];

    name_images(fencing->order, client->holds, images);
    return fs_error_set(fencing->err, FS_ERR_TRANSIENT, EBUSY,
                        client->instance
                            ? "%s at %s has %.200s open and is a Farshore instance, which is "
                              "never fenced; it is waited for"
                            : "%s at %s is blocklisted and still on %.200s",
                        client->name, client->address, images);
}

/* Off the header, without librbd's help. */
static int break_fenced(const struct fencing *fencing, size_t i)
{
    const struct fs_image *image = &fencing->images[i];
    char header[FS_HEADER_SIZE], own[FS_LOCKER_SIZE];
    struct fs_locker locker;

    fs_header_name(fencing->order->images[i].image_id, header);
    fs_own_client(fencing->cluster, own);
    for (unsigned round = 0; round < ROUNDS; round++) { /* a shared lock has several owners */
        int rc = fs_locker_read(image->ioctx, header, &locker, fencing->err);

        if (rc < 0 || !locker.present || strcmp(locker.client, own) == 0) {
            return rc;
        }
        if (!is_fenced(fencing, locker.address)) {
            return fs_error_set(fencing->err, FS_ERR_TRANSIENT, EAGAIN,
                                "%s at %s has taken its lock meanwhile", locker.client,
                                locker.address);
        }
        rc = rados_break_lock(image->ioctx, header, FS_LOCK_NAME, locker.client, locker.cookie);
        if (rc < 0 && rc != -ENOENT) {
            return fs_cluster_error(fencing->err, rc, "cannot break the lock of %s", locker.client);
        }
    }
    return fs_error_set(fencing->err, FS_ERR_TRANSIENT, EAGAIN, "its lock has too many owners");
}

static int hold_all(const struct fencing *fencing)
{
    const struct fs_fence_order *order = fencing->order;
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < order->n_images; i++) {
        if (!fencing->images[i].handle) {
            continue;
        }
        now_doing(fencing, "taking the locks of the images", i, order->n_images);
        rc = break_fenced(fencing, i);
        if (rc == 0) {
            rc = rbd_lock_acquire(fencing->images[i].handle, RBD_LOCK_MODE_EXCLUSIVE);
            rc = rc == -EINVAL ? 0 : rc; /* without the exclusive-lock feature there is none */
            if (rc < 0) {
                fs_cluster_error(fencing->err, rc, "cannot take the exclusive lock");
            }
        }
        if (rc < 0) {
            fs_error_context(fencing->err, "image %s", fs_image_spec(&order->images[i], spec));
        }
    }
    return rc;
}

/* A client that is to be fenced, and is not yet? */
static bool has_new(const struct fencing *fencing, const struct fs_client_list *clients)
{
    for (size_t i = 0; i < clients->count; i++) {
        if (!clients->clients[i].instance && !is_fenced(fencing, clients->clients[i].address)) {
            return true;
        }
    }
    return false;
}

/* Until nobody is on the images, or, without patience, somebody new is. *ret_clients is those that
 * are left. */
static int wait_until_gone(const struct fencing *fencing, int64_t wait_ns, bool patient,
                           struct fs_client_list *ret_clients)
{
    int64_t until = now_ns(fencing) + wait_ns;
    int rc;

    for (;;) {
        rc = find_clients(fencing, ret_clients);
        if (rc < 0 || ret_clients->count == 0 || now_ns(fencing) >= until ||
            (!patient && has_new(fencing, ret_clients))) {
            return rc;
        }
        fs_client_list_fini(ret_clients);
        pause_a_little();
    }
}

/* Also what a try before this one has left. */
static int store_proven(const struct fencing *fencing)
{
    const struct fs_fence_order *order = fencing->order;
    struct fs_fence *fences = NULL;
    size_t count = 0;
    int rc = fs_fence_load(fencing->site->state, &fences, &count, fencing->err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!fences[i].proven && fs_uuid_equal(&fences[i].group, &order->group) &&
            strcmp(fences[i].site, order->site) == 0 &&
            fs_cluster_is_blocklisted(fencing->cluster, fences[i].address)) {
            fences[i].proven = true;
            rc = fs_fence_store(fencing->site->state, &fences[i], fencing->err);
            fs_fault("fence.proven");
        }
    }
    free(fences);
    return rc;
}

static int prove(const struct fencing *fencing)
{
    for (size_t i = 0; i < fencing->list->count; i++) {
        const struct fs_fence *fence = &fencing->list->fences[i];

        if (!fs_cluster_is_blocklisted(fencing->cluster, fence->address)) {
            return fs_error_set(fencing->err, FS_ERR_TRANSIENT, EAGAIN,
                                "%s at %s is not on the blocklist any more", fence->client,
                                fence->address);
        }
    }
    return store_proven(fencing);
}

/* *clients: who is on the images; replaced by who still is afterwards. */
static int fence_round(struct fencing *fencing, struct fs_client_list *clients)
{
    int rc = fence_all(fencing, clients);

    fs_client_list_fini(clients);
    if (rc < 0) {
        return rc;
    }
    rc = hold_all(fencing);
    if (rc < 0 && rc != -EAGAIN) {
        return rc;
    }
    *fencing->err = FS_ERROR_INIT; /* who has taken a lock meanwhile is found now */
    now_doing(fencing, "waiting until the fenced clients are gone", 0, 0);
    return wait_until_gone(fencing, GONE_NS, false, clients);
}

static int fence_and_hold(struct fencing *fencing)
{
    struct fs_client_list clients;
    int rc = wait_until_gone(fencing, GRACE_NS, true, &clients);

    for (unsigned round = 0; rc == 0 && round < ROUNDS; round++) {
        rc = fence_round(fencing, &clients);
        if (rc == 0 && clients.count == 0) {
            return hold_all(fencing); /* the locks of those that are gone now are lifted, too */
        }
        if (rc == 0 && (round + 1 == ROUNDS || !has_new(fencing, &clients))) {
            rc = somebody_left(fencing, &clients);
            fs_client_list_fini(&clients);
        }
    }
    return rc;
}

int fs_fence_run(struct fs_site *site, struct fs_fence_order *order, struct fs_doing *doing,
                 struct fs_fence_list *ret_list, struct fs_error *err)
{
    struct fencing fencing = {.site = site,

                              .order = order,
                              .doing = doing,
                              .list = ret_list,
                              .err = err};
    struct fs_client_list clients;

    *ret_list = (struct fs_fence_list){.all_seen = true};
    int rc = reach(&fencing);
    if (rc == 0) {
        rc = fs_cluster_check_blocklist(fencing.cluster, err);
    }
    if (rc == 0) {
        rc = open_images(&fencing, FS_IMAGE_WRITE_FULL);
    }
    if (rc == 0) { /* whether it can be told who is Farshore's */
        rc = find_clients(&fencing, &clients);
    }
    if (rc == 0) {
        fs_client_list_fini(&clients);
        fs_fault("fence.ask");
        take_locks(&fencing);
        rc = fence_and_hold(&fencing);
    }
    if (rc == 0) {
        rc = prove(&fencing);
    }
    close_images(&fencing);
    close_other(site, fencing.cluster);
    return rc;
}

int fs_fence_look(struct fs_site *site, struct fs_fence_order *order,
                  struct fs_fence_list *ret_list, struct fs_error *err)
{
    struct fencing fencing = {.site = site, .order = order, .list = ret_list, .err = err};
    struct fs_client_list clients = {0};

    *ret_list = (struct fs_fence_list){.all_seen = true};
    int rc = reach(&fencing);
    if (rc == 0) {
        rc = fs_cluster_check_blocklist(fencing.cluster, err);
    }
    if (rc == 0) {
        rc = open_images(&fencing, FS_IMAGE_READ);
    }
    if (rc == 0) {
        rc = find_clients(&fencing, &clients);
    }
    if (rc == 0) {
        rc = find_others(&fencing, LOOK_NS, &clients);
    }
    for (size_t i = 0; rc == 0 && i < clients.count; i++) {
        if (!clients.clients[i].instance) {
            const struct fs_fence fence = fence_of(&fencing, &clients.clients[i]);
            rc = fs_fence_list_append(ret_list, &fence, err);
        }
    }
    fs_client_list_fini(&clients);
    close_images(&fencing);
    close_other(site, fencing.cluster);
    return rc;
}
