/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/captured_keep.h"

#include <stdio.h>
#include <string.h>

#include "farshore/fault.h"
#include "snapshot/omap.h"

/* "objects.", the group, and ".", the digest. */
#define INDEX_SIZE  (FS_UUID_TEXT + 8)
#define OBJECT_SIZE (INDEX_SIZE + FS_DIGEST_TEXT)
/* More than a record's points, and what crashes may have left. */
#define KEPT_MAX (4u * FS_POINTS_MAX)

static char *index_name(const struct fs_uuid *group, char ret_name[INDEX_SIZE])
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(group, text);
    snprintf(ret_name, INDEX_SIZE, "objects.%s", text);
    return ret_name;
}

static char *object_name(const struct fs_uuid *group, const char *digest,
                         char ret_name[OBJECT_SIZE])
{
    char index[INDEX_SIZE];

    snprintf(ret_name, OBJECT_SIZE, "%s.%s", index_name(group, index), digest);
    return ret_name;
}

int fs_captured_keep(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_captured *captured, const void *packed, size_t length,
                     struct fs_error *err)
{
    char index[INDEX_SIZE], object[OBJECT_SIZE], digest[FS_DIGEST_TEXT];
    rados_write_op_t op = fs_omap_change();
    int rc;

    fs_digest_format(&captured->digest, digest);
    object_name(group, digest, object);
    fs_omap_set(op, digest, "", 0);
    rc = fs_omap_apply(fs_state_ioctx(state), index_name(group, index), op);
    if (rc == 0) {
        fs_fault("objects.indexed");
        op = rados_create_write_op();
        rados_write_op_write_full(op, packed, length);
        rc = fs_omap_apply(fs_state_ioctx(state), object, op);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "keeping Kubernetes objects in object %s of pool %s",
                                object, fs_state_pool(state));
    }
    fs_fault("objects.kept");
    return 0;
}

static int read_size(struct fs_state *state, const char *object, uint64_t *ret_size)
{
    time_t changed;

    return rados_stat(fs_state_ioctx(state), object, ret_size, &changed);
}

int fs_captured_find(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_captured *captured, struct fs_error *err)
{
    char object[OBJECT_SIZE], digest[FS_DIGEST_TEXT];
    uint64_t size;

    fs_digest_format(&captured->digest, digest);

    int rc = read_size(state, object_name(group, digest, object), &size);

    return rc < 0 && rc != -ENOENT ? fs_cluster_error(err, rc, "looking for object %s", object)
                                   : rc;
}

static int check(const struct fs_captured *captured, const char *object, struct fs_buf *packed,
                 struct fs_error *err)
{
    struct fs_buf text;
    int rc = fs_captured_unpack(captured, packed->data, packed->length, &text, err);

    fs_buf_fini(&text);
    if (rc < 0) {
        fs_buf_fini(packed);
        fs_error_context(err, "object %s", object);
    }
    return rc;
}

int fs_captured_load(struct fs_state *state, const struct fs_uuid *group,
                     const struct fs_captured *captured, struct fs_buf *ret_packed,
                     struct fs_error *err)
{
    char object[OBJECT_SIZE], digest[FS_DIGEST_TEXT];
    uint64_t size = 0;

    *ret_packed = FS_BUF_INIT;
    fs_digest_format(&captured->digest, digest);

    int rc = read_size(state, object_name(group, digest, object), &size);

    if (rc == 0 && size > FS_CAPTURED_PACKED_MAX) {
        return fs_error_set(err, FS_ERR_DATA, EBADMSG, "object %s is too large to be what it was",
                            object);
    }
    if (rc == 0 && !fs_buf_reserve(ret_packed, size)) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    if (rc == 0) {
        rc = rados_read(fs_state_ioctx(state), object, (char *)ret_packed->data, size, 0);
    }
    if (rc < 0) {
        fs_buf_fini(ret_packed);
        return fs_cluster_error(err, rc, "reading Kubernetes objects from object %s of pool %s",
                                object, fs_state_pool(state));
    }
    ret_packed->length = (size_t)rc;
    return check(captured, object, ret_packed, err);
}

static bool is_named(const struct fs_record *record, const char *digest)
{
    for (size_t i = 0; i < record->n_points; i++) {
        char text[FS_DIGEST_TEXT];

        fs_digest_format(&record->points[i].objects.digest, text);
        if (record->points[i].objects.size > 0 && strcmp(text, digest) == 0) {
            return true;
        }
    }
    return false;
}

static int remove_one(struct fs_state *state, const struct fs_uuid *group, const char *digest)
{
    char index[INDEX_SIZE], object[OBJECT_SIZE];
    rados_write_op_t op = rados_create_write_op();

    rados_write_op_remove(op);

    int rc = fs_omap_apply(fs_state_ioctx(state), object_name(group, digest, object), op);

    if (rc < 0 && rc != -ENOENT) {
        return rc;
    }
    op = fs_omap_change();
    fs_omap_remove(op, digest);
    return fs_omap_apply(fs_state_ioctx(state), index_name(group, index), op);
}

int fs_captured_sweep(struct fs_state *state, const struct fs_record *record, struct fs_error *err)
{
    char index[INDEX_SIZE];
    struct fs_omap kept;
    int rc =
        fs_omap_read(fs_state_ioctx(state), index_name(&record->group, index), KEPT_MAX, &kept);

    if (rc == -ENOENT) {
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < kept.count; i++) {
        struct fs_digest digest;

        if (fs_digest_parse(kept.pairs[i].key, &digest) == 0 &&
            !is_named(record, kept.pairs[i].key)) {
            rc = remove_one(state, &record->group, kept.pairs[i].key);
            fs_fault("objects.removed");
        }
    }
    fs_omap_fini(&kept);
    return rc < 0 ? fs_cluster_error(err, rc, "removing Kubernetes objects of object %s", index)
                  : 0;
}

int fs_captured_forget(struct fs_state *state, const struct fs_uuid *group, struct fs_error *err)
{
    const struct fs_record none = {.group = *group};
    char index[INDEX_SIZE];
    int rc = fs_captured_sweep(state, &none, err);

    if (rc < 0) {
        return rc;
    }
    rados_write_op_t op = rados_create_write_op();

    rados_write_op_remove(op);
    rc = fs_omap_apply(fs_state_ioctx(state), index_name(group, index), op);
    return rc < 0 && rc != -ENOENT ? fs_cluster_error(err, rc, "removing object %s", index) : 0;
}
