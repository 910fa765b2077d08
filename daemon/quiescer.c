/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/quiescer.h"

#include "daemon/hook.h"

static void command_ended(void *arg, const struct fs_error *err)
{
    fs_quiesce_answered(arg, err ? FS_QUIESCE_FAILED : FS_QUIESCE_DONE, err);
}

/* A command that the policy has no more cannot be told to thaw. */
static void run_command(struct fs_group *group, bool thaw, int64_t limit_ns)
{
    if (!fs_hook_start_quiesce(group, group->quiesce.command, thaw, limit_ns, command_ended,
                               group)) {
        fs_quiesce_answered(group, FS_QUIESCE_NOTHING, NULL);
    }
}

static void freeze(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns,
                   int64_t frozen_ns)
{
    (void)target;
    (void)frozen_ns;
    run_command(group, false, limit_ns);
}

static void thaw(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns)
{
    (void)target;
    run_command(group, true, limit_ns);
}

const struct fs_quiescer fs_quiescer = {.freeze = freeze, .thaw = thaw};
