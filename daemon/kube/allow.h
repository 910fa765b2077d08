/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the objects that a point carries are made here. The point came from the other site, and
 * this site's account may do more than that site's operators: so only this site's own group and
 * configuration say it. Pure, any thread.
 */
#ifndef FARSHORE_KUBE_ALLOW_H
#define FARSHORE_KUBE_ALLOW_H

#include <stdbool.h>

#include <jansson.h>

struct fs_kube_allowed {   /* borrowed */
    const json_t *volumes; /* of the group, as daemon/kube/manifest.h: their namespaces count */
    const json_t *kinds;   /* objects.kinds of this site, beside those known by name; or NULL */
    bool secrets;          /* objects.secrets of this site */
};

/* served: {"plural", "namespaced"}, what the API says of the object's kind. Static, why it is left
 * out; or NULL. */
const char *fs_kube_why_left_out(const json_t *object, const json_t *served,
                                 const struct fs_kube_allowed *allowed);

#endif
