/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ship/tls_private.h"

struct tls_handshake {
    struct event_base *base;
    struct fs_tls *tls;
    SSL *ssl;
    int fd;
    enum tls_role role;
    struct event *readable, *writable, *timeout;
    tls_handshake_fn *done;
    void *arg;
    char address[FS_NAME_SIZE];
};

/* Without ssl and fd, which may have moved on. */
static void free_handshake(struct tls_handshake *handshake)
{
    struct event *events[] = {handshake->readable, handshake->writable, handshake->timeout};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    fs_tls_unref(handshake->tls);
    free(handshake);
}

void tls_handshake_cancel(struct tls_handshake *handshake)
{
    if (handshake == NULL) {
        return;
    }
    SSL_free(handshake->ssl);
    close(handshake->fd);
    free_handshake(handshake);
}

static void fail(struct tls_handshake *handshake, const struct fs_error *err)
{
    tls_handshake_fn *done = handshake->done;
    void *arg = handshake->arg;
    tls_handshake_cancel(handshake);
    done(arg, NULL, err);
}

static void succeed(struct tls_handshake *handshake)
{
    struct fs_error err = FS_ERROR_INIT;
    if (!tls_alpn_agreed(handshake->ssl, handshake->role)) {
        fs_error_set(&err, FS_ERR_PEER, EPROTO,
                     "%s does not speak Farshore's protocol over TLS 1.3: is it a Farshore?",
                     handshake->address);
        fail(handshake, &err);
        return;
    }
    struct fs_transport *transport =
        tls_transport_new(handshake->base, handshake->tls, handshake->ssl, handshake->fd,
                          handshake->role != TLS_SERVER, handshake->address);
    if (transport == NULL) {
        fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    tls_handshake_fn *done = handshake->done;
    void *arg = handshake->arg;
    free_handshake(handshake);
    done(arg, transport, &err);
}

static void step(struct tls_handshake *handshake)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(handshake->ssl);
    if (r == 1) {
        succeed(handshake);
        return;
    }
    struct fs_error err = FS_ERROR_INIT;
    switch (SSL_get_error(handshake->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        event_add(handshake->readable, NULL);
        break;
    case SSL_ERROR_WANT_WRITE:
        event_add(handshake->writable, NULL);
        break;
    default:
        tls_explain(handshake->ssl, r, handshake->address, &err);
        fail(handshake, &err);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct tls_handshake *handshake = arg;
    if ((what & (EV_READ | EV_WRITE)) != 0) {
        step(handshake);
        return;
    }
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT, "%s did not finish the TLS handshake in time",
                 handshake->address);
    fail(handshake, &err);
}

struct tls_handshake *tls_handshake_start(struct event_base *base, struct fs_tls *tls, int fd,
                                          enum tls_role role, const char *address,
                                          int64_t timeout_ns, tls_handshake_fn *done, void *arg)
{
    struct tls_handshake *handshake = calloc(1, sizeof(*handshake));
    if (handshake == NULL) {
        close(fd);
        return NULL;
    }
    handshake->base = base;
    handshake->tls = fs_tls_ref(tls);
    handshake->fd = fd;
    handshake->role = role;
    handshake->done = done;
    handshake->arg = arg;
    snprintf(handshake->address, sizeof(handshake->address), "%s", address);
    struct timeval timeout = tls_timeval(timeout_ns);
    handshake->ssl = tls_new_ssl(tls, fd, role);
    handshake->readable = event_new(base, fd, EV_READ, on_event, handshake);
    handshake->writable = event_new(base, fd, EV_WRITE, on_event, handshake);
    handshake->timeout = evtimer_new(base, on_event, handshake);
    if (handshake->ssl == NULL || handshake->readable == NULL || handshake->writable == NULL ||
        handshake->timeout == NULL || event_add(handshake->timeout, &timeout) < 0) {
        tls_handshake_cancel(handshake);
        return NULL;
    }
    /* The first step runs from the loop: done must not be called from inside. */
    event_active(handshake->writable, EV_WRITE, 0);
    return handshake;
}
