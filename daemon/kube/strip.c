/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/strip.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/kinds.h"
#include "daemon/kube/run.h"

static bool is_kind(const json_t *object, const char *kind)
{
    return strcmp(fs_kube_text(object, "kind"), kind) == 0;
}

static void drop(json_t *object, const char *const *keys)
{
    for (; *keys; keys++) {
        (void)json_object_del(object, *keys);
    }
}

/* --- strip ----------------------------------------------------------------------------------- */

/* Notes that a cluster's controllers and tools keep for themselves; what ends with '/' or '.' are
 * all that begin so. */
static const char *const private_notes[] = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "control-plane.alpha.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/storage-provisioner",
    "cdi.kubevirt.io/storage.",
    "kubevirt.io/latest-observed-api-version",
    "kubevirt.io/storage-observed-api-version",
    "openshift.io/host.generated",
    "farshore.io/",
    NULL,
};

static bool is_private_note(const char *key)
{
    for (const char *const *note = private_notes; *note; note++) {
        size_t length = strlen(*note);
        bool prefix = (*note)[length - 1] == '/' || (*note)[length - 1] == '.';

        if (prefix ? strncmp(key, *note, length) == 0 : strcmp(key, *note) == 0) {
            return true;
        }
    }
    return false;
}

static void strip_metadata(json_t *metadata)
{
    static const char *const keys[] = {
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "generateName",
        "selfLink",
        NULL,
    };
    json_t *annotations = json_object_get(metadata, "annotations"), *value;
    const char *key;
    void *next;

    drop(metadata, keys);
    json_object_foreach_safe(annotations, next, key, value)
    {
        if (is_private_note(key) && strcmp(key, FS_KUBE_RUN_ANNOTATION) != 0) {
            (void)json_object_del(annotations, key);
        }
    }
    if (annotations && json_object_size(annotations) == 0) {
        (void)json_object_del(metadata, "annotations");
    }
}

/* The addresses are the cluster's, but for "None", which is what the owner wants. */
static void strip_service(json_t *spec)
{
    static const char *const keys[] = {"clusterIPs", "ipFamilies", "healthCheckNodePort", NULL};
    json_t *port;
    size_t i;

    if (strcmp(fs_kube_text(spec, "clusterIP"), "None") != 0) {
        (void)json_object_del(spec, "clusterIP");
    }
    drop(spec, keys);
    json_array_foreach(json_object_get(spec, "ports"), i, port)
    {
        (void)json_object_del(port, "nodePort");
    }
}

static void strip_volume(json_t *spec)
{
    static const char *const keys[] = {"uid", "resourceVersion", NULL};

    drop(json_object_get(spec, "claimRef"), keys);
    (void)json_object_del(spec, "nodeAffinity"); /* which nodes reach it is the cluster's */
}

static void strip_spec(json_t *object, bool host_is_generated)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *template = json_object_get(spec, "template");

    (void)json_object_del(spec, "nodeName");
    (void)json_object_del(json_object_get(template, "spec"), "nodeName");
    strip_metadata(json_object_get(template, "metadata"));
    if (is_kind(object, "Service")) {
        strip_service(spec);
    } else if (is_kind(object, "PersistentVolume")) {
        strip_volume(spec);
    } else if (is_kind(object, "Route") && host_is_generated) {
        (void)json_object_del(spec, "host");
    } else if (is_kind(object, "ControllerRevision")) {
        json_t *data = json_object_get(object, "data"); /* an object in an object */
        strip_metadata(json_object_get(data, "metadata"));
        (void)json_object_del(data, "status");
    }
}

/* Their contents are of the cluster's own making. */
static bool is_of_cluster(const json_t *object)
{
    const char *name = fs_kube_text(json_object_get(object, "metadata"), "name");

    return (is_kind(object, "Secret") &&
            strcmp(fs_kube_text(object, "type"), "kubernetes.io/service-account-token") == 0) ||
           (is_kind(object, "ConfigMap") && (strcmp(name, "kube-root-ca.crt") == 0 ||
                                             strcmp(name, "openshift-service-ca.crt") == 0));
}

bool fs_kube_strip(json_t *object)
{
    json_t *metadata = json_object_get(object, "metadata");
    const json_t *annotations = json_object_get(metadata, "annotations");
    bool generated = strcmp(fs_kube_text(annotations, "openshift.io/host.generated"), "true") == 0;

    if (is_of_cluster(object)) {
        return false;
    }
    strip_metadata(metadata);
    (void)json_object_del(object, "status");
    strip_spec(object, generated);
    return true;
}

void fs_kube_mask(json_t *object)
{
    static const char *const keys[] = {"data", "stringData"};

    for (size_t i = 0; is_kind(object, "Secret") && i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_t *data = json_object_get(object, keys[i]), *value;
        const char *key;
        void *next;

        json_object_foreach_safe(data, next, key, value)
        {
            (void)json_object_set_new(data, key, json_string(""));
        }
    }
}

/* --- references ------------------------------------------------------------------------------ */

bool fs_kube_name_valid(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        bool inner = i > 0 && i + 1 < length && name[i - 1] != '.';

        if (!islower(byte) && !isdigit(byte) && !((byte == '-' || byte == '.') && inner)) {
            return false;
        }
    }
    return length > 0 && length < 254;
}

static void refer(json_t *list, const char *kind, const char *name, bool optional)
{
    const json_t *other;
    size_t i;

    if (!*name) {
        return;
    }
    json_array_foreach(list, i, other)
    {
        if (strcmp(fs_kube_text(other, "kind"), kind) == 0 &&
            strcmp(fs_kube_text(other, "name"), name) == 0) {
            return;
        }
    }
    json_t *reference = json_pack("{s:s, s:s}", "kind", kind, "name", name);
    if (optional) {
        (void)json_object_set_new(reference, "optional", json_true());
    }
    (void)json_array_append_new(list, reference);
}

/* {"name": ...}, or with another key. */
static void refer_in(json_t *list, const char *kind, const json_t *holder, const char *key)
{
    refer(list, kind, fs_kube_text(holder, key), json_is_true(json_object_get(holder, "optional")));
}

static void refer_cloud_init(json_t *list, const json_t *source)
{
    refer_in(list, "Secret", json_object_get(source, "secretRef"), "name");
    refer_in(list, "Secret", json_object_get(source, "networkDataSecretRef"), "name");
}

static void refer_disk(json_t *list, const json_t *volume)
{
    const json_t *ephemeral = json_object_get(volume, "ephemeral");
    const json_t *sysprep = json_object_get(volume, "sysprep");
    /* A DataVolume makes a PVC of its own name, and may be gone once that is filled. */
    const char *data = fs_kube_text(json_object_get(volume, "dataVolume"), "name");

    refer(list, "DataVolume", data, true);
    refer(list, "PersistentVolumeClaim", data, false);
    refer_in(list, "PersistentVolumeClaim", json_object_get(volume, "persistentVolumeClaim"),
             "claimName");
    refer_in(list, "PersistentVolumeClaim", json_object_get(ephemeral, "persistentVolumeClaim"),
             "claimName");
    refer_in(list, "Secret", json_object_get(volume, "secret"), "secretName");
    refer_in(list, "ConfigMap", json_object_get(volume, "configMap"), "name");
    refer_in(list, "Secret", json_object_get(sysprep, "secret"), "name");
    refer_in(list, "ConfigMap", json_object_get(sysprep, "configMap"), "name");
    refer_cloud_init(list, json_object_get(volume, "cloudInitNoCloud"));
    refer_cloud_init(list, json_object_get(volume, "cloudInitConfigDrive"));
}

/* An instance type or a preference: the revision of it that the machine was made with. */
static void refer_revision(json_t *list, const json_t *object, const char *spec_key,
                           const char *status_key)
{
    const json_t *asked = json_object_get(json_object_get(object, "spec"), spec_key);
    const json_t *in_use = json_object_get(json_object_get(object, "status"), status_key);

    refer_in(list, "ControllerRevision", asked, "revisionName");
    refer_in(list, "ControllerRevision", json_object_get(in_use, "controllerRevisionRef"), "name");
}

static void refer_machine(json_t *list, const json_t *object)
{
    const json_t *template = json_object_get(json_object_get(object, "spec"), "template");
    const json_t *spec = json_object_get(template, "spec"), *element;
    size_t i;

    refer_revision(list, object, "instancetype", "instancetypeRef");
    refer_revision(list, object, "preference", "preferenceRef");
    json_array_foreach(json_object_get(spec, "volumes"), i, element)
    {
        refer_disk(list, element);
    }
    json_array_foreach(json_object_get(spec, "accessCredentials"), i, element)
    {
        static const char *const ways[] = {"sshPublicKey", "userPassword"};

        for (size_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++) {
            const json_t *way = json_object_get(element, ways[k]);
            const json_t *source = json_object_get(way, "source");

            refer_in(list, "Secret", json_object_get(source, "secret"), "secretName");
        }
    }
}

json_t *fs_kube_references(const json_t *object)
{
    const json_t *spec = json_object_get(object, "spec");
    json_t *list = json_array();

    if (is_kind(object, "VirtualMachine")) {
        refer_machine(list, object);
    } else if (is_kind(object, "DataVolume")) {
        refer(list, "PersistentVolumeClaim",
              fs_kube_text(json_object_get(object, "metadata"), "name"), true);
    } else if (is_kind(object, "PersistentVolumeClaim")) {
        refer(list, "PersistentVolume", fs_kube_text(spec, "volumeName"), false);
    }
    return list;
}

/* --- sets ------------------------------------------------------------------------------------ */

json_t *fs_kube_reduce_object(const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    json_t *labels = json_object_get(metadata, "labels");
    json_t *references = fs_kube_references(object), *copy = json_deep_copy(object);
    bool carried = copy && fs_kube_strip(copy);
    char *text = carried ? json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS) : strdup("");
    json_t *item =
        text ? json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:s}", "api",
                         fs_kube_text(object, "apiVersion"), "kind", fs_kube_text(object, "kind"),
                         "ns", fs_kube_text(metadata, "namespace"), "name",
                         fs_kube_text(metadata, "name"), "labels", labels ? labels : json_null(),
                         "references", references, "text", text)
             : NULL;

    free(text);
    json_decref(copy);
    json_decref(references);
    return item;
}

static int compare(const json_t *a, const json_t *b, const char *const *keys)
{
    unsigned rank_a = fs_kube_kind_rank(fs_kube_text(a, "kind"));
    unsigned rank_b = fs_kube_kind_rank(fs_kube_text(b, "kind"));
    int order = rank_a < rank_b ? -1 : rank_a > rank_b;

    for (; order == 0 && *keys; keys++) {
        order = strcmp(fs_kube_text(a, *keys), fs_kube_text(b, *keys));
    }
    return order;
}

static int compare_items(const void *a, const void *b)
{
    static const char *const keys[] = {"kind", "ns", "name", "text", NULL};

    return compare(*(json_t *const *)a, *(json_t *const *)b, keys);
}

static int compare_missing(const void *a, const void *b)
{
    static const char *const keys[] = {"kind", "name", "referred_by", NULL};

    return compare(*(json_t *const *)a, *(json_t *const *)b, keys);
}

/* A new array with the same elements, or NULL. */
static json_t *sorted(const json_t *array, int (*order)(const void *, const void *))
{
    size_t count = json_array_size(array);
    json_t **list = calloc(count + 1, sizeof(*list)), *result = json_array();

    for (size_t i = 0; list && i < count; i++) {
        list[i] = json_array_get(array, i);
    }
    if (list) {
        qsort(list, count, sizeof(*list), order);
    }
    for (size_t i = 0; list && i < count; i++) {
        (void)json_array_append(result, list[i]);
    }
    if (!list || json_array_size(result) != count) {
        json_decref(result);
        result = NULL;
    }
    free(list);
    return result;
}

static char *join(const json_t *items, const json_t *missing)
{
    char *lost = json_dumps(missing, JSON_COMPACT | JSON_SORT_KEYS), *text = NULL;
    size_t length = 0, i;
    FILE *out = lost ? open_memstream(&text, &length) : NULL;
    const char *separator = "";
    const json_t *item;

    if (out) {
        (void)fprintf(out, "{\"format\":%d,\"missing\":%s,\"objects\":[", FS_KUBE_DOCUMENT_FORMAT,
                      lost);
        json_array_foreach((json_t *)items, i, item)
        {
            if (*fs_kube_text(item, "text")) {
                (void)fprintf(out, "%s%s", separator, fs_kube_text(item, "text"));
                separator = ",";
            }
        }
        (void)fputs("]}", out);
        bool failed = ferror(out);
        if (fclose(out) != 0 || failed) {
            free(text);
            text = NULL;
        }
    }
    free(lost);
    return text;
}

char *fs_kube_document(json_t *items, json_t *missing)
{
    json_t *ours = sorted(items, compare_items), *lost = sorted(missing, compare_missing);
    char *text = ours && lost ? join(ours, lost) : NULL;

    json_decref(ours);
    json_decref(lost);
    return text;
}

static bool are_objects(const json_t *array)
{
    const json_t *object;
    size_t i;

    json_array_foreach((json_t *)array, i, object)
    {
        if (!*fs_kube_text(object, "kind")) {
            return false;
        }
    }
    return json_is_array(array);
}

json_t *fs_kube_document_load(const char *text, size_t length, const char **ret_wrong)
{
    json_t *document = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    json_int_t format = json_integer_value(json_object_get(document, "format"));

    *ret_wrong = NULL;
    if (format > FS_KUBE_DOCUMENT_FORMAT) {
        *ret_wrong = "it was written by a newer Farshore: install the newer version here";
    } else if (format < 1 || !are_objects(json_object_get(document, "objects")) ||
               !are_objects(json_object_get(document, "missing"))) {
        *ret_wrong = "it is not a set of objects";
    }
    if (*ret_wrong) {
        json_decref(document);
        return NULL;
    }
    return document;
}
