/* SPDX-License-Identifier: Apache-2.0 */
/* What grouping.c and grouping_image.c share: only for those. */
#ifndef FARSHORE_SNAPSHOT_GROUPING_PRIVATE_H
#define FARSHORE_SNAPSHOT_GROUPING_PRIVATE_H

#include "snapshot/claimed.h"
#include "snapshot/grouping.h"

/* What gave a group's name its last part. */
enum fs_origin {
    FS_ORIGIN_OWN, /* the image, or the PVC */
    FS_ORIGIN_VM,
    FS_ORIGIN_LABEL,
    FS_ORIGIN_TRAVELLED, /* the whole name came from the other site */
};

struct fs_member {
    struct fs_volume volume;
    char name[FS_NAME_SIZE]; /* of the group, by the labels */
    enum fs_origin origin;
    bool claimed; /* a PVC names it: the name begins with its namespace, not with the pool */
    const struct fs_discovery_policy *policy;
    struct fs_uuid stamped; /* the group's; zero: not stamped */
    bool joins;             /* it may join a stamped group, and makes none */
    bool beside;            /* by its stamp it is copied beside the group that its labels name */
    char problem[256];
};

struct fs_grouping {
    const struct fs_discovery_policy *policies;
    size_t n_policies;
    struct fs_claimed claimed;
    bool claims_only;          /* metadata of images that no claim names counts only with a stamp */
    struct fs_member *members; /* owned */
    size_t n_members;
    size_t room;
    struct fs_discovery found; /* skipped ones as they come; groups at the end */
    size_t room_skipped;
};

/* One more that cannot be protected; 0 or -ENOMEM. */
int fs_grouping_skip(struct fs_grouping *grouping, const struct fs_image_ref *image,
                     const char *policy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The selected claims whose image was not added, each with the reason. Once, before the end. */
int fs_grouping_skip_unseen(struct fs_grouping *grouping);
/* What people read must be text, also where it was cut or never was. */
void fs_grouping_clean(char *text);

#endif
