/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitors say of a cluster: its version and flags, which pools are full, what is stored
 * in them, and how many removed snapshots wait to be trimmed. Plain data; what it means for groups
 * is daemon/weather.h.
 */
#ifndef FARSHORE_HEALTH_H
#define FARSHORE_HEALTH_H

#include "farshore/error.h"
#include "farshore/model.h"

struct fs_pool_health {
    char name[FS_POOL_SIZE];
    bool full;         /* writes to it wait, or fail */
    bool nearfull;     /* an OSD of it is above the nearfull ratio, or it is full */
    bool quota;        /* because of its quota */
    uint64_t trimming; /* snapshots that were removed and are not known to be trimmed */
    /* What clients have stored in it, and what they still can; managers report it. */
    bool space_known;
    uint64_t stored, available;
};

struct fs_health {
    /* A manager tells the monitors what was trimmed. Without one the numbers only grow. */
    bool trim_known;
    char flags[256];  /* of the OSD map, "noout,sortbitwise"; those that do not fit are left out */
    char version[32]; /* "16.2.15"; "": not known */
    /* The client may read keys, which Farshore never does: its mon cap is wider than need be. */
    bool wide_caps;
    size_t n_pools;
    struct fs_pool_health *pools; /* owned */
};

void fs_health_fini(struct fs_health *health);
/* Borrowed; NULL where there is no such pool, or nothing is known yet. */
const struct fs_pool_health *fs_health_pool(const struct fs_health *health, const char *name);
/* Of all pools. */
uint64_t fs_health_trimming(const struct fs_health *health);

struct fs_health_text { /* borrowed; need not end with NUL */
    const char *text;
    size_t length;
};

/* From the JSON of the monitor commands `osd dump`, `status` and `df`; the latter may be empty.
 * version and wide_caps are left empty. Errors are of class PERMANENT: what is said cannot be
 * understood. ANY thread. */
int fs_health_parse(struct fs_health_text osd_dump, struct fs_health_text status,
                    struct fs_health_text df, struct fs_health *ret_health, struct fs_error *err);
/* "16.2.15" of "ceph version 16.2.15 (0123abc) pacific (stable)"; else "". Returns ret_version. */
char *fs_health_version(const char *text, size_t length, char *ret_version, size_t size);

#endif
