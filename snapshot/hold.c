/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While Farshore works on an image it has librbd's exclusive lock (rbd_lock_acquire: others get
 * EROFS). While it does not, the image is parked: nobody has it open, and the lock stays on its
 * header under the cookie "farshore", which no client takes for its own and none breaks: others'
 * writes wait. `rbd lock ls` shows it and `rbd lock rm` removes it, as any advisory lock.
 *
 * From working to parked there is no gap: the lock is not released and taken again, its cookie
 * is changed in place (the class method lock.set_cookie, one atomic operation; librbd does the
 * same after a lost watch). librbd then finds on close that its own cookie is gone, which it
 * ignores. The tag stays librbd's; a cookie that does not start with "auto " is what tells every
 * client, the kernel's too, that the lock is an external one.
 *
 * From parked to working librbd must take the lock afresh (it accepts none that is there
 * already), so for about 2 ms nobody has it. A client that gets in between must have the image
 * open for writing, so it is among the watchers before or after: then the hold is not proven.
 *
 * Proof. The record says what is in an image: the base, and the incoming point up to its
 * positions. That may be believed only if nobody else wrote since. A hold is proven when at take
 *   - the image is parked (only a marked hold is ever parked), or
 *   - the lock is that of the client and cookie which the metadata key farshore.holder names: our
 *     predecessor crashed with the image in its hands. librbd blocklists whose lock it breaks, so
 *     the predecessor cannot have come back after another client.
 * and no stranger is among the watchers. Anything else (no lock, a stranger's lock) is a gap: the
 * caller looks what has changed (tamper.c) and goes back to the base. farshore.holder is written by
 * fs_hold_mark only, after that was done, and is removed before an image is parked. No client has
 * another's number, so a mark that was left behind never fits a later lock. So a crash at any
 * instruction leaves either a proof that is true or none, and a mark that does not fit tells that a
 * daemon died with the image in its hands and nobody parked it since.
 */
#include "snapshot/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "farshore/buf.h"
#include "farshore/fault.h"
#include "snapshot/locker.h"

#define PARKED      "farshore"
#define AUTO_PREFIX "auto "
#define HOLDER_KEY  "farshore.holder"
#define TEXT_SIZE   FS_LOCKER_SIZE

enum { LOCK_EXCLUSIVE = 1 }; /* of the lock class */

static int read_locker(const struct fs_image *image, const char *header,
                       struct fs_locker *ret_locker, struct fs_error *err)
{
    return fs_locker_read(image->ioctx, header, ret_locker, err);
}

static int has_watcher(struct fs_cluster *cluster, const struct fs_image *image, const char *client,
                       bool *ret_has, struct fs_error *err)
{
    struct fs_locker watcher;
    int rc = fs_watcher_find(cluster, image->handle, client, &watcher, err);

    *ret_has = watcher.present;
    return rc;
}

int fs_hold_check_unused(struct fs_cluster *cluster, const struct fs_image *image,
                         struct fs_error *err)
{
    struct fs_locker watcher;
    int rc = fs_watcher_find(cluster, image->handle, NULL, &watcher, err);

    if (rc == 0 && watcher.present) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                            "the client at %s (%s) has it open: stop what uses it there (`rbd "
                            "status` shows it)",
                            watcher.address, watcher.client);
    }
    return rc;
}

/* Is the locker the one that the last mark names? */
static int is_marked(const struct fs_image *image, const struct fs_locker *locker, bool *ret_marked,
                     struct fs_error *err)
{
    char value[2 * TEXT_SIZE + 2], expected[2 * TEXT_SIZE + 2];
    size_t length = sizeof(value) - 1;
    int rc = rbd_metadata_get(image->handle, HOLDER_KEY, value, &length);

    *ret_marked = false;
    if (rc == -ENOENT || rc == -ERANGE) {
        return 0;
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's metadata");
    }
    value[sizeof(value) - 1] = '\0';
    snprintf(expected, sizeof(expected), "%s %s", locker->client, locker->cookie);
    *ret_marked = strcmp(value, expected) == 0;
    return 0;
}

/* Is there a mark, whether it fits or not? */
static int has_mark(const struct fs_image *image, bool *ret_has, struct fs_error *err)
{
    char value[2 * TEXT_SIZE + 2];
    size_t length = sizeof(value);
    int rc = rbd_metadata_get(image->handle, HOLDER_KEY, value, &length);

    *ret_has = rc >= 0 || rc == -ERANGE;
    return rc < 0 && rc != -ENOENT && rc != -ERANGE
               ? fs_cluster_error(err, rc, "cannot read the image's metadata")
               : 0;
}

static int remove_mark(const struct fs_image *image, struct fs_error *err)
{
    char value[2 * TEXT_SIZE + 2];
    size_t length = sizeof(value);
    int rc = rbd_metadata_get(image->handle, HOLDER_KEY, value, &length);

    if (rc >= 0 || rc == -ERANGE) {
        rc = rbd_metadata_remove(image->handle, HOLDER_KEY);
    }
    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot remove the image's metadata key " HOLDER_KEY);
    }
    return 0;
}

/* The predecessor's lock: its client was blocklisted when the lease was taken over, and librbd
 * does it again here, so that nothing that it sent can still arrive. */
static int break_dead(const struct fs_image *image, struct fs_error *err)
{
    rbd_lock_mode_t mode;
    char *owners[4] = {0};
    size_t count = 4;
    int rc = rbd_lock_get_owners(image->handle, &mode, owners, &count);

    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read who holds the lock");
    }
    rc = count ? rbd_lock_break(image->handle, mode, owners[0]) : 0;
    rbd_lock_get_owners_cleanup(owners, count);
    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot break the lock of the daemon that worked before");
    }
    return 0;
}

/* Clear the way for librbd's lock, and find out what can be proved. */
static int clear_locker(struct fs_cluster *cluster, const struct fs_image *image,
                        const struct fs_locker *locker, struct fs_hold *hold, struct fs_error *err)
{
    bool alive = false, marked = false;
    int rc;

    if (!locker->present) {
        return 0;
    }
    if (strcmp(locker->cookie, PARKED) == 0) {
        hold->proven = true;
        rc = rados_break_lock(image->ioctx, hold->header, FS_LOCK_NAME, locker->client, PARKED);
        return rc == -ENOENT || rc >= 0 ? 0
                                        : fs_cluster_error(err, rc, "cannot lift the parking lock");
    }
    if (strncmp(locker->cookie, AUTO_PREFIX, strlen(AUTO_PREFIX)) != 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EDEADLK,
                            "%s (%s) has an advisory lock \"%.64s\" on it: remove it with "
                            "`rbd lock rm` when that client is done",
                            locker->client, locker->address, locker->cookie);
    }
    rc = has_watcher(cluster, image, locker->client, &alive, err);
    if (rc == 0) {
        rc = is_marked(image, locker, &marked, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (alive) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                            "the client at %s (%s) has it open and holds its lock: stop using it "
                            "there (see `rbd status`); it is tried again",
                            locker->address, locker->client);
    }
    hold->proven = marked;
    hold->fenced = fs_cluster_has_fenced(cluster, locker->address);
    return break_dead(image, err);
}

int fs_hold_take(struct fs_cluster *cluster, const struct fs_image *image, const char *image_id,
                 struct fs_hold *ret_hold, struct fs_error *err)
{
    struct fs_locker locker;
    bool before = false, after = false;
    int rc;

    *ret_hold = (struct fs_hold){0};
    fs_header_name(image_id, ret_hold->header);
    rc = read_locker(image, ret_hold->header, &locker, err);
    if (rc == 0) {
        rc = has_watcher(cluster, image, NULL, &before, err);
    }
    if (rc == 0) {
        rc = clear_locker(cluster, image, &locker, ret_hold, err);
    }
    if (rc < 0) {
        return rc;
    }
    fs_fault("open.lifted");
    rc = rbd_lock_acquire(image->handle, RBD_LOCK_MODE_EXCLUSIVE);
    if (rc == -EINVAL) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "it has lost its exclusive-lock feature: enable it again with "
                            "`rbd feature enable IMAGE exclusive-lock`");
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot take the exclusive lock");
    }
    ret_hold->taken = true;
    fs_fault("open.held");
    rc = has_watcher(cluster, image, NULL, &after, err);
    if (before || after) {
        ret_hold->proven = false;
    }
    if (rc == 0 && !ret_hold->proven) {
        rc = has_mark(image, &ret_hold->crashed, err);
    }
    ret_hold->fenced = ret_hold->fenced && ret_hold->crashed && !before && !after;
    return rc;
}

int fs_hold_mark(const struct fs_image *image, struct fs_hold *hold, struct fs_error *err)
{
    struct fs_locker locker;
    char value[2 * TEXT_SIZE + 2];
    int rc = read_locker(image, hold->header, &locker, err);

    if (rc < 0) {
        return rc;
    }
    snprintf(value, sizeof(value), "%s %s", locker.client, locker.cookie);
    rc = rbd_get_size(image->handle, &hold->size);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read its size");
    }
    rc = rbd_metadata_set(image->handle, HOLDER_KEY, value);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot write the image's metadata");
    }
    hold->proven = true;
    hold->marked = true;
    return 0;
}

int fs_hold_check(struct fs_cluster *cluster, const struct fs_image *image,
                  const struct fs_hold *hold, struct fs_error *err)
{
    struct fs_locker locker;
    char own[TEXT_SIZE];
    bool marked = false;
    int rc = read_locker(image, hold->header, &locker, err);

    if (rc == 0) {
        rc = is_marked(image, &locker, &marked, err);
    }
    if (rc < 0) {
        return rc;
    }
    fs_own_client(cluster, own);
    if (!locker.present || strcmp(locker.client, own) != 0 || !marked) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EBUSY,
                            "its lock was taken away while it was being written (now: %s %s); "
                            "the point is applied again",
                            locker.present ? locker.client : "nobody", locker.address);
    }

    uint64_t size;

    rc = rbd_get_size(image->handle, &size);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read its size");
    }
    if (size != hold->size) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EUCLEAN,
                            "another client had it resized from %" PRIu64 " to %" PRIu64
                            " bytes while Farshore worked on it; the point is applied again",
                            hold->size, size);
    }
    return 0;
}

static int set_cookie(const struct fs_image *image, const char *header,
                      const struct fs_locker *locker, const char *cookie, struct fs_error *err)
{
    struct fs_buf body = FS_BUF_INIT, op = FS_BUF_INIT;
    const char *texts[] = {locker->cookie, locker->tag, cookie};
    char reply[16];
    int rc = -ENOMEM;

    fs_buf_put_u32(&body, (uint32_t)strlen(FS_LOCK_NAME));
    fs_buf_put(&body, FS_LOCK_NAME, strlen(FS_LOCK_NAME));
    fs_buf_put_u8(&body, LOCK_EXCLUSIVE);
    for (size_t i = 0; i < 3; i++) {
        fs_buf_put_u32(&body, (uint32_t)strlen(texts[i]));
        fs_buf_put(&body, texts[i], strlen(texts[i]));
    }
    fs_buf_put_u8(&op, 1); /* version, and the oldest that can read it */
    fs_buf_put_u8(&op, 1);
    fs_buf_put_u32(&op, (uint32_t)body.length);
    fs_buf_put(&op, body.data, body.length);
    if (!body.failed && !op.failed) {
        rc = rados_exec(image->ioctx, header, "lock", "set_cookie", (const char *)op.data,
                        op.length, reply, sizeof(reply));
    }
    fs_buf_fini(&body);
    fs_buf_fini(&op);
    return rc < 0 ? fs_cluster_error(err, rc, "cannot park the image") : 0;
}

int fs_hold_release(const struct fs_image *image, struct fs_hold *hold, struct fs_error *err)
{
    int rc = remove_mark(image, err);

    if (rc == 0) {
        *hold = (struct fs_hold){0};
    }
    return rc;
}

int fs_hold_lift(struct fs_cluster *cluster, const struct fs_image *image, const char *image_id,
                 struct fs_error *err)
{
    struct fs_hold hold = {0};
    struct fs_locker locker;
    bool user = false;
    int rc;

    fs_header_name(image_id, hold.header);
    rc = has_watcher(cluster, image, NULL, &user, err);
    if (rc == 0) {
        rc = read_locker(image, hold.header, &locker, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (locker.present && (strcmp(locker.cookie, PARKED) == 0 || !user)) {
        rc = clear_locker(cluster, image, &locker, &hold, err);
    }
    /* With a user, who has the lock, it would have to be asked for; the mark fits no lock of his.
     */
    return rc == 0 && !user ? remove_mark(image, err) : rc;
}

int fs_hold_park(struct fs_cluster *cluster, const struct fs_image *image, struct fs_hold *hold,
                 struct fs_error *err)
{
    struct fs_locker locker;
    int rc = 0;

    if (hold->taken && hold->marked) {
        rc = fs_hold_check(cluster, image, hold, err);
        if (rc == 0) {
            rc = read_locker(image, hold->header, &locker, err);
        }
        if (rc == 0) {
            rc = remove_mark(image, err);
            fs_fault("park.unmarked");
        }
        if (rc == 0) {
            rc = set_cookie(image, hold->header, &locker, PARKED, err);
            fs_fault("park.parked");
        }
    }
    *hold = (struct fs_hold){0};
    return rc;
}
