/* SPDX-License-Identifier: Apache-2.0 */
/* A record as JSON. Its counterpart is record_decode.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/record_json.h"
#include "farshore/record.h"

/* Steals value; a NULL one or a failure leaves *ok false. */
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
    if (json_object_set_new_nocheck(object, key, value) < 0) {
        *ok = false;
    }
}

/* JSON's integers end at 2^63: what is above is text. */
static json_t *from_u64(uint64_t value)
{
    if (value <= INT64_MAX) {
        return json_integer((json_int_t)value);
    }
    return json_sprintf("%" PRIu64, value);
}

/* The names of images may be any bytes, JSON's strings are UTF-8: other bytes go as hex. */
static json_t *from_text(const char *text)
{
    json_t *string = json_string(text);

    if (string) {
        return string;
    }

    size_t length = strlen(text);
    char *hex = malloc(2 * length + 1);

    if (!hex) {
        return NULL;
    }
    for (size_t i = 0; i < length; i++) {
        static const char digits[] = "0123456789abcdef";

        hex[2 * i] = digits[(unsigned char)text[i] >> 4];
        hex[2 * i + 1] = digits[(unsigned char)text[i] & 15];
    }
    hex[2 * length] = '\0';

    json_t *object = json_pack("{s:s}", RECORD_HEX_KEY, hex);

    free(hex);
    return object;
}

static json_t *from_uuid(const struct fs_uuid *uuid)
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(uuid, text);
    return json_string(text);
}

static json_t *from_digest(const struct fs_digest *digest)
{
    char text[FS_DIGEST_TEXT];

    fs_digest_format(digest, text);
    return json_string(text);
}

/* Gives back the object, or NULL where filling it failed. */
static json_t *finish(json_t *object, bool ok)
{
    if (!ok) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *from_term(const struct fs_term *term)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "number", from_u64(term->number), &ok);
    put(object, "site", from_uuid(&term->site), &ok);
    return finish(object, ok);
}

static json_t *from_point_id(const struct fs_point_id *point)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "id", from_uuid(&point->id), &ok);
    put(object, "term", from_term(&point->term), &ok);
    put(object, "seq", from_u64(point->seq), &ok);
    return finish(object, ok);
}

static json_t *from_image(const struct fs_image_ref *image)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "pool_id", json_integer(image->pool_id), &ok);
    put(object, "pool", from_text(image->pool), &ok);
    put(object, "namespace", from_text(image->ns), &ok);
    put(object, "id", from_text(image->image_id), &ok);
    put(object, "name", from_text(image->name), &ok);
    return finish(object, ok);
}

static json_t *from_volume(const struct fs_record_volume *volume)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "uuid", from_uuid(&volume->volume.uuid), &ok);
    put(object, "image", from_image(&volume->volume.image), &ok);
    put(object, "pvc_namespace", from_text(volume->volume.pvc_namespace), &ok);
    put(object, "pvc", from_text(volume->volume.pvc), &ok);
    put(object, "vm", from_text(volume->volume.vm), &ok);
    if (volume->volume.labels) {
        put(object, "labels", from_text(volume->volume.labels), &ok);
    }
    put(object, "peer_identity", from_text(volume->peer_identity), &ok);
    put(object, "gone", json_boolean(volume->gone), &ok);
    return finish(object, ok);
}

static json_t *from_geometry(const struct fs_geometry *geometry)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "size", from_u64(geometry->size), &ok);
    put(object, "order", from_u64(geometry->order), &ok);
    put(object, "stripe_unit", from_u64(geometry->stripe_unit), &ok);
    put(object, "stripe_count", from_u64(geometry->stripe_count), &ok);
    return finish(object, ok);
}

static json_t *from_content(const struct fs_record_content *content)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "volume", from_uuid(&content->volume), &ok);
    put(object, "snap", from_u64(content->snap_id), &ok);
    put(object, "mark", from_u64(content->mark_id), &ok);
    put(object, "geometry", from_geometry(&content->geometry), &ok);
    put(object, "chain", from_digest(&content->chain), &ok);
    put(object, "older_snapshot", json_boolean(content->older_snapshot), &ok);
    return finish(object, ok);
}

static json_t *from_captured(const struct fs_captured *captured)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "digest", from_digest(&captured->digest), &ok);
    put(object, "size", json_integer(captured->size), &ok);
    put(object, "stale", json_boolean(captured->stale), &ok);
    return finish(object, ok);
}

static json_t *from_point(const struct fs_record_point *point)
{
    json_t *object = json_object();
    json_t *contents = json_array();
    bool ok = object && contents;

    put(object, "point", from_point_id(&point->point), &ok);
    put(object, "state", json_string(fs_record_point_states[point->state]), &ok);
    put(object, "flags", from_u64(point->flags), &ok);
    put(object, "taken_ns", json_integer(point->taken_ns), &ok);
    put(object, "group_snapshot", json_boolean(point->group_snapshot), &ok);
    put(object, "group_pool", from_text(point->group_pool), &ok);
    put(object, "group_namespace", from_text(point->group_ns), &ok);
    put(object, "bytes", from_u64(point->bytes), &ok);
    if (point->objects.size > 0) {
        put(object, "objects", from_captured(&point->objects), &ok);
    }
    for (size_t i = 0; ok && i < point->n_contents; i++) {
        ok = json_array_append_new(contents, from_content(&point->contents[i])) == 0;
    }
    put(object, "contents", contents, &ok);
    return finish(object, ok);
}

static json_t *from_incoming(const struct fs_record_incoming *incoming)
{
    json_t *object = json_object();
    json_t *positions = json_array();
    bool ok = object && positions;

    put(object, "point", from_point_id(&incoming->point), &ok);
    put(object, "base", from_uuid(&incoming->base), &ok);
    for (size_t i = 0; ok && i < incoming->n_positions; i++) {
        json_t *position = json_object();

        ok = position;
        put(position, "volume", from_uuid(&incoming->positions[i].volume), &ok);
        put(position, "offset", from_u64(incoming->positions[i].position.offset), &ok);
        put(position, "chain", from_digest(&incoming->positions[i].position.chain), &ok);
        if (incoming->positions[i].reach > 0) {
            put(position, "reach", from_u64(incoming->positions[i].reach), &ok);
        }
        if (json_array_append_new(positions, position) < 0) {
            ok = false;
        }
    }
    put(object, "positions", positions, &ok);
    return finish(object, ok);
}

static json_t *from_promotion(const struct fs_record_promotion *promotion)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "point", from_uuid(&promotion->point), &ok);
    return finish(object, ok);
}

static json_t *from_bring_up(const struct fs_record_bring_up *bring_up)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "point", from_uuid(&bring_up->point), &ok);
    return finish(object, ok);
}

static json_t *from_following(const struct fs_record_following *following)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "from", from_term(&following->from), &ok);
    return finish(object, ok);
}

static json_t *from_grant(const struct fs_record_grant *grant)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "term", from_term(&grant->term), &ok);
    put(object, "point", from_uuid(&grant->point), &ok);
    return finish(object, ok);
}

static void put_arrays(json_t *object, const struct fs_record *record, bool *ok)
{
    json_t *volumes = json_array();
    json_t *points = json_array();

    for (size_t i = 0; *ok && i < record->n_volumes; i++) {
        *ok = json_array_append_new(volumes, from_volume(&record->volumes[i])) == 0;
    }
    for (size_t i = 0; *ok && i < record->n_points; i++) {
        *ok = json_array_append_new(points, from_point(&record->points[i])) == 0;
    }
    put(object, "volumes", volumes, ok);
    put(object, "points", points, ok);
    if (record->incoming.present) {
        put(object, "incoming", from_incoming(&record->incoming), ok);
    }
    if (record->promotion.present) {
        put(object, "promotion", from_promotion(&record->promotion), ok);
    }
    if (record->following.present) {
        put(object, "following", from_following(&record->following), ok);
    }
    if (record->grant.present) {
        put(object, "grant", from_grant(&record->grant), ok);
    }
    if (record->fence) {
        put(object, "fence", json_true(), ok);
    }
    if (!fs_uuid_is_zero(&record->joins)) {
        put(object, "joins", from_uuid(&record->joins), ok);
    }
    if (record->bring_up.present) {
        put(object, "bring_up", from_bring_up(&record->bring_up), ok);
    }
    if (record->fence_users) {
        put(object, "fence_users", json_true(), ok);
    }
    if (record->quiesced) {
        put(object, "quiesced", from_u64(record->quiesced), ok);
    }
}

char *fs_record_encode(const struct fs_record *record)
{
    json_t *object = json_object();
    bool ok = object;

    put(object, "format", json_integer(FS_RECORD_FORMAT), &ok);
    put(object, "group", from_uuid(&record->group), &ok);
    put(object, "name", from_text(record->name), &ok);
    put(object, "policy", from_text(record->policy), &ok);
    put(object, "peer", from_text(record->peer), &ok);
    put(object, "role", json_string(fs_role_name(record->role)), &ok);
    put(object, "term", from_term(&record->term), &ok);
    put(object, "next_seq", from_u64(record->next_seq), &ok);
    put(object, "interval_ns", json_integer(record->interval_ns), &ok);
    put(object, "paused", json_boolean(record->paused), &ok);
    put(object, "peer_term", from_term(&record->peer_term), &ok);
    put(object, "peer_version", from_u64(record->peer_version), &ok);
    put_arrays(object, record, &ok);

    char *text = ok ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}
