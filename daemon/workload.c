/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/workload.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/groups.h"
#include "daemon/kube/bring.h"
#include "daemon/kube/stop.h"
#include "daemon/kube_source.h"
#include "daemon/workload_private.h"

#define PATIENCE_NS (60 * FS_SEC)

struct run {
    struct fs_workloads *workloads;
    struct fs_group *group;
    struct fs_kube_stop *stop; /* one of the two */
    struct fs_kube_bring *bring;
    json_t *report; /* of bringing up; owned, or NULL */
    bool pending;
    bool brings, again;   /* it brings up; nobody asked for it */
    struct fs_error left; /* what it left over */
    fs_workload_fn *done;
    void *arg;
    struct run *next;
};

struct fs_workloads *fs_workloads_new(struct event_base *base)
{
    struct fs_workloads *workloads = calloc(1, sizeof(*workloads));

    if (workloads) {
        workloads->base = base;
    }
    return workloads;
}

static void free_run(struct run *run)
{
    struct run **at = &run->workloads->list;

    while (*at != run) {
        at = &(*at)->next;
    }
    *at = run->next;
    json_decref(run->report);
    free(run);
}

void fs_workloads_free(struct fs_workloads *workloads)
{
    if (workloads) {
        fs_workload_checks_free(workloads);
    }
    while (workloads && workloads->list) {
        fs_kube_stop_free(workloads->list->stop);
        fs_kube_bring_free(workloads->list->bring);
        free_run(workloads->list);
    }
    free(workloads);
}

const char *fs_workload_text(const struct fs_group *group)
{
    const struct fs_workloads *workloads = group->ctx->workloads;

    for (const struct run *run = workloads ? workloads->list : NULL; run; run = run->next) {
        if (run->group == group) {
            return run->stop    ? fs_kube_stop_text(run->stop)
                   : run->bring ? fs_kube_bring_text(run->bring)
                                : "reading what the point carries";
        }
    }
    return NULL;
}

/* --- running --------------------------------------------------------------------------------- */

static void started(void *arg, const json_t *workloads, const struct fs_error *err);

static void finish(struct run *run, const json_t *report, bool pending, const struct fs_error *err)
{
    fs_workload_fn *done = run->done;
    void *arg = run->arg;

    free_run(run);
    done(arg, report, pending, err);
}

static void stopped(void *arg, const json_t *workloads, const struct fs_error *err)
{
    finish(arg, workloads, false, err);
}

static struct fs_kube_stop *make_stop(struct run *run, bool undo)
{
    const struct fs_group *group = run->group;
    const struct fs_config_policy *policy = fs_group_policy(group);
    json_t *claims = fs_workload_claims(group);
    const struct fs_kube_stop_options options = {
        .base = run->workloads->base,
        .api = fs_kube_source_api(group->ctx->kubernetes),
        .claims = claims,
        .timeout_ns = policy ? policy->stop_timeout_ns : 0,
        .force = policy && policy->stop_force,
        .done = run->report ? started : stopped,
        .arg = run,
    };
    struct fs_kube_stop *stop = undo ? fs_kube_stop_undo(&options) : fs_kube_stop_start(&options);

    json_decref(claims);
    return stop;
}

/* A reload may have removed the source meanwhile. */
static bool has_lost_source(struct run *run)
{
    if (fs_workload_is_managed(run->group)) {
        return false;
    }
    (void)fs_error_set(&run->left, FS_ERR_CONFIG, ENODEV, "Kubernetes is no source any more");
    run->pending = true;
    return true;
}

static void finish_bring_up(struct run *run)
{
    json_t *report = json_incref(run->report);
    struct fs_error err = run->left;

    finish(run, report, run->pending, fs_error_is_set(&err) ? &err : NULL);
    json_decref(report);
}

static void started(void *arg, const json_t *workloads, const struct fs_error *err)
{
    struct run *run = arg;

    run->stop = NULL;
    (void)json_array_extend(run->report, (json_t *)workloads);
    if (err) {
        run->pending = true;
        run->left = *err;
    }
    finish_bring_up(run);
}

/* The first one that is left over stands for the others. */
static void brought(void *arg, const json_t *report, unsigned left, unsigned pending)
{
    struct run *run = arg;
    const json_t *entry;
    size_t i;

    run->bring = NULL;
    run->report = json_deep_copy(report);
    run->pending = pending > 0;
    json_array_foreach((json_t *)report, i, entry)
    {
        const char *message = json_string_value(json_object_get(entry, "message"));
        const char *outcome = json_string_value(json_object_get(entry, "outcome"));
        if (left > 0 && message && *message && strcmp(outcome, "left_out") != 0) {
            (void)fs_error_set(&run->left, FS_ERR_PERMANENT, EIO,
                               "%u of %zu objects are left over: %.150s: %.250s", left,
                               json_array_size(report),
                               json_string_value(json_object_get(entry, "object")), message);
            break;
        }
    }
    /* What was stopped here once, before the group was given away. */
    run->stop = left == 0 && !has_lost_source(run) ? make_stop(run, true) : NULL;
    if (!run->stop) {
        finish_bring_up(run);
    }
}

static struct run *new_run(struct fs_group *group, fs_workload_fn *done, void *arg)
{
    struct fs_workloads *workloads = group->ctx->workloads;
    struct run *run = calloc(1, sizeof(*run));

    if (run) {
        *run = (struct run){.workloads = workloads,
                            .group = group,
                            .done = done,
                            .arg = arg,
                            .next = workloads->list};
        workloads->list = run;
    }
    return run;
}

static bool start_stop(struct fs_group *group, bool undo, fs_workload_fn *done, void *arg)
{
    struct run *run = fs_workload_is_managed(group) ? new_run(group, done, arg) : NULL;

    if (!run) {
        return false;
    }
    run->stop = make_stop(run, undo);
    if (!run->stop) {
        free_run(run);
        return false;
    }
    return true;
}

bool fs_workload_stop(struct fs_group *group, fs_workload_fn *done, void *arg)
{
    return start_stop(group, false, done, arg);
}

bool fs_workload_undo(struct fs_group *group, fs_workload_fn *done, void *arg)
{
    return start_stop(group, true, done, arg);
}

/* With an API that is away; who waits less for a machine does not wait longer for that. */
static int64_t patience(const struct fs_config_policy *policy)
{
    return policy && policy->start_timeout_ns < PATIENCE_NS ? policy->start_timeout_ns
                                                            : PATIENCE_NS;
}

/* objects: or NULL. */
static bool start_bring(struct run *run, const json_t *objects)
{
    const struct fs_group *group = run->group;
    const struct fs_config_policy *policy = fs_group_policy(group);
    struct fs_workload_parts parts;

    fs_workload_parts_of(group, &parts);
    const struct fs_kube_bring_options options = {
        .base = run->workloads->base,
        .api = fs_kube_source_api(group->ctx->kubernetes),
        .volumes = parts.volumes,
        .objects = objects,
        .classes = parts.classes,
        .kinds = parts.kinds,
        .secrets = group->ctx->config->kubernetes->secrets,
        .again = run->again,
        .patience_ns = patience(policy),
        .start_ns = policy ? policy->start_timeout_ns : 0,
        .done = brought,
        .arg = run,
    };

    run->bring = fs_kube_bring_start(&options);
    fs_workload_parts_fini(&parts);
    return run->bring != NULL;
}

static void loaded(void *arg, json_t *document, const struct fs_error *err)
{
    struct run *run = arg;
    struct fs_error own = FS_ERROR_INIT;

    run->group->ctx->groups->noting--;
    if (err && fs_error_is_set(err)) {
        finish(run, NULL, true, err);
    } else if (fs_error_is_set(&run->left) || has_lost_source(run)) {
        finish_bring_up(run);
    } else if (!start_bring(run, json_object_get(document, "objects"))) {
        (void)fs_error_set(&own, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
        finish(run, NULL, true, &own);
    }
}

bool fs_workload_bring_up(struct fs_group *group, bool again, fs_workload_fn *done, void *arg)
{
    struct run *run = fs_workload_is_managed(group) ? new_run(group, done, arg) : NULL;

    if (!run) {
        return false;
    }
    run->brings = true;
    run->again = again;
    int rc = fs_workload_load(group, &group->record->bring_up.point, loaded, run, &run->left);
    if (rc == 0 || (rc > 0 && start_bring(run, NULL))) {
        return true;
    }
    free_run(run);
    return false;
}

/* What is being read has the run until it is there. */
void fs_workload_cancel(struct fs_group *group, const char *reason)
{
    struct run *run = group->ctx->workloads ? group->ctx->workloads->list : NULL;

    while (run && (run->group != group || !run->brings)) {
        run = run->next;
    }
    if (!run) {
        return;
    }
    bool loading = !run->bring && !run->stop;
    fs_kube_bring_free(run->bring);
    fs_kube_stop_free(run->stop);
    run->bring = NULL;
    run->stop = NULL;
    run->left = FS_ERROR_INIT;
    (void)fs_error_set(&run->left, FS_ERR_CANCELLED, ECANCELED, "%s", reason);
    run->pending = true;
    if (!loading) {
        finish_bring_up(run);
    }
}
