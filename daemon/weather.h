/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the state of the cluster's pools means for groups. A full pool: librbd's writes and
 * snapshots would wait for ever, so nothing is begun there, what is under way is refused with what
 * is durable kept, and both sites say no_space until there is room. A cluster that is behind with
 * trimming snapshots: points are taken further apart. LOOP only.
 */
#ifndef FARSHORE_DAEMON_WEATHER_H
#define FARSHORE_DAEMON_WEATHER_H

#include "daemon/groups.h"

/* The monitors said this (moved in, left empty). */
void fs_weather_heard(struct fs_groups *groups, struct fs_health *health);
/* They did not answer, or this daemon works no longer: nothing is held back on old news. */
void fs_weather_forget(struct fs_context *ctx);

/* The first full pool that has a volume of the group at this site, or NULL. */
const struct fs_pool_health *fs_weather_full_pool(const struct fs_group *group);
/* How far apart points of the group are to be taken. */
int64_t fs_weather_interval_ns(const struct fs_group *group);
/* The peer refused a point because its cluster is behind with trimming. */
void fs_weather_peer_trims(struct fs_group *group);

/* What it says to an offer; group may be NULL. FS_REFUSE_NONE, or why not, with a message. */
enum fs_refusal fs_weather_admit(const struct fs_context *ctx, const struct fs_group *group,
                                 const struct fs_config_policy *policy,
                                 const struct fs_offer *offer, char *ret_message, size_t size);
void fs_weather_add_verdict(const struct fs_group *group, struct fs_verdict *verdict);

#endif
