/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket for what is sent to one peer. It counts in time: how far into the future what was
 * sent is paid for. Nothing waits in it: who wants to send asks whether it is open, and what cannot
 * wait (heart-beats, answers) is charged all the same. Over any time it lets through its rate
 * times that, 100 ms of it more, and one segment. Plain data, zeroed at the start; LOOP only.
 */
#ifndef FARSHORE_PACER_H
#define FARSHORE_PACER_H

#include <stdbool.h>
#include <stdint.h>

/* The slowest rate that segments of the smallest size can keep to. */
#define FS_PACER_RATE_MIN 125000u

struct fs_pacer {
    uint64_t bytes_per_s; /* 0: no limit */
    int64_t paid_ns;      /* boot: until then everything that was sent is paid for */
};

/* A new rate, at least FS_PACER_RATE_MIN or 0. What is owed stays owed, in bytes. */
void fs_pacer_set(struct fs_pacer *pacer, uint64_t bytes_per_s, int64_t now_ns);
void fs_pacer_charge(struct fs_pacer *pacer, uint64_t bytes, int64_t now_ns);
bool fs_pacer_is_open(const struct fs_pacer *pacer, int64_t now_ns);
/* When who found it closed asks again: a little later than it opens, so that small segments do not
 * wake the loop one by one. Boot clock. */
int64_t fs_pacer_next(const struct fs_pacer *pacer);
/* The most content that a segment should have, so that one is at most a twentieth of a second: at
 * most `most`. */
uint64_t fs_pacer_segment(const struct fs_pacer *pacer, uint64_t most);

#endif
