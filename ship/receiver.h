/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a receiver, for receiver*.c. LOOP only, but for the run function of arrivals.
 *
 * A segment that arrives is checked against the offer, extends its volume's chain and waits for its
 * share of the budget; a worker decompresses it and verifies the hashes; then it is written.
 * Workers and writes overtake each other freely: order matters only to the chain, which is extended
 * on arrival, and to positions, which move over the longest run of written segments. What a
 * verified segment's extents say is what the sink gets, so the chain is over what was applied.
 *
 * No byte is copied: the transport decrypts into the frame's own buffer, which moves here; zstd
 * writes what the sink takes, or the sink takes it from that buffer. Credit is given back when a
 * segment is written and freed, or, where the peer would get too far ahead of what is durable, once
 * it is durable: so there is a bound to what a resumed transfer sends again, however long a flush
 * takes.
 */
#ifndef FARSHORE_SHIP_RECEIVER_H
#define FARSHORE_SHIP_RECEIVER_H

#include "farshore/transfer.h"
#include "ship/base_point.h"
#include "ship/content.h"

/* One segment from its arrival until it is written. */
struct arrival {
    struct fs_job job;
    struct fs_receiver *receiver;
    struct arrival *next;   /* of the volume, in order */
    struct arrival *queued; /* the next that waits to be decoded */
    unsigned volume;
    bool written;
    struct fs_position position; /* of the volume after it */
    enum fs_codec codec;
    uint32_t raw_length;
    uint32_t payload_length;
    uint64_t credit;        /* not given back yet */
    uint64_t ahead;         /* given back before it is durable: of the session's account */
    uint64_t reserved;      /* in the budget */
    struct fs_buf frame;    /* as it came */
    const uint8_t *payload; /* in it; the content itself where it came RAW */
    uint8_t *raw;           /* decompressed, or NULL */
    size_t n_ranges;        /* DELTA: of the base */
    struct fs_range *ranges;
    uint8_t *prefix; /* what they hold, and what the DATA extents held; until decoded */
    size_t prefix_length;
    struct fs_read *reads;
    struct fs_base_io ios[2]; /* of the ranges, and of the extents */
    unsigned reads_in_flight;
    size_t n_extents;
    struct fs_segment_extent *hashed; /* until verified */
    struct fs_extent *extents;        /* then these */
    struct fs_segment_data segment;   /* what the sink gets */
    struct fs_error err;
};

struct receiver_volume {
    uint64_t size;
    struct fs_position received; /* segments that came */
    struct fs_position applied;  /* the longest run of written ones */
    struct arrival *first, *last;
};

enum receiver_state {
    RECEIVER_OPENING,
    RECEIVER_RECEIVING,
    RECEIVER_FINALS,     /* COMMIT came: write what is left */
    RECEIVER_COMMITTING, /* the sink commits: nothing stops it */
    RECEIVER_ENDING,     /* drain, sync positions, close */
};

struct fs_receiver {
    struct fs_sink *sink;
    struct fs_session *session; /* NULL once it is lost or the stream was ended */
    uint32_t stream;
    struct fs_pool *cpu;
    const struct fs_clock *clock;
    struct fs_budget *budget;
    struct fs_budget own_budget;
    int64_t sync_interval_ns;
    uint64_t sync_bytes;
    struct fs_offer offer;
    struct fs_admission admission;
    struct fs_pool_map *pools; /* owned; what admission points to */
    fs_receiver_fn *done;
    void *arg;

    enum receiver_state state;
    struct fs_receiver_result result;
    struct fs_incoming *incoming;
    struct fs_source *source; /* or NULL */
    struct fs_uuid base_point;
    struct fs_base_point base; /* open once a DELTA came */
    bool open_pending, closing;
    bool salvaging;      /* ENDING, but what has arrived is still written: it need not come again */
    bool keep_positions; /* make them durable once more at the end */

    struct receiver_volume volumes[FS_VOLUMES_MAX];
    struct arrival *queue, *queue_last; /* to be decoded */
    struct arrival *waiting;            /* the queue's first, while it waits for the budget */
    struct fs_budget_client client;
    size_t reads_in_flight, jobs_in_flight, writes_in_flight;

    /* Below the applied positions: given back before they are durable, and kept back until then. */
    uint64_t ahead, kept;
    bool syncing;
    uint64_t syncing_ahead, syncing_kept; /* of what is being made durable */
    struct fs_position syncing_positions[FS_VOLUMES_MAX];
    bool unsynced; /* applied moved since the last sync began */
    uint64_t unsynced_bytes;
    int64_t synced_at_ns;
    bool objects_wanted; /* and they have not come yet */
    bool storing_objects;
    uint64_t objects_credit; /* of what is being stored */
    bool digesting;
    struct fs_digest_list *digests; /* owned; the answer that is being made, or NULL */
    struct fs_commit finals;
    struct fs_reach *reach; /* or NULL */
    struct fs_transfer_stats stats;
};

/* receiver.c: end without a commit; tells the peer unless refusal is FS_REFUSE_NONE. err is copied.
 * No effect once a commit runs; once the end was begun, it only stops the salvage. */
void fs_receiver_fail(struct fs_receiver *receiver, enum fs_refusal refusal,
                      const struct fs_error *err);
/* receiver.c: the refusal that says what an error of the sink or of memory means to the peer. */
enum fs_refusal fs_receiver_refusal_of(const struct fs_error *err);
/* receiver.c: something completed: go on with the commit or with the end, where they wait. */
void fs_receiver_progress(struct fs_receiver *receiver);

/* receiver_apply.c: a SEGMENT came. As the frame callback of streams. */
int fs_receiver_segment(struct fs_receiver *receiver, const struct fs_frame *frame,
                        struct fs_error *err);
/* receiver_apply.c: drop what waits to be decoded, and what will never be written. */
void fs_receiver_drop_queue(struct fs_receiver *receiver);
void fs_receiver_free_arrivals(struct fs_receiver *receiver); /* nothing is in flight */
void fs_receiver_granted_cb(struct fs_budget_client *client);
/* receiver_apply.c: decode what waits and can be. */
void fs_receiver_pump(struct fs_receiver *receiver);
/* receiver_apply.c: all is there that it takes. */
void fs_receiver_decode(struct arrival *arrival);

/* receiver_delta.c: whether the base can be read; opens it, and pumps once it can. */
bool fs_receiver_base_ready(struct fs_receiver *receiver);
/* receiver_delta.c: 0, or -EPROTO: it is a DELTA that cannot be. */
int fs_receiver_check_delta(const struct fs_receiver *receiver, const struct fs_segment *segment,
                            struct fs_error *err);
/* receiver_delta.c: false: it is one against a base that this site cannot read, which is no fault
 * of the peer's: the transfer was refused. */
bool fs_receiver_takes_delta(struct fs_receiver *receiver, const struct fs_segment *segment);
/* receiver_delta.c: what a DELTA takes in memory for the base's content. */
uint64_t fs_arrival_prefix_length(const struct arrival *arrival);
/* receiver_delta.c: read what it is a difference to, then decode it. */
void fs_receiver_read_base(struct arrival *arrival);
/* receiver_delta.c: nothing is in flight: close it, closed follows with the receiver; false: it is
 * not open. */
bool fs_receiver_close_base(struct fs_receiver *receiver, fs_io_fn *closed);

/* receiver_digest.c: a DIGEST_WANT came. As the frame callback of streams. */
int fs_receiver_digest(struct fs_receiver *receiver, const struct fs_frame *frame,
                       struct fs_error *err);

/* receiver_objects.c: ask for them, before ACCEPT. */
void fs_receiver_objects_want(struct fs_receiver *receiver);
/* receiver_objects.c: an OBJECTS_DATA came. As the frame callback of streams. */
int fs_receiver_objects(struct fs_receiver *receiver, const struct fs_frame *frame,
                        struct fs_error *err);

/* receiver_sync.c: make positions durable where it is due, or now. */
void fs_receiver_sync_due(struct fs_receiver *receiver);
void fs_receiver_sync_now(struct fs_receiver *receiver);
/* receiver_sync.c: at the end, when nothing is in flight: give back what was kept. */
void fs_receiver_settle_credit(struct fs_receiver *receiver);

#endif
