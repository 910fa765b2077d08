/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/objects.h"

#include <stdio.h>

#include "daemon/kube/run.h"

json_t *fs_kube_reduce_claim(const json_t *object)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *labels = json_object_get(metadata, "labels");

    return json_pack("{s:o, s:s, s:s, s:s}", "labels",
                     json_is_object(labels) ? json_deep_copy(labels) : json_object(), "uid",
                     fs_kube_text(metadata, "uid"), "volume",
                     fs_kube_text(json_object_get(object, "spec"), "volumeName"), "phase",
                     fs_kube_text(json_object_get(object, "status"), "phase"));
}

static json_t *attributes_of(const json_t *csi)
{
    static const char *const kept[] = {"clusterID", "pool", "imageName", "radosNamespace",
                                       "staticVolume"};
    const json_t *all = json_object_get(csi, "volumeAttributes");
    json_t *attributes = json_object();

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(all, kept[i]);
        if (json_is_string(value)) {
            (void)json_object_set(attributes, kept[i], value);
        }
    }
    return attributes;
}

json_t *fs_kube_reduce_volume(const json_t *object)
{
    const json_t *spec = json_object_get(object, "spec");
    const json_t *claim = json_object_get(spec, "claimRef"), *csi = json_object_get(spec, "csi");
    char key[520] = "";

    if (claim) {
        (void)snprintf(key, sizeof(key), "%.255s/%.255s", fs_kube_text(claim, "namespace"),
                       fs_kube_text(claim, "name"));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "claim", key, "claim_uid",
                     fs_kube_text(claim, "uid"), "phase",
                     fs_kube_text(json_object_get(object, "status"), "phase"), "reclaim",
                     fs_kube_text(spec, "persistentVolumeReclaimPolicy"), "driver",
                     fs_kube_text(csi, "driver"), "handle", fs_kube_text(csi, "volumeHandle"),
                     "attributes", attributes_of(csi));
}

json_t *fs_kube_reduce_vm(const json_t *object)
{
    const json_t *template = json_object_get(json_object_get(object, "spec"), "template");
    const json_t *volumes = json_object_get(json_object_get(template, "spec"), "volumes");
    json_t *claims = json_array();
    const json_t *volume;
    size_t i;

    json_array_foreach((json_t *)volumes, i, volume)
    {
        const char *claim =
            fs_kube_text(json_object_get(volume, "persistentVolumeClaim"), "claimName");
        /* A DataVolume makes a PVC of its own name. */
        const char *data = fs_kube_text(json_object_get(volume, "dataVolume"), "name");
        const char *name = *claim ? claim : data;
        if (*name) {
            (void)json_array_append_new(claims, json_string(name));
        }
    }
    return json_pack("{s:o}", "claims", claims);
}
