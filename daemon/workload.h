/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What uses a group's volumes, in this site's Kubernetes: stopped before the group is given away,
 * and brought up, with its volumes bound, where it became primary. Only where the source has
 * `workloads: true`. This module runs one of these; when, and what a failure means, is the
 * operation's. LOOP only.
 */
#ifndef FARSHORE_DAEMON_WORKLOAD_H
#define FARSHORE_DAEMON_WORKLOAD_H

#include <event2/event.h>

#include "daemon/group.h"

struct fs_workloads;

struct fs_workloads *fs_workloads_new(struct event_base *base); /* NULL when out of memory */
/* Ends what runs, and calls nobody back. */
void fs_workloads_free(struct fs_workloads *workloads);

/* Are its objects to be made here, once this site is primary for it? */
bool fs_workload_is_managed(const struct fs_group *group);

/*
 * What came of it. err: NULL where all went well. For bringing up, err says in one text what is
 * left over, and pending whether a later run may do it; report (borrowed, may be NULL) has each
 * object, as daemon/kube/bring.h.
 */
typedef void fs_workload_fn(void *arg, const json_t *report, bool pending,
                            const struct fs_error *err);

/* False: there is nothing to do, nobody is called. True: done is called exactly once, later. */
bool fs_workload_stop(struct fs_group *group, fs_workload_fn *done, void *arg);
bool fs_workload_undo(struct fs_group *group, fs_workload_fn *done, void *arg);
/* again: nobody asked for it, it goes on with what an earlier one left over. */
bool fs_workload_bring_up(struct fs_group *group, bool again, fs_workload_fn *done, void *arg);
/* Bringing up ends, pending, for that reason; done may be called from inside. */
void fs_workload_cancel(struct fs_group *group, const char *reason);

/* What runs for the group, for people; NULL where nothing does. */
const char *fs_workload_text(const struct fs_group *group);

#endif
