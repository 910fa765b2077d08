/* SPDX-License-Identifier: Apache-2.0 */
/* A volume that was a group of its own while it was copied becomes a member of another one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/record.h"

/* Before the points of the group's own, which keep their order. */
static int add_seed(struct fs_record *record, const struct fs_record_point *from)
{
    struct fs_record_point *point = fs_record_add_point(record, from->n_contents);

    if (!point) {
        return -errno;
    }
    struct fs_record_content *contents = point->contents;
    *point = *from;
    point->state = FS_POINT_SEED;
    point->objects = (struct fs_captured){0};
    point->contents = contents;
    memcpy(contents, from->contents, from->n_contents * sizeof(*contents));

    struct fs_record_point seed = *point;
    memmove(record->points + 1, record->points, (record->n_points - 1) * sizeof(seed));
    record->points[0] = seed;
    return 0;
}

static void end_seeds_of(struct fs_record *record, const struct fs_uuid *volume)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state == FS_POINT_SEED &&
            fs_record_find_content(&record->points[i], volume)) {
            record->points[i].state = FS_POINT_TAKING;
        }
    }
}

/*
 * The volume's image may hold anything, as its own group's record says, or that group was to be
 * compared: no transfer of the group goes on from where it was, each image goes back to its base,
 * or is compared.
 */
static int take_over_doubt(struct fs_record *record, const struct fs_record *joining,
                           const struct fs_uuid *volume)
{
    struct fs_record_incoming doubt = {.present = true, .n_positions = record->n_volumes};

    if (!joining->incoming.present) {
        return 0;
    }
    doubt.positions = calloc(record->n_volumes, sizeof(*doubt.positions));
    if (!doubt.positions) {
        return -ENOMEM;
    }
    doubt.point = joining->incoming.point;
    fs_uuid_random(&doubt.point.id);
    if (fs_record_is_resync(record) || fs_record_is_resync(joining)) {
        doubt.base = doubt.point.id;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        const struct fs_uuid *uuid = &record->volumes[i].volume.uuid;
        doubt.positions[i].volume = *uuid;
        doubt.positions[i].reach =
            fs_uuid_equal(uuid, volume) ? INT64_MAX : fs_record_incoming_reach(record, uuid);
    }
    fs_record_clear_incoming(record);
    record->incoming = doubt;
    return 0;
}

int fs_record_join(struct fs_record *record, const struct fs_record *joining)
{
    const struct fs_record_point *newest = fs_record_newest_committed(joining);

    if (joining->n_volumes != 1 || !newest) {
        return -EINVAL;
    }
    const struct fs_volume *joins = &joining->volumes[0].volume;
    struct fs_record_volume *volume = fs_record_find_volume(record, &joins->uuid);
    if (volume && !volume->gone && fs_record_find_point(record, &newest->point.id)) {
        return 0;
    }
    if (volume) { /* it was parted from it before a point had it, and what it was went on */
        volume->gone = false;
        end_seeds_of(record, &joins->uuid);
    } else {
        volume = fs_record_add_volume(record, joins);
    }
    if (!volume) {
        return -errno;
    }
    memcpy(volume->peer_identity, joining->volumes[0].peer_identity, sizeof(volume->peer_identity));
    if (record->next_seq < joining->next_seq) { /* new points are told from the seeds by theirs */
        record->next_seq = joining->next_seq;
    }
    for (size_t i = 0; i < joining->n_points; i++) {
        const struct fs_record_point *point = &joining->points[i];
        struct fs_record_point *known = fs_record_find_point(record, &point->point.id);
        if (known) { /* the same content */
            known->state = FS_POINT_SEED;
            continue;
        }
        int rc = add_seed(record, point);
        if (rc < 0) {
            return rc;
        }
    }
    return take_over_doubt(record, joining, &joins->uuid);
}

/* One that is committed, or (any) is to become, or was to become, a point of the group. */
static bool is_in_a_point(const struct fs_record *record, const struct fs_uuid *volume, bool any)
{
    for (size_t i = 0; i < record->n_points; i++) {
        const struct fs_record_point *point = &record->points[i];

        if ((any ? point->state != FS_POINT_SEED : point->state == FS_POINT_COMMITTED) &&
            fs_record_find_content(point, volume)) {
            return true;
        }
    }
    return false;
}

bool fs_record_is_joining(const struct fs_record *record, const struct fs_uuid *volume)
{
    return fs_record_find_seed(record, volume) && !is_in_a_point(record, volume, false);
}

/* What the points have of the volume; those that had nothing else go. */
static void strip(struct fs_record *record, const struct fs_uuid *volume)
{
    for (size_t i = record->n_points; i-- > 0;) {
        struct fs_record_point *point = &record->points[i];
        const struct fs_uuid id = point->point.id;

        for (size_t k = point->n_contents; k-- > 0;) {
            if (fs_uuid_equal(&point->contents[k].volume, volume)) {
                point->n_contents--;
                memmove(&point->contents[k], &point->contents[k + 1],
                        (point->n_contents - k) * sizeof(*point->contents));
            }
        }
        if (point->n_contents == 0) {
            fs_record_remove_point(record, &id);
        }
    }
}

void fs_record_unjoin(struct fs_record *record, bool whole)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        const struct fs_uuid volume = record->volumes[i].volume.uuid;

        if (fs_record_is_joining(record, &volume) &&
            (whole || !is_in_a_point(record, &volume, true))) {
            record->volumes[i].gone = true;
            if (whole) {
                strip(record, &volume);
            }
        }
    }
}

static bool is_stale(struct fs_record *record, const struct fs_record_point *seed)
{
    const struct fs_uuid *volume = &seed->contents[0].volume;
    const struct fs_record_volume *known = fs_record_find_volume(record, volume);

    return (!known || known->gone) && !is_in_a_point(record, volume, true);
}

void fs_record_drop_stale_seeds(struct fs_record *record)
{
    for (size_t i = record->n_points; i-- > 0;) {
        const struct fs_record_point *point = &record->points[i];
        const struct fs_uuid id = point->point.id;

        if (point->state == FS_POINT_SEED && (point->n_contents == 0 || is_stale(record, point))) {
            fs_record_remove_point(record, &id);
        }
    }
}

void fs_record_end_seeds(struct fs_record *record, const struct fs_record_point *point)
{
    for (size_t i = 0; i < point->n_contents; i++) {
        end_seeds_of(record, &point->contents[i].volume);
    }
}
