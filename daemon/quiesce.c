/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/quiesce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/groups.h"
#include "farshore/fault.h"
#include "farshore/log.h"

/* What a snapshot may need beside the time that it holds writers. */
#define MARGIN_NS      (10 * FS_SEC)
#define RETRY_FIRST_NS (1 * FS_SEC)
#define RETRY_MAX_NS   (30 * FS_SEC)

static void thaw_next(struct fs_group *group);

/* --- what there is to freeze ----------------------------------------------------------------- */

static bool has_vm(const struct fs_record *record)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone && record->volumes[i].volume.vm[0]) {
            return true;
        }
    }
    return false;
}

unsigned fs_quiesce_wanted(const struct fs_group *group)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    unsigned kinds = 0;

    if (policy && group->ctx->quiescer && fs_uuid_is_zero(&group->record->joins)) {
        kinds |= policy->on[FS_HOOK_QUIESCE] ? FS_QUIESCE_COMMAND : 0;
        kinds |= policy->quiesce_guest && has_vm(group->record) ? FS_QUIESCE_GUEST : 0;
    }
    return kinds;
}

unsigned fs_quiesce_frozen(const struct fs_group *group)
{
    unsigned kinds = 0;

    for (size_t i = 0; i < group->quiesce.n_targets; i++) {
        kinds |= group->quiesce.targets[i].frozen ? group->quiesce.targets[i].kind : 0;
    }
    return kinds;
}

bool fs_quiesce_is_busy(const struct fs_group *group)
{
    return group->quiesce.step != FS_QUIESCE_IDLE ||
           (fs_quiesce_frozen(group) && group->quiesce.failures == 0);
}

static void add_guest(struct fs_quiesce *quiesce, const struct fs_volume *volume)
{
    for (size_t i = 0; i < quiesce->n_targets; i++) {
        if (strcmp(quiesce->targets[i].namespace, volume->pvc_namespace) == 0 &&
            strcmp(quiesce->targets[i].vm, volume->vm) == 0) {
            return;
        }
    }
    struct fs_quiesce_target *target = &quiesce->targets[quiesce->n_targets++];
    target->kind = FS_QUIESCE_GUEST;
    (void)snprintf(target->namespace, sizeof(target->namespace), "%s", volume->pvc_namespace);
    (void)snprintf(target->vm, sizeof(target->vm), "%s", volume->vm);
}

/* The command first and thawed last: it may have an application write down what the freeze of a
 * guest's file systems then keeps. Of a volume that left, its virtual machine may be frozen. */
static int make_targets(struct fs_group *group, unsigned kinds, bool members_only)
{
    const struct fs_config_policy *policy = fs_group_policy(group);
    const struct fs_record *record = group->record;
    struct fs_quiesce *quiesce = &group->quiesce;
    const char *command = policy ? policy->on[FS_HOOK_QUIESCE] : NULL;

    fs_quiesce_fini(quiesce);
    quiesce->targets = calloc(record->n_volumes + 1, sizeof(*quiesce->targets));
    quiesce->command = command ? strdup(command) : NULL;
    if (!quiesce->targets || (command && !quiesce->command)) {
        return -ENOMEM;
    }
    if (kinds & FS_QUIESCE_COMMAND) {
        quiesce->targets[quiesce->n_targets++].kind = FS_QUIESCE_COMMAND;
    }
    for (size_t i = 0; (kinds & FS_QUIESCE_GUEST) && i < record->n_volumes; i++) {
        if (record->volumes[i].volume.vm[0] && !(members_only && record->volumes[i].gone)) {
            add_guest(quiesce, &record->volumes[i].volume);
        }
    }
    return 0;
}

void fs_quiesce_fini(struct fs_quiesce *quiesce)
{
    free(quiesce->targets);
    free(quiesce->command);
    quiesce->targets = NULL;
    quiesce->command = NULL;
    quiesce->n_targets = 0;
}

/* --- freeze ---------------------------------------------------------------------------------- */

static int64_t timeout_ns(const struct fs_group *group)
{
    const struct fs_config_policy *policy = fs_group_policy(group);

    return policy ? policy->quiesce_timeout_ns : 5 * FS_SEC;
}

static void end_freeze(struct fs_group *group, const struct fs_error *err)
{
    struct fs_quiesce *quiesce = &group->quiesce;
    bool whole = !err && !quiesce->incomplete;

    quiesce->step = FS_QUIESCE_IDLE;
    (void)snprintf(quiesce->reason, sizeof(quiesce->reason), "%.*s",
                   (int)sizeof(quiesce->reason) - 1, err ? err->message : "");
    if (err) {
        fs_log(FS_EV_FREEZE_FAILED, FS_S("group", group->record->name), FS_E(err));
    } else {
        fs_fault("quiesce.frozen");
    }
    quiesce->done(quiesce->arg, whole ? quiesce->until_ns : 0, err);
}

static void freeze_next(struct fs_group *group);

static void frozen_one(struct fs_group *group, enum fs_quiesce_outcome outcome,
                       const struct fs_error *err)
{
    struct fs_quiesce *quiesce = &group->quiesce;
    struct fs_quiesce_target *target = &quiesce->targets[quiesce->at];

    if (outcome == FS_QUIESCE_FAILED) { /* what was asked may happen yet: it stays to be thawed */
        end_freeze(group, err);
        return;
    }
    if (outcome == FS_QUIESCE_NOTHING) {
        target->frozen = false;
        quiesce->incomplete = true;
    }
    quiesce->at++;
    freeze_next(group);
}

static void freeze_next(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;
    int64_t now = fs_context_boot(group->ctx);
    int64_t left = quiesce->began_ns + timeout_ns(group) - now;

    if (quiesce->at == quiesce->n_targets) {
        end_freeze(group, NULL);
        return;
    }
    if (left <= 0) {
        struct fs_error err = FS_ERROR_INIT;
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ETIMEDOUT,
                           "freezing took longer than quiesce.timeout");
        end_freeze(group, &err);
        return;
    }
    quiesce->targets[quiesce->at].frozen = true;
    group->ctx->quiescer->freeze(group, &quiesce->targets[quiesce->at], left,
                                 quiesce->until_ns - now);
}

static void begin_freeze(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;
    const struct fs_config_policy *policy = fs_group_policy(group);
    struct fs_error err = FS_ERROR_INIT;

    quiesce->at = 0;
    quiesce->began_ns = fs_context_boot(group->ctx);
    quiesce->until_ns = quiesce->began_ns + timeout_ns(group) +
                        (policy ? policy->snapshot_timeout_ns : 0) + MARGIN_NS;
    /* What the record says: the configuration may have changed since it was stored. */
    unsigned kinds = fs_quiesce_wanted(group) & group->record->quiesced;
    quiesce->incomplete = kinds != group->record->quiesced;
    if (make_targets(group, kinds, true) < 0) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "no memory to freeze anything");
        end_freeze(group, &err);
        return;
    }
    quiesce->step = FS_QUIESCE_FREEZING;
    fs_fault("quiesce.recorded");
    freeze_next(group);
}

void fs_quiesce_freeze(struct fs_group *group, fs_quiesce_fn *done, void *arg)
{
    struct fs_quiesce *quiesce = &group->quiesce;

    quiesce->done = done;
    quiesce->arg = arg;
    if (fs_quiesce_frozen(group)) {
        quiesce->refreeze = true;
        fs_quiesce_thaw(group);
    } else {
        begin_freeze(group);
    }
}

/* --- thaw ------------------------------------------------------------------------------------ */

static void note_thaw_failed(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;
    int64_t wait = RETRY_FIRST_NS;

    for (unsigned i = 0; i < quiesce->failures && wait < RETRY_MAX_NS; i++) {
        wait *= 2;
    }
    quiesce->failures++;
    quiesce->retry_ns = fs_context_boot(group->ctx) + (wait < RETRY_MAX_NS ? wait : RETRY_MAX_NS);
}

static void end_thaw(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;
    bool refreeze = quiesce->refreeze;

    quiesce->step = FS_QUIESCE_IDLE;
    quiesce->refreeze = false;
    if (fs_quiesce_frozen(group)) {
        note_thaw_failed(group);
        if (refreeze) {
            struct fs_error err = FS_ERROR_INIT;
            (void)fs_error_set(&err, FS_ERR_TRANSIENT, EBUSY,
                               "it may be frozen from the point before: %s", quiesce->thaw_reason);
            end_freeze(group, &err);
        }
        return;
    }
    if (quiesce->failures > 0 || quiesce->until_ns == 0) {
        fs_log(FS_EV_THAWED, FS_S("group", group->record->name));
    }
    quiesce->failures = 0;
    fs_quiesce_fini(quiesce);
    fs_fault("quiesce.thawed");
    if (refreeze) {
        begin_freeze(group);
    } else {
        group->record->quiesced = 0; /* and it is stored so with whatever comes next */
        group->ctx->kick(group->ctx->hook_arg);
    }
}

static void thawed_one(struct fs_group *group, enum fs_quiesce_outcome outcome,
                       const struct fs_error *err)
{
    struct fs_quiesce *quiesce = &group->quiesce;

    if (outcome == FS_QUIESCE_FAILED) {
        (void)snprintf(quiesce->thaw_reason, sizeof(quiesce->thaw_reason), "%.*s",
                       (int)sizeof(quiesce->thaw_reason) - 1, err->message);
        fs_log(FS_EV_THAW_FAILED, FS_S("group", group->record->name), FS_E(err));
    } else {
        quiesce->targets[quiesce->at].frozen = false;
    }
    thaw_next(group);
}

static void thaw_next(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;

    while (quiesce->at > 0) {
        if (quiesce->targets[--quiesce->at].frozen) {
            group->ctx->quiescer->thaw(group, &quiesce->targets[quiesce->at], timeout_ns(group));
            return;
        }
    }
    end_thaw(group);
}

void fs_quiesce_answered(struct fs_group *group, enum fs_quiesce_outcome outcome,
                         const struct fs_error *err)
{
    (group->quiesce.step == FS_QUIESCE_FREEZING ? frozen_one : thawed_one)(group, outcome, err);
}

void fs_quiesce_thaw(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;

    if (quiesce->step == FS_QUIESCE_IDLE && fs_quiesce_frozen(group)) {
        quiesce->step = FS_QUIESCE_THAWING;
        quiesce->at = quiesce->n_targets;
        thaw_next(group);
    }
}

void fs_quiesce_loaded(struct fs_group *group)
{
    struct fs_quiesce *quiesce = &group->quiesce;

    if (!group->record->quiesced || !group->ctx->quiescer || quiesce->step != FS_QUIESCE_IDLE ||
        fs_quiesce_frozen(group) || make_targets(group, group->record->quiesced, false) < 0) {
        return;
    }
    for (size_t i = 0; i < quiesce->n_targets; i++) {
        quiesce->targets[i].frozen = true;
    }
    quiesce->until_ns = 0;
}

/* --- the round ------------------------------------------------------------------------------- */

int64_t fs_quiesce_next_ns(const struct fs_group *group)
{
    const struct fs_quiesce *quiesce = &group->quiesce;

    if (quiesce->step != FS_QUIESCE_IDLE || !fs_quiesce_frozen(group)) {
        return INT64_MAX;
    }
    return quiesce->failures > 0 ? quiesce->retry_ns : quiesce->until_ns;
}

bool fs_quiesce_thaw_all(const struct fs_groups *groups)
{
    bool any = false;

    for (size_t i = 0; i < groups->count; i++) {
        if (fs_quiesce_frozen(groups->list[i])) {
            any = true;
            fs_quiesce_thaw(groups->list[i]);
        }
    }
    return any;
}

void fs_quiesce_run(const struct fs_groups *groups)
{
    int64_t now = fs_context_boot(groups->ctx);

    for (size_t i = 0; i < groups->count; i++) {
        if (fs_quiesce_next_ns(groups->list[i]) <= now) {
            fs_quiesce_thaw(groups->list[i]);
        }
    }
}

void fs_quiesce_add_verdict(const struct fs_group *group, struct fs_verdict *verdict)
{
    const struct fs_quiesce *quiesce = &group->quiesce;

    if (quiesce->failures > 0) {
        fs_verdict_add(verdict, FS_STATE_ERROR,
                       "thaw it by hand if it does not go on; it is tried again by itself",
                       "what was frozen for a point could not be thawed: %s", quiesce->thaw_reason);
    } else if (quiesce->reason[0] && fs_group_is_primary(group) && fs_quiesce_wanted(group)) {
        fs_verdict_add(verdict, FS_STATE_DEGRADED,
                       "see the log; the points are consistent as after a crash meanwhile",
                       "it could not be frozen for the newest point: %s", quiesce->reason);
    }
}
