/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/prune.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/image.h"
#include "snapshot/probe.h"

char *fs_rbd_group_name(const struct fs_uuid *group, char ret_name[FS_RBD_GROUP_SIZE])
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(group, text);
    snprintf(ret_name, FS_RBD_GROUP_SIZE, "farshore.%s", text);
    return ret_name;
}

int fs_prune_membership(struct fs_cluster *cluster, const struct fs_image *image,
                        const struct fs_image_ref *ref, const char *group, int64_t pool_id,
                        struct fs_error *err)
{
    rados_ioctx_t ioctx;
    int rc = rados_ioctx_create2(fs_cluster_rados(cluster), pool_id, &ioctx);

    if (rc == 0) {
        rados_ioctx_set_namespace(ioctx, ref->ns); /* a group cannot span namespaces */
        rc = rbd_group_image_remove_by_id(ioctx, group, image->ioctx, ref->image_id);
        rados_ioctx_destroy(ioctx);
    }
    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot take the image out of RBD group %s", group);
    }
    return 0;
}

/* The longest that one removal may take; librbd breaks a silent writer's lock after about 26 s. */
#define REMOVE_BOUND_NS (10 * FS_SEC)

/* What is looked for on one image. */
struct wanted {
    const char *group, *snap, *mark; /* names */
    uint64_t snap_id, mark_id;       /* 0: not known, go by the names */
    bool member;                     /* half-taken: the image may still be in the RBD group */
    fs_takepoint_hold_fn *hold;      /* around what may wait for a writer */
};

static bool is_wanted(const struct wanted *wanted, const struct fs_image *image,
                      const struct fs_snap *snap)
{
    if (wanted->snap_id) {
        return snap->id == wanted->snap_id || snap->id == wanted->mark_id;
    }
    if (snap->type == RBD_SNAP_NAMESPACE_TYPE_USER) {
        return strcmp(snap->name, wanted->snap) == 0 || strcmp(snap->name, wanted->mark) == 0;
    }
    if (snap->type != RBD_SNAP_NAMESPACE_TYPE_GROUP) {
        return false;
    }

    rbd_snap_group_namespace_t space = {0};

    if (rbd_snap_get_group_namespace(image->handle, snap->id, &space, sizeof(space)) < 0) {
        return false;
    }

    bool ours = strcmp(space.group_name, wanted->group) == 0 &&
                strcmp(space.group_snap_name, wanted->snap) == 0;

    rbd_snap_group_namespace_cleanup(&space, sizeof(space));
    return ours;
}

static int remove_snap(const struct fs_image *image, const struct fs_snap *snap,
                       struct fs_error *err)
{
    int rc = snap->type == RBD_SNAP_NAMESPACE_TYPE_USER
                 ? rbd_snap_remove(image->handle, snap->name)
                 : rbd_snap_remove_by_id(image->handle, snap->id);

    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot remove snapshot %s (id %" PRIu64 ")%s", snap->name,
                                snap->id,
                                rc == -EBUSY ? "; is it protected, or does it have clones?" : "");
    }
    return 0;
}

/* Whoever was killed while it took a point could not take its members out again. */
static int end_membership(struct fs_cluster *cluster, const struct fs_image *image,
                          const struct fs_image_ref *ref, const char *group, struct fs_error *err)
{
    rbd_group_info_t info = {0};
    int rc = rbd_get_group(image->handle, &info, sizeof(info));

    if (rc < 0) {
        return rc == -ENOENT ? 0 : fs_cluster_error(err, rc, "cannot read its RBD group");
    }
    if (info.name && strcmp(info.name, group) == 0) {
        rc = fs_prune_membership(cluster, image, ref, group, info.pool, err);
    }
    rbd_group_info_cleanup(&info, sizeof(info));
    return rc;
}

/*
 * Look for the wanted snapshots of one image. remove false: only probe its writer where there are
 * some, and say whether one of them is a group's. An image that is gone has none.
 */
static int visit(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                 const struct wanted *wanted, bool remove, bool *ret_group_snap,
                 struct fs_error *err)
{
    struct fs_error open_err = FS_ERROR_INIT;
    struct fs_image image;
    struct fs_snap_list snaps;
    char spec[FS_IMAGE_SPEC_SIZE];
    bool found = false;
    int rc =
        fs_image_open(cluster, ref, remove ? FS_IMAGE_WRITE : FS_IMAGE_READ, &image, &open_err);

    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        *err = open_err;
        return rc;
    }
    rc = fs_snap_list_load(&image, &snaps, err);
    for (size_t i = 0; rc == 0 && i < snaps.count; i++) {
        const struct fs_snap *snap = &snaps.snaps[i];

        if (is_wanted(wanted, &image, snap)) {
            found = true;
            *ret_group_snap = *ret_group_snap || snap->type == RBD_SNAP_NAMESPACE_TYPE_GROUP;
            if (remove) {
                wanted->hold(true);
                rc = remove_snap(&image, snap, err);
                wanted->hold(false);
                fs_fault("helper.removed");
            }
        }
    }
    if (rc == 0) {
        fs_snap_list_fini(&snaps);
        if (wanted->member && !remove) { /* it needs no writer, as what follows may */
            rc = end_membership(cluster, &image, ref, wanted->group, err);
        }
        if (rc == 0 && found && !remove) {
            rc = fs_probe_owner(cluster, image.ioctx, ref, err);
        }
    }
    fs_image_close(&image);
    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(ref, spec));
    }
    return rc;
}

static int remove_group_snapshot(struct fs_cluster *cluster, const struct fs_record_point *point,
                                 const struct wanted *wanted, struct fs_error *err)
{
    rados_ioctx_t ioctx;
    int rc = fs_cluster_ioctx(cluster, point->group_pool, point->group_ns, &ioctx, err);

    if (rc < 0) {
        return rc;
    }
    wanted->hold(true);
    rc = rbd_group_snap_remove(ioctx, wanted->group, wanted->snap);
    wanted->hold(false);
    rados_ioctx_destroy(ioctx);
    /* -ENOENT: there is none, or one of its images is gone; the others are visited one by one. */
    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot remove group snapshot %s of %s", wanted->snap,
                                wanted->group);
    }
    return 0;
}

static int visit_all(struct fs_cluster *cluster, struct fs_record *record,
                     const struct fs_record_point *point, struct wanted *wanted, bool remove,
                     bool *ret_group_snap, struct fs_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < point->n_contents; i++) {
        const struct fs_record_content *content = &point->contents[i];
        const struct fs_record_volume *volume = fs_record_find_volume(record, &content->volume);

        if (volume) {
            wanted->snap_id = content->snap_id;
            wanted->mark_id = content->mark_id;
            rc = visit(cluster, &volume->volume.image, wanted, remove, ret_group_snap, err);
        }
    }
    return rc;
}

static int remove_point(struct fs_cluster *cluster, struct fs_record *record,
                        const struct fs_record_point *point, fs_takepoint_hold_fn *hold,
                        struct fs_error *err)
{
    char group[FS_RBD_GROUP_SIZE], snap[FS_SNAP_NAME_SIZE], mark[FS_SNAP_NAME_SIZE];
    struct wanted wanted = {.group = fs_rbd_group_name(&record->group, group),
                            .snap = fs_point_snap_name(&point->point, snap),
                            .mark = fs_point_mark_name(&point->point, mark),
                            .member = point->group_snapshot && point->state == FS_POINT_TAKING,
                            .hold = hold};
    bool group_snap = false;
    int rc = visit_all(cluster, record, point, &wanted, false, &group_snap, err);

    if (rc == 0) {
        fs_fault("helper.remove");
    }
    /* A half-taken one may exist in the group, and on no image yet. A release of some of its
     * volumes says that it is none, so that the others keep theirs. */
    if (rc == 0 && point->group_snapshot && (group_snap || point->state == FS_POINT_TAKING)) {
        rc = remove_group_snapshot(cluster, point, &wanted, err);
    }
    if (rc == 0) {
        rc = visit_all(cluster, record, point, &wanted, true, &group_snap, err);
    }
    if (rc < 0) {
        fs_error_context(err, "point %s", snap);
    }
    return rc;
}

static void no_writer(bool waits)
{
    (void)waits;
}

int fs_prune_held(const struct fs_image *image, const struct fs_record *record,
                  const struct fs_record_point *point, const struct fs_record_content *content,
                  struct fs_error *err)
{
    char group[FS_RBD_GROUP_SIZE], snap[FS_SNAP_NAME_SIZE], mark[FS_SNAP_NAME_SIZE];
    const struct wanted wanted = {.group = fs_rbd_group_name(&record->group, group),
                                  .snap = fs_point_snap_name(&point->point, snap),
                                  .mark = fs_point_mark_name(&point->point, mark),
                                  .snap_id = content->snap_id,
                                  .mark_id = content->mark_id};
    struct fs_snap_list snaps;
    int rc = fs_snap_list_load(image, &snaps, err);

    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < snaps.count; i++) {
        if (is_wanted(&wanted, image, &snaps.snaps[i])) {
            rc = remove_snap(image, &snaps.snaps[i], err);
            fs_fault("retain.removed");
        }
    }
    fs_snap_list_fini(&snaps);
    return rc;
}

int fs_prune_group_snapshot(struct fs_cluster *cluster, const struct fs_record *record,
                            const struct fs_record_point *point, struct fs_error *err)
{
    char group[FS_RBD_GROUP_SIZE], snap[FS_SNAP_NAME_SIZE];
    const struct wanted wanted = {.group = fs_rbd_group_name(&record->group, group),
                                  .snap = fs_point_snap_name(&point->point, snap),
                                  .hold = no_writer};

    return point->group_snapshot ? remove_group_snapshot(cluster, point, &wanted, err) : 0;
}

json_t *fs_prune_serve(struct fs_cluster *cluster, const json_t *request,
                       fs_takepoint_hold_fn *hold)
{
    const char *text = json_string_value(json_object_get(request, "record"));
    const char *id_text = json_string_value(json_object_get(request, "remove"));
    struct fs_record *record = NULL;
    struct fs_record_point *point = NULL;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_uuid id;

    if (text && id_text && fs_uuid_parse(id_text, &id) == 0 &&
        fs_record_decode(text, strlen(text), &record, &err) == 0) {
        point = fs_record_find_point(record, &id);
    }
    if (point) {
        remove_point(cluster, record, point, hold, &err);
    } else {
        fs_error_set(&err, FS_ERR_BUG, EINVAL, "the helper cannot read its request");
    }
    fs_record_free(record);
    return fs_error_is_set(&err) ? fs_takepoint_failed(FS_TAKE_REASON_NONE, &err)
                                 : json_pack("{s:s, s:b}", "event", "done", "ok", 1);
}

int fs_prune_point(struct fs_helpers *helpers, const struct fs_record *record,
                   const struct fs_record_point *point, struct fs_error *err)
{
    char id[FS_UUID_TEXT];
    enum fs_take_reason ignored;
    json_t *answer = NULL;
    char *text = fs_record_encode(record);
    json_t *request = NULL;

    fs_uuid_format(&point->point.id, id);
    if (text) {
        request = json_pack("{s:s, s:s}", "remove", id, "record", text);
    }
    free(text);
    if (!request) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to remove a point");
    }

    int rc = fs_helpers_take(helpers, request, REMOVE_BOUND_NS, &answer, &ignored, err);

    json_decref(request);
    json_decref(answer);
    return rc;
}

/* --- snapshots that no record knows ----------------------------------------------------------- */

static bool record_names(const struct fs_record *record, const char *name)
{
    char own[FS_SNAP_NAME_SIZE];

    for (size_t i = 0; i < record->n_points; i++) {
        const struct fs_point_id *point = &record->points[i].point;

        if (strcmp(fs_point_snap_name(point, own), name) == 0 ||
            strcmp(fs_point_mark_name(point, own), name) == 0) {
            return true;
        }
    }
    return record->incoming.present &&
           strcmp(fs_point_snap_name(&record->incoming.point, own), name) == 0;
}

/* Exactly farshore.<term>.<decimal>.<8 hex> or farshore.mark.<8 hex>. */
static bool is_point_name(const char *name, uint64_t term)
{
    char again[FS_SNAP_NAME_SIZE];
    uint64_t seq;
    unsigned digits;

    if (sscanf(name, "farshore.mark.%8x", &digits) == 1) {
        snprintf(again, sizeof(again), "farshore.mark.%08x", digits);
        return strcmp(again, name) == 0;
    }
    if (sscanf(name, "farshore.%*u.%" SCNu64 ".%8x", &seq, &digits) != 2) {
        return false;
    }
    snprintf(again, sizeof(again), "farshore.%" PRIu64 ".%" PRIu64 ".%08x", term, seq, digits);
    return strcmp(again, name) == 0;
}

struct records {
    struct fs_record **all;
    size_t count;
    bool loaded;
    bool incomplete; /* one could not be read: it may name anything */
};

static void bad_record(void *arg, const char *object, const struct fs_error *err)
{
    struct records *records = arg;

    (void)object;
    (void)err;
    records->incomplete = true;
}

static int any_record_names(struct fs_site *site, struct records *records, const char *name,
                            bool *ret_named, struct fs_error *err)
{
    if (!records->loaded) {
        int rc = fs_state_load_all(site->state, &records->all, &records->count, bad_record, records,
                                   err);

        if (rc < 0) {
            return rc;
        }
        records->loaded = true;
    }
    *ret_named = records->incomplete;
    for (size_t i = 0; !*ret_named && i < records->count; i++) {
        *ret_named = record_names(records->all[i], name);
    }
    return 0;
}

static int prune_listed(struct fs_site *site, const struct fs_record *record,
                        const struct fs_image_ref *volume, const struct fs_image *image,
                        const struct fs_snap_list *snaps, struct fs_error *err)
{
    struct records records = {0};
    bool probed = false;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < snaps->count; i++) {
        const struct fs_snap *snap = &snaps->snaps[i];
        bool named = true;

        if (snap->type == RBD_SNAP_NAMESPACE_TYPE_USER &&
            is_point_name(snap->name, record->term.number) && !record_names(record, snap->name)) {
            rc = any_record_names(site, &records, snap->name, &named, err);
        }
        if (rc == 0 && !named && !probed) {
            rc = fs_probe_owner(site->cluster, image->ioctx, volume, err);
            probed = true;
        }
        if (rc == 0 && !named) {
            rc = remove_snap(image, snap, err);
            fs_log(FS_EV_POINT_REMOVED, FS_S("group", record->name), FS_S("image", volume->name),
                   FS_S("snapshot", snap->name), FS_S("reason", "no record knows it"));
        }
    }
    for (size_t i = 0; i < records.count; i++) {
        fs_record_free(records.all[i]);
    }
    free(records.all);
    return rc;
}

int fs_prune_unknown(struct fs_site *site, const struct fs_record *record,
                     const struct fs_image_ref *volume, struct fs_error *err)
{
    struct fs_image image;
    struct fs_snap_list snaps;
    int rc = fs_image_open(site->cluster, volume, FS_IMAGE_WRITE, &image, err);

    if (rc < 0) {
        return rc;
    }
    rc = fs_snap_list_load(&image, &snaps, err);
    if (rc == 0) {
        rc = prune_listed(site, record, volume, &image, &snaps, err);
        fs_snap_list_fini(&snaps);
    }
    fs_image_close(&image);
    return rc;
}
