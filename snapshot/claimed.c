/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/claimed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const struct fs_claim *claim, const char *pool, const char *ns,
                   const char *image)
{
    int order = strcmp(claim->pool, pool);

    if (order == 0) {
        order = strcmp(claim->rados_ns, ns);
    }
    return order != 0 ? order : strcmp(claim->image, image);
}

/* Of two claims that name one image the first in order of name is found. */
static int by_image(const void *left, const void *right)
{
    const struct fs_claim *a = ((const struct fs_claimed_image *)left)->claim;
    const struct fs_claim *b = ((const struct fs_claimed_image *)right)->claim;
    int order = compare(a, b->pool, b->rados_ns, b->image);

    if (order == 0) {
        order = strcmp(a->ns, b->ns);
    }
    return order != 0 ? order : strcmp(a->name, b->name);
}

static int read_labels(const struct fs_claim *claim, struct fs_claimed_image *image)
{
    if (claim->labels == NULL) {
        return 0;
    }
    image->labels = json_loads(claim->labels, 0, NULL);
    image->group_labels = claim->group_labels != NULL ? json_loads(claim->group_labels, 0, NULL)
                                                      : json_incref(image->labels);
    return image->labels != NULL && image->group_labels != NULL ? 0 : -ENOMEM;
}

int fs_claimed_init(struct fs_claimed *claimed, const struct fs_claims *claims)
{
    int rc = 0;

    *claimed = (struct fs_claimed){.images = calloc(claims->count + 1, sizeof(*claimed->images))};
    if (claimed->images == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < claims->count && rc == 0; i++) {
        struct fs_claimed_image *image = &claimed->images[claimed->count++];

        image->claim = &claims->list[i];
        rc = read_labels(image->claim, image);
    }
    if (claimed->count > 0) {
        qsort(claimed->images, claimed->count, sizeof(*claimed->images), by_image);
    }
    return rc;
}

void fs_claimed_fini(struct fs_claimed *claimed)
{
    for (size_t i = 0; i < claimed->count; i++) {
        json_decref(claimed->images[i].labels);
        json_decref(claimed->images[i].group_labels);
    }
    free(claimed->images);
    *claimed = (struct fs_claimed){0};
}

struct fs_claimed_image *fs_claimed_find(const struct fs_claimed *claimed, const char *pool,
                                         const char *ns, const char *image)
{
    size_t low = 0;
    size_t high = claimed->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(claimed->images[middle].claim, pool, ns, image) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < claimed->count && compare(claimed->images[low].claim, pool, ns, image) == 0
               ? &claimed->images[low]
               : NULL;
}
