/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/release.h"

#include <stdlib.h>

#include "farshore/fault.h"
#include "farshore/log.h"
#include "snapshot/image.h"
#include "snapshot/prune.h"

struct release {
    struct fs_site *site;
    struct fs_helpers *helpers;
    struct fs_record *record;
    bool leaving[FS_VOLUMES_MAX]; /* by the record's volumes */
};

/* --- who leaves ------------------------------------------------------------------------------ */

/* Whether the image is in the trash, or nowhere. */
static int is_removed(struct fs_cluster *cluster, const struct fs_image_ref *ref, bool *ret_removed,
                      struct fs_error *err)
{
    struct fs_error open_err = FS_ERROR_INIT;
    rbd_trash_image_info_t info;
    struct fs_image image;
    int rc = fs_image_open(cluster, ref, FS_IMAGE_READ, &image, &open_err);

    *ret_removed = rc == -ENOENT;
    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        *err = open_err;
        return rc;
    }
    rc = rbd_trash_get(image.ioctx, ref->image_id, &info);
    if (rc == 0) {
        *ret_removed = true;
        rbd_trash_get_cleanup(&info);
    } else if (rc == -ENOENT) {
        rc = 0;
    } else {
        fs_cluster_error(err, rc, "cannot look for it in the trash");
    }
    fs_image_close(&image);
    return rc;
}

static int find_leaving(struct release *release, bool whole, bool removed_only,
                        struct fs_error *err)
{
    struct fs_record *record = release->record;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < record->n_volumes; i++) {
        const struct fs_record_volume *volume = &record->volumes[i];

        release->leaving[i] = whole || volume->gone;
        if (release->leaving[i] && removed_only) {
            rc = is_removed(release->site->cluster, &volume->volume.image, &release->leaving[i],
                            err);
        }
        if (rc < 0) {
            char spec[FS_IMAGE_SPEC_SIZE];

            fs_error_context(err, "image %s", fs_image_spec(&volume->volume.image, spec));
        }
    }
    return rc;
}

/* Not what was given up before; a half-taken point may not know its snapshots. */
static bool leaves(const struct release *release, const struct fs_record_point *point, size_t i)
{
    const struct fs_record_content *content = &point->contents[i];
    const struct fs_record_volume *volume =
        fs_record_find_volume(release->record, &content->volume);

    return volume && release->leaving[volume - release->record->volumes] &&
           (content->snap_id || point->state == FS_POINT_TAKING);
}

/* How many of a point's volumes leave it; *ret_stay: how many it still has then. */
static size_t count_leaving(const struct release *release, const struct fs_record_point *point,
                            size_t *ret_stay)
{
    size_t count = 0;

    *ret_stay = 0;
    for (size_t i = 0; i < point->n_contents; i++) {
        if (leaves(release, point, i)) {
            count++;
        } else if (point->contents[i].snap_id) {
            (*ret_stay)++;
        }
    }
    return count;
}

/* --- what goes ------------------------------------------------------------------------------- */

/* The points that end are none any more before their first snapshot goes. */
static int store_intent(struct release *release, struct fs_error *err)
{
    struct fs_record *record = release->record;
    bool changed = false;

    for (size_t i = 0; i < record->n_points; i++) {
        struct fs_record_point *point = &record->points[i];
        size_t stay;

        if (count_leaving(release, point, &stay) > 0 && point->state != FS_POINT_TAKING &&
            (stay == 0 || point->state != FS_POINT_COMMITTED) &&
            !fs_holds_has(&release->site->holds, &point->point.id)) {
            point->state = FS_POINT_TAKING;
            changed = true;
        }
    }
    return changed ? fs_state_store(release->site->state, record, err) : 0;
}

/* The snapshots of the leaving volumes alone: a record of our own in which the point has no other.
 */
static int prune_some(struct release *release, const struct fs_uuid *id, struct fs_error *err)
{
    struct fs_record *cut = fs_record_copy(release->record);
    struct fs_record_point *point = cut ? fs_record_find_point(cut, id) : NULL;
    size_t n = 0;
    int rc;

    if (!point) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to release an image");
    }
    point->group_snapshot = false; /* image by image: the others keep theirs */
    for (size_t i = 0; i < point->n_contents; i++) {
        if (leaves(release, point, i)) {
            point->contents[n++] = point->contents[i];
        }
    }
    point->n_contents = n;
    rc = fs_prune_point(release->helpers, cut, point, err);
    fs_record_free(cut);
    return rc;
}

static int release_point(struct release *release, struct fs_record_point *point,
                         struct fs_error *err)
{
    const struct fs_uuid id = point->point.id;
    char name[FS_SNAP_NAME_SIZE];
    bool whole = point->state == FS_POINT_TAKING;
    int rc = whole ? fs_prune_point(release->helpers, release->record, point, err)
                   : prune_some(release, &id, err);

    if (rc < 0) {
        return rc;
    }
    fs_log(FS_EV_POINT_REMOVED, FS_S("group", release->record->name),
           FS_S("snapshot", fs_point_snap_name(&point->point, name)),
           FS_S("reason", whole ? "its volumes left" : "a volume left: on that one only"));
    for (size_t i = 0; !whole && i < point->n_contents; i++) {
        if (leaves(release, point, i)) {
            point->contents[i].snap_id = point->contents[i].mark_id = 0;
        }
    }
    if (whole) {
        fs_record_remove_point(release->record, &id);
    }
    return 0;
}

int fs_release_run(struct fs_site *site, struct fs_helpers *helpers, struct fs_record *record,
                   bool whole, bool removed_only, struct fs_error *err)
{
    struct release release = {.site = site, .helpers = helpers, .record = record};
    bool changed = false;
    int rc = find_leaving(&release, whole, removed_only, err);

    if (rc == 0) {
        rc = store_intent(&release, err);
    }
    for (size_t i = record->n_points; rc == 0 && i-- > 0;) {
        struct fs_record_point *point = &record->points[i];
        size_t stay;

        if (count_leaving(&release, point, &stay) > 0 &&
            !fs_holds_has(&site->holds, &point->point.id)) {
            rc = release_point(&release, point, err);
            changed = changed || rc == 0;
            fs_fault("release.gone");
        }
    }
    if (changed) {
        struct fs_error store_err = FS_ERROR_INIT;
        int stored = fs_state_store(site->state, record, &store_err);

        fs_fault("release.stored");
        if (rc == 0 && stored < 0) {
            *err = store_err;
            rc = stored;
        }
    }
    if (rc < 0) {
        fs_error_context(err, "release of group %s", record->name);
    }
    return rc;
}
