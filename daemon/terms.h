/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which site may ship: the terms of the groups that two sites share, as each tells the other, and
 * what follows for a site that hears of a higher one, or of its own number at the other site. LOOP
 * only.
 */
#ifndef FARSHORE_DAEMON_TERMS_H
#define FARSHORE_DAEMON_TERMS_H

#include "daemon/groups.h"

/* To a peer that knows TERMS: all groups that are shared with it. */
void fs_terms_send(struct fs_groups *groups, const char *peer);
/* The same of one group, whose term or role changed. */
void fs_terms_send_group(struct fs_group *group);

/* TERMS of a peer. */
void fs_terms_heard(struct fs_groups *groups, const char *peer, const struct fs_terms *terms);
/* The peer has, or claims in an offer, this term of the group as its primary: where it is higher
 * than ours, or clashes with it, what is shipped stops at once, and fs_terms_run stores it. fence:
 * and whoever it supersedes is to fence its users. */
void fs_terms_learn(struct fs_group *group, const struct fs_term *term, bool fence);

/* Store what was heard; a round of the loop. */
void fs_terms_run(struct fs_groups *groups);

#endif
