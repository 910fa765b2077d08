/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fencing across the link: a site that is about to be promoted has the peer fence its users, and a
 * site that was superseded by such a promotion fences its own. LOOP only.
 */
#ifndef FARSHORE_DAEMON_FENCE_PEER_H
#define FARSHORE_DAEMON_FENCE_PEER_H

#include "daemon/operation.h"

/* FENCE_WANT and FENCE_DONE from a peer. */
void fs_fence_peer_wanted(struct fs_groups *groups, const char *peer,
                          const struct fs_fence_want *want);
void fs_fence_peer_done(struct fs_groups *groups, const char *peer,
                        const struct fs_fence_done *done);
/* A round of the loop: answers that are due, and users that are still to be fenced. */
void fs_fence_peer_run(struct fs_groups *groups);

enum fs_fence_answer {
    FS_FENCE_WAIT,       /* ask again next round */
    FS_FENCE_FENCED,     /* nobody is on the peer's volumes any more */
    FS_FENCE_IMPOSSIBLE, /* text says why */
};

/* For the group's operation: have the peer fence, with the term that is about to be raised to. */
enum fs_fence_answer fs_fence_peer_ask(struct fs_group *group, uint64_t number, char *text,
                                       size_t size);

#endif
