/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/clock.h"

#include <time.h>

#include "farshore/fault.h"

static int64_t read_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * FS_SEC + now.tv_nsec;
}

static int64_t system_boot_ns(const struct fs_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_BOOTTIME);
}

static int64_t system_wall_ns(const struct fs_clock *clock)
{
    (void)clock;
#ifdef FARSHORE_FAULTS
    return read_ns(CLOCK_REALTIME) + fs_fault_wall_offset_ns();
#else
    return read_ns(CLOCK_REALTIME);
#endif
}

const struct fs_clock *fs_clock_system(void)
{
    static const struct fs_clock clock = {
        .boot_ns = system_boot_ns,
        .wall_ns = system_wall_ns,
    };

    return &clock;
}

/* The clock is the first member, so that a pointer to it is one to the whole. */
static int64_t scripted_boot_ns(const struct fs_clock *clock)
{
    return ((const struct fs_clock_scripted *)clock)->boot_now_ns;
}

static int64_t scripted_wall_ns(const struct fs_clock *clock)
{
    return ((const struct fs_clock_scripted *)clock)->wall_now_ns;
}

void fs_clock_scripted_init(struct fs_clock_scripted *scripted, int64_t wall_start_ns)
{
    *scripted = (struct fs_clock_scripted){
        .clock = {.boot_ns = scripted_boot_ns, .wall_ns = scripted_wall_ns},
        .boot_now_ns = FS_SEC,
        .wall_now_ns = wall_start_ns,
    };
}

void fs_clock_scripted_advance(struct fs_clock_scripted *scripted, int64_t ns)
{
    scripted->boot_now_ns += ns;
    scripted->wall_now_ns += ns;
}
