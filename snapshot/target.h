/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One target image: found or made, held, brought to a known content, let go again. The rules on
 * ownership are in target.c. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_TARGET_H
#define FARSHORE_SNAPSHOT_TARGET_H

#include "farshore/sink.h"
#include "snapshot/direct.h"
#include "snapshot/hold.h"

struct fs_target {
    struct fs_image image; /* handle NULL: not open */
    struct fs_hold hold;
    struct fs_direct *direct; /* once it is ready to be written; NULL: through librbd only */
    struct fs_uuid volume;
    struct fs_image_ref ref; /* image_id "": to be made */
    struct fs_geometry geometry;
    bool unrecorded; /* stamped as this volume, and the record does not know what is in it */
    bool foreign;    /* not stamped at all, and an operator says that it becomes this volume */
};

/*
 * Look for the volume's image and check that it is ours. Opens it where the record knows its id.
 * On return target->ref.image_id is "" where the image is still to be made (fs_target_create).
 * volume is borrowed from the record; known says that the record has had it stored, adopt that an
 * operator takes over an image that it has not.
 */
int fs_target_find(struct fs_cluster *cluster, const struct fs_record *record,
                   const struct fs_record_volume *volume, bool known, bool adopt,
                   struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err);

/* Make the image (the stored record says that we mean to), open, hold and stamp it. */
int fs_target_create(struct fs_cluster *cluster, const struct fs_record *record,
                     struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err);

/* Hold an open image and bring its stamp up to the record's term. */
int fs_target_hold(struct fs_cluster *cluster, const struct fs_record *record,
                   struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err);

/*
 * Back to the content of the base, or of the volume's seed in the record (NULL: to nothing). Costs
 * little where nothing differs. -ENODATA where the base's snapshot is gone from the image.
 */
int fs_target_restore(struct fs_cluster *cluster, const struct fs_record *record,
                      struct fs_target *target, const struct fs_record_point *base,
                      struct fs_error *err);
/* Whether that is possible, and would not empty an image that holds something. */
int fs_target_restorable(struct fs_cluster *cluster, const struct fs_record *record,
                         const struct fs_target *target, const struct fs_record_point *base,
                         bool *ret_restorable, struct fs_error *err);
int fs_target_resize(struct fs_target *target, struct fs_error *err); /* to geometry.size */

/* Write the labels that travel as image metadata, those that changed; and ceph-csi's PVC keys. */
int fs_target_label(struct fs_target *target, const struct fs_volume *old,
                    const struct fs_volume *now, struct fs_error *err);

/* Stamp a held image: in this role, in the record's term. */
int fs_target_stamp(const struct fs_record *record, const struct fs_target *target,
                    enum fs_role role, struct fs_error *err);

/* Open and hold the image of a volume that the record knows, for work on its snapshots. */
int fs_target_open(struct fs_cluster *cluster, const struct fs_record *record,
                   const struct fs_record_volume *volume, struct fs_target *target,
                   struct fs_error *err);

/* Park (where the hold is marked) and close. What cannot be parked is let go, and will count as a
 * gap. Also what was never opened but zeroed. */
void fs_target_close(struct fs_cluster *cluster, struct fs_target *target);

#endif
