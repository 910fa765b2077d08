/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/digest_keep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/buf.h"
#include "snapshot/omap.h"

#define PROVED      "proved"
#define OBJECT_SIZE (2 * FS_UUID_TEXT + 16)
#define KEY_SIZE    (FS_UUID_TEXT + 24)

static void object_name(const struct fs_uuid *group, const struct fs_uuid *point,
                        char ret_name[OBJECT_SIZE])
{
    char of_group[FS_UUID_TEXT], of_point[FS_UUID_TEXT];

    fs_uuid_format(group, of_group);
    fs_uuid_format(point, of_point);
    snprintf(ret_name, OBJECT_SIZE, "digest.%s.%s", of_group, of_point);
}

static void key_name(const struct fs_uuid *volume, uint64_t from, char ret_key[KEY_SIZE])
{
    char of_volume[FS_UUID_TEXT];

    fs_uuid_format(volume, of_volume);
    snprintf(ret_key, KEY_SIZE, "%s.%016" PRIx64, of_volume, from);
}

int fs_digest_keep(struct fs_state *state, const struct fs_uuid *group, const struct fs_uuid *point,
                   const struct fs_uuid *volume, uint64_t from, const struct fs_digest_list *list,
                   struct fs_error *err)
{
    char object[OBJECT_SIZE], key[KEY_SIZE];
    struct fs_buf buf = FS_BUF_INIT;
    int rc;

    fs_buf_put_u64(&buf, list->next);
    fs_buf_put_u32(&buf, (uint32_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        fs_buf_put_u64(&buf, list->entries[i].offset);
        fs_buf_put_u64(&buf, list->entries[i].digest);
    }
    if (buf.failed) {
        fs_buf_fini(&buf);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for digests");
    }
    object_name(group, point, object);
    key_name(volume, from, key);
    rados_write_op_t op = fs_omap_change();
    fs_omap_set(op, key, (const char *)buf.data, buf.length);
    rc = fs_omap_apply(fs_state_ioctx(state), object, op);
    fs_buf_fini(&buf);
    return rc < 0 ? fs_cluster_error(err, rc, "keeping digests in object %s", object) : 0;
}

int fs_digest_prove(struct fs_state *state, const struct fs_uuid *group,
                    const struct fs_uuid *point, struct fs_error *err)
{
    char object[OBJECT_SIZE];
    rados_write_op_t op = fs_omap_change();
    int rc;

    object_name(group, point, object);
    fs_omap_set(op, PROVED, "1", 1);
    rc = fs_omap_apply(fs_state_ioctx(state), object, op);
    return rc < 0 ? fs_cluster_error(err, rc, "keeping digests in object %s", object) : 0;
}

int fs_digest_unkeep(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_uuid *point, struct fs_error *err)
{
    char object[OBJECT_SIZE];
    rados_write_op_t op = fs_omap_change();
    int rc;

    object_name(group, point, object);
    rados_write_op_remove(op);
    rc = fs_omap_apply(fs_state_ioctx(state), object, op);
    return rc < 0 && rc != -ENOENT ? fs_cluster_error(err, rc, "removing object %s", object) : 0;
}

int fs_digest_is_proved(struct fs_state *state, const struct fs_uuid *group,
                        const struct fs_uuid *point, struct fs_error *err)
{
    static const char *const keys[] = {PROVED};
    char object[OBJECT_SIZE];
    struct fs_omap omap;

    object_name(group, point, object);

    int rc = fs_omap_read_keys(fs_state_ioctx(state), object, keys, 1, &omap);

    if (rc == 0) {
        rc = omap.count == 1 ? 0 : -ENOENT;
        fs_omap_fini(&omap);
    }
    if (rc == -ENOENT) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT,
                            "this point was never proved while it was the newest one at both "
                            "sites, so there are no digests to hold it against; `verify` without "
                            "--point proves the newest one now, and `verify: {every: ...}` in the "
                            "policy does so regularly");
    }
    return rc < 0 ? fs_cluster_error(err, rc, "reading object %s", object) : 0;
}

/* The bytes of a batch; only ours, but they come from outside of the process all the same. */
static int parse(const char *value, size_t length, uint64_t from, struct fs_digest_list *ret_list)
{
    struct fs_cursor cursor = fs_cursor_of(value, length);

    ret_list->next = fs_cursor_get_u64(&cursor);
    ret_list->count = fs_cursor_get_u32(&cursor);
    ret_list->bytes = 0;
    if (cursor.failed || ret_list->count > FS_DIGESTS_MAX || ret_list->next <= from) {
        return -EINVAL;
    }
    for (size_t i = 0; i < ret_list->count; i++) {
        ret_list->entries[i].offset = fs_cursor_get_u64(&cursor);
        ret_list->entries[i].digest = fs_cursor_get_u64(&cursor);
        if (ret_list->entries[i].offset < from || ret_list->entries[i].offset >= ret_list->next ||
            (i > 0 && ret_list->entries[i].offset <= ret_list->entries[i - 1].offset)) {
            return -EINVAL;
        }
    }
    return fs_cursor_finished(&cursor) ? 0 : -EINVAL;
}

int fs_digest_load(struct fs_state *state, const struct fs_uuid *group, const struct fs_uuid *point,
                   const struct fs_uuid *volume, uint64_t from, struct fs_digest_list *ret_list,
                   struct fs_error *err)
{
    char object[OBJECT_SIZE], key[KEY_SIZE];
    const char *keys[] = {key};
    struct fs_omap omap;

    object_name(group, point, object);
    key_name(volume, from, key);

    int rc = fs_omap_read_keys(fs_state_ioctx(state), object, keys, 1, &omap);

    if (rc < 0 && rc != -ENOENT) {
        return fs_cluster_error(err, rc, "reading object %s", object);
    }
    if (rc == 0) {
        rc = omap.count == 1 ? parse(omap.pairs[0].value, omap.pairs[0].length, from, ret_list)
                             : -ENOENT;
        fs_omap_fini(&omap);
    }
    return rc < 0 ? fs_error_set(err, FS_ERR_DATA, -rc,
                                 "the digests in object %s are damaged at %" PRIu64
                                 ": the point cannot be verified any more",
                                 object, from)
                  : 0;
}

/* --- notes ------------------------------------------------------------------------------------ */

int fs_digest_note(struct fs_state *state, const struct fs_uuid *group, const char *text,
                   struct fs_error *err)
{
    char key[FS_UUID_TEXT];
    rados_write_op_t op = fs_omap_change();
    int rc;

    fs_uuid_format(group, key);
    fs_omap_set(op, key, text, strlen(text));
    rc = fs_omap_apply(fs_state_ioctx(state), FS_STATE_VERIFY, op);
    return rc < 0 ? fs_cluster_error(err, rc, "writing object " FS_STATE_VERIFY) : 0;
}

void fs_digest_notes_free(struct fs_digest_note *notes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(notes[i].text);
    }
    free(notes);
}

int fs_digest_notes(struct fs_state *state, struct fs_digest_note **ret_notes, size_t *ret_count,
                    struct fs_error *err)
{
    struct fs_omap omap;
    int rc = fs_omap_read(fs_state_ioctx(state), FS_STATE_VERIFY, FS_STATE_GROUPS_MAX, &omap);

    *ret_notes = NULL;
    *ret_count = 0;
    if (rc == -ENOENT) {
        return 0;
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading object " FS_STATE_VERIFY);
    }
    struct fs_digest_note *notes = calloc(omap.count + 1, sizeof(*notes));
    for (size_t i = 0; notes && i < omap.count; i++) {
        struct fs_digest_note *note = &notes[*ret_count];

        if (omap.pairs[i].length <= FS_DIGEST_NOTE_MAX &&
            fs_uuid_parse(omap.pairs[i].key, &note->group) == 0) {
            note->text = omap.pairs[i].value;
            omap.pairs[i].value = NULL;
            (*ret_count)++;
        }
    }
    fs_omap_fini(&omap);
    *ret_notes = notes;
    return notes ? 0 : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for results");
}

/* --- holds ------------------------------------------------------------------------------------ */

void fs_holds_init(struct fs_holds *holds)
{
    *holds = (struct fs_holds){0};
    pthread_mutex_init(&holds->lock, NULL);
}

void fs_holds_fini(struct fs_holds *holds)
{
    free(holds->points);
    pthread_mutex_destroy(&holds->lock);
}

int fs_holds_add(struct fs_holds *holds, const struct fs_uuid *point)
{
    pthread_mutex_lock(&holds->lock);
    struct fs_uuid *points = reallocarray(holds->points, holds->count + 1, sizeof(*points));
    if (points) {
        holds->points = points;
        points[holds->count++] = *point;
    }
    pthread_mutex_unlock(&holds->lock);
    return points ? 0 : -ENOMEM;
}

void fs_holds_remove(struct fs_holds *holds, const struct fs_uuid *point)
{
    pthread_mutex_lock(&holds->lock);
    for (size_t i = 0; i < holds->count; i++) {
        if (fs_uuid_equal(&holds->points[i], point)) {
            holds->points[i] = holds->points[--holds->count];
            break;
        }
    }
    pthread_mutex_unlock(&holds->lock);
}

void fs_holds_clear(struct fs_holds *holds)
{
    pthread_mutex_lock(&holds->lock);
    holds->count = 0;
    pthread_mutex_unlock(&holds->lock);
}

bool fs_holds_has(struct fs_holds *holds, const struct fs_uuid *point)
{
    bool found = false;

    pthread_mutex_lock(&holds->lock);
    for (size_t i = 0; i < holds->count && !found; i++) {
        found = fs_uuid_equal(&holds->points[i], point);
    }
    pthread_mutex_unlock(&holds->lock);
    return found;
}
