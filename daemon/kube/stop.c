/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   LIST   the workloads of each namespace that has one of the claims
 *   LOOK   at each VM's instance: one that is being migrated is not stopped
 *   PATCH  each that runs: halted, with the annotation; one that changed meanwhile is read again
 *   GONE   until the instances and pods are gone; past the time VMs are switched off, or it failed
 *
 * The undo goes from LIST to PATCH. Whatever may go better again is tried again for a while.
 */
#include "daemon/kube/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/run.h"
#include "farshore/buf.h"
#include "farshore/clock.h"

#define PATIENCE_NS (60 * FS_SEC) /* with an API that does not answer, or answers 5xx */
#define RETRY_NS    (2 * FS_SEC)
#define POLL_NS     (1 * FS_SEC)
#define FORCED_NS   (60 * FS_SEC) /* for a VM to be switched off, and to be gone then */

enum phase { LIST, LOOK, PATCH, GONE, OVER };

static const struct {
    const char *api, *version, *kind, *plural;
} kinds[] = {
    {"/apis/kubevirt.io/v1", "kubevirt.io/v1", "VirtualMachine", "virtualmachines"},
    {"/apis/apps/v1", "apps/v1", "Deployment", "deployments"},
    {"/apis/apps/v1", "apps/v1", "StatefulSet", "statefulsets"},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct fs_kube_stop {
    struct fs_kube_stop_options options;
    bool undo;
    json_t *claims;
    json_t *namespaces; /* [NAME, ...], each once */
    json_t *workloads;  /* the objects as they were read last */
    json_t *running;    /* [BOOL, ...]: a machine of those has an instance */
    json_t *report;
    enum phase phase;
    size_t at, kind; /* in namespaces and kinds; at alone: in workloads */
    bool switched_off, again;
    int64_t trouble_ns, gone_ns; /* boot: since when; 0: none. Until when it waits */
    int64_t off_ns;              /* boot: until when it tries to switch the VM off; 0: not yet */
    struct fs_kube_api_call *call;
    struct event *timer;
    char text[FS_KUBE_TITLE_SIZE + 64];
};

static void step(struct fs_kube_stop *stop);

static int64_t now_boot(void)
{
    return fs_clock_boot(fs_clock_system());
}

static void later(struct fs_kube_stop *stop, int64_t ns)
{
    const struct timeval timeout = {.tv_sec = ns / FS_SEC, .tv_usec = ns % FS_SEC / 1000};

    (void)evtimer_add(stop->timer, &timeout);
}

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    step(arg);
}

void fs_kube_stop_free(struct fs_kube_stop *stop)
{
    if (!stop) {
        return;
    }
    fs_kube_api_cancel(stop->call);
    if (stop->timer) {
        event_free(stop->timer);
    }
    json_decref(stop->claims);
    json_decref(stop->namespaces);
    json_decref(stop->workloads);
    json_decref(stop->running);
    json_decref(stop->report);
    free(stop);
}

const char *fs_kube_stop_text(const struct fs_kube_stop *stop)
{
    return stop->text;
}

static void finish(struct fs_kube_stop *stop, const struct fs_error *err)
{
    fs_kube_stop_fn *done = stop->options.done;
    void *arg = stop->options.arg;
    struct fs_error told = err ? *err : FS_ERROR_INIT;
    json_t *report = json_incref(stop->report);

    fs_kube_stop_free(stop);
    done(arg, report, err ? &told : NULL);
    json_decref(report);
}

/* True: it is tried again soon. */
static bool is_patient(struct fs_kube_stop *stop, const struct fs_error *err)
{
    int64_t now = now_boot();

    if (err->class != FS_ERR_TRANSIENT) {
        return false;
    }
    if (stop->trouble_ns == 0) {
        stop->trouble_ns = now;
    }
    if (now - stop->trouble_ns > PATIENCE_NS) {
        return false;
    }
    later(stop, RETRY_NS);
    return true;
}

static void failed(struct fs_kube_stop *stop, const struct fs_error *err)
{
    if (!is_patient(stop, err)) {
        finish(stop, err);
    }
}

static json_t *current(const struct fs_kube_stop *stop)
{
    return json_array_get(stop->workloads, stop->at);
}

static void note(struct fs_kube_stop *stop, const char *outcome)
{
    char title[FS_KUBE_TITLE_SIZE];

    (void)json_array_append_new(
        stop->report,
        json_pack("{s:s, s:s}", "object", fs_kube_title(current(stop), title), "outcome", outcome));
}

static void say(struct fs_kube_stop *stop, const char *before, const char *after)
{
    char title[FS_KUBE_TITLE_SIZE];

    (void)snprintf(stop->text, sizeof(stop->text), "%s%s%s", before,
                   fs_kube_title(current(stop), title), after);
}

static void ask(struct fs_kube_stop *stop, const char *method, const char *path, const json_t *body,
                const char *type, fs_kube_api_fn *done)
{
    const struct fs_kube_api_request request = {.method = method,
                                                .path = path,
                                                .body = body,
                                                .content_type = type,
                                                .done = done,
                                                .arg = stop};

    stop->call = fs_kube_api_start(stop->options.api, &request);
    if (!stop->call) {
        later(stop, RETRY_NS);
    }
}

/* Of the workload that it is at: its own path, its instance's, or a subresource of KubeVirt's. */
static void ask_of(struct fs_kube_stop *stop, const char *method, const char *api,
                   const char *plural, const char *rest, const json_t *body, fs_kube_api_fn *done)
{
    const json_t *metadata = json_object_get(current(stop), "metadata");
    char *ns = fs_kube_escape(fs_kube_text(metadata, "namespace"));
    char *name = fs_kube_escape(fs_kube_text(metadata, "name"));
    struct fs_buf path = FS_BUF_INIT;

    fs_buf_printf(&path, "%s/namespaces/%s/%s/%s%s", api, ns ? ns : "", plural, name ? name : "",
                  rest);
    if (path.failed || !ns || !name) {
        later(stop, RETRY_NS);
    } else {
        ask(stop, method, (const char *)path.data, body,
            strcmp(method, "PATCH") == 0 ? FS_KUBE_MERGE_PATCH : NULL, done);
    }
    fs_buf_fini(&path);
    free(ns);
    free(name);
}

static size_t kind_of(const json_t *object)
{
    size_t i = 0;

    while (i + 1 < N_KINDS && strcmp(kinds[i].kind, fs_kube_text(object, "kind")) != 0) {
        i++;
    }
    return i;
}

static void ask_object(struct fs_kube_stop *stop, const char *method, const char *rest,
                       const json_t *body, fs_kube_api_fn *done)
{
    size_t kind = kind_of(current(stop));

    ask_of(stop, method, kinds[kind].api, kinds[kind].plural, rest, body, done);
}

static void ask_instance(struct fs_kube_stop *stop, fs_kube_api_fn *done)
{
    ask_of(stop, "GET", "/apis/kubevirt.io/v1", "virtualmachineinstances", "", NULL, done);
}

static void enter(struct fs_kube_stop *stop, enum phase phase)
{
    stop->phase = phase;
    stop->at = 0;
    step(stop);
}

static void go_on(struct fs_kube_stop *stop)
{
    stop->trouble_ns = 0;
    stop->at++;
    step(stop);
}

/* --- which ----------------------------------------------------------------------------------- */

static bool uses_one(const struct fs_kube_stop *stop, const json_t *object, const char *ns)
{
    const json_t *claim;
    size_t i, length = strlen(ns);

    json_array_foreach(stop->claims, i, claim)
    {
        const char *text = json_string_value(claim);
        if (strncmp(text, ns, length) == 0 && text[length] == '/' &&
            fs_kube_uses_claim(object, text + length + 1)) {
            return true;
        }
    }
    return false;
}

/* The elements of a list do not say what they are. */
static void keep_users(struct fs_kube_stop *stop, const json_t *answer, const char *ns)
{
    json_t *object;
    size_t i;

    json_array_foreach(json_object_get(answer, "items"), i, object)
    {
        (void)json_object_set_new(object, "apiVersion", json_string(kinds[stop->kind].version));
        (void)json_object_set_new(object, "kind", json_string(kinds[stop->kind].kind));
        if (json_is_object(object) && uses_one(stop, object, ns)) {
            (void)json_array_append(stop->workloads, object);
        }
    }
}

static void listed(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;

    stop->call = NULL;
    if (err && status != 404) { /* without KubeVirt there are no such objects */
        failed(stop, err);
        return;
    }
    if (!err) {
        keep_users(stop, answer, json_string_value(json_array_get(stop->namespaces, stop->at)));
    }
    stop->trouble_ns = 0;
    if (++stop->kind == N_KINDS) {
        stop->kind = 0;
        stop->at++;
    }
    step(stop);
}

static void list(struct fs_kube_stop *stop)
{
    const json_t *ns = json_array_get(stop->namespaces, stop->at);

    if (!ns) {
        enter(stop, stop->undo ? PATCH : LOOK);
        return;
    }
    char *escaped = fs_kube_escape(json_string_value(ns));
    struct fs_buf path = FS_BUF_INIT;
    (void)snprintf(stop->text, sizeof(stop->text),
                   "asking the Kubernetes API what uses the "
                   "volumes");
    fs_buf_printf(&path, "%s/namespaces/%s/%s", kinds[stop->kind].api, escaped ? escaped : "",
                  kinds[stop->kind].plural);
    if (path.failed || !escaped) {
        later(stop, RETRY_NS);
    } else {
        ask(stop, "GET", (const char *)path.data, NULL, NULL, listed);
    }
    fs_buf_fini(&path);
    free(escaped);
}

/* --- may it be stopped ----------------------------------------------------------------------- */

static void looked(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;
    struct fs_error own = FS_ERROR_INIT;
    char title[FS_KUBE_TITLE_SIZE];

    stop->call = NULL;
    if (err && status != 404) {
        failed(stop, err);
        return;
    }
    if (!err && fs_kube_is_migrating(answer)) {
        (void)fs_error_set(&own, FS_ERR_PERMANENT, EBUSY,
                           "%s is being live-migrated: try again when that is over; nothing was "
                           "stopped",
                           fs_kube_title(current(stop), title));
        finish(stop, &own);
        return;
    }
    (void)json_array_append_new(stop->running, json_boolean(!err));
    go_on(stop);
}

static void look(struct fs_kube_stop *stop)
{
    if (!current(stop)) {
        enter(stop, PATCH);
    } else if (fs_kube_is_vm(current(stop))) {
        ask_instance(stop, looked);
    } else {
        (void)json_array_append_new(stop->running, json_false());
        go_on(stop);
    }
}

/* --- the patches ----------------------------------------------------------------------------- */

static void reread(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;

    stop->call = NULL;
    if (status == 404) {
        go_on(stop); /* it is gone: that is as good */
        return;
    }
    if (err) {
        failed(stop, err);
        return;
    }
    stop->again = false;
    (void)json_array_set(stop->workloads, stop->at, answer);
    step(stop);
}

static void called(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;

    (void)answer;
    stop->call = NULL;
    if (err && status != 404 && status != 409) { /* 409: it runs already */
        failed(stop, err);
        return;
    }
    note(stop, "started");
    go_on(stop);
}

/* A machine that KubeVirt starts only when it is told. True: it was. */
static bool call_start(struct fs_kube_stop *stop)
{
    json_t *run = fs_kube_run(current(stop)), *body = json_object();
    bool by_hand = stop->undo && fs_kube_run_is_by_hand(run);

    if (by_hand) {
        ask_of(stop, "PUT", FS_KUBE_SUBRESOURCES, "virtualmachines", "/start", body, called);
    }
    json_decref(run);
    json_decref(body);
    return by_hand;
}

static void patched(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;

    stop->call = NULL;
    if (status == 409) { /* somebody else changed it since it was read */
        stop->again = true;
        later(stop, POLL_NS);
        return;
    }
    if (err && status != 404) {
        failed(stop, err);
        return;
    }
    if (!err && call_start(stop)) {
        return;
    }
    if (!err) {
        note(stop, stop->undo ? "started" : "stopped");
        (void)json_array_set(stop->workloads, stop->at, answer);
    }
    go_on(stop);
}

/* NULL: nothing is to be done. */
static json_t *patch_of(const struct fs_kube_stop *stop)
{
    const json_t *object = current(stop);
    const json_t *annotations = json_object_get(json_object_get(object, "metadata"), "annotations");

    if (!stop->undo) {
        return fs_kube_stop_patch(object, json_is_true(json_array_get(stop->running, stop->at)));
    }
    if (!json_object_get(annotations, FS_KUBE_RUN_ANNOTATION)) {
        return NULL;
    }
    json_t *run = fs_kube_run(object), *patch = fs_kube_start_patch(run);
    json_decref(run);
    return patch;
}

static void patch(struct fs_kube_stop *stop)
{
    if (!current(stop)) {
        if (stop->undo) {
            finish(stop, NULL);
            return;
        }
        stop->gone_ns = now_boot() + stop->options.timeout_ns;
        enter(stop, GONE);
        return;
    }
    if (stop->again) {
        ask_object(stop, "GET", "", NULL, reread);
        return;
    }
    json_t *body = patch_of(stop);
    if (!body) {
        if (!stop->undo) {
            note(stop, "already");
        }
        go_on(stop);
        return;
    }
    say(stop, stop->undo ? "starting " : "stopping ", "");
    ask_object(stop, "PATCH", "?fieldManager=" FS_KUBE_MANAGER, body, patched);
    json_decref(body);
}

/* --- until they are gone --------------------------------------------------------------------- */

static void switched_off(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;
    struct fs_error own = FS_ERROR_INIT;
    char title[FS_KUBE_TITLE_SIZE];

    (void)answer;
    stop->call = NULL;
    if (err && status != 404 && status != 409) { /* those: it goes already, which is looked at */
        (void)fs_error_set(&own, err->class, err->code,
                           "%s did not stop within %.0f s, and could not be switched off: %.300s",
                           fs_kube_title(current(stop), title),
                           (double)stop->options.timeout_ns / (double)FS_SEC, err->message);
        if (err->class != FS_ERR_TRANSIENT || now_boot() >= stop->off_ns) {
            finish(stop, &own);
        } else {
            later(stop, RETRY_NS);
        }
        return;
    }
    stop->switched_off = true;
    stop->gone_ns = now_boot() + FORCED_NS;
    later(stop, POLL_NS);
}

/* KubeVirt lets a halted VM be stopped again, with a shorter time than it has. */
static void switch_off(struct fs_kube_stop *stop)
{
    json_t *body = json_pack("{s:i}", "gracePeriod", 0);

    if (stop->off_ns == 0) {
        stop->off_ns = now_boot() + FORCED_NS;
    }
    say(stop, "switching ", " off");
    ask_of(stop, "PUT", FS_KUBE_SUBRESOURCES, "virtualmachines", "/stop", body, switched_off);
    json_decref(body);
}

static void still_there(struct fs_kube_stop *stop, const json_t *instance)
{
    bool is_vm = fs_kube_is_vm(current(stop));
    struct fs_error err = FS_ERROR_INIT;
    char title[FS_KUBE_TITLE_SIZE];

    say(stop, "waiting for ", " to stop");
    if (now_boot() < stop->gone_ns) {
        later(stop, POLL_NS);
    } else if (stop->options.force && !stop->switched_off && is_vm) {
        switch_off(stop);
    } else {
        (void)fs_error_set(&err, FS_ERR_PERMANENT, ETIMEDOUT, "%s did not stop within %.0f s%s",
                           fs_kube_title(current(stop), title),
                           (double)stop->options.timeout_ns / (double)FS_SEC,
                           stop->switched_off ? ", and not when it was switched off"
                           : is_vm && !fs_kube_has_agent(instance)
                               ? "; it has no guest agent: look whether the guest follows its "
                                 "power button"
                               : "");
        finish(stop, &err);
    }
}

/* An API server that has just come back refuses everybody until it has read its roles: asked again
 * like one that is away. Whoever really may not read was told so before anything was stopped. */
static void watched(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_stop *stop = arg;
    const json_t *replicas = json_object_get(json_object_get(answer, "status"), "replicas");
    bool is_vm = fs_kube_is_vm(current(stop));

    stop->call = NULL;
    if (err && status != 404) {
        struct fs_error told = *err;
        if (status == 403) {
            told.class = FS_ERR_TRANSIENT;
        }
        failed(stop, &told);
    } else if (status == 404 || (!is_vm && json_integer_value(replicas) == 0)) {
        stop->switched_off = false;
        stop->off_ns = 0;
        go_on(stop);
    } else {
        stop->trouble_ns = 0;
        still_there(stop, answer);
    }
}

static void await_gone(struct fs_kube_stop *stop)
{
    if (!current(stop)) {
        stop->phase = OVER;
        finish(stop, NULL);
    } else if (fs_kube_is_vm(current(stop))) {
        ask_instance(stop, watched);
    } else {
        ask_object(stop, "GET", "", NULL, watched);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

static void step(struct fs_kube_stop *stop)
{
    switch (stop->phase) {
    case LIST:
        list(stop);
        break;
    case LOOK:
        look(stop);
        break;
    case PATCH:
        patch(stop);
        break;
    case GONE:
        await_gone(stop);
        break;
    case OVER:
        break;
    }
}

/* The namespaces of the claims, each once. */
static json_t *namespaces_of(const json_t *claims)
{
    json_t *seen = json_object(), *list = json_array();
    const json_t *claim;
    const char *ns;
    json_t *value;
    size_t i;

    json_array_foreach((json_t *)claims, i, claim)
    {
        const char *text = json_string_value(claim);
        (void)json_object_setn_new(seen, text, strcspn(text, "/"), json_true());
    }
    json_object_foreach(seen, ns, value)
    {
        (void)json_array_append_new(list, json_string(ns));
    }
    json_decref(seen);
    return list;
}

static struct fs_kube_stop *start(const struct fs_kube_stop_options *options, bool undo)
{
    struct fs_kube_stop *stop = calloc(1, sizeof(*stop));

    if (!stop) {
        return NULL;
    }
    stop->options = *options;
    stop->undo = undo;
    stop->claims = json_incref((json_t *)options->claims);
    stop->namespaces = namespaces_of(options->claims);
    stop->workloads = json_array();
    stop->running = json_array();
    stop->report = json_array();
    stop->timer = evtimer_new(options->base, timer_cb, stop);
    if (!stop->namespaces || !stop->workloads || !stop->running || !stop->report || !stop->timer) {
        fs_kube_stop_free(stop);
        return NULL;
    }
    later(stop, 0);
    return stop;
}

struct fs_kube_stop *fs_kube_stop_start(const struct fs_kube_stop_options *options)
{
    return start(options, false);
}

struct fs_kube_stop *fs_kube_stop_undo(const struct fs_kube_stop_options *options)
{
    return start(options, true);
}
