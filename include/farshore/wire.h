/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire: frames and messages. docs/man/farshore-protocol.5 specifies the bytes; a test keeps
 * it and this file in step. Everything is little endian.
 *
 * Frame header, 32 bytes:
 *    0  u32 magic "FSH1"          4  u16 type          6  u16 flags (bit 0: critical)
 *    8  u32 payload length       12  u32 stream       16  u64 reserved, zero
 *   24  u64 XXH3-64 of bytes 0 to 23 and the payload
 *
 * For each message one encode and one decode function; decode is the only door from bytes to a
 * struct and checks everything that can be checked without state. No I/O. Any thread.
 */
#ifndef FARSHORE_WIRE_H
#define FARSHORE_WIRE_H

#include "farshore/buf.h"
#include "farshore/digest.h"
#include "farshore/operator.h"
#include "farshore/sink.h"

#define FS_WIRE_VERSION      1
#define FS_WIRE_VERSION_MIN  1 /* the oldest that is still spoken */
#define FS_FRAME_HEADER      32
#define FS_FRAME_PAYLOAD_MAX (4u << 20)
/* Uncompressed content of a segment. */
#define FS_SEGMENT_MAX         (1u << 20)
#define FS_SEGMENT_EXTENTS_MAX 4096
/* On the wire: what a segment has before its payload, and for each extent. */
#define FS_SEGMENT_HEAD_SIZE   32
#define FS_SEGMENT_EXTENT_SIZE 25
#define FS_SEGMENT_AT_EXTENTS  24 /* in the head: how many extents follow it */
/* The JSON text of a volume's labels. A longer one fails the buffer of the encoder. */
#define FS_LABELS_MAX 32768
/* What a hello may give as credit; at least two segments, or nobody could ever send. */
#define FS_CREDIT_MIN (4u << 20)
#define FS_CREDIT_MAX (UINT64_C(1) << 40)
#define FS_LANES_MAX  16 /* connections of one session */
/* What a side with lanes takes at least ahead of what is in order. */
#define FS_LANES_WINDOW_MIN (4u << 20)
#define FS_FRAME_CRITICAL   1u /* a receiver that does not know the type ends the session */

enum fs_frame_type {
    FS_FRAME_HELLO = 1,  /* stream 0, both sides, first */
    FS_FRAME_BYE = 2,    /* stream 0: orderly end, with a reason */
    FS_FRAME_PING = 3,   /* stream 0 */
    FS_FRAME_PONG = 4,   /* stream 0 */
    FS_FRAME_CREDIT = 5, /* stream 0: T lets S send so many more bytes of segments */
    /* Between sites that both have FS_FEATURE_LANES. */
    FS_FRAME_LANES = 6,      /* stream 0: what I send behind this is in blocks */
    FS_FRAME_LANE = 7,       /* first on another connection: it is one more lane */
    FS_FRAME_OFFER = 16,     /* S, opens a stream */
    FS_FRAME_ACCEPT = 17,    /* T */
    FS_FRAME_REFUSE = 18,    /* T, ends the stream, at any moment */
    FS_FRAME_SEGMENT = 19,   /* S */
    FS_FRAME_PROGRESS = 20,  /* T: durable positions */
    FS_FRAME_COMMIT = 21,    /* S: everything was sent; the final chains */
    FS_FRAME_COMMITTED = 22, /* T, ends the stream */
    FS_FRAME_ABORT = 23,     /* S, ends the stream */
    /* Between sites that both have FS_FEATURE_OBJECTS. */
    FS_FRAME_OBJECTS_WANT = 24, /* T, before ACCEPT: I have not the objects of the point */
    FS_FRAME_OBJECTS_DATA = 25, /* S, once, before COMMIT: here they are */
    FS_FRAME_CURRENT = 32,      /* stream 0, S: groups unchanged until ... */
    FS_FRAME_CURRENT_ACK = 33,  /* stream 0, T: durably recorded */
    /* Between sites that both have FS_FEATURE_TERMS: stream 0, both sides, first and after each
     * change of a term or role. Nothing is shipped to a site that has not said its terms. */
    FS_FRAME_TERMS = 34,
    /* Between sites that both have FS_FEATURE_FENCE; stream 0. */
    FS_FRAME_FENCE_WANT = 35, /* I am to be promoted: fence your users first */
    FS_FRAME_FENCE_DONE = 36, /* they are out, or cannot be fenced */
    /* Between sites that both have FS_FEATURE_MOVE; stream 0: a relocation. */
    FS_FRAME_MOVE = 37,        /* S: may it be? or: the next term is yours */
    FS_FRAME_MOVE_ANSWER = 38, /* T; to a grant only where it is not taken: TERMS tell the rest */
    /* Between sites that both have FS_FEATURE_FENCE_LOOK; stream 0. */
    FS_FRAME_FENCE_LOOK = 39, /* whom would you fence? */
    FS_FRAME_FENCE_SEEN = 40, /* those, or why it cannot be told */
    /* Between sites that both have FS_FEATURE_VERIFY; WANT and BATCH also on the stream of a
     * transfer, between those that have FS_FEATURE_COMPARE. Who opened the stream ends it with
     * ABORT, the other side with REFUSE. */
    FS_FRAME_VERIFY = 48,        /* opens a stream: verify a point for me */
    FS_FRAME_VERIFY_REPORT = 49, /* how far it is; the last one ends the stream */
    FS_FRAME_DIGEST_OPEN = 50,   /* opens a stream: I want digests of a point */
    FS_FRAME_DIGEST_READY = 51,  /* it is open; its volumes */
    FS_FRAME_DIGEST_WANT = 52,   /* digests of a range of a volume, please: one at a time */
    FS_FRAME_DIGEST_BATCH = 53,  /* here they are */
};

const char *fs_frame_type_name(uint16_t type); /* "HELLO", ... or "unknown" */

struct fs_frame {
    uint16_t type;
    uint16_t flags;
    uint32_t stream;
    uint32_t length;
    const uint8_t *payload; /* borrowed */
    /* Where payload lies, for a handler that keeps it: it may move the buffer out. NULL for ABORT.
     */
    struct fs_buf *buf;
};

/* Begin a frame at the end of buf (header space is left), then put the payload, then finish it:
 * fills length and checksum. start is what begin returned. */
size_t fs_frame_begin(struct fs_buf *buf, uint16_t type, uint16_t flags, uint32_t stream);
void fs_frame_finish(struct fs_buf *buf, size_t start);

/* What the header of FS_FRAME_HEADER bytes says that the payload's length is. */
uint32_t fs_frame_length(const uint8_t *header);
/*
 * Look for one frame at data. Returns the bytes that it occupies, 0 when more are needed, or
 * -EPROTO (bad magic, length above the bound, wrong checksum) with err filled.
 */
long fs_frame_parse(const uint8_t *data, size_t length, struct fs_frame *ret_frame,
                    struct fs_error *err);

#define FS_FEATURE_VERIFY (UINT64_C(1) << 0) /* knows VERIFY and DIGEST_OPEN */
#define FS_FEATURE_TERMS  (UINT64_C(1) << 1) /* knows TERMS */
/* Finds the difference to what a target holds by digests, and answers who does. */
#define FS_FEATURE_COMPARE (UINT64_C(1) << 2)
#define FS_FEATURE_MOVE    (UINT64_C(1) << 4) /* knows MOVE */

#define FS_FEATURE_FENCE       (UINT64_C(1) << 3) /* knows FENCE_WANT and the flag of TERMS */
#define FS_FEATURE_OBJECTS     (UINT64_C(1) << 6) /* an OFFER may name Kubernetes objects */
#define FS_FEATURE_APPLICATION (UINT64_C(1) << 5) /* knows FS_POINT_APPLICATION in an offer */

#define FS_FEATURE_FENCE_LOOK (UINT64_C(1) << 7)  /* knows FENCE_LOOK */
#define FS_FEATURE_JOIN       (UINT64_C(1) << 8)  /* an OFFER may name what joins, and seeds */
#define FS_FEATURE_MOVE_LOOK  (UINT64_C(1) << 9)  /* knows MOVEs that are questions of workloads */
#define FS_FEATURE_DELTA      (UINT64_C(1) << 10) /* knows FS_CODEC_DELTA */
#define FS_FEATURE_LANES      (UINT64_C(1) << 11) /* knows LANES */

struct fs_hello {
    uint16_t version_min, version_max;
    uint64_t features; /* bits: FS_FEATURE_*; others are ignored */
    char site[FS_NAME_SIZE];
    struct fs_uuid site_uuid;
    struct fs_uuid instance; /* of the daemon process */
    uint64_t credit;         /* bytes of segments that the peer may send before a CREDIT */
    int64_t wall_ns;         /* to show the clocks' offset; nothing computes with it */
    char software[64];
};

struct fs_ping { /* PING; PONG returns it with wall_ns of its own */
    uint64_t id;
    uint64_t boot_ns; /* of the asking side; opaque to the other */
    int64_t wall_ns;
};

struct fs_credit {
    uint64_t bytes;
};

struct fs_lane {
    uint8_t token[32]; /* of the LANES of the side that was dialed */
};

struct fs_lanes {
    uint64_t window;     /* bytes that the peer may be ahead of what is in order */
    struct fs_lane lane; /* of the side that was dialed; zero from the other */
};

struct fs_accept {
    struct fs_uuid base; /* zero: a first copy; the point itself: see struct fs_record_incoming */
    size_t n_positions;
    struct fs_position *positions; /* owned; the offer's volumes in order */
};

struct fs_refuse {
    enum fs_refusal reason;
    char message[512];
};

struct fs_objects_want {
    struct fs_digest digest; /* of the OFFER */
};

struct fs_objects_data {
    const uint8_t *packed; /* borrowed; see farshore/captured.h */
    uint32_t length;       /* 0: they are gone at the source, and the point is without */
};

struct fs_segment_extent {
    struct fs_extent extent;
    uint64_t hash; /* XXH3-64 of the content; 0 for ZERO */
};

enum fs_codec {
    FS_CODEC_RAW = 0,
    FS_CODEC_ZSTD = 1,
    /* Between sites that both have FS_FEATURE_DELTA, of a volume that the base has: zstd with a
     * prefix, which is what the base holds of the segment's ranges and then of its DATA extents, in
     * their order; zeroes beyond its end. */
    FS_CODEC_DELTA = 2,
};

struct fs_range {
    uint64_t offset, length; /* length is not 0 */
};

/* Of one segment: how many, and their bytes together. */
#define FS_DELTA_RANGES_MAX 256
#define FS_DELTA_BYTES_MAX  FS_SEGMENT_MAX
#define FS_DELTA_RANGE_SIZE 12 /* on the wire */

/*
 * A run of changed extents of one volume. Everything changed in [start, end) is in it. Segments
 * of a volume come in order: the next one's start is this one's end.
 */
struct fs_segment {
    uint16_t volume; /* index into the offer's volumes */
    enum fs_codec codec;
    uint32_t raw_length; /* sum of the DATA extents' lengths, at most FS_SEGMENT_MAX */
    uint64_t start, end;
    size_t n_extents;
    struct fs_segment_extent *extents; /* owned */
    size_t n_ranges;                   /* DELTA: of the base; ascending, disjoint */
    struct fs_range *ranges;           /* owned */
    const uint8_t *payload;            /* borrowed; codec over the contents back to back. To encode,
                                          NULL: who calls puts it behind the rest */
    uint32_t payload_length;           /* without the ranges */
};

struct fs_progress {
    size_t n_positions;
    struct fs_position *positions; /* owned */
};

struct fs_commit {
    uint64_t bytes; /* changed bytes (DATA and ZERO) in the whole transfer */
    size_t n_finals;
    struct fs_position *finals; /* owned; offset is the volume's size */
};

struct fs_committed {
    struct fs_uuid point;
    uint64_t record_version; /* of the target's record */
};

struct fs_text { /* BYE, ABORT */
    char text[512];
};

struct fs_current_entry {
    struct fs_uuid group, point;
    uint64_t age_ns; /* how long ago the group was known to be unchanged */
};

#define FS_CURRENT_MAX 4096
struct fs_current_list { /* CURRENT, CURRENT_ACK */
    size_t count;
    struct fs_current_entry *entries; /* owned */
};

/* The wire's numbers of roles are those of enum fs_role. */
struct fs_terms_entry {
    struct fs_uuid group;
    struct fs_term term;
    enum fs_role role; /* one that this version does not know is FS_ROLE_NONE */
    uint8_t flags;     /* FS_TERMS_*; others are ignored */
};

/* Whoever is superseded by this term is to fence its users, as soon as it learns of it. */
#define FS_TERMS_FENCE 1u

#define FS_TERMS_MAX 4096
struct fs_terms {
    bool more; /* another TERMS with further groups follows */
    size_t count;
    struct fs_terms_entry *entries; /* owned */
};

enum fs_move_what {
    FS_MOVE_CHECK = 1, /* could you become primary? */
    FS_MOVE_GRANT = 2, /* become primary, in the term of this number */
    /* Between sites that both have FS_FEATURE_MOVE_LOOK; nothing is changed by the first two: */
    FS_MOVE_LOOK = 3,  /* what that uses the volumes would not come up with you? */
    FS_MOVE_COMES = 4, /* has it come up with you? */
    FS_MOVE_BRING = 5, /* the same, and bring up once more what is left over */
};

struct fs_move {
    struct fs_uuid group;
    enum fs_move_what what;
    struct fs_term term;  /* in which the sender is primary; of a question of workloads: its own */
    uint64_t number;      /* granted; 0 in all others */
    struct fs_uuid point; /* that both sites' images hold; zero in all others */
};

enum fs_move_outcome {
    FS_MOVE_YES = 0,
    /* And it never will be so with this term, number and point; LOOK: it cannot be told, COMES and
     * BRING: something is left over, or that is not known. */
    FS_MOVE_NO = 1,
    FS_MOVE_LATER = 2, /* ask again */
};

struct fs_move_answer {
    struct fs_uuid group;
    enum fs_move_what what;
    uint64_t number; /* of the question */
    enum fs_move_outcome outcome;
    char message[512];
};

struct fs_fence_want {
    struct fs_uuid group;
    struct fs_term term; /* that the sender is about to raise to */
    char who[64];        /* for people: who told the sender to */
};

enum fs_fence_outcome {
    FS_FENCE_OUT = 0,     /* nobody is on the volumes any more */
    FS_FENCE_REFUSED = 1, /* it may not be: message says why; nothing was changed */
    FS_FENCE_FAILED = 2,  /* it could not be finished */
};

struct fs_fence_done {
    struct fs_uuid group;
    uint64_t number; /* of the term that was asked with */
    enum fs_fence_outcome outcome;
    char message[512];
};

struct fs_fence_look {
    struct fs_uuid group;
    uint64_t number; /* the answer has it, too */
};

#define FS_SEEN_PART   1u /* not all images of the cluster could be looked at: see others */
#define FS_SEEN_MORE   2u /* there are more clients than these */
#define FS_SEEN_FAILED 4u /* it cannot be told: message says why */

#define FS_SEEN_MAX 32
struct fs_fence_seen {
    struct fs_uuid group;
    uint64_t number; /* of the question */
    uint8_t flags;   /* FS_SEEN_*; others are ignored */
    char message[512];
    size_t count;
    struct fs_fence *clients; /* owned; of each only client, address, images and others */
};

struct fs_verify {
    struct fs_uuid group;
    struct fs_uuid point; /* zero: the newest one that both sites hold */
};

enum fs_verify_phase {
    FS_VERIFY_RUNNING = 0,
    FS_VERIFY_EQUAL = 1,     /* proved */
    FS_VERIFY_DIFFERENT = 2, /* see differences */
    FS_VERIFY_REFUSED = 3,   /* nothing was looked at: message says why and what would help */
    FS_VERIFY_FAILED = 4,    /* it could not be finished: message says why */
};

struct fs_difference {
    struct fs_uuid volume;
    uint64_t object;         /* number of the object */
    uint64_t offset, length; /* where they differ, as narrow as it is known */
};

/* Listed differences; the others are only counted. */
#define FS_DIFFERENCES_MAX 64

struct fs_verify_report {
    enum fs_verify_phase phase;
    bool kept;                        /* against the digests that were kept with the point */
    struct fs_uuid point;             /* zero: not known yet */
    uint64_t done_bytes, total_bytes; /* of the volumes' sizes */
    uint64_t read_bytes;              /* that were looked at here */
    uint64_t different;               /* objects that differ */
    char message[512];
    size_t n_differences;
    struct fs_difference differences[FS_DIFFERENCES_MAX];
};

struct fs_digest_open {
    struct fs_uuid group, point;
};

struct fs_digest_ready {
    size_t n_volumes;
    struct fs_digest_volume volumes[FS_VOLUMES_MAX];
};

struct fs_digest_want {
    struct fs_digest_query query;
};

struct fs_digest_batch {
    uint64_t next;
    size_t n_entries;
    struct fs_digest_entry *entries; /* owned */
};

/*
 * encode puts the payload (without the frame). Texts for people (BYE, ABORT, REFUSE) are cleaned of
 * what is not valid UTF-8 or is a control character; names are not: one that is not valid text is
 * refused by the peer. decode returns 0, -EPROTO or -ENOMEM with err, and then leaves nothing to
 * free; what is borrowed points into payload; extents of a segment are checked to be ascending,
 * disjoint, inside [start, end) and to add up to raw_length. fini frees what is owned.
 */
#define FS_WIRE_MESSAGES(X)                                                                        \
    X(hello)                                                                                       \
    X(ping)                                                                                        \
    X(credit)                                                                                      \
    X(lanes)                                                                                       \
    X(lane)                                                                                        \
    X(offer)                                                                                       \
    X(accept)                                                                                      \
    X(refuse)                                                                                      \
    X(objects_want)                                                                                \
    X(objects_data)                                                                                \
    X(segment)                                                                                     \
    X(progress)                                                                                    \
    X(commit)                                                                                      \
    X(committed)                                                                                   \
    X(text)                                                                                        \
    X(current_list)                                                                                \
    X(terms)                                                                                       \
    X(move)                                                                                        \
    X(move_answer)                                                                                 \
    X(fence_want)                                                                                  \
    X(fence_done)                                                                                  \
    X(fence_look)                                                                                  \
    X(fence_seen)                                                                                  \
    X(verify)                                                                                      \
    X(verify_report)                                                                               \
    X(digest_open)                                                                                 \
    X(digest_ready)                                                                                \
    X(digest_want)                                                                                 \
    X(digest_batch)

#define FS_WIRE_PROTOTYPES(name)                                                                   \
    void fs_##name##_encode(const struct fs_##name *message, struct fs_buf *buf);                  \
    int fs_##name##_decode(const uint8_t *payload, size_t length, struct fs_##name *ret_message,   \
                           struct fs_error *err);
FS_WIRE_MESSAGES(FS_WIRE_PROTOTYPES)
#undef FS_WIRE_PROTOTYPES

/* Bytes that the encoded segment takes, without the frame header: what it costs in credit. */
size_t fs_segment_size(const struct fs_segment *message);
/* Of them, what so many ranges of a DELTA take, before its payload. */
size_t fs_segment_ranges_size(size_t n_ranges);

void fs_accept_fini(struct fs_accept *message);
void fs_segment_fini(struct fs_segment *message);
void fs_progress_fini(struct fs_progress *message);
void fs_commit_fini(struct fs_commit *message);
void fs_current_list_fini(struct fs_current_list *message);
void fs_terms_fini(struct fs_terms *message);
void fs_fence_seen_fini(struct fs_fence_seen *message);
void fs_digest_batch_fini(struct fs_digest_batch *message);

/* Entries of the range that was asked for, at multiples of the unit, and next goes on. */
bool fs_digest_batch_answers(const struct fs_digest_batch *message,
                             const struct fs_digest_query *query);

/*
 * The chained digest of a volume and point: start is all zero; each segment gives
 *   chain = XXH3-128(chain, then for each extent: offset u64, length u64, kind u8, hash u64)
 * Segments without extents leave it as it is.
 */
void fs_chain_extend(struct fs_digest *chain, const struct fs_segment_extent *extents,
                     size_t count);

#endif
