/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nouns that every module shares: terms, volumes, points, extents. Plain data; no I/O here.
 * Offsets, lengths and sizes are bytes. Moments are nanoseconds of this site's wall clock (the
 * wire carries ages, never moments).
 */
#ifndef FARSHORE_MODEL_H
#define FARSHORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farshore/uuid.h"

/* Sizes of text fields, each with its terminating NUL. */
#define FS_NAME_SIZE       256 /* a group's, a policy's, a site's, a Kubernetes object's name */
#define FS_POOL_SIZE       128 /* a pool's or a RADOS namespace's name */
#define FS_IMAGE_NAME_SIZE 256 /* an RBD image's name; longer ones are refused with a reason */
#define FS_IMAGE_ID_SIZE   64  /* an RBD image's internal id */
#define FS_SNAP_NAME_SIZE  80  /* farshore.<term>.<seq>.<8 hex> */

/* What one group may hold; more is a state with its reason. */
#define FS_VOLUMES_MAX 64
#define FS_POINTS_MAX  1024

enum fs_role {
    FS_ROLE_NONE = 0,
    FS_ROLE_PRIMARY,    /* written by its users, shipped from here */
    FS_ROLE_SECONDARY,  /* applied to here */
    FS_ROLE_PROMOTING,  /* term raised, images still held */
    FS_ROLE_DEMOTED,    /* has stopped taking writes on purpose */
    FS_ROLE_SUPERSEDED, /* an old primary that learned of a higher term */
    FS_ROLE_RECORD_LOST,
};

const char *fs_role_name(enum fs_role role);                 /* "primary", ...; static storage */
int fs_role_parse(const char *name, enum fs_role *ret_role); /* 0 or -EINVAL */

/* Terms are ordered by number; equal numbers of different sites are a split brain. */
struct fs_term {
    uint64_t number;
    struct fs_uuid site;
};

/* Where an image is at one site. Its identity is (cluster fsid, pool id, ns, image id). */
struct fs_image_ref {
    int64_t pool_id;
    char pool[FS_POOL_SIZE];
    char ns[FS_POOL_SIZE]; /* RADOS namespace; "" is the default one */
    char image_id[FS_IMAGE_ID_SIZE];
    char name[FS_IMAGE_NAME_SIZE]; /* as last seen: a rename changes it, the identity stays */
};

/* Same identity within one cluster; names are not compared. */
bool fs_image_ref_same(const struct fs_image_ref *a, const struct fs_image_ref *b);
/* "pool/image" or "pool/ns/image" for people; returns ret_text. */
#define FS_IMAGE_SPEC_SIZE (2 * FS_POOL_SIZE + FS_IMAGE_NAME_SIZE)
char *fs_image_spec(const struct fs_image_ref *ref, char ret_text[FS_IMAGE_SPEC_SIZE]);

/* What the target image must have alike. From rbd_stat, rbd_get_stripe_unit and _count. */
struct fs_geometry {
    uint64_t size;
    uint8_t order; /* object size is 1 << order, 12 to 25 */
    uint64_t stripe_unit;
    uint64_t stripe_count;
};

/* A protected image as discovery sees it at its own site. */
struct fs_volume {
    struct fs_uuid uuid; /* the same at both sites; zero until the volume is in a record */
    struct fs_image_ref image;
    char pvc_namespace[FS_NAME_SIZE]; /* "" where unknown */
    char pvc[FS_NAME_SIZE];
    char vm[FS_NAME_SIZE];
    char *labels; /* owned; JSON object text of the labels that travel, or NULL */
};

/* What a volume of that group is called while it is copied beside it: GROUP+PVC, or GROUP+IMAGE
 * where no PVC is known. 0, or -ENAMETOOLONG. */
int fs_group_name_beside(const char *group, const struct fs_volume *volume,
                         char ret_name[FS_NAME_SIZE]);

void fs_volume_fini(struct fs_volume *volume);
/* 0 or -ENOMEM; ret_copy needs fs_volume_fini. */
int fs_volume_copy(const struct fs_volume *volume, struct fs_volume *ret_copy);

/* Flags of a point; they travel and are recorded. */
#define FS_POINT_NOT_ONE_INSTANT (1u << 0)
#define FS_POINT_VOLUME_MISSING  (1u << 1) /* a new volume is not in it yet */
/* Everything that the policy names was frozen at its instant; otherwise it is as after a crash. */
#define FS_POINT_APPLICATION (1u << 2)

/* What identifies a point at both sites. */
struct fs_point_id {
    struct fs_uuid id;
    struct fs_term term;
    uint64_t seq;
};

/* farshore.<term>.<seq>.<first 8 hex digits of the id>; returns ret_name. */
char *fs_point_snap_name(const struct fs_point_id *point, char ret_name[FS_SNAP_NAME_SIZE]);
/* farshore.mark.<8 hex digits of the id>; returns ret_name. */
char *fs_point_mark_name(const struct fs_point_id *point, char ret_name[FS_SNAP_NAME_SIZE]);

enum fs_extent_kind {
    FS_EXTENT_DATA = 0,
    FS_EXTENT_ZERO = 1, /* reads as zeroes at the point: travels without content */
};

/* A run of bytes of one volume, changed between a base and a point. */
struct fs_extent {
    uint64_t offset;
    uint64_t length;
    enum fs_extent_kind kind;
};

/* A 128-bit digest; XXH3 128 in canonical (big endian) form. */
struct fs_digest {
    uint8_t b[16];
};

#define FS_DIGEST_TEXT 33
void fs_digest_format(const struct fs_digest *digest, char ret_text[FS_DIGEST_TEXT]);
int fs_digest_parse(const char *text, struct fs_digest *ret_digest); /* 0 or -EINVAL */

/* The Kubernetes objects that a point carries, by name; see farshore/captured.h. */
struct fs_captured {
    uint32_t size; /* of the document, bytes; 0: none */
    struct fs_digest digest;
    bool stale; /* the newest that were known: the API did not say what they were at the time */
};

/*
 * How far one volume of one incoming point has been applied. Everything of the point below
 * offset is in the image, and chain is the digest over it; offset 0 has the zero chain.
 */
struct fs_position {
    uint64_t offset;
    struct fs_digest chain;
};

#endif
