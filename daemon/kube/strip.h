/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of an object of the API can be taken to another cluster, what it refers to by name, and the
 * document that a point carries. Pure, any thread; out of memory gives NULL or less than there is.
 */
#ifndef FARSHORE_KUBE_STRIP_H
#define FARSHORE_KUBE_STRIP_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Take out what belongs to the object's cluster: uids, versions, owners, states, addresses that the
 * cluster gave, names of nodes, notes of its controllers and of Farshore. In place. False: nothing
 * of it is of use elsewhere.
 */
bool fs_kube_strip(json_t *object);

/* A name as the API has them: of letters, digits, '-' and '.'. What refers to something may hold
 * anything. */
bool fs_kube_name_valid(const char *name);

/*
 * What an object needs, in its namespace: {"kind", "name", "optional": true or absent}, each once.
 * Of VirtualMachines, DataVolumes and PersistentVolumeClaims, as the API gives them (not stripped).
 * A new reference.
 */
json_t *fs_kube_references(const json_t *object);

/*
 * The one of a set: {"api", "kind", "ns", "name", "labels", "references", "text"}; text is the
 * stripped object as canonical JSON, "" where there is nothing to carry. A new reference.
 */
json_t *fs_kube_reduce_object(const json_t *object);

/*
 * The document of a set, as canonical JSON (keys sorted, no spaces), so that equal sets are equal
 * bytes:
 *   {"format": 1, "missing": [...], "objects": [...]}
 * items: what fs_kube_reduce_object made. missing: {"kind", "name", "referred_by", "reason"}.
 * Both are arrays; sorted here. The text is the caller's.
 */
#define FS_KUBE_DOCUMENT_FORMAT 1
char *fs_kube_document(json_t *items, json_t *missing);

/*
 * A document from its text: NULL with what is wrong, of one that is newer, too. A new reference.
 * "objects" and "missing" are arrays of objects; each has a "kind" and a name.
 */
json_t *fs_kube_document_load(const char *text, size_t length, const char **ret_wrong);

/* Values of a Secret's data are not shown: each becomes the empty text. In place. */
void fs_kube_mask(json_t *object);

#endif
