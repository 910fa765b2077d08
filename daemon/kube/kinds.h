/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of objects of the API: how a configuration names them, and where the API has them. Pure,
 * any thread.
 */
#ifndef FARSHORE_KUBE_KINDS_H
#define FARSHORE_KUBE_KINDS_H

#include <stdbool.h>
#include <stddef.h>

#define FS_KUBE_PATH_SIZE 512

/* What is captured of a group where the configuration has no list of its own; ends with NULL. */
extern const char *const fs_kube_default_kinds[];

/* "Secret", a kind that Farshore knows by name, or as kubectl has it "deployments.v1.apps" and
 * "endpoints.v1.": the resource, its version and its group. */
bool fs_kube_kind_valid(const char *name);
/* Whether it is one that Farshore knows by name. */
bool fs_kube_kind_known(const char *name);
/* Whether the two are of one kind, however each is named. */
bool fs_kube_kind_same(const char *a, const char *b);

/* "/api/v1/secrets", "/apis/apps/v1/deployments": of all namespaces. The name is valid. */
char *fs_kube_kind_path(const char *name, char ret_path[FS_KUBE_PATH_SIZE]);
/* Of one object; the kind is a known one. ns is not looked at where the kind has none. */
char *fs_kube_object_path(const char *kind, const char *ns, const char *name,
                          char ret_path[FS_KUBE_PATH_SIZE]);

/* Where objects of this kind stand in a set: what others need comes first. */
unsigned fs_kube_kind_rank(const char *kind);

#endif
