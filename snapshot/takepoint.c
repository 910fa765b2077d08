/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/takepoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/clock.h"
#include "farshore/fault.h"
#include "farshore/source.h"
#include "snapshot/image.h"
#include "snapshot/probe.h"
#include "snapshot/prune.h"

struct volume {
    struct fs_image_ref ref;
    struct fs_image image;
    uint64_t features;
    uint64_t snap_id, mark_id, size;
};

struct takepoint {
    struct fs_cluster *cluster;
    fs_takepoint_hold_fn *hold;
    const char *group, *snap, *mark; /* borrowed from the request */
    bool refuse_not_one_instant, refuse_unquiesced;
    bool skip_hooks;   /* librbd's quiesce hooks of other clients are not asked, or no more */
    bool hooks_failed; /* one of them could not do it */
    size_t n_volumes;
    struct volume *volumes; /* owned */

    bool one_namespace;
    bool one_instant;
    enum fs_take_reason reason; /* of a failure */
    int64_t began_ns;           /* boot clock: when the first call that holds writers began */
    int64_t pause_ns;           /* the longest such call */
};

static void copy_text(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text);
}

static int parse(struct takepoint *take, const json_t *request, struct fs_error *err)
{
    json_t *volumes, *volume;
    int refuse, unquiesced, skip;
    size_t i;

    if (json_unpack((json_t *)request, "{s:s, s:s, s:s, s:b, s:b, s:b, s:o}", "group", &take->group,
                    "snap", &take->snap, "mark", &take->mark, "refuse_not_one_instant", &refuse,
                    "refuse_unquiesced", &unquiesced, "skip_hooks", &skip, "volumes",
                    &volumes) != 0 ||
        json_array_size(volumes) == 0 || json_array_size(volumes) > FS_VOLUMES_MAX) {
        return fs_error_set(err, FS_ERR_BUG, EINVAL, "the helper cannot read its request");
    }
    take->refuse_not_one_instant = refuse;
    take->refuse_unquiesced = unquiesced;
    take->skip_hooks = skip;
    take->volumes = calloc(json_array_size(volumes), sizeof(*take->volumes));
    if (!take->volumes) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to take a point");
    }
    json_array_foreach(volumes, i, volume)
    {
        struct fs_image_ref *ref = &take->volumes[i].ref;
        const char *pool, *ns, *id, *name;
        json_int_t pool_id;

        if (json_unpack(volume, "{s:I, s:s, s:s, s:s, s:s}", "pool_id", &pool_id, "pool", &pool,
                        "ns", &ns, "id", &id, "name", &name) != 0) {
            return fs_error_set(err, FS_ERR_BUG, EINVAL, "the helper cannot read a volume");
        }
        ref->pool_id = pool_id;
        copy_text(ref->pool, sizeof(ref->pool), pool);
        copy_text(ref->ns, sizeof(ref->ns), ns);
        copy_text(ref->image_id, sizeof(ref->image_id), id);
        copy_text(ref->name, sizeof(ref->name), name);
        take->n_volumes++;
    }
    return 0;
}

/* --- checks --------------------------------------------------------------------------------- */

/* Refuses an image of a foreign RBD group; ends a membership that a crash of ours left behind. */
static int check_group(struct takepoint *take, struct volume *volume, struct fs_error *err)
{
    rbd_group_info_t info = {0};
    int rc = rbd_get_group(volume->image.handle, &info, sizeof(info));

    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read its RBD group");
    }
    if (info.name && info.name[0] != '\0') {
        if (strcmp(info.name, take->group) == 0) {
            rc = fs_prune_membership(take->cluster, &volume->image, &volume->ref, take->group,
                                     info.pool, err);
        } else {
            take->reason = FS_TAKE_FOREIGN_GROUP;
            rc = fs_error_set(err, FS_ERR_CONFIG, EBUSY,
                              "it is in RBD group %s, which is not Farshore's; take it out with "
                              "rbd group image remove, or do not select it",
                              info.name);
        }
    }
    rbd_group_info_cleanup(&info, sizeof(info));
    return rc;
}

static int open_volume(struct takepoint *take, struct volume *volume, struct fs_error *err)
{
    int rc = fs_image_open(take->cluster, &volume->ref, FS_IMAGE_WRITE, &volume->image, err);

    if (rc < 0) {
        return rc;
    }
    rc = rbd_get_features(volume->image.handle, &volume->features);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read its features");
    }
    rc = fs_image_refresh_name(&volume->image, &volume->ref, err);
    if (rc == 0) {
        rc = check_group(take, volume, err);
    }
    return rc;
}

static int check_one_instant(struct takepoint *take, struct fs_error *err)
{
    const struct volume *without = NULL;

    take->one_namespace = true;
    for (size_t i = 0; i < take->n_volumes; i++) {
        const struct volume *volume = &take->volumes[i];

        if (strcmp(volume->ref.ns, take->volumes[0].ref.ns) != 0) {
            take->one_namespace = false;
        }
        if (!(volume->features & RBD_FEATURE_EXCLUSIVE_LOCK)) {
            without = volume;
        }
    }
    take->one_instant = take->one_namespace && !without;
    if (take->one_instant || !take->refuse_not_one_instant) {
        return 0;
    }
    take->reason = FS_TAKE_NOT_ONE_INSTANT;

    char spec[FS_IMAGE_SPEC_SIZE];

    if (without) {
        return fs_error_set(err, FS_ERR_CONFIG, ENOTSUP,
                            "image %s has no exclusive-lock feature, so its writers cannot be held "
                            "at one instant; rbd feature enable it, or let the policy accept that",
                            fs_image_spec(&without->ref, spec));
    }
    return fs_error_set(err, FS_ERR_CONFIG, ENOTSUP,
                        "the volumes are in several RADOS namespaces, which RBD cannot snapshot at "
                        "one instant; make them groups of their own, or let the policy accept it");
}

static int probe_writers(struct takepoint *take, struct fs_error *err)
{
    for (size_t i = 0; i < take->n_volumes; i++) {
        struct volume *volume = &take->volumes[i];
        int rc = fs_probe_owner(take->cluster, volume->image.ioctx, &volume->ref, err);

        if (rc < 0) {
            take->reason = rc == -EHOSTDOWN ? FS_TAKE_WRITER_SILENT : FS_TAKE_REASON_NONE;
            return rc;
        }
    }
    return 0;
}

/* --- snapshots ------------------------------------------------------------------------------ */

static int64_t hold_begin(struct takepoint *take)
{
    take->hold(true);
    return fs_clock_boot(fs_clock_system());
}

static void hold_end(struct takepoint *take, int64_t began_ns)
{
    int64_t pause_ns = fs_clock_boot(fs_clock_system()) - began_ns;

    take->hold(false);
    if (pause_ns > take->pause_ns) {
        take->pause_ns = pause_ns;
    }
}

static int ignore_progress_cb(uint64_t offset, uint64_t total, void *arg)
{
    (void)offset;
    (void)total;
    (void)arg;
    return 0;
}

/*
 * librbd asks its clients that have a quiesce hook to come to rest, and fails where one cannot;
 * it does not tell that from other failures. So a call that failed is made again without asking,
 * and where that one succeeds it was the hook. Where the policy wants no such point the first
 * failure counts.
 */
static bool go_on_without_hooks(struct takepoint *take, int rc)
{
    if (rc >= 0 || rc == -EEXIST || take->skip_hooks || take->refuse_unquiesced) {
        return false;
    }
    take->skip_hooks = take->hooks_failed = true;
    return true;
}

static uint32_t snapshot_flags(const struct takepoint *take)
{
    return take->skip_hooks ? RBD_SNAP_CREATE_SKIP_QUIESCE : 0;
}

static int create_snapshot(struct takepoint *take, rbd_image_t image, const char *name,
                           uint32_t flags)
{
    int64_t began_ns = hold_begin(take);
    int rc = rbd_snap_create2(image, name, flags, ignore_progress_cb, NULL);

    hold_end(take, began_ns);
    return rc;
}

static int snapshot_one(struct takepoint *take, struct volume *volume, const char *name,
                        uint32_t flags, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = create_snapshot(take, volume->image.handle, name, flags);

    if (flags == 0 && go_on_without_hooks(take, rc)) {
        rc = create_snapshot(take, volume->image.handle, name, snapshot_flags(take));
    }
    /* The name holds 32 random bits: one that exists is ours, by a request that librbd repeated. */
    if (rc < 0 && rc != -EEXIST) {
        return fs_cluster_error(err, rc, "image %s: cannot take snapshot %s%s",
                                fs_image_spec(&volume->ref, spec), name,
                                rc == -EROFS ? " (its writer holds an explicit lock)" : "");
    }
    return 0;
}

/* One after the other: a group of one, or one that RBD cannot snapshot as a whole. */
static int take_singly(struct takepoint *take, struct fs_error *err)
{
    int rc = 0;

    take->began_ns = fs_clock_boot(fs_clock_system());
    for (size_t i = 0; rc == 0 && i < take->n_volumes; i++) {
        rc = snapshot_one(take, &take->volumes[i], take->snap, snapshot_flags(take), err);
        fs_fault("helper.single");
    }
    return rc;
}

static int create_group_snapshot(struct takepoint *take, rados_ioctx_t ioctx)
{
    take->began_ns = hold_begin(take);
    int rc = rbd_group_snap_create2(ioctx, take->group, take->snap, snapshot_flags(take));
    hold_end(take, take->began_ns);
    return rc;
}

static int group_snapshot(struct takepoint *take, rados_ioctx_t ioctx, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    size_t added = 0;
    int rc = rbd_group_create(ioctx, take->group);

    if (rc < 0 && rc != -EEXIST) {
        return fs_cluster_error(err, rc, "cannot create RBD group %s", take->group);
    }
    fs_fault("helper.group");
    for (rc = 0; rc == 0 && added < take->n_volumes;) {
        struct volume *volume = &take->volumes[added];

        rc = rbd_group_image_add(ioctx, take->group, volume->image.ioctx, volume->ref.name);
        if (rc < 0) {
            fs_cluster_error(err, rc, "image %s: cannot add it to RBD group %s",
                             fs_image_spec(&volume->ref, spec), take->group);
        } else {
            fs_fault("helper.member");
            added++;
        }
    }
    if (rc == 0) {
        rc = create_group_snapshot(take, ioctx);
        if (go_on_without_hooks(take, rc)) {
            rc = create_group_snapshot(take, ioctx);
        }
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot take a group snapshot%s",
                             rc == -EROFS ? " (a writer holds an explicit lock)" : "");
        }
        fs_fault("helper.snapshot");
    }
    while (added > 0) { /* a member could not be deleted or snapshotted by others */
        struct volume *volume = &take->volumes[--added];
        int left = rbd_group_image_remove_by_id(ioctx, take->group, volume->image.ioctx,
                                                volume->ref.image_id);

        if (left < 0 && left != -ENOENT && rc == 0) {
            rc = fs_cluster_error(err, left, "image %s: cannot take it out of RBD group %s",
                                  fs_image_spec(&volume->ref, spec), take->group);
        }
        fs_fault("helper.left");
    }
    return rc;
}

/* Marks first: what is written between a mark and the group snapshot then travels twice, but
 * nothing is missed by a diff that starts at the mark. */
static int take_together(struct takepoint *take, struct fs_error *err)
{
    const struct fs_image_ref *first = &take->volumes[0].ref;
    rados_ioctx_t ioctx;
    int rc = fs_cluster_ioctx(take->cluster, first->pool, first->ns, &ioctx, err);

    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < take->n_volumes; i++) {
        struct volume *volume = &take->volumes[i];

        rc = snapshot_one(take, volume, take->mark, RBD_SNAP_CREATE_SKIP_QUIESCE, err);
        fs_fault("helper.mark");
        /* Ours would be one more client to notify during the group snapshot. */
        rbd_close(volume->image.handle);
        volume->image.handle = NULL;
    }
    if (rc == 0) {
        rc = group_snapshot(take, ioctx, err);
    }
    rados_ioctx_destroy(ioctx);
    return rc;
}

/* --- results -------------------------------------------------------------------------------- */

static int is_our_group_snap(const struct takepoint *take, rbd_image_t image, uint64_t id)
{
    rbd_snap_group_namespace_t space = {0};
    int rc = rbd_snap_get_group_namespace(image, id, &space, sizeof(space));

    if (rc < 0) {
        return rc;
    }

    int ours = strcmp(space.group_name, take->group) == 0 &&
               strcmp(space.group_snap_name, take->snap) == 0;

    rbd_snap_group_namespace_cleanup(&space, sizeof(space));
    return ours;
}

/* A new handle: the old one need not have heard of the snapshot yet. */
static int find_snaps(struct takepoint *take, struct volume *volume, bool together,
                      struct fs_error *err)
{
    struct fs_snap_list snaps;
    struct fs_image image;
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = fs_image_open(take->cluster, &volume->ref, FS_IMAGE_READ, &image, err);

    if (rc < 0) {
        return rc;
    }
    rc = fs_snap_list_load(&image, &snaps, err);
    for (size_t i = 0; rc == 0 && i < snaps.count; i++) {
        const struct fs_snap *snap = &snaps.snaps[i];
        bool user = snap->type == RBD_SNAP_NAMESPACE_TYPE_USER;
        int ours = user ? !together && strcmp(snap->name, take->snap) == 0 : 0;

        if (together && snap->type == RBD_SNAP_NAMESPACE_TYPE_GROUP) {
            ours = is_our_group_snap(take, image.handle, snap->id);
            ours = ours < 0 ? 0 : ours;
        }
        if (ours) {
            volume->snap_id = snap->id;
            volume->size = snap->size;
        }
        if (user && strcmp(snap->name, together ? take->mark : take->snap) == 0) {
            volume->mark_id = snap->id;
        }
    }
    if (rc == 0) {
        fs_snap_list_fini(&snaps);
    }
    fs_image_close(&image);
    if (rc == 0 && (!volume->snap_id || !volume->mark_id)) {
        rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOENT,
                          "image %s: the snapshot that was just taken is not there",
                          fs_image_spec(&volume->ref, spec));
    }
    return rc;
}

static json_t *answer_taken(const struct takepoint *take, bool together)
{
    json_t *contents = json_array();

    for (size_t i = 0; i < take->n_volumes; i++) {
        const struct volume *volume = &take->volumes[i];

        json_array_append_new(contents,
                              json_pack("{s:I, s:I, s:I}", "snap_id", (json_int_t)volume->snap_id,
                                        "mark_id", (json_int_t)volume->mark_id, "size",
                                        (json_int_t)volume->size));
    }
    return json_pack("{s:s, s:b, s:b, s:b, s:b, s:I, s:I, s:o}", "event", "done", "ok", 1,
                     "group_snapshot", together, "not_one_instant", !take->one_instant,
                     "hooks_failed", take->hooks_failed, "pause_ns", (json_int_t)take->pause_ns,
                     "age_ns", (json_int_t)(fs_clock_boot(fs_clock_system()) - take->began_ns),
                     "contents", contents);
}

json_t *fs_takepoint_failed(enum fs_take_reason reason, const struct fs_error *err)
{
    return json_pack("{s:s, s:b, s:i, s:i, s:i, s:s}", "event", "done", "ok", 0, "reason",
                     (int)reason, "class", (int)err->class, "code", err->code, "message",
                     err->message);
}

json_t *fs_takepoint(struct fs_cluster *cluster, const json_t *request, fs_takepoint_hold_fn *hold)
{
    struct takepoint take = {.cluster = cluster, .hold = hold};
    struct fs_error err = FS_ERROR_INIT;
    char spec[FS_IMAGE_SPEC_SIZE];
    bool together = false;
    int rc = parse(&take, request, &err);

    for (size_t i = 0; rc == 0 && i < take.n_volumes; i++) {
        rc = open_volume(&take, &take.volumes[i], &err);
        if (rc < 0) {
            fs_error_context(&err, "image %s", fs_image_spec(&take.volumes[i].ref, spec));
        }
    }
    if (rc == 0) {
        rc = check_one_instant(&take, &err);
    }
    if (rc == 0) {
        rc = probe_writers(&take, &err);
    }
    if (rc == 0) {
        fs_fault("helper.start");
        together = take.n_volumes > 1 && take.one_namespace;
        rc = together ? take_together(&take, &err) : take_singly(&take, &err);
    }
    for (size_t i = 0; rc == 0 && i < take.n_volumes; i++) {
        rc = find_snaps(&take, &take.volumes[i], together, &err);
    }
    fs_fault("helper.found");

    json_t *answer =
        rc == 0 ? answer_taken(&take, together) : fs_takepoint_failed(take.reason, &err);

    for (size_t i = 0; i < take.n_volumes; i++) {
        fs_image_close(&take.volumes[i].image);
    }
    free(take.volumes);
    return answer;
}
