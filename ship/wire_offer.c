/* SPDX-License-Identifier: Apache-2.0 */
/* OFFER, and what answers it: ACCEPT and REFUSE. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ship/codec.h"

#define UUID_SIZE 16
/* uuid, pool id, five empty strings and three more, geometry: less cannot be one. */
#define OFFER_VOLUME_SIZE_MIN (UUID_SIZE + 8 + 9 * 2 + 8 + 1 + 8 + 8)
#define ORDER_MIN             12
#define ORDER_MAX             25
#define STRIPE_COUNT_MAX      65536
#define POINT_FLAGS           (FS_POINT_NOT_ONE_INSTANT | FS_POINT_VOLUME_MISSING | FS_POINT_APPLICATION)
/* Of the message alone: the point's Kubernetes objects are named at its end. */
#define OFFER_OBJECTS       (1u << 8)
#define OFFER_OBJECTS_STALE (1u << 9)
/* Of the message alone: behind those, the group that it joins, and the seed of each volume. */
#define OFFER_JOIN (1u << 10)
#define OFFER_BITS (OFFER_OBJECTS | OFFER_OBJECTS_STALE | OFFER_JOIN)

static void term_encode(const struct fs_term *term, struct fs_buf *buf)
{
    fs_buf_put_u64(buf, term->number);
    fs_buf_put_uuid(buf, &term->site);
}

static struct fs_term term_decode(struct fs_cursor *cursor)
{
    struct fs_term term;
    term.number = fs_cursor_get_u64(cursor);
    term.site = fs_cursor_get_uuid(cursor);
    if (term.number == 0 || fs_uuid_is_zero(&term.site)) {
        cursor->failed = true;
    }
    return term;
}

static void volume_encode(const struct fs_offer_volume *offered, struct fs_buf *buf)
{
    const struct fs_volume *volume = &offered->volume;
    fs_buf_put_uuid(buf, &volume->uuid);
    fs_buf_put_u64(buf, (uint64_t)volume->image.pool_id);
    fs_buf_put_string(buf, volume->image.pool);
    fs_buf_put_string(buf, volume->image.ns);
    fs_buf_put_string(buf, volume->image.image_id);
    fs_buf_put_string(buf, volume->image.name);
    fs_buf_put_string(buf, volume->pvc_namespace);
    fs_buf_put_string(buf, volume->pvc);
    fs_buf_put_string(buf, volume->vm);
    const char *labels = volume->labels == NULL ? "" : volume->labels;
    if (strlen(labels) > FS_LABELS_MAX) {
        buf->failed = true;
        return;
    }
    fs_buf_put_string(buf, labels);
    fs_buf_put_string(buf, offered->identity);
    fs_buf_put_u64(buf, offered->geometry.size);
    fs_buf_put_u8(buf, offered->geometry.order);
    fs_buf_put_u64(buf, offered->geometry.stripe_unit);
    fs_buf_put_u64(buf, offered->geometry.stripe_count);
}

static bool geometry_valid(const struct fs_geometry *geometry)
{
    if (geometry->order < ORDER_MIN || geometry->order > ORDER_MAX || geometry->size > INT64_MAX) {
        return false;
    }
    uint64_t object = UINT64_C(1) << geometry->order;
    return geometry->stripe_unit > 0 && geometry->stripe_unit <= object &&
           object % geometry->stripe_unit == 0 && geometry->stripe_count > 0 &&
           geometry->stripe_count <= STRIPE_COUNT_MAX;
}

/* Fails the cursor; what was read so far stays for fs_offer_fini. */
static void volume_decode(struct fs_cursor *cursor, struct fs_offer_volume *offered)
{
    struct fs_volume *volume = &offered->volume;
    volume->uuid = fs_cursor_get_uuid(cursor);
    volume->image.pool_id = (int64_t)fs_cursor_get_u64(cursor);
    fs_codec_get_text(cursor, volume->image.pool, sizeof(volume->image.pool), FS_TEXT_NOT_EMPTY);
    fs_codec_get_text(cursor, volume->image.ns, sizeof(volume->image.ns), FS_TEXT_MAY_BE_EMPTY);
    fs_codec_get_text(cursor, volume->image.image_id, sizeof(volume->image.image_id),
                      FS_TEXT_NOT_EMPTY);
    fs_codec_get_text(cursor, volume->image.name, sizeof(volume->image.name), FS_TEXT_NOT_EMPTY);
    fs_codec_get_text(cursor, volume->pvc_namespace, sizeof(volume->pvc_namespace),
                      FS_TEXT_MAY_BE_EMPTY);
    fs_codec_get_text(cursor, volume->pvc, sizeof(volume->pvc), FS_TEXT_MAY_BE_EMPTY);
    fs_codec_get_text(cursor, volume->vm, sizeof(volume->vm), FS_TEXT_MAY_BE_EMPTY);
    volume->labels = fs_cursor_get_string_dup(cursor, FS_LABELS_MAX);
    if (volume->labels != NULL) {
        if (!fs_codec_text_valid(volume->labels)) {
            cursor->failed = true;
        }
        if (volume->labels[0] == '\0') {
            free(volume->labels);
            volume->labels = NULL;
        }
    }
    fs_codec_get_text(cursor, offered->identity, sizeof(offered->identity), FS_TEXT_NOT_EMPTY);
    offered->geometry.size = fs_cursor_get_u64(cursor);
    offered->geometry.order = fs_cursor_get_u8(cursor);
    offered->geometry.stripe_unit = fs_cursor_get_u64(cursor);
    offered->geometry.stripe_count = fs_cursor_get_u64(cursor);
    if (fs_uuid_is_zero(&volume->uuid) || volume->image.pool_id < 0 ||
        !geometry_valid(&offered->geometry)) {
        cursor->failed = true;
    }
}

static bool has_join(const struct fs_offer *offer)
{
    bool has = !fs_uuid_is_zero(&offer->joins);

    for (size_t i = 0; i < offer->n_volumes; i++) {
        has = has || !fs_uuid_is_zero(&offer->volumes[i].seed);
    }
    return has;
}

void fs_offer_encode(const struct fs_offer *message, struct fs_buf *buf)
{
    assert(message->n_held <= FS_POINTS_MAX);
    assert(message->n_volumes > 0 && message->n_volumes <= FS_VOLUMES_MAX);
    fs_buf_put_uuid(buf, &message->group);
    fs_buf_put_string(buf, message->name);
    fs_buf_put_string(buf, message->policy);
    term_encode(&message->term, buf);
    fs_buf_put_uuid(buf, &message->point.id);
    term_encode(&message->point.term, buf);
    fs_buf_put_u64(buf, message->point.seq);
    uint32_t flags =
        message->flags | (message->objects.size > 0 ? OFFER_OBJECTS : 0) |
        (message->objects.size > 0 && message->objects.stale ? OFFER_OBJECTS_STALE : 0) |
        (has_join(message) ? OFFER_JOIN : 0);
    fs_buf_put_u32(buf, flags);
    fs_buf_put_u64(buf, message->taken_age_ns);
    fs_buf_put_u64(buf, message->interval_ns);
    fs_buf_put_u64(buf, message->record_version);
    fs_buf_put_u64(buf, message->peer_version);
    fs_buf_put_u16(buf, (uint16_t)message->n_held);
    for (size_t i = 0; i < message->n_held; i++) {
        fs_buf_put_uuid(buf, &message->held[i]);
    }
    fs_buf_put_u16(buf, (uint16_t)message->n_volumes);
    for (size_t i = 0; i < message->n_volumes; i++) {
        volume_encode(&message->volumes[i], buf);
    }
    if (message->objects.size > 0) {
        fs_codec_put_digest(buf, &message->objects.digest);
        fs_buf_put_u32(buf, message->objects.size);
    }
    if (has_join(message)) {
        fs_buf_put_uuid(buf, &message->joins);
        for (size_t i = 0; i < message->n_volumes; i++) {
            const struct fs_offer_volume *offered = &message->volumes[i];
            fs_buf_put_uuid(buf, &offered->seed);
        }
    }
}

/* *ret_join: what is at the end says what joins. */
static int head_decode(struct fs_cursor *cursor, struct fs_offer *offer, bool *ret_join,
                       struct fs_error *err)
{
    offer->group = fs_cursor_get_uuid(cursor);
    fs_codec_get_text(cursor, offer->name, sizeof(offer->name), FS_TEXT_NOT_EMPTY);
    fs_codec_get_text(cursor, offer->policy, sizeof(offer->policy), FS_TEXT_NOT_EMPTY);
    offer->term = term_decode(cursor);
    offer->point.id = fs_cursor_get_uuid(cursor);
    offer->point.term = term_decode(cursor);
    offer->point.seq = fs_cursor_get_u64(cursor);
    uint32_t flags = fs_cursor_get_u32(cursor);
    /* What is at the end says the size; until then it only says that there is something. */
    offer->objects.size = (flags & OFFER_OBJECTS) != 0;
    offer->objects.stale = (flags & OFFER_OBJECTS_STALE) != 0;
    *ret_join = (flags & OFFER_JOIN) != 0;
    offer->flags = flags & ~OFFER_BITS;
    offer->taken_age_ns = fs_cursor_get_u64(cursor);
    offer->interval_ns = fs_cursor_get_u64(cursor);
    offer->record_version = fs_cursor_get_u64(cursor);
    offer->peer_version = fs_cursor_get_u64(cursor);
    if (cursor->failed) {
        return fs_codec_fail(err, "OFFER",
                             "a field is missing, a name is not valid text or a "
                             "term is zero");
    }
    if (fs_uuid_is_zero(&offer->group) || fs_uuid_is_zero(&offer->point.id)) {
        return fs_codec_fail(err, "OFFER", "the group or the point has no identity");
    }
    if ((offer->flags & ~POINT_FLAGS) != 0) {
        return fs_codec_fail(err, "OFFER", "unknown flags of the point (0x%x)", offer->flags);
    }
    if (offer->objects.stale && offer->objects.size == 0) {
        return fs_codec_fail(err, "OFFER", "objects are stale that are not there");
    }
    if (offer->taken_age_ns > INT64_MAX || offer->interval_ns > INT64_MAX) {
        return fs_codec_fail(err, "OFFER", "an age or the interval is impossible");
    }
    return 0;
}

static int held_decode(struct fs_cursor *cursor, struct fs_offer *offer, struct fs_error *err)
{
    size_t count = fs_cursor_get_u16(cursor);
    if (cursor->failed || count > FS_POINTS_MAX || fs_cursor_left(cursor) / UUID_SIZE < count) {
        return fs_codec_fail(err, "OFFER", "%zu points are held", count);
    }
    if (count == 0) {
        return 0;
    }
    offer->held = calloc(count, sizeof(*offer->held));
    if (offer->held == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    offer->n_held = count;
    for (size_t i = 0; i < count; i++) {
        offer->held[i] = fs_cursor_get_uuid(cursor);
        if (fs_uuid_is_zero(&offer->held[i])) {
            return fs_codec_fail(err, "OFFER", "a point that is held has no identity");
        }
    }
    return 0;
}

static int volumes_decode(struct fs_cursor *cursor, struct fs_offer *offer, struct fs_error *err)
{
    size_t count = fs_cursor_get_u16(cursor);
    if (cursor->failed || count == 0 || count > FS_VOLUMES_MAX ||
        fs_cursor_left(cursor) / OFFER_VOLUME_SIZE_MIN < count) {
        return fs_codec_fail(err, "OFFER", "%zu volumes", count);
    }
    offer->volumes = calloc(count, sizeof(*offer->volumes));
    if (offer->volumes == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    offer->n_volumes = count;
    for (size_t i = 0; i < count; i++) {
        volume_decode(cursor, &offer->volumes[i]);
        if (cursor->failed) {
            return fs_codec_fail(err, "OFFER",
                                 "volume %zu: a field is missing, a name is not valid text or "
                                 "the geometry is impossible",
                                 i);
        }
        for (size_t j = 0; j < i; j++) {
            if (fs_uuid_equal(&offer->volumes[i].volume.uuid, &offer->volumes[j].volume.uuid)) {
                return fs_codec_fail(err, "OFFER", "volumes %zu and %zu are the same", j, i);
            }
        }
    }
    return 0;
}

static int objects_decode(struct fs_cursor *cursor, struct fs_offer *offer, struct fs_error *err)
{
    if (offer->objects.size == 0) {
        return 0;
    }
    offer->objects.digest = fs_codec_get_digest(cursor);
    offer->objects.size = fs_cursor_get_u32(cursor);
    if (cursor->failed || offer->objects.size == 0 || offer->objects.size > FS_CAPTURED_MAX) {
        return fs_codec_fail(err, "OFFER", "objects of %u bytes", offer->objects.size);
    }
    return 0;
}

static int join_decode(struct fs_cursor *cursor, struct fs_offer *offer, struct fs_error *err)
{
    offer->joins = fs_cursor_get_uuid(cursor);
    for (size_t i = 0; i < offer->n_volumes; i++) {
        offer->volumes[i].seed = fs_cursor_get_uuid(cursor);
    }
    if (cursor->failed || !has_join(offer)) {
        return fs_codec_fail(err, "OFFER", "it joins nothing and has no seed, and says it does");
    }
    if (fs_uuid_equal(&offer->joins, &offer->group)) {
        return fs_codec_fail(err, "OFFER", "the group joins itself");
    }
    return 0;
}

int fs_offer_decode(const uint8_t *payload, size_t length, struct fs_offer *ret_message,
                    struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_offer offer = {0};
    bool join = false;
    int r = head_decode(&cursor, &offer, &join, err);
    if (r == 0) {
        r = held_decode(&cursor, &offer, err);
    }
    if (r == 0) {
        r = volumes_decode(&cursor, &offer, err);
    }
    if (r == 0) {
        r = objects_decode(&cursor, &offer, err);
    }
    if (r == 0 && join) {
        r = join_decode(&cursor, &offer, err);
    }
    if (r == 0 && !fs_cursor_finished(&cursor)) {
        r = fs_codec_fail(err, "OFFER", "%zu bytes too many", fs_cursor_left(&cursor));
    }
    if (r < 0) {
        fs_offer_fini(&offer);
        return r;
    }
    *ret_message = offer;
    return 0;
}

void fs_accept_encode(const struct fs_accept *message, struct fs_buf *buf)
{
    fs_buf_put_uuid(buf, &message->base);
    fs_codec_put_positions(buf, message->positions, message->n_positions);
}

int fs_accept_decode(const uint8_t *payload, size_t length, struct fs_accept *ret_message,
                     struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_accept accept = {.base = fs_cursor_get_uuid(&cursor)};
    int r = fs_codec_get_positions(&cursor, "ACCEPT", &accept.positions, &accept.n_positions, err);
    if (r < 0) {
        return r;
    }
    if (!fs_cursor_finished(&cursor)) {
        fs_accept_fini(&accept);
        return fs_codec_fail(err, "ACCEPT", "%zu bytes too many", fs_cursor_left(&cursor));
    }
    *ret_message = accept;
    return 0;
}

void fs_accept_fini(struct fs_accept *message)
{
    free(message->positions);
    *message = (struct fs_accept){0};
}

void fs_refuse_encode(const struct fs_refuse *message, struct fs_buf *buf)
{
    fs_buf_put_u16(buf, (uint16_t)message->reason);
    fs_codec_put_message(buf, message->message);
}

int fs_refuse_decode(const uint8_t *payload, size_t length, struct fs_refuse *ret_message,
                     struct fs_error *err)
{
    struct fs_cursor cursor = fs_cursor_of(payload, length);
    struct fs_refuse refuse = {0};
    unsigned reason = fs_cursor_get_u16(&cursor);
    fs_codec_get_text(&cursor, refuse.message, sizeof(refuse.message), FS_TEXT_MAY_BE_EMPTY);
    if (!fs_cursor_finished(&cursor)) {
        return fs_codec_fail(err, "REFUSE", "it is not a reason and one valid text");
    }
    if (reason == FS_REFUSE_NONE) {
        return fs_codec_fail(err, "REFUSE", "it has no reason");
    }
    /* A reason of a newer version is still a refusal, and its message says what it is. */
    refuse.reason = reason > FS_REFUSE_LAST ? FS_REFUSE_BROKEN : (enum fs_refusal)reason;
    *ret_message = refuse;
    return 0;
}
