/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/terms.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/operation.h"
#include "daemon/operation_log.h"
#include "daemon/peer.h"
#include "daemon/primary.h"
#include "daemon/workload.h"
#include "farshore/fault.h"
#include "farshore/log.h"

/* --- telling --------------------------------------------------------------------------------- */

static bool is_told(const struct fs_group *group, const char *peer)
{
    const struct fs_record *record = group->record;

    return record->version > 0 && record->role != FS_ROLE_RECORD_LOST &&
           strcmp(record->peer, peer) == 0;
}

static struct fs_terms_entry entry_of(const struct fs_group *group)
{
    const struct fs_record *record = group->record;
    bool ours = fs_uuid_equal(&record->term.site, &group->ctx->site_uuid);

    return (struct fs_terms_entry){
        .group = record->group,
        .term = record->term,
        .role = record->role,
        .flags = record->fence && ours ? FS_TERMS_FENCE : 0,
    };
}

static struct fs_session *session_with(const struct fs_context *ctx, const char *peer)
{
    struct fs_session *session = fs_peers_session(ctx->peers, peer);

    return session && (fs_session_peer(session)->features & FS_FEATURE_TERMS) ? session : NULL;
}

static void send_terms(struct fs_session *session, const struct fs_terms *terms)
{
    struct fs_buf buf = FS_BUF_INIT;
    size_t start = fs_frame_begin(&buf, FS_FRAME_TERMS, 0, 0);

    fs_terms_encode(terms, &buf);
    fs_frame_finish(&buf, start);
    fs_session_send(session, &buf);
    fs_buf_fini(&buf);
}

void fs_terms_send(struct fs_groups *groups, const char *peer)
{
    struct fs_session *session = session_with(groups->ctx, peer);
    struct fs_terms_entry *entries = session ? calloc(FS_TERMS_MAX, sizeof(*entries)) : NULL;
    struct fs_terms terms = {.entries = entries};

    if (!entries) {
        return; /* out of memory: nothing is shipped either way before the next session */
    }
    for (size_t i = 0; i < groups->count; i++) {
        if (!is_told(groups->list[i], peer)) {
            continue;
        }
        if (terms.count == FS_TERMS_MAX) {
            terms.more = true;
            send_terms(session, &terms);
            terms.more = false;
            terms.count = 0;
        }
        entries[terms.count++] = entry_of(groups->list[i]);
    }
    send_terms(session, &terms);
    free(entries);
}

void fs_terms_send_group(struct fs_group *group)
{
    struct fs_session *session = session_with(group->ctx, group->record->peer);
    struct fs_terms_entry entry = entry_of(group);
    const struct fs_terms terms = {.count = 1, .entries = &entry};

    if (session && is_told(group, group->record->peer)) {
        send_terms(session, &terms);
    }
}

/* --- hearing --------------------------------------------------------------------------------- */

static bool may_ship(enum fs_role role)
{
    return role == FS_ROLE_PRIMARY || role == FS_ROLE_PROMOTING || role == FS_ROLE_DEMOTED;
}

/* In whichever role: a secondary notes it, too, so that its own promotion takes a number above. */
void fs_terms_learn(struct fs_group *group, const struct fs_term *term, bool fence)
{
    const struct fs_record *record = group->record;
    const struct fs_term *known = group->heard_pending ? &group->heard : &record->peer_term;
    bool higher = term->number > record->term.number;

    if (group->heard_pending && fs_term_same(term, &group->heard)) {
        group->heard_fence = group->heard_fence || (fence && higher);
    }
    if (record->role == FS_ROLE_RECORD_LOST || record->version == 0 || fs_term_same(term, known) ||
        term->number < known->number || (!higher && !fs_term_clashes(term, &record->term))) {
        return;
    }
    group->heard = *term;
    group->heard_fence = fence && higher; /* equal numbers fence nobody */
    group->heard_pending = true;
    group->retry_ns = 0;
    if (group->operation) { /* a relocation waits for it */
        group->operation->retry_ns = 0;
    }
    fs_primary_cancel(group);
    if (higher) { /* what uses the volumes starts there */
        fs_workload_cancel(group, "the other site was promoted meanwhile");
    }
    group->ctx->kick(group->ctx->hook_arg);
}

/* The peer follows in the term that this site was promoted to: worth a note that lasts, see
 * fs_failover_is_done; and a secondary takes points, whatever it said before. */
static void learn_seen(struct fs_group *group, const struct fs_term *term, enum fs_role role)
{
    const struct fs_record *record = group->record;

    if (role == FS_ROLE_SECONDARY && fs_term_same(term, &record->term)) {
        group->requested = group->requested || group->failures > 0;
        group->retry_ns = 0;
        group->failures = 0;
    }

    if (fs_group_is_primary(group) && term->number > 1 && fs_term_same(term, &record->term) &&
        !fs_term_same(term, &record->peer_term) && !group->heard_pending) {
        group->heard = *term;
        group->heard_pending = true;
        group->requested = true; /* it has waited for a point since it yielded */
    }
}

void fs_terms_heard(struct fs_groups *groups, const char *peer, const struct fs_terms *terms)
{
    for (size_t i = 0; i < terms->count; i++) {
        const struct fs_terms_entry *entry = &terms->entries[i];
        struct fs_group *group = fs_groups_find_uuid(groups, &entry->group);

        if (!group || strcmp(group->record->peer, peer) != 0) {
            continue;
        }
        group->peer_role = entry->role;
        if (may_ship(entry->role)) {
            fs_terms_learn(group, &entry->term, entry->flags & FS_TERMS_FENCE);
        } else {
            learn_seen(group, &entry->term, entry->role);
        }
    }
}

/* --- storing --------------------------------------------------------------------------------- */

static void report(struct fs_group *group, bool superseded)
{
    const struct fs_record *record = group->record;
    char text[200];

    if (superseded) {
        (void)snprintf(text, sizeof(text), "%.100s was promoted to term %" PRIu64, record->peer,
                       record->peer_term.number);
        fs_log(FS_EV_SUPERSEDED, FS_S("group", record->name), FS_S("peer", record->peer),
               FS_U("term", record->peer_term.number), FS_U("own_term", record->term.number));
        fs_operation_log(group, "superseded", NULL, "", text);
    } else if (fs_group_is_split(group)) {
        (void)snprintf(text, sizeof(text), "%.100s is primary in term %" PRIu64 " too",
                       record->peer, record->peer_term.number);
        fs_log(FS_EV_SPLIT_BRAIN, FS_S("group", record->name), FS_S("peer", record->peer),
               FS_U("term", record->term.number));
        fs_operation_log(group, "split_brain", NULL, "", text);
    }
}

static void stored(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    bool was_superseded = group->record->role == FS_ROLE_SUPERSEDED;

    group->phase = FS_PHASE_IDLE;
    if (err && fs_error_is_set(err)) {
        struct fs_verdict verdict;
        const char *label = fs_verdict_of_error(err, &verdict);

        fs_record_free(record); /* it is tried again from the one before */
        fs_group_failed(group, label, &verdict, err);
        fs_log(FS_EV_SYNC_FAILED, FS_S("group", group->record->name), FS_S("reason", label),
               FS_E(err));
        if (err->code == ESTALE || err->code == ESHUTDOWN) {
            group->ctx->site_lost(group->ctx->hook_arg, err);
        }
    } else {
        fs_fault("supersede.stored");
        fs_group_set_record(group, record);
        if (record->role != FS_ROLE_SECONDARY) {
            fs_group_succeeded(group);
        }
        if (fs_term_same(&group->heard, &record->peer_term)) {
            group->heard_pending = false;
        }
        report(group, !was_superseded && record->role == FS_ROLE_SUPERSEDED);
        fs_terms_send_group(group);
    }
    group->ctx->kick(group->ctx->hook_arg);
}

void fs_terms_run(struct fs_groups *groups)
{
    struct fs_context *ctx = groups->ctx;
    int64_t now = fs_context_boot(ctx);

    for (size_t i = 0; ctx->source && i < groups->count; i++) {
        struct fs_group *group = groups->list[i];

        bool yields = group->record->role == FS_ROLE_DEMOTED || group->record->following.present;
        if (!group->heard_pending || group->operation || yields || group->phase != FS_PHASE_IDLE ||
            now < group->retry_ns) {
            continue;
        }
        struct fs_record *record = fs_record_copy(group->record);
        if (!record) {
            return;
        }
        record->peer_term = group->heard;
        record->peer_version = 0;
        bool yields_to = may_ship(record->role) || record->role == FS_ROLE_SUPERSEDED;
        if (yields_to && group->heard.number > record->term.number) {
            bool pending = record->role == FS_ROLE_SUPERSEDED && record->fence_users;
            record->role = FS_ROLE_SUPERSEDED;
            record->fence_users = pending || group->heard_fence;
        }
        fs_fault("supersede.store");
        group->phase = FS_PHASE_OPERATING;
        group->phase_since_ns = now;
        ctx->source->ops->store(ctx->source, record, stored, group);
    }
}
