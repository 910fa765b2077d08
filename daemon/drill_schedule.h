/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drill.every of a policy, at the secondary: clones of the newest point are made, drill.exec tests
 * them, what came of it is remembered in the cluster, and the clones are removed. One at a time at
 * a site, and not again before the interval is over, however it ended. LOOP only.
 */
#ifndef FARSHORE_DAEMON_DRILL_SCHEDULE_H
#define FARSHORE_DAEMON_DRILL_SCHEDULE_H

#include "daemon/drill.h"

struct request;

struct fs_drills {
    struct fs_groups *groups;
    size_t count;
    struct fs_drill *list; /* owned; as the cluster has them; results too */
    bool loaded, loading;
    int64_t retry_ns; /* boot: of the loading */
    struct request *requests;
    /* The scheduled one that is under way: */
    bool scheduled;
    struct fs_drill drill;
    int64_t seen_ns; /* boot: since when this daemon looks for what is due */
};

/* Begin what is due. */
void fs_drill_schedule_run(struct fs_drills *drills);

/* The group's newest result, borrowed; NULL: there is none. */
const struct fs_drill *fs_drills_result(const struct fs_drills *drills,
                                        const struct fs_uuid *group);
/* A drill, or a result, is new or changed. */
void fs_drills_put(struct fs_drills *drills, const struct fs_drill *drill);
void fs_drills_drop(struct fs_drills *drills, const struct fs_uuid *id);

#endif
