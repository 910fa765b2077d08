/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose image is it? Farshore writes only to an image whose stamp names this group and volume and
 * the image's own id. To make one, across a crash at any instruction:
 *
 *   1. the name in the mapped pool must be free (or stamped as this very volume);
 *   2. the record is stored with the volume's name and no image id: we mean to make it;
 *   3. the image is created, held, stamped;
 *   4. the record is stored with the image's id.
 *
 * A crash after 3 leaves a stamped image, which the next offer adopts. A crash inside 3 leaves an
 * image without a stamp under the name that the record says we were making: it is ours if it holds
 * nothing (no snapshot, no parent, no data, the geometry that we would have given it); anything
 * else under that name is somebody else's. An image without content that someone else made in just
 * that moment under just that name with just that geometry would be taken for ours: it loses
 * nothing.
 *
 * Any other image under the name is in the way, until it goes or an operator adopts it: then it is
 * held where nobody uses it, stamped, what it holds is kept in a snapshot, and the difference to
 * the source is found by digests. A crash in the middle leaves a stamped image that no record
 * knows, which an operator adopts again.
 *
 * An image that the record knows is found by its id, never by its name. If the id is gone, the
 * image was deleted: with recovery points in the record that is for an operator to see; without
 * any, a new copy is as good as the first.
 */
#include "snapshot/target.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "farshore/fault.h"
#include "snapshot/admit.h"
#include "snapshot/rewind.h"
#include "snapshot/stamp.h"

#define PVC_KEY           "csi.storage.k8s.io/pvc/name"
#define PVC_NAMESPACE_KEY "csi.storage.k8s.io/pvc/namespace"

static int not_owned(const struct fs_target *target, enum fs_refusal *refusal, const char *why,
                     struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    return fs_refuse(refusal, FS_REFUSE_NOT_OWNED, err, FS_ERR_CONFIG, EEXIST,
                     "image %s at the target %s, and Farshore writes only to its own: rename or "
                     "remove it, or map the source's pool to another one",
                     fs_image_spec(&target->ref, spec), why);
}

/*
 * A promotion that is tried again finds what it has stamped; a site that is about to be demoted, or
 * that yields to the other one, has been primary.
 */
static bool is_primary_stamp_ours(const struct fs_record *record, const struct fs_stamp *stamp)
{
    if (stamp->role != FS_ROLE_PRIMARY) {
        return false;
    }
    return record->following.present ||
           ((record->role == FS_ROLE_PROMOTING || record->role == FS_ROLE_DEMOTED) &&
            fs_term_same(&stamp->term, &record->term));
}

/* The volume was the other group's until it joined this one; or it had joined that one, and is in
 * no point of it. */
static bool is_joining_stamp(const struct fs_record *record, const struct fs_target *target,
                             const struct fs_stamp *stamp)
{
    bool joined = fs_record_find_seed(record, &target->volume) && stamp->role == FS_ROLE_SECONDARY;
    bool back = fs_uuid_equal(&stamp->group, &record->joins) &&
                (stamp->role == FS_ROLE_SECONDARY || record->following.present);

    return !fs_uuid_equal(&stamp->group, &record->group) &&
           fs_uuid_equal(&stamp->volume, &target->volume) && (joined || back);
}

/* What the group that it had joined wrote to it, this record does not know. */
static void doubt_joined(const struct fs_record *record, const struct fs_stamp *stamp,
                         struct fs_target *target)
{
    if (fs_uuid_equal(&stamp->group, &record->joins)) {
        target->hold.proven = false;
        target->hold.crashed = true; /* it was ourselves: what differs is kept aside */
    }
}

/* The stamp must name this group and volume. -ENOENT: there is none. */
static int check_stamp(const struct fs_record *record, struct fs_target *target,
                       struct fs_stamp *ret_stamp, enum fs_refusal *refusal, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    struct fs_error stamp_err = FS_ERROR_INIT;
    int rc = fs_stamp_read(target->image.handle, target->ref.image_id, ret_stamp, &stamp_err);

    if (rc == -ENOENT) {
        return rc;
    }
    fs_image_spec(&target->ref, spec);
    if (rc < 0) {
        fs_error_context(&stamp_err, "image %s", spec);
        *err = stamp_err;
        return rc;
    }
    if (is_joining_stamp(record, target, ret_stamp)) {
        return 0; /* it is stamped anew once it is held */
    }
    if (!fs_uuid_equal(&ret_stamp->group, &record->group)) {
        char group[FS_UUID_TEXT], why[128];

        fs_uuid_format(&ret_stamp->group, group);
        snprintf(why, sizeof(why), "belongs to another group of Farshore's, %s", group);
        return not_owned(target, refusal, why, err);
    }
    if (!fs_uuid_equal(&ret_stamp->volume, &target->volume)) {
        return not_owned(target, refusal, "belongs to another volume of the group", err);
    }
    if (ret_stamp->role != FS_ROLE_SECONDARY && !is_primary_stamp_ours(record, ret_stamp)) {
        return fs_refuse(refusal, FS_REFUSE_NOT_SECONDARY, err, FS_ERR_PEER, EPERM,
                         "image %s is stamped as %s: it takes no points", spec,
                         fs_role_name(ret_stamp->role));
    }
    if (ret_stamp->term.number > record->term.number) {
        return fs_refuse(refusal, FS_REFUSE_RECORD_LOST, err, FS_ERR_DATA, EBADFD,
                         "image %s is stamped with term %" PRIu64 ", the group's record knows only "
                         "%" PRIu64 ": the records of this site were lost or restored from an "
                         "older state; nothing is applied",
                         spec, ret_stamp->term.number, record->term.number);
    }
    if (fs_term_clashes(&ret_stamp->term, &record->term) && !record->following.present) {
        return fs_refuse(refusal, FS_REFUSE_SPLIT_BRAIN, err, FS_ERR_DATA, EEXIST,
                         "image %s is stamped with term %" PRIu64
                         " of another site than the group's record: nothing is applied",
                         spec, record->term.number);
    }
    return 0;
}

/* Open by name and learn the id. -ENOENT: the name is free (err is left alone). */
static int open_by_name(struct fs_cluster *cluster, struct fs_target *target, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = fs_cluster_ioctx(cluster, target->ref.pool, target->ref.ns, &target->image.ioctx, err);

    if (rc < 0) {
        target->image.ioctx = NULL;
        return rc == -ENOENT ? -ENXIO : rc;
    }
    rados_set_pool_full_try(target->image.ioctx); /* as FS_IMAGE_WRITE_FULL does */
    rc = rbd_open(target->image.ioctx, target->ref.name, &target->image.handle, NULL);
    if (rc == 0) {
        rc = rbd_get_id(target->image.handle, target->ref.image_id, sizeof(target->ref.image_id));
    } else {
        target->image.handle = NULL;
    }
    if (rc < 0) {
        fs_image_close(&target->image);
        target->ref.image_id[0] = '\0';
        return rc == -ENOENT ? rc
                             : fs_cluster_error(err, rc, "cannot open image %s",
                                                fs_image_spec(&target->ref, spec));
    }
    return 0;
}

static int stop_on_data_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    (void)offset;
    (void)length;
    (void)exists;
    *(bool *)arg = true;
    return -ECANCELED;
}

static int diff_to_head(const struct fs_image *image, const struct fs_snap_list *list,
                        const struct fs_snap *from, bool *ret_differs, struct fs_error *err)
{
    rbd_image_info_t info;
    char why[128];
    bool fast = false;
    int rc = rbd_stat(image->handle, &info, sizeof(info));

    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's size");
    }
    if (from && from->size != info.size) {
        return 0;
    }
    rc =
        fs_image_fast_diff_valid(image, list, from ? from->id : 0, 0, &fast, why, sizeof(why), err);
    if (rc < 0 || !fast) {
        return rc;
    }
    *ret_differs = false;
    rc = rbd_diff_iterate2(image->handle, from ? from->name : NULL, 0, info.size, 1, 1,
                           stop_on_data_cb, ret_differs);
    if (rc < 0 && !*ret_differs) {
        return fs_cluster_error(err, rc, "cannot find out what the image holds");
    }
    return 0;
}

/*
 * Does the head hold anything beyond the snapshot (NULL: anything at all)? Errs towards yes. It
 * looks through a handle of its own: setting the target's to a snapshot would give up its lock.
 */
static int head_differs(struct fs_cluster *cluster, const struct fs_target *target,
                        const struct fs_snap_list *list, const struct fs_snap *from,
                        bool *ret_differs, struct fs_error *err)
{
    struct fs_image reader;
    int rc = fs_image_open(cluster, &target->ref, FS_IMAGE_READ, &reader, err);

    *ret_differs = true;
    if (rc == 0) {
        rc = diff_to_head(&reader, list, from, ret_differs, err);
        fs_image_close(&reader);
    }
    return rc;
}

/* Is this nothing but what a create of ours left behind? */
static int check_unfinished(struct fs_cluster *cluster, struct fs_target *target,
                            enum fs_refusal *refusal, struct fs_error *err)
{
    struct fs_snap_list snaps = {0};
    rbd_image_info_t info;
    uint64_t overlap = 0;
    bool differs = true;
    int rc = rbd_stat(target->image.handle, &info, sizeof(info));

    if (rc == 0) {
        rc = rbd_get_overlap(target->image.handle, &overlap);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's properties");
    }
    rc = fs_snap_list_load(&target->image, &snaps, err);
    if (rc == 0 && snaps.count == 0 && overlap == 0 && info.order == target->geometry.order) {
        rc = head_differs(cluster, target, &snaps, NULL, &differs, err);
    }
    fs_snap_list_fini(&snaps);
    if (rc == 0 && differs) {
        rc = not_owned(target, refusal, "exists and is not Farshore's", err);
    }
    return rc;
}

/* A backup that was restored there, as a start for the first copy? Or just somebody's. */
static int foreign(const struct fs_target *target, const struct fs_record *record,
                   enum fs_refusal *refusal, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    return fs_refuse(
        refusal, FS_REFUSE_FOREIGN, err, FS_ERR_CONFIG, EEXIST,
        "image %s at the target exists and is not Farshore's, which writes only to its "
        "own: rename or remove it. If it is an older copy of the volume, `farshore "
        "adopt %.100s` at the target keeps what it holds in a snapshot, makes it the "
        "replica, and only what differs is shipped",
        fs_image_spec(&target->ref, spec), record->name);
}

/* A name that we want to use: free, or stamped as this volume (opened then). */
static int check_name(struct fs_cluster *cluster, const struct fs_record *record, bool intended,
                      bool adopt, struct fs_target *target, enum fs_refusal *refusal,
                      struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    struct fs_stamp stamp;
    int rc = open_by_name(cluster, target, err);

    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    rc = check_stamp(record, target, &stamp, refusal, err);
    if (rc == 0 && !intended) { /* nobody knows what is in it */
        target->unrecorded = true;
        if (!adopt) {
            rc = fs_refuse(refusal, FS_REFUSE_RECORD_LOST, err, FS_ERR_DATA, ENOENT,
                           "image %s at the target is stamped as this volume's replica, and the "
                           "records of that site do not know it: they were lost or restored from "
                           "an older state, or another daemon with another state pool works there",
                           fs_image_spec(&target->ref, spec));
        }
    }
    if (rc == -ENOENT && !intended && adopt) {
        target->foreign = true;
        return fs_hold_check_unused(cluster, &target->image, err);
    }
    if (rc == -ENOENT) {
        rc = intended ? check_unfinished(cluster, target, refusal, err)
                      : foreign(target, record, refusal, err);
        if (rc == 0) { /* fs_target_create goes on with it */
            fs_image_close(&target->image);
            target->ref.image_id[0] = '\0';
        }
    }
    return rc;
}

int fs_target_find(struct fs_cluster *cluster, const struct fs_record *record,
                   const struct fs_record_volume *volume, bool known, bool adopt,
                   struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    struct fs_error open_err = FS_ERROR_INIT;
    struct fs_stamp stamp;
    int rc;

    target->ref = volume->volume.image;
    target->volume = volume->volume.uuid;
    if (!target->ref.image_id[0]) {
        return check_name(cluster, record, known, adopt, target, refusal, err);
    }
    rc = fs_image_open(cluster, &target->ref, FS_IMAGE_WRITE_FULL, &target->image, &open_err);
    if (rc == -ENOENT) {
        if (fs_record_newest_committed(record)) {
            return fs_refuse(refusal, FS_REFUSE_BROKEN, err, FS_ERR_PERMANENT, ENOENT,
                             "image %s (id %s) at the target was deleted, and the group has "
                             "recovery points that were on it; restore it from the trash "
                             "(`rbd trash ls`) if it is there. The group's other volumes are as "
                             "they were",
                             fs_image_spec(&target->ref, spec), target->ref.image_id);
        }
        target->ref.image_id[0] = '\0';
        return check_name(cluster, record, false, adopt, target, refusal, err);
    }
    if (rc < 0) {
        *err = open_err;
        return rc;
    }
    rc = fs_image_refresh_name(&target->image, &target->ref, err);
    if (rc == 0) {
        rc = check_stamp(record, target, &stamp, refusal, err);
    }
    if (rc == -ENOENT) {
        return not_owned(target, refusal, "has lost Farshore's stamp (metadata farshore.stamp)",
                         err);
    }
    return rc;
}

static int create_image(struct fs_target *target, struct fs_error *err)
{
    const struct fs_geometry *geometry = &target->geometry;
    uint64_t features = RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP |
                        RBD_FEATURE_FAST_DIFF;
    bool striped =
        geometry->stripe_count > 1 ||
        (geometry->stripe_unit && geometry->stripe_unit != UINT64_C(1) << geometry->order);
    rbd_image_options_t options;
    int rc;

    rbd_image_options_create(&options);
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FORMAT, 2);
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_ORDER, geometry->order);
    if (striped) {
        features |= RBD_FEATURE_STRIPINGV2;
        rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_STRIPE_UNIT, geometry->stripe_unit);
        rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_STRIPE_COUNT,
                                     geometry->stripe_count);
    }
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FEATURES, features);
    rc = rbd_create4(target->image.ioctx, target->ref.name, geometry->size, options);
    rbd_image_options_destroy(options);
    if (rc < 0 && rc != -EEXIST) {
        return fs_cluster_error(err, rc, "cannot create it");
    }
    return 0;
}

static int write_stamp(const struct fs_record *record, struct fs_target *target,
                       struct fs_error *err)
{
    int rc = fs_target_stamp(record, target, FS_ROLE_SECONDARY, err);

    fs_fault("open.stamped");
    return rc;
}

int fs_target_create(struct fs_cluster *cluster, const struct fs_record *record,
                     struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err)
{
    struct fs_stamp stamp;
    int rc = open_by_name(cluster, target, err);

    if (rc == -ENOENT) {
        rc = fs_cluster_ioctx(cluster, target->ref.pool, target->ref.ns, &target->image.ioctx, err);
        if (rc == 0) {
            rc = create_image(target, err);
            fs_fault("open.created");
            rados_ioctx_destroy(target->image.ioctx);
        }
        target->image.ioctx = NULL;
        if (rc == 0) {
            rc = open_by_name(cluster, target, err);
        }
    }
    if (rc < 0) { /* -ENOENT: deleted again at once, by someone */
        return fs_error_is_set(err) ? rc : fs_cluster_error(err, rc, "cannot open it");
    }
    rc = check_stamp(record, target, &stamp, refusal, err);
    if (rc == 0) {
        return fs_target_hold(cluster, record, target, refusal, err);
    }
    if (rc == -ENOENT) {
        rc = fs_hold_take(cluster, &target->image, target->ref.image_id, &target->hold, err);
        if (rc == 0) { /* under the lock: nobody can fill it any more */
            rc = check_unfinished(cluster, target, refusal, err);
        }
        if (rc == 0) {
            rc = write_stamp(record, target, err);
        }
    }
    return rc;
}

static int check_geometry(struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err)
{
    const struct fs_geometry *geometry = &target->geometry;
    char spec[FS_IMAGE_SPEC_SIZE];
    rbd_image_info_t info;
    uint64_t unit, count;
    int rc = rbd_stat(target->image.handle, &info, sizeof(info));

    if (rc == 0) {
        rc = rbd_get_stripe_unit(target->image.handle, &unit);
    }
    if (rc == 0) {
        rc = rbd_get_stripe_count(target->image.handle, &count);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's geometry");
    }
    if (info.order != geometry->order || unit != geometry->stripe_unit ||
        count != geometry->stripe_count) {
        return fs_refuse(refusal, FS_REFUSE_BROKEN, err, FS_ERR_PERMANENT, EINVAL,
                         "image %s has objects of 2^%d bytes striped %" PRIu64 "*%" PRIu64
                         ", the source's has 2^%d and %" PRIu64 "*%" PRIu64
                         ": it is not the copy that was made for it",
                         fs_image_spec(&target->ref, spec), info.order, unit, count,
                         geometry->order, geometry->stripe_unit, geometry->stripe_count);
    }
    return 0;
}

int fs_target_hold(struct fs_cluster *cluster, const struct fs_record *record,
                   struct fs_target *target, enum fs_refusal *refusal, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    struct fs_stamp stamp;
    int rc = check_geometry(target, refusal, err);

    if (rc == 0 && !target->hold.taken) {
        rc = fs_hold_take(cluster, &target->image, target->ref.image_id, &target->hold, err);
        if (rc == -EBUSY && *refusal == FS_REFUSE_NONE) {
            *refusal = FS_REFUSE_BUSY;
        }
    }
    if (rc == 0 && (target->unrecorded || target->foreign)) {
        target->hold.proven = target->hold.crashed = target->hold.fenced = false;
    }
    if (rc == 0) {
        rc = check_stamp(record, target, &stamp, refusal, err);
        if (rc == -ENOENT && target->foreign) {
            return write_stamp(record, target, err);
        }
    }
    if (rc == 0) {
        doubt_joined(record, &stamp, target);
    }
    if (rc == 0 && (!fs_term_same(&stamp.term, &record->term) ||
                    !fs_uuid_equal(&stamp.group, &record->group))) {
        rc = write_stamp(record, target, err);
    }
    if (rc < 0 && *refusal == FS_REFUSE_NONE) {
        fs_error_context(err, "image %s", fs_image_spec(&target->ref, spec));
    }
    return rc;
}

int fs_target_open(struct fs_cluster *cluster, const struct fs_record *record,
                   const struct fs_record_volume *volume, struct fs_target *target,
                   struct fs_error *err)
{
    enum fs_refusal refusal = FS_REFUSE_NONE;
    char spec[FS_IMAGE_SPEC_SIZE];
    struct fs_stamp stamp;
    int rc;

    target->ref = volume->volume.image;
    target->volume = volume->volume.uuid;
    rc = fs_image_open(cluster, &target->ref, FS_IMAGE_WRITE_FULL, &target->image, err);
    if (rc < 0) {
        return rc;
    }
    rc = check_stamp(record, target, &stamp, &refusal, err);
    if (rc == -ENOENT) {
        rc =
            not_owned(target, &refusal, "has lost Farshore's stamp (metadata farshore.stamp)", err);
    }
    if (rc == 0) {
        rc = fs_hold_take(cluster, &target->image, target->ref.image_id, &target->hold, err);
    }
    if (rc == 0) {
        doubt_joined(record, &stamp, target);
    }
    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(&target->ref, spec));
        fs_target_close(cluster, target);
    }
    return rc;
}

int fs_target_stamp(const struct fs_record *record, const struct fs_target *target,
                    enum fs_role role, struct fs_error *err)
{
    const struct fs_stamp stamp = {
        .group = record->group,
        .volume = target->volume,
        .term = record->term,
        .role = role,
        .joins = record->joins,
    };

    return fs_stamp_write(target->image.handle, target->ref.image_id, &stamp, err);
}

int fs_target_resize(struct fs_target *target, struct fs_error *err)
{
    rbd_image_info_t info;
    int rc = rbd_stat(target->image.handle, &info, sizeof(info));

    if (rc == 0 && info.size != target->geometry.size) {
        rc = rbd_resize(target->image.handle, target->geometry.size);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "cannot resize it to %" PRIu64 " bytes",
                                     target->geometry.size)
                  : 0;
}

static int roll_back(struct fs_cluster *cluster, struct fs_target *target,
                     const struct fs_record_point *point, const struct fs_snap_list *snaps,
                     const struct fs_record_content *content, struct fs_error *err)
{
    struct fs_base base;
    char name[FS_SNAP_NAME_SIZE];
    bool differs = true;
    int rc;

    fs_point_snap_name(&point->point, name);
    if (!fs_base_find(snaps, content, &base)) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENODATA,
                            "the snapshot %s (id %" PRIu64 ") of a recovery point was removed",
                            name, content->snap_id);
    }
    rc = head_differs(cluster, target, snaps, base.from, &differs, err);
    if (rc < 0 || !differs) {
        return rc;
    }
    if (base.content != base.from) { /* librbd rolls back to no group's snapshot */
        return fs_rewind(cluster, target, snaps, &base, false, err);
    }
    rc = rbd_snap_rollback(target->image.handle, base.content->name);
    return rc < 0 ? fs_cluster_error(err, rc, "cannot roll back to snapshot %s", name) : 0;
}

int fs_target_restore(struct fs_cluster *cluster, const struct fs_record *record,
                      struct fs_target *target, const struct fs_record_point *base,
                      struct fs_error *err)
{
    const struct fs_record_point *from;
    const struct fs_record_content *content =
        fs_record_base_content(record, base, &target->volume, &from);
    struct fs_snap_list snaps = {0};
    bool differs = true;
    int rc = fs_snap_list_load(&target->image, &snaps, err);

    if (rc == 0 && content) {
        rc = roll_back(cluster, target, from, &snaps, content, err);
    } else if (rc == 0) {
        rc = head_differs(cluster, target, &snaps, NULL, &differs, err);
        if (rc == 0 && differs) {
            rc = rbd_resize(target->image.handle, 0);
            if (rc < 0) {
                fs_cluster_error(err, rc, "cannot empty it");
            }
        }
    }
    fs_snap_list_fini(&snaps);
    return rc;
}

int fs_target_restorable(struct fs_cluster *cluster, const struct fs_record *record,
                         const struct fs_target *target, const struct fs_record_point *base,
                         bool *ret_restorable, struct fs_error *err)
{
    const struct fs_record_content *content =
        fs_record_base_content(record, base, &target->volume, NULL);
    struct fs_snap_list snaps = {0};
    bool differs = true;
    int rc = fs_snap_list_load(&target->image, &snaps, err);

    *ret_restorable = false;
    if (rc == 0 && content) {
        struct fs_base found;

        *ret_restorable = fs_base_find(&snaps, content, &found);
    } else if (rc == 0) {
        rc = head_differs(cluster, target, &snaps, NULL, &differs, err);
        *ret_restorable = rc == 0 && !differs;
    }
    fs_snap_list_fini(&snaps);
    return rc;
}

/* Set or (value NULL) remove one metadata key, where it is not so already. */
static int put_metadata(const struct fs_image *image, const char *key, const char *value,
                        struct fs_error *err)
{
    char present[4096];
    size_t length = sizeof(present) - 1;
    int rc = rbd_metadata_get(image->handle, key, present, &length);

    if (rc >= 0 && value) {
        present[sizeof(present) - 1] = '\0';
        if (strcmp(present, value) == 0) {
            return 0;
        }
    }
    if (rc == -ENOENT && !value) {
        return 0;
    }
    rc = value ? rbd_metadata_set(image->handle, key, value)
               : rbd_metadata_remove(image->handle, key);
    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot write the label %.128s", key);
    }
    return 0;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A label may be anything but what Farshore itself keeps there, and what librbd takes for its
 * configuration. */
static bool may_travel(const char *key)
{
    return !starts_with(key, "conf_") &&
           (!starts_with(key, "farshore.") || starts_with(key, "farshore.io/"));
}

int fs_target_label(struct fs_target *target, const struct fs_volume *old,
                    const struct fs_volume *now, struct fs_error *err)
{
    json_t *before = old->labels ? json_loads(old->labels, 0, NULL) : NULL;
    json_t *labels = now->labels ? json_loads(now->labels, 0, NULL) : NULL;
    const char *key;
    json_t *value;
    int rc = 0;

    json_object_foreach(labels, key, value)
    {
        if (rc == 0 && may_travel(key) && json_is_string(value)) {
            rc = put_metadata(&target->image, key, json_string_value(value), err);
        }
    }
    json_object_foreach(before, key, value)
    {
        if (rc == 0 && may_travel(key) && !json_object_get(labels, key)) {
            rc = put_metadata(&target->image, key, NULL, err);
        }
    }
    if (rc == 0 && now->pvc[0]) {
        rc = put_metadata(&target->image, PVC_KEY, now->pvc, err);
    }
    if (rc == 0 && now->pvc_namespace[0]) {
        rc = put_metadata(&target->image, PVC_NAMESPACE_KEY, now->pvc_namespace, err);
    }
    json_decref(before);
    json_decref(labels);
    return rc;
}

void fs_target_close(struct fs_cluster *cluster, struct fs_target *target)
{
    fs_direct_stop(target->direct);
    target->direct = NULL;
    if (target->image.handle) {
        /* What cannot be parked now counts as a gap later; there is nobody to tell it to. */
        struct fs_error ignored = FS_ERROR_INIT;

        fs_hold_park(cluster, &target->image, &target->hold, &ignored);
    }
    fs_image_close(&target->image);
    target->hold = (struct fs_hold){0};
}
