/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's part of taking and settling points of one group. WORKER; the record is the
 * caller's, and no other operation of its group runs at the same time. */
#ifndef FARSHORE_SNAPSHOT_TAKE_H
#define FARSHORE_SNAPSHOT_TAKE_H

#include "farshore/source.h"
#include "snapshot/helper.h"
#include "snapshot/site.h"

struct fs_take_job {
    struct fs_site *site;
    struct fs_helpers *helpers;
    struct fs_record *record;
    struct fs_uuid base; /* zero: none */
    bool force;
    bool refuse_not_one_instant;
    bool sweep; /* look for snapshots that no record knows */
    int64_t bound_ns;
    struct fs_captured objects;
    struct fs_buf packed; /* owned by the caller; empty: they are there */
    bool prepare, refuse_unquiesced, skip_hooks, volume_missing;
    int64_t application_until_ns;
};

/* Each fills everything of the result but its record. */
void fs_take_run(const struct fs_take_job *job, struct fs_take_result *ret_result);
/* The second half of one that was prepared. */
void fs_take_snapshot_run(const struct fs_take_job *job, struct fs_take_result *ret_result);

/* Store the point as a recovery point, then remove older ones. Failed removals are logged: those
 * points stay in the record and are tried again. Errors: the record could not be stored. */
int fs_settle_run(struct fs_site *site, struct fs_helpers *helpers, struct fs_record *record,
                  const struct fs_uuid *committed, const struct fs_digest *agreed, size_t n_agreed,
                  int64_t current_until_ns, struct fs_error *err);

#endif
