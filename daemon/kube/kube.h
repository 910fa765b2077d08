/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one Kubernetes API says of volumes, kept up to date: PVCs by label selectors, PVs, and
 * KubeVirt's VirtualMachines where there are such. LOOP only.
 */
#ifndef FARSHORE_KUBE_H
#define FARSHORE_KUBE_H

#include <event2/event.h>

#include "farshore/claim.h"
#include "farshore/error.h"

struct fs_kube;

struct fs_kube_options {
    struct event_base *base;
    const char *kubeconfig; /* copied; NULL: the service account of our pod */
    /* Texts of label selectors, copied; PVCs that none matches are not asked for. */
    const char *const *selectors;
    size_t n_selectors;
    unsigned page;               /* objects in an answer at most; 0: 200 */
    const char *service_account; /* static; NULL: FS_KUBE_SERVICE_ACCOUNT */
    /* There is something new to see, at most twice a second. */
    void (*changed)(void *arg);
    void *arg;
};

/* Begins at once. NULL when out of memory. */
struct fs_kube *fs_kube_new(const struct fs_kube_options *options);
void fs_kube_free(struct fs_kube *kube);

/* Every kind was listed once: from then on claims are known, also while the API is away. */
bool fs_kube_is_whole(const struct fs_kube *kube);

/* cluster_id: of our own Ceph cluster. 0, -EAGAIN before it is whole, -ENOMEM; ret_claims needs
 * fs_claims_fini. */
int fs_kube_claims(const struct fs_kube *kube, const char *cluster_id,
                   struct fs_claims *ret_claims);

/* As fs_kube_images() of catalogue.h; borrowed until the loop goes on. NULL before it is whole and
 * when out of memory. */
const struct json_t *fs_kube_volumes(struct fs_kube *kube, const char *cluster_id);

/* NULL while the API answers; else what is wrong (borrowed until the loop goes on), and since
 * when (wall clock). */
const char *fs_kube_trouble(const struct fs_kube *kube, int64_t *ret_since_ns);

#endif
