/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status document: the one source of `farshore status`, the HTTP interface and the metrics.
 * docs/architecture.md describes it. LOOP only.
 */
#ifndef FARSHORE_DAEMON_STATUS_H
#define FARSHORE_DAEMON_STATUS_H

#include <jansson.h>

#include "daemon/groups.h"

struct fs_daemon;

/* A new reference, computed now; NULL when out of memory. */
json_t *fs_status_document(struct fs_daemon *daemon);
/* The same with only one group, or with all (NULL). */
json_t *fs_status_document_of(struct fs_daemon *daemon, const struct fs_group *only);

/* Parts of it, each a new reference. */
json_t *fs_status_point(const struct fs_record_point *point);
json_t *fs_status_group(const struct fs_group *group);
json_t *fs_status_sync(const struct fs_group *group);
/* A string that may not be UTF-8 (names come from Ceph), as JSON, which must be. */
json_t *fs_status_text(const char *value);
/* The result of `points`. */
json_t *fs_status_points(const struct fs_group *group);

#endif
