/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the API says to claims: which PVC is which image, which disks belong together, and
 * what keeps a selected PVC from being protected. Pure; any thread.
 */
#ifndef FARSHORE_KUBE_CATALOGUE_H
#define FARSHORE_KUBE_CATALOGUE_H

#include <jansson.h>

#include "farshore/claim.h"

/* Objects as objects.h reduces them, by "NAMESPACE/NAME" (volumes: by name). */
struct fs_kube_objects {
    const json_t *const *claims; /* those that one selector each matches */
    size_t n_claims;
    const json_t *volumes;
    const json_t *vms;
    const char *cluster_id; /* clusterID of the site's own Ceph cluster in volumeAttributes */
};

/*
 * Every selected PVC, every other disk of a VM that has a selected one, and every other PVC that is
 * an image of our cluster (labels NULL). 0 or -ENOMEM; ret_claims needs fs_claims_fini.
 */
int fs_kube_catalogue(const struct fs_kube_objects *objects, struct fs_claims *ret_claims);

/* The other way round: an image of our cluster, as fs_image_spec names it: {"volume": name of its
 * PV, "reclaim": its policy}. Where several PVs are one image, one that would delete it counts. A
 * new reference, NULL when out of memory. */
json_t *fs_kube_images(const struct fs_kube_objects *objects);

#endif
