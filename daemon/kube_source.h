/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes as a source of volumes: the client of its API as the configuration has it, and the
 * claims that discovery gets. While the API has not been heard since the daemon started, the claims
 * are those that the groups' records remember, so that protection goes on. LOOP only.
 */
#ifndef FARSHORE_DAEMON_KUBE_SOURCE_H
#define FARSHORE_DAEMON_KUBE_SOURCE_H

#include <event2/event.h>
#include <jansson.h>

#include "daemon/context.h"
#include "daemon/kube/api.h"
#include "farshore/claim.h"
#include "farshore/model.h"

struct fs_kube_source;

/* Begins at once where ctx->config has the source. changed: there may be other claims now. NULL
 * when out of memory. */
struct fs_kube_source *fs_kube_source_new(struct fs_context *ctx, struct event_base *base,
                                          void (*changed)(void *arg), void *arg);
void fs_kube_source_free(struct fs_kube_source *source);

/* ctx->config is another one: starts, ends, or begins anew with other selectors. */
void fs_kube_source_reconfigure(struct fs_kube_source *source);

/* 0; -EAGAIN: the API was asked and has neither answered nor failed yet; -ENOMEM. ret_claims needs
 * fs_claims_fini. */
int fs_kube_source_claims(const struct fs_kube_source *source, struct fs_claims *ret_claims);

/* clusterID of our Ceph cluster in the volumes' attributes; borrowed from the context. */
const char *fs_kube_source_cluster_id(const struct fs_context *ctx);

/* For calls of this site's API; NULL where it is no source. Lives as long as the source; a reload
 * ends no call. Whether objects may be changed is ctx->config->kubernetes->workloads. */
struct fs_kube_api *fs_kube_source_api(const struct fs_kube_source *source);

/* What Kubernetes has of an image: {"volume": name of its PV, "reclaim": its policy}, a new
 * reference; NULL where it has none, or is not asked. */
json_t *fs_kube_source_volume(const struct fs_kube_source *source,
                              const struct fs_image_ref *image);
/* For ctx->capturer; lives as long as the source. */
struct fs_capturer *fs_kube_source_capturer(const struct fs_kube_source *source);
/* The same for ctx->announcer. */
struct fs_announcer *fs_kube_source_announcer(const struct fs_kube_source *source);

/* site.kubernetes of the status document, a new reference; NULL where there is no such source. */
json_t *fs_kube_source_status(const struct fs_kube_source *source);

#endif
