/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dial: resolve, then try one address after the other until one is connected and its handshake
 * done. Each address gets an equal part of the time that is left, so that one that swallows
 * packets does not use it all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ship/tls_private.h"

struct fs_tls_dial {
    struct event_base *base;
    struct fs_tls *tls;
    enum tls_role role;
    char host[TLS_HOST_SIZE];
    char port[TLS_PORT_SIZE];
    int64_t end_ns;      /* boot clock */
    struct event *timer; /* of the present step; the first step starts by it */
    struct event *connected;
    struct tls_resolve *resolve;
    struct tls_handshake *handshake;
    struct addrinfo *list;
    const struct addrinfo *next; /* to try */
    int fd;                      /* connecting, or -1 */
    char address[FS_NAME_SIZE];  /* that is tried now */
    struct fs_error err;         /* of the first address that failed, or of the dial itself */
    fs_tls_dialed_fn *dialed;
    void *arg;
};

static int64_t now_ns(void)
{
    return fs_clock_boot(fs_clock_system());
}

static void set_timer(struct fs_tls_dial *dial, int64_t ns)
{
    struct timeval timeout = tls_timeval(ns);
    event_add(dial->timer, &timeout);
}

static void drop_attempt(struct fs_tls_dial *dial)
{
    tls_resolve_cancel(dial->resolve);
    dial->resolve = NULL;
    tls_handshake_cancel(dial->handshake);
    dial->handshake = NULL;
    if (dial->connected != NULL) {
        event_free(dial->connected);
        dial->connected = NULL;
    }
    if (dial->fd >= 0) {
        close(dial->fd);
        dial->fd = -1;
    }
}

void fs_tls_dial_cancel(struct fs_tls_dial *dial)
{
    if (dial == NULL) {
        return;
    }
    drop_attempt(dial);
    if (dial->timer != NULL) {
        event_free(dial->timer);
    }
    if (dial->list != NULL) {
        freeaddrinfo(dial->list);
    }
    fs_tls_unref(dial->tls);
    free(dial);
}

static void finish(struct fs_tls_dial *dial, struct fs_transport *transport)
{
    fs_tls_dialed_fn *dialed = dial->dialed;
    void *arg = dial->arg;
    struct fs_error err = dial->err;
    fs_tls_dial_cancel(dial);
    dialed(arg, transport, &err);
}

/* The first address that failed is the one to name, unless a later one tells more: that something
 * has to be changed, not only that nobody answered. */
static void note(struct fs_tls_dial *dial, const struct fs_error *err)
{
    if (!fs_error_is_set(&dial->err) ||
        (dial->err.class == FS_ERR_TRANSIENT && err->class != FS_ERR_TRANSIENT)) {
        dial->err = *err;
    }
}

static void try_next(struct fs_tls_dial *dial);

static void on_handshake(void *arg, struct fs_transport *transport, const struct fs_error *err)
{
    struct fs_tls_dial *dial = arg;
    dial->handshake = NULL;
    if (transport != NULL) {
        finish(dial, transport);
        return;
    }
    note(dial, err);
    try_next(dial);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct fs_tls_dial *dial = arg;
    int code = 0;
    socklen_t length = sizeof(code);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0) {
        code = errno;
    }
    if (code != 0) {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, code, "cannot connect to %s: %s", dial->address,
                     strerror(code));
        try_next(dial);
        return;
    }
    event_free(dial->connected);
    dial->connected = NULL;
    dial->fd = -1;
    /* The dial's own timer bounds the handshake too. */
    dial->handshake = tls_handshake_start(dial->base, dial->tls, fd, dial->role, dial->address,
                                          dial->end_ns - now_ns(), on_handshake, dial);
    if (dial->handshake == NULL) {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        finish(dial, NULL);
    }
}

/* False when it failed at once, with dial->err. */
static bool connect_to(struct fs_tls_dial *dial, const struct addrinfo *to)
{
    tls_address_format(to->ai_addr, to->ai_addrlen, dial->address, sizeof(dial->address));
    dial->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd >= 0) {
        tls_socket_tune(dial->fd);
    }
    if (dial->fd < 0 ||
        (connect(dial->fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS)) {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, errno, "cannot connect to %s: %s", dial->address,
                     strerror(errno));
        return false;
    }
    dial->connected = event_new(dial->base, dial->fd, EV_WRITE, on_connected, dial);
    if (dial->connected == NULL || event_add(dial->connected, NULL) < 0) {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        return false;
    }
    return true;
}

static void try_next(struct fs_tls_dial *dial)
{
    while (dial->next != NULL) {
        drop_attempt(dial);
        const struct addrinfo *to = dial->next;
        dial->next = to->ai_next;
        int64_t parts = 1;
        for (const struct addrinfo *later = dial->next; later != NULL; later = later->ai_next) {
            parts++;
        }
        if (connect_to(dial, to)) {
            set_timer(dial, (dial->end_ns - now_ns()) / parts);
            return;
        }
    }
    finish(dial, NULL);
}

static void on_resolved(void *arg, struct addrinfo *list, const struct fs_error *err)
{
    struct fs_tls_dial *dial = arg;
    dial->resolve = NULL;
    if (list == NULL) {
        note(dial, err);
    }
    dial->list = list;
    dial->next = list;
    try_next(dial);
}

/* A numeric address needs no resolver. */
static void start(struct fs_tls_dial *dial)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
    };
    struct addrinfo *list;
    if (getaddrinfo(dial->host, dial->port, &hints, &list) == 0) {
        on_resolved(dial, list, NULL);
        return;
    }
    dial->resolve = tls_resolve_start(dial->base, dial->host, dial->port, on_resolved, dial);
    if (dial->resolve == NULL) {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, EAGAIN, "cannot resolve %s: out of resources",
                     dial->host);
        finish(dial, NULL);
        return;
    }
    set_timer(dial, dial->end_ns - now_ns());
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct fs_tls_dial *dial = arg;
    bool started = dial->resolve != NULL || dial->list != NULL;
    if (fs_error_is_set(&dial->err) && !started) {
        finish(dial, NULL); /* the address was no address */
    } else if (!started) {
        start(dial);
    } else if (dial->resolve != NULL) {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, ETIMEDOUT, "%s was not resolved in time",
                     dial->host);
        finish(dial, NULL);
    } else {
        fs_error_set(&dial->err, FS_ERR_TRANSIENT, ETIMEDOUT, "%s does not answer", dial->address);
        try_next(dial);
    }
}

static struct fs_tls_dial *dial_as(enum tls_role role, struct event_base *base, struct fs_tls *tls,
                                   const char *address, int64_t timeout_ns,
                                   fs_tls_dialed_fn *dialed, void *arg)
{
    struct fs_tls_dial *dial = calloc(1, sizeof(*dial));
    if (dial == NULL) {
        return NULL;
    }
    dial->base = base;
    dial->tls = fs_tls_ref(tls);
    dial->role = role;
    dial->end_ns = now_ns() + timeout_ns;
    dial->fd = -1;
    dial->dialed = dialed;
    dial->arg = arg;
    dial->timer = evtimer_new(base, on_timer, dial);
    if (dial->timer == NULL) {
        fs_tls_dial_cancel(dial);
        return NULL;
    }
    /* What is wrong with the address is told by the callback too, from the loop. */
    if (tls_address_split(address, dial->host, dial->port, &dial->err) == 0 &&
        dial->host[0] == '\0') {
        fs_error_set(&dial->err, FS_ERR_CONFIG, EINVAL, "\"%s\" names no host", address);
    }
    event_active(dial->timer, EV_TIMEOUT, 0);
    return dial;
}

struct fs_tls_dial *fs_tls_dial(struct event_base *base, struct fs_tls *tls, const char *address,
                                int64_t timeout_ns, fs_tls_dialed_fn *dialed, void *arg)
{
    return dial_as(TLS_CLIENT, base, tls, address, timeout_ns, dialed, arg);
}

struct fs_tls_dial *fs_tls_dial_lane(struct event_base *base, struct fs_tls *tls,
                                     const char *address, int64_t timeout_ns,
                                     fs_tls_dialed_fn *dialed, void *arg)
{
    return dial_as(TLS_LANE, base, tls, address, timeout_ns, dialed, arg);
}
