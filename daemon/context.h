/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the daemon share: the clock, the configuration in force, the site's tables
 * while this daemon works for the site, and the way to ask for another round of the loop. Tests
 * fill one themselves. LOOP only.
 */
#ifndef FARSHORE_DAEMON_CONTEXT_H
#define FARSHORE_DAEMON_CONTEXT_H

#include "daemon/config.h"
#include "daemon/trim.h"
#include "farshore/health.h"
#include "farshore/operator.h"
#include "farshore/transfer.h"

struct fs_announcer;
struct fs_capturer;
struct fs_groups;
struct fs_hooks;
struct fs_kube_source;
struct fs_peers;
struct fs_quiescer;
struct fs_workloads;

struct fs_context {
    const struct fs_clock *clock;   /* set once */
    const struct fs_config *config; /* replaced as a whole by a reload */
    struct fs_pool *cpu;            /* set once */
    /* limits.memory, by quarters: what all senders hold; what all receivers hold decoded; what
     * peers may have on the way to us (credit) and us to them (send_limit), over all sessions. The
     * last quarter is left for records, frames and what the libraries need for a request. */
    struct fs_budget sending, receiving;

    /* This site; NULL and zero while its cluster is away or another daemon works for it. */
    struct fs_source *source;
    struct fs_sink *sink;
    struct fs_digester *digester;
    struct fs_operator *operators;
    struct fs_uuid site_uuid;
    char fsid[FS_UUID_TEXT];
    char site_reason[512];   /* why source and sink are NULL */
    struct fs_health health; /* owned; as last heard while this daemon works; empty: not yet */
    struct fs_trim trim;

    struct fs_uuid instance; /* of this process's present stand at the site */
    struct fs_groups *groups;
    struct fs_peers *peers;
    struct fs_hooks *hooks;             /* NULL: none are run */
    struct fs_kube_source *kubernetes;  /* NULL in tests without one */
    struct fs_capturer *capturer;       /* set once; NULL: no point carries Kubernetes objects */
    struct fs_announcer *announcer;     /* set once; NULL: nobody is told at the volumes */
    const struct fs_quiescer *quiescer; /* set once; NULL: nothing is frozen */
    struct fs_workloads *workloads;     /* NULL: what uses volumes is left alone */

    /* Set by the owner; hook_arg goes to both. */
    void (*kick)(void *hook_arg); /* run another round soon */
    /* An operation found that our lease or our client instance is gone: stop all work. */
    void (*site_lost)(void *hook_arg, const struct fs_error *err);
    void *hook_arg;
};

static inline int64_t fs_context_boot(const struct fs_context *ctx)
{
    return fs_clock_boot(ctx->clock);
}

static inline int64_t fs_context_wall(const struct fs_context *ctx)
{
    return fs_clock_wall(ctx->clock);
}

#endif
