/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/replica.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/join.h"
#include "daemon/peer.h"
#include "daemon/terms.h"
#include "daemon/weather.h"
#include "farshore/fault.h"
#include "farshore/log.h"

#define SYNC_INTERVAL_NS (2 * FS_SEC)
#define SYNC_BYTES       (UINT64_C(32) << 20)

struct refusal {
    enum fs_refusal reason;
    char message[512];
};

static bool refuse(struct refusal *refusal, enum fs_refusal reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(struct refusal *refusal, enum fs_refusal reason, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    refusal->reason = reason;
    (void)vsnprintf(refusal->message, sizeof(refusal->message), format, args);
    va_end(args);
    return false;
}

static size_t volumes_open(const struct fs_groups *groups)
{
    size_t open = 0;

    for (size_t i = 0; i < groups->count; i++) {
        open += groups->list[i]->receiver ? groups->list[i]->incoming_volumes : 0;
    }
    return open;
}

/* Only a secondary takes points. Whatever else this site is, the offer's term is news to it. */
static bool admit_role(struct fs_group *group, const struct fs_offer *offer,
                       struct refusal *refusal)
{
    const struct fs_record *record = group->record;
    const char *site = group->ctx->config->site;

    if (record->role == FS_ROLE_SECONDARY || record->version == 0) {
        return true; /* the sink compares terms, as they are stored */
    }
    fs_terms_learn(group, &offer->term, false); /* its TERMS were here before */
    if (offer->term.number < record->term.number) {
        return refuse(refusal, FS_REFUSE_STALE_TERM,
                      "%s was promoted to term %" PRIu64 " for group %.200s, the offer is of term "
                      "%" PRIu64 ": the sender is superseded",
                      site, record->term.number, offer->name, offer->term.number);
    }
    if (fs_term_clashes(&offer->term, &record->term)) {
        return refuse(refusal, FS_REFUSE_SPLIT_BRAIN,
                      "both sites were promoted to term %" PRIu64 " for group %.200s (split "
                      "brain): nothing is applied",
                      record->term.number, offer->name);
    }
    if (record->role == FS_ROLE_DEMOTED) {
        return refuse(refusal, FS_REFUSE_BUSY, "%s is handing group %.200s over", site,
                      offer->name);
    }
    if (record->role == FS_ROLE_RECORD_LOST) {
        return refuse(refusal, FS_REFUSE_NOT_SECONDARY,
                      "%s is %s for group %.200s: it takes no points for it", site,
                      fs_role_name(record->role), offer->name);
    }
    return refuse(refusal, FS_REFUSE_SUPERSEDED,
                  "%s was primary for group %.200s until the sender was promoted to term %" PRIu64
                  ", and keeps what it alone has: it takes no points until `farshore failback "
                  "%.200s` is run there",
                  site, offer->name, offer->term.number, offer->name);
}

/* What the configuration and the present work say to an offer; what the cluster and the record
 * say to it is the sink's. */
static bool admit(const struct fs_groups *groups, const char *peer, const struct fs_offer *offer,
                  struct fs_group *group, struct refusal *refusal)
{
    const struct fs_context *ctx = groups->ctx;
    const struct fs_config_policy *policy = fs_config_find_policy(ctx->config, offer->policy);

    if (!ctx->sink || groups->stopping) {
        return refuse(refusal, FS_REFUSE_UNAVAILABLE, "the Ceph cluster of %s is away",
                      ctx->config->site);
    }
    if (!policy) {
        return refuse(refusal, FS_REFUSE_UNKNOWN_POLICY,
                      "%s has no policy %.100s: add `%.100s: {peer: %s, interval: ..., pools: "
                      "{SOURCE: TARGET}}` to policies in its farshored.yaml and reload it",
                      ctx->config->site, offer->policy, offer->policy, peer);
    }
    if (strcmp(policy->peer, peer) != 0) {
        return refuse(refusal, FS_REFUSE_UNKNOWN_POLICY,
                      "policy %.100s of %s names %s as its peer, not %s", offer->policy,
                      ctx->config->site, policy->peer, peer);
    }
    if (group && !admit_role(group, offer, refusal)) {
        return false;
    }
    if (group && strcmp(group->record->peer, peer) != 0) {
        return refuse(refusal, FS_REFUSE_NOT_OWNED,
                      "group %.200s of %s comes from %s, not from %s: two sites claim it",
                      offer->name, ctx->config->site, group->record->peer, peer);
    }
    bool operating = group && (group->operation || group->record->following.present);
    if (group && (group->phase != FS_PHASE_IDLE || operating)) {
        return refuse(refusal, FS_REFUSE_BUSY, "another %s of the group is under way at %s",
                      operating ? "operation" : "transfer", ctx->config->site);
    }
    size_t open = volumes_open(groups);
    if (open > 0 && open + offer->n_volumes > ctx->config->open_images) {
        return refuse(refusal, FS_REFUSE_BUSY, "%s has limits.open_images (%u) volumes open",
                      ctx->config->site, ctx->config->open_images);
    }
    if (fs_join_refusal(groups, offer, refusal->message, sizeof(refusal->message))) {
        refusal->reason = FS_REFUSE_BUSY;
        return false;
    }
    refusal->reason =
        fs_weather_admit(ctx, group, policy, offer, refusal->message, sizeof(refusal->message));
    return refusal->reason == FS_REFUSE_NONE;
}

/* A record to show until the sink has made the real one. */
static struct fs_group *new_group(struct fs_groups *groups, const char *peer,
                                  const struct fs_offer *offer)
{
    struct fs_record *record = fs_record_new();

    if (!record) {
        return NULL;
    }
    record->group = offer->group;
    memcpy(record->name, offer->name, sizeof(record->name));
    memcpy(record->policy, offer->policy, sizeof(record->policy));
    (void)snprintf(record->peer, sizeof(record->peer), "%s", peer);
    record->role = FS_ROLE_SECONDARY;
    record->term = offer->term;
    record->joins = offer->joins;
    record->interval_ns = (int64_t)offer->interval_ns;
    struct fs_group *group = fs_group_new(groups->ctx, record);
    if (fs_groups_add(groups, group) < 0) {
        return NULL;
    }
    fs_log(FS_EV_GROUP_FOUND, FS_S("group", offer->name), FS_S("policy", offer->policy),
           FS_U("volumes", offer->n_volumes), FS_S("role", "secondary"), FS_S("peer", peer));
    return group;
}

/* From the point before the newest to the newest; 0: there is only one. */
static int64_t since_point_before(const struct fs_record *record)
{
    const struct fs_record_point *newest = fs_record_newest_committed(record);

    for (const struct fs_record_point *point = newest; point && point > record->points;) {
        point--;
        if (point->state == FS_POINT_COMMITTED) {
            return newest->taken_ns - point->taken_ns;
        }
    }
    return 0;
}

static void received(void *arg, struct fs_receiver_result *result)
{
    struct fs_group *group = arg;
    struct fs_context *ctx = group->ctx;
    int64_t took = fs_context_boot(ctx) - group->phase_since_ns;

    group->receiver = NULL;
    group->cancelled = false;
    group->phase = FS_PHASE_IDLE;
    fs_join_give_back(group);
    group->rate = (struct fs_rate){0};
    fs_group_set_record(group, result->record);
    result->record = NULL;
    fs_group_stats_add(&group->stats, &result->stats);
    if (result->committed) {
        fs_group_succeeded(group);
        group->adopt = false;
        group->received_ns = fs_context_boot(ctx);
        group->stats.committed++;
        fs_histogram_observe_ns(&group->stats.sync_duration, took);
        fs_change_add(&group->stats.change, since_point_before(group->record), took,
                      result->stats.written_bytes, result->stats.wire_bytes);
        fs_log(FS_EV_POINT_COMMITTED, FS_S("group", group->record->name),
               FS_U("seq", group->incoming.seq), FS_I("lag_ms", fs_group_lag_ns(group) / FS_MSEC),
               FS_I("duration_ms", took / FS_MSEC), FS_U("bytes", result->stats.written_bytes),
               FS_U("wire_bytes", result->stats.wire_bytes));
    } else if (fs_error_is_set(&result->err) && result->err.class != FS_ERR_CANCELLED) {
        struct fs_verdict verdict;
        const char *label = "peer_lost";
        enum fs_event event =
            result->refusal == FS_REFUSE_DIGEST ? FS_EV_DIGEST_MISMATCH
            : result->refusal == FS_REFUSE_TAMPERED && group->failure.state != FS_STATE_TAMPERED
                ? FS_EV_TAMPERED /* once: the peer tries it again and again */
                : FS_EV_SYNC_FAILED;
        if (fs_peers_session(ctx->peers, group->record->peer)) {
            label = fs_verdict_of_refusal(result->refusal, &result->err, &verdict);
            fs_group_failed(group, label, &verdict, &result->err);
        } else {
            fs_group_stats_failed(&group->stats, label);
        }
        fs_log(event, FS_S("group", group->record->name), FS_S("reason", label),
               FS_E(&result->err));
        if (result->err.code == ESTALE || result->err.code == ESHUTDOWN) {
            ctx->site_lost(ctx->hook_arg, &result->err);
        }
    }
    ctx->kick(ctx->hook_arg);
}

/* The offer is moved in; false when out of memory. */
static bool receive(struct fs_groups *groups, struct fs_group *group, const char *peer,
                    struct fs_session *session, uint32_t stream, struct fs_offer *offer)
{
    struct fs_context *ctx = groups->ctx;
    const struct fs_config_policy *policy = fs_config_find_policy(ctx->config, offer->policy);
    struct fs_admission admission = {
        .pools = policy->pools,
        .n_pools = policy->n_pools,
        .retain = policy->retain,
        .adopt = group->adopt,
        .compare = fs_session_peer(session)->features & FS_FEATURE_COMPARE,
    };
    const struct fs_receiver_options options = {
        .sink = ctx->sink,
        .session = session,
        .cpu = ctx->cpu,
        .clock = ctx->clock,
        .budget = &ctx->receiving,
        .sync_interval_ns = SYNC_INTERVAL_NS,
        .sync_bytes = SYNC_BYTES,
        .reach = &group->reach,
        .source = ctx->source,
    };
    struct fs_record *record = NULL;

    if (!fs_uuid_is_zero(&offer->joins)) {
        admission.retain = (struct fs_retention){.latest = 1}; /* nobody goes back to it */
    }
    if (group->record->version > 0) {
        record = fs_record_copy(group->record);
        if (!record) {
            fs_offer_fini(offer);
            return false;
        }
    }
    (void)snprintf(admission.peer, sizeof(admission.peer), "%s", peer);
    group->let_go = false; /* it had been forgotten */
    group->incoming = offer->point;
    fs_group_note_instant(group, &offer->point.id, (int64_t)offer->taken_age_ns);
    group->incoming_volumes = offer->n_volumes;
    group->phase = FS_PHASE_RECEIVING;
    group->phase_since_ns = fs_context_boot(ctx);
    fs_join_lend(groups, offer, &admission);
    group->receiver =
        fs_receiver_start(&options, stream, record, offer, &admission, received, group);
    if (!group->receiver) {
        group->phase = FS_PHASE_IDLE;
        fs_join_give_back(group);
    }
    return group->receiver != NULL;
}

void fs_replica_offer(struct fs_groups *groups, const char *peer, struct fs_session *session,
                      uint32_t stream, struct fs_offer *offer)
{
    struct fs_group *group = fs_groups_find_uuid(groups, &offer->group);
    struct refusal refusal;

    fs_fault("offer.received");
    if (!admit(groups, peer, offer, group, &refusal)) {
        fs_log(FS_EV_OFFER_REFUSED, FS_S("group", offer->name), FS_S("peer", peer),
               FS_S("reason", refusal.message));
        fs_refuse_offer(session, stream, refusal.reason, refusal.message);
        fs_offer_fini(offer);
        return;
    }
    if (!group) {
        group = new_group(groups, peer, offer);
    }
    if (!group) {
        fs_offer_fini(offer);
    }
    if (!group || !receive(groups, group, peer, session, stream, offer)) {
        fs_refuse_offer(session, stream, FS_REFUSE_BUSY, "out of memory");
    }
}

/* --- moments --------------------------------------------------------------------------------- */

struct noting { /* a batch on its way to the cluster */
    struct fs_groups *groups;
    char peer[FS_NAME_SIZE];
    struct fs_current_list list; /* what is acknowledged; ages as they came */
    int64_t *until_ns;           /* boot; one per entry */
};

static void noting_free(struct noting *noting)
{
    fs_current_list_fini(&noting->list);
    free(noting->until_ns);
    free(noting);
}

static void acknowledge(struct noting *noting)
{
    /* The session may be another one by now: the moments are durable all the same. */
    struct fs_session *session = fs_peers_session(noting->groups->ctx->peers, noting->peer);

    for (size_t i = 0; i < noting->list.count; i++) {
        struct fs_group *group =
            fs_groups_find_uuid(noting->groups, &noting->list.entries[i].group);
        const struct fs_record_point *newest =
            group ? fs_record_newest_committed(group->record) : NULL;
        if (newest && fs_uuid_equal(&newest->point.id, &noting->list.entries[i].point)) {
            fs_group_note_current(group, noting->until_ns[i]);
        }
    }
    if (session) {
        struct fs_buf buf = FS_BUF_INIT;
        size_t start = fs_frame_begin(&buf, FS_FRAME_CURRENT_ACK, 0, 0);
        fs_current_list_encode(&noting->list, &buf);
        fs_frame_finish(&buf, start);
        fs_session_send(session, &buf);
        fs_buf_fini(&buf);
    }
}

static void noted(void *arg, const struct fs_error *err)
{
    struct noting *noting = arg;

    noting->groups->noting--;
    if (err && fs_error_is_set(err)) {
        /* The source tells it again. */
        fs_log(FS_EV_SYNC_FAILED, FS_S("reason", "note_current"), FS_S("peer", noting->peer),
               FS_E(err));
    } else {
        acknowledge(noting);
    }
    noting_free(noting);
}

static struct noting *noting_new(struct fs_groups *groups, const char *peer, size_t count)
{
    struct noting *noting = calloc(1, sizeof(*noting));

    if (!noting) {
        return NULL;
    }
    noting->groups = groups;
    (void)snprintf(noting->peer, sizeof(noting->peer), "%s", peer);
    noting->list.entries = calloc(count, sizeof(*noting->list.entries));
    noting->until_ns = calloc(count, sizeof(*noting->until_ns));
    if (!noting->list.entries || !noting->until_ns) {
        noting_free(noting);
        return NULL;
    }
    return noting;
}

void fs_replica_current(struct fs_groups *groups, const char *peer,
                        const struct fs_current_list *list)
{
    struct fs_context *ctx = groups->ctx;

    if (!ctx->sink || groups->stopping || list->count == 0) {
        return;
    }
    struct noting *noting = noting_new(groups, peer, list->count);
    struct fs_current *entries = calloc(list->count, sizeof(*entries));
    if (!noting || !entries) {
        goto out;
    }
    int64_t wall = fs_context_wall(ctx);
    for (size_t i = 0; i < list->count; i++) {
        const struct fs_current_entry *entry = &list->entries[i];
        const struct fs_group *group = fs_groups_find_uuid(groups, &entry->group);
        const struct fs_record_point *newest = group && group->record->role == FS_ROLE_SECONDARY
                                                   ? fs_record_newest_committed(group->record)
                                                   : NULL;
        if (!newest || strcmp(group->record->peer, peer) != 0 ||
            !fs_uuid_equal(&newest->point.id, &entry->point) || entry->age_ns > (uint64_t)wall) {
            continue;
        }
        size_t n = noting->list.count++;
        noting->list.entries[n] = *entry;
        noting->until_ns[n] = fs_context_boot(ctx) - (int64_t)entry->age_ns;
        entries[n] = (struct fs_current){.group = entry->group,
                                         .point = entry->point,
                                         .current_until_ns = wall - (int64_t)entry->age_ns};
    }
    if (noting->list.count > 0) {
        groups->noting++;
        ctx->sink->ops->note_current(ctx->sink, entries, noting->list.count, noted, noting);
        noting = NULL;
    }
out:
    if (noting) {
        noting_free(noting);
    }
    free(entries);
}
