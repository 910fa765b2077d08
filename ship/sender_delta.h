/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deltas at the sender. Before a chunk's segments are encoded, what the base holds of them is read,
 * and what it holds elsewhere that is like them, which an index finds; zstd gets both as a prefix.
 * A failure here is never the transfer's: it goes on without deltas. LOOP only.
 *
 * The index is made of the old content of all that changed, in a pass of its own while nothing more
 * is listed for sending: a log that repeats old pages may come before them or after them. Unless
 * deltas are always wanted that is begun once the transfer is known to be long and fills the link.
 */
#ifndef FARSHORE_SHIP_SENDER_DELTA_H
#define FARSHORE_SHIP_SENDER_DELTA_H

#include "ship/base_point.h"
#include "ship/delta_index.h"
#include "ship/sender.h"

/* Old content that goes into the index, at most: more would not be told apart in its slots, and
 * the link would wait for it. */
#define INDEX_CONTENT_MAX (UINT64_C(512) << 20)
#define INDEX_BYTES_MAX   (UINT64_C(8) << 20)
#define INDEX_STEPS       4 /* read at the same time */
#define INDEX_RANGES      256

/* A part of the old content on its way into the index. */
struct index_step {
    struct fs_job job;
    struct fs_sender *sender;
    bool busy;
    unsigned volume;
    size_t n_reads;
    struct fs_read reads[INDEX_RANGES];
    struct fs_base_io io;
    uint8_t *buffer;
};

/* What one segment is encoded against; from the lookup until it is encoded. */
struct segment_delta {
    struct fs_job job;
    struct chunk_segment *segment;
    size_t n_ranges;
    struct fs_range ranges[FS_DELTA_RANGES_MAX];
    uint8_t *prefix;
    size_t ranges_length;
    size_t n_reads;
    struct fs_read *reads;
    struct fs_base_io ios[2]; /* of the ranges, and of what is in the same place */
    unsigned in_flight;
    bool failed;
};

enum delta_state {
    DELTA_OFF,      /* not begun */
    DELTA_OPENING,  /* the base */
    DELTA_INDEXING, /* nothing is listed for sending meanwhile */
    DELTA_READY,
    DELTA_GIVEN_UP,
};

struct sender_delta {
    enum fs_delta_mode mode;
    enum delta_state state;
    struct fs_uuid point;
    struct fs_base_point base;

    struct fs_delta_index *index; /* NULL: only what is in the same place */
    uint64_t kept;                /* in the budget: the index and the steps */
    uint64_t step_max;            /* bytes of a step's buffer */
    struct batch *batch;
    bool listing, listed;
    unsigned volume;
    uint64_t from; /* of the next batch */
    uint64_t indexed;
    size_t steps_busy;
    struct index_step *steps; /* INDEX_STEPS of them, while it is being made */

    /* Bytes of the newest segments that were encoded both ways, each way; older ones count less. */
    uint64_t plain_bytes, delta_bytes;
    uint64_t turns;
};

/* sender_delta.c: the target has accepted this base: deltas may be made, if the mode, the peer and
 * the record allow it. */
void fs_sender_delta_accept(struct fs_sender *sender, const struct fs_uuid *base);
/* sender_index.c: begin where it is worth it, and go on. */
void fs_sender_delta_pump(struct fs_sender *sender);
/* sender_index.c: nothing may be listed for sending at the moment. */
bool fs_sender_delta_holds(const struct fs_sender *sender);
/* sender_index.c: whether something of it is under way, apart from reads and jobs. */
bool fs_sender_delta_is_busy(const struct fs_sender *sender);
/* sender_index.c: close what is open, closed follows with the sender; false: nothing is. */
bool fs_sender_delta_close(struct fs_sender *sender, fs_io_fn *closed);
void fs_sender_delta_free(struct fs_sender *sender);

/* sender_delta.c: how the segments of a new chunk of a volume are to be encoded. */
enum chunk_delta fs_sender_delta_choose(struct fs_sender *sender, unsigned volume);
/* sender_delta.c: what that takes in memory beside the rest of the chunk, at most. */
uint64_t fs_sender_delta_bound(const struct chunk *chunk);
/* sender_delta.c: get ready to encode it; fs_sender_encode follows, maybe from inside. */
void fs_sender_delta_prepare(struct chunk_segment *segment);
/* sender_delta.c: it was encoded. */
void fs_sender_delta_encoded(struct fs_sender *sender, struct chunk_segment *segment);
void fs_segment_delta_free(struct segment_delta *delta); /* NULL is allowed */

#endif
