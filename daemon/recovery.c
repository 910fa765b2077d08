/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/recovery.h"

#include "daemon/join.h"
#include "farshore/log.h"

#define AT_ONCE 4

static const struct fs_record_point *find_state(const struct fs_record *record,
                                                enum fs_point_state state)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (record->points[i].state == state) {
            return &record->points[i];
        }
    }
    return NULL;
}

bool fs_recovery_needed(const struct fs_record *record)
{
    return record->role == FS_ROLE_SECONDARY && record->version > 0 && !record->following.present &&
           (find_state(record, FS_POINT_COMMITTING) || find_state(record, FS_POINT_TAKING));
}

static void report(const struct fs_record *before, const struct fs_record *after)
{
    const struct fs_record_point *was = find_state(before, FS_POINT_COMMITTING);
    const char *done = "points that were let go are removed";

    if (was) {
        const struct fs_record_point *newest = fs_record_newest_committed(after);
        done = newest && fs_uuid_equal(&newest->point.id, &was->point.id)
                   ? "a commit is finished"
                   : "a commit is given up: the point is applied again";
    }
    fs_log(FS_EV_RECOVERED, FS_S("group", after->name), FS_S("done", done));
}

static void recovered(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_context *ctx = group->ctx;

    group->phase = FS_PHASE_IDLE;
    if (err && fs_error_is_set(err)) {
        struct fs_verdict verdict;
        const char *label = fs_verdict_of_error(err, &verdict);

        fs_group_failed(group, label, &verdict, err);
        fs_log(FS_EV_SYNC_FAILED, FS_S("group", group->record->name), FS_S("reason", label),
               FS_E(err));
        if (err->code == ESTALE || err->code == ESHUTDOWN) {
            ctx->site_lost(ctx->hook_arg, err);
        }
    } else {
        group->recovery_pending = false;
        fs_group_succeeded(group);
        report(group->record, record);
    }
    fs_group_set_record(group, record);
    ctx->kick(ctx->hook_arg);
}

void fs_recovery_run(struct fs_groups *groups)
{
    struct fs_context *ctx = groups->ctx;
    int64_t now = fs_context_boot(ctx);
    size_t running = 0;

    for (size_t i = 0; i < groups->count; i++) {
        running += groups->list[i]->phase == FS_PHASE_RECOVERING;
    }
    for (size_t i = 0; ctx->sink && i < groups->count && running < AT_ONCE; i++) {
        struct fs_group *group = groups->list[i];

        if (!group->recovery_pending || group->phase != FS_PHASE_IDLE || group->operation ||
            now < group->retry_ns) {
            continue;
        }
        /* Or the offer of a quick peer has seen to it; or its points are another group's by now. */
        if (!fs_recovery_needed(group->record) || fs_join_is_over(group)) {
            group->recovery_pending = false;
            continue;
        }
        struct fs_record *record = fs_record_copy(group->record);
        if (!record) {
            return;
        }
        group->phase = FS_PHASE_RECOVERING;
        group->phase_since_ns = now;
        running++;
        ctx->sink->ops->recover(ctx->sink, record, recovered, group);
    }
}
