/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP interface: the page at /, /healthz, /metrics, and below /api/v1/ status, events and
 * groups/UUID. Read only; meant for the loopback or a
 * network of the operators, as it asks for no credentials. LOOP only.
 */
#ifndef FARSHORE_DAEMON_HTTP_H
#define FARSHORE_DAEMON_HTTP_H

#include <event2/event.h>

#include "farshore/error.h"

struct fs_daemon;
struct fs_http;

/* address is "host:port" or "[v6]:port". Errors name it. daemon is borrowed. */
int fs_http_start(struct event_base *base, const char *address, struct fs_daemon *daemon,
                  struct fs_http **ret_http, struct fs_error *err);
void fs_http_stop(struct fs_http *http);

#endif
