/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/omap.h"

#include <stdlib.h>
#include <string.h>

void fs_omap_fini(struct fs_omap *omap)
{
    for (size_t i = 0; i < omap->count; i++) {
        free(omap->pairs[i].key);
        free(omap->pairs[i].value);
    }
    free(omap->pairs);
    *omap = (struct fs_omap){0};
}

const char *fs_omap_get(const struct fs_omap *omap, const char *key)
{
    for (size_t i = 0; i < omap->count; i++) {
        if (strcmp(omap->pairs[i].key, key) == 0) {
            return omap->pairs[i].value;
        }
    }
    return NULL;
}

int fs_omap_reserve(struct fs_omap *omap, size_t more)
{
    struct fs_omap_pair *pairs = realloc(omap->pairs, (omap->count + more) * sizeof(*pairs));

    if (pairs == NULL && omap->count + more > 0) {
        return -ENOMEM;
    }
    omap->pairs = pairs;
    return 0;
}

int fs_omap_append(struct fs_omap *omap, const char *key, size_t key_length, const void *value,
                   size_t length)
{
    struct fs_omap_pair *pair = &omap->pairs[omap->count];

    pair->key = strndup(key, key_length);
    pair->value = calloc(1, length + 1);
    if (pair->key == NULL || pair->value == NULL) {
        free(pair->key);
        free(pair->value);
        return -ENOMEM;
    }
    if (length > 0) {
        memcpy(pair->value, value, length);
    }
    pair->length = length;
    omap->count++;
    return 0;
}

/* Appends what iter holds; releases nothing. */
static int take_pairs(rados_omap_iter_t iter, struct fs_omap *omap)
{
    char *key, *value;
    size_t key_length, length;
    int rc = fs_omap_reserve(omap, rados_omap_iter_size(iter));

    while (rc == 0) {
        rc = rados_omap_get_next2(iter, &key, &value, &key_length, &length);
        if (rc < 0 || key == NULL) {
            break;
        }
        rc = fs_omap_append(omap, key, key_length, value, length);
    }
    return rc;
}

static int read_page(rados_ioctx_t ioctx, const char *object, struct fs_omap *omap,
                     unsigned char *ret_more)
{
    const char *after = omap->count > 0 ? omap->pairs[omap->count - 1].key : "";
    rados_read_op_t op = rados_create_read_op();
    rados_omap_iter_t iter = NULL;
    int op_rc = 0;
    int rc;

    rados_read_op_omap_get_vals2(op, after, "", FS_OMAP_PAGE, &iter, ret_more, &op_rc);
    rc = rados_read_op_operate(op, ioctx, object, LIBRADOS_OPERATION_NOFLAG);
    if (rc == 0) {
        rc = op_rc;
    }
    if (rc == 0) {
        rc = take_pairs(iter, omap);
    }
    if (iter != NULL) {
        rados_omap_get_end(iter);
    }
    rados_release_read_op(op);
    return rc;
}

int fs_omap_read(rados_ioctx_t ioctx, const char *object, size_t limit, struct fs_omap *ret_omap)
{
    unsigned char more = 1;
    int rc = 0;

    *ret_omap = (struct fs_omap){0};
    while (rc == 0 && more) {
        size_t before = ret_omap->count;

        rc = read_page(ioctx, object, ret_omap, &more);
        if (rc == 0 && ret_omap->count > limit) {
            rc = -EFBIG;
        }
        if (rc == 0 && more && ret_omap->count == before) {
            rc = -EIO; /* it says that there is more and gives nothing */
        }
    }
    if (rc < 0) {
        fs_omap_fini(ret_omap);
    }
    return rc;
}

int fs_omap_read_keys(rados_ioctx_t ioctx, const char *object, const char *const *keys,
                      size_t n_keys, struct fs_omap *ret_omap)
{
    rados_read_op_t op = rados_create_read_op();
    size_t *lengths = calloc(n_keys, sizeof(*lengths));
    rados_omap_iter_t iter = NULL;
    int op_rc = 0;
    int rc = -ENOMEM;

    *ret_omap = (struct fs_omap){0};
    if (lengths != NULL) {
        for (size_t i = 0; i < n_keys; i++) {
            lengths[i] = strlen(keys[i]);
        }
        rados_read_op_omap_get_vals_by_keys2(op, keys, n_keys, lengths, &iter, &op_rc);
        rc = rados_read_op_operate(op, ioctx, object, LIBRADOS_OPERATION_NOFLAG);
        if (rc == 0) {
            rc = op_rc;
        }
        if (rc == 0) {
            rc = take_pairs(iter, ret_omap);
        }
    }
    if (iter != NULL) {
        rados_omap_get_end(iter);
    }
    rados_release_read_op(op);
    free(lengths);
    if (rc < 0) {
        fs_omap_fini(ret_omap);
    }
    return rc;
}

rados_write_op_t fs_omap_change(void)
{
    return rados_create_write_op();
}

void fs_omap_expect(rados_write_op_t op, const char *key, const char *value)
{
    rados_write_op_omap_cmp2(op, key, LIBRADOS_CMPXATTR_OP_EQ, value, strlen(key), strlen(value),
                             NULL);
}

void fs_omap_set(rados_write_op_t op, const char *key, const char *value, size_t length)
{
    size_t key_length = strlen(key);

    rados_write_op_omap_set2(op, &key, &value, &key_length, &length, 1);
}

void fs_omap_remove(rados_write_op_t op, const char *key)
{
    size_t key_length = strlen(key);

    rados_write_op_omap_rm_keys2(op, &key, &key_length, 1);
}

int fs_omap_apply(rados_ioctx_t ioctx, const char *object, rados_write_op_t op)
{
    /* FULL_TRY: a change that adds no objects goes through on a full cluster, others fail at once
     * with ENOSPC instead of waiting for space. */
    int rc = rados_write_op_operate2(op, ioctx, object, NULL, LIBRADOS_OPERATION_FULL_TRY);

    rados_release_write_op(op);
    return rc;
}
