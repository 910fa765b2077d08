/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rest.h"

#include <event2/event.h>

static void go_on_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(arg);
}

static void error_cb(struct evconnlistener *listener, void *arg)
{
    const struct timeval rest = {.tv_sec = 1};

    (void)arg; /* the listener's own */
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, go_on_cb, listener,
                        &rest) == 0) {
        (void)evconnlistener_disable(listener);
    }
}

void fs_listener_rest_on_error(struct evconnlistener *listener)
{
    evconnlistener_set_error_cb(listener, error_cb);
}
