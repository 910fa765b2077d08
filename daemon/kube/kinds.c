/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/kube/kinds.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct kind {
    const char *kind, *resource, *version, *group;
    bool cluster_wide;
};

/* In the order in which they are applied: what others need comes first. */
static const struct kind known[] = {
    {"Secret", "secrets", "v1", "", false},
    {"ConfigMap", "configmaps", "v1", "", false},
    {"ControllerRevision", "controllerrevisions", "v1", "apps", false},
    {"PersistentVolume", "persistentvolumes", "v1", "", true},
    {"PersistentVolumeClaim", "persistentvolumeclaims", "v1", "", false},
    {"DataVolume", "datavolumes", "v1beta1", "cdi.kubevirt.io", false},
    {"Service", "services", "v1", "", false},
    {"Route", "routes", "v1", "route.openshift.io", false},
    {"VirtualMachine", "virtualmachines", "v1", "kubevirt.io", false},
    {"VirtualMachineSnapshot", "virtualmachinesnapshots", "v1beta1", "snapshot.kubevirt.io", false},
};

#define N_KNOWN (sizeof(known) / sizeof(known[0]))
/* Others stand before the machines. */
#define RANK_MACHINES 8u

const char *const fs_kube_default_kinds[] = {
    "Secret", "ConfigMap",      "PersistentVolumeClaim",  "DataVolume", "Service",
    "Route",  "VirtualMachine", "VirtualMachineSnapshot", NULL,
};

static const struct kind *find(const char *name)
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        if (strcmp(known[i].kind, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

/* So many of the bytes a name of the API's may have; dots only where they are allowed. */
static size_t word_length(const char *text, bool dots)
{
    size_t length = 0;

    while (islower((unsigned char)text[length]) || isdigit((unsigned char)text[length]) ||
           text[length] == '-' || (dots && text[length] == '.')) {
        length++;
    }
    return length;
}

/* The lengths of "RESOURCE.VERSION.GROUP"; false where it is not of that form. */
static bool split(const char *name, size_t *ret_resource, size_t *ret_version)
{
    *ret_resource = word_length(name, false);
    if (*ret_resource == 0 || name[*ret_resource] != '.') {
        return false;
    }
    const char *version = name + *ret_resource + 1;
    *ret_version = word_length(version, false);
    if (*ret_version < 2 || version[0] != 'v' || version[*ret_version] != '.') {
        return false;
    }
    const char *group = version + *ret_version + 1;
    return group[word_length(group, true)] == '\0';
}

bool fs_kube_kind_known(const char *name)
{
    return find(name) != NULL;
}

bool fs_kube_kind_valid(const char *name)
{
    size_t resource, version;

    return find(name) || (strlen(name) < FS_KUBE_PATH_SIZE / 2 && split(name, &resource, &version));
}

char *fs_kube_kind_path(const char *name, char ret_path[FS_KUBE_PATH_SIZE])
{
    const struct kind *kind = find(name);
    size_t resource = 0, version = 0;

    if (kind) {
        (void)snprintf(ret_path, FS_KUBE_PATH_SIZE, "/api%s%s%s/%s/%s", kind->group[0] ? "s" : "",
                       kind->group[0] ? "/" : "", kind->group, kind->version, kind->resource);
        return ret_path;
    }
    (void)split(name, &resource, &version);
    const char *group = name + resource + 1 + version + 1;
    (void)snprintf(ret_path, FS_KUBE_PATH_SIZE, "/api%s%s%s/%.*s/%.*s", group[0] ? "s" : "",
                   group[0] ? "/" : "", group, (int)version, name + resource + 1, (int)resource,
                   name);
    return ret_path;
}

char *fs_kube_object_path(const char *kind, const char *ns, const char *name,
                          char ret_path[FS_KUBE_PATH_SIZE])
{
    const struct kind *found = find(kind);

    (void)snprintf(ret_path, FS_KUBE_PATH_SIZE, "/api%s%s%s/%s%s%.80s/%s/%.260s",
                   found->group[0] ? "s" : "", found->group[0] ? "/" : "", found->group,
                   found->version, found->cluster_wide ? "" : "/namespaces/",
                   found->cluster_wide ? "" : ns, found->resource, name);
    return ret_path;
}

bool fs_kube_kind_same(const char *a, const char *b)
{
    char path_a[FS_KUBE_PATH_SIZE], path_b[FS_KUBE_PATH_SIZE];

    return strcmp(fs_kube_kind_path(a, path_a), fs_kube_kind_path(b, path_b)) == 0;
}

unsigned fs_kube_kind_rank(const char *kind)
{
    const struct kind *found = find(kind);
    unsigned rank = found ? (unsigned)(found - known) : RANK_MACHINES;

    return found && rank >= RANK_MACHINES ? rank + 1 : rank;
}
