/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/stats.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const double sync_bounds[] = {0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200};
static const double pause_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

/* A transfer's rate forgets half of what it was in about this long. */
#define RATE_MEMORY_S 5.0

void fs_group_stats_init(struct fs_group_stats *stats)
{
    *stats = (struct fs_group_stats){
        .sync_duration = {.bounds = sync_bounds, .n_bounds = COUNT(sync_bounds)},
        .snapshot_pause = {.bounds = pause_bounds, .n_bounds = COUNT(pause_bounds)},
    };
}

void fs_group_stats_failed(struct fs_group_stats *stats, const char *reason)
{
    for (size_t i = 0; i < stats->n_failures; i++) {
        if (strcmp(stats->failures[i].reason, reason) == 0) {
            stats->failures[i].count++;
            return;
        }
    }
    if (stats->n_failures < FS_FAILURES_MAX) {
        stats->failures[stats->n_failures++] = (struct fs_failure_count){reason, 1};
    }
}

void fs_group_stats_add(struct fs_group_stats *stats, const struct fs_transfer_stats *transfer)
{
    stats->total.changed_bytes += transfer->changed_bytes;
    stats->total.read_bytes += transfer->read_bytes;
    stats->total.wire_bytes += transfer->wire_bytes;
    stats->total.delta_bytes += transfer->delta_bytes;
    stats->total.delta_wire_bytes += transfer->delta_wire_bytes;
    if (transfer->content_bytes > 0 && transfer->wire_bytes > 0) {
        stats->compression_ratio = (double)transfer->content_bytes / (double)transfer->wire_bytes;
    }
    stats->total.written_bytes += transfer->written_bytes;
    stats->total.resent_bytes += transfer->resent_bytes;
}

void fs_change_add(struct fs_change *change, int64_t covered_ns, int64_t took_ns, uint64_t bytes,
                   uint64_t wire_bytes)
{
    if (covered_ns <= 0 || took_ns < 0) {
        return; /* somebody set the clock */
    }
    change->points++;
    change->bytes += bytes;
    change->wire_bytes += wire_bytes;
    change->covered_ns += covered_ns;
    change->took_ns += took_ns;
}

void fs_group_stats_speed(struct fs_group_stats *stats, uint64_t wire_bytes, int64_t took_ns)
{
    if (wire_bytes >= FS_SPEED_MIN && took_ns > 0) {
        stats->speed = (double)wire_bytes / ((double)took_ns / (double)FS_SEC);
    }
}

void fs_histogram_observe_ns(struct fs_histogram *histogram, int64_t ns)
{
    double seconds = ns > 0 ? (double)ns / (double)FS_SEC : 0;
    size_t i = 0;

    while (i < histogram->n_bounds && seconds > histogram->bounds[i]) {
        i++;
    }
    histogram->counts[i]++;
    histogram->count++;
    histogram->sum += seconds;
}

uint64_t fs_histogram_cumulative(const struct fs_histogram *histogram, size_t i)
{
    uint64_t sum = 0;

    for (size_t k = 0; k <= i && k <= histogram->n_bounds; k++) {
        sum += histogram->counts[k];
    }
    return sum;
}

void fs_rate_sample(struct fs_rate *rate, uint64_t value, int64_t now_ns)
{
    if (rate->sampled_ns == 0 || value < rate->value) {
        *rate = (struct fs_rate){.sampled_ns = now_ns, .moved_ns = now_ns, .value = value};
        return;
    }
    double elapsed = (double)(now_ns - rate->sampled_ns) / (double)FS_SEC;
    if (elapsed < 0.5) {
        return;
    }
    double current = (double)(value - rate->value) / elapsed;
    double weight = elapsed / (elapsed + RATE_MEMORY_S);
    /* The first sample has nothing to forget. */
    rate->bytes_per_s = rate->bytes_per_s > 0
                            ? rate->bytes_per_s + weight * (current - rate->bytes_per_s)
                            : current;
    if (value > rate->value) {
        rate->moved_ns = now_ns;
    }
    rate->value = value;
    rate->sampled_ns = now_ns;
}

double fs_rate_eta_s(const struct fs_rate *rate, uint64_t remaining)
{
    if (remaining == 0) {
        return 0;
    }
    return rate->bytes_per_s >= 1 ? (double)remaining / rate->bytes_per_s : -1;
}
