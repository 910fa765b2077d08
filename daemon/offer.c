/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/offer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct fs_record_point *find_point(const struct fs_record *record,
                                                const struct fs_uuid *id)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (fs_uuid_equal(&record->points[i].point.id, id)) {
            return &record->points[i];
        }
    }
    return NULL;
}

static const struct fs_record_volume *find_volume(const struct fs_record *record,
                                                  const struct fs_uuid *uuid)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (fs_uuid_equal(&record->volumes[i].volume.uuid, uuid)) {
            return &record->volumes[i];
        }
    }
    return NULL;
}

static int add_volumes(const struct fs_record *record, const struct fs_record_point *point,
                       const char *fsid, struct fs_offer *offer, struct fs_error *err)
{
    offer->volumes = calloc(point->n_contents, sizeof(*offer->volumes));
    if (!offer->volumes) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        const struct fs_record_content *content = &point->contents[i];
        const struct fs_record_volume *volume = find_volume(record, &content->volume);
        if (!volume) {
            return fs_error_set(err, FS_ERR_BUG, EINVAL,
                                "the record of group %s holds a point of a volume that it does "
                                "not know: please report it",
                                record->name);
        }
        struct fs_offer_volume *out = &offer->volumes[offer->n_volumes];
        if (fs_volume_copy(&volume->volume, &out->volume) < 0) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        }
        const struct fs_record_point *seed = fs_record_find_seed(record, &content->volume);
        if (seed) {
            out->seed = seed->point.id;
        }
        const struct fs_image_ref *image = &volume->volume.image;
        (void)snprintf(out->identity, sizeof(out->identity), "%.40s/%" PRId64 "/%.120s/%.60s", fsid,
                       image->pool_id, image->ns, image->image_id);
        out->geometry = content->geometry;
        offer->n_volumes++;
    }
    return 0;
}

static int add_held(const struct fs_record *record, const struct fs_record_point *point,
                    struct fs_offer *offer, struct fs_error *err)
{
    if (record->n_points == 0) {
        return 0;
    }
    offer->held = calloc(record->n_points, sizeof(*offer->held));
    if (!offer->held) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < record->n_points; i++) {
        const struct fs_record_point *other = &record->points[i];
        if (other->state >= FS_POINT_COMPLETE && other->point.seq < point->point.seq) {
            offer->held[offer->n_held++] = other->point.id;
        }
    }
    return 0;
}

int fs_offer_build(const struct fs_record *record, const struct fs_uuid *id, const char *fsid,
                   int64_t taken_age_ns, int64_t interval_ns, struct fs_offer *ret_offer,
                   struct fs_error *err)
{
    const struct fs_record_point *point = find_point(record, id);

    *ret_offer = (struct fs_offer){0};
    if (!point || point->n_contents == 0) {
        return fs_error_set(err, FS_ERR_BUG, EINVAL,
                            "the record of group %s lost a point: please report it", record->name);
    }
    ret_offer->group = record->group;
    memcpy(ret_offer->name, record->name, sizeof(ret_offer->name));
    memcpy(ret_offer->policy, record->policy, sizeof(ret_offer->policy));
    ret_offer->term = record->term;
    ret_offer->point = point->point;
    ret_offer->flags = point->flags;
    ret_offer->taken_age_ns = taken_age_ns > 0 ? (uint64_t)taken_age_ns : 0;
    ret_offer->interval_ns = interval_ns > 0 ? (uint64_t)interval_ns : 0;
    ret_offer->record_version = record->version;
    ret_offer->peer_version = record->peer_version;
    ret_offer->objects = point->objects;
    ret_offer->joins = record->joins;
    int rc = add_volumes(record, point, fsid, ret_offer, err);
    if (rc == 0) {
        rc = add_held(record, point, ret_offer, err);
    }
    if (rc < 0) {
        fs_offer_fini(ret_offer);
        *ret_offer = (struct fs_offer){0};
    }
    return rc;
}

int fs_offer_fit(struct fs_offer *offer, uint64_t features, struct fs_error *err)
{
    if (!(features & FS_FEATURE_OBJECTS)) {
        offer->objects = (struct fs_captured){0};
    }
    if (!(features & FS_FEATURE_APPLICATION)) {
        offer->flags &= ~FS_POINT_APPLICATION;
    }
    if (features & FS_FEATURE_JOIN) {
        return 0;
    }
    offer->joins = (struct fs_uuid){0};
    for (size_t i = 0; i < offer->n_volumes; i++) {
        if (!fs_uuid_is_zero(&offer->volumes[i].seed)) {
            return fs_error_set(err, FS_ERR_CONFIG, EPROTONOSUPPORT,
                                "volume %.200s has just joined group %.200s, and the other site's "
                                "Farshore is too old to know what it has of it: upgrade it",
                                offer->volumes[i].volume.image.name, offer->name);
        }
    }
    return 0;
}
