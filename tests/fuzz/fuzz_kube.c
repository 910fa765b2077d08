/* SPDX-License-Identifier: Apache-2.0 */
/* What a Kubernetes API answers: any JSON gives claims of which each has an image or a problem; and
 * a kubeconfig's YAML. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/kube/access.h"
#include "daemon/kube/catalogue.h"
#include "daemon/kube/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The object that the text has at `name`, each of its values reduced. */
static json_t *reduce(const json_t *root, const char *name, json_t *(*reduced)(const json_t *))
{
    json_t *items = json_object(), *value;
    const char *key;

    json_object_foreach(json_object_get(root, name), key, value)
    {
        json_object_set_new(items, key, reduced(value));
    }
    return items;
}

static void check(const struct fs_claims *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        const struct fs_claim *claim = &claims->list[i];

        if (!claim->ns || !claim->name || !claim->problem != (*claim->image != '\0') ||
            !claim->vm != !claim->app) {
            abort();
        }
    }
}

static void build(const json_t *root)
{
    json_t *claims = reduce(root, "claims", fs_kube_reduce_claim);
    json_t *volumes = reduce(root, "volumes", fs_kube_reduce_volume);
    json_t *vms = reduce(root, "vms", fs_kube_reduce_vm);
    const json_t *const lists[] = {claims, claims};
    const struct fs_kube_objects objects = {
        .claims = lists, .n_claims = 2, .volumes = volumes, .vms = vms, .cluster_id = "c"};
    struct fs_claims made;

    if (fs_kube_catalogue(&objects, &made) == 0) {
        check(&made);
        fs_claims_fini(&made);
    }
    json_decref(claims);
    json_decref(volumes);
    json_decref(vms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_error err = FS_ERROR_INIT;
    json_t *yaml = fs_kube_yaml("f", data, size, &err);
    json_t *root = json_loadb((const char *)data, size, 0, NULL);

    if (!yaml != fs_error_is_set(&err)) {
        abort();
    }
    if (root) {
        build(root);
    }
    json_decref(yaml);
    json_decref(root);
    return 0;
}
