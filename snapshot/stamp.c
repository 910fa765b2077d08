/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/stamp.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
/* A stamp is some 300 bytes; whatever is longer is none. */
#define TEXT_MAX 4096

static int garbage(struct fs_error *err, const char *what)
{
    return fs_error_set(err, FS_ERR_DATA, EINVAL,
                        "its metadata " FS_STAMP_KEY " is not a stamp of Farshore (%s): look who "
                        "wrote it, and remove it with `rbd image-meta remove IMAGE " FS_STAMP_KEY
                        "` where the image is not Farshore's",
                        what);
}

static int get_uuid(const json_t *object, const char *key, struct fs_uuid *ret_uuid)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? -EINVAL : fs_uuid_parse(text, ret_uuid);
}

static int read_fields(const json_t *object, struct fs_stamp *stamp)
{
    const json_t *term = json_object_get(object, "term");
    const char *role = json_string_value(json_object_get(object, "role"));

    if (get_uuid(object, "group", &stamp->group) < 0 || fs_uuid_is_zero(&stamp->group) ||
        get_uuid(object, "volume", &stamp->volume) < 0 || fs_uuid_is_zero(&stamp->volume) ||
        get_uuid(object, "site", &stamp->term.site) < 0) {
        return -EINVAL;
    }
    if (!json_is_integer(term) || json_integer_value(term) < 0) {
        return -EINVAL;
    }
    stamp->term.number = (uint64_t)json_integer_value(term);
    if (role == NULL || fs_role_parse(role, &stamp->role) < 0 || stamp->role == FS_ROLE_NONE) {
        return -EINVAL;
    }
    if (json_object_get(object, "joins") != NULL) {
        return get_uuid(object, "joins", &stamp->joins);
    }
    return 0;
}

static int read_object(const json_t *object, const char *image_id, struct fs_stamp *ret_stamp,
                       struct fs_error *err)
{
    const json_t *format = json_object_get(object, "format");
    const char *id = json_string_value(json_object_get(object, "image_id"));
    struct fs_stamp stamp = {0};

    /* Every format says whose it is: a copy's stamp counts as none, whoever wrote it. */
    if (id == NULL || *id == '\0') {
        return garbage(err, "no image_id");
    }
    if (strcmp(id, image_id) != 0) {
        return -ENOENT;
    }
    if (!json_is_integer(format) || json_integer_value(format) < 1) {
        return garbage(err, "no format");
    }
    if (json_integer_value(format) > FORMAT) {
        return fs_error_set(err, FS_ERR_PERMANENT, EPROTONOSUPPORT,
                            "it was stamped by a newer Farshore (format %" JSON_INTEGER_FORMAT
                            ", this one knows %d): upgrade this daemon",
                            json_integer_value(format), FORMAT);
    }
    if (read_fields(object, &stamp) < 0) {
        return garbage(err, "a field is missing or wrong");
    }
    *ret_stamp = stamp;
    return 0;
}

int fs_stamp_parse(const char *text, size_t length, const char *image_id,
                   struct fs_stamp *ret_stamp, struct fs_error *err)
{
    json_t *object;
    int rc;

    if (length > TEXT_MAX) {
        return garbage(err, "too long");
    }
    object = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        rc = garbage(err, "no JSON object");
    } else {
        rc = read_object(object, image_id, ret_stamp, err);
    }
    json_decref(object);
    return rc;
}

char *fs_stamp_encode(const char *image_id, const struct fs_stamp *stamp)
{
    char group[FS_UUID_TEXT];
    char volume[FS_UUID_TEXT];
    char site[FS_UUID_TEXT];
    json_t *object;
    char *text = NULL;

    fs_uuid_format(&stamp->group, group);
    fs_uuid_format(&stamp->volume, volume);
    fs_uuid_format(&stamp->term.site, site);
    object = json_pack("{s:i, s:s, s:s, s:s, s:I, s:s, s:s}", "format", FORMAT, "group", group,
                       "volume", volume, "site", site, "term", (json_int_t)stamp->term.number,
                       "role", fs_role_name(stamp->role), "image_id", image_id);
    if (object != NULL && !fs_uuid_is_zero(&stamp->joins)) {
        char joins[FS_UUID_TEXT];

        fs_uuid_format(&stamp->joins, joins);
        if (json_object_set_new(object, "joins", json_string(joins)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    if (object != NULL) {
        text = json_dumps(object, JSON_COMPACT);
    }
    json_decref(object);
    return text;
}

int fs_stamp_read(rbd_image_t image, const char *image_id, struct fs_stamp *ret_stamp,
                  struct fs_error *err)
{
    char text[TEXT_MAX];
    size_t length = sizeof(text);
    int rc = rbd_metadata_get(image, FS_STAMP_KEY, text, &length);

    if (rc == -ENOENT) {
        return -ENOENT;
    }
    if (rc == -ERANGE) {
        return garbage(err, "too long");
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading the image's stamp");
    }
    /* Stored text has no NUL, and librbd counts the one that it adds. */
    return fs_stamp_parse(text, strnlen(text, sizeof(text)), image_id, ret_stamp, err);
}

int fs_stamp_write(rbd_image_t image, const char *image_id, const struct fs_stamp *stamp,
                   struct fs_error *err)
{
    char *text = fs_stamp_encode(image_id, stamp);
    int rc;

    if (text == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    rc = rbd_metadata_set(image, FS_STAMP_KEY, text);
    free(text);
    return rc < 0 ? fs_cluster_error(err, rc, "stamping the image") : 0;
}

int fs_stamp_remove(rbd_image_t image, struct fs_error *err)
{
    int rc = rbd_metadata_remove(image, FS_STAMP_KEY);

    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "removing the image's stamp");
    }
    return 0;
}
