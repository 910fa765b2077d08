/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of workload.c share. LOOP only. */
#ifndef FARSHORE_DAEMON_WORKLOAD_PRIVATE_H
#define FARSHORE_DAEMON_WORKLOAD_PRIVATE_H

#include "daemon/capture.h"
#include "daemon/workload.h"

struct run;
struct check;

struct fs_workloads {
    struct event_base *base;
    struct run *list;     /* owned */
    struct check *checks; /* owned */
};

/* Of workload_check.c: ends them, and calls nobody back. */
void fs_workload_checks_free(struct fs_workloads *workloads);

/* What bringing a group up takes beside its objects, as daemon/kube/bring.h wants it. */
struct fs_workload_parts {
    json_t *volumes, *classes, *kinds; /* owned; the last two NULL where the configuration has none
                                        */
};

void fs_workload_parts_of(const struct fs_group *group, struct fs_workload_parts *ret_parts);
void fs_workload_parts_fini(struct fs_workload_parts *parts);
/* ["NAMESPACE/NAME", ...], a new reference. */
json_t *fs_workload_claims(const struct fs_group *group);

/* The objects of that point, which the volumes are to get or got. 0: done follows, as from
 * fs_capture_load, and ctx->groups->noting counts it. 1: it carries none, or none are wanted, or,
 * with left, the point is gone. -EAGAIN: the cluster is away. */
int fs_workload_load(struct fs_group *group, const struct fs_uuid *point, fs_capture_load_fn *done,
                     void *arg, struct fs_error *left);

#endif
