/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a drill, and what a crash after each step leaves:
 *
 *   1. the entry, with the names of the clones: a drill that is not ready, but is listed and can be
 *      ended
 *   2. each clone is made: the same; clones are found by their names, which hold random digits
 *   3. each loses the labels that it took along, and is stamped as the drill's
 *   4. the entry says ready
 *
 * and of its end: clones go first, then the entry. A clone costs nothing but what is written to it:
 * it shares everything with the point's snapshot, which needs no protection (clone format 2).
 * Discovery leaves out what is called as clones are, so a label that it still has says nothing.
 */
#include "snapshot/drill.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/fault.h"
#include "snapshot/image.h"
#include "snapshot/locker.h"
#include "snapshot/omap.h"

#define FORMAT     1
#define DRILLS_MAX 10000u

/* --- the entry -------------------------------------------------------------------------------- */

static json_t *uuid_json(const struct fs_uuid *uuid)
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(uuid, text);
    return json_string(text);
}

char *fs_drill_encode(const struct fs_drill *drill)
{
    json_t *images = json_array();
    char *text = NULL;

    for (size_t i = 0; images && i < drill->n_images; i++) {
        const struct fs_image_ref *clone = &drill->images[i].clone;

        json_array_append_new(images, json_pack("{s:o, s:s, s:s, s:s, s:s}", "volume",
                                                uuid_json(&drill->images[i].volume), "pool",
                                                clone->pool, "ns", clone->ns, "name", clone->name,
                                                "parent", drill->images[i].parent));
    }
    json_t *object =
        json_pack("{s:i, s:o, s:o, s:o, s:s, s:I, s:s, s:b, s:i, s:I, s:o}", "format", FORMAT, "id",
                  uuid_json(&drill->id), "group", uuid_json(&drill->group), "point",
                  uuid_json(&drill->point), "point_name", drill->point_name, "created_ns",
                  (json_int_t)drill->created_ns, "who", drill->who, "ready", drill->ready, "exit",
                  drill->exit_status, "noted_ns", (json_int_t)drill->noted_ns, "images", images);

    if (object) {
        text = json_dumps(object, JSON_COMPACT);
    }
    json_decref(object);
    return text;
}

static bool get_text(const json_t *object, const char *key, char *ret_text, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && snprintf(ret_text, size, "%s", text) < (int)size;
}

static bool get_uuid(const json_t *object, const char *key, struct fs_uuid *ret_uuid)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && fs_uuid_parse(text, ret_uuid) == 0;
}

static bool read_images(const json_t *array, struct fs_drill *drill)
{
    bool ok = json_is_array(array) && json_array_size(array) <= FS_VOLUMES_MAX;

    for (size_t i = 0; ok && i < json_array_size(array); i++) {
        const json_t *object = json_array_get(array, i);
        struct fs_drill_image *image = &drill->images[drill->n_images++];

        ok = get_uuid(object, "volume", &image->volume) &&
             get_text(object, "pool", image->clone.pool, sizeof(image->clone.pool)) &&
             get_text(object, "ns", image->clone.ns, sizeof(image->clone.ns)) &&
             get_text(object, "name", image->clone.name, sizeof(image->clone.name)) &&
             get_text(object, "parent", image->parent, sizeof(image->parent)) &&
             strncmp(image->clone.name, FS_DRILL_PREFIX, strlen(FS_DRILL_PREFIX)) == 0;
    }
    return ok;
}

int fs_drill_decode(const char *text, struct fs_drill *ret_drill)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *format = json_object_get(object, "format");

    *ret_drill = (struct fs_drill){0};
    bool ok =
        json_is_integer(format) && json_integer_value(format) == FORMAT &&
        get_uuid(object, "id", &ret_drill->id) && get_uuid(object, "group", &ret_drill->group) &&
        get_uuid(object, "point", &ret_drill->point) &&
        get_text(object, "point_name", ret_drill->point_name, sizeof(ret_drill->point_name)) &&
        get_text(object, "who", ret_drill->who, sizeof(ret_drill->who)) &&
        json_is_integer(json_object_get(object, "created_ns")) &&
        json_is_integer(json_object_get(object, "exit")) &&
        read_images(json_object_get(object, "images"), ret_drill);

    ret_drill->created_ns = json_integer_value(json_object_get(object, "created_ns"));
    ret_drill->exit_status = (int)json_integer_value(json_object_get(object, "exit"));
    ret_drill->ready = json_is_true(json_object_get(object, "ready"));
    ret_drill->noted_ns = json_integer_value(json_object_get(object, "noted_ns"));
    json_decref(object);
    return ok ? 0 : -EINVAL;
}

/* The key under which a group's newest result is kept. */
#define RESULT_PREFIX "result."

static void set_entry(rados_write_op_t op, const char *prefix, const struct fs_uuid *id,
                      const char *text)
{
    char uuid[FS_UUID_TEXT], key[sizeof(RESULT_PREFIX) + FS_UUID_TEXT];

    fs_uuid_format(id, uuid);
    snprintf(key, sizeof(key), "%s%s", prefix, uuid);
    fs_omap_set(op, key, text, strlen(text));
}

static int store(struct fs_site *site, const struct fs_drill *drill, bool result,
                 struct fs_error *err)
{
    char *text = fs_drill_encode(drill);
    int rc;

    if (!text) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a drill");
    }
    rados_write_op_t op = fs_omap_change();

    if (drill->n_images > 0 || !result) {
        set_entry(op, "", &drill->id, text);
    }
    if (result) {
        set_entry(op, RESULT_PREFIX, &drill->group, text);
    }
    rc = fs_omap_apply(fs_state_ioctx(site->state), FS_STATE_DRILLS, op);
    free(text);
    return rc < 0 ? fs_cluster_error(err, rc, "storing a drill") : 0;
}

static int forget(struct fs_site *site, const struct fs_drill *drill, struct fs_error *err)
{
    rados_write_op_t op = fs_omap_change();
    char key[FS_UUID_TEXT];
    int rc;

    fs_uuid_format(&drill->id, key);
    fs_omap_remove(op, key);
    rc = fs_omap_apply(fs_state_ioctx(site->state), FS_STATE_DRILLS, op);
    return rc < 0 ? fs_cluster_error(err, rc, "forgetting a drill") : 0;
}

int fs_drill_load(struct fs_site *site, struct fs_drill **ret_drills, size_t *ret_count,
                  struct fs_error *err)
{
    struct fs_omap omap;
    struct fs_drill *drills;
    size_t n = 0;
    int rc = fs_omap_read(fs_state_ioctx(site->state), FS_STATE_DRILLS, DRILLS_MAX, &omap);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "reading the list of drills");
    }
    drills = calloc(omap.count + 1, sizeof(*drills));
    for (size_t i = 0; drills && i < omap.count; i++) {
        if (fs_drill_decode(omap.pairs[i].value, &drills[n]) == 0) {
            drills[n++].result =
                strncmp(omap.pairs[i].key, RESULT_PREFIX, strlen(RESULT_PREFIX)) == 0;
        }
    }
    fs_omap_fini(&omap);
    if (!drills) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of drills");
    }
    *ret_drills = drills;
    *ret_count = n;
    return 0;
}

int fs_drill_hold_points(struct fs_site *site, struct fs_error *err)
{
    struct fs_drill *drills;
    size_t count;
    int rc = fs_drill_load(site, &drills, &count, err);

    if (rc < 0) {
        return rc;
    }
    fs_holds_clear(&site->drills);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = drills[i].result ? 0 : fs_holds_add(&site->drills, &drills[i].point);
    }
    free(drills);
    return rc < 0 ? fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to hold points") : 0;
}

/* --- clones ----------------------------------------------------------------------------------- */

static int with_clone(int rc, const struct fs_image_ref *clone, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    if (rc < 0) {
        fs_error_context(err, "drill image %s", fs_image_spec(clone, spec));
    }
    return rc;
}

/* The point's snapshot of one volume and the name that its image has now. */
static int find_parent(struct fs_site *site, struct fs_record *record,
                       const struct fs_record_content *content, struct fs_image_ref *ret_parent,
                       char ret_snap[FS_SNAP_NAME_SIZE], struct fs_error *err)
{
    const struct fs_record_volume *volume = fs_record_find_volume(record, &content->volume);
    struct fs_snap_list snaps = {0};
    struct fs_image image;
    int rc;

    if (!volume) {
        return fs_error_set(err, FS_ERR_DATA, EINVAL,
                            "the record names a volume in a point that it does not know");
    }
    *ret_parent = volume->volume.image;
    rc = fs_image_open(site->cluster, ret_parent, FS_IMAGE_READ, &image, err);
    if (rc < 0) {
        return rc;
    }
    rc = fs_image_refresh_name(&image, ret_parent, err);
    if (rc == 0) {
        rc = fs_snap_list_load(&image, &snaps, err);
    }
    const struct fs_snap *snap = rc == 0 ? fs_snap_list_find(&snaps, content->snap_id) : NULL;
    if (rc == 0 && !snap) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "the snapshot of the point is gone");
    }
    if (rc == 0 && snap->type != RBD_SNAP_NAMESPACE_TYPE_USER) {
        rc =
            fs_error_set(err, FS_ERR_CONFIG, EOPNOTSUPP,
                         "the point is an RBD group snapshot here, which cannot be cloned: run the "
                         "drill at the other site");
    }
    if (rc == 0) {
        snprintf(ret_snap, FS_SNAP_NAME_SIZE, "%s", snap->name);
    }
    fs_snap_list_fini(&snaps);
    fs_image_close(&image);
    return rc;
}

static int make_clone(struct fs_site *site, const struct fs_image_ref *parent, const char *snap,
                      const struct fs_image_ref *clone, struct fs_error *err)
{
    rbd_image_options_t options;
    rados_ioctx_t ioctx;
    int rc = fs_cluster_ioctx(site->cluster, clone->pool, clone->ns, &ioctx, err);

    if (rc < 0) {
        return rc;
    }
    rbd_image_options_create(&options);
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_CLONE_FORMAT, 2);
    rc = rbd_clone3(ioctx, parent->name, snap, ioctx, clone->name, options);
    rbd_image_options_destroy(options);
    rados_ioctx_destroy(ioctx);
    return rc < 0 ? fs_cluster_error(err, rc, "cannot clone %s@%s", parent->name, snap) : 0;
}

/* Take the metadata off that the clone got from its parent; returns the number that is left. */
static int remove_metadata(rbd_image_t image, struct fs_error *err)
{
    for (;;) {
        char keys[16384], values[65536];
        size_t n_keys = sizeof(keys), n_values = sizeof(values);
        int rc = rbd_metadata_list(image, "", 1, keys, &n_keys, values, &n_values);

        if (rc < 0) {
            return fs_cluster_error(err, rc, "cannot read its metadata");
        }
        if (n_keys == 0) {
            return 0;
        }
        rc = rbd_metadata_remove(image, keys);
        if (rc < 0 && rc != -ENOENT) {
            return fs_cluster_error(err, rc, "cannot remove the label %.64s", keys);
        }
    }
}

static int stamp_clone(struct fs_site *site, const struct fs_drill *drill,
                       const struct fs_image_ref *clone, struct fs_error *err)
{
    char id[FS_UUID_TEXT];
    rbd_image_t image;
    rados_ioctx_t ioctx;
    int rc = fs_cluster_ioctx(site->cluster, clone->pool, clone->ns, &ioctx, err);

    if (rc < 0) {
        return rc;
    }
    rc = rbd_open(ioctx, clone->name, &image, NULL);
    if (rc < 0) {
        fs_cluster_error(err, rc, "cannot open it");
    } else {
        rc = remove_metadata(image, err);
        if (rc == 0) {
            fs_uuid_format(&drill->id, id);
            rc = rbd_metadata_set(image, FS_DRILL_KEY, id);
            if (rc < 0) {
                fs_cluster_error(err, rc, "cannot stamp it");
            }
        }
        rbd_close(image);
    }
    rados_ioctx_destroy(ioctx);
    return rc;
}

static int make_clones(struct fs_site *site, struct fs_record *record,
                       const struct fs_record_point *point, struct fs_drill *drill,
                       struct fs_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < point->n_contents; i++) {
        const struct fs_image_ref *clone = &drill->images[i].clone;
        struct fs_image_ref parent;
        char snap[FS_SNAP_NAME_SIZE];

        rc = find_parent(site, record, &point->contents[i], &parent, snap, err);
        if (rc == 0) {
            rc = make_clone(site, &parent, snap, clone, err);
            fs_fault("drill.cloned");
        }
        if (rc == 0) {
            rc = stamp_clone(site, drill, clone, err);
            fs_fault("drill.stamped");
        }
        with_clone(rc, clone, err);
    }
    return rc;
}

static int name_clones(struct fs_record *record, const struct fs_record_point *point,
                       struct fs_drill *drill, struct fs_error *err)
{
    char id[FS_UUID_TEXT];

    fs_uuid_format(&drill->id, id);
    for (size_t i = 0; i < point->n_contents; i++) {
        const struct fs_record_volume *volume =
            fs_record_find_volume(record, &point->contents[i].volume);
        struct fs_drill_image *image = &drill->images[i];

        if (!volume) {
            return fs_error_set(err, FS_ERR_DATA, EINVAL,
                                "the record names a volume in a point that it does not know");
        }
        const char *name = volume->volume.image.name;

        image->volume = point->contents[i].volume;
        image->clone = volume->volume.image;
        image->clone.image_id[0] = '\0';
        snprintf(image->parent, sizeof(image->parent), "%s", name);
        if (snprintf(image->clone.name, sizeof(image->clone.name), FS_DRILL_PREFIX "%.8s.%s", id,
                     name) >= (int)sizeof(image->clone.name)) {
            return fs_error_set(err, FS_ERR_CONFIG, ENAMETOOLONG,
                                "the name of a clone of %.100s would be too long", name);
        }
    }
    drill->n_images = point->n_contents;
    return 0;
}

int fs_drill_make(struct fs_site *site, struct fs_record *record, struct fs_drill *drill,
                  struct fs_error *err)
{
    const struct fs_record_point *point = fs_record_find_point(record, &drill->point);
    struct fs_error ignored = FS_ERROR_INIT;
    int rc;

    if (!point || point->state != FS_POINT_COMMITTED) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "this site does not hold that point");
    }
    rc = name_clones(record, point, drill, err);
    if (rc == 0 && fs_holds_add(&site->drills, &drill->point) < 0) {
        rc = fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to hold a point");
    }
    if (rc < 0) {
        return rc;
    }
    fs_fault("drill.store");
    rc = store(site, drill, false, err);
    if (rc == 0) {
        fs_fault("drill.stored");
        rc = make_clones(site, record, point, drill, err);
    }
    if (rc == 0) {
        drill->ready = true;
        rc = store(site, drill, false, err);
        fs_fault("drill.ready");
    }
    if (rc < 0) {
        (void)fs_drill_end(site, drill, &ignored);
    }
    return rc;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Open by name. 1: there is none; -EEXIST: it is somebody else's. */
static int open_clone(const struct fs_drill *drill, rados_ioctx_t ioctx,
                      const struct fs_image_ref *clone, rbd_image_t *ret_image,
                      struct fs_error *err)
{
    char id[FS_UUID_TEXT], found[FS_UUID_TEXT + 64] = "";
    size_t length = sizeof(found) - 1;
    uint64_t overlap = 0;
    int rc = rbd_open(ioctx, clone->name, ret_image, NULL);

    if (rc == -ENOENT) {
        return 1;
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot open it");
    }
    fs_uuid_format(&drill->id, id);
    rc = rbd_metadata_get(*ret_image, FS_DRILL_KEY, found, &length);
    if (rc == -ENOENT) { /* a crash between clone and stamp: its name is ours, and it is a clone */
        rc = rbd_get_overlap(*ret_image, &overlap);
        rc = rc == 0 && overlap == 0 ? -EEXIST : rc;
    } else if (rc >= 0 && strcmp(found, id) != 0) {
        rc = -EEXIST;
    }
    if (rc < 0) {
        rbd_close(*ret_image);
        return rc == -EEXIST ? fs_error_set(err, FS_ERR_CONFIG, EEXIST,
                                            "it is not this drill's: it is not removed")
                             : fs_cluster_error(err, rc, "cannot read its metadata");
    }
    return 0;
}

static int check_unused(const struct fs_cluster *cluster, rbd_image_t image, struct fs_error *err)
{
    struct fs_locker watcher;
    int rc = fs_watcher_find(cluster, image, NULL, &watcher, err);

    return rc == 0 && watcher.present
               ? fs_error_set(err, FS_ERR_CONFIG, EBUSY,
                              "%s still has it open: stop what runs on the drill's images first",
                              watcher.address)
               : rc;
}

/* remove false: only look whether it may be. */
static int end_clone(struct fs_site *site, const struct fs_drill *drill,
                     const struct fs_image_ref *clone, bool remove, struct fs_error *err)
{
    rbd_image_t image;
    rados_ioctx_t ioctx;
    int rc = fs_cluster_ioctx(site->cluster, clone->pool, clone->ns, &ioctx, err);

    if (rc < 0) {
        return rc;
    }
    rc = open_clone(drill, ioctx, clone, &image, err);
    if (rc == 0) {
        rc = check_unused(site->cluster, image, err);
        rbd_close(image);
    } else if (rc == 1) {
        rc = 0;
        remove = false;
    }
    if (rc == 0 && remove) {
        rc = rbd_remove(ioctx, clone->name);
        fs_fault("drill.removed");
        if (rc < 0 && rc != -ENOENT) {
            fs_cluster_error(err, rc, "cannot remove it%s",
                             rc == -ENOTEMPTY ? "; it has snapshots or clones of its own" : "");
        } else {
            rc = 0;
        }
    }
    rados_ioctx_destroy(ioctx);
    return with_clone(rc, clone, err);
}

int fs_drill_end(struct fs_site *site, const struct fs_drill *drill, struct fs_error *err)
{
    int rc = 0;

    for (unsigned pass = 0; rc == 0 && pass < 2; pass++) {
        for (size_t i = 0; rc == 0 && i < drill->n_images; i++) {
            rc = end_clone(site, drill, &drill->images[i].clone, pass == 1, err);
        }
    }
    if (rc == 0) {
        fs_fault("drill.forget");
        rc = forget(site, drill, err);
    }
    if (rc == 0) {
        fs_holds_remove(&site->drills, &drill->point);
    }
    return rc;
}

int fs_drill_note(struct fs_site *site, const struct fs_drill *drill, struct fs_error *err)
{
    return store(site, drill, true, err);
}
