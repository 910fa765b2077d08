/* SPDX-License-Identifier: Apache-2.0 */
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/log.h"
#include "ship/tls_private.h"

/* Rest after accept failed (out of descriptors), instead of trying as fast as the loop turns. */
#define ACCEPT_REST_NS FS_SEC
#define BACKLOG        128

/* A connection in its handshake, in the list of its listener. */
struct guest {
    struct fs_tls_listener *listener;
    struct guest *next, **link;
    struct tls_handshake *handshake;
    char address[FS_NAME_SIZE];
};

struct fs_tls_listener {
    struct event_base *base;
    struct fs_tls *tls;
    struct evconnlistener *socket;
    struct event *rested;
    unsigned max_handshakes, n_handshakes;
    int64_t handshake_ns;
    struct guest *guests;
    fs_tls_accepted_fn *accepted;
    void *arg;
    /* NULL: none */
    fs_tls_accepted_fn *enroll, *lane;
    void *enroll_arg, *lane_arg;
};

static void free_guest(struct guest *guest)
{
    *guest->link = guest->next;
    if (guest->next != NULL) {
        guest->next->link = guest->link;
    }
    guest->listener->n_handshakes--;
    free(guest);
}

static void log_refused(const char *address, const struct fs_error *err)
{
    fs_log(FS_EV_PEER_REFUSED, FS_S("address", address), FS_E(err));
}

static void on_handshake(void *arg, struct fs_transport *transport, const struct fs_error *err)
{
    struct guest *guest = arg;
    struct fs_tls_listener *listener = guest->listener;
    if (transport == NULL) {
        log_refused(guest->address, err);
    }
    free_guest(guest);
    if (transport == NULL) {
        return;
    }
    fs_tls_accepted_fn *accepted = listener->accepted;
    void *accepted_arg = listener->arg;
    if (tls_transport_enrolls(transport)) {
        accepted = listener->enroll;
        accepted_arg = listener->enroll_arg;
    } else if (tls_transport_is_lane(transport)) {
        accepted = listener->lane;
        accepted_arg = listener->lane_arg;
    }
    if (accepted != NULL) {
        accepted(accepted_arg, transport);
    } else {
        transport->ops->close(transport);
    }
}

void fs_tls_listener_on_lane(struct fs_tls_listener *listener, fs_tls_accepted_fn *lane, void *arg)
{
    listener->lane = lane;
    listener->lane_arg = arg;
}

void fs_tls_listener_on_enroll(struct fs_tls_listener *listener, fs_tls_accepted_fn *enroll,
                               void *arg)
{
    listener->enroll = enroll;
    listener->enroll_arg = arg;
}

static void refuse(evutil_socket_t fd, const char *address, int code, const char *why)
{
    struct fs_error err = FS_ERROR_INIT;
    fs_error_set(&err, FS_ERR_TRANSIENT, code, "%s", why);
    log_refused(address, &err);
    if (fd >= 0) {
        evutil_closesocket(fd);
    }
}

/*
 * Make room. A peer is done in a few round trips; who opens connections and says nothing would keep
 * it out if the newest had to go.
 */
static void drop_oldest(struct fs_tls_listener *listener)
{
    struct guest *oldest = listener->guests;

    while (oldest->next != NULL) {
        oldest = oldest->next;
    }
    refuse(-1, oldest->address, EBUSY, "too many connections are in their handshake");
    tls_handshake_cancel(oldest->handshake);
    free_guest(oldest);
}

static void on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *arg)
{
    (void)socket;
    struct fs_tls_listener *listener = arg;
    char text[FS_NAME_SIZE];
    tls_address_format(address, (socklen_t)length, text, sizeof(text));
    if (listener->n_handshakes >= listener->max_handshakes) {
        drop_oldest(listener);
    }
    struct guest *guest = calloc(1, sizeof(*guest));
    if (guest == NULL) {
        refuse(fd, text, ENOMEM, "out of memory");
        return;
    }
    tls_socket_tune(fd);
    guest->handshake = tls_handshake_start(listener->base, listener->tls, fd, TLS_SERVER, text,
                                           listener->handshake_ns, on_handshake, guest);
    if (guest->handshake == NULL) {
        free(guest);
        refuse(-1, text, ENOMEM, "out of memory");
        return;
    }
    memcpy(guest->address, text, sizeof(text));
    guest->listener = listener;
    guest->next = listener->guests;
    guest->link = &listener->guests;
    if (guest->next != NULL) {
        guest->next->link = &guest->next;
    }
    listener->guests = guest;
    listener->n_handshakes++;
}

static void on_accept_error(struct evconnlistener *socket, void *arg)
{
    struct fs_tls_listener *listener = arg;
    int code = EVUTIL_SOCKET_ERROR();
    struct timeval rest = tls_timeval(ACCEPT_REST_NS);
    refuse(-1, "any", code, strerror(code));
    evconnlistener_disable(socket);
    event_add(listener->rested, &rest);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    evconnlistener_enable(((struct fs_tls_listener *)arg)->socket);
}

/* Both families at once, where the kernel has both. */
static const char *any_address(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return "0.0.0.0";
    }
    evutil_closesocket(fd);
    return "::";
}

/* Addresses only, and "localhost": a name would block the loop, and might not be this machine. */
static int local_address(const char *address, struct addrinfo **ret_list, struct fs_error *err)
{
    char host[TLS_HOST_SIZE];
    char port[TLS_PORT_SIZE];
    int r = tls_address_split(address, host, port, err);
    if (r < 0) {
        return r;
    }
    const char *node = host;
    if (host[0] == '\0') {
        node = any_address();
    } else if (strcmp(host, "localhost") == 0) {
        node = "127.0.0.1";
    }
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
    };
    if (getaddrinfo(node, port, &hints, ret_list) != 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "cannot listen on %s: the host must be an IP address of this machine",
                            address);
    }
    return 0;
}

int fs_tls_listen(struct event_base *base, struct fs_tls *tls, const char *address,
                  unsigned max_handshakes, int64_t handshake_ns, fs_tls_accepted_fn *accepted,
                  void *arg, struct fs_tls_listener **ret_listener, struct fs_error *err)
{
    *ret_listener = NULL;
    struct addrinfo *local;
    int r = local_address(address, &local, err);
    if (r < 0) {
        return r;
    }
    struct fs_tls_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        freeaddrinfo(local);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    listener->base = base;
    listener->tls = fs_tls_ref(tls);
    listener->max_handshakes = max_handshakes;
    listener->handshake_ns = handshake_ns;
    listener->accepted = accepted;
    listener->arg = arg;
    listener->rested = evtimer_new(base, on_rested, listener);
    errno = 0;
    listener->socket =
        evconnlistener_new_bind(base, on_accept, listener,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                BACKLOG, local->ai_addr, (int)local->ai_addrlen);
    int code = errno == 0 ? ENOMEM : errno;
    freeaddrinfo(local);
    if (listener->rested == NULL || listener->socket == NULL) {
        fs_tls_listener_free(listener);
        return fs_error_set(err, FS_ERR_CONFIG, code, "cannot listen on %s: %s", address,
                            strerror(code));
    }
    evconnlistener_set_error_cb(listener->socket, on_accept_error);
    *ret_listener = listener;
    return 0;
}

unsigned fs_tls_listener_port(const struct fs_tls_listener *listener)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    if (getsockname(evconnlistener_get_fd(listener->socket), (struct sockaddr *)&address, &length) <
        0) {
        return 0;
    }
    /* The port is at the same place in both families. */
    return ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

void fs_tls_listener_set(struct fs_tls_listener *listener, struct fs_tls *tls)
{
    fs_tls_ref(tls);
    fs_tls_unref(listener->tls);
    listener->tls = tls;
}

void fs_tls_listener_free(struct fs_tls_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    if (listener->socket != NULL) {
        evconnlistener_free(listener->socket);
    }
    if (listener->rested != NULL) {
        event_free(listener->rested);
    }
    while (listener->guests != NULL) {
        tls_handshake_cancel(listener->guests->handshake);
        free_guest(listener->guests);
    }
    fs_tls_unref(listener->tls);
    free(listener);
}
