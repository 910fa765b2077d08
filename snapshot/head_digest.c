/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/head_digest.h"

#include <stdlib.h>

struct head {
    struct fs_digest_image image;
    bool open;
};

struct fs_head_digest {
    struct fs_cluster *cluster;
    const struct fs_target *targets;
    size_t n_targets;
    struct head heads[]; /* opened when they are asked for */
};

struct fs_head_digest *fs_head_digest_new(struct fs_cluster *cluster,
                                          const struct fs_target *targets, size_t n_targets)
{
    struct fs_head_digest *heads = calloc(1, sizeof(*heads) + n_targets * sizeof(heads->heads[0]));

    if (heads) {
        heads->cluster = cluster;
        heads->targets = targets;
        heads->n_targets = n_targets;
    }
    return heads;
}

void fs_head_digest_free(struct fs_head_digest *heads)
{
    for (size_t i = 0; heads && i < heads->n_targets; i++) {
        if (heads->heads[i].open) {
            fs_digest_image_close(&heads->heads[i].image);
        }
    }
    free(heads);
}

static int open_head(struct fs_head_digest *heads, size_t i, struct fs_error *err)
{
    const struct fs_target *target = &heads->targets[i];
    struct head *head = &heads->heads[i];
    /* What librbd has cached of an earlier restore must be where the OSDs look. */
    int rc = rbd_flush(target->image.handle);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot flush");
    }
    rc = fs_digest_image_open(heads->cluster, &target->ref, LIBRADOS_SNAP_HEAD,
                              target->geometry.size, &head->image, err);
    if (rc < 0) {
        fs_digest_image_close(&head->image);
    }
    head->open = rc == 0;
    return rc;
}

int fs_head_digest_next(struct fs_head_digest *heads, const struct fs_digest_query *query,
                        struct fs_digest_list *list, struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    size_t i = 0;

    while (i < heads->n_targets && !fs_uuid_equal(&heads->targets[i].volume, &query->volume)) {
        i++;
    }
    if (i == heads->n_targets) {
        return fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "the transfer has no such volume");
    }
    int rc = heads->heads[i].open ? 0 : open_head(heads, i, err);

    if (rc == 0) {
        rc = fs_digest_image_next(&heads->heads[i].image, query->from, query->to, query->unit, list,
                                  err);
    }
    if (rc < 0) {
        fs_error_context(err, "image %s", fs_image_spec(&heads->targets[i].ref, spec));
    }
    return rc;
}
