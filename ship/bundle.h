/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: several connections with one peer that carry one session, so that what one TCP connection
 * loses does not hold up all of it. To the session a bundle is a transport. bundle.c has lanes and
 * what is sent, bundle_receive.c what arrives; docs/man/farshore-protocol.5 has the bytes. LOOP
 * only.
 *
 * What is sent is a row of bytes, cut into blocks; each goes to the lane that has the least queued,
 * and is kept until the peer has acknowledged it, in order. The blocks of a lane that ends go to
 * the others once more, as they were: so blocks at the receiver are disjoint or the same. Without
 * an error nothing is sent twice. The bundle ends with its last lane.
 */
#ifndef FARSHORE_SHIP_BUNDLE_H
#define FARSHORE_SHIP_BUNDLE_H

#include "farshore/session.h"

#define BUNDLE_BLOCK_HEADER 20 /* u32 length, u64 offset, u64 acknowledged */
#define BUNDLE_BLOCK_MAX    (128u << 10)
/* Blocks that are not acknowledged. */
#define BUNDLE_BLOCKS_MAX 1024

struct bundle_options {
    const struct fs_clock *clock; /* borrowed */
    uint64_t window;  /* bytes that the peer may be ahead of what arrived in order, and that are
                         kept until it acknowledges them; at least FS_LANES_WINDOW_MIN */
    int64_t stall_ns; /* a lane that holds all up for so long is given up, where others work */
    int64_t wait_ns;  /* a new one that we dialed, where the peer says nothing for so long */
    /* Lanes ended, and others carry on; worked: one of them had been let in. Called from the events
     * of a lane. */
    void (*lost)(void *arg, bool worked, const struct fs_error *err);
    void *arg;
};

/*
 * Around first, the open connection of a session, whose events it takes over; moved in. What is
 * sent from now on goes in blocks (call it right after the last plain bytes were sent), what
 * arrives is passed on as it is until bundle_open. NULL when out of memory: first is as it was.
 */
struct fs_transport *bundle_new(const struct bundle_options *options, struct fs_transport *first);
/* What arrives from now on is blocks. The peer may be so far ahead. May be called from inside
 * received. */
void bundle_open(struct fs_transport *transport, uint64_t window);
/*
 * One more lane (moved in), behind its first frame. waits: we dialed, and send nothing on it until
 * the peer has, which shows that it has let it in. False, and closed, where there is no room.
 */
bool bundle_add(struct fs_transport *transport, struct fs_transport *lane, bool waits);
/* Lanes that carry something, or wait. */
unsigned bundle_lanes(const struct fs_transport *transport);
/* Whether anything arrived since the last call, on any lane and in whatever order. */
bool bundle_heard(struct fs_transport *transport);

#endif
