/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets when descriptors have run out: accept fails, the connection stays where it is,
 * and the loop would come back to it at once, for ever. LOOP only.
 */
#ifndef FARSHORE_DAEMON_REST_H
#define FARSHORE_DAEMON_REST_H

#include <event2/listener.h>

/* After a failed accept the listener rests for a second. It is freed only once its loop runs no
 * more. */
void fs_listener_rest_on_error(struct evconnlistener *listener);

#endif
