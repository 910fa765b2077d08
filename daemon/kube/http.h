/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to one API server: libcurl's multi interface on the event loop. The server's
 * certificate is always checked; no proxy, no redirect, HTTP/1.1. LOOP only.
 */
#ifndef FARSHORE_KUBE_HTTP_H
#define FARSHORE_KUBE_HTTP_H

#include <event2/event.h>

#include "daemon/kube/access.h"

struct fs_kube_http;
struct fs_kube_call;

/* The base is borrowed. NULL when out of memory. */
struct fs_kube_http *fs_kube_http_new(struct event_base *base);
/* Cancels what is under way. */
void fs_kube_http_free(struct fs_kube_http *http);

/* The headers have come (body may be empty), or more of the body: what is taken off its front with
 * fs_kube_body_take is gone, the rest is given again with what comes next. */
typedef void fs_kube_data_fn(void *arg, int status, struct fs_buf *body);
/* The last word of a call: err NULL where an answer came as a whole, whatever its status. */
typedef void fs_kube_done_fn(void *arg, int status, struct fs_buf *body,
                             const struct fs_error *err);

struct fs_kube_request {
    const char *path;    /* behind the server's address, with its query; copied */
    const char *method;  /* NULL: GET */
    const char *content; /* what goes along, copied; NULL: nothing */
    const char *content_type;
    int64_t timeout_ns;    /* for all of it */
    size_t body_max;       /* bytes that may wait to be taken; more ends it with -EMSGSIZE */
    fs_kube_data_fn *data; /* or NULL */
    fs_kube_done_fn *done;
    void *arg;
};

/* access is read during the call only. Neither function is called from inside; both may cancel
 * and start calls. NULL: not begun, err says why. */
struct fs_kube_call *fs_kube_http_start(struct fs_kube_http *http,
                                        const struct fs_kube_access *access,
                                        const struct fs_kube_request *request,
                                        struct fs_error *err);
/* Neither function is called any more. */
void fs_kube_call_cancel(struct fs_kube_call *call);

void fs_kube_body_take(struct fs_buf *body, size_t length);

#endif
