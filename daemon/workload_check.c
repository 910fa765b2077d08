/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/workload_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/groups.h"
#include "daemon/kube/bring.h"
#include "daemon/kube/run.h"
#include "daemon/kube_source.h"
#include "daemon/workload_private.h"

#define PATIENCE_NS (3 * FS_SEC) /* with an API that is away: somebody waits for the plan */
#define LIMIT_S     15           /* for all of it */

struct check {
    struct fs_workloads *workloads;
    struct fs_group *group;
    struct fs_kube_bring *bring; /* NULL: not yet */
    struct event *timer;
    json_t *report;
    fs_workload_check_fn *done; /* NULL: its time was over, and only what is read ends it */
    void *arg;
    bool loading;
    struct check *next;
};

static void check_free(struct check *check)
{
    struct check **at = &check->workloads->checks;

    while (*at != check) {
        at = &(*at)->next;
    }
    *at = check->next;
    fs_kube_bring_free(check->bring);
    if (check->timer) {
        event_free(check->timer);
    }
    json_decref(check->report);
    free(check);
}

void fs_workload_checks_free(struct fs_workloads *workloads)
{
    while (workloads->checks) {
        check_free(workloads->checks);
    }
}

static void finish(struct check *check, const struct fs_error *err)
{
    fs_workload_check_fn *done = check->done;
    void *arg = check->arg;
    json_t *report = json_incref(check->report);

    check->done = NULL;
    if (!check->loading) {
        check_free(check);
    }
    if (done) {
        done(arg, report, err);
    }
    json_decref(report);
}

static void fail(struct check *check, const char *message)
{
    struct fs_error err = FS_ERROR_INIT;

    (void)fs_error_set(&err, FS_ERR_TRANSIENT, EAGAIN, "%s", message);
    finish(check, &err);
}

static void late_cb(evutil_socket_t fd, short what, void *arg)
{
    struct check *check = arg;
    char text[120];

    (void)fd;
    (void)what;
    (void)snprintf(text, sizeof(text), "%s did not answer within %d s",
                   check->loading ? "this site's cluster" : "this site's Kubernetes API", LIMIT_S);
    fail(check, text);
}

/* --- what was found --------------------------------------------------------------------------- */

/* An API that is away says the same of each object. */
static void add(json_t *report, const char *object, const char *outcome, const char *message)
{
    json_t *entry;
    size_t i;

    json_array_foreach(report, i, entry)
    {
        if (strcmp(fs_kube_text(entry, "outcome"), outcome) == 0 &&
            strcmp(fs_kube_text(entry, "message"), message) == 0) {
            json_int_t others = json_integer_value(json_object_get(entry, "others"));
            (void)json_object_set_new(entry, "others", json_integer(others + 1));
            return;
        }
    }
    (void)json_array_append_new(report, json_pack("{s:s, s:s, s:s}", "object", object, "outcome",
                                                  outcome, "message", message));
}

/* What the objects of the point refer to and it does not carry. */
static void add_missing(json_t *report, const json_t *missing)
{
    const json_t *entry;
    char object[400], message[600];
    size_t i;

    json_array_foreach((json_t *)missing, i, entry)
    {
        (void)snprintf(object, sizeof(object), "%.100s %.250s", fs_kube_text(entry, "kind"),
                       fs_kube_text(entry, "name"));
        (void)snprintf(message, sizeof(message),
                       "%.250s needs it, and the point does not carry it (%.200s): it must be "
                       "here already",
                       fs_kube_text(entry, "referred_by"), fs_kube_text(entry, "reason"));
        add(report, object, "missing", message);
    }
}

static void checked(void *arg, const json_t *report, unsigned left, unsigned pending)
{
    struct check *check = arg;
    const json_t *entry;
    size_t i;

    (void)left;
    (void)pending;
    check->bring = NULL;
    json_array_foreach((json_t *)report, i, entry)
    {
        add(check->report, fs_kube_text(entry, "object"), fs_kube_text(entry, "outcome"),
            fs_kube_text(entry, "message"));
    }
    finish(check, NULL);
}

char *fs_workload_check_text(const json_t *report, const struct fs_error *err, char *text,
                             size_t size)
{
    const json_t *entry;
    size_t i, length = 0;

    text[0] = '\0';
    json_array_foreach((json_t *)report, i, entry)
    {
        int others = (int)json_integer_value(json_object_get(entry, "others")), n = 0;
        char more[32] = "";
        if (others > 0) {
            (void)snprintf(more, sizeof(more), " and %d more", others);
        }
        n = snprintf(text + length, size - length, "%s%s%s: %s: %s", length > 0 ? "; " : "",
                     fs_kube_text(entry, "object"), more, fs_kube_text(entry, "outcome"),
                     fs_kube_text(entry, "message"));
        length += n > 0 ? (size_t)n : 0;
        if (length >= size) {
            return text;
        }
    }
    if (err) {
        (void)snprintf(text + length, size - length, "%snot looked at: %s", length > 0 ? "; " : "",
                       err->message);
    }
    return text;
}

/* --- life ------------------------------------------------------------------------------------- */

/* objects: or NULL. */
static bool start_bring(struct check *check, const json_t *objects)
{
    struct fs_context *ctx = check->group->ctx;
    struct fs_workload_parts parts;

    fs_workload_parts_of(check->group, &parts);
    const struct fs_kube_bring_options options = {
        .base = check->workloads->base,
        .api = fs_kube_source_api(ctx->kubernetes),
        .volumes = parts.volumes,
        .objects = objects,
        .classes = parts.classes,
        .kinds = parts.kinds,
        .secrets = ctx->config->kubernetes->secrets,
        .patience_ns = PATIENCE_NS,
        .done = checked,
        .arg = check,
    };

    check->bring = fs_kube_bring_check(&options);
    fs_workload_parts_fini(&parts);
    return check->bring != NULL;
}

static void loaded(void *arg, json_t *document, const struct fs_error *err)
{
    struct check *check = arg;

    check->group->ctx->groups->noting--;
    check->loading = false;
    if (!check->done) {
        check_free(check);
    } else if (err && fs_error_is_set(err)) {
        finish(check, err);
    } else if (!fs_workload_is_managed(check->group)) {
        fail(check, "Kubernetes is no source any more");
    } else {
        add_missing(check->report, json_object_get(document, "missing"));
        if (!start_bring(check, json_object_get(document, "objects"))) {
            fail(check, "out of memory");
        }
    }
}

static bool start(struct check *check, const struct fs_uuid *point)
{
    static const struct timeval limit = {.tv_sec = LIMIT_S};
    struct fs_error left = FS_ERROR_INIT;

    check->timer = evtimer_new(check->workloads->base, late_cb, check);
    if (!check->report || !check->timer || evtimer_add(check->timer, &limit) < 0) {
        return false;
    }
    int rc = fs_workload_load(check->group, point, loaded, check, &left);
    check->loading = rc == 0;
    return rc == 0 || (rc > 0 && start_bring(check, NULL));
}

bool fs_workload_check(struct fs_group *group, const struct fs_uuid *point,
                       fs_workload_check_fn *done, void *arg)
{
    struct fs_workloads *workloads = group->ctx->workloads;
    struct check *check = fs_workload_is_managed(group) ? calloc(1, sizeof(*check)) : NULL;

    if (!check) {
        return false;
    }
    *check = (struct check){.workloads = workloads,
                            .group = group,
                            .report = json_array(),
                            .done = done,
                            .arg = arg,
                            .next = workloads->checks};
    workloads->checks = check;
    if (!start(check, point)) {
        check_free(check);
        return false;
    }
    return true;
}
