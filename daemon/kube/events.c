/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/kinds.h"
#include "daemon/kube/run.h"
#include "daemon/kube/strip.h"
#include "farshore/clock.h"

#define WAITING_MAX      512 /* Events, and as many notes */
#define PATIENCE_NS      (120 * FS_SEC)
#define CALL_NS          (10 * FS_SEC)
#define PACE_NS          (50 * FS_MSEC) /* after each: twenty objects a second at most */
#define RETRY_FIRST_NS   (1 * FS_SEC)
#define RETRY_LONGEST_NS (15 * FS_SEC)
#define REFUSED_NS       (60 * FS_SEC) /* before what was forbidden is tried again */
#define REFUSALS         3             /* that may be for a moment only */
#define NAME_SIZE        256

/* What an API may forbid one by one. */
enum step { STEP_LOOK, STEP_SAY, STEP_NOTE, STEPS };

struct item {
    struct item *next;
    enum fs_kube_subject_kind kind;
    char ns[NAME_SIZE], name[NAME_SIZE];
    int64_t since_ns; /* boot */
    unsigned refusals;
    /* A note: */
    int64_t taken_ns;
    /* An Event: */
    struct fs_kube_event event;
    char *message, *site; /* owned; of the event */
    json_t *object;       /* owned; NULL: not looked at yet */
};

struct queue {
    struct item *first, **end;
    size_t count;
};

struct fs_kube_events {
    struct fs_kube_events_options options;
    struct event *timer;
    struct fs_kube_api_call *call;
    struct queue says, notes;      /* owned; the first of one of them is being worked on */
    struct item *item;             /* that one, or NULL */
    struct queue *of;              /* where it is */
    enum step step;                /* that call is for */
    char name[FS_KUBE_EVENT_NAME]; /* of the Event that is being made */
    unsigned failures;             /* in a row */
    bool unwell;                   /* that was told */
    /* Boot: what was forbidden is not tried before; 0: it was not. */
    int64_t refused_ns[STEPS][FS_KUBE_SUBJECT_KINDS];
    struct fs_kube_events_made made;
};

static const char *const kinds[] = {
    [FS_KUBE_SUBJECT_CLAIM] = "PersistentVolumeClaim",
    [FS_KUBE_SUBJECT_VM] = "VirtualMachine",
};

static int64_t now_boot(void)
{
    return fs_clock_boot(fs_clock_system());
}

/* --- the queues ------------------------------------------------------------------------------- */

static void free_item(struct item *item)
{
    json_decref(item->object);
    free(item->message);
    free(item->site);
    free(item);
}

static void put(struct queue *queue, struct item *item)
{
    item->next = NULL;
    *(queue->first ? queue->end : &queue->first) = item;
    queue->end = &item->next;
    queue->count++;
}

static void drop_first(struct queue *queue)
{
    struct item *item = queue->first;

    queue->first = item->next;
    queue->count--;
    free_item(item);
}

static void go_on_in(struct fs_kube_events *events, int64_t wait_ns)
{
    const struct timeval wait = {.tv_sec = wait_ns / FS_SEC, .tv_usec = wait_ns % FS_SEC / 1000};

    (void)evtimer_add(events->timer, &wait);
}

/* NULL: the object cannot be one of the API's. */
static struct item *new_item(const struct fs_kube_subject *subject)
{
    struct item *item = NULL;

    if (fs_kube_name_valid(subject->ns) && fs_kube_name_valid(subject->name)) {
        item = calloc(1, sizeof(*item));
    }
    if (item) {
        item->kind = subject->kind;
        item->since_ns = now_boot();
        (void)snprintf(item->ns, sizeof(item->ns), "%.255s", subject->ns);
        (void)snprintf(item->name, sizeof(item->name), "%.255s", subject->name);
    }
    return item;
}

static void begin(struct fs_kube_events *events, struct queue *queue, struct item *item)
{
    put(queue, item);
    if (!events->item && !evtimer_pending(events->timer, NULL)) {
        go_on_in(events, 0);
    }
}

/* --- what comes of one ------------------------------------------------------------------------ */

static void tell_unwell(struct fs_kube_events *events, const struct fs_error *err)
{
    if (!events->unwell) {
        events->unwell = true;
        events->options.trouble(events->options.arg, err);
    }
}

static void finish(struct fs_kube_events *events, bool lost)
{
    events->item = NULL;
    drop_first(events->of);
    go_on_in(events, PACE_NS);
    if (lost) {
        events->options.lost(events->options.arg);
    }
}

static bool is_any_refused(const struct fs_kube_events *events)
{
    for (unsigned i = 0; i < STEPS * FS_KUBE_SUBJECT_KINDS; i++) {
        if (events->refused_ns[i / FS_KUBE_SUBJECT_KINDS][i % FS_KUBE_SUBJECT_KINDS] > 0) {
            return true;
        }
    }
    return false;
}

/* As long as something is forbidden that was told, whatever else goes well. */
static void went_well(struct fs_kube_events *events)
{
    events->failures = 0;
    events->refused_ns[events->step][events->item->kind] = 0;
    events->unwell = is_any_refused(events);
}

static void failed(struct fs_kube_events *events, const struct fs_error *err)
{
    int64_t wait = RETRY_FIRST_NS;

    /* An API server that starts refuses everybody for a moment. */
    bool maybe = err->code == EACCES && events->item->refusals++ < REFUSALS;
    if (!maybe) {
        tell_unwell(events, err);
    }
    if (err->code == EACCES && !maybe) {
        events->refused_ns[events->step][events->item->kind] = now_boot() + REFUSED_NS;
    }
    if (err->class == FS_ERR_PERMANENT && !maybe) {
        finish(events, true);
        return;
    }
    unsigned doubled = maybe ? events->item->refusals : events->failures;
    for (unsigned i = 0; i < doubled && wait < RETRY_LONGEST_NS; i++) {
        wait *= 2;
    }
    events->failures++;
    json_decref(events->item->object);
    events->item->object = NULL;
    events->item = NULL; /* it stays the first of its queue */
    go_on_in(events, wait < RETRY_LONGEST_NS ? wait : RETRY_LONGEST_NS);
}

static void ask(struct fs_kube_events *events, enum step step, const char *method, const char *path,
                json_t *body, fs_kube_api_fn *done)
{
    const struct fs_kube_api_request request = {
        .method = method,
        .path = path,
        .body = body,
        .content_type = strcmp(method, "PATCH") == 0 ? FS_KUBE_MERGE_PATCH : NULL,
        .timeout_ns = CALL_NS,
        .done = done,
        .arg = events,
    };
    struct fs_error err = FS_ERROR_INIT;

    events->step = step;
    bool good = body || strcmp(method, "GET") == 0;
    events->call = good ? fs_kube_api_start(events->options.api, &request) : NULL;
    json_decref(body);
    if (!events->call) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        failed(events, &err);
    }
}

/* --- Events ----------------------------------------------------------------------------------- */

static void say(struct fs_kube_events *events);

static const char *uid_of(const struct item *item)
{
    return fs_kube_text(json_object_get(item->object, "metadata"), "uid");
}

/* That is no right that we lack: the namespace is being deleted, with all that is in it. */
static bool is_of_ending_namespace(const json_t *answer)
{
    const json_t *causes = json_object_get(json_object_get(answer, "details"), "causes"), *cause;
    size_t i;

    json_array_foreach((json_t *)causes, i, cause)
    {
        if (strcmp(fs_kube_text(cause, "reason"), "NamespaceTerminating") == 0) {
            return true;
        }
    }
    return false;
}

static void said(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_events *events = arg;
    const struct item *item = events->item;
    struct fs_kube_made *made = fs_kube_made_find(&events->made, uid_of(item), item->event.reason);

    (void)status;
    events->call = NULL;
    if (err && made && err->code == ENOENT) { /* it was too long ago */
        fs_kube_made_forget(&events->made, made);
        say(events);
        return;
    }
    if (err && is_of_ending_namespace(answer)) {
        finish(events, false);
        return;
    }
    if (err) {
        failed(events, err);
        return;
    }
    if (made) {
        fs_kube_made_again(&events->made, made);
    } else {
        fs_kube_made_add(&events->made, uid_of(item), item->event.reason, events->name);
    }
    went_well(events);
    finish(events, false);
}

static void say(struct fs_kube_events *events)
{
    const struct item *item = events->item;
    const struct fs_kube_made *made =
        fs_kube_made_find(&events->made, uid_of(item), item->event.reason);
    char path[FS_KUBE_PATH_SIZE + FS_KUBE_EVENT_NAME];
    int n = snprintf(path, sizeof(path), "/api/v1/namespaces/%s/events", item->ns);

    if (made) {
        (void)snprintf(path + n, sizeof(path) - (size_t)n, "/%s?fieldManager=" FS_KUBE_MANAGER,
                       made->name);
        ask(events, STEP_SAY, "PATCH", path, fs_kube_event_again(&item->event, made->count + 1),
            said);
        return;
    }
    (void)snprintf(path + n, sizeof(path) - (size_t)n, "?fieldManager=" FS_KUBE_MANAGER);
    fs_kube_made_name(&events->made, item->name, item->event.happened_ns, events->name);
    ask(events, STEP_SAY, "POST", path,
        fs_kube_event_make(item->object, &item->event, events->name), said);
}

/* Its uid tells `kubectl describe` that an Event is about it, and not one before of that name. */
static void looked(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_events *events = arg;

    (void)status;
    events->call = NULL;
    if (err && err->code == ENOENT) {
        finish(events, false);
    } else if (err) {
        failed(events, err);
    } else {
        went_well(events);
        events->item->object = json_incref(answer);
        say(events);
    }
}

bool fs_kube_events_can_say(const struct fs_kube_events *events, size_t n)
{
    return events->says.count + n <= WAITING_MAX;
}

void fs_kube_events_say(struct fs_kube_events *events, const struct fs_kube_subject *subject,
                        const struct fs_kube_event *event)
{
    struct item *item = new_item(subject);

    if (!item) {
        return;
    }
    item->event = *event;
    item->event.message = item->message = strdup(event->message);
    item->event.site = item->site = strdup(event->site);
    if (!item->message || !item->site) {
        free_item(item);
        return;
    }
    begin(events, &events->says, item);
}

/* --- notes ------------------------------------------------------------------------------------ */

static void noted(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_events *events = arg;

    (void)status;
    (void)answer;
    events->call = NULL;
    if (err && err->code != ENOENT) {
        failed(events, err);
        return;
    }
    went_well(events);
    finish(events, false);
}

/* Of metadata only: the object's own controllers have nothing to do for it. */
static void note(struct fs_kube_events *events)
{
    const struct item *item = events->item;
    char path[FS_KUBE_PATH_SIZE + 64], object[FS_KUBE_PATH_SIZE], text[FS_KUBE_TIME_SIZE];
    json_t *value =
        item->taken_ns == INT64_MIN ? json_null() : json_string(fs_kube_time(item->taken_ns, text));

    (void)snprintf(path, sizeof(path), "%s?fieldManager=" FS_KUBE_POINT_MANAGER,
                   fs_kube_object_path(kinds[item->kind], item->ns, item->name, object));
    ask(events, STEP_NOTE, "PATCH", path,
        json_pack("{s:{s:{s:o}}}", "metadata", "annotations", FS_KUBE_POINT_ANNOTATION, value),
        noted);
}

bool fs_kube_events_can_note(const struct fs_kube_events *events, size_t n)
{
    return events->notes.count + n <= WAITING_MAX;
}

void fs_kube_events_note(struct fs_kube_events *events, const struct fs_kube_subject *subject,
                         int64_t taken_ns)
{
    struct item *item = new_item(subject);

    if (item) {
        item->taken_ns = taken_ns;
        begin(events, &events->notes, item);
    }
}

/* --- one after the other ---------------------------------------------------------------------- */

static bool is_refused(const struct fs_kube_events *events, enum step step)
{
    return now_boot() < events->refused_ns[step][events->item->kind];
}

static void next_cb(evutil_socket_t fd, short what, void *arg)
{
    struct fs_kube_events *events = arg;
    char path[FS_KUBE_PATH_SIZE];

    (void)fd;
    (void)what;
    events->of = events->says.first ? &events->says : &events->notes;
    events->item = events->of->first;
    if (!events->item) {
        return;
    }
    bool is_note = events->of == &events->notes;
    bool late = now_boot() - events->item->since_ns > PATIENCE_NS;
    if (late || (is_note ? is_refused(events, STEP_NOTE)
                         : is_refused(events, STEP_LOOK) || is_refused(events, STEP_SAY))) {
        finish(events, true);
    } else if (is_note) {
        note(events);
    } else {
        const struct item *item = events->item;
        ask(events, STEP_LOOK, "GET",
            fs_kube_object_path(kinds[item->kind], item->ns, item->name, path), NULL, looked);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct fs_kube_events *fs_kube_events_new(const struct fs_kube_events_options *options)
{
    struct fs_kube_events *events = calloc(1, sizeof(*events));

    if (!events) {
        return NULL;
    }
    events->options = *options;
    events->timer = evtimer_new(options->base, next_cb, events);
    if (!events->timer) {
        free(events);
        return NULL;
    }
    return events;
}

void fs_kube_events_clear(struct fs_kube_events *events)
{
    fs_kube_api_cancel(events->call);
    events->call = NULL;
    events->item = NULL;
    (void)evtimer_del(events->timer);
    while (events->says.first) {
        drop_first(&events->says);
    }
    while (events->notes.first) {
        drop_first(&events->notes);
    }
}

void fs_kube_events_try_all(struct fs_kube_events *events)
{
    memset(events->refused_ns, 0, sizeof(events->refused_ns));
    events->unwell = false;
}

void fs_kube_events_free(struct fs_kube_events *events)
{
    if (events) {
        fs_kube_events_clear(events);
        event_free(events->timer);
        free(events);
    }
}
