/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of the farshore-take processes: a small pool of them, each with a librados
 * instance of its own, started when needed and kept. One that passes its bound is killed and
 * exactly its instance blocklisted. WORKER; any number of threads at once.
 */
#ifndef FARSHORE_SNAPSHOT_HELPER_H
#define FARSHORE_SNAPSHOT_HELPER_H

#include <jansson.h>

#include "farshore/source.h"
#include "snapshot/site.h"

struct fs_helpers;

/* site is borrowed. NULL when out of memory. */
struct fs_helpers *fs_helpers_new(struct fs_site *site);
/* Ends them: at the end of their stdin, or killed after some seconds. */
void fs_helpers_free(struct fs_helpers *helpers);

/*
 * Send one request (see takepoint.h and prune.h) and wait for its answer, which is a new reference
 * with "ok" true; bound_ns bounds each call that holds writers. On failure err and ret_reason say
 * why.
 */
int fs_helpers_take(struct fs_helpers *helpers, const json_t *request, int64_t bound_ns,
                    json_t **ret_answer, enum fs_take_reason *ret_reason, struct fs_error *err);

#endif
