/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items, each walked through alone, in the order of what needs what:
 *
 *   KINDS  of each item: does the API serve it, and under which path
 *   then for each item
 *   READ   the object that is there; a PVC's PV, too (HOLDER), and the StorageClass (CLASS)
 *   TRY    where it is there: the whole apply as a dry run says whether anything would change
 *   WRITE  the apply; of a volume, the PV first (VOLUME) and then the PVC
 *   then
 *   START  each workload whose volumes are bound
 *   COME   until the machines run
 *
 * An API that is away is waited for, once for all items together. A check goes the same way up to
 * WRITE, and what would be written is a dry run.
 */
#include "daemon/kube/bring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/allow.h"
#include "daemon/kube/bring_private.h"
#include "daemon/kube/manifest.h"
#include "daemon/kube/run.h"
#include "farshore/clock.h"

static int64_t now_boot(void)
{
    return fs_clock_boot(fs_clock_system());
}

void fs_bring_later(struct fs_kube_bring *bring, int64_t ns)
{
    const struct timeval timeout = {.tv_sec = ns / FS_SEC, .tv_usec = ns % FS_SEC / 1000};

    (void)evtimer_add(bring->timer, &timeout);
}

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    fs_bring_step(arg);
}

struct item *fs_bring_current(const struct fs_kube_bring *bring)
{
    return bring->at < bring->n_items ? &bring->items[bring->at] : NULL;
}

void fs_bring_enter(struct fs_kube_bring *bring, enum phase phase)
{
    bring->phase = phase;
    fs_bring_step(bring);
}

/* The first item that has no outcome yet, from at on. */
static void skip_done(struct fs_kube_bring *bring)
{
    while (bring->at < bring->n_items && bring->items[bring->at].outcome) {
        bring->at++;
    }
}

bool fs_bring_is_bad(const struct item *item)
{
    static const char *const good[] = {"applied", "unchanged", "kept",
                                       "started", "halted",    "left_out"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (item->outcome && strcmp(item->outcome, good[i]) == 0) {
            return false;
        }
    }
    return true;
}

void fs_bring_set_outcome(struct item *item, const char *outcome, const char *message)
{
    item->outcome = outcome;
    (void)snprintf(item->message, sizeof(item->message), "%.*s", (int)sizeof(item->message) - 1,
                   message);
}

void fs_bring_say(struct fs_kube_bring *bring, const char *before, const char *after)
{
    char title[FS_KUBE_TITLE_SIZE];

    (void)snprintf(bring->text, sizeof(bring->text), "%s%s%s", before,
                   fs_kube_title(fs_bring_current(bring)->object, title), after);
}

/* The item at hand is over; the next one is read. */
void fs_bring_next(struct fs_kube_bring *bring, const char *outcome, const char *message)
{
    fs_bring_set_outcome(fs_bring_current(bring), outcome, message);
    fs_bring_enter(bring, READ);
}

/* The API has been silent for too long: each call more would only take its time. */
static void fail_rest(struct fs_kube_bring *bring, const struct fs_error *err)
{
    bool starts = bring->phase == START;

    for (size_t i = starts ? bring->at : 0; i < bring->n_items; i++) {
        struct item *item = &bring->items[i];
        if (starts ? fs_bring_is_to_start(bring, item) : !item->outcome) {
            item->again = true;
            fs_bring_set_outcome(item, starts ? "not_started" : "failed", err->message);
        }
    }
    fs_bring_enter(bring, OVER);
}

bool fs_bring_waits(struct fs_kube_bring *bring, int status, const struct fs_error *err)
{
    int64_t now = now_boot();

    if (err->class != FS_ERR_TRANSIENT) {
        bring->trouble_ns = 0;
        return false;
    }
    if (bring->trouble_ns == 0) {
        bring->trouble_ns = now;
    }
    if (now - bring->trouble_ns < bring->options.patience_ns) {
        fs_bring_later(bring, FS_BRING_RETRY_NS);
        return true;
    }
    if (status == 0) {
        fail_rest(bring, err);
        return true;
    }
    return false;
}

const char *fs_bring_outcome_of(int status, const struct fs_error *err)
{
    return status == 409                                    ? "conflict"
           : status >= 400 && status < 500 && status != 429 ? "refused"
           : err                                            ? "failed"
                                                            : NULL;
}

void fs_bring_give_up(struct fs_kube_bring *bring, int status, const struct fs_error *err)
{
    if (!fs_bring_waits(bring, status, err)) {
        fs_bring_current(bring)->again = true;
        fs_bring_next(bring, fs_bring_outcome_of(status, err), err->message);
    }
}

/* --- asking ---------------------------------------------------------------------------------- */

void fs_bring_ask(struct fs_kube_bring *bring, const char *method, const char *path,
                  const json_t *body, const char *type, fs_kube_api_fn *done)
{
    const struct fs_kube_api_request request = {.method = method,
                                                .path = path,
                                                .body = body,
                                                .content_type = type,
                                                .done = done,
                                                .arg = bring};

    bring->call = fs_kube_api_start(bring->options.api, &request);
    if (!bring->call) {
        fs_bring_later(bring, FS_BRING_RETRY_NS);
    }
}

void fs_bring_put_name(struct fs_buf *path, const char *name)
{
    char *escaped = fs_kube_escape(name);

    fs_buf_printf(path, "/%s", escaped ? escaped : "");
    path->failed = path->failed || !escaped;
    free(escaped);
}

/* "v1" or "GROUP/VERSION". */
static void put_api(struct fs_buf *path, const char *version)
{
    const char *slash = strchr(version, '/');
    char group[256];

    fs_buf_printf(path, slash ? "/apis" : "/api");
    if (slash) {
        (void)snprintf(group, sizeof(group), "%.*s", (int)(slash - version), version);
        fs_bring_put_name(path, group);
    }
    fs_bring_put_name(path, slash ? slash + 1 : version);
}

static const json_t *kind_of(const struct fs_kube_bring *bring, const json_t *object)
{
    const json_t *kinds = json_object_get(bring->served, fs_kube_text(object, "apiVersion"));

    return json_object_get(kinds, fs_kube_text(object, "kind"));
}

/* plural, NULL: that of the object's kind. */
void fs_bring_ask_object(struct fs_kube_bring *bring, const char *method, const json_t *object,
                         const char *plural, const char *query, const json_t *body,
                         const char *type, fs_kube_api_fn *done)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *kind = kind_of(bring, object);
    struct fs_buf path = FS_BUF_INIT;

    put_api(&path, fs_kube_text(object, "apiVersion"));
    if (json_is_true(json_object_get(kind, "namespaced"))) {
        fs_buf_printf(&path, "/namespaces");
        fs_bring_put_name(&path, fs_kube_text(metadata, "namespace"));
    }
    fs_buf_printf(&path, "/%s", plural ? plural : fs_kube_text(kind, "plural"));
    fs_bring_put_name(&path, fs_kube_text(metadata, "name"));
    fs_buf_printf(&path, "%s", query);
    fs_buf_put_u8(&path, 0);
    if (path.failed) {
        fs_bring_later(bring, FS_BRING_RETRY_NS);
    } else {
        fs_bring_ask(bring, method, (const char *)path.data, body, type, done);
    }
    fs_buf_fini(&path);
}

void fs_bring_apply(struct fs_kube_bring *bring, const json_t *object, bool dry,
                    fs_kube_api_fn *done)
{
    fs_bring_ask_object(bring, "PATCH", object, NULL,
                        dry            ? "?fieldManager=" FS_KUBE_MANAGER "&force=true&dryRun=All"
                        : bring->check ? "?fieldManager=" FS_KUBE_MANAGER "&dryRun=All"
                                       : "?fieldManager=" FS_KUBE_MANAGER,
                        object, FS_KUBE_APPLY_PATCH, done);
}

/* --- which kinds there are ------------------------------------------------------------------- */

static json_t *kinds_of(const json_t *answer)
{
    json_t *kinds = json_object();
    const json_t *resource;
    size_t i;

    json_array_foreach(json_object_get(answer, "resources"), i, resource)
    {
        const char *plural = fs_kube_text(resource, "name");
        if (!strchr(plural, '/')) { /* a subresource says its owner's kind, or another one */
            (void)json_object_set_new(kinds, fs_kube_text(resource, "kind"),
                                      json_pack("{s:s, s:O}", "plural", plural, "namespaced",
                                                json_object_get(resource, "namespaced")));
        }
    }
    return kinds;
}

static void discovered(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    struct item *item = fs_bring_current(bring);

    bring->call = NULL;
    if (err && status != 404) {
        if (!fs_bring_waits(bring, status, err)) {
            item->again = true;
            fs_bring_set_outcome(item, "failed", err->message);
            fs_bring_step(bring);
        }
        return;
    }
    bring->trouble_ns = 0;
    (void)json_object_set_new(bring->served, fs_kube_text(item->object, "apiVersion"),
                              kinds_of(answer));
    fs_bring_step(bring);
}

static void judge_kind(struct fs_kube_bring *bring, struct item *item)
{
    const struct fs_kube_allowed allowed = {
        .volumes = bring->volumes, .kinds = bring->kinds, .secrets = bring->options.secrets};
    const json_t *served = kind_of(bring, item->object);
    char message[300];

    if (!served) {
        (void)snprintf(message, sizeof(message),
                       "this cluster serves no kind %.80s of %.120s: install what defines it",
                       fs_kube_text(item->object, "kind"),
                       fs_kube_text(item->object, "apiVersion"));
        item->again = true;
        fs_bring_set_outcome(item, "not_served", message);
        return;
    }
    const char *why = item->own ? NULL : fs_kube_why_left_out(item->object, served, &allowed);
    if (why) {
        fs_bring_set_outcome(item, "left_out", why);
    }
}

static void find_kind(struct fs_kube_bring *bring)
{
    struct item *item;

    for (skip_done(bring); (item = fs_bring_current(bring)) != NULL; bring->at++) {
        const char *version = fs_kube_text(item->object, "apiVersion");
        if (!json_object_get(bring->served, version)) {
            struct fs_buf path = FS_BUF_INIT;
            put_api(&path, version);
            (void)snprintf(bring->text, sizeof(bring->text), "asking which kinds the API serves");
            fs_bring_ask(bring, "GET", (const char *)path.data, NULL, NULL, discovered);
            fs_buf_fini(&path);
            return;
        }
        if (!item->outcome) {
            judge_kind(bring, item);
        }
    }
    bring->at = 0;
    fs_bring_enter(bring, READ);
}

static bool is_named(const json_t *object, const char *kind, const char *ns, const char *name)
{
    const json_t *metadata = json_object_get(object, "metadata");

    return strcmp(fs_kube_text(object, "kind"), kind) == 0 &&
           strcmp(fs_kube_text(metadata, "namespace"), ns) == 0 &&
           strcmp(fs_kube_text(metadata, "name"), name) == 0;
}

/* --- one object ------------------------------------------------------------------------------ */

void fs_bring_written(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    struct item *item = fs_bring_current(bring);

    bring->call = NULL;
    if (err) {
        fs_bring_give_up(bring, status, err);
        return;
    }
    bring->trouble_ns = 0;
    if (!bring->check) {
        json_decref(item->live);
        item->live = json_incref(answer);
    }
    fs_bring_next(bring, "applied", "");
}

/* Of a check: nothing can be tried in a namespace that is not there. */
static bool is_beyond_trying(const struct fs_kube_bring *bring, const struct item *of)
{
    const char *ns = fs_kube_text(json_object_get(of->object, "metadata"), "namespace");

    for (size_t i = 0; bring->check && i < bring->n_items; i++) {
        if (!bring->items[i].live && is_named(bring->items[i].object, "Namespace", "", ns)) {
            return true;
        }
    }
    return false;
}

static void write_object(struct fs_kube_bring *bring)
{
    struct item *item = fs_bring_current(bring);
    json_t *object =
        item->volume ? json_incref(item->object) : fs_kube_prepare(item->object, item->live);

    fs_bring_say(bring, "applying ", "");
    fs_bring_apply(bring, object, false, fs_bring_written);
    json_decref(object);
}

static void tried(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    const struct item *item = fs_bring_current(bring);

    bring->call = NULL;
    if (err) {
        fs_bring_give_up(bring, status, err);
        return;
    }
    bring->trouble_ns = 0;
    if (fs_kube_is_same(item->live, answer)) {
        fs_bring_next(bring, "unchanged", "");
    } else if (!fs_kube_is_ours(item->live)) {
        fs_bring_current(bring)->again = true;
        fs_bring_next(
            bring, "conflict",
            "an object of that name is there, which Farshore did not make and whose content is "
            "another: rename or delete it, or make it the same");
    } else {
        fs_bring_enter(bring, WRITE);
    }
}

static void try_object(struct fs_kube_bring *bring)
{
    const struct item *item = fs_bring_current(bring);
    json_t *object = fs_kube_prepare(item->object, item->live);

    fs_bring_apply(bring, object, true, tried);
    json_decref(object);
}

static void was_read(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    struct item *item = fs_bring_current(bring);
    bool bound;

    bring->call = NULL;
    if (err && status != 404) {
        fs_bring_give_up(bring, status, err);
        return;
    }
    bring->trouble_ns = 0;
    json_decref(item->live);
    item->live = err ? NULL : json_incref(answer);
    if (item->volume) {
        bound = *fs_kube_text(json_object_get(item->live, "spec"), "volumeName") != '\0';
        fs_bring_enter(bring, bound ? HOLDER : CLASS);
    } else if (!item->live) {
        fs_bring_enter(bring, WRITE);
    } else if (strcmp(fs_kube_text(item->object, "kind"), "Namespace") == 0) {
        fs_bring_next(bring, "unchanged", "");
    } else {
        fs_bring_enter(bring, TRY);
    }
}

static void read_object(struct fs_kube_bring *bring)
{
    skip_done(bring);
    if (!fs_bring_current(bring)) {
        bring->at = 0;
        fs_bring_enter(bring, bring->check ? OVER : START);
        return;
    }
    fs_bring_say(bring, "reading ", "");
    fs_bring_ask_object(bring, "GET", fs_bring_current(bring)->object, NULL, "", NULL, NULL,
                        was_read);
}

/* --- the end --------------------------------------------------------------------------------- */

static void finish(struct fs_kube_bring *bring)
{
    fs_kube_bring_fn *done = bring->options.done;
    void *arg = bring->options.arg;
    json_t *report = json_array();
    unsigned left = 0, pending = 0;
    char title[FS_KUBE_TITLE_SIZE];

    for (size_t i = 0; i < bring->n_items; i++) {
        const struct item *item = &bring->items[i];
        if (!item->outcome || (bring->check && !fs_bring_is_bad(item))) {
            continue; /* it would go well */
        }
        left += fs_bring_is_bad(item);
        pending += fs_bring_is_bad(item) && item->again;
        (void)json_array_append_new(report, json_pack("{s:s, s:s, s:s}", "object",
                                                      fs_kube_title(item->object, title), "outcome",
                                                      item->outcome, "message", item->message));
    }
    fs_kube_bring_free(bring);
    done(arg, report, left, pending);
    json_decref(report);
}

void fs_bring_step(struct fs_kube_bring *bring)
{
    static void (*const run[])(struct fs_kube_bring *) = {
        [KINDS] = find_kind,
        [READ] = read_object,
        [HOLDER] = fs_bring_read_holder,
        [CLASS] = fs_bring_read_class,
        [TRY] = try_object,
        [VOLUME] = fs_bring_write_volume,
        [RELEASE] = fs_bring_release,
        [START] = fs_bring_start_workloads,
        [COME] = fs_bring_await_machines,
        [OVER] = finish,
    };

    if (bring->phase == WRITE) {
        struct item *item = fs_bring_current(bring);
        if (is_beyond_trying(bring, item)) {
            fs_bring_next(bring, "applied", "");
        } else if (item->volume) {
            fs_bring_write_claim(bring);
        } else {
            write_object(bring);
        }
    } else {
        run[bring->phase](bring);
    }
}

/* --- the items ------------------------------------------------------------------------------- */

static json_t *find(const struct fs_kube_bring *bring, const char *kind, const char *ns,
                    const char *name)
{
    json_t *object;
    size_t i;

    json_array_foreach(bring->objects, i, object)
    {
        if (is_named(object, kind, ns, name)) {
            return object;
        }
    }
    return NULL;
}

static struct item *add(struct fs_kube_bring *bring, json_t *object)
{
    struct item *item = &bring->items[bring->n_items++];

    item->object = object;
    return item;
}

static void add_namespace(struct fs_kube_bring *bring, const char *ns)
{
    for (size_t i = 0; i < bring->n_items; i++) {
        if (is_named(bring->items[i].object, "Namespace", "", ns)) {
            return;
        }
    }
    add(bring, json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata",
                         "name", ns))
        ->own = true;
}

static void add_volume(struct fs_kube_bring *bring, json_t *volume)
{
    const char *ns = fs_kube_text(volume, "namespace"), *claim = fs_kube_text(volume, "claim");
    json_t *captured = find(bring, "PersistentVolumeClaim", ns, claim);
    const char *name = fs_kube_text(json_object_get(captured, "spec"), "volumeName");
    struct item *item =
        add(bring, captured ? json_incref(captured)
                            : json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind",
                                        "PersistentVolumeClaim", "metadata", "namespace", ns,
                                        "name", claim));

    item->own = true;
    item->volume = json_incref(volume);
    item->captured = json_incref(find(bring, "PersistentVolume", "", name));
    add_namespace(bring, ns);
}

static void add_object(struct fs_kube_bring *bring, json_t *object)
{
    const char *kind = fs_kube_text(object, "kind");

    if (strcmp(kind, "PersistentVolume") == 0 || strcmp(kind, "PersistentVolumeClaim") == 0) {
        return; /* the group's own are made for the images here; of others there is no image */
    }
    (void)add(bring, json_incref(object));
}

static int by_rank(const void *left, const void *right)
{
    unsigned a = fs_kube_rank(((const struct item *)left)->object);
    unsigned b = fs_kube_rank(((const struct item *)right)->object);

    return a < b ? -1 : a > b;
}

static int make_items(struct fs_kube_bring *bring)
{
    size_t most = 2 * (json_array_size(bring->volumes) + json_array_size(bring->objects));
    json_t *value;
    size_t i;

    bring->items = calloc(most + 1, sizeof(*bring->items));
    if (!bring->items) {
        return -ENOMEM;
    }
    json_array_foreach(bring->volumes, i, value)
    {
        add_volume(bring, value);
    }
    json_array_foreach(bring->objects, i, value)
    {
        add_object(bring, value);
    }
    qsort(bring->items, bring->n_items, sizeof(*bring->items), by_rank);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static struct fs_kube_bring *start(const struct fs_kube_bring_options *options, bool check)
{
    struct fs_kube_bring *bring = calloc(1, sizeof(*bring));

    if (!bring) {
        return NULL;
    }
    bring->options = *options;
    bring->check = check;
    bring->volumes = json_incref((json_t *)options->volumes);
    bring->objects = json_incref((json_t *)options->objects);
    bring->classes = json_incref((json_t *)options->classes);
    bring->kinds = json_incref((json_t *)options->kinds);
    bring->served = json_object();
    bring->timer = evtimer_new(options->base, timer_cb, bring);
    if (!bring->served || !bring->timer || make_items(bring) < 0) {
        fs_kube_bring_free(bring);
        return NULL;
    }
    fs_bring_later(bring, 0);
    return bring;
}

struct fs_kube_bring *fs_kube_bring_start(const struct fs_kube_bring_options *options)
{
    return start(options, false);
}

struct fs_kube_bring *fs_kube_bring_check(const struct fs_kube_bring_options *options)
{
    return start(options, true);
}

void fs_kube_bring_free(struct fs_kube_bring *bring)
{
    if (!bring) {
        return;
    }
    fs_kube_api_cancel(bring->call);
    if (bring->timer) {
        event_free(bring->timer);
    }
    for (size_t i = 0; i < bring->n_items; i++) {
        json_decref(bring->items[i].object);
        json_decref(bring->items[i].volume);
        json_decref(bring->items[i].captured);
        json_decref(bring->items[i].live);
    }
    free(bring->items);
    json_decref(bring->volumes);
    json_decref(bring->objects);
    json_decref(bring->classes);
    json_decref(bring->kinds);
    json_decref(bring->served);
    json_decref(bring->class);
    json_decref(bring->pending);
    free(bring);
}

const char *fs_kube_bring_text(const struct fs_kube_bring *bring)
{
    return bring->text;
}
