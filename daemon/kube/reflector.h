/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of one kind of objects of the API that keeps itself up to date: list, page by page, then
 * watch from the list's version on, for ever. An answer that the version is gone (410, as a status
 * or as an event) lists again; the old copy stays until the new list is whole, so nothing flickers.
 * What fails is tried again with back-off, and meanwhile the copy stays what it was. LOOP only.
 */
#ifndef FARSHORE_KUBE_REFLECTOR_H
#define FARSHORE_KUBE_REFLECTOR_H

#include <jansson.h>

#include "daemon/kube/http.h"

struct fs_kube_reflector;

/* 0 with the access of the next request, or -errno; fs_kube_access_fini is the caller's. */
typedef int fs_kube_access_fn(void *arg, struct fs_kube_access *ret_access, struct fs_error *err);
/* What of an object is worth keeping: a new reference, or NULL when out of memory. */
typedef json_t *fs_kube_reduce_fn(const json_t *object);
/* The copy changed, it became whole, or the state did. Not called from inside start and free. */
typedef void fs_kube_changed_fn(void *arg);

struct fs_kube_reflector_options {
    struct event_base *base;
    struct fs_kube_http *http;
    const char *path;     /* "/api/v1/persistentvolumes"; static */
    const char *what;     /* "persistent volumes", for messages; static */
    const char *rights;   /* which file of docs/kubernetes has them; static */
    const char *selector; /* of labels, copied; NULL: all */
    bool optional;        /* where the server does not know such objects (404), there are none */
    unsigned page;        /* objects in an answer at most */
    fs_kube_reduce_fn *reduce;
    fs_kube_access_fn *access;
    fs_kube_changed_fn *changed;
    void *arg;
};

/* Begins at once. NULL when out of memory. */
struct fs_kube_reflector *fs_kube_reflector_new(const struct fs_kube_reflector_options *options);
void fs_kube_reflector_free(struct fs_kube_reflector *reflector);

/* "NAMESPACE/NAME" or "NAME": what reduce made of each. Borrowed until the loop goes on. */
const json_t *fs_kube_reflector_items(const struct fs_kube_reflector *reflector);
/* A whole list has come once. */
bool fs_kube_reflector_is_whole(const struct fs_kube_reflector *reflector);
/* NULL while all is well; else why not. ret_since_ns: wall clock, of the first failure in a row. */
const char *fs_kube_reflector_trouble(const struct fs_kube_reflector *reflector,
                                      int64_t *ret_since_ns);

#endif
