/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which recovery points a target keeps. Periods are counted in UTC (weeks begin on Monday) by the
 * moment a point was taken, and of each period its newest point is kept. Pure; any thread.
 */
#ifndef FARSHORE_RETENTION_H
#define FARSHORE_RETENTION_H

#include "farshore/record.h"

struct fs_retention {
    unsigned latest; /* the newest so many points; 0 counts as 1 */
    unsigned hourly; /* the newest point of each of the last so many hours that have one */
    unsigned daily;
    unsigned weekly;
};

enum fs_keep {
    FS_KEEP_LATEST = 1u << 0,
    FS_KEEP_HOURLY = 1u << 1,
    FS_KEEP_DAILY = 1u << 2,
    FS_KEEP_WEEKLY = 1u << 3,
};

/* ret_keep[i] (n_points of them): the rules (enum fs_keep) that keep point i of the record; 0 where
 * none does, and where it is not committed. */
void fs_retention_judge(const struct fs_retention *rules, const struct fs_record *record,
                        unsigned *ret_keep);

/*
 * Mark the committed points that no rule keeps as FS_POINT_TAKING (not a point any more, its
 * snapshots may or may not exist). Never the newest, and never base, which the other site may still
 * have to start from. Returns how many.
 */
size_t fs_retention_let_go(const struct fs_retention *rules, struct fs_record *record,
                           const struct fs_uuid *base);

#endif
