/* SPDX-License-Identifier: Apache-2.0 */
/* The storage's part of yielding to the other site; the order of its steps is in follow.c. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_FOLLOW_H
#define FARSHORE_SNAPSHOT_FOLLOW_H

#include "farshore/operator.h"
#include "snapshot/site.h"

/*
 * Make this site the secondary of term, or carry on what the record says of it. The record is
 * changed in place and is what is stored, also after an error. *ret_kept: images of which something
 * was kept aside.
 */
int fs_follow_run(struct fs_site *site, struct fs_record *record,
                  const struct fs_follow_request *request, struct fs_doing *doing, size_t *ret_kept,
                  struct fs_error *err);

/*
 * The record is stored as demoted: take the images from their users, who have left them, prove that
 * they hold the newest committed point, and park them.
 */
int fs_demote_run(struct fs_site *site, struct fs_record *record, struct fs_doing *doing,
                  struct fs_error *err);

/* -EBUSY (transient; names image and client) while clients have members of the group open. */
int fs_unused_run(struct fs_site *site, const struct fs_record *record, struct fs_doing *doing,
                  struct fs_error *err);

#endif
