/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/pacer.h"

#include <assert.h>

#include "farshore/clock.h"

/* What an idle time saves up, so that a late wake-up loses nothing. */
#define BURST_NS (100 * FS_MSEC)
/* A waiter is woken when so much can be sent. */
#define WAKE_NS (BURST_NS / 8)
/* Segments are at most so long in time, but not smaller than what compresses well. */
#define SEGMENTS_PER_S 20
#define SEGMENT_MIN    (UINT64_C(16) << 10)
#define SEGMENT_ALIGN  UINT64_C(4096)

/* At most 2^64 / 10^9 bytes: frames are far smaller, and so is what is owed. */
static int64_t cost_ns(uint64_t bytes, uint64_t bytes_per_s)
{
    assert(bytes <= UINT64_MAX / (uint64_t)FS_SEC);
    return (int64_t)(bytes * (uint64_t)FS_SEC / bytes_per_s);
}

void fs_pacer_set(struct fs_pacer *pacer, uint64_t bytes_per_s, int64_t now_ns)
{
    assert(bytes_per_s == 0 || bytes_per_s >= FS_PACER_RATE_MIN);
    int64_t owed_ns = pacer->paid_ns - now_ns;
    if (pacer->bytes_per_s > 0 && bytes_per_s > 0 && owed_ns > 0) {
        double scale = (double)pacer->bytes_per_s / (double)bytes_per_s;
        pacer->paid_ns = now_ns + (int64_t)((double)owed_ns * scale);
    } else if (pacer->bytes_per_s == 0) {
        pacer->paid_ns = now_ns;
    }
    pacer->bytes_per_s = bytes_per_s;
}

void fs_pacer_charge(struct fs_pacer *pacer, uint64_t bytes, int64_t now_ns)
{
    if (pacer->bytes_per_s == 0) {
        return;
    }
    if (pacer->paid_ns < now_ns - BURST_NS) {
        pacer->paid_ns = now_ns - BURST_NS;
    }
    pacer->paid_ns += cost_ns(bytes, pacer->bytes_per_s);
}

bool fs_pacer_is_open(const struct fs_pacer *pacer, int64_t now_ns)
{
    return pacer->bytes_per_s == 0 || pacer->paid_ns <= now_ns;
}

int64_t fs_pacer_next(const struct fs_pacer *pacer)
{
    return pacer->bytes_per_s == 0 ? 0 : pacer->paid_ns + WAKE_NS;
}

uint64_t fs_pacer_segment(const struct fs_pacer *pacer, uint64_t most)
{
    uint64_t bytes = pacer->bytes_per_s / SEGMENTS_PER_S / SEGMENT_ALIGN * SEGMENT_ALIGN;
    if (pacer->bytes_per_s == 0 || bytes > most) {
        return most;
    }
    return bytes < SEGMENT_MIN ? SEGMENT_MIN : bytes;
}
