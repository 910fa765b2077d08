/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other sites: dialing with back-off, accepting, hello checks, and at most one session for
 * each peer. It never touches the network itself: transports come from dial and from the
 * listener's callback. LOOP only.
 */
#ifndef FARSHORE_DAEMON_PEER_H
#define FARSHORE_DAEMON_PEER_H

#include "daemon/context.h"
#include "farshore/tls.h"

struct fs_peers_options {
    const char *software;
    uint64_t credit;      /* bytes of segments that a session's peer may have on the way to us */
    uint64_t send_limit;  /* bytes that a session's transport may hold before senders wait */
    uint64_t lane_window; /* bytes that lanes may be ahead of each other; 0: no lanes */
    uint64_t compression_memory; /* bytes that all workers may take for compressing */
    int64_t heartbeat_ns;
    int64_t hello_ns;
    /* Begin to dial an endpoint; fs_tls_dialed_fn follows, also with a failure. NULL result: it
     * could not begin. cancel: no callback will come. dial may be NULL: only accept. */
    void *(*dial)(void *arg, const char *endpoint, fs_tls_dialed_fn *dialed, void *dialed_arg);
    /* The same for a further lane. NULL: none are made. */
    void *(*dial_lane)(void *arg, const char *endpoint, fs_tls_dialed_fn *dialed, void *dialed_arg);
    void (*cancel)(void *arg, void *dial);
    void *arg;
};

/* NULL when out of memory. Peers are those of ctx->config. */
struct fs_peers *fs_peers_new(struct fs_context *ctx, const struct fs_peers_options *options);
/* Ends every session without further callbacks to groups. */
void fs_peers_free(struct fs_peers *peers);

/* Only the daemon that works for the site speaks with peers; others end what comes in. Turning
 * it off ends every session, saying why. */
void fs_peers_set_active(struct fs_peers *peers, bool active, const char *why);
/* ctx->config was replaced: sessions of peers that it no longer has end, other limits of bandwidth
 * count from now on. */
void fs_peers_reconfigure(struct fs_peers *peers);

/* A transport that a peer opened; moved in. Also fs_tls_accepted_fn (arg is the peers). */
void fs_peers_accept(void *arg, struct fs_transport *transport);

/* The same for a lane. */
void fs_peers_accept_lane(void *arg, struct fs_transport *transport);

/* Timers and what is left to free; returns when it wants to be called again (boot clock). */
int64_t fs_peers_run(struct fs_peers *peers);

/* The session with a site where it is up, or NULL. */
struct fs_session *fs_peers_session(const struct fs_peers *peers, const char *site);

/* What says the level of compression for a site; lives as long as peers. NULL: it is no peer. */
struct fs_tuner *fs_peers_tuner(const struct fs_peers *peers, const char *site);

/* The same, but NULL until the peer has said which terms its groups have, if it can. */
struct fs_session *fs_peers_session_with_terms(const struct fs_peers *peers, const char *site);
/* Has any session's, since this daemon started? */
bool fs_peers_was_heard(const struct fs_peers *peers, const char *site);

struct fs_peer_status { /* borrowed until the next event */
    const char *name;
    bool up;
    const char *address; /* "" where not connected */
    unsigned lanes;      /* connections of the session; 0: not connected */
    int64_t since_ns;    /* wall: of the present state */
    int64_t rtt_ns;      /* -1: not known */
    int64_t clock_offset_ns;
    const char *reason; /* why it is down; "" when up */
    uint64_t sent_bytes, received_bytes;
    uint64_t bandwidth;    /* bytes/s that we send at most now; 0: no limit */
    const char *window;    /* that it is of ("mon-fri 08:00 to 18:00"); "" outside of all */
    int compression_level; /* zstd's; 0: none */
};

size_t fs_peers_count(const struct fs_peers *peers);
void fs_peers_status(const struct fs_peers *peers, size_t i, struct fs_peer_status *ret_status);

#endif
