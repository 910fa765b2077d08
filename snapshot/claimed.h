/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims as grouping asks for them: by image, with their labels read. Pure; any thread.
 */
#ifndef FARSHORE_SNAPSHOT_CLAIMED_H
#define FARSHORE_SNAPSHOT_CLAIMED_H

#include <jansson.h>

#include "farshore/claim.h"

struct fs_claimed_image {
    const struct fs_claim *claim; /* borrowed */
    json_t *labels;               /* NULL: nothing selects it */
    json_t *group_labels;         /* of all disks of its VM; labels where there is no VM */
    bool seen;                    /* the image is there; set by grouping */
};

struct fs_claimed {
    struct fs_claimed_image *images; /* by pool, RADOS namespace and image name */
    size_t count;
};

/* claims is borrowed until fini. 0 or -ENOMEM. */
int fs_claimed_init(struct fs_claimed *claimed, const struct fs_claims *claims);
void fs_claimed_fini(struct fs_claimed *claimed);

/* NULL: no claim names it. */
struct fs_claimed_image *fs_claimed_find(const struct fs_claimed *claimed, const char *pool,
                                         const char *ns, const char *image);

#endif
