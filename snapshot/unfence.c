/* SPDX-License-Identifier: Apache-2.0 */
/* Letting in again whom fence.c kept out: first the entry of the blocklist goes, then ours. */
#include <stdlib.h>
#include <string.h>

#include "farshore/fault.h"
#include "snapshot/fence.h"
#include "snapshot/fence_record.h"

/* The other site may be gone, and somebody waits for the failover. */
#define OTHER_TIMEOUT_NS (10 * FS_SEC)

int fs_fence_reach_open(const struct fs_fence_reach *other, struct fs_cluster **ret_cluster,
                        struct fs_error *err)
{
    if (!other->conf[0]) {
        return fs_error_set(err, FS_ERR_CONFIG, EHOSTUNREACH,
                            "there is no way to %.100s's cluster: peers.%.100s.fence of the "
                            "configuration names none",
                            other->site, other->site);
    }
    return fs_cluster_open(other->conf, other->user, OTHER_TIMEOUT_NS, ret_cluster, err);
}

int fs_fence_list_append(struct fs_fence_list *list, const struct fs_fence *fence,
                         struct fs_error *err)
{
    struct fs_fence *fences = reallocarray(list->fences, list->count + 1, sizeof(*fences));

    if (!fences) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of fences");
    }
    list->fences = fences;
    fences[list->count++] = *fence;
    return 0;
}

/* Another group may have fenced the same client: then it stays out. */
static bool is_shared(const struct fs_fence *fences, size_t count, const struct fs_fence *fence)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fences[i].address, fence->address) == 0 &&
            strcmp(fences[i].site, fence->site) == 0 &&
            !fs_uuid_equal(&fences[i].group, &fence->group)) {
            return true;
        }
    }
    return false;
}

/* One entry: out of the blocklist of its cluster (opened where it is needed), then forgotten. */
static int lift(struct fs_site *site, const struct fs_fence_order *order,
                const struct fs_fence *fence, bool shared, struct fs_cluster **other,
                struct fs_error *err)
{
    struct fs_cluster *cluster = site->cluster;
    int rc = 0;

    if (strcmp(fence->site, order->site) != 0) {
        if (!*other) {
            rc = fs_fence_reach_open(&order->other, other, err);
        }
        cluster = *other;
    }
    if (rc == 0 && !shared) {
        rc = fs_cluster_unblocklist(cluster, fence->address, err);
        fs_fault("unfence.lifted");
    }
    return rc == 0 ? fs_fence_forget(site->state, fence, err) : rc;
}

int fs_fence_lift(struct fs_site *site, const struct fs_fence_order *order,
                  struct fs_fence_list *ret_list, struct fs_error *err)
{
    struct fs_cluster *other = NULL;
    struct fs_fence *fences = NULL;
    size_t count = 0;

    *ret_list = (struct fs_fence_list){.all_seen = true};
    int rc = fs_fence_load(site->state, &fences, &count, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (fs_uuid_equal(&fences[i].group, &order->group)) {
            rc = lift(site, order, &fences[i], is_shared(fences, count, &fences[i]), &other, err);
            if (rc == 0) {
                rc = fs_fence_list_append(ret_list, &fences[i], err);
            }
        }
    }
    free(fences);
    fs_cluster_close(other);
    return rc;
}
