/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/capture.h"
#include "daemon/groups.h"
#include "daemon/kube/bring.h"
#include "daemon/kube/stop.h"
#include "daemon/kube_source.h"

#define PATIENCE_NS (60 * FS_SEC) /* with an API that is away */

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

struct fs_workloads {
    struct event_base *base;
    struct run *list; /* owned */
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

/* --- what a group is to Kubernetes ----------------------------------------------------------- */

static bool has_claim(const struct fs_record_volume *volume)
{
    return !volume->gone && volume->volume.pvc_namespace[0] && volume->volume.pvc[0];
}

bool fs_workload_is_managed(const struct fs_group *group)
{
    const struct fs_context *ctx = group->ctx;
    bool allowed = ctx->workloads && ctx->config->kubernetes && ctx->config->kubernetes->workloads;

    for (size_t i = 0; allowed && i < group->record->n_volumes; i++) {
        if (has_claim(&group->record->volumes[i])) {
            return true;
        }
    }
    return false;
}

/* ["NAMESPACE/NAME", ...] */
static json_t *claims_of(const struct fs_group *group)
{
    json_t *claims = json_array();
    char key[2 * FS_NAME_SIZE + 2];

    for (size_t i = 0; i < group->record->n_volumes; i++) {
        const struct fs_record_volume *volume = &group->record->volumes[i];
        if (has_claim(volume)) {
            (void)snprintf(key, sizeof(key), "%s/%s", volume->volume.pvc_namespace,
                           volume->volume.pvc);
            (void)json_array_append_new(claims, json_string(key));
        }
    }
    return claims;
}

/* As of the newest point, which is what the images hold. */
static uint64_t size_of(const struct fs_record *record, const struct fs_uuid *volume)
{
    const struct fs_record_point *point = fs_record_newest_committed(record);
    const struct fs_record_content *content = point ? fs_record_find_content(point, volume) : NULL;

    return content ? content->geometry.size : 0;
}

static json_t *volumes_of(const struct fs_group *group)
{
    json_t *list = json_array();
    char uuid[FS_UUID_TEXT];

    for (size_t i = 0; i < group->record->n_volumes; i++) {
        const struct fs_record_volume *volume = &group->record->volumes[i];
        const struct fs_image_ref *image = &volume->volume.image;
        if (has_claim(volume)) {
            fs_uuid_format(&volume->volume.uuid, uuid);
            (void)json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "uuid", uuid, "namespace",
                          volume->volume.pvc_namespace, "claim", volume->volume.pvc, "cluster_id",
                          fs_kube_source_cluster_id(group->ctx), "pool", image->pool,
                          "rados_namespace", image->ns, "image", image->name, "size_bytes",
                          (json_int_t)size_of(group->record, &volume->volume.uuid)));
        }
    }
    return list;
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
    json_t *claims = claims_of(group);
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

static json_t *classes_of(const struct fs_config_source *source)
{
    return source->storage_classes ? json_loads(source->storage_classes, 0, NULL) : NULL;
}

/* NULL: those that Farshore knows by name are all. */
static json_t *kinds_of(const struct fs_config_source *source)
{
    json_t *kinds = source->kinds ? json_array() : NULL;

    for (size_t i = 0; i < source->n_kinds; i++) {
        (void)json_array_append_new(kinds, json_string(source->kinds[i]));
    }
    return kinds;
}

/* objects: or NULL. */
static bool start_bring(struct run *run, const json_t *objects)
{
    const struct fs_group *group = run->group;
    const struct fs_config_policy *policy = fs_group_policy(group);
    json_t *volumes = volumes_of(group);
    const struct fs_config_source *source = group->ctx->config->kubernetes;
    json_t *classes = classes_of(source), *kinds = kinds_of(source);
    const struct fs_kube_bring_options options = {
        .base = run->workloads->base,
        .api = fs_kube_source_api(group->ctx->kubernetes),
        .volumes = volumes,
        .objects = objects,
        .classes = classes,
        .kinds = kinds,
        .secrets = source->secrets,
        .again = run->again,
        .patience_ns = PATIENCE_NS,
        .start_ns = policy ? policy->start_timeout_ns : 0,
        .done = brought,
        .arg = run,
    };

    run->bring = fs_kube_bring_start(&options);
    json_decref(volumes);
    json_decref(classes);
    json_decref(kinds);
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

/* The objects of the point whose content the volumes got, from the state pool. 1: it carries none,
 * or none are wanted, or, with run->left, they are gone. */
static int load(struct run *run)
{
    const struct fs_group *group = run->group;
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct fs_uuid *id = &group->record->bring_up.point;
    const struct fs_record_point *point = fs_record_find_point(group->record, id);
    struct fs_error err = FS_ERROR_INIT;

    if (!policy || policy->no_objects || fs_uuid_is_zero(id)) {
        return 1;
    }
    if (!point) {
        (void)fs_error_set(
            &run->left, FS_ERR_PERMANENT, ENOENT,
            "the point that the volumes came from is gone, and its Kubernetes "
            "objects with it: only the volumes were bound, apply the others by hand");
        return 1;
    }
    if (point->objects.size == 0) {
        return 1;
    }
    int rc = fs_capture_load(group, id, loaded, run, &err);
    if (rc == 0) {
        group->ctx->groups->noting++;
    }
    return rc;
}

bool fs_workload_bring_up(struct fs_group *group, bool again, fs_workload_fn *done, void *arg)
{
    struct run *run = fs_workload_is_managed(group) ? new_run(group, done, arg) : NULL;

    if (!run) {
        return false;
    }
    run->brings = true;
    run->again = again;
    int rc = load(run);
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
