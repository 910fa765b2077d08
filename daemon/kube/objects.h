/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the API's objects is kept: one function for each kind, from the whole object to the few
 * fields that the catalogue reads. NULL when out of memory. Pure, any thread.
 */
#ifndef FARSHORE_KUBE_OBJECTS_H
#define FARSHORE_KUBE_OBJECTS_H

#include <jansson.h>

/* {"labels": {}, "uid", "volume": of its PV, "phase"} */
json_t *fs_kube_reduce_claim(const json_t *object);
/* {"claim": "NAMESPACE/NAME", "claim_uid", "phase", "reclaim", "driver", "handle", "attributes":
 * {}}; of attributes only those that lead to an image. */
json_t *fs_kube_reduce_volume(const json_t *object);
/* {"claims": [NAME, ...]}: the PVCs that are its disks. */
json_t *fs_kube_reduce_vm(const json_t *object);

#endif
