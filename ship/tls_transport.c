/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open TLS connection as a transport. What is sent waits in the buffers it came in, without a
 * copy; what arrives is decrypted straight into the buffer of its frame. Callbacks come only from
 * the loop's events; a close from inside one takes effect when it returns.
 */
#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ship/tls_private.h"

/* Bytes read or written for one event, so that one fast peer does not starve the others. */
#define READ_TURN  (512u * 1024)
#define WRITE_TURN (1024u * 1024)
/* Smaller buffers are copied to the end of the last one: fewer records. */
#define COALESCE 4096u

struct chunk {
    struct chunk *next;
    struct fs_buf buf;
    size_t at; /* what is before was written */
};

struct tls_transport {
    struct fs_transport transport;
    /* set once */
    struct fs_tls *tls;
    SSL *ssl;
    int fd;
    struct event *readable, *writable;

    struct chunk *head, *tail;
    size_t queued;
    bool read_wants_write, write_wants_read;
    bool above_low;     /* drained is due */
    bool out_of_memory; /* in send, which cannot report it */
    bool told_closed;
    bool busy;   /* inside an event */
    bool closed; /* by the owner, from inside an event */
};

/* --- the end -------------------------------------------------------------------------------- */

static void free_chunk(struct chunk *chunk)
{
    fs_buf_fini(&chunk->buf);
    free(chunk);
}

static void free_transport(struct tls_transport *t)
{
    if (t->readable != NULL) {
        event_free(t->readable);
    }
    if (t->writable != NULL) {
        event_free(t->writable);
    }
    ERR_clear_error();
    if (!t->told_closed) {
        SSL_shutdown(t->ssl); /* a courtesy: whether it arrives does not matter */
    }
    if (tls_gather_pending(t->ssl) > 0) {
        (void)tls_gather_flush(t->ssl); /* the alert of what went wrong may be in it */
    }
    ERR_clear_error();
    SSL_free(t->ssl);
    close(t->fd);
    while (t->head != NULL) {
        struct chunk *chunk = t->head;
        t->head = chunk->next;
        free_chunk(chunk);
    }
    fs_tls_unref(t->tls);
    free(t);
}

static void transport_close(struct fs_transport *transport)
{
    struct tls_transport *t = (struct tls_transport *)transport;
    t->closed = true;
    if (!t->busy) {
        free_transport(t);
    }
}

static void tell_closed(struct tls_transport *t, const struct fs_error *err)
{
    if (t->told_closed || t->closed) {
        return;
    }
    t->told_closed = true;
    event_del(t->readable);
    event_del(t->writable);
    t->transport.events->closed(t->transport.events_arg, err);
}

static size_t low_of(const struct tls_transport *t)
{
    return t->transport.low > 0 ? t->transport.low : FS_TRANSPORT_LOW;
}

/* --- sending -------------------------------------------------------------------------------- */

/* Not only what OpenSSL has not had yet: the rest must have gone before the link is idle. */
static size_t transport_pending(const struct fs_transport *transport)
{
    const struct tls_transport *t = (const struct tls_transport *)transport;
    return t->queued + tls_gather_pending(t->ssl);
}

static bool coalesce(struct tls_transport *t, const struct fs_buf *buf)
{
    struct chunk *tail = t->tail;
    if (tail == NULL || buf->length > COALESCE ||
        tail->buf.capacity - tail->buf.length < buf->length) {
        return false;
    }
    fs_buf_put(&tail->buf, buf->data, buf->length);
    return true;
}

static void transport_send(struct fs_transport *transport, struct fs_buf *buf)
{
    struct tls_transport *t = (struct tls_transport *)transport;
    if (t->told_closed || t->out_of_memory || buf->length == 0) {
        fs_buf_fini(buf);
        return;
    }
    t->queued += buf->length;
    t->above_low = t->above_low || transport_pending(transport) >= low_of(t);
    if (coalesce(t, buf)) {
        fs_buf_fini(buf);
    } else {
        struct chunk *chunk = calloc(1, sizeof(*chunk));
        if (chunk == NULL) {
            t->out_of_memory = true;
            fs_buf_fini(buf);
            event_active(t->writable, EV_WRITE, 0);
            return;
        }
        chunk->buf = *buf;
        *buf = FS_BUF_INIT;
        if (t->tail == NULL) {
            t->head = chunk;
        } else {
            t->tail->next = chunk;
        }
        t->tail = chunk;
    }
    if (!t->busy) {
        event_add(t->writable, NULL);
    }
}

static void wrote(struct tls_transport *t, size_t length)
{
    struct chunk *chunk = t->head;
    chunk->at += length;
    t->queued -= length;
    if (chunk->at == chunk->buf.length) {
        t->head = chunk->next;
        if (t->head == NULL) {
            t->tail = NULL;
        }
        free_chunk(chunk);
    }
}

/* Gives what waits to OpenSSL, while there is room. False when the connection broke, with err. */
static bool encrypt_turn(struct tls_transport *t, struct fs_error *err)
{
    size_t left = WRITE_TURN;
    t->write_wants_read = false;
    while (t->head != NULL && left > 0) {
        const struct chunk *chunk = t->head;
        size_t length;
        ERR_clear_error();
        errno = 0;
        int r = SSL_write_ex(t->ssl, chunk->buf.data + chunk->at, chunk->buf.length - chunk->at,
                             &length);
        if (r != 1) {
            int why = SSL_get_error(t->ssl, r);
            if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) {
                t->write_wants_read = why == SSL_ERROR_WANT_READ;
                return true;
            }
            tls_explain(t->ssl, r, t->transport.address, err);
            return false;
        }
        wrote(t, length);
        left = length < left ? left - length : 0;
    }
    return true;
}

/* Writes what the kernel takes. False when the connection broke, with err. */
static bool write_turn(struct tls_transport *t, struct fs_error *err)
{
    if (!encrypt_turn(t, err)) {
        return false;
    }
    if (tls_gather_flush(t->ssl) < 0) {
        tls_explain_errno(t->transport.address, err);
        return false;
    }
    return true;
}

/* --- receiving ------------------------------------------------------------------------------ */

/*
 * Decrypts what is there, up to a turn's worth, straight to where the session wants it. False at
 * the end of the connection, with err; whether closed was called from inside is to be looked at
 * first.
 */
static bool read_turn(struct tls_transport *t, bool *ret_more, struct fs_error *err)
{
    size_t left = READ_TURN;
    t->read_wants_write = false;
    *ret_more = false;
    while (left > 0 && !t->closed) {
        size_t room, length;
        uint8_t *at = t->transport.events->room(t->transport.events_arg, &room);
        if (at == NULL) {
            fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
            return false;
        }
        ERR_clear_error();
        errno = 0;
        int r = SSL_read_ex(t->ssl, at, room, &length);
        if (r != 1) {
            int why = SSL_get_error(t->ssl, r);
            if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
                t->read_wants_write = why == SSL_ERROR_WANT_WRITE;
                return true;
            }
            tls_explain(t->ssl, r, t->transport.address, err);
            return false;
        }
        t->transport.events->received(t->transport.events_arg, length);
        left = length < left ? left - length : 0;
    }
    *ret_more = true;
    return true;
}

static void receive(struct tls_transport *t)
{
    struct fs_error err = FS_ERROR_INIT;
    bool more;
    bool open = read_turn(t, &more, &err);
    if (t->closed) {
        return;
    }
    if (!open) {
        tell_closed(t, &err);
    } else if (more) {
        /* Decrypted or not, bytes may wait inside OpenSSL, where the kernel does not see them. */
        event_active(t->readable, EV_READ, 0);
    }
}

/* --- events --------------------------------------------------------------------------------- */

static void transmit(struct tls_transport *t)
{
    struct fs_error err = FS_ERROR_INIT;
    bool open = !t->out_of_memory;
    if (!open) {
        fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    if (open && !write_turn(t, &err)) {
        open = false;
        receive(t); /* the peer may have said why */
    }
    if (!open) {
        tell_closed(t, &err);
        return;
    }
    if (t->above_low && transport_pending(&t->transport) < low_of(t)) {
        t->above_low = false;
        t->transport.events->drained(t->transport.events_arg);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct tls_transport *t = arg;
    assert(t->transport.events != NULL);
    t->busy = true;
    if ((what & EV_READ) != 0 || t->read_wants_write) {
        receive(t);
    }
    if (!t->closed && !t->told_closed && ((what & EV_WRITE) != 0 || t->write_wants_read)) {
        transmit(t);
    }
    t->busy = false;
    if (t->closed) {
        free_transport(t);
        return;
    }
    if (t->told_closed) {
        return;
    }
    /* TLS adds to it: who finds no room is sure of drained. */
    t->above_low = t->above_low || transport_pending(&t->transport) >= low_of(t);
    if (t->read_wants_write || tls_gather_pending(t->ssl) > 0 ||
        (t->head != NULL && !t->write_wants_read)) {
        event_add(t->writable, NULL);
    } else {
        event_del(t->writable);
    }
}

static bool transport_peer_is(const struct fs_transport *transport, const char *name)
{
    return tls_peer_is(((const struct tls_transport *)transport)->ssl, name);
}

bool fs_tls_peer_key(const struct fs_transport *transport, uint8_t ret_hash[32])
{
    return tls_peer_key(((const struct tls_transport *)transport)->ssl, ret_hash);
}

bool tls_transport_enrolls(const struct fs_transport *transport)
{
    return tls_enrolls(((const struct tls_transport *)transport)->ssl);
}

bool tls_transport_is_lane(const struct fs_transport *transport)
{
    return tls_is_lane(((const struct tls_transport *)transport)->ssl);
}

static const struct fs_transport_ops transport_ops = {
    .send = transport_send,
    .pending = transport_pending,
    .close = transport_close,
};

struct fs_transport *tls_transport_new(struct event_base *base, struct fs_tls *tls, SSL *ssl,
                                       int fd, bool dialed, const char *address)
{
    struct tls_transport *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        SSL_free(ssl);
        close(fd);
        return NULL;
    }
    t->tls = fs_tls_ref(tls);
    t->ssl = ssl;
    t->fd = fd;
    t->transport.ops = &transport_ops;
    t->transport.dialed = dialed;
    t->transport.peer_is = transport_peer_is;
    snprintf(t->transport.address, sizeof(t->transport.address), "%s", address);
    t->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_event, t);
    t->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_event, t);
    if (t->readable == NULL || t->writable == NULL || !tls_gather(ssl, fd) ||
        event_add(t->readable, NULL) < 0) {
        t->told_closed = true; /* nothing is said */
        free_transport(t);
        return NULL;
    }
    if (tls_is_lane(ssl)) {
        tls_socket_tune_lane(fd);
    }
    /* The first frames may have come with the end of the handshake. */
    event_active(t->readable, EV_READ, 0);
    return &t->transport;
}
