/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's RPO lag over the last day: the largest one of each five minutes, in a ring of fixed
 * size. It begins with the daemon and is not stored. Plain data; LOOP only.
 */
#ifndef FARSHORE_DAEMON_LAG_HISTORY_H
#define FARSHORE_DAEMON_LAG_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "farshore/clock.h"

#define FS_LAG_STEP_NS (300 * FS_SEC)
#define FS_LAG_STEPS   288

struct fs_lag_history {
    int64_t newest;            /* number of the newest step on the boot clock; 0: none yet */
    float max_s[FS_LAG_STEPS]; /* by number modulo the ring; negative: nothing is known */
};

void fs_lag_history_init(struct fs_lag_history *history);
/* lag_ns as fs_group_lag_ns gives it: -1 where there is none. now_ns: boot; a time that goes back
 * is ignored. */
void fs_lag_history_sample(struct fs_lag_history *history, int64_t lag_ns, int64_t now_ns);
/* Seconds in the step that is so many before the newest one; negative where nothing is known. */
double fs_lag_history_get(const struct fs_lag_history *history, size_t age);

#endif
