/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a sender, for sender*.c. LOOP only, but for the run function of segments.
 *
 *   list -> plan -> read -> encode -> send
 *
 * The lister keeps batches of changed extents ahead, across volumes. The planner cuts them into
 * chunks: a chunk is what is reserved in the budget, read into one buffer and freed together; it
 * holds a few segments, which are encoded by workers as soon as the chunk is read, and sent in
 * order.
 *
 * Where bytes are copied: the source reads into the chunk's buffer; zstd, or for RAW one memcpy,
 * makes the frame of it; the frame is moved to the transport.
 */
#ifndef FARSHORE_SHIP_SENDER_H
#define FARSHORE_SHIP_SENDER_H

#include "farshore/transfer.h"
#include "ship/content.h"

/* Ranges in one window of this size, the usual object's, are read in one call; none crosses it. */
#define READ_WINDOW (UINT64_C(4) << 20)
#define READS_MAX   32 /* calls in flight */

#define LIST_EXTENTS 4096 /* of a batch */
#define LIST_BATCHES 2    /* listed ahead */

#define CHUNK_PIECES   1024 /* with the zeroes found in them: below FS_SEGMENT_EXTENTS_MAX */
#define CHUNK_SEGMENTS 8
#define CHUNK_MIN      (UINT64_C(1) << 20) /* most bytes of a chunk's buffer in a small budget */

struct chunk;
struct segment_delta;
struct sender_delta;

/* How the segments of a chunk are encoded; see ship/sender_delta.h. */
enum chunk_delta {
    CHUNK_PLAIN,
    CHUNK_DELTA,
    CHUNK_BOTH, /* either way, to see which is shorter */
};

/* What is read in one call. */
struct chunk_read {
    struct chunk *chunk;
    size_t first, count; /* of the chunk's ranges */
    uint64_t bytes;
};

struct chunk_segment {
    struct fs_job job;
    struct chunk *chunk;
    uint64_t start, end;
    size_t first_piece, n_pieces;
    uint64_t content; /* bytes of its DATA pieces */
    int level;
    int64_t run_ns, cpu_ns;      /* of encoding */
    struct segment_delta *delta; /* owned; NULL: it is encoded by itself */
    bool encoded;
    struct fs_content_result result; /* once encoded, until sent */
    struct fs_error err;
};

struct chunk {
    struct chunk *next; /* in the order of sending */
    struct fs_sender *sender;
    unsigned volume;
    uint64_t start, end;
    size_t n_pieces;
    struct fs_piece *pieces; /* while it is planned, content is an offset into the buffer */
    size_t *piece_at;
    size_t n_ranges;
    struct fs_read *ranges; /* back to back in the buffer */
    size_t n_reads, reads_started, reads_done;
    struct chunk_read *reads;
    size_t buffer_length;
    uint8_t *buffer;      /* from the grant until all segments are encoded */
    uint64_t reserved;    /* in the budget */
    uint64_t segment_max; /* content of a segment: less where the link is slow */
    uint64_t max;         /* bytes of the buffer */
    enum chunk_delta delta;
    size_t n_segments, segments_encoded, segments_sent;
    struct chunk_segment segments[CHUNK_SEGMENTS];
};

struct batch {
    unsigned volume;
    size_t used;    /* extents that the planner has consumed */
    uint64_t taken; /* bytes of extents[used] that it has */
    struct fs_extent_list list;
    struct fs_extent extents[LIST_EXTENTS];
};

struct sender_volume {
    uint64_t size;
    uint64_t planned;            /* up to here there are chunks */
    struct fs_position position; /* sent */
};

enum sender_state {
    SENDER_OFFERED,
    SENDER_OPENING,
    SENDER_SHIPPING,
    SENDER_COMMITTING, /* COMMIT was sent */
    SENDER_ENDING,     /* the outcome is known: drain, close, say so */
};

/* The point's Kubernetes objects, on their way to a target that asked for them. */
enum sender_objects {
    SENDER_OBJECTS_NONE,
    SENDER_OBJECTS_WANTED,
    SENDER_OBJECTS_LOADING,
    SENDER_OBJECTS_READY, /* in packed, empty where they are lost */
    SENDER_OBJECTS_SENT,
};

struct fs_comparison;

struct fs_sender {
    struct fs_source *source;
    struct fs_digester *digester; /* or NULL */
    struct fs_session *session;   /* NULL once it is lost */
    uint32_t stream;
    struct fs_pool *cpu;
    struct fs_budget *budget;
    const struct fs_clock *clock;
    struct fs_tuner *tuner;
    uint64_t chunk_max; /* bytes of a chunk's buffer */
    struct fs_record *record;
    struct fs_uuid point;
    struct fs_offer offer;
    fs_sender_fn *done;
    void *arg;

    enum sender_state state;
    enum sender_objects objects;
    struct fs_buf packed;
    struct fs_sender_result result;
    struct fs_digest agreed[FS_VOLUMES_MAX];
    struct fs_reading *reading;
    struct fs_comparison *comparison; /* owned; NULL: the diff tells what changed */
    enum fs_delta_mode delta_mode;
    struct sender_delta *delta; /* owned; NULL: no deltas */
    bool opening, closing;
    struct fs_job end_job;

    struct sender_volume volumes[FS_VOLUMES_MAX];
    unsigned list_volume; /* the lister's */
    uint64_t list_from;
    bool listing;
    size_t n_batches;
    uint64_t listed_bytes, planned_bytes, sent_bytes; /* DATA, as it is in the volumes */
    struct batch *batches[LIST_BATCHES];
    struct batch *spare;

    struct chunk *building;     /* the planner's; not in the queue yet */
    struct chunk *first, *last; /* the queue */
    struct chunk *waiting;      /* the last, while it waits for the budget */
    size_t n_unread;            /* chunks of the queue that are not read yet */
    size_t reads_in_flight, jobs_in_flight;
    struct fs_budget_client client;
    uint64_t changed_sent;
    struct fs_reach *reach; /* or NULL */
    struct fs_transfer_stats stats;
};

/* sender.c: the outcome is known; err is copied. The first one wins. Tells the peer where it may
 * still be told. */
void fs_sender_fail(struct fs_sender *sender, const struct fs_error *err);
/* sender.c: ends what has nothing in flight any more. */
void fs_sender_check_drained(struct fs_sender *sender);
/* sender.c: what fs_sender_compare_open has opened, or err. */
void fs_sender_compare_opened(struct fs_sender *sender, const struct fs_error *err);
/* sender_ship.c: do what can be done now. Only while shipping. */
void fs_sender_pump(struct fs_sender *sender);
/* sender_ship.c: the budget has granted what the waiting chunk needs. */
void fs_sender_granted_cb(struct fs_budget_client *client);
/* sender_ship.c: free all chunks; nothing is in flight. */
void fs_sender_drop_chunks(struct fs_sender *sender);
/* sender_plan.c: list ahead and cut chunks until one waits for the budget or for a list. */
void fs_sender_plan(struct fs_sender *sender);
/* sender_plan.c: the list that was asked for is there, or err. */
void fs_sender_listed(struct fs_sender *sender, struct fs_extent_list *list,
                      const struct fs_error *err);
/* sender_ship.c: its content is there, and what it is to be encoded against. */
void fs_sender_encode(struct chunk_segment *segment);
/* sender_ship.c: take over a chunk that the planner has finished. */
void fs_sender_queue_chunk(struct fs_sender *sender, struct chunk *chunk);
void fs_chunk_free(struct chunk *chunk);
/* sender_compare.c: find the difference by digests. Opens the point; fs_sender_compare_opened
 * follows, unless it fails at once. */
int fs_sender_compare_open(struct fs_sender *sender, struct fs_error *err);
/* sender_compare.c: in the place of the source's list; fs_sender_listed follows. */
void fs_sender_compare(struct fs_sender *sender, unsigned volume, uint64_t from,
                       struct fs_extent_list *list);
/* sender_compare.c: a DIGEST_BATCH came. As the frame callback of streams. */
int fs_sender_digests(struct fs_sender *sender, const struct fs_frame *frame, struct fs_error *err);
/* sender_compare.c: whether an operation of the digester is under way. */
bool fs_sender_compares(const struct fs_sender *sender);
/* sender_compare.c: close what is open, done follows with the sender; false: nothing is. */
bool fs_sender_compare_close(struct fs_sender *sender, fs_digest_io_fn *done);
/* sender_objects.c: an OBJECTS_WANT came. As the frame callback of streams. */
int fs_sender_objects_want(struct fs_sender *sender, const struct fs_frame *frame,
                           struct fs_error *err);
/* sender_objects.c: the target has accepted: read them, where it wants them. */
void fs_sender_objects_load(struct fs_sender *sender);
/* sender_objects.c: send them where they are there; false: they wait for credit, and so does
 * everything behind them. */
bool fs_sender_objects_pump(struct fs_sender *sender);
/* sender_objects.c: sent, or not wanted. */
bool fs_sender_objects_settled(const struct fs_sender *sender);
/* sender_plan.c: everything of every volume is in chunks that were queued. */
bool fs_sender_planned_all(const struct fs_sender *sender);

#endif
