/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transfer that is being applied: writes, syncs, the commit and the close over the targets that
 * an opening made ready. LOOP; what blocks runs in the pool.
 */
#ifndef FARSHORE_SNAPSHOT_INCOMING_H
#define FARSHORE_SNAPSHOT_INCOMING_H

#include "farshore/mailbox.h"
#include "farshore/pool.h"
#include "snapshot/opening.h"

struct fs_rbd_incoming;

/* LOOP, when an incoming is freed (its close is done); before the close's callback. */
typedef void fs_rbd_incoming_gone_fn(void *arg, const struct fs_uuid *group);

/* LOOP. Takes record, targets and positions over from an accepted opening. */
struct fs_rbd_incoming *fs_rbd_incoming_new(struct fs_opening *opening, struct fs_pool *blocking,
                                            struct fs_mailbox *mailbox,
                                            fs_rbd_incoming_gone_fn *gone, void *arg);
struct fs_incoming *fs_rbd_incoming_handle(struct fs_rbd_incoming *incoming);

/* The operations behind struct fs_sink_ops. */
void fs_rbd_incoming_write(struct fs_incoming *incoming, const struct fs_segment_data *segment,
                           fs_sink_io_fn *done, void *arg);
void fs_rbd_incoming_digest(struct fs_incoming *incoming, const struct fs_digest_query *query,
                            struct fs_digest_list *list, fs_sink_io_fn *done, void *arg);
void fs_rbd_incoming_sync(struct fs_incoming *incoming, const struct fs_position *positions,
                          fs_sink_io_fn *done, void *arg);
void fs_rbd_incoming_objects(struct fs_incoming *incoming, struct fs_buf *packed,
                             fs_sink_io_fn *done, void *arg);
void fs_rbd_incoming_commit(struct fs_incoming *incoming, const struct fs_position *finals,
                            uint64_t bytes, fs_sink_record_fn *done, void *arg);
void fs_rbd_incoming_close(struct fs_incoming *incoming, fs_sink_record_fn *done, void *arg);

#endif
