/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes segments to the images of a transfer, so many I/Os at a time: several extents of an object
 * in one operation where the target allows it (snapshot/direct.h), through librbd where not. LOOP.
 */
#ifndef FARSHORE_SNAPSHOT_APPLIER_H
#define FARSHORE_SNAPSHOT_APPLIER_H

#include "farshore/mailbox.h"
#include "snapshot/target.h"

struct segment_write;
struct io;

/* Embedded. The caller looks at nothing but `writes`. */
struct fs_applier {
    /* set once */
    struct fs_mailbox *mailbox;
    const char *group; /* name, for messages; borrowed */
    struct fs_target *targets;
    unsigned depth;
    void (*idle)(void *arg); /* a segment is done, maybe the last; writes says */
    void *arg;
    /* loop only */
    struct segment_write *queue, **queue_tail;
    unsigned in_flight;  /* I/Os */
    struct io *touching; /* those in which librbd writes to an object */
    size_t writes;       /* segments not done yet */
};

void fs_applier_init(struct fs_applier *applier, struct fs_mailbox *mailbox, const char *group,
                     struct fs_target *targets, unsigned depth, void (*idle)(void *arg), void *arg);

/* The operation of struct fs_sink_ops. */
void fs_applier_write(struct fs_applier *applier, const struct fs_segment_data *segment,
                      fs_sink_io_fn *done, void *arg);

#endif
