/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings a group's objects up at the site that became primary: namespaces, PVs and PVCs of its
 * images, what was captured with the point, workloads last, which are started once all of theirs
 * is there. By server-side apply; each object is one step whose failure stops no other, and all of
 * it can be done again. What is there and is not Farshore's is never written over. LOOP only.
 */
#ifndef FARSHORE_KUBE_BRING_H
#define FARSHORE_KUBE_BRING_H

#include "daemon/kube/api.h"

struct fs_kube_bring;

/*
 * report: [{"object", "outcome", "message"}], borrowed. Outcomes:
 *   applied; unchanged; kept (a PVC that is bound to the image already); started; halted (as it was
 *   when it was captured); left_out (this site does not make it, message says why): good
 *   conflict, refused, failed, not_served, not_started, not_running: left over, message says why
 * left: how many of the latter; pending: of those, how many a run later may do, not counting a
 * machine that was started and has not come up.
 */
typedef void fs_kube_bring_fn(void *arg, const json_t *report, unsigned left, unsigned pending);

struct fs_kube_bring_options {
    struct event_base *base;
    struct fs_kube_api *api;
    /* References are taken. volumes: [VOLUME of daemon/kube/manifest.h, ...]; objects: those that
     * were captured, or NULL: only volumes are bound; classes: {THERE: HERE, ...} or NULL. */
    const json_t *volumes, *objects, *classes;
    /* objects.kinds (a reference is taken) and objects.secrets of this site. */
    const json_t *kinds;
    bool secrets;
    /* Nobody asked for this one: only what was not started yet is started, and not waited for. */
    bool again;
    int64_t patience_ns; /* with an API that does not answer */
    int64_t start_ns;    /* for machines to run, once all were started */
    fs_kube_bring_fn *done;
    void *arg;
};

/* done is called exactly once, later, unless fs_kube_bring_free comes first; it is free afterwards.
 * NULL when out of memory. */
struct fs_kube_bring *fs_kube_bring_start(const struct fs_kube_bring_options *options);
/* Changes nothing: the report has what would be left over, as far as that can be told before. A
 * namespace that is not there is tried, what is to be in it is not. */
struct fs_kube_bring *fs_kube_bring_check(const struct fs_kube_bring_options *options);
void fs_kube_bring_free(struct fs_kube_bring *bring);

/* "applying Secret shop/key"; of what is under way. */
const char *fs_kube_bring_text(const struct fs_kube_bring *bring);

#endif
