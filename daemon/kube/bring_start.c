/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps: the workloads are started, and the machines of them run. */
#include <stdio.h>
#include <string.h>

#include "daemon/kube/bring_private.h"

#define POLL_NS (1 * FS_SEC)

static int64_t now_boot(void)
{
    return fs_clock_boot(fs_clock_system());
}

/* A PVC of the group that the workload uses and that is not as it must be. */
static const struct item *missing_claim(const struct fs_kube_bring *bring, const struct item *of)
{
    const char *ns = fs_kube_text(json_object_get(of->object, "metadata"), "namespace");

    for (size_t i = 0; i < bring->n_items; i++) {
        const struct item *item = &bring->items[i];
        const char *claim = fs_kube_text(item->volume, "claim");
        if (item->volume && fs_bring_is_bad(item) &&
            strcmp(fs_kube_text(item->volume, "namespace"), ns) == 0 &&
            fs_kube_uses_claim(of->object, claim)) {
            return item;
        }
    }
    return NULL;
}

static bool is_annotated(const json_t *live)
{
    return json_object_get(json_object_get(json_object_get(live, "metadata"), "annotations"),
                           FS_KUBE_RUN_ANNOTATION);
}

/* A run that nobody asked for leaves alone what was up before: somebody may have stopped it. */
bool fs_bring_is_to_start(const struct fs_kube_bring *bring, const struct item *item)
{
    json_t *run = fs_bring_is_bad(item) || strcmp(item->outcome, "left_out") == 0
                      ? NULL
                      : fs_kube_run(item->object);
    bool is_workload = run != NULL;

    json_decref(run);
    return is_workload && (!bring->options.again || is_annotated(item->live));
}

static void started(void *arg, int status, json_t *answer, const struct fs_error *err);

/* A machine that KubeVirt starts only when it is told. */
static void call_start(struct fs_kube_bring *bring, struct item *item)
{
    const json_t *metadata = json_object_get(item->object, "metadata");
    json_t *body = json_object();
    struct fs_buf path = FS_BUF_INIT;

    item->called = true;
    fs_buf_printf(&path, FS_KUBE_SUBRESOURCES "/namespaces");
    fs_bring_put_name(&path, fs_kube_text(metadata, "namespace"));
    fs_buf_printf(&path, "/virtualmachines");
    fs_bring_put_name(&path, fs_kube_text(metadata, "name"));
    fs_buf_printf(&path, "/start");
    fs_buf_put_u8(&path, 0);
    if (path.failed) {
        fs_bring_later(bring, FS_BRING_RETRY_NS);
    } else {
        fs_bring_ask(bring, "PUT", (const char *)path.data, body, NULL, started);
    }
    fs_buf_fini(&path);
    json_decref(body);
}

static void started(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    struct item *item = fs_bring_current(bring);
    json_t *run = fs_kube_run(item->object);
    bool halted = fs_kube_run_is_halted(run), calls = fs_kube_run_is_by_hand(run);

    (void)answer;
    json_decref(run);
    bring->call = NULL;
    if (err && !(item->called && status == 409)) { /* it runs already */
        if (fs_bring_waits(bring, status, err)) {
            return;
        }
        item->again = true;
        fs_bring_set_outcome(item, fs_bring_outcome_of(status, err), err->message);
    } else if (calls && !item->called) {
        call_start(bring, item);
        return;
    } else {
        bring->trouble_ns = 0;
        fs_bring_set_outcome(item, halted ? "halted" : "started", "");
    }
    bring->at++;
    fs_bring_step(bring);
}

/* To what the workload is patched; NULL: it is as it is to be. Where it was halted at the other
 * site, what it ran like here before is over. */
static json_t *patch_of(const struct item *item, const json_t *run)
{
    json_t *now = fs_kube_run_now(item->live), *patch = NULL;

    if (!fs_kube_run_is_halted(run)) {
        patch = json_equal(now, run) ? NULL : fs_kube_start_patch(run);
    } else if (is_annotated(item->live) && fs_kube_run_is_halted(now)) {
        patch = fs_kube_start_patch(now);
    }
    json_decref(now);
    return patch;
}

/* True: it is asked for. */
static bool start_one(struct fs_kube_bring *bring, struct item *item)
{
    const struct item *missing = missing_claim(bring, item);
    char message[400], title[FS_KUBE_TITLE_SIZE];

    if (missing) {
        (void)snprintf(message, sizeof(message), "its %.300s is not bound",
                       fs_kube_title(missing->object, title));
        item->again = true;
        fs_bring_set_outcome(item, "not_started", message);
        return false;
    }
    json_t *run = fs_kube_run(item->object), *patch = patch_of(item, run);
    item->called = false;
    if (patch) {
        fs_bring_say(bring, "starting ", "");
        fs_bring_ask_object(bring, "PATCH", item->object, NULL, "?fieldManager=" FS_KUBE_MANAGER,
                            patch, FS_KUBE_MERGE_PATCH, started);
    } else {
        fs_bring_set_outcome(item, fs_kube_run_is_halted(run) ? "halted" : "started", "");
    }
    json_decref(run);
    json_decref(patch);
    return patch != NULL;
}

void fs_bring_start_workloads(struct fs_kube_bring *bring)
{
    struct item *item;

    for (; (item = fs_bring_current(bring)) != NULL; bring->at++) {
        if (fs_bring_is_to_start(bring, item) && start_one(bring, item)) {
            return;
        }
    }
    bring->at = 0;
    bring->come_ns = now_boot() + bring->options.start_ns;
    fs_bring_enter(bring, bring->options.again ? OVER : COME);
}

static void came(void *arg, int status, json_t *answer, const struct fs_error *err)
{
    struct fs_kube_bring *bring = arg;
    struct item *item = fs_bring_current(bring);
    const char *phase = fs_kube_text(json_object_get(answer, "status"), "phase");
    char message[400];

    (void)status;
    bring->call = NULL;
    if (!err && strcmp(phase, "Running") == 0) {
        bring->at++;
        fs_bring_step(bring);
    } else if (now_boot() < bring->come_ns) {
        fs_bring_say(bring, "waiting for ", " to run");
        fs_bring_later(bring, POLL_NS);
    } else {
        (void)snprintf(message, sizeof(message), "it was started, and does not run yet: %.300s",
                       err      ? err->message
                       : *phase ? phase
                                : "its instance has no phase yet");
        fs_bring_set_outcome(item, "not_running", message);
        bring->at++;
        fs_bring_step(bring);
    }
}

void fs_bring_await_machines(struct fs_kube_bring *bring)
{
    const struct item *item;

    while ((item = fs_bring_current(bring)) != NULL &&
           !(fs_kube_is_vm(item->object) && strcmp(item->outcome, "started") == 0)) {
        bring->at++;
    }
    if (!item) {
        fs_bring_enter(bring, OVER);
        return;
    }
    fs_bring_ask_object(bring, "GET", item->object, "virtualmachineinstances", "", NULL, NULL,
                        came);
}
