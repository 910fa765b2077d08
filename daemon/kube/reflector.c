/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at a time: pages of a list, then watches one after the other. A watch lasts half a
 * minute: long enough to cost nothing, short enough that a server which hangs is found out, and
 * that new credentials are used soon. Every ten minutes a list replaces the watch, which mends
 * whatever a server restored from a backup, or a proxy, made of the stream.
 */
#include "daemon/kube/reflector.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/clock.h"

#define WATCH_S          30u
#define WATCH_MORE_S     10u /* at random, so that watches do not all end together */
#define WATCH_GRACE_NS   (15 * FS_SEC)
#define LIST_TIMEOUT_NS  (60 * FS_SEC)
#define LIST_AGAIN_NS    (600 * FS_SEC)
#define ABSENT_AGAIN_NS  (15 * FS_SEC)
#define PACE_NS          (1 * FS_SEC) /* between lists, and between watches that end at once */
#define RETRY_FIRST_NS   (250 * FS_MSEC)
#define RETRY_LONGEST_NS (5 * FS_SEC)
#define BODY_MAX         (32u << 20)
/* One lost connection is no trouble yet: load balancers do that. */
#define TROUBLE_AFTER 2u

struct fs_kube_reflector {
    struct fs_kube_reflector_options options;
    char *selector; /* escaped, or NULL */
    struct event *timer;
    struct fs_kube_call *call; /* NULL: the timer is set */
    json_t *items, *incoming;  /* incoming: NULL unless a list is under way */
    char *version;             /* to watch from; NULL: list first */
    char *next;                /* token of the list's next page, or NULL */
    unsigned page;
    bool whole;
    int64_t listed_ns, begun_ns; /* boot: the last list's end, the last watch's begin */
    unsigned failures;           /* in a row */
    int64_t since_ns;            /* wall: of the first of them */
    char trouble[400];
};

static void go_on(struct fs_kube_reflector *reflector);

static int64_t now_boot(void)
{
    return fs_clock_boot(fs_clock_system());
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = value && *value ? strdup(value) : NULL;
}

/* --- what happens next ----------------------------------------------------------------------- */

static void wait_for(struct fs_kube_reflector *reflector, int64_t wait_ns)
{
    const struct timeval timeout = {.tv_sec = wait_ns / FS_SEC, .tv_usec = wait_ns % FS_SEC / 1000};

    (void)evtimer_add(reflector->timer, &timeout);
}

static unsigned random_below(unsigned bound)
{
    uint32_t number;

    evutil_secure_rng_get_bytes(&number, sizeof(number));
    return number % bound;
}

static void drop_list(struct fs_kube_reflector *reflector)
{
    json_decref(reflector->incoming);
    reflector->incoming = NULL;
    set_text(&reflector->next, NULL);
}

/* The version that we know is gone. */
static void list_again(struct fs_kube_reflector *reflector)
{
    drop_list(reflector);
    set_text(&reflector->version, NULL);
    int64_t wait = reflector->listed_ns + PACE_NS - now_boot();
    if (reflector->listed_ns > 0 && wait > 0) {
        wait_for(reflector, wait);
    } else {
        go_on(reflector);
    }
}

static void failed(struct fs_kube_reflector *reflector, const struct fs_error *err)
{
    int64_t wait = RETRY_FIRST_NS;

    drop_list(reflector);
    for (unsigned i = 0; i < reflector->failures && wait < RETRY_LONGEST_NS; i++) {
        wait *= 2;
    }
    wait = wait < RETRY_LONGEST_NS ? wait : RETRY_LONGEST_NS;
    if (reflector->failures++ == 0) {
        reflector->since_ns = fs_clock_wall(fs_clock_system());
    }
    char trouble[sizeof(reflector->trouble)];
    (void)snprintf(trouble, sizeof(trouble), "%.40s: %.350s", reflector->options.what,
                   err->message);
    bool other = strcmp(trouble, reflector->trouble) != 0;
    memcpy(reflector->trouble, trouble, sizeof(trouble));
    wait_for(reflector, wait - wait / 4 + random_below(500) * wait / 1000);
    if (reflector->failures == TROUBLE_AFTER || (other && reflector->failures > TROUBLE_AFTER)) {
        reflector->options.changed(reflector->options.arg);
    }
}

static void succeeded(struct fs_kube_reflector *reflector)
{
    bool told = reflector->failures >= TROUBLE_AFTER;

    reflector->failures = 0;
    if (told) {
        reflector->options.changed(reflector->options.arg);
    }
}

/* --- answers --------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* What the server says of an answer that is not 200. */
static void set_refused(const struct fs_kube_reflector *reflector, int status,
                        const struct fs_buf *body, struct fs_error *err)
{
    json_t *answer = json_loadb((const char *)body->data, body->length, 0, NULL);
    const char *message = text_of(answer, "message");
    char hint[128] = "";

    if (status == 403) {
        (void)snprintf(hint, sizeof(hint), " (docs/kubernetes/%s has what the daemon needs)",
                       reflector->options.rights);
    } else if (status == 401) {
        (void)snprintf(hint, sizeof(hint), " (its token or certificate is not accepted)");
    }
    (void)fs_error_set(err, FS_ERR_TRANSIENT, EIO, "HTTP status %d: %.250s%s", status,
                       message ? message : "without a reason", hint);
    json_decref(answer);
}

/* "NAMESPACE/NAME" or "NAME"; false: the object has none. */
static bool key_of(const json_t *object, char ret_key[520])
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *ns = text_of(metadata, "namespace"), *name = text_of(metadata, "name");

    if (!name) {
        return false;
    }
    (void)snprintf(ret_key, 520, "%.255s%s%.255s", ns ? ns : "", ns ? "/" : "", name);
    return true;
}

/* 1: what is kept of it is another thing than before. */
static int keep(const struct fs_kube_reflector *reflector, json_t *items, const json_t *object)
{
    char key[520];

    if (!key_of(object, key)) {
        return -EPROTO;
    }
    json_t *reduced = reflector->options.reduce(object);
    int other = !json_equal(reduced, json_object_get(items, key));
    return json_object_set_new(items, key, reduced) < 0 ? -ENOMEM : other;
}

static int set_unread(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, EPROTO,
                        "the answer is not what a Kubernetes API gives");
}

/* --- list ------------------------------------------------------------------------------------ */

/* Only in a list have objects of the API's own kinds none: the list says it for all of them. */
static void name_kind(const json_t *list, json_t *object)
{
    const char *kind = text_of(list, "kind");
    size_t length = kind ? strlen(kind) : 0;

    if (length > 4 && !json_object_get(object, "kind")) {
        (void)json_object_set_new(object, "kind", json_stringn(kind, length - 4)); /* "...List" */
        (void)json_object_set(object, "apiVersion", json_object_get(list, "apiVersion"));
    }
}

static int take_page(struct fs_kube_reflector *reflector, const json_t *answer,
                     struct fs_error *err)
{
    const json_t *metadata = json_object_get(answer, "metadata");
    const json_t *list = json_object_get(answer, "items");
    json_t *object;
    size_t i;

    if (!json_is_object(metadata) || !text_of(metadata, "resourceVersion") ||
        !(json_is_array(list) || json_is_null(list))) {
        return set_unread(err);
    }
    if (!reflector->incoming) {
        reflector->incoming = json_object();
    }
    json_array_foreach((json_t *)list, i, object)
    {
        name_kind(answer, object);
        int rc = keep(reflector, reflector->incoming, object);
        if (rc == -ENOMEM) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        }
        if (rc < 0) {
            return set_unread(err);
        }
    }
    set_text(&reflector->next, text_of(metadata, "continue"));
    if (!reflector->next) {
        set_text(&reflector->version, text_of(metadata, "resourceVersion"));
    }
    return 0;
}

static void list_is_whole(struct fs_kube_reflector *reflector)
{
    bool changed = !reflector->whole || !json_equal(reflector->items, reflector->incoming);

    json_decref(reflector->items);
    reflector->items = reflector->incoming;
    reflector->incoming = NULL;
    reflector->whole = true;
    reflector->listed_ns = now_boot();
    succeeded(reflector);
    if (changed) {
        reflector->options.changed(reflector->options.arg);
    }
}

/* The server does not know such objects, so there are none. */
static void kind_is_absent(struct fs_kube_reflector *reflector)
{
    drop_list(reflector);
    reflector->incoming = json_object();
    if (reflector->incoming) {
        list_is_whole(reflector);
    }
    set_text(&reflector->version, NULL);
    wait_for(reflector, ABSENT_AGAIN_NS);
}

static void list_done(void *arg, int status, struct fs_buf *body, const struct fs_error *err)
{
    struct fs_kube_reflector *reflector = arg;
    struct fs_error own = FS_ERROR_INIT;

    reflector->call = NULL;
    if (err) {
        if (err->code == EMSGSIZE && reflector->page > 1) {
            reflector->page /= 2;
        }
        failed(reflector, err);
        return;
    }
    if (status == 404 && reflector->options.optional) {
        kind_is_absent(reflector);
        return;
    }
    if (status != 200) { /* 410, too: the list took longer than its version was kept */
        set_refused(reflector, status, body, &own);
        failed(reflector, &own);
        return;
    }
    json_t *answer = json_loadb((const char *)body->data, body->length, 0, NULL);
    int rc = take_page(reflector, answer, &own);
    json_decref(answer);
    if (rc < 0) {
        failed(reflector, &own);
        return;
    }
    if (!reflector->next) {
        list_is_whole(reflector);
    }
    go_on(reflector);
}

/* --- watch ----------------------------------------------------------------------------------- */

/* False: this watch is of no use any more. An error is mostly 410 with status 200; whatever it is,
 * a list mends it. */
static bool take_event(struct fs_kube_reflector *reflector, const json_t *event)
{
    const char *type = text_of(event, "type");
    const json_t *object = json_object_get(event, "object");
    const char *version = text_of(json_object_get(object, "metadata"), "resourceVersion");
    char key[520];
    int other = 0;

    if (!type || !version || strcmp(type, "ERROR") == 0) {
        return false;
    }
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
        other = keep(reflector, reflector->items, object);
        if (other < 0) {
            return false;
        }
    } else if (strcmp(type, "DELETED") == 0 && key_of(object, key)) {
        other = json_object_del(reflector->items, key) == 0;
    }
    set_text(&reflector->version, version); /* a bookmark has nothing else */
    if (other) { /* most changes are to what is not kept, such as states and notes */
        reflector->options.changed(reflector->options.arg);
    }
    return true;
}

static bool take_line(struct fs_kube_reflector *reflector, const char *line, size_t length)
{
    json_t *event = json_loadb(line, length, 0, NULL);
    bool good = take_event(reflector, event);

    json_decref(event);
    return good;
}

static void watch_data(void *arg, int status, struct fs_buf *body)
{
    struct fs_kube_reflector *reflector = arg;
    bool good = true;
    size_t taken = 0;
    const uint8_t *end;

    if (status != 200) {
        return; /* why is in the body, when it has come as a whole */
    }
    succeeded(reflector);
    while (good && taken < body->length &&
           (end = memchr(body->data + taken, '\n', body->length - taken)) != NULL) {
        size_t length = (size_t)(end - body->data) - taken;
        good = take_line(reflector, (const char *)body->data + taken, length);
        taken += length + 1;
    }
    if (taken > 0) {
        fs_kube_body_take(body, taken);
    }
    if (!good) {
        fs_kube_call_cancel(reflector->call);
        reflector->call = NULL;
        list_again(reflector);
    }
}

static void watch_done(void *arg, int status, struct fs_buf *body, const struct fs_error *err)
{
    struct fs_kube_reflector *reflector = arg;
    struct fs_error own = FS_ERROR_INIT;

    reflector->call = NULL;
    bool gone = status == 410 || (status == 404 && reflector->options.optional);
    bool old = now_boot() - reflector->listed_ns > LIST_AGAIN_NS;
    if (err) {
        failed(reflector, err);
    } else if (gone || (status == 200 && old)) {
        list_again(reflector);
    } else if (status != 200) {
        set_refused(reflector, status, body, &own);
        failed(reflector, &own);
    } else if (now_boot() - reflector->begun_ns < PACE_NS) {
        wait_for(reflector, PACE_NS);
    } else {
        go_on(reflector);
    }
}

/* --- requests -------------------------------------------------------------------------------- */

static void put_parameter(struct fs_buf *path, const char *name, const char *value)
{
    fs_buf_printf(path, "&%s=", name);
    for (; *value; value++) {
        unsigned char byte = (unsigned char)*value;
        fs_buf_printf(path, isalnum(byte) || strchr("-._~", byte) ? "%c" : "%%%02X", byte);
    }
}

static void put_watch(struct fs_kube_reflector *reflector, struct fs_buf *path,
                      struct fs_kube_request *request)
{
    unsigned seconds = WATCH_S + random_below(WATCH_MORE_S);

    fs_buf_printf(path, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u", seconds);
    put_parameter(path, "resourceVersion", reflector->version);
    request->timeout_ns = seconds * FS_SEC + WATCH_GRACE_NS;
    request->data = watch_data;
    request->done = watch_done;
    reflector->begun_ns = now_boot();
}

static void put_list(const struct fs_kube_reflector *reflector, struct fs_buf *path,
                     struct fs_kube_request *request)
{
    fs_buf_printf(path, "limit=%u", reflector->page);
    if (reflector->next) {
        put_parameter(path, "continue", reflector->next);
    }
    request->timeout_ns = LIST_TIMEOUT_NS;
    request->done = list_done;
}

static int ask(struct fs_kube_reflector *reflector, const struct fs_kube_request *request,
               struct fs_error *err)
{
    struct fs_kube_access access;
    int rc = reflector->options.access(reflector->options.arg, &access, err);

    if (rc < 0) {
        return rc;
    }
    reflector->call = fs_kube_http_start(reflector->options.http, &access, request, err);
    fs_kube_access_fini(&access);
    return reflector->call ? 0 : -EIO;
}

/* The next request: a list's first or next page, or a watch. */
static void go_on(struct fs_kube_reflector *reflector)
{
    struct fs_kube_request request = {.body_max = BODY_MAX, .arg = reflector};
    struct fs_buf path = FS_BUF_INIT;
    struct fs_error err = FS_ERROR_INIT;

    fs_buf_printf(&path, "%s?", reflector->options.path);
    if (reflector->version) {
        put_watch(reflector, &path, &request);
    } else {
        put_list(reflector, &path, &request);
    }
    if (reflector->selector) {
        put_parameter(&path, "labelSelector", reflector->selector);
    }
    if (path.failed) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    } else {
        request.path = (const char *)path.data;
        (void)ask(reflector, &request, &err);
    }
    fs_buf_fini(&path);
    if (!reflector->call) {
        failed(reflector, &err);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    go_on(arg);
}

struct fs_kube_reflector *fs_kube_reflector_new(const struct fs_kube_reflector_options *options)
{
    struct fs_kube_reflector *reflector = calloc(1, sizeof(*reflector));

    if (!reflector) {
        return NULL;
    }
    reflector->options = *options;
    reflector->page = options->page;
    reflector->timer = evtimer_new(options->base, timer_cb, reflector);
    reflector->items = json_object();
    set_text(&reflector->selector, options->selector);
    if (!reflector->timer || !reflector->items || (options->selector && !reflector->selector)) {
        fs_kube_reflector_free(reflector);
        return NULL;
    }
    wait_for(reflector, 0); /* never from inside: nothing is called back yet */
    return reflector;
}

void fs_kube_reflector_free(struct fs_kube_reflector *reflector)
{
    if (!reflector) {
        return;
    }
    fs_kube_call_cancel(reflector->call);
    if (reflector->timer) {
        event_free(reflector->timer);
    }
    drop_list(reflector);
    json_decref(reflector->items);
    free(reflector->version);
    free(reflector->selector);
    free(reflector);
}

const json_t *fs_kube_reflector_items(const struct fs_kube_reflector *reflector)
{
    return reflector->items;
}

bool fs_kube_reflector_is_whole(const struct fs_kube_reflector *reflector)
{
    return reflector->whole;
}

const char *fs_kube_reflector_trouble(const struct fs_kube_reflector *reflector,
                                      int64_t *ret_since_ns)
{
    if (reflector->failures < TROUBLE_AFTER) {
        return NULL;
    }
    *ret_since_ns = reflector->since_ns;
    return reflector->trouble;
}
