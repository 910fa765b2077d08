/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/run.h"

/* CDI: what they say is there already (docs of the containerized data importer). */
#define PREPOPULATED  "cdi.kubevirt.io/storage.prePopulated"
#define POPULATED_FOR "cdi.kubevirt.io/storage.populatedFor"

#define CLASS_PARAMETER "csi.storage.k8s.io/"

static json_t *spec_of(const json_t *object)
{
    return json_object_get(object, "spec");
}

static json_t *metadata_of(const json_t *object)
{
    return json_object_get(object, "metadata");
}

/* The member, made where it is not there; borrowed. */
static json_t *member(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    if (!json_is_object(value)) {
        (void)json_object_set_new(object, key, json_object());
        value = json_object_get(object, key);
    }
    return value;
}

static void set_text(json_t *object, const char *key, const char *value)
{
    if (*value) {
        (void)json_object_set_new(object, key, json_string(value));
    }
}

/* --- volumes --------------------------------------------------------------------------------- */

const char *fs_kube_class_name(const json_t *classes, const json_t *claim)
{
    const char *there = fs_kube_text(spec_of(claim), "storageClassName");
    const char *mapped = fs_kube_text(classes, there), *any = fs_kube_text(classes, "*");

    if (*there && *mapped) {
        return mapped;
    }
    return *any ? any : *there ? there : NULL;
}

char *fs_kube_volume_name(const json_t *volume, char ret_name[FS_KUBE_VOLUME_NAME_SIZE])
{
    (void)snprintf(ret_name, FS_KUBE_VOLUME_NAME_SIZE, "farshore-%.40s",
                   fs_kube_text(volume, "uuid"));
    return ret_name;
}

/* "driver.namespace/name" are two parameters of a class and one reference in a volume. */
static void put_secret(json_t *csi, const json_t *parameters, const char *key, const char *what)
{
    char name[100], ns[100];

    (void)snprintf(name, sizeof(name), CLASS_PARAMETER "%s-secret-name", what);
    (void)snprintf(ns, sizeof(ns), CLASS_PARAMETER "%s-secret-namespace", what);
    if (*fs_kube_text(parameters, name)) {
        (void)json_object_set_new(csi, key,
                                  json_pack("{s:s, s:s}", "name", fs_kube_text(parameters, name),
                                            "namespace", fs_kube_text(parameters, ns)));
    }
}

/* Of a static volume, the driver takes the handle for the image's name. */
static json_t *make_csi(const json_t *volume, const json_t *captured, const json_t *class)
{
    const json_t *parameters = json_object_get(class, "parameters");
    const char *image = fs_kube_text(volume, "image"), *type;
    json_t *attributes =
        json_pack("{s:s, s:s, s:s, s:s}", "clusterID", fs_kube_text(parameters, "clusterID"),
                  "pool", fs_kube_text(volume, "pool"), "imageName", image, "staticVolume", "true");
    const char *features = fs_kube_text(parameters, "imageFeatures");

    set_text(attributes, "imageFeatures", *features ? features : "layering");
    set_text(attributes, "radosNamespace", fs_kube_text(volume, "rados_namespace"));
    json_t *csi = json_pack("{s:s, s:s, s:o}", "driver", fs_kube_text(class, "provisioner"),
                            "volumeHandle", image, "volumeAttributes", attributes);
    type = fs_kube_text(json_object_get(spec_of(captured), "csi"), "fsType");
    set_text(csi, "fsType", *type ? type : fs_kube_text(parameters, CLASS_PARAMETER "fstype"));
    put_secret(csi, parameters, "nodeStageSecretRef", "node-stage");
    put_secret(csi, parameters, "controllerExpandSecretRef", "controller-expand");
    return csi;
}

/* What the claim was captured with; without it, what a VM's disk mostly is. */
static void put_modes(json_t *spec, const json_t *claim)
{
    json_t *modes = json_object_get(spec_of(claim), "accessModes");
    const char *mode = fs_kube_text(spec_of(claim), "volumeMode");

    (void)json_object_set_new(spec, "accessModes",
                              json_is_array(modes) ? json_deep_copy(modes)
                                                   : json_pack("[s]", "ReadWriteMany"));
    set_text(spec, "volumeMode", *mode || claim ? mode : "Block");
}

static json_t *quantity(const json_t *volume)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(volume, "size_bytes")));
    return json_string(text);
}

json_t *fs_kube_make_volume(const json_t *volume, const json_t *claim, const json_t *captured,
                            const json_t *class, struct fs_error *err)
{
    const char *driver = fs_kube_text(class, "provisioner");
    const char *class_name = fs_kube_text(metadata_of(class), "name");
    json_t *options = json_object_get(spec_of(captured), "mountOptions");
    char name[FS_KUBE_VOLUME_NAME_SIZE];

    if (!strstr(driver, "rbd.csi.ceph.com")) {
        (void)fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                           "StorageClass %.100s is of \"%.100s\", not of Ceph's RBD driver: map it "
                           "in discovery.storage_classes",
                           class_name, driver);
        return NULL;
    }
    json_t *spec =
        json_pack("{s:{s:o}, s:s, s:s, s:{s:s, s:s, s:s, s:s}, s:o}", "capacity", "storage",
                  quantity(volume), "persistentVolumeReclaimPolicy", "Retain", "storageClassName",
                  class_name, "claimRef", "apiVersion", "v1", "kind", "PersistentVolumeClaim",
                  "namespace", fs_kube_text(volume, "namespace"), "name",
                  fs_kube_text(volume, "claim"), "csi", make_csi(volume, captured, class));
    put_modes(spec, claim);
    if (json_is_array(options)) {
        (void)json_object_set_new(spec, "mountOptions", json_deep_copy(options));
    }
    return json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "v1", "kind", "PersistentVolume",
                     "metadata", "name", fs_kube_volume_name(volume, name), "spec", spec);
}

json_t *fs_kube_make_claim(const json_t *volume, const json_t *claim, const json_t *class)
{
    const json_t *labels = json_object_get(metadata_of(claim), "labels");
    const char *of = fs_kube_text(volume, "claim");
    char name[FS_KUBE_VOLUME_NAME_SIZE];
    json_t *annotations = json_deep_copy(json_object_get(metadata_of(claim), "annotations"));
    json_t *spec =
        json_pack("{s:{s:{s:o}}, s:s, s:s}", "resources", "requests", "storage", quantity(volume),
                  "storageClassName", fs_kube_text(metadata_of(class), "name"), "volumeName",
                  fs_kube_volume_name(volume, name));

    put_modes(spec, claim);
    if (!json_is_object(annotations)) {
        json_decref(annotations);
        annotations = json_object();
    }
    set_text(annotations, POPULATED_FOR, of);
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:o}, s:o}", "apiVersion", "v1", "kind",
                     "PersistentVolumeClaim", "metadata", "name", of, "namespace",
                     fs_kube_text(volume, "namespace"), "annotations", annotations, "labels",
                     json_is_object(labels) ? json_deep_copy(labels) : json_object(), "spec", spec);
}

bool fs_kube_leads_to(const json_t *persistent_volume, const json_t *volume)
{
    const json_t *csi = json_object_get(spec_of(persistent_volume), "csi");
    const json_t *attributes = json_object_get(csi, "volumeAttributes");
    bool is_static = strcmp(fs_kube_text(attributes, "staticVolume"), "true") == 0;
    const char *image =
        is_static ? fs_kube_text(csi, "volumeHandle") : fs_kube_text(attributes, "imageName");

    return strstr(fs_kube_text(csi, "driver"), "rbd.csi.ceph.com") &&
           strcmp(fs_kube_text(attributes, "clusterID"), fs_kube_text(volume, "cluster_id")) == 0 &&
           strcmp(image, fs_kube_text(volume, "image")) == 0 &&
           strcmp(fs_kube_text(attributes, "pool"), fs_kube_text(volume, "pool")) == 0 &&
           strcmp(fs_kube_text(attributes, "radosNamespace"),
                  fs_kube_text(volume, "rados_namespace")) == 0;
}

/* --- captured objects ------------------------------------------------------------------------ */

static bool is_kind(const json_t *object, const char *kind)
{
    return strcmp(fs_kube_text(object, "kind"), kind) == 0;
}

static void tell_populated(json_t *data_volume)
{
    json_t *metadata = member(data_volume, "metadata");

    set_text(member(metadata, "annotations"), PREPOPULATED, fs_kube_text(metadata, "name"));
}

static void prepare_service(json_t *spec)
{
    json_t *port;
    size_t i;

    if (strcmp(fs_kube_text(spec, "clusterIP"), "None") != 0) {
        (void)json_object_del(spec, "clusterIP");
        (void)json_object_del(spec, "clusterIPs");
    }
    (void)json_object_del(spec, "healthCheckNodePort");
    json_array_foreach(json_object_get(spec, "ports"), i, port)
    {
        (void)json_object_del(port, "nodePort");
    }
}

static void prepare_run(json_t *object, const json_t *live)
{
    json_t *run = fs_kube_run_now(live ? live : object);
    json_t *set = live ? json_incref(run) : fs_kube_run_halted(run);
    json_t *spec = member(object, "spec"), *template;
    size_t i;

    (void)json_object_del(spec, "runStrategy");
    (void)json_object_del(spec, "running");
    (void)json_object_update(spec, set);
    json_decref(set);
    json_decref(run);
    json_array_foreach(json_object_get(spec, "dataVolumeTemplates"), i, template)
    {
        tell_populated(template);
    }
}

/* Until it is started the object says itself what it is to run like. */
static void annotate_run(json_t *metadata, const json_t *captured, const json_t *live)
{
    json_t *run = fs_kube_run(captured);
    char *text = fs_kube_run_is_halted(run) ? NULL : json_dumps(run, JSON_COMPACT);
    const char *kept =
        fs_kube_text(json_object_get(metadata_of(live), "annotations"), FS_KUBE_RUN_ANNOTATION);
    const char *is = live ? kept : text;

    if (is && *is) {
        set_text(member(metadata, "annotations"), FS_KUBE_RUN_ANNOTATION, is);
    }
    free(text);
    json_decref(run);
}

json_t *fs_kube_prepare(const json_t *captured, const json_t *live)
{
    static const char *const given[] = {"uid",        "resourceVersion",   "generation",
                                        "selfLink",   "creationTimestamp", "managedFields",
                                        "finalizers", "ownerReferences"};
    json_t *object = json_deep_copy(captured), *run = fs_kube_run_now(captured);
    json_t *metadata = member(object, "metadata");

    (void)json_object_del(object, "status");
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        (void)json_object_del(metadata, given[i]);
    }
    (void)json_object_del(json_object_get(metadata, "annotations"), FS_KUBE_RUN_ANNOTATION);
    if (run) {
        prepare_run(object, live);
        annotate_run(metadata, captured, live);
    } else if (is_kind(object, "DataVolume")) {
        tell_populated(object);
    } else if (is_kind(object, "Service")) {
        prepare_service(member(object, "spec"));
    }
    json_decref(run);
    return object;
}

unsigned fs_kube_rank(const json_t *object)
{
    static const char *const first[] = {"Namespace", "PersistentVolume", "PersistentVolumeClaim",
                                        "Secret",    "ConfigMap",        "ControllerRevision"};
    const size_t n = sizeof(first) / sizeof(first[0]);
    json_t *run = fs_kube_run_now(object);
    bool runs = run != NULL;

    json_decref(run);
    for (size_t i = 0; i < n; i++) {
        if (is_kind(object, first[i])) {
            return (unsigned)i;
        }
    }
    return (unsigned)n + (runs ? 2u : is_kind(object, "DataVolume") ? 1u : 0u);
}

/* --- what is there --------------------------------------------------------------------------- */

bool fs_kube_is_ours(const json_t *live)
{
    const json_t *metadata = metadata_of(live), *entry;
    size_t i;

    json_array_foreach(json_object_get(metadata, "managedFields"), i, entry)
    {
        if (strcmp(fs_kube_text(entry, "manager"), FS_KUBE_MANAGER) == 0) {
            return true;
        }
    }
    return json_object_get(json_object_get(metadata, "annotations"), FS_KUBE_RUN_ANNOTATION);
}

static json_t *without_counts(const json_t *object)
{
    static const char *const counted[] = {"managedFields", "resourceVersion", "generation"};
    json_t *copy = json_deep_copy(object);

    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        (void)json_object_del(metadata_of(copy), counted[i]);
    }
    (void)json_object_del(copy, "status");
    return copy;
}

bool fs_kube_is_same(const json_t *live, const json_t *tried)
{
    json_t *left = without_counts(live), *right = without_counts(tried);
    bool same = left && json_equal(left, right);

    json_decref(left);
    json_decref(right);
    return same;
}
