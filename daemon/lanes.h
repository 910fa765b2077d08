/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections carry the session with a peer, and making them: the side that dialed the
 * session dials the others, one after the other, and again where one ended; the other side finds
 * out which session a new one belongs to. LOOP only.
 */
#ifndef FARSHORE_DAEMON_LANES_H
#define FARSHORE_DAEMON_LANES_H

#include "daemon/peer.h"

/* After a lane ended, or could not be made; then twice as long each time, up to the most, while
 * none can be made. */
#define FS_LANE_RETRY_NS      (5 * FS_SEC)
#define FS_LANE_RETRY_MOST_NS (60 * FS_SEC)

struct fs_arrival;

struct fs_lanes_context { /* of all peers; embedded */
    struct fs_context *ctx;
    const struct fs_peers *peers;
    const struct fs_peers_options *options;
    struct fs_arrival *arrivals; /* owned: connections that have not said what they belong to */
    size_t n_arrivals;
};

struct fs_lane_dialer { /* of one peer; embedded, zeroed at the start */
    struct fs_lanes_context *context;
    const char *name; /* borrowed */
    void *dial;       /* under way, or NULL */
    int64_t at_ns;    /* boot: not before */
    int64_t retry_ns; /* after the next failure; 0: FS_LANE_RETRY_NS */
};

/*
 * How many connections a session should have. configured: 0 is auto, which goes by the round trip
 * and by bytes_per_s (0: not known): as many as carry that rate where the network loses one packet
 * in a thousand, and one where the round trip is so short that a loss costs nothing.
 */
unsigned fs_lanes_wanted(unsigned configured, int64_t rtt_ns, uint64_t bytes_per_s);

/* Makes what is missing of `configured` lanes; returns when it wants to be called again (boot). */
int64_t fs_lane_dialer_run(struct fs_lane_dialer *dialer, unsigned configured,
                           uint64_t bytes_per_s);
/* A lane of the session ended; worked: it was not one that the peer never let in. */
void fs_lane_dialer_lost(struct fs_lane_dialer *dialer, bool worked);
void fs_lane_dialer_cancel(struct fs_lane_dialer *dialer);

/* A lane that a peer opened; moved in. */
void fs_lanes_accept(struct fs_lanes_context *context, struct fs_transport *transport);
/* Those that say nothing are closed; returns when it wants to be called again (boot). */
int64_t fs_lanes_run(struct fs_lanes_context *context);
void fs_lanes_close(struct fs_lanes_context *context);

#endif
