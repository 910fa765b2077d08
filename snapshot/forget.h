/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a group at a site that is secondary for it. WORKER. */
#ifndef FARSHORE_SNAPSHOT_FORGET_H
#define FARSHORE_SNAPSHOT_FORGET_H

#include "farshore/operator.h"
#include "snapshot/site.h"

/*
 * Let go of the group: its images stay, and are nobody's then. On success the record is as one that
 * was never stored. -EBUSY (permanent), and nothing has changed: something was kept aside of it.
 */
int fs_forget_run(struct fs_site *site, struct fs_record *record, struct fs_doing *doing,
                  struct fs_error *err);

#endif
