/* SPDX-License-Identifier: Apache-2.0 */
/* Points opened for reading: one read-only handle per volume, set to the point's snapshot. The
 * functions are the source's operations of the same names; LOOP. */
#ifndef FARSHORE_SNAPSHOT_READING_H
#define FARSHORE_SNAPSHOT_READING_H

#include "farshore/mailbox.h"
#include "farshore/pool.h"
#include "farshore/source.h"
#include "snapshot/cluster.h"

struct fs_reading_context { /* borrowed for the life of the reading */
    const struct fs_source_ops *ops;
    struct fs_cluster *cluster;
    struct fs_pool *blocking;
    struct fs_mailbox *mailbox;
    unsigned io_depth; /* of librbd's reads */
    bool object_io;
};

void fs_reading_open(const struct fs_reading_context *context, const struct fs_record *record,
                     const struct fs_uuid *point, const struct fs_uuid *base, fs_reading_fn *done,
                     void *arg);
void fs_reading_list(struct fs_reading *reading, unsigned volume, uint64_t from,
                     struct fs_extent_list *list, fs_list_fn *done, void *arg);
uint64_t fs_reading_gap(const struct fs_reading *reading, unsigned volume);
void fs_reading_read(struct fs_reading *reading, unsigned volume, const struct fs_read *ranges,
                     size_t count, fs_io_fn *done, void *arg);
void fs_reading_close(struct fs_reading *reading, fs_io_fn *done, void *arg);

#endif
