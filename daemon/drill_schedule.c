/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/drill_schedule.h"

#include <stdio.h>

#include "daemon/hook.h"
#include "daemon/operation_log.h"

/* Without a result the first one comes within this time after a start, spread over the groups. */
#define FIRST_NS (3600 * FS_SEC)
#define FAILED   1

static struct fs_group *group_of(const struct fs_drills *drills)
{
    return fs_groups_find_uuid(drills->groups, &drills->drill.group);
}

static void log_step(const struct fs_drills *drills, const char *step, const char *detail)
{
    struct fs_group *group = group_of(drills);
    char text[800];

    (void)snprintf(text, sizeof(text), "scheduled drill of %s%s%s", drills->drill.point_name,
                   *detail ? ": " : "", detail);
    if (group) {
        fs_operation_log(group, step, &drills->drill.id, drills->drill.who, text);
    }
}

static void over(struct fs_drills *drills)
{
    const struct fs_context *ctx = drills->groups->ctx;

    drills->scheduled = false;
    drills->groups->noting--;
    ctx->kick(ctx->hook_arg);
}

/* --- its steps, from the last to the first ---------------------------------------------------- */

static void ended(void *arg, const struct fs_drill *drill, const struct fs_error *err)
{
    struct fs_drills *drills = arg;

    if (err && fs_error_is_set(err)) { /* it stays listed, with its age, and can be ended */
        log_step(drills, "failed", err->message);
        drills->loaded = false;
    } else {
        fs_drills_drop(drills, &drill->id);
    }
    over(drills);
}

static void noted(void *arg, const struct fs_drill *drill, const struct fs_error *err)
{
    struct fs_drills *drills = arg;
    struct fs_context *ctx = drills->groups->ctx;
    struct fs_drill result = *drill;

    result.result = true;
    fs_drills_put(drills, &result); /* also where it is not stored: once in a life is enough */
    if (err && fs_error_is_set(err)) {
        log_step(drills, "failed", err->message);
    }
    if (drill->n_images == 0 || !ctx->operators) {
        over(drills);
        return;
    }
    fs_drills_put(drills, drill);
    ctx->operators->ops->end_drill(ctx->operators, drill, ended, drills);
}

static void note(struct fs_drills *drills, int exit_status)
{
    struct fs_context *ctx = drills->groups->ctx;

    drills->drill.exit_status = exit_status;
    drills->drill.noted_ns = fs_context_wall(ctx);
    if (ctx->operators) {
        ctx->operators->ops->note_drill(ctx->operators, &drills->drill, noted, drills);
    } else {
        over(drills); /* the site's work has stopped: the drill is listed, and the next is due */
    }
}

static void tested(void *arg, const struct fs_error *err)
{
    struct fs_drills *drills = arg;

    log_step(drills, "test", err ? err->message : "its test ended with 0");
    note(drills, err ? FAILED : 0);
}

static void made(void *arg, const struct fs_drill *drill, const struct fs_error *err)
{
    struct fs_drills *drills = arg;
    const struct fs_group *group = group_of(drills);

    drills->drill = *drill;
    if (err && fs_error_is_set(err)) {
        log_step(drills, "failed", err->message);
        drills->loaded = false; /* what could not be removed again is listed */
        drills->drill.n_images = 0;
        note(drills, FAILED);
        return;
    }
    fs_drills_put(drills, drill);
    if (!group || !fs_hook_start_drill(group, &drills->drill, tested, drills)) {
        note(drills, 0); /* nothing tests them: that they can be made is what it shows */
    }
}

static void begin(struct fs_drills *drills, const struct fs_group *group)
{
    struct fs_context *ctx = drills->groups->ctx;
    const struct fs_record_point *point = fs_record_newest_committed(group->record);

    drills->scheduled = true;
    drills->groups->noting++;
    drills->drill = (struct fs_drill){
        .group = group->record->group,
        .point = point->point.id,
        .created_ns = fs_context_wall(ctx),
        .who = "drill.every",
        .exit_status = FS_DRILL_NO_EXIT,
    };
    fs_uuid_random(&drills->drill.id);
    (void)fs_point_snap_name(&point->point, drills->drill.point_name);
    log_step(drills, "begun", "");
    ctx->operators->ops->drill(ctx->operators, group->record, &drills->drill, made, drills);
}

/* --- when ------------------------------------------------------------------------------------- */

static bool is_due(const struct fs_drills *drills, const struct fs_group *group)
{
    const struct fs_context *ctx = group->ctx;
    const struct fs_config_policy *policy = fs_group_policy(group);

    if (group->record->role != FS_ROLE_SECONDARY || group->let_go || !policy ||
        policy->drill_every_ns <= 0 || !fs_record_newest_committed(group->record)) {
        return false;
    }
    const struct fs_drill *last = fs_drills_result(drills, &group->record->group);
    if (last) {
        int64_t since = fs_context_wall(ctx) - last->noted_ns;
        return since >= policy->drill_every_ns || since < 0; /* a clock that went back: now */
    }
    int64_t first = policy->drill_every_ns < FIRST_NS ? policy->drill_every_ns : FIRST_NS;
    return fs_context_boot(ctx) - drills->seen_ns >=
           fs_schedule_stagger_ns(&group->record->group, first);
}

void fs_drill_schedule_run(struct fs_drills *drills)
{
    const struct fs_context *ctx = drills->groups->ctx;

    if (!ctx->operators || !drills->loaded || drills->scheduled || drills->groups->stopping) {
        return;
    }
    if (drills->seen_ns == 0) {
        drills->seen_ns = fs_context_boot(ctx);
    }
    for (size_t i = 0; i < drills->groups->count; i++) {
        if (is_due(drills, drills->groups->list[i])) {
            begin(drills, drills->groups->list[i]);
            return;
        }
    }
}
