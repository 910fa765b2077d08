/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/unchanged.h"

#include <stdio.h>

/* What the callback returns to end a diff at its first extent. */
#define FOUND (-ECANCELED)

static int found_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    (void)offset;
    (void)length;
    (void)exists;
    (void)arg;
    return FOUND;
}

static int read_overlap(const struct fs_image *image, uint64_t snap_id, uint64_t *ret_overlap,
                        struct fs_error *err)
{
    int rc =
        snap_id ? rbd_snap_set_by_id(image->handle, snap_id) : rbd_snap_set(image->handle, NULL);

    if (rc == 0) {
        rc = rbd_get_overlap(image->handle, ret_overlap);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "cannot read the overlap with its parent") : 0;
}

static int same_shape(const struct fs_image *image, const struct fs_record_content *content,
                      bool *ret_same, struct fs_error *err)
{
    uint64_t size, overlap_then, overlap_now;
    int rc = read_overlap(image, content->mark_id, &overlap_then, err);

    if (rc == 0) {
        rc = read_overlap(image, 0, &overlap_now, err);
    }
    if (rc < 0) {
        return rc;
    }
    rc = rbd_get_size(image->handle, &size);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read its size");
    }
    *ret_same = size == content->geometry.size && overlap_then == overlap_now;
    return 0;
}

/*
 * A snapshot that somebody took between our opening and the diff would have moved the head's
 * changes into an object map that this handle, which has no watch, knows nothing of.
 */
static int same_snapshots(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                          const struct fs_snap_list *before, bool *ret_same, struct fs_error *err)
{
    struct fs_snap_list now;
    struct fs_image image;
    int rc = fs_image_open(cluster, ref, FS_IMAGE_READ, &image, err);

    if (rc < 0) {
        return rc;
    }
    rc = fs_snap_list_load(&image, &now, err);
    if (rc == 0) {
        *ret_same = now.count == before->count;
        for (size_t i = 0; *ret_same && i < now.count; i++) {
            *ret_same = now.snaps[i].id == before->snaps[i].id;
        }
        fs_snap_list_fini(&now);
    }
    fs_image_close(&image);
    return rc;
}

int fs_unchanged_check(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                       const struct fs_image *image, const struct fs_snap_list *snaps,
                       const struct fs_record_content *content, bool *ret_unchanged, char *ret_slow,
                       size_t slow_size, struct fs_error *err)
{
    const struct fs_snap *mark = content ? fs_snap_list_find(snaps, content->mark_id) : NULL;
    bool valid, same = false;
    uint64_t size;
    int rc;

    *ret_unchanged = false;
    ret_slow[0] = '\0';
    rc = fs_image_fast_diff_valid(image, snaps, mark ? mark->id : 0, 0, &valid, ret_slow, slow_size,
                                  err);
    if (rc < 0 || !valid || !mark || mark->type != RBD_SNAP_NAMESPACE_TYPE_USER) {
        return rc;
    }
    if (content->older_snapshot) {
        snprintf(ret_slow, slow_size, "fast-diff may miss a rollback to an older snapshot");
        return 0;
    }
    rc = same_shape(image, content, &same, err);
    if (rc < 0 || !same) {
        return rc;
    }
    rc = rbd_get_size(image->handle, &size);
    if (rc == 0) {
        rc = rbd_diff_iterate2(image->handle, mark->name, 0, size, 0, 1, found_cb, NULL);
    }
    if (rc == FOUND) {
        return 0;
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot look for changes");
    }
    return same_snapshots(cluster, ref, snaps, ret_unchanged, err);
}
