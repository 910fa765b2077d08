/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "daemon/daemon.h"
#include "daemon/history.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "daemon/rest.h"
#include "daemon/status.h"

#define REQUEST_HEAD_MAX 8192
#define IDLE_TIMEOUT_S   30
#define GROUPS_PATH      "/api/v1/groups/"

struct fs_http {
    struct fs_daemon *daemon;
    struct evhttp *server;
};

/* The page loads nothing from elsewhere, runs no script but its own files, and is framed by nobody.
 */
static const char *const headers[][2] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
};

static void answer(struct evhttp_request *request, const char *type, const void *body,
                   size_t length)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    struct evkeyvalq *head = evhttp_request_get_output_headers(request);

    evhttp_add_header(head, "Content-Type", type);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        evhttp_add_header(head, headers[i][0], headers[i][1]);
    }
    evbuffer_add(out, body, length);
    evhttp_send_reply(request, HTTP_OK, NULL, NULL);
}

static void serve_health(struct evhttp_request *request, void *arg)
{
    /* That this runs at all is the news: the loop is alive. */
    (void)arg;
    answer(request, "text/plain; charset=utf-8", "ok\n", 3);
}

/* document is moved in. */
static void answer_json(struct evhttp_request *request, json_t *document, size_t flags)
{
    char *text = document ? json_dumps(document, flags | JSON_REAL_PRECISION(15)) : NULL;

    json_decref(document);
    if (!text) {
        evhttp_send_error(request, HTTP_INTERNAL, "out of memory");
        return;
    }
    answer(request, "application/json", text, strlen(text));
    free(text);
}

static void serve_status(struct evhttp_request *request, void *arg)
{
    struct fs_http *http = arg;

    answer_json(request, fs_status_document(http->daemon), JSON_INDENT(2));
}

static void serve_events(struct evhttp_request *request, void *arg)
{
    (void)arg;
    answer_json(request, fs_history_events(), JSON_COMPACT);
}

static void serve_page(struct evhttp_request *request, void *arg)
{
    const struct fs_page_file *file = arg;

    answer(request, file->type, file->data, file->length);
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

/* /api/v1/groups/UUID, and whatever else there is not. */
static void serve_other(struct evhttp_request *request, void *arg)
{
    const struct fs_http *http = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    struct fs_uuid uuid;
    struct fs_group *group = NULL;

    if (path && strncmp(path, GROUPS_PATH, strlen(GROUPS_PATH)) == 0 &&
        fs_uuid_parse(path + strlen(GROUPS_PATH), &uuid) == 0) {
        group = fs_groups_find_uuid(http->daemon->ctx.groups, &uuid);
    }
    if (group && !group->let_go) {
        answer_json(request, fs_history_group(group), JSON_COMPACT);
    } else {
        evhttp_send_error(request, HTTP_NOTFOUND, NULL);
    }
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
    evhttp_set_cb(http->server, "/api/v1/events", serve_events, http);
    for (size_t i = 0; i < fs_page_count; i++) {
        /* What it gets is not written to. */
        evhttp_set_cb(http->server, fs_page_files[i].path, serve_page, (void *)&fs_page_files[i]);
    }
    evhttp_set_gencb(http->server, serve_other, http);
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
