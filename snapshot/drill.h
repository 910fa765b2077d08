/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drills: writable clones of a point's volumes, made and removed by name, in the state namespace
 *
 *   drills   omap: drill id -> JSON (see drill.c); "result." and a group's uuid -> the JSON of its
 *            newest drill of which it is known how it ended
 *
 * A point with a drill is not let go of by retention (struct fs_site: drills). WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_DRILL_H
#define FARSHORE_SNAPSHOT_DRILL_H

#include "farshore/operator.h"
#include "snapshot/site.h"

#define FS_DRILL_KEY "farshore.drill" /* the stamp of a clone: image metadata */

/* Makes the drill; on failure what was made is removed again as far as possible, and what could
 * not be is listed. */
int fs_drill_make(struct fs_site *site, struct fs_record *record, struct fs_drill *drill,
                  struct fs_error *err);
/* -EBUSY (config) where somebody has a clone open; then none is removed. */
int fs_drill_end(struct fs_site *site, const struct fs_drill *drill, struct fs_error *err);
/* Store what came of the test that it was made for, as the group's newest result too. */
int fs_drill_note(struct fs_site *site, const struct fs_drill *drill, struct fs_error *err);
/* All of the site's; the array is the caller's. */
int fs_drill_load(struct fs_site *site, struct fs_drill **ret_drills, size_t *ret_count,
                  struct fs_error *err);
/* Before retention does anything: the points of all drills are held. */
int fs_drill_hold_points(struct fs_site *site, struct fs_error *err);

/* Text of an entry, and back. Pure. */
char *fs_drill_encode(const struct fs_drill *drill);               /* free; NULL: no memory */
int fs_drill_decode(const char *text, struct fs_drill *ret_drill); /* 0 or -EINVAL */

#endif
