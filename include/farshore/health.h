/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitors say of a cluster's pools: which are full, and how many removed snapshots wait
 * to be trimmed. Plain data; what it means for groups is daemon/weather.h.
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
};

struct fs_health {
    /* A manager tells the monitors what was trimmed. Without one the numbers only grow. */
    bool trim_known;
    size_t n_pools;
    struct fs_pool_health *pools; /* owned */
};

void fs_health_fini(struct fs_health *health);
/* Borrowed; NULL where there is no such pool, or nothing is known yet. */
const struct fs_pool_health *fs_health_pool(const struct fs_health *health, const char *name);
/* Of all pools. */
uint64_t fs_health_trimming(const struct fs_health *health);

/* From the JSON of the monitor commands `osd dump` and `status`. Errors are of class PERMANENT:
 * what is said cannot be understood. ANY thread. */
int fs_health_parse(const char *osd_dump, size_t osd_dump_length, const char *status,
                    size_t status_length, struct fs_health *ret_health, struct fs_error *err);

#endif
