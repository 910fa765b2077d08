/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before a group's workload is to come up at this site: what of it would be left over, as far as
 * this site's Kubernetes can tell now. Nothing is changed. LOOP only.
 */
#ifndef FARSHORE_DAEMON_WORKLOAD_CHECK_H
#define FARSHORE_DAEMON_WORKLOAD_CHECK_H

#include "daemon/workload.h"

/*
 * report: [{"object", "outcome", "message"}], borrowed: what would be left over
 * (daemon/kube/bring.h), and "missing", which the point does not carry; several with one message
 * are one entry. err: NULL, or why it could not all be told.
 */
typedef void fs_workload_check_fn(void *arg, const json_t *report, const struct fs_error *err);

/* With the objects of that point (zero: none). done is called once, within 20 s, not from inside.
 * False: nothing is to be told, and done is not called. */
bool fs_workload_check(struct fs_group *group, const struct fs_uuid *point,
                       fs_workload_check_fn *done, void *arg);

/* What was found as one text, "" for nothing; cut where it is longer. */
char *fs_workload_check_text(const json_t *report, const struct fs_error *err, char *text,
                             size_t size);

#endif
