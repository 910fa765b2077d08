/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: scan every pool and RADOS namespace that a policy names, and let grouping.c make
 * groups of what the images' metadata, or the claims that Kubernetes has for them, select.
 */
#include <stdlib.h>
#include <string.h>

#include "snapshot/grouping.h"
#include "snapshot/image_meta.h"
#include "snapshot/site.h"

struct scan {
    struct fs_grouping *grouping;
    int64_t pool_id;
    const char *pool;
    const char *ns;
};

static int seen_cb(void *arg, const char *id, const char *name, int rc, const struct fs_omap *meta)
{
    const struct scan *scan = arg;
    const struct fs_grouping_image image = {.pool_id = scan->pool_id,
                                            .pool = scan->pool,
                                            .ns = scan->ns,
                                            .id = id,
                                            .name = name,
                                            .meta = meta,
                                            .meta_rc = rc};

    return fs_grouping_add(scan->grouping, &image);
}

/* 0: scan it; 1: it is not there; -errno. */
static int open_place(struct fs_cluster *cluster, const struct scan *scan, rados_ioctx_t *ret_ioctx,
                      struct fs_error *err)
{
    struct fs_error own = FS_ERROR_INIT;
    bool exists = true;
    int rc = fs_cluster_ioctx(cluster, scan->pool, "", ret_ioctx, &own);

    if (rc == -ENOENT) {
        return 1;
    }
    if (rc < 0) {
        if (err != NULL) {
            *err = own;
        }
        return rc;
    }
    if (*scan->ns != '\0') {
        rc = rbd_namespace_exists(*ret_ioctx, scan->ns, &exists);
        rados_ioctx_set_namespace(*ret_ioctx, scan->ns);
    }
    if (rc < 0 || !exists) {
        rados_ioctx_destroy(*ret_ioctx);
        return rc < 0 ? fs_cluster_error(err, rc, "looking for namespace %s in pool %s", scan->ns,
                                         scan->pool)
                      : 1;
    }
    return 0;
}

static int scan_place(struct fs_site *site, struct scan *scan, struct fs_error *err)
{
    rados_ioctx_t ioctx;
    int rc = open_place(site->cluster, scan, &ioctx, err);

    if (rc < 0) {
        return rc;
    }
    if (rc > 0) {
        rc = fs_grouping_add_missing(scan->grouping, scan->pool, scan->ns);
    } else {
        scan->pool_id = rados_ioctx_get_id(ioctx);
        rc = fs_image_meta_scan(ioctx, seen_cb, scan);
        rados_ioctx_destroy(ioctx);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "looking at the images of pool %s%s%s", scan->pool,
                                     *scan->ns != '\0' ? "/" : "", scan->ns)
                  : 0;
}

/* A pool map's left place (side 0) or its right one. */
static void get_place(const struct fs_pool_map *map, unsigned side, struct scan *scan)
{
    scan->pool = side == 0 ? map->source_pool : map->target_pool;
    scan->ns = side == 0 ? map->source_ns : map->target_ns;
}

/* Several policies may name the same place; it is looked at once. */
static bool was_scanned(const struct fs_discovery_policy *policies, size_t policy, size_t pool,
                        unsigned side, const struct scan *scan)
{
    for (size_t i = 0; i <= policy; i++) {
        size_t n = i == policy ? pool + 1 : policies[i].n_pools;

        for (size_t k = 0; k < n; k++) {
            unsigned sides = i == policy && k == pool ? side : 2;

            for (unsigned s = 0; s < sides; s++) {
                struct scan other;

                get_place(&policies[i].pools[k], s, &other);
                if (strcmp(scan->pool, other.pool) == 0 && strcmp(scan->ns, other.ns) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

static int scan_policy(struct fs_site *site, const struct fs_discovery_policy *policies, size_t i,
                       struct scan *scan, struct fs_error *err)
{
    int rc = 0;

    for (size_t k = 0; k < policies[i].n_pools && rc == 0; k++) {
        for (unsigned side = 0; side < 2 && rc == 0; side++) {
            get_place(&policies[i].pools[k], side, scan);
            if (!was_scanned(policies, i, k, side, scan)) {
                rc = scan_place(site, scan, err);
            }
        }
    }
    return rc;
}

int fs_site_discover(struct fs_site *site, const struct fs_discovery_policy *policies,
                     size_t n_policies, const struct fs_claims *claims,
                     struct fs_discovery *ret_discovery, struct fs_error *err)
{
    struct scan scan = {.grouping = fs_grouping_new(policies, n_policies, claims)};
    int rc = 0;

    *ret_discovery = (struct fs_discovery){0};
    if (scan.grouping == NULL) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n_policies && rc == 0; i++) {
        rc = scan_policy(site, policies, i, &scan, err);
    }
    if (rc == 0) {
        rc = fs_grouping_finish(scan.grouping, ret_discovery);
        if (rc < 0) {
            fs_error_set(err, FS_ERR_TRANSIENT, -rc, "out of memory");
        }
    }
    fs_grouping_free(scan.grouping);
    return rc;
}

void fs_discovery_fini(struct fs_discovery *discovery)
{
    for (size_t i = 0; i < discovery->n_groups; i++) {
        for (size_t k = 0; k < discovery->groups[i].n_volumes; k++) {
            fs_volume_fini(&discovery->groups[i].volumes[k]);
        }
        free(discovery->groups[i].volumes);
    }
    free(discovery->groups);
    free(discovery->skipped);
    *discovery = (struct fs_discovery){0};
}
