/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects that are written at the site that became primary: PersistentVolumes and their claims,
 * made for the group's images there, and captured objects, made fit for another cluster. Pure, any
 * thread; what is returned is the caller's, and NULL when out of memory where nothing else is said.
 */
#ifndef FARSHORE_KUBE_MANIFEST_H
#define FARSHORE_KUBE_MANIFEST_H

#include <stdbool.h>

#include <jansson.h>

#include "farshore/error.h"

/*
 * A volume of the group at this site:
 *   {"uuid", "namespace", "claim", "cluster_id", "pool", "rados_namespace", "image", "size_bytes"}
 * claim and captured: the PVC and the PV that were captured, or NULL.
 */

/* The name of the class that the PVC gets here: classes maps those of the other site, "*" any that
 * it does not name; one that it does not map has the same name. NULL where nothing says one. */
const char *fs_kube_class_name(const json_t *classes, const json_t *claim);

/* class: the StorageClass object here. NULL with err: it is not one of Ceph's RBD driver. */
json_t *fs_kube_make_volume(const json_t *volume, const json_t *claim, const json_t *captured,
                            const json_t *storage_class, struct fs_error *err);
json_t *fs_kube_make_claim(const json_t *volume, const json_t *claim, const json_t *storage_class);
/* "farshore-UUID"; of fs_kube_make_volume's. */
#define FS_KUBE_VOLUME_NAME_SIZE 64
char *fs_kube_volume_name(const json_t *volume, char ret_name[FS_KUBE_VOLUME_NAME_SIZE]);
/* Does the PV of this site lead to the volume's image? */
bool fs_kube_leads_to(const json_t *persistent_volume, const json_t *volume);

/*
 * What is applied for a captured object: without what only its own cluster gives, a DataVolume (and
 * a VirtualMachine's templates of such) told that it is populated, a workload halted and annotated
 * or, where live is the one that is there, as it runs now. live: or NULL.
 */
json_t *fs_kube_prepare(const json_t *captured, const json_t *live);

/* Objects of a lower rank are needed by those of a higher one. */
unsigned fs_kube_rank(const json_t *object);

/* Farshore made the object, or has changed it. */
bool fs_kube_is_ours(const json_t *live);
/* Alike but for what the API itself counts. */
bool fs_kube_is_same(const json_t *live, const json_t *tried);

#endif
