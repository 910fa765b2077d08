/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state is news once it has lasted, and a group that flaps is told of less and less often. One
 * that stays bad is said again before an API forgets what it was told (Kubernetes: after an hour).
 * Nothing of this is durable: a daemon that starts takes it that all was well, that what has a
 * recovery point was told so, and that what was primary here once has its point's time noted.
 */
#include "daemon/announce.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/join.h"

#define LASTS_NS       (30 * FS_SEC)
#define GONE_NS        (120 * FS_SEC) /* what was said is long past, and nothing else lasts */
#define AGAIN_NS       (1800 * FS_SEC)
#define LOST_AGAIN_NS  (300 * FS_SEC) /* where something did not arrive, maybe that */
#define GAP_FIRST_NS   (30 * FS_SEC)
#define GAP_LONGEST_NS (960 * FS_SEC)
#define CALM_NS        (3600 * FS_SEC)
#define AWAITED_NS     (900 * FS_SEC)
#define NOTE_EVERY_NS  (300 * FS_SEC)
#define RETRY_NS       (1 * FS_SEC) /* rounds come much more often */
#define LONG_AGO       (INT64_MIN / 2)

/* What a state is called; NULL: nothing is said of it. */
static const struct announced_state {
    const char *reason;
    bool warning;
} states[FS_STATE_COUNT] = {
    [FS_STATE_OK] = {"ProtectionRecovered", false},
    [FS_STATE_NOT_ONE_INSTANT] = {"ProtectionDegraded", true},
    [FS_STATE_LATE] = {"ProtectionLate", true},
    [FS_STATE_PAUSED] = {"ProtectionPaused", false},
    [FS_STATE_STALLED] = {"ProtectionFailed", true},
    [FS_STATE_WRITER_SILENT] = {"ProtectionFailed", true},
    [FS_STATE_SUPERSEDED] = {"ProtectionFailed", true},
    [FS_STATE_PEER_DOWN] = {"ProtectionFailed", true},
    [FS_STATE_CLUSTER_DOWN] = {"ProtectionFailed", true},
    [FS_STATE_DEGRADED] = {"ProtectionDegraded", true},
    [FS_STATE_NO_SPACE] = {"ProtectionFailed", true},
    [FS_STATE_ERROR] = {"ProtectionFailed", true},
    [FS_STATE_TAMPERED] = {"ProtectionFailed", true},
    [FS_STATE_DIVERGED] = {"ProtectionFailed", true},
    [FS_STATE_SPLIT_BRAIN] = {"ProtectionFailed", true},
    [FS_STATE_RECORD_LOST] = {"ProtectionFailed", true},
};

static const struct announced_operation {
    const char *name, *done, *failed;
    bool warning; /* also where it went well */
} operations[] = {
    {"failover", "FailedOver", "FailoverFailed", false},
    {"relocate", "Relocated", "RelocationFailed", false},
    {"failback", "FailedBack", "FailbackFailed", false},
    {"resync", "Resynced", "ResyncFailed", false},
    {"fence", "Fenced", "FenceFailed", true},
    {"unfence", "Unfenced", "UnfenceFailed", false},
};

struct targets {
    const struct fs_volume *list[FS_VOLUMES_MAX];
    size_t count;
};

static bool is_covered(const struct fs_announced *announced, const struct fs_uuid *volume)
{
    for (size_t i = 0; i < announced->n_covered; i++) {
        if (fs_uuid_equal(&announced->covered[i], volume)) {
            return true;
        }
    }
    return false;
}

static void cover(struct fs_announced *announced, const struct fs_record_point *point)
{
    announced->n_covered = 0;
    announced->covering = point ? point->point.id : (struct fs_uuid){0};
    for (size_t i = 0; point && i < point->n_contents && i < FS_VOLUMES_MAX; i++) {
        announced->covered[announced->n_covered++] = point->contents[i].volume;
    }
}

/* By this daemon or one before, and is to be taken off: a primary sees to it by itself. Of what
 * was never primary here nothing is asked for. */
static bool may_be_noted(const struct fs_announced *announced, const struct fs_record *record)
{
    if (record->role == FS_ROLE_PRIMARY) {
        return false;
    }
    bool unknown = announced->role == FS_ROLE_NONE || announced->role == FS_ROLE_PRIMARY;
    return unknown ? record->next_seq > 0 : announced->noted;
}

void fs_announced_init(struct fs_announced *announced, const struct fs_record *record, int64_t now)
{
    announced->noted = may_be_noted(announced, record);
    announced->role = record->role;
    cover(announced, fs_record_newest_committed(record));
    announced->told = announced->seen = FS_STATE_OK;
    announced->told_ns = announced->changed_ns = LONG_AGO;
    announced->held_ns = now;
}

void fs_announced_loaded(struct fs_announced *announced, const struct fs_record *record,
                         int64_t now)
{
    cover(announced, fs_record_newest_committed(record));
    announced->seen_ns = announced->held_ns = now; /* nobody looked meanwhile */
}

/* --- saying it -------------------------------------------------------------------------------- */

static struct targets members_of(const struct fs_record *record)
{
    struct targets targets = {.count = 0};

    for (size_t i = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone) {
            targets.list[targets.count++] = &record->volumes[i].volume;
        }
    }
    return targets;
}

/* False: it was not taken, and is to be said in a later round. */
static bool say(struct fs_group *group, const struct targets *targets, const char *reason,
                bool warning, const char *message)
{
    struct fs_announcer *announcer = group->ctx->announcer;
    const struct fs_announcement what = {reason, warning, message};
    int64_t now = fs_context_boot(group->ctx);

    if (now < group->announced.say_again_ns) {
        return false;
    }
    bool taken = announcer->say(announcer, targets->list, targets->count, &what);
    group->announced.say_again_ns = taken ? 0 : now + RETRY_NS;
    return taken;
}

static bool say_of_all(struct fs_group *group, const char *reason, bool warning,
                       const char *message)
{
    const struct targets all = members_of(group->record);

    return say(group, &all, reason, warning, message);
}

/* --- operations ------------------------------------------------------------------------------- */

static void describe_outcome(const struct fs_group *group, char ret_text[FS_ANNOUNCED_OUTCOME])
{
    const struct fs_operation_result *result = &group->finished;
    char given[200] = "";

    if (result->handed_over && !result->failed) {
        (void)snprintf(given, sizeof(given), "primary in term %" PRIu64 ", as %.60s handed it over",
                       group->record->term.number, group->record->peer);
    }
    (void)snprintf(ret_text, FS_ANNOUNCED_OUTCOME, "%.100s at site %.60s: %.520s",
                   group->record->name, group->ctx->config->site,
                   given[0] ? given : result->message);
}

static void take_outcome(struct fs_group *group)
{
    struct fs_announced *announced = &group->announced;
    const struct fs_operation_result *result = &group->finished;

    if (result->serial == announced->serial) {
        return;
    }
    announced->serial = result->serial;
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        const struct announced_operation *known = &operations[i];
        if (result->kind && strcmp(known->name, result->kind) == 0) {
            announced->outcome.reason = result->failed        ? known->failed
                                        : result->handed_over ? "Relocated"
                                                              : known->done;
            announced->outcome.warning = result->failed || known->warning;
            describe_outcome(group, announced->outcome.message);
        }
    }
}

static void say_outcome(struct fs_group *group)
{
    struct fs_announced *announced = &group->announced;

    if (announced->outcome.reason &&
        say_of_all(group, announced->outcome.reason, announced->outcome.warning,
                   announced->outcome.message)) {
        announced->outcome.reason = NULL;
    }
}

/* What is still to be brought up is not there yet to be told anything. */
static bool is_awaited(struct fs_group *group, int64_t now)
{
    struct fs_announced *announced = &group->announced;

    if (!fs_group_is_primary(group) || !group->record->bring_up.present) {
        announced->awaited_ns = 0;
        return false;
    }
    if (announced->awaited_ns == 0) {
        announced->awaited_ns = now;
    }
    return now - announced->awaited_ns < AWAITED_NS;
}

/* --- protection ------------------------------------------------------------------------------- */

/* Volumes that have got their first recovery point; one that is copied beside its group, once it
 * has joined it. */
static bool say_protected(struct fs_group *group, int64_t now)
{
    struct fs_announced *announced = &group->announced;
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    struct targets fresh = {.count = 0};
    char name[FS_SNAP_NAME_SIZE], message[700];

    if (!newest || !fs_uuid_is_zero(&group->record->joins) ||
        fs_uuid_equal(&announced->covering, &newest->point.id)) {
        return false;
    }
    for (size_t i = 0; i < newest->n_contents; i++) {
        const struct fs_uuid *uuid = &newest->contents[i].volume;
        const struct fs_record_volume *volume = fs_record_find_volume(group->record, uuid);
        if (volume && !volume->gone && !is_covered(announced, uuid)) {
            fresh.list[fresh.count++] = &volume->volume;
        }
    }
    if (fresh.count == 0) {
        cover(announced, newest);
        return false;
    }
    (void)snprintf(message, sizeof(message),
                   "%.250s has a recovery point at %.100s, %s; new ones follow every %.0f s",
                   group->record->name, group->record->peer,
                   fs_point_snap_name(&newest->point, name),
                   (double)fs_group_interval_ns(group) / (double)FS_SEC);
    if (!say(group, &fresh, "Protected", false, message)) {
        return false;
    }
    cover(announced, newest);
    announced->told = FS_STATE_OK;
    announced->held_ns = now;
    return true;
}

static bool say_verdict(struct fs_group *group, const struct fs_verdict *verdict)
{
    char message[1000];

    if (verdict->state == FS_STATE_OK) {
        (void)snprintf(message, sizeof(message),
                       "%.250s is protected again: its newest recovery point at %.100s is good "
                       "until %.0f s ago",
                       group->record->name, group->record->peer,
                       (double)fs_group_lag_ns(group) / (double)FS_SEC);
    } else {
        (void)snprintf(message, sizeof(message), "%.100s is %s: %.550s%s%.250s",
                       group->record->name, fs_state_name(verdict->state), verdict->reason,
                       verdict->hint[0] ? "; " : "", verdict->hint);
    }
    return say_of_all(group, states[verdict->state].reason, states[verdict->state].warning,
                      message);
}

static void changed(struct fs_announced *announced, int64_t now)
{
    bool calm = now - announced->changed_ns > CALM_NS;
    int64_t gap = calm ? GAP_FIRST_NS : 2 * announced->gap_ns;

    announced->gap_ns = gap < GAP_LONGEST_NS ? gap : GAP_LONGEST_NS;
    announced->changed_ns = now;
}

/* True: another state was said than the one before. */
static bool say_state(struct fs_group *group, const struct fs_verdict *verdict, int64_t now)
{
    struct fs_announced *announced = &group->announced;
    enum fs_group_state state = verdict->state;

    if (state != announced->seen) {
        announced->seen = state;
        announced->seen_ns = now;
    }
    if (state == announced->told) {
        announced->held_ns = now;
    }
    bool lasts = now - announced->seen_ns >= LASTS_NS || now - announced->held_ns >= GONE_NS;
    bool other =
        state != announced->told && lasts && now - announced->changed_ns >= announced->gap_ns;
    unsigned lost = group->ctx->announcer->lost;
    int64_t often = announced->told_lost == lost ? AGAIN_NS : LOST_AGAIN_NS;
    bool again =
        state == announced->told && state != FS_STATE_OK && now - announced->told_ns >= often;
    if (!states[state].reason || (!other && !again) || !say_verdict(group, verdict)) {
        return false;
    }
    announced->told_lost = lost;
    announced->told = state;
    announced->told_ns = now;
    if (other) {
        changed(announced, now);
    }
    return other;
}

static void say_ended(struct fs_group *group)
{
    char message[500];

    (void)snprintf(message, sizeof(message),
                   "%.250s is not selected any more: what is at %.100s stays, and no new "
                   "recovery points follow",
                   group->record->name, group->record->peer);
    if (say_of_all(group, "ProtectionEnded", false, message)) {
        cover(&group->announced, NULL);
        group->announced.selected = false;
    }
}

/* --- the newest point's time ------------------------------------------------------------------ */

static void note_nothing(struct fs_group *group, int64_t now)
{
    struct fs_announced *announced = &group->announced;
    struct fs_announcer *announcer = group->ctx->announcer;

    if (!announced->noted || now < announced->note_again_ns) {
        return;
    }
    const struct targets all = members_of(group->record);
    if (announcer->note(announcer, all.list, all.count, INT64_MIN)) {
        announced->noted = false;
    } else {
        announced->note_again_ns = now + RETRY_NS;
    }
}

/* now_exact: a state was told, and whoever looks is to find what belongs to it. */
static void note_newest(struct fs_group *group, bool now_exact, int64_t now)
{
    struct fs_announced *announced = &group->announced;
    struct fs_announcer *announcer = group->ctx->announcer;
    const struct fs_record_point *newest = fs_record_newest_committed(group->record);
    int64_t interval = fs_group_interval_ns(group);
    int64_t every = interval > NOTE_EVERY_NS ? interval : NOTE_EVERY_NS;
    bool news = newest && (!announced->noted || announced->note_lost != announcer->lost ||
                           newest->taken_ns != announced->noted_ns);

    if (!news || (announced->noted && !now_exact && now - announced->noted_at_ns < every) ||
        now < announced->note_again_ns) {
        return;
    }
    struct targets held = members_of(group->record);
    for (size_t i = held.count; i-- > 0;) {
        if (!fs_record_find_content(newest, &held.list[i]->uuid)) {
            held.list[i] = held.list[--held.count];
        }
    }
    unsigned lost = announcer->lost;
    if (announcer->note(announcer, held.list, held.count, newest->taken_ns)) {
        announced->noted = true;
        announced->noted_ns = newest->taken_ns;
        announced->noted_at_ns = now;
        announced->note_lost = lost;
    } else {
        announced->note_again_ns = now + RETRY_NS;
    }
}

/* --- the round -------------------------------------------------------------------------------- */

/* Whose volumes are in use here; the other site speaks for its own. */
static bool is_heard_here(const struct fs_group *group)
{
    enum fs_role role = group->record->role;

    return role == FS_ROLE_PRIMARY || role == FS_ROLE_SUPERSEDED || role == FS_ROLE_RECORD_LOST;
}

void fs_announce_run(struct fs_group *group, const struct fs_verdict *verdict)
{
    struct fs_announced *announced = &group->announced;
    int64_t now = fs_context_boot(group->ctx);

    if (!group->ctx->announcer) {
        return;
    }
    if (fs_join_is_over(group)) { /* the other one speaks for its volume */
        announced->selected = announced->noted = false;
        return;
    }
    if (announced->role != group->record->role) {
        fs_announced_init(announced, group->record, now);
    }
    take_outcome(group);
    if (is_awaited(group, now)) {
        return;
    }
    say_outcome(group);
    if (group->let_go) {
        if (announced->selected) {
            say_ended(group);
        }
        note_nothing(group, now);
        return;
    }
    announced->selected = group->was_seen;
    bool told = false;
    if (is_heard_here(group)) {
        told = verdict->state == FS_STATE_OK && say_protected(group, now);
        told = say_state(group, verdict, now) || told;
    }
    if (fs_group_is_primary(group)) {
        note_newest(group, told, now);
    } else {
        note_nothing(group, now);
    }
}

/* --- what cannot be protected ----------------------------------------------------------------- */

void fs_announce_skipped(const struct fs_context *ctx, const struct fs_skipped_volume *volume,
                         struct fs_skipped_news *news)
{
    struct fs_volume claim = {.image = volume->image};
    const struct fs_volume *const target = &claim;
    int64_t now = fs_context_boot(ctx);
    char message[700];

    if (!ctx->announcer || !volume->pvc[0] || now - news->since_ns < LASTS_NS ||
        (news->told_ns > 0 && now - news->told_ns < AGAIN_NS)) {
        return;
    }
    (void)snprintf(claim.pvc_namespace, sizeof(claim.pvc_namespace), "%s", volume->pvc_namespace);
    (void)snprintf(claim.pvc, sizeof(claim.pvc), "%s", volume->pvc);
    (void)snprintf(message, sizeof(message),
                   "policy %.200s selects it, but it is not protected: %s", volume->policy,
                   volume->reason);
    const struct fs_announcement what = {"NotProtected", true, message};
    if (ctx->announcer->say(ctx->announcer, &target, 1, &what)) {
        news->told_ns = now;
    }
}
