/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics.h"

#include <stdio.h>
#include <string.h>

#include "daemon/state.h"

static const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void put_head(struct fs_buf *out, const char *name, const char *type, const char *help)
{
    fs_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value with the escapes of the text format: backslash, quote and newline. */
static void put_label(struct fs_buf *out, const char *name, const char *value)
{
    fs_buf_printf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"') {
            fs_buf_printf(out, "\\%c", *value);
        } else if (*value == '\n') {
            fs_buf_printf(out, "\\n");
        } else {
            fs_buf_put_u8(out, (uint8_t)*value);
        }
    }
    fs_buf_printf(out, "\"");
}

/* {group="",policy="",peer="",role="" without the end. */
static void open_group_labels(struct fs_buf *out, const json_t *group)
{
    static const char *const keys[] = {"policy", "peer", "role"};
    fs_buf_printf(out, "{");
    put_label(out, "group", string_of(group, "name"));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        fs_buf_printf(out, ",");
        put_label(out, keys[i], string_of(group, keys[i]));
    }
}

/* All of a group's labels, and up to one more. */
static void put_group_labels(struct fs_buf *out, const json_t *group, const char *name,
                             const char *value)
{
    open_group_labels(out, group);
    if (name) {
        fs_buf_printf(out, ",");
        put_label(out, name, value);
    }
    fs_buf_printf(out, "}");
}

/* Moments keep their milliseconds. */
static void put_value(struct fs_buf *out, const json_t *value)
{
    if (json_is_integer(value)) {
        fs_buf_printf(out, " %lld\n", (long long)json_integer_value(value));
    } else if (json_number_value(value) > 1e9) {
        fs_buf_printf(out, " %.3f\n", json_number_value(value));
    } else {
        fs_buf_printf(out, " %.9g\n", json_number_value(value));
    }
}

/* One gauge of each group that has the figure; absent where it is absent (never synced). */
static void put_group_gauge(struct fs_buf *out, const json_t *groups, const char *name,
                            const char *help, const char *object, const char *key)
{
    put_head(out, name, "gauge", help);
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        const json_t *from = object ? json_object_get(group, object) : group;
        const json_t *value = json_object_get(from, key);
        if (json_is_number(value)) {
            fs_buf_printf(out, "%s", name);
            put_group_labels(out, group, NULL, NULL);
            put_value(out, value);
        }
    }
}

static void put_thresholds(struct fs_buf *out, const json_t *groups)
{
    static const struct {
        const char *severity, *key;
    } thresholds[] = {{"warning", "warning_seconds"}, {"critical", "critical_seconds"}};
    put_head(out, "farshore_rpo_threshold_seconds", "gauge",
             "Lag from which the group's policy wants an alert of that severity.");
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        for (size_t k = 0; k < sizeof(thresholds) / sizeof(thresholds[0]); k++) {
            const json_t *value =
                json_object_get(json_object_get(group, "alert"), thresholds[k].key);
            if (json_is_number(value)) {
                fs_buf_printf(out, "farshore_rpo_threshold_seconds");
                put_group_labels(out, group, "severity", thresholds[k].severity);
                put_value(out, value);
            }
        }
    }
}

/* The newest verification with differences that still stand, or 0 where a proof followed. */
static void put_differences(struct fs_buf *out, const json_t *groups)
{
    put_head(out, "farshore_verify_different_objects", "gauge",
             "Objects that a verification found to differ and no later one proved equal; absent "
             "where none ended.");
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        const json_t *verify = json_object_get(group, "verify");
        const json_t *bad = json_object_get(verify, "bad");
        if (bad || json_object_get(verify, "last")) {
            fs_buf_printf(out, "farshore_verify_different_objects");
            put_group_labels(out, group, NULL, NULL);
            fs_buf_printf(out, " %lld\n",
                          (long long)json_integer_value(json_object_get(bad, "different_objects")));
        }
    }
}

/* One series for each volume; pool with its RADOS namespace, as everywhere. */
static void put_volumes(struct fs_buf *out, const json_t *groups)
{
    static const char *const keys[] = {"pvc_namespace", "pvc", "vm", "image"};
    static const char *const labels[] = {"namespace", "pvc", "vm", "image"};
    put_head(out, "farshore_volume_size_bytes", "gauge",
             "Size of the volume at the newest point; 0 where there is none yet.");
    size_t i, j;
    json_t *group, *volume;
    json_array_foreach(groups, i, group)
    {
        json_array_foreach(json_object_get(group, "volumes"), j, volume)
        {
            const char *ns = string_of(volume, "namespace");
            char pool[1024];
            snprintf(pool, sizeof(pool), "%s%s%s", string_of(volume, "pool"), *ns ? "/" : "", ns);
            fs_buf_printf(out, "farshore_volume_size_bytes");
            open_group_labels(out, group);
            for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
                fs_buf_printf(out, ",");
                put_label(out, labels[k], string_of(volume, keys[k]));
            }
            fs_buf_printf(out, ",");
            put_label(out, "pool", pool);
            fs_buf_printf(out, "}");
            put_value(out, json_object_get(volume, "size_bytes"));
        }
    }
}

static void put_states(struct fs_buf *out, const json_t *groups)
{
    put_head(out, "farshore_group_state", "gauge", "1 for the state that the group is in.");
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        for (unsigned state = 0; state < FS_STATE_COUNT; state++) {
            const char *name = fs_state_name(state);
            fs_buf_printf(out, "farshore_group_state");
            put_group_labels(out, group, "state", name);
            fs_buf_printf(out, " %d\n", strcmp(name, string_of(group, "state")) == 0);
        }
    }
}

/* A counter whose series are the keys of an object of "counters". */
static void put_counter(struct fs_buf *out, const json_t *groups, const char *name,
                        const char *help, const char *key, const char *label)
{
    put_head(out, name, "counter", help);
    size_t i;
    json_t *group, *value;
    json_array_foreach(groups, i, group)
    {
        json_t *counters = json_object_get(json_object_get(group, "counters"), key);
        const char *stage;
        json_object_foreach(counters, stage, value)
        {
            fs_buf_printf(out, "%s", name);
            put_group_labels(out, group, label, stage);
            put_value(out, value);
        }
    }
}

static void put_histogram(struct fs_buf *out, const json_t *groups, const char *name,
                          const char *help, const char *key)
{
    put_head(out, name, "histogram", help);
    size_t i, j;
    json_t *group, *bucket;
    json_array_foreach(groups, i, group)
    {
        const json_t *histogram = json_object_get(json_object_get(group, "histograms"), key);
        if (!histogram) {
            continue;
        }
        json_array_foreach(json_object_get(histogram, "buckets"), j, bucket)
        {
            char bound[32];
            snprintf(bound, sizeof(bound), "%g", json_number_value(json_array_get(bucket, 0)));
            fs_buf_printf(out, "%s_bucket", name);
            put_group_labels(out, group, "le", bound);
            put_value(out, json_array_get(bucket, 1));
        }
        fs_buf_printf(out, "%s_bucket", name);
        put_group_labels(out, group, "le", "+Inf");
        put_value(out, json_object_get(histogram, "count"));
        fs_buf_printf(out, "%s_sum", name);
        put_group_labels(out, group, NULL, NULL);
        put_value(out, json_object_get(histogram, "sum"));
        fs_buf_printf(out, "%s_count", name);
        put_group_labels(out, group, NULL, NULL);
        put_value(out, json_object_get(histogram, "count"));
    }
}

/* One series of each peer that has the figure. */
static void put_peer_figure(struct fs_buf *out, const json_t *peers, const char *name,
                            const char *type, const char *help, const char *key)
{
    put_head(out, name, type, help);
    size_t i;
    json_t *peer;
    json_array_foreach(peers, i, peer)
    {
        const json_t *value = json_object_get(peer, key);
        if (json_is_number(value)) {
            fs_buf_printf(out, "%s{", name);
            put_label(out, "peer", string_of(peer, "name"));
            fs_buf_printf(out, "}");
            put_value(out, value);
        }
    }
}

static void put_peers(struct fs_buf *out, const json_t *peers)
{
    size_t i;
    json_t *peer;
    put_head(out, "farshore_peer_up", "gauge", "1 while there is a session with the peer.");
    json_array_foreach(peers, i, peer)
    {
        fs_buf_printf(out, "farshore_peer_up{");
        put_label(out, "peer", string_of(peer, "name"));
        fs_buf_printf(out, "} %d\n", json_is_true(json_object_get(peer, "up")));
    }
    put_peer_figure(out, peers, "farshore_peer_rtt_seconds", "gauge",
                    "Round trip to the peer's daemon, smoothed; absent while there is no session.",
                    "rtt_seconds");
    put_peer_figure(out, peers, "farshore_session_lanes", "gauge",
                    "Connections that carry the session with the peer; absent while there is none.",
                    "lanes");
    put_peer_figure(out, peers, "farshore_peer_sent_bytes_total", "counter",
                    "Bytes sent to the peer, without what TLS and TCP add.", "sent_bytes");
    put_peer_figure(out, peers, "farshore_peer_received_bytes_total", "counter",
                    "Bytes received from the peer.", "received_bytes");
    put_peer_figure(out, peers, "farshore_compression_level", "gauge",
                    "Level of zstd for what is sent to the peer now; 0 is none.",
                    "compression_level");
    put_peer_figure(out, peers, "farshore_peer_bandwidth_bytes_per_second", "gauge",
                    "What may be sent to the peer in a second now; absent without a limit.",
                    "bandwidth_bytes_per_second");
}

static void put_memory(struct fs_buf *out, const json_t *memory)
{
    static const struct {
        const char *name, *key, *help;
    } gauges[] = {
        {"farshore_memory_limit_bytes", "limit_bytes", "limits.memory: what buffers may hold."},
        {"farshore_memory_used_bytes", "used_bytes", "What buffers hold now."},
    };
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        const json_t *value = json_object_get(memory, gauges[i].key);
        if (json_is_number(value)) {
            put_head(out, gauges[i].name, "gauge", gauges[i].help);
            fs_buf_printf(out, "%s", gauges[i].name);
            put_value(out, value);
        }
    }
}

static void put_pool_flag(struct fs_buf *out, const json_t *pools, const char *metric,
                          const char *key)
{
    size_t i;
    json_t *pool;

    json_array_foreach(pools, i, pool)
    {
        fs_buf_printf(out, "%s{", metric);
        put_label(out, "pool", string_of(pool, "name"));
        fs_buf_printf(out, "} %d\n", json_is_true(json_object_get(pool, key)));
    }
}

static void put_pools(struct fs_buf *out, const json_t *site)
{
    const json_t *pools = json_object_get(site, "pools");
    size_t i;
    json_t *pool;

    put_head(out, "farshore_pool_full", "gauge", "1 while the pool is full, or at its quota.");
    put_pool_flag(out, pools, "farshore_pool_full", "full");
    put_head(out, "farshore_pool_nearfull", "gauge",
             "1 while an OSD of the pool is above the nearfull ratio, or the pool is full.");
    put_pool_flag(out, pools, "farshore_pool_nearfull", "nearfull");
    put_head(out, "farshore_pool_trimming_snapshots", "gauge",
             "Snapshots that were removed and are not known to be trimmed.");
    json_array_foreach(pools, i, pool)
    {
        fs_buf_printf(out, "farshore_pool_trimming_snapshots{");
        put_label(out, "pool", string_of(pool, "name"));
        fs_buf_printf(out, "}");
        put_value(out, json_object_get(pool, "trimming_snapshots"));
    }
    put_head(out, "farshore_point_intervals", "gauge",
             "Intervals between points: above 1 while the cluster is behind with trimming.");
    fs_buf_printf(out, "farshore_point_intervals");
    put_value(out, json_object_get(site, "point_intervals"));
}

void fs_metrics_render(const json_t *document, struct fs_buf *out)
{
    const json_t *groups = json_object_get(document, "groups");
    const json_t *site = json_object_get(document, "site");

    put_group_gauge(out, groups, "farshore_rpo_lag_seconds",
                    "Age of the newest committed recovery point; absent where there is none.", NULL,
                    "rpo_lag_seconds");
    put_group_gauge(out, groups, "farshore_rpo_interval_seconds",
                    "Configured interval of the group's policy.", NULL, "interval_seconds");
    put_thresholds(out, groups);
    put_group_gauge(out, groups, "farshore_group_known_timestamp_seconds",
                    "Since when this daemon knows the group.", NULL, "known_timestamp");
    put_group_gauge(out, groups, "farshore_recovery_point_timestamp_seconds",
                    "When the newest committed recovery point was taken.", "recovery_point",
                    "taken_timestamp");
    put_group_gauge(out, groups, "farshore_verify_timestamp_seconds",
                    "When a point was last proved to hold the same bytes at both sites, or those "
                    "that it was proved to hold; absent where none was.",
                    "verify", "proved_timestamp");
    put_group_gauge(out, groups, "farshore_verify_interval_seconds",
                    "How often the policy wants the newest point proved, where the secondary is; "
                    "absent where only commands do.",
                    NULL, "verify_interval_seconds");
    put_differences(out, groups);
    put_group_gauge(out, groups, "farshore_drill_timestamp_seconds",
                    "When the newest drill whose outcome is known ended, scheduled or with a "
                    "test; absent where none did.",
                    "drill", "ended_timestamp");
    put_group_gauge(out, groups, "farshore_drill_exit_status",
                    "Exit status of its test, 0 for success; absent where none ended.", "drill",
                    "exit_status");
    put_group_gauge(out, groups, "farshore_drill_interval_seconds",
                    "How often the policy wants a drill, where the secondary is; absent where "
                    "only commands make them.",
                    NULL, "drill_interval_seconds");
    put_group_gauge(out, groups, "farshore_compression_ratio",
                    "Content of the newest transfer by what it took on the wire; absent where "
                    "there was none.",
                    NULL, "compression_ratio");
    put_states(out, groups);
    put_group_gauge(out, groups, "farshore_sync_remaining_bytes",
                    "What the transfer under way has still to move; absent while there is none.",
                    "sync", "remaining_bytes");
    put_group_gauge(out, groups, "farshore_sync_eta_seconds",
                    "When the transfer under way will have moved all, at its present rate; absent "
                    "where that cannot be said.",
                    "sync", "eta_seconds");
    put_counter(out, groups, "farshore_sync_bytes_total",
                "Bytes found changed, read, sent on the wire, written at the target, and sent "
                "again after an interruption.",
                "sync_bytes", "stage");
    put_counter(out, groups, "farshore_delta_bytes_total",
                "Content that was sent as the difference to what the base holds, and what it took "
                "on the wire; parts of what was sent.",
                "delta_bytes", "stage");
    put_counter(out, groups, "farshore_sync_failures_total",
                "Cycles that ended without a committed point.", "failures", "reason");
    put_histogram(out, groups, "farshore_sync_duration_seconds",
                  "From taking a point to its commit at the peer.", "sync_duration_seconds");
    put_histogram(out, groups, "farshore_snapshot_pause_seconds",
                  "How long taking a point held back the writers.", "snapshot_pause_seconds");
    put_volumes(out, groups);
    put_peers(out, json_object_get(document, "peers"));
    put_memory(out, json_object_get(document, "memory"));

    if (json_object_get(site, "point_intervals")) {
        put_pools(out, site);
    }
    const json_t *kubernetes = json_object_get(site, "kubernetes");
    if (kubernetes) {
        put_head(out, "farshore_kubernetes_up", "gauge",
                 "1 while the Kubernetes API tells of volumes; absent where it is no source.");
        fs_buf_printf(out, "farshore_kubernetes_up %d\n",
                      strcmp(string_of(kubernetes, "state"), "up") == 0);
    }
    const json_t *expiry = json_object_get(site, "certificate_expiry_timestamp");
    if (json_is_number(expiry)) {
        put_head(out, "farshore_certificate_expiry_timestamp_seconds", "gauge",
                 "When this site's certificate ends.");
        fs_buf_printf(out, "farshore_certificate_expiry_timestamp_seconds");
        put_value(out, expiry);
    }
    const json_t *started = json_object_get(site, "started_timestamp");
    if (json_is_number(started)) {
        put_head(out, "farshore_start_timestamp_seconds", "gauge", "When the daemon started.");
        fs_buf_printf(out, "farshore_start_timestamp_seconds");
        put_value(out, started);
    }
    put_head(out, "farshore_build_info", "gauge", "1, with the version of the daemon.");
    fs_buf_printf(out, "farshore_build_info{");
    put_label(out, "version", string_of(site, "version"));
    fs_buf_printf(out, ",");
    put_label(out, "site", string_of(site, "name"));
    fs_buf_printf(out, "} 1\n");
}
