/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/buf.h"
#include "farshore/sink.h"

static const char *const role_names[] = {
    [FS_ROLE_NONE] = "none",
    [FS_ROLE_PRIMARY] = "primary",
    [FS_ROLE_SECONDARY] = "secondary",
    [FS_ROLE_PROMOTING] = "promoting",
    [FS_ROLE_DEMOTED] = "demoted",
    [FS_ROLE_SUPERSEDED] = "superseded",
    [FS_ROLE_RECORD_LOST] = "record-lost",
};

#define N_ROLES (sizeof(role_names) / sizeof(role_names[0]))

const char *fs_role_name(enum fs_role role)
{
    return (size_t)role < N_ROLES ? role_names[role] : "unknown";
}

int fs_role_parse(const char *name, enum fs_role *ret_role)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        if (strcmp(name, role_names[i]) == 0) {
            *ret_role = (enum fs_role)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool fs_image_ref_same(const struct fs_image_ref *a, const struct fs_image_ref *b)
{
    return a->pool_id == b->pool_id && strcmp(a->ns, b->ns) == 0 &&
           strcmp(a->image_id, b->image_id) == 0;
}

char *fs_image_spec(const struct fs_image_ref *ref, char ret_text[FS_IMAGE_SPEC_SIZE])
{
    snprintf(ret_text, FS_IMAGE_SPEC_SIZE, "%s/%s%s%s", ref->pool, ref->ns, ref->ns[0] ? "/" : "",
             ref->name);
    return ret_text;
}

int fs_group_name_beside(const char *group, const struct fs_volume *volume,
                         char ret_name[FS_NAME_SIZE])
{
    int length = snprintf(ret_name, FS_NAME_SIZE, "%s+%s", group,
                          volume->pvc[0] ? volume->pvc : volume->image.name);

    return length < FS_NAME_SIZE ? 0 : -ENAMETOOLONG;
}

void fs_volume_fini(struct fs_volume *volume)
{
    free(volume->labels);
    volume->labels = NULL;
}

int fs_volume_copy(const struct fs_volume *volume, struct fs_volume *ret_copy)
{
    char *labels = NULL;

    if (volume->labels) {
        labels = strdup(volume->labels);
        if (!labels) {
            return -ENOMEM;
        }
    }
    *ret_copy = *volume;
    ret_copy->labels = labels;
    return 0;
}

void fs_offer_fini(struct fs_offer *offer)
{
    for (size_t i = 0; i < offer->n_volumes; i++) {
        fs_volume_fini(&offer->volumes[i].volume);
    }
    free(offer->volumes);
    free(offer->held);
    offer->volumes = NULL;
    offer->n_volumes = 0;
    offer->held = NULL;
    offer->n_held = 0;
}

char *fs_point_snap_name(const struct fs_point_id *point, char ret_name[FS_SNAP_NAME_SIZE])
{
    const uint8_t *id = point->id.b;

    snprintf(ret_name, FS_SNAP_NAME_SIZE, "farshore.%" PRIu64 ".%" PRIu64 ".%02x%02x%02x%02x",
             point->term.number, point->seq, id[0], id[1], id[2], id[3]);
    return ret_name;
}

char *fs_point_mark_name(const struct fs_point_id *point, char ret_name[FS_SNAP_NAME_SIZE])
{
    const uint8_t *id = point->id.b;

    snprintf(ret_name, FS_SNAP_NAME_SIZE, "farshore.mark.%02x%02x%02x%02x", id[0], id[1], id[2],
             id[3]);
    return ret_name;
}

void fs_digest_format(const struct fs_digest *digest, char ret_text[FS_DIGEST_TEXT])
{
    for (size_t i = 0; i < sizeof(digest->b); i++) {
        snprintf(ret_text + 2 * i, 3, "%02x", digest->b[i]);
    }
}

int fs_digest_parse(const char *text, struct fs_digest *ret_digest)
{
    struct fs_digest digest;

    if (strlen(text) != FS_DIGEST_TEXT - 1 || !fs_hex_decode(text, sizeof(digest.b), digest.b)) {
        return -EINVAL;
    }
    *ret_digest = digest;
    return 0;
}
