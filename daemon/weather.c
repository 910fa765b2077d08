/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/weather.h"

#include <inttypes.h>
#include <stdio.h>

#include "farshore/log.h"

/* For so long a refusal makes us take points further apart; another one makes it longer. */
#define PEER_TRIMS_NS (600 * FS_SEC)

/* --- full pools ------------------------------------------------------------------------------ */

const struct fs_pool_health *fs_weather_full_pool(const struct fs_group *group)
{
    const struct fs_record *record = group->record;

    for (size_t i = 0; i < record->n_volumes; i++) {
        const struct fs_record_volume *volume = &record->volumes[i];
        const struct fs_pool_health *pool =
            fs_health_pool(&group->ctx->health, volume->volume.image.pool);
        if (!volume->gone && pool && pool->full) {
            return pool;
        }
    }
    return NULL;
}

static void describe(const struct fs_context *ctx, const struct fs_pool_health *pool, char *text,
                     size_t size)
{
    (void)snprintf(text, size, "pool %s of %s %s", pool->name, ctx->config->site,
                   pool->quota ? "has reached its quota" : "is full");
}

/* What is on its way into a pool that is full now would wait for room, and so would its peer. */
static void stop_receiving(struct fs_group *group)
{
    const struct fs_pool_health *pool = fs_weather_full_pool(group);
    struct fs_error err = FS_ERROR_INIT;
    char text[FS_NAME_SIZE + 64];

    if (pool && group->receiver && !group->cancelled) {
        describe(group->ctx, pool, text, sizeof(text));
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOSPC, "%s", text);
        group->cancelled = true;
        fs_receiver_refuse(group->receiver, FS_REFUSE_NO_SPACE, &err);
    }
}

static void report_pools(const struct fs_health *before, const struct fs_health *now)
{
    for (size_t i = 0; i < now->n_pools; i++) {
        const struct fs_pool_health *pool = &now->pools[i];
        const struct fs_pool_health *known = fs_health_pool(before, pool->name);
        if (pool->full != (known && known->full)) {
            fs_log(pool->full ? FS_EV_POOL_FULL : FS_EV_POOL_HAS_ROOM, FS_S("pool", pool->name),
                   FS_S("reason", pool->quota ? "quota" : NULL));
        }
    }
}

static bool any_full(const struct fs_health *health)
{
    for (size_t i = 0; i < health->n_pools; i++) {
        if (health->pools[i].full) {
            return true;
        }
    }
    return false;
}

/* There is room again: who waits for it need not sit out a back-off. */
static void go_on(struct fs_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        groups->list[i]->retry_ns = 0;
    }
}

void fs_weather_heard(struct fs_groups *groups, struct fs_health *health)
{
    struct fs_context *ctx = groups->ctx;
    uint64_t waiting = fs_health_trimming(health);
    bool had_full = any_full(&ctx->health);

    report_pools(&ctx->health, health);
    fs_health_fini(&ctx->health);
    ctx->health = *health;
    *health = (struct fs_health){0};
    bool changed = ctx->health.trim_known
                       ? fs_trim_observe(&ctx->trim, waiting, fs_context_boot(ctx))
                       : fs_trim_forget(&ctx->trim);
    if (changed) {
        fs_log(FS_EV_TRIM_PACE, FS_U("intervals", fs_trim_factor(&ctx->trim)),
               FS_U("waiting", waiting));
    }
    for (size_t i = 0; i < groups->count; i++) {
        stop_receiving(groups->list[i]);
    }
    if (had_full && !any_full(&ctx->health)) {
        go_on(groups);
    }
    ctx->kick(ctx->hook_arg);
}

void fs_weather_forget(struct fs_context *ctx)
{
    fs_health_fini(&ctx->health);
    (void)fs_trim_forget(&ctx->trim);
}

/* --- trimming -------------------------------------------------------------------------------- */

static bool peer_trims(const struct fs_group *group)
{
    return group->slow_factor > 1 && fs_context_boot(group->ctx) < group->slow_until_ns;
}

void fs_weather_peer_trims(struct fs_group *group)
{
    unsigned factor = peer_trims(group) ? 2 * group->slow_factor : 2;

    group->slow_factor = factor < FS_TRIM_FACTOR_MAX ? factor : FS_TRIM_FACTOR_MAX;
    group->slow_until_ns = fs_context_boot(group->ctx) + PEER_TRIMS_NS;
}

static unsigned factor_of(const struct fs_group *group)
{
    unsigned ours = fs_trim_factor(&group->ctx->trim);

    return peer_trims(group) && group->slow_factor > ours ? group->slow_factor : ours;
}

int64_t fs_weather_interval_ns(const struct fs_group *group)
{
    int64_t interval = fs_group_interval_ns(group), factor = factor_of(group);

    return interval < INT64_MAX / 4 / factor ? interval * factor : interval;
}

/* --- what it says ---------------------------------------------------------------------------- */

static const struct fs_pool_health *full_target(const struct fs_context *ctx,
                                                const struct fs_config_policy *policy,
                                                const struct fs_offer *offer)
{
    for (size_t i = 0; i < offer->n_volumes; i++) {
        const struct fs_image_ref *image = &offer->volumes[i].volume.image;
        for (size_t k = 0; k < policy->n_pools; k++) {
            const struct fs_pool_map *map = &policy->pools[k];
            const struct fs_pool_health *pool = fs_health_pool(&ctx->health, map->target_pool);
            if (pool && pool->full && strcmp(map->source_pool, image->pool) == 0 &&
                strcmp(map->source_ns, image->ns) == 0) {
                return pool;
            }
        }
    }
    return NULL;
}

enum fs_refusal fs_weather_admit(const struct fs_context *ctx, const struct fs_group *group,
                                 const struct fs_config_policy *policy,
                                 const struct fs_offer *offer, char *ret_message, size_t size)
{
    const struct fs_pool_health *pool = full_target(ctx, policy, offer);
    unsigned factor = fs_trim_factor(&ctx->trim);

    if (pool) {
        describe(ctx, pool, ret_message, size);
        return FS_REFUSE_NO_SPACE;
    }
    if (!group || factor == 1 || group->received_ns == 0) {
        return FS_REFUSE_NONE;
    }
    /* A little early is in time: the clocks of two sites do not go alike. */
    int64_t since = fs_context_boot(ctx) - group->received_ns;
    if (since / factor >= fs_group_interval_ns(group) / 10 * 9) {
        return FS_REFUSE_NONE;
    }
    (void)snprintf(ret_message, size,
                   "the cluster of %s is behind with trimming snapshots, %" PRIu64
                   " wait: it takes a point each %u intervals",
                   ctx->config->site, fs_health_trimming(&ctx->health), factor);
    return FS_REFUSE_TRIMMING;
}

void fs_weather_add_verdict(const struct fs_group *group, struct fs_verdict *verdict)
{
    const struct fs_context *ctx = group->ctx;
    const struct fs_pool_health *pool = fs_weather_full_pool(group);
    unsigned factor = factor_of(group);
    char text[FS_NAME_SIZE + 64];

    if (pool) {
        describe(ctx, pool, text, sizeof(text));
        fs_verdict_add(
            verdict, FS_STATE_NO_SPACE,
            "make room in the pool, or raise its quota: see `ceph df` and `ceph osd pool "
            "get-quota`; it goes on by itself",
            "%s: no point is %s", text, fs_group_is_primary(group) ? "taken" : "received");
    }
    if (factor == 1) {
        return;
    }
    if (fs_trim_factor(&ctx->trim) == factor) {
        (void)snprintf(text, sizeof(text),
                       "this cluster is behind with trimming snapshots, %" PRIu64 " wait",
                       fs_health_trimming(&ctx->health));
    } else {
        (void)snprintf(text, sizeof(text), "the cluster of %s is behind with trimming snapshots",
                       group->record->peer);
    }
    fs_verdict_add(verdict, FS_STATE_DEGRADED,
                   "look at snaptrim in `ceph -s` of that cluster, and at osd_snap_trim_sleep; or "
                   "lengthen intervals and keep fewer points",
                   "%s: points are taken each %u intervals", text, factor);
}
