/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses without blocking the loop: getaddrinfo, which honours everything that the
 * administrator configured for this machine, on a thread of its own. It cannot be interrupted, so a
 * cancelled request lives on until the thread is done with it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ship/tls_private.h"

#define STACK_SIZE (512u * 1024)

/* What thread and loop share; the last of the two frees it. */
struct lookup {
    atomic_int refs;
    int fd; /* eventfd; written once, when the result is there */
    char host[TLS_HOST_SIZE];
    char port[TLS_PORT_SIZE];
    int result;
    struct addrinfo *list;
};

struct tls_resolve {
    struct lookup *lookup;
    struct event *answered;
    tls_resolve_fn *done;
    void *arg;
};

static void unref_lookup(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->refs, 1) > 1) {
        return;
    }
    if (lookup->list != NULL) {
        freeaddrinfo(lookup->list);
    }
    if (lookup->fd >= 0) {
        close(lookup->fd);
    }
    free(lookup);
}

static void *look_up(void *arg)
{
    struct lookup *lookup = arg;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    lookup->result = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list);
    if (lookup->result != 0) {
        lookup->list = NULL;
    }
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(lookup->fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    unref_lookup(lookup);
    return NULL;
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct tls_resolve *resolve = arg;
    struct lookup *lookup = resolve->lookup;
    uint64_t count;
    if (read(fd, &count, sizeof(count)) != sizeof(count)) {
        event_add(resolve->answered, NULL);
        return;
    }
    struct fs_error err = FS_ERROR_INIT;
    struct addrinfo *list = lookup->list;
    lookup->list = NULL;
    if (list == NULL) {
        fs_error_set(&err, FS_ERR_TRANSIENT, EHOSTUNREACH, "cannot resolve %s: %s", lookup->host,
                     gai_strerror(lookup->result));
    }
    tls_resolve_fn *done = resolve->done;
    void *done_arg = resolve->arg;
    tls_resolve_cancel(resolve);
    done(done_arg, list, &err);
}

/* Detached, with a small stack, and deaf to signals: they are the loop's. */
static int start_thread(struct lookup *lookup)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    int r = pthread_attr_init(&attr);
    if (r != 0) {
        return -r;
    }
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&thread, &attr, look_up, lookup);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

struct tls_resolve *tls_resolve_start(struct event_base *base, const char *host, const char *port,
                                      tls_resolve_fn *done, void *arg)
{
    struct tls_resolve *resolve = calloc(1, sizeof(*resolve));
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (resolve == NULL || lookup == NULL) {
        free(resolve);
        free(lookup);
        return NULL;
    }
    resolve->lookup = lookup;
    resolve->done = done;
    resolve->arg = arg;
    atomic_init(&lookup->refs, 1);
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    snprintf(lookup->port, sizeof(lookup->port), "%s", port);
    lookup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->fd >= 0) {
        resolve->answered = event_new(base, lookup->fd, EV_READ, on_answer, resolve);
    }
    if (resolve->answered == NULL || event_add(resolve->answered, NULL) < 0) {
        tls_resolve_cancel(resolve);
        return NULL;
    }
    atomic_fetch_add(&lookup->refs, 1);
    if (start_thread(lookup) < 0) {
        atomic_fetch_sub(&lookup->refs, 1);
        tls_resolve_cancel(resolve);
        return NULL;
    }
    return resolve;
}

void tls_resolve_cancel(struct tls_resolve *resolve)
{
    if (resolve == NULL) {
        return;
    }
    if (resolve->answered != NULL) {
        event_free(resolve->answered);
    }
    unref_lookup(resolve->lookup);
    free(resolve);
}
