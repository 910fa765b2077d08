/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/image_meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/buf.h"

#define IN_FLIGHT   32
#define PAGE        256
#define KEY_MAX     4096
#define LIST_FIRST  1024
#define LIST_ROUNDS 16

/* --- the class method ------------------------------------------------------------------------ */

int fs_image_meta_decode(const void *data, size_t length, struct fs_omap *meta)
{
    struct fs_cursor cursor = fs_cursor_of(data, length);
    uint32_t count = fs_cursor_get_u32(&cursor);

    /* Each pair takes at least its two lengths. */
    if (cursor.failed || count > fs_cursor_left(&cursor) / 8) {
        return -EINVAL;
    }
    if (fs_omap_reserve(meta, count) < 0) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key_length = fs_cursor_get_u32(&cursor);
        const uint8_t *key = fs_cursor_get(&cursor, key_length);
        uint32_t value_length = fs_cursor_get_u32(&cursor);
        const uint8_t *value = fs_cursor_get(&cursor, value_length);
        int rc;

        if (cursor.failed || key_length == 0 || key_length > KEY_MAX) {
            return -EINVAL;
        }
        rc = fs_omap_append(meta, (const char *)key, key_length, value, value_length);
        if (rc < 0) {
            return rc;
        }
    }
    return fs_cursor_finished(&cursor) ? 0 : -EINVAL;
}

struct reading {
    rados_completion_t completion;
    rados_read_op_t op;
    struct fs_buf in; /* owned; lives as long as op */
    char *out;        /* rados_buffer_free */
    size_t length;
    int rc;
};

static void reading_fini(struct reading *reading)
{
    if (reading->completion != NULL) {
        rados_aio_release(reading->completion);
    }
    if (reading->op != NULL) {
        rados_release_read_op(reading->op);
    }
    if (reading->out != NULL) {
        rados_buffer_free(reading->out);
    }
    fs_buf_fini(&reading->in);
    *reading = (struct reading){0};
}

static int reading_submit(struct reading *reading, rados_ioctx_t ioctx, const char *id,
                          const char *after)
{
    char object[192];
    int rc;

    *reading = (struct reading){0};
    if (snprintf(object, sizeof(object), "rbd_header.%s", id) >= (int)sizeof(object)) {
        return -ENAMETOOLONG;
    }
    fs_buf_put_u32(&reading->in, (uint32_t)strlen(after));
    fs_buf_put(&reading->in, after, strlen(after));
    fs_buf_put_u64(&reading->in, PAGE);
    rc = reading->in.failed ? -ENOMEM
                            : rados_aio_create_completion2(NULL, NULL, &reading->completion);
    if (rc == 0) {
        reading->op = rados_create_read_op();
        rados_read_op_exec(reading->op, "rbd", "metadata_list", (const char *)reading->in.data,
                           reading->in.length, &reading->out, &reading->length, &reading->rc);
        rc = rados_aio_read_op_operate(reading->op, ioctx, reading->completion, object,
                                       LIBRADOS_OPERATION_NOFLAG);
    }
    if (rc < 0) {
        reading_fini(reading);
    }
    return rc;
}

/* Waits and ends the reading; the pairs are appended. */
static int reading_finish(struct reading *reading, struct fs_omap *meta)
{
    int rc;

    rados_aio_wait_for_complete(reading->completion);
    rc = rados_aio_get_return_value(reading->completion);
    if (rc >= 0) {
        rc = reading->rc < 0 ? reading->rc
                             : fs_image_meta_decode(reading->out, reading->length, meta);
    }
    reading_fini(reading);
    return rc;
}

/* After the first page; nearly every image has no other. */
static int read_on(rados_ioctx_t ioctx, const char *id, struct fs_omap *meta)
{
    size_t before = 0;

    while (meta->count - before == PAGE) {
        struct reading reading;
        int rc;

        if (meta->count >= FS_IMAGE_META_KEYS_MAX) {
            return -EFBIG;
        }
        before = meta->count;
        rc = reading_submit(&reading, ioctx, id, meta->pairs[before - 1].key);
        if (rc == 0) {
            rc = reading_finish(&reading, meta);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* --- the scan --------------------------------------------------------------------------------- */

struct images {
    rbd_image_spec_t *specs; /* owned; its texts by librbd */
    size_t count;
};

static void images_fini(struct images *images)
{
    if (images->count > 0) {
        rbd_image_spec_list_cleanup(images->specs, images->count);
    }
    free(images->specs);
}

static int images_list(rados_ioctx_t ioctx, struct images *ret_images)
{
    size_t room = LIST_FIRST;

    *ret_images = (struct images){0};
    /* Images may be made while we list. */
    for (int round = 0; round < LIST_ROUNDS; round++) {
        rbd_image_spec_t *specs = calloc(room, sizeof(*specs));
        size_t count = room;
        int rc;

        if (specs == NULL) {
            return -ENOMEM;
        }
        rc = rbd_list2(ioctx, specs, &count);
        if (rc >= 0) {
            *ret_images = (struct images){specs, count};
            return 0;
        }
        free(specs);
        if (rc != -ERANGE) {
            return rc;
        }
        room = count + count / 8 + 16;
    }
    return -EBUSY;
}

/* Errors that are not of the one image. */
static bool ends_scan(int rc)
{
    return rc == -ETIMEDOUT || rc == -ESHUTDOWN || rc == -EPERM || rc == -EACCES || rc == -ENOMEM ||
           rc == -EOPNOTSUPP;
}

static int scan_finish(rados_ioctx_t ioctx, struct reading *reading, const rbd_image_spec_t *spec,
                       fs_image_meta_fn *seen, void *arg)
{
    struct fs_omap meta = {0};
    int rc = 0;

    if (*spec->id != '\0') {
        rc = reading_finish(reading, &meta);
        if (rc == 0) {
            rc = read_on(ioctx, spec->id, &meta);
        }
    }
    if (!ends_scan(rc)) {
        /* No header: deleted since it was listed. */
        rc = rc == -ENOENT ? 0 : seen(arg, spec->id, spec->name, rc, &meta);
    }
    fs_omap_fini(&meta);
    return rc;
}

int fs_image_meta_scan(rados_ioctx_t ioctx, fs_image_meta_fn *seen, void *arg)
{
    struct reading readings[IN_FLIGHT];
    struct images images;
    size_t submitted = 0;
    int rc = images_list(ioctx, &images);

    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < images.count && rc == 0; i++) {
        while (submitted < images.count && submitted < i + IN_FLIGHT && rc == 0) {
            const char *id = images.specs[submitted].id;
            struct reading *reading = &readings[submitted % IN_FLIGHT];

            *reading = (struct reading){0};
            if (*id != '\0') {
                rc = reading_submit(reading, ioctx, id, "");
            }
            submitted += rc == 0;
        }
        if (rc == 0) {
            rc = scan_finish(ioctx, &readings[i % IN_FLIGHT], &images.specs[i], seen, arg);
        }
    }
    for (size_t i = 0; i < IN_FLIGHT && i < submitted; i++) {
        struct fs_omap dropped = {0};

        if (readings[i].completion != NULL) {
            (void)reading_finish(&readings[i], &dropped);
            fs_omap_fini(&dropped);
        }
    }
    images_fini(&images);
    return rc;
}
