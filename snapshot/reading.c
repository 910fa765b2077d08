/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "snapshot/alloc.h"
#include "snapshot/reading_private.h"

/* --- open ----------------------------------------------------------------------------------- */

static void close_images(struct reading *reading)
{
    for (size_t i = 0; i < reading->n_volumes; i++) {
        struct volume *volume = &reading->volumes[i];

        if (volume->diff_ready) {
            fs_diff_fini(&volume->diff);
        }
        fs_objects_close(&volume->objects);
        fs_image_close(&volume->image);
    }
}

static void free_reading(struct reading *reading)
{
    free(reading->volumes);
    free(reading);
}

/* The name of the snapshot that the diff starts from; "" from the beginning. */
static int find_from(const struct volume *volume, const struct fs_snap_list *snaps,
                     const char **ret_name, struct fs_error *err)
{
    *ret_name = "";
    if (!volume->from_id) {
        return 0;
    }

    const struct fs_snap *snap = fs_snap_list_find(snaps, volume->from_id);

    if (!snap || snap->type != RBD_SNAP_NAMESPACE_TYPE_USER || snap->name[0] == '\0') {
        return fs_error_set(err, FS_ERR_PERMANENT, ENODATA,
                            "snapshot %" PRIu64 " of the base is gone: somebody removed it, and "
                            "changes since cannot be told any more",
                            volume->from_id);
    }
    *ret_name = snap->name;
    return 0;
}

static int set_up_diff(struct volume *volume, const struct fs_snap_list *snaps,
                       struct fs_error *err)
{
    const char *from;
    char why[128];
    bool fast;
    uint64_t size;

    if (!fs_snap_list_find(snaps, volume->snap_id)) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT,
                            "snapshot %" PRIu64 " of the point is gone: somebody removed it",
                            volume->snap_id);
    }

    int rc = find_from(volume, snaps, &from, err);

    if (rc == 0) { /* this leaves the handle at the point's snapshot */
        rc = fs_image_fast_diff_valid(&volume->image, snaps, volume->from_id, volume->snap_id,
                                      &fast, why, sizeof(why), err);
    }
    if (rc < 0) {
        return rc;
    }
    rc = rbd_get_size(volume->image.handle, &size);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the size at the point");
    }
    if (size != volume->size) {
        return fs_error_set(err, FS_ERR_DATA, EUCLEAN,
                            "snapshot %" PRIu64 " has %" PRIu64 " bytes, the record says %" PRIu64,
                            volume->snap_id, size, volume->size);
    }
    fast = fast && !volume->older_snapshot;
    rc = fs_diff_init(&volume->diff, volume->image.handle, from, size, fast, err);
    volume->diff_ready = rc == 0;
    if (rc == 0 && from && !fast) {
        rc = fs_diff_skip_absent(&volume->diff, &volume->image, volume->from_id, volume->snap_id,
                                 err);
    }
    return rc;
}

static int open_volume(struct volume *volume, struct fs_error *err)
{
    struct fs_snap_list snaps;
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc = fs_image_open(volume->reading->context.cluster, &volume->ref, FS_IMAGE_READ,
                           &volume->image, err);

    if (rc < 0) {
        return rc;
    }
    rc = fs_snap_list_load(&volume->image, &snaps, err);
    if (rc == 0) {
        rc = set_up_diff(volume, &snaps, err);
        fs_snap_list_fini(&snaps);
    }
    if (rc == 0 && volume->reading->context.object_io) {
        rc = fs_objects_open_read(&volume->image, volume->snap_id, &volume->objects, err);
    }
    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(&volume->ref, spec));
    }
    return rc;
}

static void open_run(struct fs_job *job)
{
    struct reading *reading = (struct reading *)((char *)job - offsetof(struct reading, job));
    int rc = fs_error_is_set(&reading->err) ? -reading->err.code : 0;

    for (size_t i = 0; rc == 0 && i < reading->n_volumes; i++) {
        rc = open_volume(&reading->volumes[i], &reading->err);
    }
    if (rc < 0) {
        close_images(reading);
    }
}

static void open_done(struct fs_job *job)
{
    struct reading *reading = (struct reading *)((char *)job - offsetof(struct reading, job));

    if (fs_error_is_set(&reading->err)) {
        reading->opened(reading->arg, NULL, &reading->err);
        free_reading(reading);
    } else {
        reading->opened(reading->arg, &reading->base, &reading->err);
    }
}

/* Copy what the open job needs out of the record. */
static int fill_volumes(struct reading *reading, const struct fs_record *record,
                        const struct fs_uuid *point_id, const struct fs_uuid *base_id,
                        struct fs_error *err)
{
    struct fs_record *lookup = (struct fs_record *)record; /* the finders change nothing */
    const struct fs_record_point *point = fs_record_find_point(lookup, point_id);
    const struct fs_record_point *base =
        base_id && !fs_uuid_is_zero(base_id) ? fs_record_find_point(lookup, base_id) : NULL;

    if (!point || (base_id && !fs_uuid_is_zero(base_id) && !base)) {
        return fs_error_set(err, FS_ERR_PERMANENT, point ? ENODATA : ENOENT,
                            "the record does not hold the %s", point ? "base" : "point");
    }
    reading->volumes = calloc(point->n_contents, sizeof(*reading->volumes));
    if (!reading->volumes) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to open a point");
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        const struct fs_record_content *content = &point->contents[i];
        const struct fs_record_volume *known = fs_record_find_volume(lookup, &content->volume);
        const struct fs_record_content *from =
            fs_record_base_content(record, base, &content->volume, NULL);
        struct volume *volume = &reading->volumes[i];

        if (!known) {
            return fs_error_set(err, FS_ERR_BUG, EINVAL, "a point holds a volume without an entry");
        }
        if (from && !from->mark_id) {
            return fs_error_set(err, FS_ERR_PERMANENT, ENODATA,
                                "the snapshot of the base was given up while the volume was not in "
                                "the group");
        }
        *volume = (struct volume){.reading = reading,
                                  .ref = known->volume.image,
                                  .snap_id = content->snap_id,
                                  .from_id = from ? from->mark_id : 0,
                                  .older_snapshot = from && from->older_snapshot,
                                  .size = content->geometry.size};
    }
    reading->n_volumes = point->n_contents;
    return 0;
}

void fs_reading_open(const struct fs_reading_context *context, const struct fs_record *record,
                     const struct fs_uuid *point, const struct fs_uuid *base, fs_reading_fn *done,
                     void *arg)
{
    struct reading *reading = fs_operation_new(sizeof(*reading));

    reading->base.ops = context->ops;
    reading->context = *context;
    reading->opened = done;
    reading->arg = arg;
    fill_volumes(reading, record, point, base, &reading->err); /* the job hands an error on */
    reading->job = (struct fs_job){.run = open_run, .done = open_done};
    fs_pool_submit(context->blocking, &reading->job);
}

/* --- close ---------------------------------------------------------------------------------- */

static void close_run(struct fs_job *job)
{
    close_images((struct reading *)((char *)job - offsetof(struct reading, job)));
}

static void close_done(struct fs_job *job)
{
    struct reading *reading = (struct reading *)((char *)job - offsetof(struct reading, job));
    fs_io_fn *closed = reading->closed;
    void *arg = reading->arg;

    free_reading(reading);
    if (closed) {
        closed(arg, &FS_ERROR_INIT);
    }
}

static void close_if_idle(struct reading *reading)
{
    if (reading->closing && reading->in_flight == 0) {
        reading->closing = false; /* once */
        reading->job = (struct fs_job){.run = close_run, .done = close_done};
        fs_pool_submit(reading->context.blocking, &reading->job);
    }
}

void fs_reading_leave(struct reading *reading)
{
    reading->in_flight--;
    close_if_idle(reading);
}

void fs_reading_close(struct fs_reading *base, fs_io_fn *done, void *arg)
{
    struct reading *reading = fs_reading_of(base);

    reading->closing = true;
    reading->closed = done;
    reading->arg = arg;
    close_if_idle(reading);
}

/* --- list ----------------------------------------------------------------------------------- */

static void list_run(struct fs_job *job)
{
    struct list_job *list_job = (struct list_job *)((char *)job - offsetof(struct list_job, job));
    struct volume *volume = list_job->volume;
    struct fs_extent_list *list = list_job->list;
    char spec[FS_IMAGE_SPEC_SIZE];

    if (fs_diff_list(&volume->diff, list_job->from, list->extents, list->capacity, &list->count,
                     &list->next, &list_job->err) < 0) {
        fs_error_context(&list_job->err, "image %s", fs_image_spec(&volume->ref, spec));
    }
}

static void list_done(struct fs_job *job)
{
    struct list_job *list_job = (struct list_job *)((char *)job - offsetof(struct list_job, job));
    struct reading *reading = list_job->volume->reading;
    fs_list_fn *done = list_job->done;
    struct fs_error err = list_job->err;

    list_job->done = NULL; /* done may ask for the next batch, or close */
    done(list_job->arg, list_job->list, &err);
    fs_reading_leave(reading);
}

void fs_reading_list(struct fs_reading *base, unsigned index, uint64_t from,
                     struct fs_extent_list *list, fs_list_fn *done, void *arg)
{
    struct reading *reading = fs_reading_of(base);

    assert(index < reading->n_volumes);

    struct volume *volume = &reading->volumes[index];

    assert(!volume->list.done);
    volume->list = (struct list_job){.job = {.run = list_run, .done = list_done},
                                     .volume = volume,
                                     .from = from,
                                     .list = list,
                                     .done = done,
                                     .arg = arg};
    reading->in_flight++;
    fs_pool_submit(reading->context.blocking, &volume->list.job);
}
