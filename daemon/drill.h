/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drills of this site: what there is, with its age, and the command that makes and ends them.
 * They go on beside everything else that a group does. LOOP only.
 */
#ifndef FARSHORE_DAEMON_DRILL_H
#define FARSHORE_DAEMON_DRILL_H

#include "daemon/control.h"
#include "daemon/groups.h"

struct fs_drills;

struct fs_drills *fs_drills_new(struct fs_groups *groups); /* NULL when out of memory */
void fs_drills_free(struct fs_drills *drills);

/* `drill`: makes one of the newest point or of "point"; with "end" removes all of the group; with
 * "note" (an id) and "exit" records what came of its test. */
void fs_drills_command(struct fs_drills *drills, struct fs_call *call, const json_t *request,
                       struct fs_group *group);
/* The client went away; what has begun goes on. */
void fs_drills_gone(struct fs_drills *drills, struct fs_call *call);

/* Those of a group, oldest first; a new reference. */
json_t *fs_drills_status(const struct fs_drills *drills, const struct fs_group *group);

/* What came of the newest one that ended, or NULL; a new reference. */
json_t *fs_drills_last(const struct fs_drills *drills, const struct fs_group *group);

/* A round of the loop; the site's work stops. */
void fs_drills_run(struct fs_drills *drills);
void fs_drills_stop(struct fs_drills *drills);

#endif
