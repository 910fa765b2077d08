/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/api.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/http.h"
#include "farshore/clock.h"

#define TIMEOUT_NS (30 * FS_SEC)

struct fs_kube_api_call {
    struct fs_kube_api *api;
    struct fs_kube_api_call *next;
    struct fs_kube_call *http; /* NULL: it could not be begun, failed says why */
    struct event *failed_event;
    struct fs_error failed;
    char *what; /* method and path, for messages */
    fs_kube_api_fn *done;
    void *arg;
};

struct fs_kube_api {
    struct event_base *base;
    struct fs_kube_http *http;
    char *kubeconfig; /* NULL: in-cluster */
    const char *service_account;
    struct fs_kube_api_call *calls; /* owned */
};

/* --- the end of a call ----------------------------------------------------------------------- */

static void free_call(struct fs_kube_api_call *call)
{
    struct fs_kube_api_call **at = &call->api->calls;

    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    if (call->failed_event) {
        event_free(call->failed_event);
    }
    free(call->what);
    free(call);
}

/* The call is freed first: done may start the next one. */
static void finish(struct fs_kube_api_call *call, int status, json_t *answer,
                   const struct fs_error *err)
{
    struct fs_error told = FS_ERROR_INIT;

    if (err) {
        (void)fs_error_set(&told, err->class, err->code, "%.150s: %.300s", call->what,
                           err->message);
    }
    fs_kube_api_fn *done = call->done;
    void *arg = call->arg;
    free_call(call);
    done(arg, status, answer, err ? &told : NULL);
}

static void set_refused(int status, const json_t *answer, struct fs_error *err)
{
    static const struct {
        int status, code;
    } known[] = {{401, EACCES}, {403, EACCES}, {404, ENOENT}, {409, EEXIST}, {429, EAGAIN}};
    const char *message = json_string_value(json_object_get(answer, "message"));
    const char *hint = status == 403   ? " (docs/kubernetes/ has what the daemon needs)"
                       : status == 401 ? " (its token or certificate is not accepted)"
                                       : "";
    int code = status >= 500 ? EAGAIN : status >= 400 ? EINVAL : EPROTO;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        code = known[i].status == status ? known[i].code : code;
    }
    (void)fs_error_set(err,
                       code == EAGAIN   ? FS_ERR_TRANSIENT
                       : code == EPROTO ? FS_ERR_PEER
                                        : FS_ERR_PERMANENT,
                       code, "HTTP status %d: %.250s%s", status,
                       message ? message : "without a reason", hint);
}

static void http_done(void *arg, int status, struct fs_buf *body, const struct fs_error *err)
{
    struct fs_kube_api_call *call = arg;
    struct fs_error own = FS_ERROR_INIT;

    call->http = NULL;
    if (err) {
        finish(call, 0, NULL, err);
        return;
    }
    json_t *answer = json_loadb((const char *)body->data, body->length, 0, NULL);
    bool good = status >= 200 && status < 300;
    if (good && body->length > 0 && !json_is_object(answer)) {
        (void)fs_error_set(&own, FS_ERR_PEER, EPROTO,
                           "the answer is not what a Kubernetes API gives");
    } else if (!good) {
        set_refused(status, answer, &own);
    }
    finish(call, status, json_is_object(answer) ? answer : NULL,
           fs_error_is_set(&own) ? &own : NULL);
    json_decref(answer);
}

static void failed_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_kube_api_call *call = arg;
    struct fs_error err = call->failed;

    (void)fd;
    (void)what;
    finish(call, 0, NULL, &err);
}

/* --- its start ------------------------------------------------------------------------------- */

static int start_http(struct fs_kube_api_call *call, const struct fs_kube_request *request)
{
    const struct fs_kube_api *api = call->api;
    struct fs_kube_access access;
    int rc = api->kubeconfig
                 ? fs_kube_access_load(api->kubeconfig, &access, &call->failed)
                 : fs_kube_access_in_cluster(api->service_account, &access, &call->failed);

    if (rc < 0) {
        call->failed.class = FS_ERR_TRANSIENT; /* whoever mends the file does not start us again */
        return rc;
    }
    call->http = fs_kube_http_start(api->http, &access, request, &call->failed);
    fs_kube_access_fini(&access);
    return call->http ? 0 : -EIO;
}

static struct fs_kube_api_call *new_call(struct fs_kube_api *api,
                                         const struct fs_kube_api_request *request)
{
    struct fs_kube_api_call *call = calloc(1, sizeof(*call));

    if (!call) {
        return NULL;
    }
    call->api = api;
    call->done = request->done;
    call->arg = request->arg;
    call->next = api->calls;
    api->calls = call;
    call->failed_event = evtimer_new(api->base, failed_cb, call);
    if (!call->failed_event || asprintf(&call->what, "%s %s", request->method, request->path) < 0) {
        call->what = NULL;
        free_call(call);
        return NULL;
    }
    return call;
}

struct fs_kube_api_call *fs_kube_api_start(struct fs_kube_api *api,
                                           const struct fs_kube_api_request *request)
{
    const char *type = request->content_type ? request->content_type : "application/json";
    char *content = request->body ? json_dumps(request->body, JSON_COMPACT) : NULL;
    struct fs_kube_api_call *call = request->body && !content ? NULL : new_call(api, request);

    if (call) {
        const struct fs_kube_request http = {
            .path = request->path,
            .method = request->method,
            .content = content,
            .content_type = type,
            .timeout_ns = request->timeout_ns > 0 ? request->timeout_ns : TIMEOUT_NS,
            .body_max = FS_KUBE_ANSWER_MAX,
            .done = http_done,
            .arg = call,
        };
        if (start_http(call, &http) < 0) {
            event_active(call->failed_event, EV_TIMEOUT, 0);
        }
    }
    if (content) {
        explicit_bzero(content, strlen(content)); /* Secrets come this way */
    }
    free(content);
    return call;
}

void fs_kube_api_cancel(struct fs_kube_api_call *call)
{
    if (call) {
        fs_kube_call_cancel(call->http);
        free_call(call);
    }
}

char *fs_kube_escape(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *escaped = malloc(3 * strlen(text) + 1), *to = escaped;

    if (!escaped) {
        return NULL;
    }
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte < 0x80 && isalnum(byte)) || strchr("-._~", byte)) {
            *to++ = (char)byte;
            continue;
        }
        *to++ = '%';
        *to++ = digits[byte >> 4];
        *to++ = digits[byte & 15];
    }
    *to = '\0';
    return escaped;
}

/* --- life ------------------------------------------------------------------------------------ */

int fs_kube_api_use(struct fs_kube_api *api, const char *kubeconfig)
{
    char *copy = kubeconfig ? strdup(kubeconfig) : NULL;

    if (kubeconfig && !copy) {
        return -ENOMEM;
    }
    free(api->kubeconfig);
    api->kubeconfig = copy;
    return 0;
}

struct fs_kube_api *fs_kube_api_new(struct event_base *base, const char *kubeconfig,
                                    const char *service_account)
{
    struct fs_kube_api *api = calloc(1, sizeof(*api));

    if (!api) {
        return NULL;
    }
    api->base = base;
    api->service_account = service_account ? service_account : FS_KUBE_SERVICE_ACCOUNT;
    api->http = fs_kube_http_new(base);
    if (!api->http || fs_kube_api_use(api, kubeconfig) < 0) {
        fs_kube_api_free(api);
        return NULL;
    }
    return api;
}

void fs_kube_api_free(struct fs_kube_api *api)
{
    if (!api) {
        return;
    }
    while (api->calls) {
        fs_kube_api_cancel(api->calls);
    }
    fs_kube_http_free(api->http);
    free(api->kubeconfig);
    free(api);
}
