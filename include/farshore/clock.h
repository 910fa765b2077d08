/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time, as state machines see it. Production reads the kernel; tests script it. Scheduling and
 * leases use the boot clock, which no administrator can step; the wall clock is only for people
 * and for the stored moments of recovery points. Any thread.
 */
#ifndef FARSHORE_CLOCK_H
#define FARSHORE_CLOCK_H

#include <stdint.h>

#define FS_MSEC INT64_C(1000000)
#define FS_SEC  INT64_C(1000000000)

struct fs_clock {
    int64_t (*boot_ns)(const struct fs_clock *clock); /* CLOCK_BOOTTIME */
    int64_t (*wall_ns)(const struct fs_clock *clock); /* CLOCK_REALTIME */
};

/* The kernel's clocks; static storage. */
const struct fs_clock *fs_clock_system(void);

/* A clock that stands still until it is moved; for tests. */
struct fs_clock_scripted {
    struct fs_clock clock;
    int64_t boot_now_ns;
    int64_t wall_now_ns;
};

void fs_clock_scripted_init(struct fs_clock_scripted *scripted, int64_t wall_start_ns);
/* Both clocks go on by ns. */
void fs_clock_scripted_advance(struct fs_clock_scripted *scripted, int64_t ns);

static inline int64_t fs_clock_boot(const struct fs_clock *clock)
{
    return clock->boot_ns(clock);
}

static inline int64_t fs_clock_wall(const struct fs_clock *clock)
{
    return clock->wall_ns(clock);
}

#endif
