/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/collector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/kinds.h"
#include "daemon/kube/run.h"
#include "daemon/kube/strip.h"
#include "farshore/clock.h"

#define PAGE          200u
#define COLLECT_NS    (3 * FS_SEC)
#define LATE_PAUSE_NS (60 * FS_SEC) /* points do not wait again for an API that was too slow */
#define IN_FLIGHT_MAX 8u            /* of one collection */

/* One kind of one label, kept up to date. */
struct watch {
    char kind[FS_KUBE_PATH_SIZE / 2], path[FS_KUBE_PATH_SIZE];
    char label[320];
    struct fs_kube_reflector *reflector;
};

struct fs_kube_collector {
    struct event_base *base;
    struct fs_kube_http *http;
    struct fs_kube_api *api;
    fs_kube_access_fn *access;
    void *access_arg;
    bool secrets;
    int64_t paused_until_ns; /* boot; 0: the API was never too slow */
    size_t n_watches;
    struct watch *watches;    /* owned */
    struct collection *first; /* under way */
};

/* An object that is asked for by its name. */
struct get {
    struct get *next;
    struct collection *collection;
    struct fs_kube_api_call *call;
    json_t *reference; /* {"kind", "name", "by", "optional"} */
};

struct collection {
    struct collection *next;
    struct fs_kube_collector *collector;
    char *ns, *label, *value;
    json_t *vms, *claims, *also;
    json_t *asked;   /* "KIND/NAME" -> true */
    json_t *found;   /* "API/KIND/NAME" -> what fs_kube_reduce_object made */
    json_t *missing; /* array */
    json_t *queue;   /* array of references */
    struct get *gets;
    size_t in_flight;
    bool gathered; /* what the watches have was looked at */
    struct event *begin, *bound;
    fs_kube_collected_fn *done;
    void *arg;
};

/* --- the end of a collection ------------------------------------------------------------------ */

static void free_collection(struct collection *collection)
{
    while (collection->gets) {
        struct get *get = collection->gets;

        collection->gets = get->next;
        fs_kube_api_cancel(get->call);
        json_decref(get->reference);
        free(get);
    }
    json_t *const values[] = {collection->also,  collection->vms,   collection->claims,
                              collection->asked, collection->found, collection->missing,
                              collection->queue};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        json_decref(values[i]);
    }
    if (collection->begin) {
        event_free(collection->begin);
    }
    if (collection->bound) {
        event_free(collection->bound);
    }
    free(collection->ns);
    free(collection->label);
    free(collection->value);
    free(collection);
}

/* The text is freed. */
static void finish(struct collection *collection, char *text, const struct fs_error *err)
{
    struct collection **at = &collection->collector->first;

    while (*at != collection) {
        at = &(*at)->next;
    }
    *at = collection->next;
    fs_kube_collected_fn *done = collection->done;
    void *arg = collection->arg;
    free_collection(collection);
    done(arg, text, err);
    free(text);
}

static void finish_failed(struct collection *collection, const struct fs_error *err)
{
    struct fs_error told = *err;

    finish(collection, NULL, &told);
}

static int set_late(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, ETIMEDOUT,
                        "the Kubernetes API did not say in %d s what a group's objects are; it is "
                        "asked again after a pause of %d s",
                        (int)(COLLECT_NS / FS_SEC), (int)(LATE_PAUSE_NS / FS_SEC));
}

static void finish_late(struct collection *collection)
{
    struct fs_error err = FS_ERROR_INIT;

    collection->collector->paused_until_ns = fs_clock_boot(fs_clock_system()) + LATE_PAUSE_NS;
    (void)set_late(&err);
    finish_failed(collection, &err);
}

static void finish_whole(struct collection *collection)
{
    struct fs_error err = FS_ERROR_INIT;
    json_t *items = json_array(), *item;
    const char *key;

    json_object_foreach(collection->found, key, item)
    {
        (void)json_array_append(items, item);
    }
    char *text = fs_kube_document(items, collection->missing);
    json_decref(items);
    if (!text) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    finish(collection, text, text ? NULL : &err);
}

/* --- what belongs to it ----------------------------------------------------------------------- */

static void miss(struct collection *collection, const json_t *reference, const char *reason)
{
    if (!json_is_true(json_object_get(reference, "optional"))) {
        (void)json_array_append_new(collection->missing,
                                    json_pack("{s:s, s:s, s:s, s:s}", "kind",
                                              fs_kube_text(reference, "kind"), "name",
                                              fs_kube_text(reference, "name"), "referred_by",
                                              fs_kube_text(reference, "by"), "reason", reason));
    }
}

/* Whether it is the first time. */
static bool ask_once(struct collection *collection, const char *kind, const char *name)
{
    char key[600];

    (void)snprintf(key, sizeof(key), "%.255s/%.300s", kind, name);
    bool first = json_object_get(collection->asked, key) == NULL;
    (void)json_object_set_new(collection->asked, key, json_true());
    return first;
}

static void want(struct collection *collection, const char *kind, const char *name, const char *by,
                 bool optional);

static void add(struct collection *collection, json_t *item)
{
    const char *kind = fs_kube_text(item, "kind"), *name = fs_kube_text(item, "name");
    char key[900], by[600];
    const json_t *reference;
    size_t i;

    (void)snprintf(key, sizeof(key), "%.255s/%.255s/%.300s", fs_kube_text(item, "api"), kind, name);
    if (json_object_get(collection->found, key)) {
        return;
    }
    (void)json_object_set(collection->found, key, item);
    (void)ask_once(collection, kind, name);
    (void)snprintf(by, sizeof(by), "%.255s/%.300s", kind, name);
    json_array_foreach(json_object_get(item, "references"), i, reference)
    {
        want(collection, fs_kube_text(reference, "kind"), fs_kube_text(reference, "name"), by,
             json_is_true(json_object_get(reference, "optional")));
    }
}

/* What a watch has of it; NULL: none does. */
static json_t *watched(const struct collection *collection, const char *kind, const char *name)
{
    const struct fs_kube_collector *collector = collection->collector;
    char key[600];

    (void)snprintf(key, sizeof(key), "%.255s/%.300s", collection->ns, name);
    for (size_t i = 0; i < collector->n_watches; i++) {
        const struct watch *watch = &collector->watches[i];
        json_t *item = fs_kube_kind_same(watch->kind, kind)
                           ? json_object_get(fs_kube_reflector_items(watch->reflector), key)
                           : NULL;
        if (item) {
            return item;
        }
    }
    return NULL;
}

static void want(struct collection *collection, const char *kind, const char *name, const char *by,
                 bool optional)
{
    if (!ask_once(collection, kind, name)) {
        return;
    }
    json_t *item = watched(collection, kind, name);
    json_t *reference = json_pack("{s:s, s:s, s:s, s:b}", "kind", kind, "name", name, "by", by,
                                  "optional", optional);
    if (item) {
        add(collection, item);
    } else if (!fs_kube_name_valid(name)) {
        miss(collection, reference, "no object can have that name");
    } else if (strcmp(kind, "Secret") == 0 && !collection->collector->secrets) {
        miss(collection, reference, "Secrets are not captured (objects.secrets)");
    } else {
        (void)json_array_append(collection->queue, reference);
    }
    json_decref(reference);
}

/* --- by name ---------------------------------------------------------------------------------- */

static void pump(struct collection *collection);

static void got(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct get *get = arg, **at = &get->collection->gets;
    struct collection *collection = get->collection;

    (void)status;
    while (*at != get) {
        at = &(*at)->next;
    }
    *at = get->next;
    collection->in_flight--;
    bool absent = err && err->code == ENOENT;
    if (absent) {
        miss(collection, get->reference, "there is no such object");
    }
    json_t *item = answer && !err ? fs_kube_reduce_object(answer) : NULL;
    json_decref(get->reference);
    free(get);
    if (item) {
        add(collection, item);
        json_decref(item);
    }
    if (err && err->code == ETIMEDOUT) {
        finish_late(collection);
    } else if (err && !absent) {
        finish_failed(collection, err);
    } else {
        pump(collection);
    }
}

static bool start_get(struct collection *collection, json_t *reference)
{
    char path[FS_KUBE_PATH_SIZE];
    struct get *get = calloc(1, sizeof(*get));

    if (!get) {
        return false;
    }
    get->collection = collection;
    get->reference = json_incref(reference);
    const struct fs_kube_api_request request = {
        .method = "GET",
        .path = fs_kube_object_path(fs_kube_text(reference, "kind"), collection->ns,
                                    fs_kube_text(reference, "name"), path),
        .timeout_ns = COLLECT_NS,
        .done = got,
        .arg = get,
    };
    get->call = fs_kube_api_start(collection->collector->api, &request);
    if (!get->call) {
        json_decref(get->reference);
        free(get);
        return false;
    }
    get->next = collection->gets;
    collection->gets = get;
    collection->in_flight++;
    return true;
}

static void pump(struct collection *collection)
{
    struct fs_error err = FS_ERROR_INIT;

    while (collection->in_flight < IN_FLIGHT_MAX && json_array_size(collection->queue) > 0) {
        size_t last = json_array_size(collection->queue) - 1;

        if (!start_get(collection, json_array_get(collection->queue, last))) {
            (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
            finish_failed(collection, &err);
            return;
        }
        (void)json_array_remove(collection->queue, last);
    }
    if (collection->in_flight == 0) {
        finish_whole(collection);
    }
}

/* --- by label --------------------------------------------------------------------------------- */

static bool is_of(const struct watch *watch, const char *label)
{
    return label && strcmp(watch->label, label) == 0;
}

/* What keeps a watch of the label from being heard. A group without a label needs none; but where
 * no watch at all gets through to the API, its names need not be tried. */
static const char *find_trouble(const struct collection *collection)
{
    const struct fs_kube_collector *collector = collection->collector;
    const char *trouble = NULL;
    int64_t since_ns;

    for (size_t i = 0; i < collector->n_watches; i++) {
        const struct watch *watch = &collector->watches[i];

        if (collection->label && !is_of(watch, collection->label)) {
            continue;
        }
        trouble = fs_kube_reflector_trouble(watch->reflector, &since_ns);
        if ((trouble != NULL) == (collection->label != NULL)) {
            break;
        }
    }
    return trouble;
}

/* 0; -EAGAIN: not everything was heard yet; or what keeps it from being heard. */
static int check_watches(const struct collection *collection, struct fs_error *err)
{
    const struct fs_kube_collector *collector = collection->collector;
    bool whole = true;

    if (fs_clock_boot(fs_clock_system()) < collector->paused_until_ns) {
        return set_late(err);
    }
    const char *trouble = find_trouble(collection);
    if (trouble) {
        return fs_error_set(err, FS_ERR_TRANSIENT, EIO, "%s", trouble);
    }
    for (size_t i = 0; i < collector->n_watches; i++) {
        const struct watch *watch = &collector->watches[i];

        whole = whole &&
                (!is_of(watch, collection->label) || fs_kube_reflector_is_whole(watch->reflector));
    }
    return whole ? 0 : -EAGAIN;
}

static void gather(struct collection *collection)
{
    const struct fs_kube_collector *collector = collection->collector;
    const json_t *name;
    json_t *item;
    const char *key;
    size_t i;

    for (i = 0; i < collector->n_watches; i++) {
        const struct watch *watch = &collector->watches[i];

        if (!is_of(watch, collection->label)) {
            continue;
        }
        json_object_foreach((json_t *)fs_kube_reflector_items(watch->reflector), key, item)
        {
            const char *value = fs_kube_text(json_object_get(item, "labels"), collection->label);

            if (strcmp(fs_kube_text(item, "ns"), collection->ns) == 0 &&
                strcmp(value, collection->value) == 0) {
                add(collection, item);
            }
        }
    }
    json_array_foreach(collection->vms, i, name)
    {
        want(collection, "VirtualMachine", json_string_value(name), "", false);
    }
    json_array_foreach(collection->claims, i, name)
    {
        want(collection, "PersistentVolumeClaim", json_string_value(name), "", false);
    }
    json_array_foreach(collection->also, i, name)
    {
        if (fs_kube_kind_known(fs_kube_text(name, "kind"))) {
            want(collection, fs_kube_text(name, "kind"), fs_kube_text(name, "name"), "", true);
        }
    }
}

static void go_on(struct collection *collection)
{
    struct fs_error err = FS_ERROR_INIT;
    int rc = collection->gathered ? 0 : check_watches(collection, &err);

    if (rc == -EAGAIN || collection->gathered) {
        return;
    }
    if (rc < 0) {
        finish_failed(collection, &err);
        return;
    }
    collection->gathered = true;
    gather(collection);
    pump(collection);
}

static void begin_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    go_on(arg);
}

static void bound_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish_late(arg);
}

/* A watch has something new: whoever waits for it goes on, but not from inside of the watch. */
static void changed(void *arg)
{
    const struct fs_kube_collector *collector = arg;

    for (struct collection *at = collector->first; at; at = at->next) {
        if (!at->gathered) {
            event_active(at->begin, EV_TIMEOUT, 0);
        }
    }
}

int fs_kube_collect(struct fs_kube_collector *collector, const struct fs_kube_group *group,
                    fs_kube_collected_fn *done, void *arg)
{
    struct collection *collection = calloc(1, sizeof(*collection));
    const struct timeval bound = {.tv_sec = COLLECT_NS / FS_SEC};

    if (!collection) {
        return -ENOMEM;
    }
    collection->collector = collector;
    collection->ns = strdup(group->ns);
    collection->label = group->label ? strdup(group->label) : NULL;
    collection->value = strdup(group->value ? group->value : "");
    collection->vms = json_copy((json_t *)group->vms);
    collection->claims = json_copy((json_t *)group->claims);
    collection->also = json_deep_copy(group->also);
    collection->asked = json_object();
    collection->found = json_object();
    collection->missing = json_array();
    collection->queue = json_array();
    collection->begin = evtimer_new(collector->base, begin_cb, collection);
    collection->bound = evtimer_new(collector->base, bound_cb, collection);
    collection->done = done;
    collection->arg = arg;
    if (!collection->ns || (group->label && !collection->label) || !collection->value ||
        !collection->begin || !collection->bound || evtimer_add(collection->bound, &bound) < 0) {
        free_collection(collection);
        return -ENOMEM;
    }
    collection->next = collector->first;
    collector->first = collection;
    event_active(collection->begin, EV_TIMEOUT, 0);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static int get_access(void *arg, struct fs_kube_access *ret_access, struct fs_error *err)
{
    const struct fs_kube_collector *collector = arg;

    return collector->access(collector->access_arg, ret_access, err);
}

static bool start_watch(struct fs_kube_collector *collector, const char *kind, const char *label)
{
    struct watch *watch = &collector->watches[collector->n_watches];
    struct fs_kube_reflector_options reflector = {
        .base = collector->base,
        .http = collector->http,
        .path = watch->path,
        .what = watch->kind,
        .rights = fs_kube_kind_same(kind, "Secret") ? "rbac-secrets.yaml" : "rbac-objects.yaml",
        .selector = watch->label,
        .optional = true, /* a kind that is not served has no objects */
        .page = PAGE,
        .reduce = fs_kube_reduce_object,
        .access = get_access,
        .changed = changed,
        .arg = collector,
    };

    (void)snprintf(watch->kind, sizeof(watch->kind), "%s", kind);
    (void)snprintf(watch->label, sizeof(watch->label), "%s", label);
    (void)fs_kube_kind_path(kind, watch->path);
    watch->reflector = fs_kube_reflector_new(&reflector);
    collector->n_watches += watch->reflector != NULL;
    return watch->reflector != NULL;
}

static bool start_watches(struct fs_kube_collector *collector,
                          const struct fs_kube_collector_options *options)
{
    for (size_t i = 0; i < options->n_labels; i++) {
        for (size_t k = 0; k < options->n_kinds; k++) {
            const char *kind = options->kinds[k];
            bool secret = fs_kube_kind_same(kind, "Secret");

            if ((options->secrets || !secret) &&
                !start_watch(collector, kind, options->labels[i])) {
                return false;
            }
        }
    }
    return true;
}

struct fs_kube_collector *fs_kube_collector_new(const struct fs_kube_collector_options *options)
{
    struct fs_kube_collector *collector = calloc(1, sizeof(*collector));

    if (!collector) {
        return NULL;
    }
    collector->base = options->base;
    collector->api = options->api;
    collector->access = options->access;
    collector->access_arg = options->arg;
    collector->secrets = options->secrets;
    collector->http = fs_kube_http_new(options->base);
    collector->watches =
        calloc(options->n_labels * options->n_kinds + 1, sizeof(*collector->watches));
    if (!collector->http || !collector->watches || !start_watches(collector, options)) {
        fs_kube_collector_free(collector);
        return NULL;
    }
    return collector;
}

void fs_kube_collector_cancel(struct fs_kube_collector *collector, const struct fs_error *err)
{
    while (collector->first) {
        finish_failed(collector->first, err);
    }
}

void fs_kube_collector_free(struct fs_kube_collector *collector)
{
    struct fs_error err = FS_ERROR_INIT;

    if (!collector) {
        return;
    }
    (void)fs_error_set(&err, FS_ERR_TRANSIENT, ECANCELED, "the configuration has changed");
    fs_kube_collector_cancel(collector, &err);
    for (size_t i = 0; i < collector->n_watches; i++) {
        fs_kube_reflector_free(collector->watches[i].reflector);
    }
    free(collector->watches);
    fs_kube_http_free(collector->http);
    free(collector);
}
