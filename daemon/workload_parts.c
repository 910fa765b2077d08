/* SPDX-License-Identifier: Apache-2.0 */
/* What a group is to Kubernetes. */
#include <stdio.h>

#include "daemon/groups.h"
#include "daemon/kube_source.h"
#include "daemon/workload_private.h"

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

json_t *fs_workload_claims(const struct fs_group *group)
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

void fs_workload_parts_of(const struct fs_group *group, struct fs_workload_parts *ret_parts)
{
    const struct fs_config_source *source = group->ctx->config->kubernetes;

    *ret_parts = (struct fs_workload_parts){
        .volumes = volumes_of(group), .classes = classes_of(source), .kinds = kinds_of(source)};
}

void fs_workload_parts_fini(struct fs_workload_parts *parts)
{
    json_decref(parts->volumes);
    json_decref(parts->classes);
    json_decref(parts->kinds);
}

int fs_workload_load(struct fs_group *group, const struct fs_uuid *id, fs_capture_load_fn *done,
                     void *arg, struct fs_error *left)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct fs_record_point *point = fs_record_find_point(group->record, id);
    struct fs_error err = FS_ERROR_INIT;

    if (!policy || policy->no_objects || fs_uuid_is_zero(id)) {
        return 1;
    }
    if (!point) {
        (void)fs_error_set(
            left, FS_ERR_PERMANENT, ENOENT,
            "the point that the volumes came from is gone, and its Kubernetes "
            "objects with it: only the volumes were bound, apply the others by hand");
        return 1;
    }
    if (point->objects.size == 0) {
        return 1;
    }
    int rc = fs_capture_load(group, id, done, arg, &err);
    if (rc == 0) {
        group->ctx->groups->noting++;
    }
    return rc;
}
