/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon's account may do, asked of the API itself (SelfSubjectAccessReview) again and
 * again: rights change without a word to those who have them. LOOP only.
 */
#ifndef FARSHORE_KUBE_RIGHTS_H
#define FARSHORE_KUBE_RIGHTS_H

#include "daemon/kube/api.h"

enum fs_kube_right_when {
    FS_KUBE_RIGHT_NEEDED = 0,
    FS_KUBE_RIGHT_FOR_EVENTS, /* without it less is told, and that is all */
    FS_KUBE_RIGHT_NEEDLESS,   /* it is better not to have it */
};

/* Texts are static. */
struct fs_kube_right {
    const char *verb, *group, *resource; /* "list", "", "persistentvolumes" */
    const char *subresource;             /* or NULL */
    enum fs_kube_right_when when;
};

struct fs_kube_rights;

/* rights: copied; base and api are borrowed. Begins at once. NULL when out of memory. */
struct fs_kube_rights *fs_kube_rights_new(struct event_base *base, struct fs_kube_api *api,
                                          const struct fs_kube_right *rights, size_t n_rights);
void fs_kube_rights_free(struct fs_kube_rights *rights);

/* {"missing": ["list persistentvolumes"], "for_events": [] (missing, too), "needless": []},
 * borrowed until the loop goes on; NULL before all were answered once. */
const json_t *fs_kube_rights_known(const struct fs_kube_rights *rights);

#endif
