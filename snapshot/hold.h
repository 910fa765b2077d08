/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping other clients away from a target image, and knowing afterwards whether it worked. The
 * essay is in hold.c. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_HOLD_H
#define FARSHORE_SNAPSHOT_HOLD_H

#include "snapshot/image.h"
#include "snapshot/locker.h"

struct fs_hold {
    bool taken;  /* librbd's exclusive lock is ours */
    bool proven; /* nobody else can have written since Farshore last held or parked the image */
    bool marked; /* a crash from now on proves itself to the successor */
    /* Where it is not proven: */
    bool crashed;  /* a daemon of this site died with the image in its hands, some time before */
    bool fenced;   /* and the lock was still that of an instance which this client has fenced */
    uint64_t size; /* of the image when it was marked */
    char header[FS_HEADER_SIZE]; /* the object that carries the lock */
};

/*
 * Take the image's exclusive lock: from then on other clients' writes fail with EROFS. image is
 * open for writing. -EBUSY (transient; the message names the client) where another live client
 * has it; -EDEADLK (config) where somebody else's advisory lock is on it. Nothing is held then.
 */
int fs_hold_take(struct fs_cluster *cluster, const struct fs_image *image, const char *image_id,
                 struct fs_hold *ret_hold, struct fs_error *err);

/*
 * -EBUSY (transient; the message names the first of them) where other clients have the image open
 * for writing. To be asked before a hold is taken: it would fail their writes.
 */
int fs_hold_check_unused(struct fs_cluster *cluster, const struct fs_image *image,
                         struct fs_error *err);

/*
 * The image's content is as the record says: let a successor believe it. Call it only when what
 * an unproven hold makes suspect has been restored.
 */
int fs_hold_mark(const struct fs_image *image, struct fs_hold *hold, struct fs_error *err);

/* -EBUSY where the lock is not ours any more; -EUCLEAN where somebody had the image resized, which
 * librbd does for others in the process that has the lock. */
int fs_hold_check(struct fs_cluster *cluster, const struct fs_image *image,
                  const struct fs_hold *hold, struct fs_error *err);

/*
 * Before the image is closed. A marked hold becomes the persistent advisory lock without a gap:
 * others wait. One that is not marked is given up with the close, and the next one is unproven.
 */
int fs_hold_park(struct fs_cluster *cluster, const struct fs_image *image, struct fs_hold *hold,
                 struct fs_error *err);

/*
 * Before the image is closed, which lets go of the lock: it belongs to its users from then on.
 * Their writes are nothing that a later hold may prove away.
 */
int fs_hold_release(const struct fs_image *image, struct fs_hold *hold, struct fs_error *err);

/*
 * The same for an image that a predecessor did not let go of: its lock is lifted where it is parked
 * or the owner is dead. A user's is left alone. image is open for writing.
 */
int fs_hold_lift(struct fs_cluster *cluster, const struct fs_image *image, const char *image_id,
                 struct fs_error *err);

#endif
