/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the other site would fence, for the plan of a failover: asked of its daemon, or else looked
 * at in its cluster, where the configuration names a way there. Nothing is changed at either site,
 * and an answer never has to be waited for long. LOOP only.
 */
#ifndef FARSHORE_DAEMON_FENCE_LOOK_H
#define FARSHORE_DAEMON_FENCE_LOOK_H

#include "daemon/groups.h"

struct fs_fence_looks;

struct fs_fence_looks *fs_fence_looks_new(struct fs_groups *groups); /* NULL: out of memory */
/* Nothing is called any more; no worker may be at it. */
void fs_fence_looks_free(struct fs_fence_looks *looks);

/* Borrowed for the callback. */
struct fs_fence_view {
    const char *unknown; /* NULL, or why it cannot be told */
    const struct fs_fence *fences;
    size_t count;
    bool all_seen; /* no image of the cluster was left out of others */
    bool more;     /* than these */
};

typedef void fs_fence_view_fn(void *arg, const struct fs_fence_view *view);

/* Ask for whom who's failover of the group would have fenced. done is called once, later, within
 * half a minute. False when out of memory, and then it is not. */
bool fs_fence_look_start(struct fs_fence_looks *looks, const struct fs_group *group,
                         const char *who, fs_fence_view_fn *done, void *arg);

/* FENCE_LOOK and FENCE_SEEN from a peer. */
void fs_fence_look_asked(struct fs_fence_looks *looks, const char *peer,
                         const struct fs_fence_look *look);
void fs_fence_look_answered(struct fs_fence_looks *looks, const char *peer,
                            const struct fs_fence_seen *seen);

/* A round of the loop; returns when it wants to be called again (boot clock). */
int64_t fs_fence_looks_run(struct fs_fence_looks *looks);

#endif
