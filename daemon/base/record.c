/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fs_record *fs_record_new(void)
{
    return calloc(1, sizeof(struct fs_record));
}

static void point_fini(struct fs_record_point *point)
{
    free(point->contents);
    *point = (struct fs_record_point){0};
}

void fs_record_clear_incoming(struct fs_record *record)
{
    free(record->incoming.positions);
    record->incoming = (struct fs_record_incoming){0};
}

void fs_record_free(struct fs_record *record)
{
    if (!record) {
        return;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        fs_volume_fini(&record->volumes[i].volume);
    }
    free(record->volumes);
    for (size_t i = 0; i < record->n_points; i++) {
        point_fini(&record->points[i]);
    }
    free(record->points);
    fs_record_clear_incoming(record);
    free(record);
}

/* A copy of an array, NULL for an empty one; *ok turns false when out of memory. */
static void *copy_array(const void *array, size_t count, size_t size, bool *ok)
{
    if (count == 0) {
        return NULL;
    }

    void *copy = calloc(count, size);

    if (copy) {
        memcpy(copy, array, count * size);
    } else {
        *ok = false;
    }
    return copy;
}

static bool copy_volumes(const struct fs_record *record, struct fs_record *copy)
{
    if (record->n_volumes == 0) {
        return true;
    }
    copy->volumes = calloc(record->n_volumes, sizeof(*copy->volumes));
    if (!copy->volumes) {
        return false;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        struct fs_record_volume *volume = &copy->volumes[i];

        *volume = record->volumes[i];
        volume->volume.labels = NULL;
        copy->n_volumes = i + 1;
        if (fs_volume_copy(&record->volumes[i].volume, &volume->volume) < 0) {
            volume->volume.labels = NULL;
            return false;
        }
    }
    return true;
}

static bool copy_points(const struct fs_record *record, struct fs_record *copy)
{
    bool ok = true;

    if (record->n_points == 0) {
        return true;
    }
    copy->points = calloc(record->n_points, sizeof(*copy->points));
    if (!copy->points) {
        return false;
    }
    for (size_t i = 0; ok && i < record->n_points; i++) {
        const struct fs_record_point *from = &record->points[i];
        struct fs_record_point *to = &copy->points[i];

        *to = *from;
        to->contents = copy_array(from->contents, from->n_contents, sizeof(*from->contents), &ok);
        copy->n_points = i + 1;
    }
    return ok;
}

struct fs_record *fs_record_copy(const struct fs_record *record)
{
    struct fs_record *copy = fs_record_new();
    bool ok = true;

    if (!copy) {
        return NULL;
    }
    *copy = *record;
    copy->n_volumes = 0;
    copy->volumes = NULL;
    copy->n_points = 0;
    copy->points = NULL;
    copy->incoming.positions = copy_array(record->incoming.positions, record->incoming.n_positions,
                                          sizeof(*record->incoming.positions), &ok);
    if (!ok || !copy_volumes(record, copy) || !copy_points(record, copy)) {
        fs_record_free(copy);
        return NULL;
    }
    return copy;
}

struct fs_record_point *fs_record_find_point(struct fs_record *record, const struct fs_uuid *id)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (fs_uuid_equal(&record->points[i].point.id, id)) {
            return &record->points[i];
        }
    }
    return NULL;
}

struct fs_record_volume *fs_record_find_volume(struct fs_record *record, const struct fs_uuid *uuid)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (fs_uuid_equal(&record->volumes[i].volume.uuid, uuid)) {
            return &record->volumes[i];
        }
    }
    return NULL;
}

struct fs_record_volume *fs_record_find_image(struct fs_record *record,
                                              const struct fs_image_ref *ref)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (fs_image_ref_same(&record->volumes[i].volume.image, ref)) {
            return &record->volumes[i];
        }
    }
    return NULL;
}

const struct fs_record_content *fs_record_find_content(const struct fs_record_point *point,
                                                       const struct fs_uuid *volume)
{
    for (size_t i = 0; i < point->n_contents; i++) {
        if (fs_uuid_equal(&point->contents[i].volume, volume)) {
            return &point->contents[i];
        }
    }
    return NULL;
}

const struct fs_record_point *fs_record_find_seed(const struct fs_record *record,
                                                  const struct fs_uuid *volume)
{
    const struct fs_record_point *seed = NULL;

    for (size_t i = 0; record && i < record->n_points; i++) {
        const struct fs_record_point *point = &record->points[i];

        if (point->state == FS_POINT_SEED && fs_record_find_content(point, volume) &&
            (!seed || point->point.seq > seed->point.seq)) {
            seed = point;
        }
    }
    return seed;
}

const struct fs_record_content *fs_record_base_content(const struct fs_record *record,
                                                       const struct fs_record_point *base,
                                                       const struct fs_uuid *volume,
                                                       const struct fs_record_point **ret_point)
{
    const struct fs_record_content *content = base ? fs_record_find_content(base, volume) : NULL;

    if (base && !content) {
        base = fs_record_find_seed(record, volume);
        content = base ? fs_record_find_content(base, volume) : NULL;
    }
    if (ret_point) {
        *ret_point = content ? base : NULL;
    }
    return content;
}

const struct fs_record_point *fs_record_newest_committed(const struct fs_record *record)
{
    for (size_t i = record->n_points; i-- > 0;) {
        if (record->points[i].state == FS_POINT_COMMITTED) {
            return &record->points[i];
        }
    }
    return NULL;
}

uint64_t fs_record_incoming_reach(const struct fs_record *record, const struct fs_uuid *volume)
{
    const struct fs_record_incoming *incoming = &record->incoming;

    for (size_t i = 0; incoming->present && i < incoming->n_positions; i++) {
        if (fs_uuid_equal(&incoming->positions[i].volume, volume)) {
            uint64_t offset = incoming->positions[i].position.offset;

            return incoming->positions[i].reach > offset ? incoming->positions[i].reach : offset;
        }
    }
    return 0;
}

struct fs_record_point *fs_record_add_point(struct fs_record *record, size_t n_contents)
{
    if (record->n_points >= FS_POINTS_MAX || n_contents > FS_VOLUMES_MAX) {
        errno = E2BIG;
        return NULL;
    }

    struct fs_record_point *points =
        reallocarray(record->points, record->n_points + 1, sizeof(*points));

    if (!points) {
        return NULL;
    }
    record->points = points;

    struct fs_record_content *contents = NULL;

    if (n_contents > 0) {
        contents = calloc(n_contents, sizeof(*contents));
        if (!contents) {
            return NULL;
        }
    }

    struct fs_record_point *point = &points[record->n_points++];

    *point = (struct fs_record_point){.n_contents = n_contents, .contents = contents};
    return point;
}

void fs_record_remove_point(struct fs_record *record, const struct fs_uuid *id)
{
    struct fs_record_point *point = fs_record_find_point(record, id);

    if (!point) {
        return;
    }

    size_t after = record->n_points - (size_t)(point - record->points) - 1;

    point_fini(point);
    memmove(point, point + 1, after * sizeof(*point));
    record->n_points--;
}

struct fs_record_volume *fs_record_add_volume(struct fs_record *record,
                                              const struct fs_volume *volume)
{
    if (record->n_volumes >= FS_VOLUMES_MAX) {
        errno = E2BIG;
        return NULL;
    }

    struct fs_record_volume *volumes =
        reallocarray(record->volumes, record->n_volumes + 1, sizeof(*volumes));

    if (!volumes) {
        return NULL;
    }
    record->volumes = volumes;

    struct fs_record_volume *added = &volumes[record->n_volumes];

    *added = (struct fs_record_volume){0};
    if (fs_volume_copy(volume, &added->volume) < 0) {
        return NULL;
    }
    if (fs_uuid_is_zero(&added->volume.uuid)) {
        fs_uuid_random(&added->volume.uuid);
    }
    record->n_volumes++;
    return added;
}
