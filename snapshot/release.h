/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up the snapshots of a source that keep an image from being removed. WORKER. */
#ifndef FARSHORE_SNAPSHOT_RELEASE_H
#define FARSHORE_SNAPSHOT_RELEASE_H

#include "snapshot/helper.h"
#include "snapshot/site.h"

/*
 * What `release` of struct fs_source_ops says. The record is changed in place and stored: first
 * that points end, then, after their snapshots are gone, without them. -errno where something is
 * left: the next call goes on with it. A point that is being digested stays.
 */
int fs_release_run(struct fs_site *site, struct fs_helpers *helpers, struct fs_record *record,
                   bool whole, bool removed_only, struct fs_error *err);

#endif
