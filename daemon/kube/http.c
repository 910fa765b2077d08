/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl must not be called from inside its callbacks, and whoever uses this module wants to
 * cancel and start calls from inside of ours. So curl's callbacks only note what came, and after
 * each turn of curl `deliver` hands it out; a call that ended meanwhile is freed at its end.
 */
#include "daemon/kube/http.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "farshore/clock.h"

#define CONNECT_TIMEOUT_MS 10000L
/* A peer that is gone without a word is found out after so long on an idle watch. */
#define KEEPALIVE_IDLE_S     10L
#define KEEPALIVE_INTERVAL_S 5L
#define UNANSWERED_MS        20000u
#define HEADERS_MAX          65536u

struct fs_kube_call {
    struct fs_kube_call *next;
    struct fs_kube_http *http;
    CURL *easy;
    struct curl_slist *headers;
    fs_kube_data_fn *data;
    fs_kube_done_fn *done;
    void *arg;
    struct fs_buf body;
    size_t body_max, headers_seen;
    bool fresh;    /* something came since data was last called */
    bool answered; /* the headers have come as a whole */
    bool too_large;
    bool ended; /* curl is done with it */
    bool dead;  /* nobody wants to hear of it */
    CURLcode code;
    char message[CURL_ERROR_SIZE];
};

struct fs_kube_http {
    struct event_base *base;
    CURLM *multi;
    struct event *timer, *later;
    struct fs_kube_call *calls;
    bool delivering;
};

/* --- delivery -------------------------------------------------------------------------------- */

static int status_of(const struct fs_kube_call *call)
{
    long status = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static void free_call(struct fs_kube_call *call)
{
    (void)curl_multi_remove_handle(call->http->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    fs_buf_fini(&call->body);
    free(call);
}

static void set_error(const struct fs_kube_call *call, struct fs_error *err)
{
    if (call->too_large) {
        (void)fs_error_set(err, FS_ERR_PEER, EMSGSIZE, "its answer is larger than %zu bytes",
                           call->body_max);
        return;
    }
    int code = call->code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EIO;
    (void)fs_error_set(err, FS_ERR_TRANSIENT, code, "%s",
                       call->message[0] ? call->message : curl_easy_strerror(call->code));
}

static void end_call(struct fs_kube_call *call)
{
    struct fs_error err = FS_ERROR_INIT;

    call->dead = true;
    if (call->code != CURLE_OK) {
        set_error(call, &err);
    }
    call->done(call->arg, status_of(call), &call->body, call->code == CURLE_OK ? NULL : &err);
}

static void note_ended(struct fs_kube_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        char *call = NULL;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK) {
            ((struct fs_kube_call *)(void *)call)->ended = true;
            ((struct fs_kube_call *)(void *)call)->code = message->data.result;
        }
    }
}

static void reap(struct fs_kube_http *http)
{
    struct fs_kube_call **at = &http->calls;

    while (*at) {
        struct fs_kube_call *call = *at;

        if (call->dead) {
            *at = call->next;
            free_call(call);
        } else {
            at = &call->next;
        }
    }
}

static void deliver(struct fs_kube_http *http)
{
    note_ended(http);
    http->delivering = true;
    for (struct fs_kube_call *call = http->calls; call; call = call->next) {
        if (call->fresh && !call->dead && call->data) {
            call->fresh = false;
            call->data(call->arg, status_of(call), &call->body);
        }
        if (call->ended && !call->dead) {
            end_call(call);
        }
    }
    http->delivering = false;
    reap(http);
}

/* --- curl's side ----------------------------------------------------------------------------- */

static void socket_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_kube_http *http = arg;
    int running,
        action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

    (void)curl_multi_socket_action(http->multi, fd, action, &running);
    deliver(http);
}

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_kube_http *http = arg;
    int running;

    (void)fd;
    (void)what;
    (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    deliver(http);
}

static void later_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    reap(arg);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct fs_kube_http *http = arg;
    struct event *event = known;

    (void)easy;
    if (event) {
        event_free(event);
        (void)curl_multi_assign(http->multi, fd, NULL);
    }
    if (what == CURL_POLL_REMOVE) {
        return 0;
    }
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    event = event_new(http->base, fd, events, socket_cb, http);
    if (!event || event_add(event, NULL) < 0) {
        if (event) {
            event_free(event);
        }
        return -1;
    }
    (void)curl_multi_assign(http->multi, fd, event);
    return 0;
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct fs_kube_http *http = arg;
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000,
                                    .tv_usec = timeout_ms % 1000 * 1000};

    (void)multi;
    return timeout_ms < 0 ? evtimer_del(http->timer) : evtimer_add(http->timer, &timeout);
}

static int set_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    const unsigned unanswered_ms = UNANSWERED_MS;

    (void)arg;
    (void)purpose;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
    return CURL_SOCKOPT_OK;
}

static size_t take_header(char *line, size_t size, size_t n, void *arg)
{
    struct fs_kube_call *call = arg;
    size_t length = size * n;

    call->headers_seen += length;
    if (call->headers_seen > HEADERS_MAX) {
        return 0;
    }
    if (length == 2 && memcmp(line, "\r\n", 2) == 0) {
        call->answered = call->fresh = true;
    }
    return length;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
    struct fs_kube_call *call = arg;
    size_t length = size * n;

    if (length > call->body_max - call->body.length) {
        call->too_large = true;
        return 0;
    }
    fs_buf_put(&call->body, data, length);
    call->fresh = true;
    return call->body.failed ? 0 : length;
}

/* --- calls ----------------------------------------------------------------------------------- */

static bool set_pem(CURL *easy, CURLoption option, const struct fs_buf *pem)
{
    struct curl_blob blob = {.data = pem->data, .len = pem->length, .flags = CURL_BLOB_COPY};

    return pem->length == 0 || curl_easy_setopt(easy, option, &blob) == CURLE_OK;
}

static bool add_header(struct fs_kube_call *call, const char *name, const char *value)
{
    char *line = NULL;

    if (asprintf(&line, "%s: %s", name, value) < 0) {
        return false;
    }
    struct curl_slist *headers = curl_slist_append(call->headers, line);
    explicit_bzero(line, strlen(line));
    free(line);
    if (headers) {
        call->headers = headers;
    }
    return headers != NULL;
}

static bool set_identity(struct fs_kube_call *call, const struct fs_kube_access *access)
{
    bool ok = add_header(call, "Accept", "application/json");

    if (access->token) {
        char *value = NULL;
        ok = ok && asprintf(&value, "Bearer %s", access->token) >= 0 &&
             add_header(call, "Authorization", value);
        if (value) {
            explicit_bzero(value, strlen(value));
        }
        free(value);
    }
    return ok && set_pem(call->easy, CURLOPT_SSLCERT_BLOB, &access->cert) &&
           set_pem(call->easy, CURLOPT_SSLKEY_BLOB, &access->key);
}

#define SET(option, value) (curl_easy_setopt(call->easy, CURLOPT_##option, (value)) == CURLE_OK)

static bool set_server(struct fs_kube_call *call, const struct fs_kube_access *access,
                       const char *path)
{
    char *url = NULL;

    if (asprintf(&url, "%s%s", access->server, path) < 0) {
        return false;
    }
    bool ok = SET(URL, url) && SET(PROTOCOLS_STR, "https") && SET(PROXY, "") &&
              SET(FOLLOWLOCATION, 0L) && SET(SSL_VERIFYPEER, 1L) && SET(SSL_VERIFYHOST, 2L) &&
              SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    free(url);
    if (access->ca.length > 0) {
        /* Its own authority is the only one that counts. */
        ok = ok && SET(CAPATH, NULL) && SET(CAINFO, NULL) &&
             set_pem(call->easy, CURLOPT_CAINFO_BLOB, &access->ca);
    }
    return ok;
}

/* A server need not be asked whether it wants what goes along. */
static bool set_content(struct fs_kube_call *call, const struct fs_kube_request *request)
{
    if (request->method && !SET(CUSTOMREQUEST, request->method)) {
        return false;
    }
    return !request->content || (add_header(call, "Content-Type", request->content_type) &&
                                 add_header(call, "Expect", "") &&
                                 SET(POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->content)) &&
                                 SET(COPYPOSTFIELDS, request->content));
}

static bool set_call(struct fs_kube_call *call, const struct fs_kube_request *request)
{
    return SET(PRIVATE, (void *)call) && SET(ERRORBUFFER, call->message) && SET(NOSIGNAL, 1L) &&
           SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(USERAGENT, "farshored/" FARSHORE_VERSION) &&
           SET(CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) &&
           SET(TIMEOUT_MS, (long)((request->timeout_ns + FS_MSEC - 1) / FS_MSEC)) /* 0: none */ &&
           SET(TCP_KEEPALIVE, 1L) && SET(TCP_KEEPIDLE, KEEPALIVE_IDLE_S) &&
           SET(TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) && SET(SOCKOPTFUNCTION, set_socket) &&
           SET(HEADERFUNCTION, take_header) && SET(HEADERDATA, (void *)call) &&
           SET(WRITEFUNCTION, take_body) && SET(WRITEDATA, (void *)call) &&
           SET(ACCEPT_ENCODING, "") && SET(HTTPHEADER, call->headers);
}

struct fs_kube_call *fs_kube_http_start(struct fs_kube_http *http,
                                        const struct fs_kube_access *access,
                                        const struct fs_kube_request *request, struct fs_error *err)
{
    struct fs_kube_call *call = calloc(1, sizeof(*call));

    if (!call) {
        (void)fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        return NULL;
    }
    call->http = http;
    call->body_max = request->body_max;
    call->data = request->data;
    call->done = request->done;
    call->arg = request->arg;
    call->easy = curl_easy_init();
    if (!call->easy || !set_identity(call, access) || !set_server(call, access, request->path) ||
        !set_content(call, request) || !set_call(call, request) ||
        curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
        (void)fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "the request cannot be made");
        curl_easy_cleanup(call->easy);
        curl_slist_free_all(call->headers);
        free(call);
        return NULL;
    }
    call->next = http->calls;
    http->calls = call;
    return call;
}

void fs_kube_call_cancel(struct fs_kube_call *call)
{
    if (call && !call->dead) {
        call->dead = true;
        if (!call->http->delivering) {
            event_active(call->http->later, 0, 0);
        }
    }
}

void fs_kube_body_take(struct fs_buf *body, size_t length)
{
    memmove(body->data, body->data + length, body->length - length);
    body->length -= length;
}

/* --- life ------------------------------------------------------------------------------------ */

struct fs_kube_http *fs_kube_http_new(struct event_base *base)
{
    struct fs_kube_http *http = calloc(1, sizeof(*http));

    if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(http);
        return NULL;
    }
    http->base = base;
    http->multi = curl_multi_init();
    http->timer = evtimer_new(base, timer_cb, http);
    http->later = event_new(base, -1, 0, later_cb, http);
    if (!http->multi || !http->timer || !http->later ||
        curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_timer) != CURLM_OK ||
        curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK) {
        fs_kube_http_free(http);
        return NULL;
    }
    return http;
}

void fs_kube_http_free(struct fs_kube_http *http)
{
    if (!http) {
        return;
    }
    for (struct fs_kube_call *call = http->calls; call; call = call->next) {
        call->dead = true;
    }
    reap(http);
    if (http->multi) {
        (void)curl_multi_cleanup(http->multi);
    }
    if (http->timer) {
        event_free(http->timer);
    }
    if (http->later) {
        event_free(http->later);
    }
    free(http);
    curl_global_cleanup();
}
