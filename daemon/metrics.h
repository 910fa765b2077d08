/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status document in Prometheus's text format (version 0.0.4). docs/man/farshored.8 lists the
 * series. Pure; any thread.
 */
#ifndef FARSHORE_DAEMON_METRICS_H
#define FARSHORE_DAEMON_METRICS_H

#include <jansson.h>

#include "farshore/buf.h"

#define FS_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the exposition of the document (as docs/architecture.md describes it). */
void fs_metrics_render(const json_t *document, struct fs_buf *out);

#endif
