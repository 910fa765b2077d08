/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "daemon/daemon.h"
#include "daemon/metrics.h"
#include "daemon/rest.h"
#include "daemon/status.h"

#define REQUEST_HEAD_MAX 8192
#define IDLE_TIMEOUT_S   30

struct fs_http {
    struct fs_daemon *daemon;
    struct evhttp *server;
};

static void answer(struct evhttp_request *request, const char *type, const void *body,
                   size_t length)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(request);

    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Cache-Control", "no-store");
    evbuffer_add(out, body, length);
    evhttp_send_reply(request, HTTP_OK, NULL, NULL);
}

static void serve_health(struct evhttp_request *request, void *arg)
{
    /* That this runs at all is the news: the loop is alive. */
    (void)arg;
    answer(request, "text/plain; charset=utf-8", "ok\n", 3);
}

static void serve_status(struct evhttp_request *request, void *arg)
{
    struct fs_http *http = arg;
    json_t *document = fs_status_document(http->daemon);
    char *text = document ? json_dumps(document, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;

    json_decref(document);
    if (!text) {
        evhttp_send_error(request, HTTP_INTERNAL, "out of memory");
        return;
    }
    answer(request, "application/json", text, strlen(text));
    free(text);
}

static void serve_metrics(struct evhttp_request *request, void *arg)
{
    struct fs_http *http = arg;
    struct fs_buf out = FS_BUF_INIT;
    json_t *document = fs_status_document(http->daemon);

    if (document) {
        fs_metrics_render(document, &out);
    }
    json_decref(document);
    if (out.failed || out.length == 0) {
        evhttp_send_error(request, HTTP_INTERNAL, "out of memory");
    } else {
        answer(request, FS_METRICS_CONTENT_TYPE, out.data, out.length);
    }
    fs_buf_fini(&out);
}

static void serve_unknown(struct evhttp_request *request, void *arg)
{
    (void)arg;
    evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

static int parse_address(const char *address, char host[256], uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    char *end;

    if (!colon || colon == address || strlen(address) >= 256) {
        return -EINVAL;
    }
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port > UINT16_MAX) {
        return -EINVAL;
    }
    size_t length = (size_t)(colon - address);
    if (address[0] == '[' && length > 2 && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

int fs_http_start(struct event_base *base, const char *address, struct fs_daemon *daemon,
                  struct fs_http **ret_http, struct fs_error *err)
{
    char host[256];
    uint16_t port;

    *ret_http = NULL;
    if (parse_address(address, host, &port) < 0) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL, "http: \"%s\" is not HOST:PORT", address);
    }
    struct fs_http *http = calloc(1, sizeof(*http));
    if (!http || !(http->server = evhttp_new(base))) {
        free(http);
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    http->daemon = daemon;
    evhttp_set_allowed_methods(http->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(http->server, REQUEST_HEAD_MAX);
    evhttp_set_max_body_size(http->server, 0);
    evhttp_set_timeout(http->server, IDLE_TIMEOUT_S);
    evhttp_set_cb(http->server, "/healthz", serve_health, http);
    evhttp_set_cb(http->server, "/api/v1/status", serve_status, http);
    evhttp_set_cb(http->server, "/metrics", serve_metrics, http);
    evhttp_set_gencb(http->server, serve_unknown, http);
    errno = 0;
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http->server, host, port);
    if (!bound) {
        int code = errno > 0 ? errno : EADDRNOTAVAIL;
        fs_http_stop(http);
        return fs_error_set(err, FS_ERR_CONFIG, code, "http: cannot listen at %s: %s", address,
                            strerror(code));
    }
    fs_listener_rest_on_error(evhttp_bound_socket_get_listener(bound));
    *ret_http = http;
    return 0;
}

void fs_http_stop(struct fs_http *http)
{
    if (http) {
        evhttp_free(http->server);
        free(http);
    }
}
