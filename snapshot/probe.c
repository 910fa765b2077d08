/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/locker.h"

/* librbd's tag for its managed lock. */
#define INTERNAL_TAG "internal"

/* Ask all watchers; whether the client with this global id was among those that answered. */
static int ask(rados_ioctx_t ioctx, const char *object, uint64_t gid, bool *ret_answered)
{
    struct notify_ack_t *acks = NULL;
    struct notify_timeout_t *timeouts = NULL;
    size_t n_acks = 0, n_timeouts = 0, length = 0;
    char *reply = NULL;
    /* An empty message is a "header has changed" of old, which makes a client look at its header
     * again: what a snapshot would make it do anyway. */
    int rc = rados_notify2(ioctx, object, "", 0, FS_PROBE_TIMEOUT_MS, &reply, &length);

    *ret_answered = false;
    if ((rc == 0 || rc == -ETIMEDOUT) && reply) {
        rc = rados_decode_notify_response(reply, length, &acks, &n_acks, &timeouts, &n_timeouts);
        for (size_t i = 0; rc == 0 && i < n_acks; i++) {
            if (acks[i].notifier_id == gid) {
                *ret_answered = true;
            }
        }
        if (rc == 0) {
            rados_free_notify_response(acks, n_acks, timeouts);
        }
    }
    rados_buffer_free(reply);
    return rc == -ETIMEDOUT ? 0 : rc;
}

int fs_probe_owner(struct fs_cluster *cluster, rados_ioctx_t ioctx,
                   const struct fs_image_ref *image, struct fs_error *err)
{
    char object[FS_HEADER_SIZE], spec[FS_IMAGE_SPEC_SIZE];
    struct fs_locker owner;
    bool answered = false;

    fs_header_name(image->image_id, object);
    fs_image_spec(image, spec);

    int rc = fs_locker_read(ioctx, object, &owner, err);

    if (rc < 0) {
        fs_error_context(err, "image %s", spec);
        return rc;
    }
    if (!owner.present) {
        return 0;
    }
    if (strcmp(owner.tag, INTERNAL_TAG) != 0) {
        return fs_error_set(
            err, FS_ERR_CONFIG, EBUSY,
            "image %s: %.64s at %.128s holds an advisory lock on it, and snapshots would "
            "wait for it; remove it with rbd lock remove, if it is stale",
            spec, owner.client, owner.address);
    }

    uint64_t gid = 0; /* nobody's */

    if (strncmp(owner.client, "client.", 7) == 0) {
        gid = strtoull(owner.client + 7, NULL, 10);
    }
    rc = ask(ioctx, object, gid, &answered);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "image %s: cannot ask the owner of its lock", spec);
    }
    /* A blocklisted owner can lose nothing more: librbd takes its lock away at once. */
    if (answered || fs_cluster_is_blocklisted(cluster, owner.address)) {
        return 0;
    }
    return fs_error_set(
        err, FS_ERR_TRANSIENT, EHOSTDOWN,
        "image %s: %.64s at %.128s holds its lock and does not answer, and a snapshot "
        "would kill it; where it is dead: ceph osd blocklist add %.128s",
        spec, owner.client, owner.address, owner.address);
}
