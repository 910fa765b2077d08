/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/left.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "farshore/log.h"
#include "snapshot/probe.h"
#include "snapshot/target.h"

static bool is_left(const struct fs_snap *snap)
{
    return snap->type == RBD_SNAP_NAMESPACE_TYPE_USER &&
           strncmp(snap->name, FS_LEFT_PREFIX, strlen(FS_LEFT_PREFIX)) == 0;
}

static int with_image(int rc, const struct fs_image_ref *ref, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(ref, spec));
    }
    return rc;
}

/* --- the list ----------------------------------------------------------------------------------
 */

static int add(struct fs_left **list, size_t *count, const struct fs_image *image,
               const struct fs_image_ref *ref, const struct fs_snap *snap, struct fs_error *err)
{
    struct fs_left *grown = reallocarray(*list, *count + 1, sizeof(*grown));
    struct timespec taken = {0};

    if (!grown) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list");
    }
    *list = grown;
    (void)rbd_snap_get_timestamp(image->handle, snap->id, &taken);
    struct fs_left *left = &grown[(*count)++];

    *left = (struct fs_left){.image = *ref,
                             .size = snap->size,
                             .taken_ns = (int64_t)taken.tv_sec * FS_SEC + taken.tv_nsec};
    snprintf(left->name, sizeof(left->name), "%s", snap->name);
    return 0;
}

static int list_image(struct fs_cluster *cluster, const struct fs_image_ref *known,
                      struct fs_left **list, size_t *count, struct fs_error *err)
{
    struct fs_error open_err = FS_ERROR_INIT;
    struct fs_image_ref ref = *known;
    struct fs_snap_list snaps;
    struct fs_image image;
    int rc = fs_image_open(cluster, &ref, FS_IMAGE_READ, &image, &open_err);

    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        *err = open_err;
        return rc;
    }
    rc = fs_image_refresh_name(&image, &ref, err);
    if (rc == 0) {
        rc = fs_snap_list_load(&image, &snaps, err);
    }
    if (rc == 0) {
        for (size_t i = 0; rc == 0 && i < snaps.count; i++) {
            rc =
                is_left(&snaps.snaps[i]) ? add(list, count, &image, &ref, &snaps.snaps[i], err) : 0;
        }
        fs_snap_list_fini(&snaps);
    }
    fs_image_close(&image);
    return with_image(rc, known, err);
}

int fs_left_list(struct fs_site *site, const struct fs_record *record, struct fs_left **ret_list,
                 size_t *ret_count, struct fs_error *err)
{
    int rc = 0;

    *ret_list = NULL;
    *ret_count = 0;
    for (size_t i = 0; rc == 0 && i < record->n_volumes; i++) {
        if (record->volumes[i].volume.image.image_id[0]) {
            rc = list_image(site->cluster, &record->volumes[i].volume.image, ret_list, ret_count,
                            err);
        }
    }
    return rc;
}

/* --- discarding --------------------------------------------------------------------------------
 */

static int remove_snap(const struct fs_record *record, const struct fs_image *image,
                       const struct fs_image_ref *ref, const char *name, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = rbd_snap_remove(image->handle, name);

    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "cannot remove snapshot %s%s", name,
                                rc == -EBUSY ? "; is it protected, or does it have clones?" : "");
    }
    fs_log(FS_EV_LEFT_DISCARDED, FS_S("group", record->name),
           FS_S("image", fs_image_spec(ref, spec)), FS_S("snapshot", name));
    return 0;
}

/* A secondary's image is parked: it is held for the removal. */
static int remove_from_target(struct fs_site *site, struct fs_record *record,
                              const struct fs_record_volume *volume, const char *name,
                              struct fs_error *err)
{
    struct fs_target target = {0};
    int rc = fs_target_open(site->cluster, record, volume, &target, err);

    if (rc < 0) {
        return rc;
    }
    rc = remove_snap(record, &target.image, &target.ref, name, err);
    if (target.hold.proven) { /* its head was not touched */
        int marked = fs_hold_mark(&target.image, &target.hold, err);
        rc = rc < 0 ? rc : marked;
    }
    fs_target_close(site->cluster, &target);
    return with_image(rc, &volume->volume.image, err);
}

/* Anywhere else it is its users': never with a writer that does not answer. */
static int remove_from_users(struct fs_site *site, struct fs_record *record,
                             const struct fs_record_volume *volume, const char *name,
                             struct fs_error *err)
{
    const struct fs_image_ref *ref = &volume->volume.image;
    struct fs_image image;
    int rc = fs_image_open(site->cluster, ref, FS_IMAGE_WRITE, &image, err);

    if (rc < 0) {
        return rc;
    }
    rc = fs_probe_owner(site->cluster, image.ioctx, ref, err);
    if (rc == 0) {
        rc = remove_snap(record, &image, ref, name, err);
    }
    fs_image_close(&image);
    return with_image(rc, ref, err);
}

static const struct fs_record_volume *volume_of(const struct fs_record *record,
                                                const struct fs_image_ref *ref)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (fs_image_ref_same(&record->volumes[i].volume.image, ref)) {
            return &record->volumes[i];
        }
    }
    return NULL;
}

int fs_left_discard(struct fs_site *site, struct fs_record *record, const char *name,
                    struct fs_error *err)
{
    struct fs_left *list;
    size_t count, found = 0;
    int rc = fs_left_list(site, record, &list, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (strcmp(list[i].name, name) != 0) {
            continue;
        }
        const struct fs_record_volume *volume = volume_of(record, &list[i].image);
        found++;
        rc = record->role == FS_ROLE_SECONDARY ? remove_from_target(site, record, volume, name, err)
                                               : remove_from_users(site, record, volume, name, err);
    }
    free(list);
    if (rc == 0 && found == 0) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, ENOENT,
                          "no image of group %s has a snapshot %s: `farshore left %s` lists those "
                          "that were kept",
                          record->name, name, record->name);
    }
    return rc;
}
