/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fenced clients of this site's groups: the list, as the cluster has it, and the operations
 * that fence and unfence. LOOP only.
 */
#ifndef FARSHORE_DAEMON_FENCE_H
#define FARSHORE_DAEMON_FENCE_H

#include <jansson.h>

#include "daemon/operation.h"

struct fs_fences;

struct fs_fences *fs_fences_new(struct fs_groups *groups); /* NULL when out of memory */
void fs_fences_free(struct fs_fences *fences);
/* A round of the loop; and the site's work stops. */
void fs_fences_run(struct fs_fences *fences);
void fs_fences_stop(struct fs_fences *fences);
/* What is listed is what the cluster has. */
bool fs_fences_loaded(const struct fs_fences *fences);

/* Why this site's users of the group cannot be fenced now, or NULL. */
const char *fs_fence_refusal(const struct fs_group *group, char *text, size_t size);
/* The group's volumes at this site. */
void fs_fence_order(const struct fs_group *group, const char *who,
                    struct fs_fence_order *ret_order);
/* The same at the other site, by the way that the configuration names. False where there is none,
 * or it is not known which those are. */
bool fs_fence_order_other(const struct fs_group *group, const char *who,
                          struct fs_fence_order *ret_order);
/* One entry in the log of the group's operation for each client. */
void fs_fence_log_each(struct fs_group *group, const char *step, const struct fs_fence *list,
                       size_t count);
/* How many clients of the group's are fenced. */
size_t fs_fence_count(const struct fs_fences *fences, const struct fs_group *group);

/* Is the operation that is under way one that fences this site's users? */
bool fs_fence_is_running(const struct fs_group *group);
/* Begin an operation that is not refused, where none is under way. Serial, or 0: out of memory. */
uint64_t fs_fence_start(struct fs_group *group, const char *who);
uint64_t fs_unfence_start(struct fs_group *group, const char *who);

/* For the status document: the group's. */
json_t *fs_fences_status(const struct fs_fences *fences, const struct fs_group *group);
/* The same of any list. */
json_t *fs_fences_json(const struct fs_fence *list, size_t count);

#endif
