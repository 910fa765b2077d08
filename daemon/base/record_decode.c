/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record from JSON. What is read may have been written by another version, by a hand with the
 * rados tool, or by a broken disk: everything is bounded and checked before it is believed, and
 * every complaint names the member.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/record_json.h"
#include "farshore/buf.h"
#include "farshore/captured.h"
#include "farshore/record.h"

/* The longest text that a full record can have, and some. */
#define RECORD_TEXT_MAX (64u << 20)
#define LABELS_MAX      (64u << 10)

const char *const fs_record_point_states[RECORD_N_POINT_STATES] = {
    [FS_POINT_TAKING] = "taking",
    [FS_POINT_COMPLETE] = "complete",
    [FS_POINT_COMMITTING] = "committing",
    [FS_POINT_COMMITTED] = "committed",
    [FS_POINT_SEED] = "seed",
};

/* First failure wins; later reads give zeroes. */
struct reader {
    struct fs_error *err;
    int rc;
};

static void fail(struct reader *reader, const char *key, const char *what)
{
    if (reader->rc == 0) {
        reader->rc = fs_error_set(reader->err, FS_ERR_DATA, EINVAL, "record: \"%s\" %s", key, what);
    }
}

static void out_of_memory(struct reader *reader)
{
    if (reader->rc == 0) {
        reader->rc = fs_error_set(reader->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
}

/* NULL where it is missing. */
static const json_t *member(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!value) {
        fail(reader, key, "is missing");
    }
    return value;
}

/* The member's string, or NULL. */
static const char *get_string(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(reader, object, key);
    const char *text = json_string_value(value);

    if (value && !text) {
        fail(reader, key, "is not a string");
    }
    return text;
}

static int64_t get_i64(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(reader, object, key);

    if (value && !json_is_integer(value)) {
        fail(reader, key, "is not an integer");
    }
    return json_integer_value(value);
}

static bool parse_u64(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (!*text) {
        return false;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

static uint64_t get_u64(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(reader, object, key);
    uint64_t number = 0;

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        return (uint64_t)json_integer_value(value);
    }
    if (value && !(json_is_string(value) && parse_u64(json_string_value(value), &number))) {
        fail(reader, key, "is not an unsigned 64-bit integer");
    }
    return number;
}

static bool get_bool(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(reader, object, key);

    if (value && !json_is_boolean(value)) {
        fail(reader, key, "is not true or false");
    }
    return json_is_true(value);
}

static bool unhex(const char *hex, char *ret_text, size_t size)
{
    size_t length = strlen(hex);

    if (length % 2 != 0 || length / 2 >= size ||
        !fs_hex_decode(hex, length / 2, (uint8_t *)ret_text) ||
        memchr(ret_text, '\0', length / 2)) {
        return false;
    }
    ret_text[length / 2] = '\0';
    return true;
}

static void get_text(struct reader *reader, const json_t *object, const char *key, char *ret_text,
                     size_t size)
{
    const json_t *value = member(reader, object, key);
    const char *hex = json_string_value(json_object_get(value, RECORD_HEX_KEY));

    ret_text[0] = '\0';
    if (json_is_string(value)) {
        if (json_string_length(value) >= size) {
            fail(reader, key, "is too long");
            return;
        }
        memcpy(ret_text, json_string_value(value), json_string_length(value) + 1);
    } else if (value && (!hex || !unhex(hex, ret_text, size))) {
        ret_text[0] = '\0';
        fail(reader, key, "is neither a string nor bytes in hex");
    }
}

/* An optional text in new memory. */
static char *get_text_dup(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!value || reader->rc < 0) {
        return NULL;
    }

    const char *hex = json_string_value(json_object_get(value, RECORD_HEX_KEY));
    size_t size = (json_is_string(value) ? json_string_length(value) : hex ? strlen(hex) : 0) + 1;

    if (size > LABELS_MAX) {
        fail(reader, key, "is too long");
        return NULL;
    }

    char *text = malloc(size);

    if (!text) {
        out_of_memory(reader);
        return NULL;
    }
    get_text(reader, object, key, text, size);
    return text;
}

static void get_uuid(struct reader *reader, const json_t *object, const char *key,
                     struct fs_uuid *ret_uuid)
{
    const char *text = get_string(reader, object, key);

    if (text && fs_uuid_parse(text, ret_uuid) < 0) {
        fail(reader, key, "is not a UUID");
    }
}

static void get_digest(struct reader *reader, const json_t *object, const char *key,
                       struct fs_digest *ret_digest)
{
    const char *text = get_string(reader, object, key);

    if (text && fs_digest_parse(text, ret_digest) < 0) {
        fail(reader, key, "is not a digest");
    }
}

static const json_t *get_object(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = member(reader, object, key);

    if (value && !json_is_object(value)) {
        fail(reader, key, "is not an object");
    }
    return value;
}

static void get_term(struct reader *reader, const json_t *object, const char *key,
                     struct fs_term *ret_term)
{
    const json_t *term = get_object(reader, object, key);

    ret_term->number = get_u64(reader, term, "number");
    get_uuid(reader, term, "site", &ret_term->site);
}

static void get_point_id(struct reader *reader, const json_t *object, struct fs_point_id *ret_point)
{
    const json_t *point = get_object(reader, object, "point");

    get_uuid(reader, point, "id", &ret_point->id);
    get_term(reader, point, "term", &ret_point->term);
    ret_point->seq = get_u64(reader, point, "seq");
}

/* The number of elements, at most `most`, and zeroed memory for them; 0 and NULL on failure. */
static size_t get_array(struct reader *reader, const json_t *object, const char *key, size_t most,
                        size_t element_size, const json_t **ret_array, void *ret_memory)
{
    const json_t *array = member(reader, object, key);
    size_t count = json_array_size(array);
    void *memory = NULL;

    if (array && !json_is_array(array)) {
        fail(reader, key, "is not an array");
    } else if (count > most) {
        fail(reader, key, "has too many elements");
    }
    if (reader->rc < 0) {
        count = 0;
    }
    if (count > 0) {
        memory = calloc(count, element_size);
        if (!memory) {
            out_of_memory(reader);
            count = 0;
        }
    }
    *ret_array = array;
    memcpy(ret_memory, &memory, sizeof(memory));
    return count;
}

static void read_volume(struct reader *reader, const json_t *object, struct fs_record_volume *ret)
{
    struct fs_volume *volume = &ret->volume;
    const json_t *image = get_object(reader, object, "image");

    get_uuid(reader, object, "uuid", &volume->uuid);
    volume->image.pool_id = get_i64(reader, image, "pool_id");
    get_text(reader, image, "pool", volume->image.pool, sizeof(volume->image.pool));
    get_text(reader, image, "namespace", volume->image.ns, sizeof(volume->image.ns));
    get_text(reader, image, "id", volume->image.image_id, sizeof(volume->image.image_id));
    get_text(reader, image, "name", volume->image.name, sizeof(volume->image.name));
    get_text(reader, object, "pvc_namespace", volume->pvc_namespace, sizeof(volume->pvc_namespace));
    get_text(reader, object, "pvc", volume->pvc, sizeof(volume->pvc));
    get_text(reader, object, "vm", volume->vm, sizeof(volume->vm));
    volume->labels = get_text_dup(reader, object, "labels");
    get_text(reader, object, "peer_identity", ret->peer_identity, sizeof(ret->peer_identity));
    ret->gone = get_bool(reader, object, "gone");
}

static enum fs_point_state get_state(struct reader *reader, const json_t *object)
{
    const char *text = get_string(reader, object, "state");

    for (unsigned i = 0; text && i < RECORD_N_POINT_STATES; i++) {
        if (strcmp(text, fs_record_point_states[i]) == 0) {
            return (enum fs_point_state)i;
        }
    }
    if (text) {
        fail(reader, "state", "is not a state of a point");
    }
    return FS_POINT_TAKING;
}

static unsigned get_flags(struct reader *reader, const json_t *object, const char *key)
{
    uint64_t flags = get_u64(reader, object, key);

    if (flags > UINT32_MAX) {
        fail(reader, key, "is too large");
        return 0;
    }
    return (unsigned)flags;
}

static void get_geometry(struct reader *reader, const json_t *object,
                         struct fs_geometry *ret_geometry)
{
    const json_t *geometry = get_object(reader, object, "geometry");
    uint64_t order = get_u64(reader, geometry, "order");

    /* 0: of a point that is being taken, where nobody has looked yet. */
    if (order != 0 && (order < 12 || order > 25)) {
        fail(reader, "order", "is not between 12 and 25");
        order = 0;
    }
    ret_geometry->size = get_u64(reader, geometry, "size");
    ret_geometry->order = (uint8_t)order;
    ret_geometry->stripe_unit = get_u64(reader, geometry, "stripe_unit");
    ret_geometry->stripe_count = get_u64(reader, geometry, "stripe_count");
}

/* Absent where the point carries none. */
static void get_captured(struct reader *reader, const json_t *object, struct fs_captured *captured)
{
    if (!json_object_get(object, "objects")) {
        return;
    }
    const json_t *objects = get_object(reader, object, "objects");
    uint64_t size = get_u64(reader, objects, "size");

    if (size == 0 || size > FS_CAPTURED_MAX) {
        fail(reader, "size", "is not that of a set of objects");
        size = 0;
    }
    captured->size = (uint32_t)size;
    get_digest(reader, objects, "digest", &captured->digest);
    captured->stale = get_bool(reader, objects, "stale");
}

static void read_point(struct reader *reader, const json_t *object, struct fs_record_point *point)
{
    const json_t *contents;

    get_point_id(reader, object, &point->point);
    point->state = get_state(reader, object);
    point->flags = get_flags(reader, object, "flags");
    point->taken_ns = get_i64(reader, object, "taken_ns");
    point->group_snapshot = get_bool(reader, object, "group_snapshot");
    get_text(reader, object, "group_pool", point->group_pool, sizeof(point->group_pool));
    get_text(reader, object, "group_namespace", point->group_ns, sizeof(point->group_ns));
    point->bytes = get_u64(reader, object, "bytes");
    get_captured(reader, object, &point->objects);
    point->n_contents = get_array(reader, object, "contents", FS_VOLUMES_MAX,
                                  sizeof(*point->contents), &contents, &point->contents);
    for (size_t i = 0; reader->rc == 0 && i < point->n_contents; i++) {
        const json_t *element = json_array_get(contents, i);
        struct fs_record_content *content = &point->contents[i];

        get_uuid(reader, element, "volume", &content->volume);
        content->snap_id = get_u64(reader, element, "snap");
        content->mark_id = get_u64(reader, element, "mark");
        get_geometry(reader, element, &content->geometry);
        get_digest(reader, element, "chain", &content->chain);
        content->older_snapshot = get_bool(reader, element, "older_snapshot");
    }
}

static void read_incoming(struct reader *reader, const json_t *object,
                          struct fs_record_incoming *incoming)
{
    const json_t *positions;

    if (!json_is_object(object)) {
        fail(reader, "incoming", "is not an object");
        return;
    }
    incoming->present = true;
    get_point_id(reader, object, &incoming->point);
    get_uuid(reader, object, "base", &incoming->base);
    incoming->n_positions =
        get_array(reader, object, "positions", FS_VOLUMES_MAX, sizeof(*incoming->positions),
                  &positions, &incoming->positions);
    for (size_t i = 0; reader->rc == 0 && i < incoming->n_positions; i++) {
        const json_t *element = json_array_get(positions, i);

        get_uuid(reader, element, "volume", &incoming->positions[i].volume);
        incoming->positions[i].position.offset = get_u64(reader, element, "offset");
        get_digest(reader, element, "chain", &incoming->positions[i].position.chain);
        if (json_object_get(element, "reach")) {
            incoming->positions[i].reach = get_u64(reader, element, "reach");
        }
    }
}

static void read_roles(struct reader *reader, const json_t *root, struct fs_record *record)
{
    if (json_object_get(root, "promotion")) {
        record->promotion.present = true;
        get_uuid(reader, get_object(reader, root, "promotion"), "point", &record->promotion.point);
    }
    if (json_object_get(root, "following")) {
        record->following.present = true;
        get_term(reader, get_object(reader, root, "following"), "from", &record->following.from);
    }
    if (json_object_get(root, "grant")) {
        const json_t *grant = get_object(reader, root, "grant");

        record->grant.present = true;
        get_term(reader, grant, "term", &record->grant.term);
        get_uuid(reader, grant, "point", &record->grant.point);
    }
    if (json_object_get(root, "joins")) {
        get_uuid(reader, root, "joins", &record->joins);
    }
    if (json_object_get(root, "bring_up")) {
        record->bring_up.present = true;
        get_uuid(reader, get_object(reader, root, "bring_up"), "point", &record->bring_up.point);
    }
}

static void read_arrays(struct reader *reader, const json_t *root, struct fs_record *record)
{
    const json_t *array;
    const json_t *incoming = json_object_get(root, "incoming");

    record->n_volumes = get_array(reader, root, "volumes", FS_VOLUMES_MAX, sizeof(*record->volumes),
                                  &array, &record->volumes);
    for (size_t i = 0; reader->rc == 0 && i < record->n_volumes; i++) {
        read_volume(reader, json_array_get(array, i), &record->volumes[i]);
    }
    record->n_points = get_array(reader, root, "points", FS_POINTS_MAX, sizeof(*record->points),
                                 &array, &record->points);
    for (size_t i = 0; reader->rc == 0 && i < record->n_points; i++) {
        read_point(reader, json_array_get(array, i), &record->points[i]);
    }
    if (incoming) {
        read_incoming(reader, incoming, &record->incoming);
    }
}

/* Absent in records that know nothing of it. */
static bool get_optional_bool(struct reader *reader, const json_t *object, const char *key)
{
    return json_object_get(object, key) ? get_bool(reader, object, key) : false;
}

static void read_record(struct reader *reader, const json_t *root, struct fs_record *record)
{
    get_uuid(reader, root, "group", &record->group);
    get_text(reader, root, "name", record->name, sizeof(record->name));
    get_text(reader, root, "policy", record->policy, sizeof(record->policy));
    get_text(reader, root, "peer", record->peer, sizeof(record->peer));

    const char *role = get_string(reader, root, "role");

    if (role && fs_role_parse(role, &record->role) < 0) {
        fail(reader, "role", "is not a role");
    }
    get_term(reader, root, "term", &record->term);
    record->next_seq = get_u64(reader, root, "next_seq");
    record->interval_ns = get_i64(reader, root, "interval_ns");
    record->paused = get_bool(reader, root, "paused");
    get_term(reader, root, "peer_term", &record->peer_term);
    record->peer_version = get_u64(reader, root, "peer_version");
    record->fence = get_optional_bool(reader, root, "fence");
    record->fence_users = get_optional_bool(reader, root, "fence_users");
    if (json_object_get(root, "quiesced")) {
        record->quiesced = get_flags(reader, root, "quiesced");
    }
    read_arrays(reader, root, record);
    read_roles(reader, root, record);
}

/* The format comes first: nothing else of a newer one means what we think. */
static int check_format(const json_t *root, struct fs_error *err)
{
    const json_t *format = json_object_get(root, "format");

    if (!json_is_integer(format) || json_integer_value(format) < 1) {
        return fs_error_set(err, FS_ERR_DATA, EINVAL, "record: no valid \"format\"");
    }
    if (json_integer_value(format) > FS_RECORD_FORMAT) {
        return fs_error_set(err, FS_ERR_CONFIG, EPROTONOSUPPORT,
                            "record: format %lld was written by a newer Farshore and this one "
                            "knows %d: install the newer version here",
                            (long long)json_integer_value(format), FS_RECORD_FORMAT);
    }
    return 0;
}

int fs_record_decode(const char *text, size_t length, struct fs_record **ret_record,
                     struct fs_error *err)
{
    json_error_t why = {0};
    struct reader reader = {.err = err};

    *ret_record = NULL;
    if (length > RECORD_TEXT_MAX) {
        return fs_error_set(err, FS_ERR_DATA, EINVAL, "record: %zu bytes are too many", length);
    }

    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);

    if (!root) {
        /* jansson often says nothing at all where memory runs out. */
        if (json_error_code(&why) == json_error_out_of_memory ||
            json_error_code(&why) == json_error_unknown) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        }
        return fs_error_set(err, FS_ERR_DATA, EINVAL, "record: not JSON at byte %d: %s",
                            why.position, why.text);
    }

    struct fs_record *record = NULL;

    reader.rc = check_format(root, err);
    if (reader.rc == 0) {
        record = fs_record_new();
        if (record) {
            read_record(&reader, root, record);
        } else {
            out_of_memory(&reader);
        }
    }
    json_decref(root);
    if (reader.rc < 0) {
        fs_record_free(record);
        return reader.rc;
    }
    *ret_record = record;
    return 0;
}
