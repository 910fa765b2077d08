/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of a group at one moment, as a document (daemon/kube/strip.h): those that carry its
 * label, of which a copy is kept up to date, its virtual machines and PVCs by name, and what these
 * refer to by name, which is asked for each time. LOOP only.
 */
#ifndef FARSHORE_KUBE_COLLECTOR_H
#define FARSHORE_KUBE_COLLECTOR_H

#include "daemon/kube/api.h"
#include "daemon/kube/reflector.h"

struct fs_kube_collector;

struct fs_kube_collector_options {
    struct event_base *base;
    struct fs_kube_api *api;   /* borrowed; asked for what is referred to */
    fs_kube_access_fn *access; /* for what is watched; kept, with arg */
    void *arg;
    const char *const *labels; /* keys of the labels that groups are made by; copied */
    size_t n_labels;
    const char *const *kinds; /* daemon/kube/kinds.h: that are looked for by label; copied */
    size_t n_kinds;
    bool secrets; /* without, Secrets are neither looked for nor asked for */
};

/* Begins at once. NULL when out of memory. */
struct fs_kube_collector *fs_kube_collector_new(const struct fs_kube_collector_options *options);
/* Who waits gets an error, from inside. */
void fs_kube_collector_free(struct fs_kube_collector *collector);

/* Who waits gets this error, from inside. */
void fs_kube_collector_cancel(struct fs_kube_collector *collector, const struct fs_error *err);

/* text: borrowed; NULL with err. */
typedef void fs_kube_collected_fn(void *arg, const char *text, const struct fs_error *err);

struct fs_kube_group { /* read during the call only */
    const char *ns;    /* its namespace */
    const char *label; /* one of the collector's; NULL: by names only */
    const char *value;
    const json_t *vms, *claims; /* arrays of names */
    const json_t *also;         /* {"kind", "name"} of others, where they are there, of the
                                 * kinds that are known; or NULL */
};

/* done is called once, not from inside; 3 seconds later at the most, and for a minute after an API
 * was too slow for that, at once with an error. 0 or -ENOMEM: not. */
int fs_kube_collect(struct fs_kube_collector *collector, const struct fs_kube_group *group,
                    fs_kube_collected_fn *done, void *arg);

#endif
