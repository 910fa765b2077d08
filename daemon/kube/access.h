/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How to reach a Kubernetes API, and as whom: from a kubeconfig file, or from the service account
 * of the pod that the daemon runs in. Everything is read anew for each request, so whatever
 * rotates tokens, certificates or the file itself needs to tell nobody. Blocks on local files only.
 */
#ifndef FARSHORE_KUBE_ACCESS_H
#define FARSHORE_KUBE_ACCESS_H

#include "farshore/buf.h"
#include "farshore/error.h"

/* A file, and what is in it: more is refused. */
#define FS_KUBE_FILE_MAX (1u << 20)

#define FS_KUBE_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct fs_kube_access {
    char *server;            /* https://host[:port][/path], without a slash at the end */
    char *token;             /* NULL: none */
    struct fs_buf ca;        /* PEM; empty: the system's authorities */
    struct fs_buf cert, key; /* PEM of the client; empty: none */
};

/*
 * The current context of a kubeconfig. What it asks for and Farshore does not do (to skip the check
 * of the server's certificate, to run a program for a token, a password, a proxy) is refused by
 * name. 0, or -errno with the file and what to change; ret_access then holds nothing.
 */
int fs_kube_access_load(const char *path, struct fs_kube_access *ret_access, struct fs_error *err);

/* The service account in directory (FS_KUBE_SERVICE_ACCOUNT), and the API's address from the
 * environment that Kubernetes gives each pod. */
int fs_kube_access_in_cluster(const char *directory, struct fs_kube_access *ret_access,
                              struct fs_error *err);

/* Keys and tokens are wiped. */
void fs_kube_access_fini(struct fs_kube_access *access);

/* A YAML (or JSON) text as JSON, every scalar a string; NULL with err. Pure, any thread. */
struct json_t *fs_kube_yaml(const char *name, const void *text, size_t length,
                            struct fs_error *err);

#endif
