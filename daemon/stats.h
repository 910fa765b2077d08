/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a group has done since the daemon started: counters, histograms, and the rate of the
 * transfer under way. Plain data; LOOP only.
 */
#ifndef FARSHORE_DAEMON_STATS_H
#define FARSHORE_DAEMON_STATS_H

#include "farshore/transfer.h"

#define FS_BUCKETS_MAX  12
#define FS_FAILURES_MAX 32 /* distinct reasons; all of them are constants of ours */

struct fs_histogram {
    const double *bounds; /* ascending, seconds; static storage */
    size_t n_bounds;
    uint64_t counts[FS_BUCKETS_MAX + 1]; /* the last one is above every bound */
    double sum;
    uint64_t count;
};

struct fs_failure_count {
    const char *reason; /* static storage */
    uint64_t count;
};

/* What differences took, from one point to the next: no first copy, nothing found by digests. */
struct fs_change {
    uint64_t points;
    uint64_t bytes;      /* that had changed */
    uint64_t wire_bytes; /* that they were on the wire */
    int64_t covered_ns;  /* from the points before them to these points */
    int64_t took_ns;     /* from the take to the commit */
};

struct fs_group_stats {
    struct fs_transfer_stats total; /* of finished transfers */
    double compression_ratio;       /* of the newest transfer with content; 0: there was none */
    struct fs_change change;
    double speed; /* bytes/s on the wire of the newest transfer of FS_SPEED_MIN or more; 0: none */
    uint64_t committed;
    uint64_t unchanged;
    struct fs_histogram sync_duration;
    struct fs_histogram snapshot_pause;
    size_t n_failures;
    struct fs_failure_count failures[FS_FAILURES_MAX];
};

/* A shorter transfer is mostly round trips. */
#define FS_SPEED_MIN (8u << 20)

void fs_group_stats_init(struct fs_group_stats *stats);
/* reason is static storage, a label of lower-case words. */
void fs_group_stats_failed(struct fs_group_stats *stats, const char *reason);
/* Add what a transfer has done to the totals; its compression is the newest. */
void fs_group_stats_add(struct fs_group_stats *stats, const struct fs_transfer_stats *transfer);

/* A point was committed that was taken covered_ns after the one before it. */
void fs_change_add(struct fs_change *change, int64_t covered_ns, int64_t took_ns, uint64_t bytes,
                   uint64_t wire_bytes);
/* A transfer ended that took so long. */
void fs_group_stats_speed(struct fs_group_stats *stats, uint64_t wire_bytes, int64_t took_ns);

void fs_histogram_observe_ns(struct fs_histogram *histogram, int64_t ns);
/* Observations at or below bound i; i == n_bounds is all of them. */
uint64_t fs_histogram_cumulative(const struct fs_histogram *histogram, size_t i);

/* How fast a transfer goes on: a mean that forgets with a time constant of some seconds. */
struct fs_rate {
    int64_t sampled_ns; /* boot; 0: not begun */
    int64_t moved_ns;   /* when value last grew */
    uint64_t value;
    double bytes_per_s;
};

/* value only grows; a smaller one begins anew. Call about once a second; closer samples than
 * that are ignored. */
void fs_rate_sample(struct fs_rate *rate, uint64_t value, int64_t now_ns);
/* Seconds for so many more bytes, or -1 where it cannot be said. */
double fs_rate_eta_s(const struct fs_rate *rate, uint64_t remaining);

#endif
