/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The announcer over this site's Kubernetes API: Events on the PVCs of the volumes and on their
 * virtual machines, and the time of the newest recovery point in an annotation. Nothing, where the
 * source has `events: false`. LOOP only.
 */
#ifndef FARSHORE_DAEMON_KUBE_ANNOUNCE_H
#define FARSHORE_DAEMON_KUBE_ANNOUNCE_H

#include <event2/event.h>

#include "daemon/announce.h"
#include "daemon/context.h"
#include "daemon/kube/api.h"

struct fs_kube_announce;

/* All are borrowed. NULL when out of memory. */
struct fs_kube_announce *fs_kube_announce_new(struct fs_context *ctx, struct event_base *base,
                                              struct fs_kube_api *api);
void fs_kube_announce_free(struct fs_kube_announce *announce);

/* ctx->config is another one: what was forbidden is tried again; where nothing is to be told any
 * more, what waits is dropped. */
void fs_kube_announce_reconfigure(struct fs_kube_announce *announce);

/* Borrowed; lives as long as announce. */
struct fs_announcer *fs_kube_announce_announcer(struct fs_kube_announce *announce);

#endif
