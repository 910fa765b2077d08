/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: one conversation of two daemons over a transport (TLS in the product, memory in the
 * scenario tests). It says hello, checks the peer, keeps the heart-beat, accounts for credit and
 * hands frames to the streams. LOOP only. It never calls the loop itself: the owner calls
 * fs_session_tick at the moments that fs_session_deadline asks for.
 */
#ifndef FARSHORE_SESSION_H
#define FARSHORE_SESSION_H

#include "farshore/clock.h"
#include "farshore/pacer.h"
#include "farshore/tuner.h"
#include "farshore/wire.h"

/* --- transport ------------------------------------------------------------------------------ */

struct fs_transport;

struct fs_transport_ops {
    /* Queue bytes; the buffer is moved in and left empty. Never fails: a broken transport
     * reports through closed. */
    void (*send)(struct fs_transport *transport, struct fs_buf *buf);
    /* Bytes queued and not yet given to the kernel. */
    size_t (*pending)(const struct fs_transport *transport);
    /* Flushes nothing, frees transport; no callback runs after it. */
    void (*close)(struct fs_transport *transport);
};

struct fs_transport_events { /* set by the session; called on the LOOP, never from inside send */
    /* Where the next bytes that arrive are to be put, and how many at most (not 0): so that a
     * large frame is never copied. Valid until received or the next room. NULL: out of memory. */
    uint8_t *(*room)(void *arg, size_t *ret_length);
    /* So many bytes are there, at most those of room. */
    void (*received)(void *arg, size_t length);
    /* pending fell below low, after it had been at or above it at a send. */
    void (*drained)(void *arg);
    /* The connection is gone; the session closes the transport. */
    void (*closed)(void *arg, const struct fs_error *err);
};

#define FS_TRANSPORT_LOW (2u << 20)
/* Streams of one session, of both sides together; the peer's offers beyond it are refused. */
#define FS_SESSION_STREAMS_MAX 4096
/* What is sent again after a cut, a kill or a power failure, at most: bytes of segments of one
 * session that are on their way, or applied and not durable. Kept by the receiving side. */
#define FS_SESSION_AHEAD_MAX (64u << 20)

struct fs_transport { /* first member of an implementation */
    const struct fs_transport_ops *ops;
    const struct fs_transport_events *events;
    void *events_arg;
    size_t low;                 /* 0, as at the start: FS_TRANSPORT_LOW */
    bool dialed;                /* we made the connection */
    char address[FS_NAME_SIZE]; /* of the peer, for people */
    /* True where the peer's certificate is valid for name (always true in memory). */
    bool (*peer_is)(const struct fs_transport *transport, const char *name);
};

/* --- session -------------------------------------------------------------------------------- */

struct fs_session;

struct fs_session_options {
    const struct fs_clock *clock; /* borrowed, as all of these */
    const char *site;             /* our name */
    struct fs_uuid site_uuid, instance;
    const char *software;
    uint64_t credit;      /* bytes of segments we take before we give more; >= FS_CREDIT_MIN, and
                             half of FS_SESSION_AHEAD_MAX at most is used */
    int64_t heartbeat_ns; /* ping as often; down after three in a row without a byte heard */
    int64_t hello_ns;     /* the longest to wait for a hello */
    uint64_t send_limit;  /* bytes the transport may hold before senders wait;
                             at least FS_TRANSPORT_LOW is used */
    uint64_t lane_window; /* bytes that lanes may be ahead of each other, in each direction, at
                             least FS_LANES_WINDOW_MIN; 0: one connection only */
};

/*
 * Called from the transport's events and from fs_session_tick, never from inside another function
 * of the session. The callbacks may call everything here but fs_session_free.
 */
struct fs_session_events {
    /* The peer said hello: return NULL to accept, or static text why not (said in BYE). The owner
     * checks that the site is configured, that peer_is(name), and settles double sessions. */
    const char *(*hello)(void *arg, struct fs_session *session, const struct fs_hello *hello);
    void (*up)(void *arg, struct fs_session *session);
    /* The session is over, for the reason that err names (the peer's BYE text is in it); the owner
     * calls fs_session_free (not from inside). Streams got their `lost` before. Not called when the
     * owner frees the session itself. */
    void (*down)(void *arg, struct fs_session *session, const struct fs_error *err);
    /* A peer offers a point: attach a handler with fs_session_attach, now or later, or refuse by
     * fs_session_send of a REFUSE. offer's content is moved in (copy the struct, fs_offer_fini). */
    void (*offer)(void *arg, struct fs_session *session, uint32_t stream, struct fs_offer *offer);
    /* CURRENT and CURRENT_ACK; borrowed. */
    void (*current)(void *arg, struct fs_session *session, const struct fs_current_list *list);
    void (*current_ack)(void *arg, struct fs_session *session, const struct fs_current_list *list);
    /* TERMS; borrowed. NULL: ignored. */
    void (*terms)(void *arg, struct fs_session *session, const struct fs_terms *terms);
    /* MOVE and MOVE_ANSWER; borrowed. NULL: ignored. */
    void (*move)(void *arg, struct fs_session *session, const struct fs_move *move);
    void (*move_answer)(void *arg, struct fs_session *session, const struct fs_move_answer *answer);
    /* FENCE_WANT and FENCE_DONE; borrowed. NULL: ignored. */
    void (*fence_want)(void *arg, struct fs_session *session, const struct fs_fence_want *want);
    void (*fence_done)(void *arg, struct fs_session *session, const struct fs_fence_done *done);
    /* FENCE_LOOK and FENCE_SEEN; borrowed. NULL: ignored. */
    void (*fence_look)(void *arg, struct fs_session *session, const struct fs_fence_look *look);
    void (*fence_seen)(void *arg, struct fs_session *session, const struct fs_fence_seen *seen);
    /* A peer asks for a verification, or for digests; borrowed. Attach or refuse, as for an offer.
     * Both NULL: the session refuses them. */
    void (*verify)(void *arg, struct fs_session *session, uint32_t stream,
                   const struct fs_verify *verify);
    void (*digest_open)(void *arg, struct fs_session *session, uint32_t stream,
                        const struct fs_digest_open *open);
    /* One of several lanes ended, for the reason that err names, and the others carry on. worked:
     * not one of ours that the peer never let in. NULL: ignored. */
    void (*lane_down)(void *arg, struct fs_session *session, bool worked,
                      const struct fs_error *err);
    /* From inside an event of the transport: fs_session_deadline is nearer than before. May be
     * NULL where the owner asks after each event. */
    void (*sooner)(void *arg);
};

/* One end of a stream: a sender or a receiver. */
struct fs_stream_events {
    /* Borrowed, but for its buf; a return other than 0 (with err) ends the session as a protocol
     * error. A SEGMENT always has a buf. Only frames
     * of the other role come: to the stream's opener ACCEPT, REFUSE, PROGRESS, COMMITTED and the
     * answers of verification, to the other side SEGMENT, OBJECTS_DATA, COMMIT, ABORT and
     * DIGEST_WANT. Detach after one that ends the stream. */
    int (*frame)(void *arg, const struct fs_frame *frame, struct fs_error *err);
    /* There is credit and room in the transport again (senders). */
    void (*writable)(void *arg);
    /* The session is gone; the stream is detached. */
    void (*lost)(void *arg, const struct fs_error *err);
};

/* transport is moved in; says hello at once. NULL when out of memory. */
struct fs_session *fs_session_new(const struct fs_session_options *options,
                                  struct fs_transport *transport,
                                  const struct fs_session_events *events, void *arg);
/* Closes the transport; streams get lost (from inside). NULL is allowed. */
void fs_session_free(struct fs_session *session);
/* Says BYE with text; down is called when the peer has hung up, a second later at the latest. */
void fs_session_end(struct fs_session *session, const char *text);

/* When tick wants to be called next, on the boot clock; earlier calls do no harm. Ask again after
 * each tick and after fs_session_end, fs_session_attach and fs_session_take_credit, and when the
 * pacer was set. INT64_MAX: never. */
int64_t fs_session_deadline(const struct fs_session *session);
void fs_session_tick(struct fs_session *session);

/* What is sent is paced by this (borrowed; it may serve several sessions with one peer). NULL, as
 * at the start: by nothing. */
void fs_session_set_pacer(struct fs_session *session, struct fs_pacer *pacer);

bool fs_session_is_up(const struct fs_session *session);
/* NULL before it is up. */
const struct fs_hello *fs_session_peer(const struct fs_session *session);
const struct fs_transport *fs_session_transport(const struct fs_session *session);
int64_t fs_session_rtt_ns(const struct fs_session *session); /* smoothed; -1: not yet known */
/* The least so far, of the way without queues; -1: not yet known. And of how many. */
int64_t fs_session_rtt_least_ns(const struct fs_session *session);
unsigned fs_session_rtt_samples(const struct fs_session *session);
/* One more PING now, beside the heart-beat's. */
void fs_session_probe(struct fs_session *session);
int64_t fs_session_clock_offset_ns(const struct fs_session *session); /* peer's wall - ours */
/* Bytes on the wire so far, without TLS's own. Neither ever decreases. */
uint64_t fs_session_bytes_sent(struct fs_session *session);
uint64_t fs_session_bytes_received(const struct fs_session *session);

/*
 * Lanes: more connections with the same peer, which carry the same session. Only between peers that
 * both have FS_FEATURE_LANES. The side that dialed asks for them, once; where the peer has agreed
 * it makes them one by one: each begins with a LANE frame with the token, and then is given to the
 * session at each end.
 */
/* False where it cannot be, or was asked for already. */
bool fs_session_ask_lanes(struct fs_session *session);
/* Lanes may be made; to make one it takes this token. */
bool fs_session_lanes_token(const struct fs_session *session, struct fs_lane *ret_lane);
/* Is that the token by which one was made that belongs to this session? In constant time. */
bool fs_session_owns_lane(const struct fs_session *session, const struct fs_lane *lane);
/* One more connection (moved in), behind its LANE frame; LOOP, also from inside its events. False,
 * and closed, where there are FS_LANES_MAX already, or lanes may not be made. */
bool fs_session_add_lane(struct fs_session *session, struct fs_transport *transport);
unsigned fs_session_lanes(const struct fs_session *session); /* connections: 1 or more */

/* A new stream of ours: odd numbers for the side that dialed, even ones for the other. 0 when the
 * session is not up, has too many streams, or memory is short. */
uint32_t fs_session_open_stream(struct fs_session *session, const struct fs_stream_events *events,
                                void *arg);
/* Handle a stream that the peer opened. False when the session is over: nothing will be called. */
bool fs_session_attach(struct fs_session *session, uint32_t stream,
                       const struct fs_stream_events *events, void *arg);
/* No further callbacks; late frames of the stream are dropped. */
void fs_session_detach(struct fs_session *session, uint32_t stream);

/*
 * Send the frames in buf (moved in, left empty); dropped when the session is not up. A failed
 * buffer ends the session. What a SEGMENT costs in credit is the length of its frame's payload,
 * fs_segment_size; it is sent only after fs_session_take_credit said yes to that many bytes.
 */
void fs_session_send(struct fs_session *session, struct fs_buf *buf);
/* The most content that a segment should have now: at most FS_SEGMENT_MAX, less on a slow link. */
uint64_t fs_session_segment_max(const struct fs_session *session);
/* Sender: room for a segment of so many bytes (fs_segment_size), in credit, in the transport and at
 * the pacer? Takes the credit when it says yes; what is taken must be sent at once. When it says
 * no, writable follows: for the streams that have one, in turn, each for about as many bytes. */
bool fs_session_take_credit(struct fs_session *session, uint64_t bytes);
/* Sender: how many bytes may wait in the transport before fs_session_take_credit says no: between
 * FS_TRANSPORT_LOW and the send_limit of the options, which it is at the start. */
void fs_session_set_queue(struct fs_session *session, uint64_t bytes);
/* Whether the link waits for segments, or they for it. */
enum fs_link_state fs_session_link(const struct fs_session *session);
/* Receiver: segments of so many bytes (frame->length) were applied and freed: gives credit back, in
 * batches. Owed for every SEGMENT that frame was called with, also after a detach. */
void fs_session_release_credit(struct fs_session *session, uint64_t bytes);
/*
 * Receiver: segments of so many bytes were applied and freed, but are not durable yet. True:
 * counted as such; their credit may be released now, and fs_session_back says when they are
 * durable, or that nobody waits for it any more. False: with them the peer could be
 * FS_SESSION_AHEAD_MAX ahead of what is durable, so their credit is to be kept until they are.
 */
bool fs_session_ahead(struct fs_session *session, uint64_t bytes);
void fs_session_back(struct fs_session *session, uint64_t bytes);

#endif
