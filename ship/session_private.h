/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a session, shared by its files: session.c (life, sending, credit),
 * session_receive.c (what arrives), session_lanes.c and session_streams.c (the table of streams).
 * LOOP only.
 */
#ifndef FARSHORE_SHIP_SESSION_PRIVATE_H
#define FARSHORE_SHIP_SESSION_PRIVATE_H

#include "farshore/session.h"

/* --- streams -------------------------------------------------------------------------------- */

struct stream {
    uint32_t id;
    const struct fs_stream_events *events; /* NULL: offered by the peer, not yet attached */
    void *arg;
    struct fs_text *abort; /* owned; came before attach, and is handed over by the next tick */
    int64_t allowance;     /* bytes of segments that it may send before it is another's turn */
};

struct streams { /* owned array, ascending id */
    struct stream *at;
    size_t count;
    size_t capacity;
};

void streams_fini(struct streams *streams);
/* Valid until the next add or remove; NULL where there is none. */
struct stream *streams_find(const struct streams *streams, uint32_t id);
/* The one with the smallest id above `after`, or NULL. */
struct stream *streams_next(const struct streams *streams, uint32_t after);
/* NULL when out of memory. id must not be there yet. */
struct stream *streams_add(struct streams *streams, uint32_t id);
void streams_remove(struct streams *streams, uint32_t id);

/* --- session -------------------------------------------------------------------------------- */

enum session_state {
    SESSION_HELLO,  /* ours was said, the peer's is awaited */
    SESSION_UP,     /* both were */
    SESSION_ENDING, /* BYE was said; what arrives is dropped, until the peer hangs up */
    SESSION_DOWN,   /* down was called */
};

struct fs_session {
    /* set once */
    const struct fs_clock *clock;
    const struct fs_session_events *events;
    void *arg;
    struct fs_transport *transport; /* owned */
    struct fs_uuid site_uuid, instance;
    int64_t heartbeat_ns, hello_ns;
    uint64_t send_limit;  /* at least FS_TRANSPORT_LOW: see has_room */
    uint64_t queue_limit; /* at most that: see fs_session_set_queue */
    uint64_t window;      /* credit that we give */
    uint64_t lane_window; /* 0: one connection only */

    enum session_state state;
    struct fs_error err;   /* why it ends */
    int64_t deadline_ns;   /* of the hello, or of the peer's hanging up */
    struct fs_hello peer;  /* from SESSION_UP on */
    uint64_t bytes_queued; /* given to the transport */
    uint64_t bytes_sent;   /* as last told: it never decreases */
    uint64_t bytes_received;

    /* heart-beat */
    int64_t next_beat_ns;
    unsigned missed; /* beats in a row without a byte from the peer */
    bool heard;      /* a byte came since the last beat */
    uint64_t last_ping;
    int64_t rtt_ns;       /* -1: unknown */
    int64_t rtt_least_ns; /* the same */
    unsigned rtt_samples;
    int64_t offset_ns;

    /* lanes */
    bool bundled;        /* LANES was said: transport is a bundle */
    bool lanes_open;     /* the peer's came, too */
    struct fs_lane lane; /* the token, from then on */

    /* credit */
    uint64_t may_send;    /* bytes of segments that the peer still takes */
    uint64_t may_receive; /* bytes of segments that the peer may still send */
    uint64_t to_give;     /* released and not yet given back */
    uint64_t ahead;       /* applied, and neither durable nor given up */
    bool starved;         /* someone was told to wait: writable is due */
    bool serving;         /* inside session_serve */
    uint32_t turn;        /* while serving: the stream that is; else the one that was last */
    bool refused;         /* while serving: that one was told to wait */
    bool blocked;         /* ... because there is no room for anybody */

    struct fs_pacer *pacer; /* borrowed, or NULL */
    bool paced;             /* the last one who was told to wait waits for the pacer */

    /* The frame that arrives: its header, then a buffer for all of it. */
    struct fs_buf in;
    size_t in_size; /* of the frame; that of a header until that is there */

    struct streams streams;
    uint32_t next_stream; /* of ours */
    uint32_t peer_stream; /* highest that the peer opened */
    bool abort_due;       /* some stream is aborted and attached */
};

/* Give the frames to the transport (moved in). */
void session_queue(struct fs_session *session, struct fs_buf *buf);
/* PING or PONG. */
void session_send_ping(struct fs_session *session, uint16_t type, const struct fs_ping *ping);
/* Say BYE with text, then wait for the peer to hang up. The first error wins. */
void session_fail(struct fs_session *session, const struct fs_error *err, const char *text);
/* Streams get lost, then down is called. No effect when it is down already. */
void session_finish(struct fs_session *session);
/* writable for those who wait, in turn, while there is room. */
void session_serve(struct fs_session *session);
/* Hand over what came before attach. */
void session_deliver_aborts(struct fs_session *session);
int session_handle_lanes(struct fs_session *session, const struct fs_frame *frame,
                         struct fs_error *err);
/* A byte came since the last call, if only out of order. */
bool session_lanes_heard(struct fs_session *session);
/* Transport events. */
uint8_t *session_room(void *arg, size_t *ret_length);
void session_received(void *arg, size_t length);

#endif
