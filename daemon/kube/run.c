/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/run.h"

#include <stdio.h>
#include <string.h>

/* Of a run that is Manual: somebody had started the machine. */
#define INSTANCE "instance"

const char *fs_kube_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

char *fs_kube_title(const json_t *object, char ret_title[FS_KUBE_TITLE_SIZE])
{
    const json_t *metadata = json_object_get(object, "metadata");
    const char *ns = fs_kube_text(metadata, "namespace");

    (void)snprintf(ret_title, FS_KUBE_TITLE_SIZE, "%.80s %.130s%s%.130s",
                   fs_kube_text(object, "kind"), ns, *ns ? "/" : "",
                   fs_kube_text(metadata, "name"));
    return ret_title;
}

static bool is_of(const json_t *object, const char *group, const char *kind)
{
    const char *version = fs_kube_text(object, "apiVersion");

    return strncmp(version, group, strlen(group)) == 0 && version[strlen(group)] == '/' &&
           strcmp(fs_kube_text(object, "kind"), kind) == 0;
}

bool fs_kube_is_vm(const json_t *object)
{
    return is_of(object, "kubevirt.io", "VirtualMachine");
}

static bool is_stateful_set(const json_t *object)
{
    return is_of(object, "apps", "StatefulSet");
}

/* --- whether it runs ------------------------------------------------------------------------- */

json_t *fs_kube_run_now(const json_t *object)
{
    const json_t *spec = json_object_get(object, "spec");
    json_t *strategy = json_object_get(spec, "runStrategy");
    json_t *running = json_object_get(spec, "running");
    json_t *replicas = json_object_get(spec, "replicas");

    if (fs_kube_is_vm(object)) {
        if (json_is_string(strategy)) {
            return json_pack("{s:O}", "runStrategy", strategy);
        }
        return json_pack("{s:b}", "running", json_is_true(running));
    }
    if (is_stateful_set(object) || is_of(object, "apps", "Deployment")) {
        /* The API's own default. */
        return json_pack("{s:I}", "replicas",
                         json_is_integer(replicas) ? json_integer_value(replicas) : (json_int_t)1);
    }
    return NULL;
}

static bool says_halted(const json_t *run)
{
    const json_t *running = json_object_get(run, "running");
    const json_t *replicas = json_object_get(run, "replicas");

    return strcmp(fs_kube_text(run, "runStrategy"), "Halted") == 0 ||
           (running && !json_is_true(running)) || (replicas && json_integer_value(replicas) <= 0);
}

static bool is_manual(const json_t *run)
{
    return strcmp(fs_kube_text(run, "runStrategy"), "Manual") == 0;
}

/* What the annotation holds counts only where it is of the same kind as what is there. */
json_t *fs_kube_run(const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *annotations = json_object_get(metadata, "annotations");
    json_t *now = fs_kube_run_now(object);
    json_t *kept = json_loads(fs_kube_text(annotations, FS_KUBE_RUN_ANNOTATION), 0, NULL);
    const char *key = json_object_iter_key(json_object_iter(now));
    const json_t *value = key ? json_object_get(kept, key) : NULL;
    bool good = says_halted(now) && value &&
                (strcmp(key, "runStrategy") == 0 ? json_is_string(value)
                 : strcmp(key, "running") == 0   ? json_is_boolean(value)
                                                 : json_is_integer(value));

    if (good) {
        (void)json_object_set(now, key, (json_t *)value);
    }
    if (good && is_manual(now) && json_is_true(json_object_get(kept, INSTANCE))) {
        (void)json_object_set_new(now, INSTANCE, json_true());
    }
    json_decref(kept);
    return now;
}

bool fs_kube_run_is_halted(const json_t *run)
{
    return says_halted(run) || (is_manual(run) && !fs_kube_run_is_by_hand(run));
}

bool fs_kube_run_is_by_hand(const json_t *run)
{
    return is_manual(run) && json_is_true(json_object_get(run, INSTANCE));
}

json_t *fs_kube_run_halted(const json_t *run)
{
    if (fs_kube_run_is_halted(run)) {
        return json_deep_copy(run);
    }
    if (json_object_get(run, "runStrategy")) {
        return json_pack("{s:s}", "runStrategy", "Halted");
    }
    if (json_object_get(run, "running")) {
        return json_pack("{s:b}", "running", false);
    }
    return json_pack("{s:i}", "replicas", 0);
}

json_t *fs_kube_stop_patch(const json_t *object, bool instance)
{
    const json_t *metadata = json_object_get(object, "metadata");
    json_t *run = fs_kube_run_now(object), *patch = NULL;

    if (instance && is_manual(run)) {
        (void)json_object_set_new(run, INSTANCE, json_true());
    }
    if (run && !fs_kube_run_is_halted(run)) {
        char text[200];
        size_t length = json_dumpb(run, text, sizeof(text) - 1, JSON_COMPACT);
        text[length < sizeof(text) ? length : 0] = '\0';
        patch = json_pack("{s:{s:s, s:{s:s}}, s:o}", "metadata", "resourceVersion",
                          fs_kube_text(metadata, "resourceVersion"), "annotations",
                          FS_KUBE_RUN_ANNOTATION, text, "spec", fs_kube_run_halted(run));
    }
    json_decref(run);
    return patch;
}

json_t *fs_kube_start_patch(const json_t *run)
{
    json_t *spec = json_deep_copy(run);

    (void)json_object_del(spec, INSTANCE);
    return json_pack("{s:{s:{s:n}}, s:o}", "metadata", "annotations", FS_KUBE_RUN_ANNOTATION,
                     "spec", spec);
}

bool fs_kube_is_migrating(const json_t *vmi)
{
    const json_t *state = json_object_get(json_object_get(vmi, "status"), "migrationState");

    return json_is_object(state) && !json_is_true(json_object_get(state, "completed")) &&
           !json_is_true(json_object_get(state, "failed"));
}

bool fs_kube_has_agent(const json_t *vmi)
{
    const json_t *conditions = json_object_get(json_object_get(vmi, "status"), "conditions");
    const json_t *condition;
    size_t i;

    json_array_foreach((json_t *)conditions, i, condition)
    {
        if (strcmp(fs_kube_text(condition, "type"), "AgentConnected") == 0) {
            return strcmp(fs_kube_text(condition, "status"), "True") == 0;
        }
    }
    return false;
}

/* --- what it uses ---------------------------------------------------------------------------- */

/* TEMPLATE-SET-ORDINAL, as the API names the claims of a StatefulSet's templates. */
static bool is_from_template(const json_t *object, const char *claim)
{
    const json_t *templates =
        json_object_get(json_object_get(object, "spec"), "volumeClaimTemplates");
    const char *name = fs_kube_text(json_object_get(object, "metadata"), "name");
    const json_t *template;
    size_t i;

    json_array_foreach((json_t *)templates, i, template)
    {
        char start[520];
        int n = snprintf(start, sizeof(start), "%.250s-%.250s-",
                         fs_kube_text(json_object_get(template, "metadata"), "name"), name);
        const char *ordinal = claim + n;
        if (strncmp(claim, start, (size_t)n) == 0 && *ordinal &&
            strspn(ordinal, "0123456789") == strlen(ordinal)) {
            return true;
        }
    }
    return false;
}

bool fs_kube_uses_claim(const json_t *object, const char *claim)
{
    const json_t *template = json_object_get(json_object_get(object, "spec"), "template");
    const json_t *volumes = json_object_get(json_object_get(template, "spec"), "volumes");
    const json_t *volume;
    size_t i;

    json_array_foreach((json_t *)volumes, i, volume)
    {
        const char *name =
            fs_kube_text(json_object_get(volume, "persistentVolumeClaim"), "claimName");
        const char *data = fs_kube_text(json_object_get(volume, "dataVolume"), "name");
        if (strcmp(*name ? name : data, claim) == 0) {
            return true;
        }
    }
    return is_stateful_set(object) && is_from_template(object, claim);
}
