/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of forgetting a group, and what a crash after each step leaves:
 *
 *   1. of each image, held: the snapshots of all points      (points without them)
 *   2. its labels and its stamp; it is let go of             (an image that is nobody's)
 *   3. what was kept of its points: objects, digests         (records without them)
 *   4. the record                                            (nothing)
 *
 * Forgetting it again goes on: an image without a stamp has had 1 and 2. Nothing is applied to such
 * a group meanwhile, for an image whose stamp is gone takes no points. The log of the group's
 * operations stays, and says who it was.
 */
#include "snapshot/forget.h"

#include <stdio.h>
#include <stdlib.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/captured_keep.h"
#include "snapshot/digest_keep.h"
#include "snapshot/left.h"
#include "snapshot/prune.h"
#include "snapshot/stamp.h"
#include "snapshot/target.h"

static int with_image(int rc, const struct fs_image_ref *ref, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(ref, spec));
    }
    return rc;
}

/* 1: it is the group's image; 0: not, or not any more. */
static int is_ours(struct fs_site *site, const struct fs_record *record,
                   const struct fs_record_volume *volume, struct fs_error *err)
{
    const struct fs_image_ref *ref = &volume->volume.image;
    struct fs_error open_err = FS_ERROR_INIT;
    struct fs_image image;
    struct fs_stamp stamp;

    if (!ref->image_id[0]) {
        return 0;
    }
    int rc = fs_image_open(site->cluster, ref, FS_IMAGE_READ, &image, &open_err);
    if (rc < 0 && rc != -ENOENT) {
        *err = open_err;
    }
    if (rc < 0) {
        return rc == -ENOENT ? 0 : rc;
    }
    rc = fs_stamp_read(image.handle, ref->image_id, &stamp, err);
    fs_image_close(&image);
    if (rc < 0) {
        return rc == -ENOENT ? 0 : rc;
    }
    return fs_uuid_equal(&stamp.group, &record->group) ? 1 : 0;
}

/* What only this site has is discarded by its own name, not with the group. */
static int check_nothing_left(struct fs_site *site, struct fs_record *record, struct fs_error *err)
{
    struct fs_left *list, *first = NULL;
    char spec[FS_IMAGE_SPEC_SIZE];
    size_t count, n = 0;
    int rc = fs_left_list(site, record, &list, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        int ours = is_ours(site, record, fs_record_find_image(record, &list[i].image), err);
        rc = ours < 0 ? ours : 0;
        n += ours > 0;
        first = ours > 0 && !first ? &list[i] : first;
    }
    if (rc == 0 && first) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, EBUSY,
                          "%zu snapshot%s of what was kept aside of it, the first is %s@%s: see "
                          "`farshore left %s`, and discard them first",
                          n, n == 1 ? "" : "s", fs_image_spec(&first->image, spec), first->name,
                          record->name);
    }
    free(list);
    return rc;
}

static int remove_snapshots(const struct fs_record *record, const struct fs_target *target,
                            struct fs_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_points; i++) {
        const struct fs_record_point *point = &record->points[i];
        const struct fs_record_content *content = fs_record_find_content(point, &target->volume);

        if (content) {
            rc = fs_prune_held(&target->image, record, point, content, err);
        }
    }
    return rc;
}

/* It was labelled as its source is, and would be taken for a volume that is to be protected. */
static int let_go(const struct fs_record_volume *volume, struct fs_target *target,
                  struct fs_error *err)
{
    const struct fs_volume none = {0};
    int rc = fs_target_label(target, &volume->volume, &none, err);

    if (rc == 0) {
        rc = fs_stamp_remove(target->image.handle, err);
        fs_fault("forget.unstamped");
    }
    return rc == 0 ? fs_hold_release(&target->image, &target->hold, err) : rc;
}

static int forget_image(struct fs_site *site, const struct fs_record *record,
                        const struct fs_record_volume *volume, struct fs_error *err)
{
    struct fs_target target = {0};
    int rc = is_ours(site, record, volume, err);

    if (rc <= 0) {
        return rc;
    }
    rc = fs_target_open(site->cluster, record, volume, &target, err);
    if (rc < 0) {
        return rc;
    }
    rc = remove_snapshots(record, &target, err);
    if (rc == 0) {
        fs_fault("forget.pruned");
        rc = let_go(volume, &target, err);
    }
    if (rc == 0) {
        fs_image_close(&target.image); /* the lock goes with it */
    }
    fs_target_close(site->cluster, &target);
    return rc;
}

static int forget_images(struct fs_site *site, const struct fs_record *record,
                         struct fs_doing *doing, struct fs_error *err)
{
    int rc = 0;

    atomic_store(&doing->of, (unsigned)record->n_volumes);
    for (size_t i = 0; rc == 0 && i < record->n_volumes; i++) {
        atomic_store(&doing->what, "letting go of the images");
        atomic_store(&doing->at, (unsigned)i);
        rc = with_image(forget_image(site, record, &record->volumes[i], err),
                        &record->volumes[i].volume.image, err);
    }
    return rc;
}

static int forget_points(struct fs_site *site, struct fs_record *record, struct fs_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_points; i++) {
        rc = fs_prune_group_snapshot(site->cluster, record, &record->points[i], err);
        if (rc == 0) {
            rc = fs_digest_unkeep(site->state, &record->group, &record->points[i].point.id, err);
        }
    }
    return rc == 0 ? fs_captured_forget(site->state, &record->group, err) : rc;
}

/* As one that was never stored: what a later offer of the group's source finds. */
static void empty(struct fs_record *record)
{
    while (record->n_points > 0) {
        const struct fs_uuid id = record->points[0].point.id;
        fs_record_remove_point(record, &id);
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        fs_volume_fini(&record->volumes[i].volume);
    }
    record->n_volumes = 0;
    fs_record_clear_incoming(record);
    record->version = 0;
    record->current_until_ns = 0;
}

int fs_forget_run(struct fs_site *site, struct fs_record *record, struct fs_doing *doing,
                  struct fs_error *err)
{
    int rc = check_nothing_left(site, record, err);

    if (rc == 0) {
        rc = forget_images(site, record, doing, err);
    }
    if (rc == 0) {
        rc = forget_points(site, record, err);
    }
    if (rc == 0) {
        fs_fault("forget.record");
        rc = fs_state_remove(site->state, record, err);
    }
    if (rc < 0) {
        fs_error_context(err, "group %s", record->name);
        return rc;
    }
    empty(record);
    return 0;
}
