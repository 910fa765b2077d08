/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/allow.h"

#include <stdio.h>
#include <string.h>

#include "daemon/kube/kinds.h"
#include "daemon/kube/run.h"

static bool is_of_group(const json_t *volumes, const char *ns)
{
    const json_t *volume;
    size_t i;

    json_array_foreach((json_t *)volumes, i, volume)
    {
        if (strcmp(fs_kube_text(volume, "namespace"), ns) == 0) {
            return true;
        }
    }
    return false;
}

/* "deployments.v1.apps", as a configuration names any kind. */
static void put_full_name(const json_t *object, const json_t *served, char *name, size_t size)
{
    const char *version = fs_kube_text(object, "apiVersion"), *slash = strchr(version, '/');

    (void)snprintf(name, size, "%s.%s.%.*s", fs_kube_text(served, "plural"),
                   slash ? slash + 1 : version, slash ? (int)(slash - version) : 0, version);
}

static bool is_kind_allowed(const json_t *object, const json_t *served,
                            const struct fs_kube_allowed *allowed)
{
    const char *kind = fs_kube_text(object, "kind");
    const json_t *listed;
    char name[FS_KUBE_PATH_SIZE];
    size_t i;

    put_full_name(object, served, name, sizeof(name));
    if (!fs_kube_kind_valid(name)) {
        return false;
    }
    json_array_foreach((json_t *)allowed->kinds, i, listed)
    {
        if (fs_kube_kind_same(name, json_string_value(listed))) {
            return true;
        }
    }
    return fs_kube_kind_valid(kind) && fs_kube_kind_same(name, kind);
}

const char *fs_kube_why_left_out(const json_t *object, const json_t *served,
                                 const struct fs_kube_allowed *allowed)
{
    const char *kind = fs_kube_text(object, "kind");
    const char *ns = fs_kube_text(json_object_get(object, "metadata"), "namespace");

    if (!json_is_true(json_object_get(served, "namespaced"))) {
        return "it belongs to no namespace";
    }
    if (!is_of_group(allowed->volumes, ns)) {
        return "no volume of the group is in its namespace";
    }
    if (!is_kind_allowed(object, served, allowed)) {
        return "objects.kinds of this site does not name its kind";
    }
    if (strcmp(kind, "Secret") == 0 && !allowed->secrets) {
        return "objects.secrets of this site is false";
    }
    if (strcmp(kind, "VirtualMachineSnapshot") == 0) {
        return "it would take a new snapshot here";
    }
    return NULL;
}
