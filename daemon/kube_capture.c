/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube_capture.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/kube/access.h"
#include "daemon/kube/collector.h"
#include "daemon/kube/kinds.h"

struct fs_kube_capture {
    struct fs_capturer capturer; /* first */
    struct event_base *base;
    struct fs_kube_api *api;
    struct fs_kube_collector *collector; /* NULL: nothing is captured, or out of memory */
    json_t *made_from;                   /* what collector was made from */
    char *kubeconfig;                    /* NULL: in-cluster */
};

static int get_access(void *arg, struct fs_kube_access *ret_access, struct fs_error *err)
{
    const struct fs_kube_capture *capture = arg;

    return capture->kubeconfig
               ? fs_kube_access_load(capture->kubeconfig, ret_access, err)
               : fs_kube_access_in_cluster(FS_KUBE_SERVICE_ACCOUNT, ret_access, err);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void put_once(json_t *array, const char *text)
{
    const json_t *other;
    size_t i;

    json_array_foreach(array, i, other)
    {
        if (strcmp(json_string_value(other), text) == 0) {
            return;
        }
    }
    (void)json_array_append_new(array, json_string(text));
}

/* {"labels", "kinds", "secrets", "kubeconfig"}, or NULL where nothing is captured. */
static json_t *describe(const struct fs_config *config)
{
    const struct fs_config_source *source = config->kubernetes;
    json_t *labels = json_array(), *kinds = json_array();
    bool any = false;

    for (size_t i = 0; i < config->n_policies; i++) {
        const struct fs_config_policy *policy = &config->policies[i];

        any = any || !policy->no_objects;
        if (!policy->no_objects && policy->group_by) {
            put_once(labels, policy->group_by);
        }
    }
    for (size_t i = 0; source && source->kinds && i < source->n_kinds; i++) {
        put_once(kinds, source->kinds[i]);
    }
    for (size_t i = 0; source && !source->kinds && fs_kube_default_kinds[i]; i++) {
        put_once(kinds, fs_kube_default_kinds[i]);
    }
    json_t *made_from = source && any ? json_pack("{s:O, s:O, s:b, s:s}", "labels", labels, "kinds",
                                                  kinds, "secrets", source->secrets, "kubeconfig",
                                                  source->kubeconfig ? source->kubeconfig : "")
                                      : NULL;
    json_decref(labels);
    json_decref(kinds);
    return made_from;
}

/* The array's texts, borrowed; NULL when out of memory. */
static const char **texts_of(const json_t *array)
{
    const char **texts = calloc(json_array_size(array) + 1, sizeof(*texts));

    for (size_t i = 0; texts && i < json_array_size(array); i++) {
        texts[i] = json_string_value(json_array_get(array, i));
    }
    return texts;
}

static void make(struct fs_kube_capture *capture)
{
    const json_t *labels = json_object_get(capture->made_from, "labels");
    const json_t *kinds = json_object_get(capture->made_from, "kinds");
    struct fs_kube_collector_options options = {
        .base = capture->base,
        .api = capture->api,
        .access = get_access,
        .arg = capture,
        .n_labels = json_array_size(labels),
        .n_kinds = json_array_size(kinds),
        .secrets = json_is_true(json_object_get(capture->made_from, "secrets")),
    };
    const char **label_texts = texts_of(labels), **kind_texts = texts_of(kinds);

    options.labels = label_texts;
    options.kinds = kind_texts;
    if (label_texts && kind_texts) {
        capture->collector = fs_kube_collector_new(&options);
    }
    free(label_texts);
    free(kind_texts);
}

void fs_kube_capture_configure(struct fs_kube_capture *capture, const struct fs_config *config)
{
    json_t *made_from = describe(config);

    if (capture->collector && json_equal(made_from, capture->made_from)) {
        json_decref(made_from);
        return;
    }
    struct fs_kube_collector *former = capture->collector;
    capture->collector = NULL;
    fs_kube_collector_free(former);
    json_decref(capture->made_from);
    capture->made_from = made_from;
    free(capture->kubeconfig);
    const char *path = made_from ? config->kubernetes->kubeconfig : NULL;
    capture->kubeconfig = path ? strdup(path) : NULL;
    if (made_from && (!path || capture->kubeconfig)) {
        make(capture);
    }
}

/* --- captures --------------------------------------------------------------------------------- */

static bool follows(const json_t *labels, const char *group_by, const char **ret_value)
{
    *ret_value = group_by ? json_string_value(json_object_get(labels, group_by)) : NULL;
    return *ret_value != NULL;
}

/* The group's names, from the volumes that it has now: all of one namespace. */
static const char *describe_group(const struct fs_record *record, json_t *vms, json_t *claims,
                                  const char **ret_labels)
{
    const char *ns = NULL;

    for (size_t i = 0; i < record->n_volumes; i++) {
        const struct fs_volume *volume = &record->volumes[i].volume;
        bool ours = !record->volumes[i].gone && volume->pvc_namespace[0] && volume->pvc[0];

        if (!ours || (ns && strcmp(ns, volume->pvc_namespace) != 0)) {
            continue;
        }
        ns = volume->pvc_namespace;
        *ret_labels = *ret_labels ? *ret_labels : volume->labels;
        put_once(claims, volume->pvc);
        if (volume->vm[0]) {
            put_once(vms, volume->vm);
        }
    }
    return ns;
}

static bool capture_group(struct fs_capturer *capturer, const struct fs_record *record,
                          const char *group_by, const json_t *also, fs_capture_fn *done, void *arg)
{
    struct fs_kube_capture *capture = (struct fs_kube_capture *)capturer; /* its first member */
    json_t *vms = json_array(), *claims = json_array();
    const char *text = NULL;
    struct fs_kube_group group = {.vms = vms, .claims = claims, .also = also};
    bool begun = false;

    group.ns = describe_group(record, vms, claims, &text);
    json_t *labels = text ? json_loads(text, 0, NULL) : NULL;
    if (follows(labels, group_by, &group.value)) {
        group.label = group_by;
    }
    if (capture->collector && group.ns) {
        begun = fs_kube_collect(capture->collector, &group, done, arg) == 0;
    }
    json_decref(labels);
    json_decref(vms);
    json_decref(claims);
    return begun;
}

static void cancel(struct fs_capturer *capturer, const struct fs_error *err)
{
    struct fs_kube_capture *capture = (struct fs_kube_capture *)capturer; /* its first member */

    if (capture->collector) {
        fs_kube_collector_cancel(capture->collector, err);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct fs_kube_capture *fs_kube_capture_new(struct event_base *base, struct fs_kube_api *api)
{
    struct fs_kube_capture *capture = calloc(1, sizeof(*capture));

    if (capture) {
        *capture = (struct fs_kube_capture){
            .capturer = {.capture = capture_group, .cancel = cancel}, .base = base, .api = api};
    }
    return capture;
}

void fs_kube_capture_free(struct fs_kube_capture *capture)
{
    if (capture) {
        struct fs_kube_collector *collector = capture->collector;

        capture->collector = NULL;
        fs_kube_collector_free(collector);
        json_decref(capture->made_from);
        free(capture->kubeconfig);
        free(capture);
    }
}

struct fs_capturer *fs_kube_capture_capturer(struct fs_kube_capture *capture)
{
    return &capture->capturer;
}
