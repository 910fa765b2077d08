/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librbd executes what other clients want done with an image in the process that has its lock:
 * `rbd snap create` elsewhere takes the snapshot here. Before it does, it asks those who watch for
 * that (rbd_quiesce_watch) to come to rest and waits for them. So no direct write is under way when
 * the snapshot is taken, and none with the old snapshot context comes after it. Whoever takes
 * snapshots without asking (--skip-quiesce), and every other change of the image (its size, its
 * features), is learned of from the update watch, a moment later: a direct write in that moment
 * cannot be kept out of a snapshot that asked not to be waited for.
 */
#include "snapshot/direct.h"

#include <pthread.h>
#include <stdlib.h>

#include "snapshot/alloc.h"

#define TOUCHED 64

struct fs_direct {
    /* set once */
    rbd_image_t handle; /* borrowed */
    struct fs_objects objects;
    uint64_t quiesce_watch, update_watch;
    /* loop only */
    uint64_t touched[TOUCHED]; /* a ring */
    size_t n_touched;          /* ever */
    /* guarded by lock */
    pthread_mutex_t lock;
    bool ended;
    bool awaited; /* librbd waits until nothing is in flight */
    unsigned in_flight;
};

/* CEPH_CB */
static void update_cb(void *arg)
{
    struct fs_direct *direct = arg;

    pthread_mutex_lock(&direct->lock);
    direct->ended = true;
    pthread_mutex_unlock(&direct->lock);
}

/* CEPH_CB. The answer is allowed here: it only hands over to a thread of librbd's. */
static void quiesce_cb(void *arg)
{
    struct fs_direct *direct = arg;

    pthread_mutex_lock(&direct->lock);
    direct->ended = true;
    direct->awaited = direct->in_flight > 0;

    bool rests = !direct->awaited;

    pthread_mutex_unlock(&direct->lock);
    if (rests) {
        rbd_quiesce_complete(direct->handle, direct->quiesce_watch, 0);
    }
}

/* CEPH_CB. Nothing goes on: the snapshot context is the old one. */
static void unquiesce_cb(void *arg)
{
    (void)arg;
}

static int watch(struct fs_direct *direct)
{
    int rc =
        rbd_quiesce_watch(direct->handle, quiesce_cb, unquiesce_cb, direct, &direct->quiesce_watch);

    if (rc == 0) {
        rc = rbd_update_watch(direct->handle, &direct->update_watch, update_cb, direct);
        if (rc < 0) {
            rbd_quiesce_unwatch(direct->handle, direct->quiesce_watch);
        }
    }
    return rc;
}

int fs_direct_start(const struct fs_image *image, const char *header, struct fs_direct **ret_direct,
                    struct fs_error *err)
{
    struct fs_direct *direct = fs_operation_new(sizeof(*direct));
    int rc;

    *ret_direct = NULL;
    direct->handle = image->handle;
    pthread_mutex_init(&direct->lock, NULL);
    rc = watch(direct); /* before the snapshots are read: none is missed */
    if (rc < 0) {
        pthread_mutex_destroy(&direct->lock);
        free(direct);
        return fs_cluster_error(err, rc, "cannot watch the image");
    }
    rc = fs_objects_open_write(image, header, &direct->objects, err);
    if (rc < 0 || !direct->objects.ioctx) {
        fs_direct_stop(direct);
        return rc;
    }
    *ret_direct = direct;
    return 0;
}

void fs_direct_stop(struct fs_direct *direct)
{
    if (!direct) {
        return;
    }
    /* Both wait for callbacks that are running. */
    rbd_update_unwatch(direct->handle, direct->update_watch);
    rbd_quiesce_unwatch(direct->handle, direct->quiesce_watch);
    fs_objects_close(&direct->objects);
    pthread_mutex_destroy(&direct->lock);
    free(direct);
}

const struct fs_objects *fs_direct_objects(const struct fs_direct *direct)
{
    return &direct->objects;
}

void fs_direct_touched(struct fs_direct *direct, uint64_t object)
{
    direct->touched[direct->n_touched++ % TOUCHED] = object;
}

static bool was_touched(const struct fs_direct *direct, uint64_t object)
{
    for (size_t i = 0; i < direct->n_touched && i < TOUCHED; i++) {
        if (direct->touched[i] == object) {
            return true;
        }
    }
    return false;
}

bool fs_direct_enter(struct fs_direct *direct, uint64_t object)
{
    bool granted;

    if (!was_touched(direct, object)) {
        return false;
    }
    pthread_mutex_lock(&direct->lock);
    granted = !direct->ended;
    direct->in_flight += granted;
    pthread_mutex_unlock(&direct->lock);
    return granted;
}

void fs_direct_leave(struct fs_direct *direct)
{
    bool rests;

    pthread_mutex_lock(&direct->lock);
    rests = --direct->in_flight == 0 && direct->awaited;
    direct->awaited = direct->awaited && !rests;
    pthread_mutex_unlock(&direct->lock);
    if (rests) {
        rbd_quiesce_complete(direct->handle, direct->quiesce_watch, 0);
    }
}
