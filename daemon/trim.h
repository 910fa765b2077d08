/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether snapshots are removed faster than a cluster trims them: by the least length of its queue
 * in one window of time after the other, since within a window it goes up and down. Where the least
 * grew in two windows in a row, points are to be taken further apart: 2, 4, up to 8 intervals,
 * until the queue shrinks. Pure.
 */
#ifndef FARSHORE_DAEMON_TRIM_H
#define FARSHORE_DAEMON_TRIM_H

#include <stdbool.h>
#include <stdint.h>

#include "farshore/clock.h"

#define FS_TRIM_WINDOW_NS  (300 * FS_SEC)
#define FS_TRIM_MIN        UINT64_C(100) /* a queue below it is never a reason */
#define FS_TRIM_FACTOR_MAX 8u

struct fs_trim {      /* zeroed: nothing is known */
    int64_t since_ns; /* boot: of this window; 0: none was begun */
    uint64_t least;   /* in this window */
    bool compared;    /* before is set */
    uint64_t before;  /* the least of the window before */
    unsigned growing; /* windows in a row */
    unsigned factor;  /* intervals between points; 0 is 1 */
};

/* The queue has this length now (boot clock). Returns whether the factor changed. */
bool fs_trim_observe(struct fs_trim *trim, uint64_t length, int64_t now_ns);
/* Its length cannot be known. Returns whether the factor changed. */
bool fs_trim_forget(struct fs_trim *trim);
unsigned fs_trim_factor(const struct fs_trim *trim); /* at least 1 */

#endif
