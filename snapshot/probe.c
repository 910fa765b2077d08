/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* librbd's names for its managed lock on the header object. */
#define LOCK_NAME    "rbd_lock"
#define INTERNAL_TAG "internal"

struct owner {
    char client[1024]; /* "client.4123" */
    char address[1024];
    char tag[64];
};

/* "v1:10.0.0.1:0/123" as locks have it is "10.0.0.1:0/123" to `osd blocklist`. */
static void strip_type(char *address)
{
    static const char *const types[] = {"v1:", "v2:", "any:"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t length = strlen(types[i]);

        if (strncmp(address, types[i], length) == 0) {
            memmove(address, address + length, strlen(address + length) + 1);
            return;
        }
    }
}

/* 1: somebody holds the lock; 0: nobody. */
static int read_owner(rados_ioctx_t ioctx, const char *object, struct owner *ret_owner)
{
    char cookies[1024];
    size_t client_size = sizeof(ret_owner->client), cookies_size = sizeof(cookies);
    size_t address_size = sizeof(ret_owner->address), tag_size = sizeof(ret_owner->tag);
    int exclusive;
    /* One text per locker, each with its NUL: the first is the owner, as the lock is exclusive. */
    ssize_t count = rados_list_lockers(ioctx, object, LOCK_NAME, &exclusive, ret_owner->tag,
                                       &tag_size, ret_owner->client, &client_size, cookies,
                                       &cookies_size, ret_owner->address, &address_size);

    if (count == 0 || count == -ENOENT) {
        return 0;
    }
    if (count < 0) {
        return (int)count;
    }
    strip_type(ret_owner->address);
    return 1;
}

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

/* A blocklisted owner can lose nothing more: librbd takes its lock away at once. */
static bool is_blocklisted(struct fs_cluster *cluster, const char *address)
{
    const char *command = "{\"prefix\": \"osd blocklist ls\", \"format\": \"plain\"}";
    char *out = NULL, *status = NULL;
    size_t out_length = 0, status_length = 0;
    bool found = false;
    int rc = rados_mon_command(fs_cluster_rados(cluster), &command, 1, "", 0, &out, &out_length,
                               &status, &status_length);

    if (rc == 0 && out) {
        size_t length = strlen(address);

        for (const char *at = out; at + length < out + out_length; at++) {
            if ((at == out || at[-1] == '\n') && memcmp(at, address, length) == 0 &&
                at[length] == ' ') {
                found = true;
                break;
            }
        }
    }
    rados_buffer_free(out);
    rados_buffer_free(status);
    return found;
}

int fs_probe_owner(struct fs_cluster *cluster, rados_ioctx_t ioctx,
                   const struct fs_image_ref *image, struct fs_error *err)
{
    char object[sizeof("rbd_header.") + FS_IMAGE_ID_SIZE], spec[FS_IMAGE_SPEC_SIZE];
    struct owner owner;
    bool answered = false;

    snprintf(object, sizeof(object), "rbd_header.%s", image->image_id);
    fs_image_spec(image, spec);

    int rc = read_owner(ioctx, object, &owner);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "image %s: cannot read who holds its lock", spec);
    }
    if (rc == 0) {
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
    if (answered || is_blocklisted(cluster, owner.address)) {
        return 0;
    }
    return fs_error_set(
        err, FS_ERR_TRANSIENT, EHOSTDOWN,
        "image %s: %.64s at %.128s holds its lock and does not answer, and a snapshot "
        "would kill it; where it is dead: ceph osd blocklist add %.128s",
        spec, owner.client, owner.address, owner.address);
}
