/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 transports over TCP: listening and dialing on libevent's loop with OpenSSL. Both sides
 * show a certificate of the configured CA; who the peer may be is asked through peer_is. LOOP only.
 */
#ifndef FARSHORE_TLS_H
#define FARSHORE_TLS_H

#include "farshore/session.h"

struct event_base;
struct fs_tls; /* certificate, key and CA, loaded; shared by listener and dialers */

/* Files are read now. Makes the process ignore SIGPIPE, if that was at its default. Errors name the
 * file and what is wrong (missing, no match of key and certificate, expired, not PEM). -errno. */
int fs_tls_new(const char *cert, const char *key, const char *ca, struct fs_tls **ret_tls,
               struct fs_error *err);
/* References: listeners, dials and transports hold one each. */
struct fs_tls *fs_tls_ref(struct fs_tls *tls);
void fs_tls_unref(struct fs_tls *tls);
/* When our own certificate ends: seconds since the epoch. */
int64_t fs_tls_not_after(const struct fs_tls *tls);
/* Let listeners take connections for enrolment (farshore/enroll.h), whose other end need not show a
 * certificate; ca is sent along, so that it can be compared with a pin. -errno with err. */
int fs_tls_allow_enroll(struct fs_tls *tls, const char *ca, struct fs_error *err);
/* SHA-256 of the public key of the other end's certificate, which was verified; false where it
 * showed none. Of transports of this header only. */
bool fs_tls_peer_key(const struct fs_transport *transport, uint8_t ret_hash[32]);

/* A transport whose TLS handshake is done; moved to the callback, which must give it to a session
 * or close it before it returns. peer_is compares with the DNS names of the peer's certificate, or
 * with its CN where it has none; wildcards do not count. */
typedef void fs_tls_accepted_fn(void *arg, struct fs_transport *transport);

struct fs_tls_listener;

/*
 * address is "ip:port", "[v6]:port", "localhost:port", or ":port" for all addresses. At most
 * max_handshakes connections (1 or more) may be in the handshake at once and each has handshake_ns;
 * where there are more the oldest is closed. Failures of single handshakes are logged as
 * peer_refused (rate-limited).
 */
int fs_tls_listen(struct event_base *base, struct fs_tls *tls, const char *address,
                  unsigned max_handshakes, int64_t handshake_ns, fs_tls_accepted_fn *accepted,
                  void *arg, struct fs_tls_listener **ret_listener, struct fs_error *err);
/* Connections for enrolment go there; without this they are closed. */
void fs_tls_listener_on_enroll(struct fs_tls_listener *listener, fs_tls_accepted_fn *enroll,
                               void *arg);
/* The same for further lanes of sessions. */
void fs_tls_listener_on_lane(struct fs_tls_listener *listener, fs_tls_accepted_fn *lane, void *arg);
/* The port that it listens on (for ":0"). */
unsigned fs_tls_listener_port(const struct fs_tls_listener *listener);
/* Use another certificate for connections from now on. */
void fs_tls_listener_set(struct fs_tls_listener *listener, struct fs_tls *tls);
void fs_tls_listener_free(struct fs_tls_listener *listener);

struct fs_tls_dial;

/* transport is NULL and err filled on failure: FS_ERR_TRANSIENT where nobody answers, FS_ERR_CONFIG
 * where a certificate is refused, FS_ERR_PEER where it is no Farshore. That the peer refuses our
 * own certificate may show only later, by closed. The dial is freed before the callback. */
typedef void fs_tls_dialed_fn(void *arg, struct fs_transport *transport,
                              const struct fs_error *err);

/* Resolve (without blocking the loop), connect, handshake; bounded by timeout_ns in all. dialed is
 * never called from inside. NULL when out of memory. */
struct fs_tls_dial *fs_tls_dial(struct event_base *base, struct fs_tls *tls, const char *address,
                                int64_t timeout_ns, fs_tls_dialed_fn *dialed, void *arg);
/* The same for a further lane of a session. */
struct fs_tls_dial *fs_tls_dial_lane(struct event_base *base, struct fs_tls *tls,
                                     const char *address, int64_t timeout_ns,
                                     fs_tls_dialed_fn *dialed, void *arg);
/* Gives up; no callback. */
void fs_tls_dial_cancel(struct fs_tls_dial *dial);

#endif
