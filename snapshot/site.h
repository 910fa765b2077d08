/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a struct fs_site, for this directory: what source, sink and discovery share. */
#ifndef FARSHORE_SNAPSHOT_SITE_H
#define FARSHORE_SNAPSHOT_SITE_H

#include "farshore/site.h"
#include "snapshot/cluster.h"
#include "snapshot/digest_keep.h"
#include "snapshot/lease.h"
#include "snapshot/state.h"

struct fs_site {
    struct fs_site_options options;
    struct fs_cluster *cluster;
    struct fs_state *state;
    struct fs_lease *lease;
    struct fs_uuid uuid;
    struct fs_source *source;      /* made by fs_site_source */
    struct fs_sink *sink;          /* made by fs_site_sink */
    struct fs_digester *digester;  /* made by fs_site_digester */
    struct fs_operator *operators; /* made by fs_site_operator */
    struct fs_holds holds;         /* points that are being digested: not to be pruned */
    struct fs_holds drills;        /* points with drills: they stay points */
    char ceph_version[32];         /* of the monitors; as fs_health has it */
    bool wide_caps;                /* as fs_health has it */
};

/* snapshot/health.c. WORKER: learns ceph_version and wide_caps; at the opening. */
void fs_site_look_around(struct fs_site *site);

/* snapshot/source.c and snapshot/sink.c */
struct fs_source *fs_rbd_source_new(struct fs_site *site, struct fs_pool *blocking,
                                    struct fs_mailbox *mailbox);
void fs_rbd_source_free(struct fs_source *source); /* WORKER; nothing is in flight */
struct fs_sink *fs_rbd_sink_new(struct fs_site *site, struct fs_pool *blocking,
                                struct fs_mailbox *mailbox);
void fs_rbd_sink_free(struct fs_sink *sink); /* WORKER */

/* snapshot/operator.c */
struct fs_operator *fs_rbd_operator_new(struct fs_site *site, struct fs_pool *blocking);
void fs_rbd_operator_free(struct fs_operator *base);

/* snapshot/digester.c */
struct fs_digester *fs_rbd_digester_new(struct fs_site *site, struct fs_pool *blocking);
void fs_rbd_digester_free(struct fs_digester *digester);

#endif
