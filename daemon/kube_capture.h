/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capturer over this site's Kubernetes API: as the configuration has it, and with the labels
 * that its policies group by. LOOP only.
 */
#ifndef FARSHORE_DAEMON_KUBE_CAPTURE_H
#define FARSHORE_DAEMON_KUBE_CAPTURE_H

#include <event2/event.h>

#include "daemon/capture.h"
#include "daemon/kube/api.h"

struct fs_kube_capture;

/* The base and api are borrowed. NULL when out of memory. Nothing begins before configure. */
struct fs_kube_capture *fs_kube_capture_new(struct event_base *base, struct fs_kube_api *api);
/* Who waits gets an error, from inside. */
void fs_kube_capture_free(struct fs_kube_capture *capture);

/* What it is to look for; begins anew where that is something else than before. */
void fs_kube_capture_configure(struct fs_kube_capture *capture, const struct fs_config *config);

/* Borrowed; lives as long as capture. */
struct fs_capturer *fs_kube_capture_capturer(struct fs_kube_capture *capture);

#endif
