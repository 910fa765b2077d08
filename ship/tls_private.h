/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of TLS, shared by its files: tls.c (certificates), tls_error.c (what went wrong, for
 * people), tls_transport.c (an open connection), tls_gather.c (its writes), tls_handshake.c (one
 * that opens), tls_address.c, tls_resolve.c (names to addresses), tls_listener.c and tls_dial.c.
 * LOOP only.
 */
#ifndef FARSHORE_SHIP_TLS_PRIVATE_H
#define FARSHORE_SHIP_TLS_PRIVATE_H

#include <event2/event.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "farshore/tls.h"

/* --- tls.c ---------------------------------------------------------------------------------- */

enum tls_role {
    TLS_SERVER, /* of sessions, lanes and enrolment: whatever the other end wants */
    TLS_CLIENT, /* of a session */
    TLS_LANE,   /* the client of a lane */
};

/* A new connection over fd (borrowed), ready for its handshake; NULL when out of memory. */
SSL *tls_new_ssl(struct fs_tls *tls, int fd, enum tls_role role);
/* Whether the handshake agreed on a protocol that the role has. */
bool tls_alpn_agreed(const SSL *ssl, enum tls_role role);
bool tls_is_lane(const SSL *ssl);
/* The ALPN of enrolment as OpenSSL wants it, and whether the handshake agreed on that. */
#define TLS_ENROLL_ALPN_LENGTH 18
extern const unsigned char tls_enroll_alpn[TLS_ENROLL_ALPN_LENGTH + 1];
bool tls_enrolls(const SSL *ssl);
/* As fs_tls_peer_key. */
bool tls_peer_key(const SSL *ssl, uint8_t ret_hash[32]);
/* The certificate of the peer is valid for name: its DNS names, or CN where it has none. */
bool tls_peer_is(const SSL *ssl, const char *name);

/* --- tls_error.c ---------------------------------------------------------------------------- */

/*
 * Why an operation on ssl that returned result (at most 0) failed: fills err for people. To be
 * called at once, with errno and OpenSSL's error queue as the operation left them.
 */
void tls_explain(const SSL *ssl, int result, const char *address, struct fs_error *err);
/* Likewise where a system call on the connection failed. */
void tls_explain_errno(const char *address, struct fs_error *err);

/* --- tls_gather.c --------------------------------------------------------------------------- */

/* What ssl writes over fd (borrowed) waits until it is flushed. False when out of memory. */
bool tls_gather(SSL *ssl, int fd);
/* Bytes that wait, with what TLS adds; 0 before tls_gather. */
size_t tls_gather_pending(const SSL *ssl);
/* Give the kernel what waits. 1: all of it; 0: it takes no more now; -1 with errno. */
int tls_gather_flush(SSL *ssl);

/* --- tls_transport.c ------------------------------------------------------------------------ */

/* ssl (handshake done) and fd are moved in, also on failure. NULL when out of memory. */
struct fs_transport *tls_transport_new(struct event_base *base, struct fs_tls *tls, SSL *ssl,
                                       int fd, bool dialed, const char *address);

/* Is it a connection for enrolment, or a lane? */
bool tls_transport_enrolls(const struct fs_transport *transport);
bool tls_transport_is_lane(const struct fs_transport *transport);

/* --- tls_handshake.c ------------------------------------------------------------------------ */

struct tls_handshake;

/* transport is moved to the callback; NULL with err on failure. The handshake is freed before. */
typedef void tls_handshake_fn(void *arg, struct fs_transport *transport,
                              const struct fs_error *err);

/* fd (connected, non-blocking) is moved in, also on failure. NULL when out of memory. */
struct tls_handshake *tls_handshake_start(struct event_base *base, struct fs_tls *tls, int fd,
                                          enum tls_role role, const char *address,
                                          int64_t timeout_ns, tls_handshake_fn *done, void *arg);
/* Closes the connection; no callback. */
void tls_handshake_cancel(struct tls_handshake *handshake);

/* --- tls_address.c -------------------------------------------------------------------------- */

#define TLS_HOST_SIZE 256
#define TLS_PORT_SIZE 6

/* "host:port" or "[v6]:port"; host may be empty. 0 or -EINVAL with err. */
int tls_address_split(const char *address, char ret_host[TLS_HOST_SIZE],
                      char ret_port[TLS_PORT_SIZE], struct fs_error *err);
/* "192.0.2.1:7430" or "[2001:db8::1]:7430". */
void tls_address_format(const struct sockaddr *address, socklen_t length, char *ret_text,
                        size_t size);

/* Options of a TCP connection for bulk and heart-beats. */
void tls_socket_tune(int fd);
/* One of several that carry a session: what waits in it cannot go on another one. */
void tls_socket_tune_lane(int fd);

/* --- tls_resolve.c -------------------------------------------------------------------------- */

struct tls_resolve;

/* list is moved to the callback (freeaddrinfo); NULL with err on failure. The resolve is freed
 * before. Never called from inside tls_resolve_start. */
typedef void tls_resolve_fn(void *arg, struct addrinfo *list, const struct fs_error *err);

/* Asks the system's resolver on a thread of its own. NULL when out of resources. */
struct tls_resolve *tls_resolve_start(struct event_base *base, const char *host, const char *port,
                                      tls_resolve_fn *done, void *arg);
/* No callback. */
void tls_resolve_cancel(struct tls_resolve *resolve);

static inline struct timeval tls_timeval(int64_t ns)
{
    if (ns < 0) {
        ns = 0;
    }
    return (struct timeval){.tv_sec = ns / FS_SEC, .tv_usec = ns % FS_SEC / 1000};
}

#endif
