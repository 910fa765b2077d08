/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a peer may be sent to at a moment: its bandwidth, or that of the time window that the
 * moment is in. Windows are in the machine's local time. Pure; any thread.
 */
#ifndef FARSHORE_DAEMON_BANDWIDTH_H
#define FARSHORE_DAEMON_BANDWIDTH_H

#include <stddef.h>
#include <stdint.h>

#include "farshore/error.h"

#define FS_MINUTES_OF_DAY 1440

struct fs_window {
    unsigned days;     /* bit 0 is Monday: those on which it begins */
    unsigned from, to; /* minutes of the day; where to is not above from it ends on the next day */
    uint64_t bytes_per_s; /* never 0 */
};

/* "mon-fri", "sat,sun", "fri-mon,wed". -EINVAL. */
int fs_window_parse_days(const char *text, unsigned *ret_days, struct fs_error *err);
/* "08:00" to "24:00". -EINVAL. */
int fs_window_parse_time(const char *text, unsigned *ret_minutes, struct fs_error *err);

#define FS_WINDOW_TEXT 64
/* "mon-fri 08:00 to 18:00"; returns ret_text. */
char *fs_window_format(const struct fs_window *window, char ret_text[FS_WINDOW_TEXT]);

/* The first window that wall_ns is in, or NULL. */
const struct fs_window *fs_window_find(const struct fs_window *windows, size_t count,
                                       int64_t wall_ns);

#endif
