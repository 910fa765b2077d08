/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site's lease: which daemon works for the site. It is in the `site` object of the state pool
 * (see snapshot/state.h), and every change of it is guarded by the random token of its holder.
 * WORKER, one call at a time.
 */
#ifndef FARSHORE_SNAPSHOT_LEASE_H
#define FARSHORE_SNAPSHOT_LEASE_H

#include "farshore/site.h"
#include "snapshot/cluster.h"
#include "snapshot/state.h"

struct fs_lease;

/* Takes nothing yet. All is borrowed and must outlive the lease. NULL when out of memory. */
struct fs_lease *fs_lease_new(const struct fs_site_options *options, struct fs_cluster *cluster,
                              struct fs_state *state);
/* Gives the lease up where it is held, then frees. NULL is allowed. */
void fs_lease_free(struct fs_lease *lease);

/* As fs_site_claim and fs_site_renew. */
int fs_lease_claim(struct fs_lease *lease, struct fs_error *err);
int fs_lease_renew(struct fs_lease *lease, struct fs_error *err);

/* What a stored lease says. */
struct fs_lease_text {
    char key[FS_NAME_SIZE];
    char instance[FS_UUID_TEXT];
    uint64_t renewals;
    int64_t lease_ns;
};

/* 0 or -EINVAL. Pure, any thread. */
int fs_lease_parse(const char *text, struct fs_lease_text *ret_lease);
/* Free it; NULL when out of memory. Pure, any thread. */
char *fs_lease_encode(const struct fs_lease_text *lease);

#endif
