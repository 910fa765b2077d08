/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups whose secondary this site is: which offers are let in, the receivers, and the moments
 * that sources report for unchanged groups. LOOP only.
 */
#ifndef FARSHORE_DAEMON_REPLICA_H
#define FARSHORE_DAEMON_REPLICA_H

#include "daemon/groups.h"

/* A peer offers a point; offer is moved in. Answers or refuses on the stream. */
void fs_replica_offer(struct fs_groups *groups, const char *peer, struct fs_session *session,
                      uint32_t stream, struct fs_offer *offer);

/* CURRENT: recorded durably, then acknowledged, for those groups whose newest point it names. */
void fs_replica_current(struct fs_groups *groups, const char *peer,
                        const struct fs_current_list *list);

#endif
