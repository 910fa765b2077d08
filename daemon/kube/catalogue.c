/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is an entry by the claim's key, "NAMESPACE/NAME", in the order of the keys, so that
 * the same objects always give the same claims. Entries that one VM names are joined (union-find,
 * the smallest index is the root); VMs that share a disk become one set by that.
 */
#include "daemon/kube/catalogue.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kube/run.h"
#include "farshore/model.h"

struct entry {
    const char *key;        /* borrowed */
    const json_t *selected; /* the PVC, or NULL: no selector matches it, or it is not there */
    const json_t *volume;   /* the PV that is bound to a PVC of this name, or NULL */
    const char *vm;         /* "NAMESPACE/NAME" of the first VM that names it, or NULL */
    size_t parent;          /* the root has itself */
    json_t *labels;         /* of a root: of all selected ones of its set; owned */
};

struct catalogue {
    const struct fs_kube_objects *objects;
    struct entry *entries;
    size_t n_entries;
    json_t *volumes; /* bound ones by the claim's key; values borrowed from objects by reference */
};

/* --- entries --------------------------------------------------------------------------------- */

static int by_key(const void *left, const void *right)
{
    return strcmp(((const struct entry *)left)->key, ((const struct entry *)right)->key);
}

static struct entry *find_entry(const struct catalogue *catalogue, const char *key)
{
    const struct entry wanted = {.key = key};

    return catalogue->n_entries == 0
               ? NULL
               : bsearch(&wanted, catalogue->entries, catalogue->n_entries, sizeof(wanted), by_key);
}

static void vm_claim_key(const char *vm, const json_t *name, char ret_key[520])
{
    (void)snprintf(ret_key, 520, "%.*s/%.255s", (int)strcspn(vm, "/"), vm, json_string_value(name));
}

/* A Released volume still names the PVC that it had: only a bound one counts. */
static int index_volumes(struct catalogue *catalogue)
{
    const char *name;
    json_t *volume;

    catalogue->volumes = json_object();
    json_object_foreach((json_t *)catalogue->objects->volumes, name, volume)
    {
        const char *claim = fs_kube_text(volume, "claim");
        if (*claim && strcmp(fs_kube_text(volume, "phase"), "Bound") == 0 &&
            json_object_set(catalogue->volumes, claim, volume) < 0) {
            return -ENOMEM;
        }
    }
    return catalogue->volumes ? 0 : -ENOMEM;
}

/* The keys of all that may become a claim, each once. */
static json_t *collect_keys(const struct catalogue *catalogue)
{
    const struct fs_kube_objects *objects = catalogue->objects;
    json_t *keys = json_object(), *value;
    const char *key;
    size_t i;
    int rc = json_object_update_new(keys, json_copy(catalogue->volumes));

    for (size_t k = 0; k < objects->n_claims; k++) {
        rc |= json_object_update(keys, (json_t *)objects->claims[k]);
    }
    json_object_foreach((json_t *)objects->vms, key, value)
    {
        json_t *name;
        json_array_foreach(json_object_get(value, "claims"), i, name)
        {
            char claim[520];
            vm_claim_key(key, name, claim);
            rc |= json_object_set_new(keys, claim, json_null());
        }
    }
    if (rc != 0) {
        json_decref(keys);
        return NULL;
    }
    return keys;
}

static int make_entries(struct catalogue *catalogue, json_t *keys)
{
    const char *key;
    json_t *value;

    catalogue->entries = calloc(json_object_size(keys) + 1, sizeof(*catalogue->entries));
    if (!catalogue->entries) {
        return -ENOMEM;
    }
    json_object_foreach(keys, key, value)
    {
        struct entry *entry = &catalogue->entries[catalogue->n_entries++];
        entry->key = key;
        entry->volume = json_object_get(catalogue->volumes, key);
        for (size_t k = 0; k < catalogue->objects->n_claims && !entry->selected; k++) {
            entry->selected = json_object_get(catalogue->objects->claims[k], key);
        }
    }
    if (catalogue->n_entries > 0) {
        qsort(catalogue->entries, catalogue->n_entries, sizeof(*catalogue->entries), by_key);
    }
    for (size_t i = 0; i < catalogue->n_entries; i++) {
        catalogue->entries[i].parent = i;
    }
    return 0;
}

/* --- what belongs together ------------------------------------------------------------------- */

static size_t root_of(struct catalogue *catalogue, size_t i)
{
    struct entry *entries = catalogue->entries;

    while (entries[i].parent != i) {
        entries[i].parent = entries[entries[i].parent].parent;
        i = entries[i].parent;
    }
    return i;
}

static void join_vm(struct catalogue *catalogue, const char *vm, const json_t *names)
{
    size_t first = SIZE_MAX, i;
    const json_t *name;

    json_array_foreach((json_t *)names, i, name)
    {
        char key[520];
        vm_claim_key(vm, name, key);
        struct entry *entry = find_entry(catalogue, key);
        size_t at = (size_t)(entry - catalogue->entries);
        if (!entry->vm || strcmp(vm, entry->vm) < 0) {
            entry->vm = vm;
        }
        at = root_of(catalogue, at);
        if (first != SIZE_MAX) {
            size_t other = root_of(catalogue, first);
            size_t root = at < other ? at : other;
            catalogue->entries[at].parent = catalogue->entries[other].parent = root;
        }
        first = at;
    }
}

static int merge_labels(struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->n_entries; i++) {
        const struct entry *entry = &catalogue->entries[i];
        struct entry *root = &catalogue->entries[root_of(catalogue, i)];
        json_t *labels = json_object_get(entry->selected, "labels");

        if (!entry->selected) {
            continue;
        }
        if (!root->labels) {
            root->labels = json_object();
        }
        if (json_object_update_missing(root->labels, labels) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* --- claims ---------------------------------------------------------------------------------- */

static void set_problem(struct fs_claim *claim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void set_problem(struct fs_claim *claim, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vasprintf(&claim->problem, format, args) < 0) {
        claim->problem = NULL;
    }
    va_end(args);
}

/* ceph-csi's driver has names such as rook-ceph.rbd.csi.ceph.com. */
static bool is_rbd(const json_t *volume)
{
    static const char rbd[] = "rbd.csi.ceph.com";
    const char *driver = fs_kube_text(volume, "driver");
    size_t length = strlen(driver);

    return length >= sizeof(rbd) - 1 && strcmp(driver + length - (sizeof(rbd) - 1), rbd) == 0;
}

static const char *image_of(const json_t *volume)
{
    const json_t *attributes = json_object_get(volume, "attributes");

    return strcmp(fs_kube_text(attributes, "staticVolume"), "true") == 0
               ? fs_kube_text(volume, "handle")
               : fs_kube_text(attributes, "imageName");
}

static bool is_ours(const struct fs_kube_objects *objects, const json_t *volume)
{
    return is_rbd(volume) &&
           strcmp(fs_kube_text(json_object_get(volume, "attributes"), "clusterID"),
                  objects->cluster_id) == 0;
}

/* The PVC's and the PV's word must agree: a PVC that was made again is not the old one. */
static bool is_bound(const struct entry *entry)
{
    const json_t *pvc = entry->selected;

    return entry->volume && (!pvc || (strcmp(fs_kube_text(pvc, "phase"), "Bound") == 0 &&
                                      strcmp(fs_kube_text(pvc, "uid"),
                                             fs_kube_text(entry->volume, "claim_uid")) == 0));
}

static void find_problem(const struct catalogue *catalogue, const struct entry *entry,
                         struct fs_claim *claim)
{
    const json_t *attributes = json_object_get(entry->volume, "attributes");
    const char *driver = fs_kube_text(entry->volume, "driver");

    if (!is_bound(entry)) {
        if (!entry->selected) {
            set_problem(claim,
                        "virtual machine %s names it, and there is no bound PVC of that name",
                        entry->vm ? entry->vm : "");
        } else {
            set_problem(claim, "it is not bound to a volume (phase %s)",
                        fs_kube_text(entry->selected, "phase"));
        }
    } else if (!is_rbd(entry->volume)) {
        set_problem(claim, "its volume is not a Ceph RBD image: its driver is %s",
                    *driver ? driver : "none of CSI");
    } else if (!is_ours(catalogue->objects, entry->volume)) {
        set_problem(claim,
                    "its volume is in the Ceph cluster with clusterID %s, and this site's is %s "
                    "(discovery.cluster_id)",
                    fs_kube_text(attributes, "clusterID"), catalogue->objects->cluster_id);
    } else if (!*fs_kube_text(attributes, "pool") || !*image_of(entry->volume)) {
        set_problem(claim, "its volume does not say which pool and image it is "
                           "(volumeAttributes pool and imageName)");
    }
}

static char *dump(const json_t *labels)
{
    return json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
}

static int set_labels(const struct entry *entry, const struct entry *root, struct fs_claim *claim)
{
    if (!root->labels) {
        return 0;
    }
    claim->labels =
        dump(entry->selected ? json_object_get(entry->selected, "labels") : root->labels);
    if (entry->vm) {
        claim->group_labels = dump(root->labels);
    }
    return claim->labels && (!entry->vm || claim->group_labels) ? 0 : -ENOMEM;
}

static const char *name_in(const char *key)
{
    const char *slash = strchr(key, '/');

    return slash ? slash + 1 : key;
}

static int set_names(const struct entry *entry, const struct entry *root, struct fs_claim *claim)
{
    const json_t *attributes = json_object_get(entry->volume, "attributes");
    bool known = !claim->problem;

    claim->ns = strndup(entry->key, strcspn(entry->key, "/"));
    claim->name = strdup(name_in(entry->key));
    claim->pool = strdup(known ? fs_kube_text(attributes, "pool") : "");
    claim->rados_ns = strdup(known ? fs_kube_text(attributes, "radosNamespace") : "");
    claim->image = strdup(known ? image_of(entry->volume) : "");
    if (entry->vm) {
        claim->vm = strdup(name_in(entry->vm));
        claim->app = strdup(name_in(root->vm));
    }
    return claim->ns && claim->name && claim->pool && claim->rados_ns && claim->image &&
                   (!entry->vm || (claim->vm && claim->app))
               ? 0
               : -ENOMEM;
}

static int add_claim(struct catalogue *catalogue, size_t i, struct fs_claims *claims)
{
    const struct entry *entry = &catalogue->entries[i];
    const struct entry *root = &catalogue->entries[root_of(catalogue, i)];
    struct fs_claim *claim = &claims->list[claims->count];

    if (!root->labels && (!entry->volume || !is_ours(catalogue->objects, entry->volume) ||
                          !*image_of(entry->volume))) {
        return 0;
    }
    claims->count++;
    find_problem(catalogue, entry, claim);
    int rc = set_names(entry, root, claim);
    return rc < 0 ? rc : set_labels(entry, root, claim);
}

static int make_claims(struct catalogue *catalogue, struct fs_claims *claims)
{
    int rc = 0;

    claims->list = calloc(catalogue->n_entries + 1, sizeof(*claims->list));
    if (!claims->list) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < catalogue->n_entries && rc == 0; i++) {
        rc = add_claim(catalogue, i, claims);
    }
    return rc;
}

static int build(struct catalogue *catalogue, json_t *keys, struct fs_claims *claims)
{
    const char *vm;
    json_t *value;
    int rc = keys ? make_entries(catalogue, keys) : -ENOMEM;

    if (rc < 0) {
        return rc;
    }
    json_object_foreach((json_t *)catalogue->objects->vms, vm, value)
    {
        join_vm(catalogue, vm, json_object_get(value, "claims"));
    }
    rc = merge_labels(catalogue);
    return rc < 0 ? rc : make_claims(catalogue, claims);
}

int fs_kube_catalogue(const struct fs_kube_objects *objects, struct fs_claims *ret_claims)
{
    struct catalogue catalogue = {.objects = objects};
    json_t *keys = NULL;
    int rc = index_volumes(&catalogue);

    *ret_claims = (struct fs_claims){0};
    if (rc == 0) {
        keys = collect_keys(&catalogue);
        rc = build(&catalogue, keys, ret_claims);
    }
    for (size_t i = 0; i < catalogue.n_entries; i++) {
        json_decref(catalogue.entries[i].labels);
    }
    free(catalogue.entries);
    json_decref(keys);
    json_decref(catalogue.volumes);
    if (rc < 0) {
        fs_claims_fini(ret_claims);
    }
    return rc;
}

json_t *fs_kube_images(const struct fs_kube_objects *objects)
{
    json_t *images = json_object(), *volume;
    const char *name;

    json_object_foreach((json_t *)objects->volumes, name, volume)
    {
        const json_t *attributes = json_object_get(volume, "attributes");
        struct fs_image_ref ref;
        char spec[FS_IMAGE_SPEC_SIZE];
        if (!is_ours(objects, volume)) {
            continue;
        }
        (void)snprintf(ref.pool, sizeof(ref.pool), "%s", fs_kube_text(attributes, "pool"));
        (void)snprintf(ref.ns, sizeof(ref.ns), "%s", fs_kube_text(attributes, "radosNamespace"));
        (void)snprintf(ref.name, sizeof(ref.name), "%s", image_of(volume));
        fs_image_spec(&ref, spec);
        if (strcmp(fs_kube_text(json_object_get(images, spec), "reclaim"), "Delete") != 0 &&
            json_object_set_new(images, spec,
                                json_pack("{s:s, s:O}", "volume", name, "reclaim",
                                          json_object_get(volume, "reclaim"))) < 0) {
            json_decref(images);
            return NULL;
        }
    }
    return images;
}
