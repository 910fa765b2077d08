/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon knows of the host it runs on: where its helper is, and what names it there. */
#ifndef FARSHORE_DAEMON_HOST_H
#define FARSHORE_DAEMON_HOST_H

#include <limits.h>
#include <stdint.h>

#define FS_HELPER_PATH_MAX PATH_MAX
#define FS_DAEMON_KEY_MAX  512

/* The farshore-take program: $FARSHORE_TAKE, else beside the executable (a build tree), else where
 * it is installed. Returns ret_path. */
char *fs_helper_path(char ret_path[FS_HELPER_PATH_MAX]);

/* Names this daemon across its restarts: the machine's id (or its name, where it has none) and the
 * control socket, which only one daemon can serve. Returns ret_key. */
char *fs_daemon_key(const char *control, char ret_key[FS_DAEMON_KEY_MAX]);

/* CLOCK_MONOTONIC, as the service manager wants it. */
int64_t fs_monotonic_ns(void);

#endif
