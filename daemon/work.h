/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This daemon's work for its site: connect, take the lease and keep it, load the records, discover
 * again and again. A cluster that is away is a state, tried again with back-off; another daemon
 * that holds the lease makes us stand by. LOOP only; what blocks runs on a pool of its own, so that
 * slow operations of groups cannot delay the lease.
 */
#ifndef FARSHORE_DAEMON_WORK_H
#define FARSHORE_DAEMON_WORK_H

#include "daemon/context.h"
#include "farshore/site.h"

struct fs_work;

struct fs_work_options {
    struct fs_context *ctx; /* its site fields, groups and peers are kept by the work */
    struct fs_mailbox *mailbox;
    struct fs_pool *life;     /* for the site's life: 3 threads */
    struct fs_pool *blocking; /* for the operations of source and sink */
    const char *helper;       /* copied */
    const char *daemon_key;   /* copied */
};

/* ctx->config is in force. NULL when out of memory. Nothing happens before run. */
struct fs_work *fs_work_new(const struct fs_work_options *options);
/* Only once it has stopped. */
void fs_work_free(struct fs_work *work);

/* Starts what is due; returns when it wants to be called again (boot clock). */
int64_t fs_work_run(struct fs_work *work);

/* Operations found that the lease or our client instance is gone: start over as a new one. */
void fs_work_lost(struct fs_work *work, const struct fs_error *err);
/* End for good: cancel, drain, give the lease up. */
void fs_work_stop(struct fs_work *work);
bool fs_work_stopped(const struct fs_work *work);

/* A discovery is reading the configuration that was in force when it began. */
bool fs_work_reads_config(const struct fs_work *work);
/* Discover soon: labels or the configuration changed. */
void fs_work_discover(struct fs_work *work);

bool fs_work_cluster_is_up(const struct fs_work *work);
bool fs_work_holds_lease(const struct fs_work *work);

#endif
