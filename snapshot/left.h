/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was kept aside of a group: snapshots farshore.left.<term>.<n> of its images (tamper.h). They
 * are nobody's but an operator's: listed, and removed by name only. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_LEFT_H
#define FARSHORE_SNAPSHOT_LEFT_H

#include "farshore/operator.h"
#include "snapshot/site.h"

/* The array is the caller's; images that are gone have none. */
int fs_left_list(struct fs_site *site, const struct fs_record *record, struct fs_left **ret_list,
                 size_t *ret_count, struct fs_error *err);

/* Remove the snapshot of that name from every image of the group that has it. -ENOENT: none has.
 * Nothing else of the group may be under way. */
int fs_left_discard(struct fs_site *site, struct fs_record *record, const char *name,
                    struct fs_error *err);

#endif
