/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/release.h"

#include "daemon/join.h"
#include "farshore/log.h"

#define GRACE_NS (600 * FS_SEC) /* the longest that an image which left keeps its snapshots */
#define AGAIN_NS (60 * FS_SEC)  /* after a failure */

static bool any_left(const struct fs_group *group)
{
    const struct fs_record *record = group->record;

    if (group->let_go) {
        return record->n_points > 0;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        for (size_t p = 0; record->volumes[i].gone && p < record->n_points; p++) {
            const struct fs_record_content *content =
                fs_record_find_content(&record->points[p], &record->volumes[i].volume.uuid);
            if (content && content->snap_id) {
                return true;
            }
        }
    }
    return false;
}

/* Of a site that does not know whether its record is the newest, nothing is removed; nor of one
 * whose points are another group's by now. */
static bool applies(const struct fs_group *group)
{
    return group->record->role == FS_ROLE_PRIMARY && !group->merge_pending && any_left(group) &&
           !fs_join_is_over(group);
}

int64_t fs_release_next_ns(const struct fs_group *group)
{
    return applies(group) ? group->release.next_ns : INT64_MAX;
}

static void release_done(void *arg, struct fs_record *record, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_context *ctx = group->ctx;
    bool failed = err && fs_error_is_set(err);

    if (failed) {
        fs_log(FS_EV_PRUNE_FAILED, FS_S("group", group->record->name), FS_E(err));
    }
    /* What is left now waits for the end of the grace, has failed, or is being digested. */
    int64_t again = fs_context_boot(ctx) + AGAIN_NS, end = group->release.since_ns + GRACE_NS;
    group->release.next_ns = failed || end < again ? again : end;
    fs_group_set_record(group, record);
    group->phase = FS_PHASE_IDLE;
    ctx->kick(ctx->hook_arg);
}

bool fs_release_start(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;
    int64_t now = fs_context_boot(ctx);

    if (!applies(group)) {
        group->release = (struct fs_group_release){0};
        return false;
    }
    if (group->release.since_ns == 0) {
        group->release.since_ns = now;
    }
    if (group->phase != FS_PHASE_IDLE || group->operation || group->heard_pending || !ctx->source ||
        now < group->release.next_ns) {
        return false;
    }
    struct fs_record *record = fs_record_copy(group->record);
    if (!record) {
        return false;
    }
    group->phase = FS_PHASE_STORING;
    ctx->source->ops->release(ctx->source, record, group->let_go,
                              now < group->release.since_ns + GRACE_NS, release_done, group);
    return true;
}
