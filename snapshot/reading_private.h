/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a reading, for reading*.c. */
#ifndef FARSHORE_SNAPSHOT_READING_PRIVATE_H
#define FARSHORE_SNAPSHOT_READING_PRIVATE_H

#include "snapshot/diff.h"
#include "snapshot/objects.h"
#include "snapshot/reading.h"

struct range_io;

struct list_job {
    struct fs_job job;
    struct volume *volume;
    uint64_t from;
    struct fs_extent_list *list;
    fs_list_fn *done; /* NULL: none is running */
    void *arg;
    struct fs_error err;
};

struct volume {
    /* set once, on the loop */
    struct reading *reading;
    struct fs_image_ref ref;
    uint64_t snap_id;
    uint64_t from_id;    /* 0: from the beginning */
    bool older_snapshot; /* of the base: see struct fs_record_content */
    uint64_t size;

    /* set by the open job; constant until the close job */
    struct fs_image image;
    struct fs_objects objects;
    struct fs_diff diff; /* WORKER: the list job's */
    bool diff_ready;

    struct list_job list;
};

struct reading {
    struct fs_reading base;
    struct fs_reading_context context;
    size_t n_volumes;
    struct volume *volumes; /* owned */

    /* loop only */
    size_t in_flight;                     /* reads and lists */
    struct range_io *queue, **queue_tail; /* what waits for librbd */
    unsigned librbd_in_flight;
    bool closing;

    /* the open and the close job */
    struct fs_job job;
    struct fs_error err;
    fs_reading_fn *opened;
    fs_io_fn *closed;
    void *arg;
};

static inline struct reading *fs_reading_of(struct fs_reading *base)
{
    return (struct reading *)base; /* base is its first member */
}

/* reading.c: one of in_flight has ended; closes where that was waited for. */
void fs_reading_leave(struct reading *reading);

#endif
