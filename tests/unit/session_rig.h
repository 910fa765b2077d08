/* SPDX-License-Identifier: Apache-2.0 */
/* Two sessions joined by a fake link on a scripted clock, for the tests of sessions. */
#ifndef FARSHORE_TESTS_SESSION_RIG_H
#define FARSHORE_TESTS_SESSION_RIG_H

#include "farshore/session.h"
#include "tests/scenario/fake_transport.h"

#define HEARTBEAT  (2 * FS_SEC)
#define CREDIT     (8u << 20)
#define SEND_LIMIT (FS_TRANSPORT_LOW + (1u << 20))

struct side;

/* A handler of a stream that notes what it gets. */
struct end {
    struct side *side;
    uint32_t stream;
    uint64_t segment_bytes; /* not released */
    uint64_t received;      /* bytes of segments, in all */
    unsigned frames, lost;
    uint16_t last_type;
    bool fail; /* the next frame is a protocol error */
    /* writable: sends segments of so many bytes, until it is told no or so many bytes went */
    uint64_t segment_size, to_send, sent;
    unsigned turns;
};

struct side {
    struct fs_session *session;
    const char *refusal; /* what hello answers */
    unsigned ups, downs, offers, currents, acks, lanes_down;
    uint32_t offered;
    struct fs_error err;
    struct end *attach; /* to offers, at once */
};

struct pair {
    struct fs_clock_scripted clock;
    struct fake_link *link;
    struct side sides[2]; /* 0 dialed */
};

extern const struct fs_stream_events end_events;
void end_writable(void *arg);

void send_frame(struct fs_session *session, uint16_t type, uint32_t stream, const void *payload,
                size_t length);
void run(struct pair *pair);
void tick(struct pair *pair, int64_t ns);
/* Only side 0 is a session; what it gets is what the test puts at the other end. */
struct fs_transport *open_half(struct pair *pair);
void open_pair(struct pair *pair);
void open_up(struct pair *pair);
void close_pair(struct pair *pair);
/* Sends raw frames from the side without a session. */
void inject(struct fs_transport *from, uint16_t type, uint16_t flags, uint32_t stream,
            const void *payload, size_t length);
void inject_hello(struct fs_transport *from, uint16_t min, uint16_t max, uint8_t site);
/* A session that is up, against a test that may say anything. */
struct fs_transport *open_odd(struct pair *pair);
/* Whatever was injected ended the session as the peer's mistake, with these words. */
void check_ended(struct pair *pair, struct fs_transport *odd, const char *words);
void inject_offer(struct fs_transport *from, uint32_t stream);
void inject_text(struct fs_transport *from, uint16_t type, uint32_t stream, const char *words);
/* An open stream from side 0 (source) to side 1 (attached target). */
void open_stream(struct pair *pair, struct end *source, struct end *target);

#endif
