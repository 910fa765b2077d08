/* SPDX-License-Identifier: Apache-2.0 */
/* The storage's part of a promotion; the order of its steps is in promote.c. WORKER. */
#ifndef FARSHORE_SNAPSHOT_PROMOTE_H
#define FARSHORE_SNAPSHOT_PROMOTE_H

#include "farshore/operator.h"
#include "snapshot/site.h"

/*
 * Carry the record's promotion to its end. The record is changed in place and is what is stored,
 * also after an error.
 */
int fs_promote_run(struct fs_site *site, struct fs_record *record, struct fs_doing *doing,
                   struct fs_error *err);

#endif
