/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/status.h"

#include <stdio.h>

#include "daemon/daemon.h"
#include "daemon/drill.h"
#include "daemon/fence.h"
#include "daemon/join.h"
#include "daemon/kube_source.h"
#include "daemon/primary.h"

#define TEXT_MAX 1024

static double seconds(int64_t ns)
{
    return (double)ns / (double)FS_SEC;
}

json_t *fs_status_text(const char *value)
{
    json_t *string = json_string(value);

    if (string) {
        return string;
    }
    char clean[TEXT_MAX];
    size_t n = 0;
    for (; value[n] && n < sizeof(clean) - 1; n++) {
        clean[n] = (unsigned char)value[n] < 0x80 ? value[n] : '?';
    }
    return json_stringn(clean, n);
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static json_t *uuid_json(const struct fs_uuid *uuid)
{
    char formatted[FS_UUID_TEXT];

    fs_uuid_format(uuid, formatted);
    return json_string(formatted);
}

static json_t *bytes(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* --- points ---------------------------------------------------------------------------------- */

static json_t *flags_json(unsigned flags)
{
    json_t *array = json_array();

    if (flags & FS_POINT_NOT_ONE_INSTANT) {
        json_array_append_new(array, json_string("not_one_instant"));
    }
    if (flags & FS_POINT_VOLUME_MISSING) {
        json_array_append_new(array, json_string("volume_missing"));
    }
    return array;
}

static json_t *objects_json(const struct fs_captured *objects)
{
    char digest[FS_DIGEST_TEXT];

    fs_digest_format(&objects->digest, digest);
    return json_pack("{s:s, s:i, s:b}", "digest", digest, "bytes", (int)objects->size, "stale",
                     objects->stale);
}

static const char *consistency(unsigned flags)
{
    return flags & FS_POINT_APPLICATION ? "application" : "crash";
}

json_t *fs_status_point(const struct fs_record_point *point)
{
    json_t *object = json_object();
    char name[FS_SNAP_NAME_SIZE];

    set(object, "id", uuid_json(&point->point.id));
    set(object, "name", json_string(fs_point_snap_name(&point->point, name)));
    set(object, "term", bytes(point->point.term.number));
    set(object, "seq", bytes(point->point.seq));
    set(object, "taken_timestamp", json_real(seconds(point->taken_ns)));
    set(object, "flags", flags_json(point->flags));
    if (point->objects.size > 0) {
        set(object, "objects", objects_json(&point->objects));
    }
    set(object, "consistency", json_string(consistency(point->flags)));
    return object;
}

static json_t *content_json(const struct fs_group *group, const struct fs_record_content *content)
{
    json_t *object = json_object();
    char digest[FS_DIGEST_TEXT];
    const struct fs_record_volume *volume = fs_record_find_volume(group->record, &content->volume);

    set(object, "uuid", uuid_json(&content->volume));
    set(object, "image", fs_status_text(volume ? volume->volume.image.name : ""));
    set(object, "pool", fs_status_text(volume ? volume->volume.image.pool : ""));
    set(object, "namespace", fs_status_text(volume ? volume->volume.image.ns : ""));
    set(object, "snap_id", bytes(content->snap_id));
    set(object, "size_bytes", bytes(content->geometry.size));
    fs_digest_format(&content->chain, digest);
    set(object, "digest", json_string(digest));
    return object;
}

/* The rules of retention that keep a point at its target. One that none keeps goes with the next
 * commit. */
static json_t *kept_by_json(unsigned keep)
{
    static const struct {
        unsigned keep;
        const char *name;
    } rules[] = {
        {FS_KEEP_LATEST, "latest"},
        {FS_KEEP_HOURLY, "hourly"},
        {FS_KEEP_DAILY, "daily"},
        {FS_KEEP_WEEKLY, "weekly"},
    };
    json_t *array = json_array();

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (keep & rules[i].keep) {
            json_array_append_new(array, json_string(rules[i].name));
        }
    }
    return array;
}

json_t *fs_status_points(const struct fs_group *group)
{
    static const char *const states[] = {
        [FS_POINT_TAKING] = "taking",
        [FS_POINT_COMPLETE] = "complete",
        [FS_POINT_COMMITTING] = "committing",
        [FS_POINT_COMMITTED] = "committed",
    };
    const struct fs_config_policy *policy = fs_group_policy(group);
    bool retains = group->record->role == FS_ROLE_SECONDARY && policy;
    unsigned keep[FS_POINTS_MAX];
    json_t *array = json_array();

    if (retains) {
        fs_retention_judge(&policy->retain, group->record, keep);
    }
    for (size_t i = 0; i < group->record->n_points; i++) {
        const struct fs_record_point *point = &group->record->points[i];
        if (point->state == FS_POINT_SEED) {
            continue; /* none of the group's */
        }
        json_t *object = fs_status_point(point);
        if (retains) {
            set(object, "kept_by", kept_by_json(keep[i]));
        }
        json_t *volumes = json_array();
        for (size_t k = 0; k < point->n_contents; k++) {
            json_array_append_new(volumes, content_json(group, &point->contents[k]));
        }
        set(object, "state", json_string(states[point->state]));
        set(object, "bytes", bytes(point->bytes));
        set(object, "volumes", volumes);
        json_array_append_new(array, object);
    }
    json_t *document = json_object();
    set(document, "schema_version", json_integer(1));
    set(document, "group", fs_status_text(group->record->name));
    set(document, "points", array);
    return document;
}

/* --- the transfer ---------------------------------------------------------------------------- */

static const char *phase_name(const struct fs_group *group, const struct fs_transfer_stats *stats)
{
    switch (group->phase) {
    case FS_PHASE_TAKING:
        return "taking";
    case FS_PHASE_SHIPPING:
        if (stats->total_bytes == 0) {
            return "offering";
        }
        return stats->done_bytes >= stats->total_bytes ? "committing" : "shipping";
    case FS_PHASE_SETTLING:
    case FS_PHASE_RECOVERING:
        return "committing";
    case FS_PHASE_OPERATING:
        return "operating";
    case FS_PHASE_RECEIVING:
        return stats->total_bytes > 0 && stats->done_bytes >= stats->total_bytes ? "committing"
                                                                                 : "receiving";
    default:
        return "idle";
    }
}

json_t *fs_status_sync(const struct fs_group *group)
{
    struct fs_transfer_stats stats = {0};
    bool moving = fs_group_transfer(group, &stats);
    json_t *object = json_object();

    set(object, "phase", json_string(phase_name(group, &stats)));
    if (!moving) {
        return object;
    }
    const struct fs_point_id *point = fs_group_point_under_way(group);
    if (point) {
        char name[FS_SNAP_NAME_SIZE];
        set(object, "point", json_string(fs_point_snap_name(point, name)));
    }
    uint64_t remaining =
        stats.total_bytes > stats.done_bytes ? stats.total_bytes - stats.done_bytes : 0;
    set(object, "done_bytes", bytes(stats.done_bytes));
    set(object, "total_bytes", bytes(stats.total_bytes));
    set(object, "changed_bytes", bytes(stats.changed_bytes));
    set(object, "wire_bytes", bytes(stats.wire_bytes));
    set(object, "remaining_bytes", bytes(remaining));
    set(object, "resumed_bytes", bytes(stats.resumed_bytes));
    set(object, "resent_bytes", bytes(stats.resent_bytes));
    set(object, "rate_bytes_per_second", json_real(group->rate.bytes_per_s));
    double eta = fs_rate_eta_s(&group->rate, remaining);
    if (eta >= 0) {
        set(object, "eta_seconds", json_real(eta));
    }
    return object;
}

/* --- a group --------------------------------------------------------------------------------- */

static uint64_t volume_size(const struct fs_group *group, const struct fs_uuid *uuid)
{
    for (size_t i = group->record->n_points; i-- > 0;) {
        const struct fs_record_content *content =
            fs_record_find_content(&group->record->points[i], uuid);
        if (content) {
            return content->geometry.size;
        }
    }
    return 0;
}

/* What Kubernetes would do to the image when its PVC is deleted. */
static void note_reclaim(const struct fs_group *group, const struct fs_image_ref *image,
                         json_t *kubernetes)
{
    const char *volume = json_string_value(json_object_get(kubernetes, "volume"));
    const char *reclaim = json_string_value(json_object_get(kubernetes, "reclaim"));
    char spec[FS_IMAGE_SPEC_SIZE], text[FS_IMAGE_SPEC_SIZE + 512];

    if (!volume || !reclaim || strcmp(reclaim, "Delete") != 0) {
        return;
    }
    (void)snprintf(text, sizeof(text),
                   "when the PVC of PV %.260s is deleted, so is image %s, which is the replica%s",
                   volume, fs_image_spec(image, spec),
                   group->record->role == FS_ROLE_SECONDARY ? ""
                                                            : " once the other site is primary");
    set(kubernetes, "reason", fs_status_text(text));
    (void)snprintf(text, sizeof(text),
                   "`kubectl patch pv %.260s -p "
                   "'{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`",
                   volume);
    set(kubernetes, "hint", fs_status_text(text));
}

static json_t *volumes_json(const struct fs_group *group)
{
    json_t *array = json_array();

    for (size_t i = 0; i < group->record->n_volumes; i++) {
        const struct fs_record_volume *volume = &group->record->volumes[i];
        if (volume->gone) {
            continue;
        }
        const struct fs_image_ref *image = &volume->volume.image;
        json_t *object = json_object();
        set(object, "uuid", uuid_json(&volume->volume.uuid));
        set(object, "pool", fs_status_text(image->pool));
        set(object, "namespace", fs_status_text(image->ns));
        set(object, "image", fs_status_text(image->name));
        set(object, "image_id", fs_status_text(image->image_id));
        set(object, "pvc_namespace", fs_status_text(volume->volume.pvc_namespace));
        set(object, "pvc", fs_status_text(volume->volume.pvc));
        set(object, "vm", fs_status_text(volume->volume.vm));
        set(object, "size_bytes", bytes(volume_size(group, &volume->volume.uuid)));
        json_t *kubernetes = fs_kube_source_volume(group->ctx->kubernetes, image);
        if (kubernetes) {
            note_reclaim(group, image, kubernetes);
            set(object, "kubernetes", kubernetes);
        }
        json_array_append_new(array, object);
    }
    return array;
}

/* What is under way counts too: a first copy of hours is not a flat line. */
static struct fs_group_stats stats_now(const struct fs_group *group)
{
    struct fs_group_stats sum = group->stats;
    struct fs_transfer_stats moving;

    if (fs_group_transfer(group, &moving)) {
        fs_group_stats_add(&sum, &moving);
    }
    return sum;
}

static json_t *counters_json(const struct fs_group_stats *stats)
{
    json_t *object = json_object(), *sync = json_object(), *failures = json_object();

    set(sync, "changed", bytes(stats->total.changed_bytes));
    set(sync, "read", bytes(stats->total.read_bytes));
    set(sync, "wire", bytes(stats->total.wire_bytes));
    set(sync, "written", bytes(stats->total.written_bytes));
    set(sync, "resent", bytes(stats->total.resent_bytes));
    for (size_t i = 0; i < stats->n_failures; i++) {
        set(failures, stats->failures[i].reason, bytes(stats->failures[i].count));
    }
    json_t *deltas = json_object();
    set(deltas, "content", bytes(stats->total.delta_bytes));
    set(deltas, "wire", bytes(stats->total.delta_wire_bytes));
    set(object, "sync_bytes", sync);
    set(object, "delta_bytes", deltas);
    set(object, "committed", bytes(stats->committed));
    set(object, "unchanged", bytes(stats->unchanged));
    set(object, "failures", failures);
    return object;
}

static json_t *histogram_json(const struct fs_histogram *histogram)
{
    json_t *object = json_object(), *buckets = json_array();

    for (size_t i = 0; i < histogram->n_bounds; i++) {
        json_array_append_new(buckets,
                              json_pack("[f, I]", histogram->bounds[i],
                                        (json_int_t)fs_histogram_cumulative(histogram, i)));
    }
    set(object, "buckets", buckets);
    set(object, "sum", json_real(histogram->sum));
    set(object, "count", bytes(histogram->count));
    return object;
}

/* How much changes in how long; time in which nothing did counts, too. */
static json_t *change_json(const struct fs_group *group)
{
    const struct fs_change *change = &group->stats.change;
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    int64_t covered = change->covered_ns;

    if (change->points > 0 && newest) {
        covered += fs_group_instant_age_ns(group, newest) - fs_group_lag_ns(group);
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:f}", "points", (json_int_t)change->points, "bytes",
                     (json_int_t)change->bytes, "wire_bytes", (json_int_t)change->wire_bytes,
                     "covered_seconds", seconds(covered), "took_seconds", seconds(change->took_ns));
}

static json_t *retain_json(const struct fs_retention *retain)
{
    return json_pack("{s:i, s:i, s:i, s:i}", "latest", (int)retain->latest, "hourly",
                     (int)retain->hourly, "daily", (int)retain->daily, "weekly",
                     (int)retain->weekly);
}

static void set_recovery_point(const struct fs_group *group, json_t *object)
{
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    int64_t lag = fs_group_lag_ns(group);
    size_t committed = 0;

    for (size_t i = 0; i < group->record->n_points; i++) {
        committed += group->record->points[i].state == FS_POINT_COMMITTED;
    }
    if (newest && lag >= 0) {
        json_t *point = fs_status_point(newest);
        set(point, "current_until_timestamp",
            json_real(seconds(fs_group_wall_of(group, group->current_until_ns))));
        set(object, "rpo_lag_seconds", json_real(seconds(lag)));
        set(object, "recovery_point", point);
    }
    set(object, "points", bytes(committed));
}

/* What of the policy the alerts compare with. */
static void set_objectives(const struct fs_group *group, json_t *object)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    double interval = seconds(fs_group_interval_ns(group));

    set(object, "interval_seconds", json_real(interval));
    if (policy) {
        json_t *alert = json_object();
        set(alert, "warning_seconds", json_real(interval * policy->alert_warn));
        set(alert, "critical_seconds", json_real(interval * policy->alert_critical));
        set(object, "alert", alert);
        set(object, "retain", retain_json(&policy->retain));
    }
    if (policy && policy->verify_every_ns > 0 && group->record->role == FS_ROLE_SECONDARY) {
        set(object, "verify_interval_seconds", json_real(seconds(policy->verify_every_ns)));
    }
    if (policy && policy->drill_every_ns > 0 && group->record->role == FS_ROLE_SECONDARY) {
        set(object, "drill_interval_seconds", json_real(seconds(policy->drill_every_ns)));
    }
}

json_t *fs_status_group(const struct fs_group *group)
{
    const struct fs_record *record = group->record;
    const struct fs_group_stats stats = stats_now(group);
    struct fs_verdict verdict;
    json_t *object = json_object(), *histograms = json_object();

    fs_group_verdict(group, &verdict);
    set(object, "name", fs_status_text(record->name));
    set(object, "uuid", uuid_json(&record->group));
    set(object, "policy", fs_status_text(record->policy));
    set(object, "peer", fs_status_text(record->peer));
    set(object, "role", json_string(fs_role_name(record->role)));
    set(object, "state", json_string(fs_state_name(verdict.state)));
    set(object, "reason", fs_status_text(verdict.reason));
    set(object, "hint", fs_status_text(verdict.hint));
    set(object, "paused", json_boolean(record->paused));
    if (!fs_uuid_is_zero(&record->joins)) {
        const struct fs_group *into = fs_join_of(group);
        set(object, "joins", into ? fs_status_text(into->record->name) : uuid_json(&record->joins));
    }
    set(object, "known_timestamp", json_real(seconds(group->known_ns)));
    set_objectives(group, object);
    int64_t next = fs_group_is_primary(group) ? fs_primary_next_ns(group) : INT64_MAX;
    if (next != INT64_MAX) {
        int64_t wait = next - fs_context_boot(group->ctx);
        set(object, "next_point_seconds", json_real(wait > 0 ? seconds(wait) : 0));
    }
    set_recovery_point(group, object);
    set(object, "sync", fs_status_sync(group));
    set(object, "verify", fs_verifier_status(group->ctx->groups->verifier, group));
    set(object, "drills", fs_drills_status(group->ctx->groups->drills, group));
    set(object, "fences", fs_fences_status(group->ctx->groups->fences, group));
    json_t *drill = fs_drills_last(group->ctx->groups->drills, group);
    if (drill) {
        set(object, "drill", drill);
    }
    json_t *objects = fs_capture_status(group);
    if (objects) {
        set(object, "objects", objects);
    }
    set(object, "slow_reason", fs_status_text(group->slow_reason));
    set(object, "volumes", volumes_json(group));
    if (stats.compression_ratio > 0) {
        set(object, "compression_ratio", json_real(stats.compression_ratio));
    }
    set(object, "change", change_json(group));
    if (stats.speed > 0) {
        set(object, "speed_bytes_per_second", json_real(stats.speed));
    }
    set(object, "counters", counters_json(&stats));
    set(histograms, "sync_duration_seconds", histogram_json(&group->stats.sync_duration));
    set(histograms, "snapshot_pause_seconds", histogram_json(&group->stats.snapshot_pause));
    set(object, "histograms", histograms);
    return object;
}

/* --- the document ---------------------------------------------------------------------------- */

static json_t *pools_json(const struct fs_health *health)
{
    json_t *array = json_array();

    for (size_t i = 0; i < health->n_pools; i++) {
        const struct fs_pool_health *pool = &health->pools[i];
        json_t *object = json_object();
        set(object, "name", fs_status_text(pool->name));
        set(object, "full", json_boolean(pool->full));
        set(object, "nearfull", json_boolean(pool->nearfull));
        set(object, "trimming_snapshots", bytes(pool->trimming));
        if (pool->space_known) {
            set(object, "stored_bytes", bytes(pool->stored));
            set(object, "available_bytes", bytes(pool->available));
        }
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *site_json(const struct fs_daemon *daemon)
{
    const struct fs_context *ctx = &daemon->ctx;
    json_t *object = json_object();

    set(object, "name", fs_status_text(ctx->config->site));
    set(object, "uuid", uuid_json(&ctx->site_uuid));
    set(object, "fsid", json_string(ctx->fsid));
    set(object, "version", json_string(FARSHORE_VERSION));
    set(object, "instance", uuid_json(&ctx->instance));
    set(object, "cluster", json_string(fs_work_cluster_is_up(daemon->work) ? "up" : "down"));
    set(object, "cluster_reason", fs_status_text(ctx->source ? "" : ctx->site_reason));
    set(object, "lease", json_string(fs_work_holds_lease(daemon->work) ? "held" : "standby"));
    set(object, "started_timestamp", json_real(seconds(daemon->started_ns)));
    set(object, "ceph_version", fs_status_text(ctx->health.version));
    set(object, "wide_caps", json_boolean(ctx->health.wide_caps));
    set(object, "flags", fs_status_text(ctx->health.flags));
    set(object, "pools", pools_json(&ctx->health));
    set(object, "trimming_known", json_boolean(ctx->health.trim_known));
    set(object, "point_intervals", json_integer(fs_trim_factor(&ctx->trim)));
    set(object, "certificate_expiry_timestamp", json_integer(fs_tls_not_after(daemon->tls)));
    json_t *kubernetes = fs_kube_source_status(ctx->kubernetes);
    if (kubernetes) {
        set(object, "kubernetes", kubernetes);
    }
    return object;
}

static json_t *pool_name(const char *pool, const char *ns)
{
    char name[2 * FS_POOL_SIZE + 2];

    (void)snprintf(name, sizeof(name), "%s%s%s", pool, *ns ? "/" : "", ns);
    return fs_status_text(name);
}

static json_t *policies_json(const struct fs_config *config)
{
    json_t *array = json_array();

    for (size_t i = 0; i < config->n_policies; i++) {
        const struct fs_config_policy *policy = &config->policies[i];
        json_t *pools = json_array();
        for (size_t k = 0; k < policy->n_pools; k++) {
            const struct fs_pool_map *map = &policy->pools[k];
            json_array_append_new(pools,
                                  json_pack("{s:o, s:o}", "source",
                                            pool_name(map->source_pool, map->source_ns), "target",
                                            pool_name(map->target_pool, map->target_ns)));
        }
        json_array_append_new(array, json_pack("{s:o, s:o, s:b, s:o}", "name",
                                               fs_status_text(policy->name), "peer",
                                               fs_status_text(policy->peer), "selects",
                                               policy->selector != NULL, "pools", pools));
    }
    return array;
}

static json_t *peers_json(const struct fs_daemon *daemon)
{
    const struct fs_peers *peers = daemon->ctx.peers;
    json_t *array = json_array();

    for (size_t i = 0; i < fs_peers_count(peers); i++) {
        struct fs_peer_status status;
        fs_peers_status(peers, i, &status);
        if (!status.up && !fs_config_find_peer(daemon->config, status.name)) {
            continue; /* it was taken out of the configuration */
        }
        json_t *object = json_object();
        set(object, "name", fs_status_text(status.name));
        set(object, "up", json_boolean(status.up));
        set(object, "address", fs_status_text(status.address));
        set(object, "since_timestamp", json_real(seconds(status.since_ns)));
        if (status.up && status.rtt_ns >= 0) {
            set(object, "rtt_seconds", json_real(seconds(status.rtt_ns)));
            set(object, "clock_offset_seconds", json_real(seconds(status.clock_offset_ns)));
        }
        if (status.up) {
            set(object, "lanes", json_integer(status.lanes));
        }
        set(object, "reason", fs_status_text(status.reason));
        set(object, "sent_bytes", bytes(status.sent_bytes));
        set(object, "received_bytes", bytes(status.received_bytes));
        set(object, "compression_level", json_integer(status.compression_level));
        if (status.bandwidth > 0) {
            set(object, "bandwidth_bytes_per_second", bytes(status.bandwidth));
            set(object, "bandwidth_window", fs_status_text(status.window));
        }
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *skipped_json(const struct fs_groups *groups)
{
    json_t *array = json_array();

    for (size_t i = 0; i < groups->n_skipped; i++) {
        char spec[FS_IMAGE_SPEC_SIZE];
        json_t *object = json_object();
        const struct fs_skipped_volume *skipped = &groups->skipped[i];
        bool known = skipped->image.pool[0] != '\0';
        set(object, "image", fs_status_text(known ? fs_image_spec(&skipped->image, spec) : ""));
        set(object, "pvc_namespace", fs_status_text(skipped->pvc_namespace));
        set(object, "pvc", fs_status_text(skipped->pvc));
        set(object, "policy", fs_status_text(skipped->policy));
        set(object, "reason", fs_status_text(skipped->reason));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *fs_status_document_of(struct fs_daemon *daemon, const struct fs_group *only)
{
    const struct fs_groups *groups = daemon->ctx.groups;
    const struct fs_budget *sending = &daemon->ctx.sending, *receiving = &daemon->ctx.receiving;
    json_t *document = json_object(), *array = json_array(), *memory = json_object();

    for (size_t i = 0; i < groups->count; i++) {
        const struct fs_group *group = groups->list[i];
        if (only ? group == only : !group->let_go) {
            json_array_append_new(array, fs_status_group(group));
        }
    }
    set(memory, "limit_bytes", bytes(daemon->config->memory_bytes));
    set(memory, "used_bytes", bytes(sending->used + receiving->used));
    set(memory, "peak_bytes", bytes(sending->peak + receiving->peak));
    set(document, "schema_version", json_integer(1));
    set(document, "site", site_json(daemon));
    set(document, "memory", memory);
    set(document, "peers", peers_json(daemon));
    set(document, "policies", policies_json(daemon->config));
    set(document, "groups", array);
    set(document, "skipped", skipped_json(groups));
    return document;
}

json_t *fs_status_document(struct fs_daemon *daemon)
{
    return fs_status_document_of(daemon, NULL);
}
