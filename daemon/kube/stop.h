/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stops what uses some PVCs, and starts again what was stopped. All workloads are looked at before
 * the first is changed, so a refusal changes nothing. Each step can be done again: what is stopped
 * is left as it is, and its annotation says what it was. LOOP only.
 */
#ifndef FARSHORE_KUBE_STOP_H
#define FARSHORE_KUBE_STOP_H

#include "daemon/kube/api.h"

struct fs_kube_stop;

/* workloads: [{"object", "outcome"}], borrowed; "stopped", "already" or "started". err: NULL where
 * all went well; what was changed until then stays so. */
typedef void fs_kube_stop_fn(void *arg, const json_t *workloads, const struct fs_error *err);

struct fs_kube_stop_options {
    struct event_base *base;
    struct fs_kube_api *api;
    const json_t *claims; /* ["NAMESPACE/NAME", ...]; a reference is taken */
    int64_t timeout_ns;   /* for them to be gone, from the stop on */
    bool force;           /* past it a VM is switched off; otherwise that is an error */
    fs_kube_stop_fn *done;
    void *arg;
};

/* done is called exactly once, later, unless fs_kube_stop_free comes first; the stop is free
 * afterwards. NULL when out of memory. */
struct fs_kube_stop *fs_kube_stop_start(const struct fs_kube_stop_options *options);
/* The way back: whatever uses the PVCs and carries the annotation runs as before; nobody waits. */
struct fs_kube_stop *fs_kube_stop_undo(const struct fs_kube_stop_options *options);
void fs_kube_stop_free(struct fs_kube_stop *stop);

/* "waiting for VirtualMachine shop/web to stop"; of the stop under way. */
const char *fs_kube_stop_text(const struct fs_kube_stop *stop);

#endif
