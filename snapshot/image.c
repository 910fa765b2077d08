/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/cluster.h"

int fs_image_open(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                  enum fs_image_mode mode, struct fs_image *ret_image, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc;

    *ret_image = (struct fs_image){0};
    rc = fs_cluster_ioctx(cluster, ref->pool, ref->ns, &ret_image->ioctx, err);
    if (rc < 0) {
        ret_image->ioctx = NULL;
        return rc == -ENOENT ? -ENXIO : rc;
    }
    if (mode == FS_IMAGE_WRITE_FULL) {
        rados_set_pool_full_try(ret_image->ioctx); /* librbd takes it over with the ioctx */
    }
    if (mode != FS_IMAGE_READ) {
        rc = rbd_open_by_id(ret_image->ioctx, ref->image_id, &ret_image->handle, NULL);
    } else {
        rc = rbd_open_by_id_read_only(ret_image->ioctx, ref->image_id, &ret_image->handle, NULL);
    }
    if (rc < 0) {
        ret_image->handle = NULL;
        fs_image_close(ret_image);
        return fs_cluster_error(err, rc, "cannot open image %s (id %s)", fs_image_spec(ref, spec),
                                ref->image_id);
    }
    return 0;
}

void fs_image_close(struct fs_image *image)
{
    if (image->handle) {
        rbd_close(image->handle);
    }
    if (image->ioctx) {
        rados_ioctx_destroy(image->ioctx);
    }
    *image = (struct fs_image){0};
}

int fs_image_refresh_name(const struct fs_image *image, struct fs_image_ref *ref,
                          struct fs_error *err)
{
    char name[FS_IMAGE_NAME_SIZE];
    size_t length = sizeof(name);
    int rc = rbd_get_name(image->handle, name, &length);

    if (rc == -ERANGE) {
        return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG,
                            "image id %s: its name is longer than %d bytes; rename it",
                            ref->image_id, FS_IMAGE_NAME_SIZE - 1);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the name of image id %s", ref->image_id);
    }
    snprintf(ref->name, sizeof(ref->name), "%s", name);
    return 0;
}

static int compare_snaps(const void *a, const void *b)
{
    const struct fs_snap *left = a, *right = b;

    return left->id < right->id ? -1 : left->id > right->id;
}

int fs_snap_list_load(const struct fs_image *image, struct fs_snap_list *ret_list,
                      struct fs_error *err)
{
    rbd_snap_info_t *infos = NULL;
    int capacity = 64, count;

    *ret_list = (struct fs_snap_list){0};
    do { /* -ERANGE leaves the count that is needed in capacity */
        free(infos);
        infos = calloc((size_t)capacity + 1, sizeof(*infos));
        if (!infos) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of snapshots");
        }
        count = rbd_snap_list(image->handle, infos, &capacity);
    } while (count == -ERANGE);
    if (count < 0) {
        free(infos);
        return fs_cluster_error(err, count, "cannot list the image's snapshots");
    }

    struct fs_snap *snaps = calloc((size_t)count + 1, sizeof(*snaps));
    int rc = snaps ? 0 : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for snapshots");
    size_t kept = 0;

    for (int i = 0; rc == 0 && i < count; i++) {
        struct fs_snap *snap = &snaps[kept];

        snap->id = infos[i].id;
        snap->size = infos[i].size;
        if (strlen(infos[i].name) < sizeof(snap->name)) {
            memcpy(snap->name, infos[i].name, strlen(infos[i].name) + 1);
        }
        rc = rbd_snap_get_namespace_type(image->handle, snap->id, &snap->type);
        if (rc == -ENOENT) { /* removed since the list was made */
            rc = 0;
            continue;
        }
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot read what kind snapshot %" PRIu64 " is", snap->id);
            break;
        }
        kept++;
    }
    rbd_snap_list_end(infos);
    free(infos);
    if (rc < 0) {
        free(snaps);
        return rc;
    }
    qsort(snaps, kept, sizeof(*snaps), compare_snaps);
    ret_list->snaps = snaps;
    ret_list->count = kept;
    return 0;
}

void fs_snap_list_fini(struct fs_snap_list *list)
{
    free(list->snaps);
    *list = (struct fs_snap_list){0};
}

const struct fs_snap *fs_snap_list_find(const struct fs_snap_list *list, uint64_t id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->snaps[i].id == id) {
            return &list->snaps[i];
        }
    }
    return NULL;
}

const struct fs_snap *fs_snap_list_find_user(const struct fs_snap_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->snaps[i].type == RBD_SNAP_NAMESPACE_TYPE_USER &&
            strcmp(list->snaps[i].name, name) == 0) {
            return &list->snaps[i];
        }
    }
    return NULL;
}

/* The flags of the object map where the handle is set now. */
static int check_flags(const struct fs_image *image, bool *ret_valid, struct fs_error *err)
{
    uint64_t flags;
    int rc = rbd_get_flags(image->handle, &flags);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the flags of an object map");
    }
    *ret_valid = !(flags & (RBD_FLAG_OBJECT_MAP_INVALID | RBD_FLAG_FAST_DIFF_INVALID));
    return 0;
}

static int set_snap(const struct fs_image *image, uint64_t id, struct fs_error *err)
{
    int rc = id ? rbd_snap_set_by_id(image->handle, id) : rbd_snap_set(image->handle, NULL);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot set the image to snapshot %" PRIu64, id);
    }
    return 0;
}

static int check_fast_diff(const struct fs_image *image, bool *ret_on, struct fs_error *err)
{
    uint64_t features;
    int rc = rbd_get_features(image->handle, &features);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's features");
    }
    *ret_on = features & RBD_FEATURE_FAST_DIFF;
    return 0;
}

int fs_image_map_valid(const struct fs_image *image, uint64_t id, bool *ret_valid,
                       struct fs_error *err)
{
    bool on = false;
    int rc = check_fast_diff(image, &on, err);

    *ret_valid = false;
    if (rc == 0) {
        rc = set_snap(image, id, err);
    }
    return rc == 0 && on ? check_flags(image, ret_valid, err) : rc;
}

/* Ascending ids: the first user snapshot is the oldest. Nobody can roll back to the other types. */
static const struct fs_snap *find_user_before(const struct fs_snap_list *list, uint64_t id)
{
    for (size_t i = 0; i < list->count && list->snaps[i].id < id; i++) {
        if (list->snaps[i].type == RBD_SNAP_NAMESPACE_TYPE_USER) {
            return &list->snaps[i];
        }
    }
    return NULL;
}

int fs_image_fast_diff_valid(const struct fs_image *image, const struct fs_snap_list *list,
                             uint64_t from_id, uint64_t to_id, bool *ret_valid, char *ret_why,
                             size_t why_size, struct fs_error *err)
{
    bool on = false;
    int rc = check_fast_diff(image, &on, err);

    *ret_valid = false;
    if (rc < 0) {
        return rc;
    }
    if (!on) {
        snprintf(ret_why, why_size, "fast-diff is off");
        return set_snap(image, to_id, err);
    }

    const struct fs_snap *older = find_user_before(list, from_id);

    if (older) {
        snprintf(ret_why, why_size, "fast-diff misses a rollback to older snapshot %" PRIu64,
                 older->id);
        return set_snap(image, to_id, err);
    }

    bool valid = true;

    for (size_t i = 0; valid && i < list->count; i++) {
        uint64_t id = list->snaps[i].id;

        /* From the beginning only the last map is read. */
        if (id == to_id || (from_id && id >= from_id && (!to_id || id < to_id))) {
            rc = fs_image_map_valid(image, id, &valid, err);
            if (rc < 0) {
                return rc;
            }
            if (!valid) {
                snprintf(ret_why, why_size, "the object map of snapshot %" PRIu64 " is invalid",
                         id);
            }
        }
    }
    rc = set_snap(image, to_id, err);
    if (rc == 0 && valid && !to_id) {
        rc = check_flags(image, &valid, err);
        if (rc == 0 && !valid) {
            snprintf(ret_why, why_size, "the object map is invalid");
        }
    }
    *ret_valid = rc == 0 && valid;
    return rc;
}
