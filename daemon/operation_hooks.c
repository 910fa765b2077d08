/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operation_hooks.h"

#include <stdio.h>

#include "daemon/hook.h"
#include "daemon/operation_log.h"

static void run_next(struct fs_group *group);

static void hook_ended(void *arg, const struct fs_error *err)
{
    struct fs_group *group = arg;
    struct fs_operation *operation = group->operation;
    struct fs_hook_outcome *outcome = &operation->result.hooks[operation->n_hooks++];
    char text[600];

    outcome->ran = true;
    outcome->failed = err != NULL;
    if (err) {
        (void)snprintf(outcome->message, sizeof(outcome->message), "%.250s", err->message);
        (void)snprintf(text, sizeof(text), "%s", err->message);
    } else {
        (void)snprintf(text, sizeof(text), "%s was run", operation->hook);
    }
    fs_operation_log(group, "hook", &operation->id, operation->who, text);
    run_next(group);
}

/* In between nothing is left to the round: it would begin at the first step again where the site
 * was lost meanwhile. */
static void run_next(struct fs_group *group)
{
    struct fs_operation *operation = group->operation;
    const struct fs_point_id *point = operation->result.has_point ? &operation->result.point : NULL;

    for (; operation->n_hooks < FS_HOOKS_AFTER; operation->n_hooks++) {
        enum fs_hook hook = fs_hooks_after[operation->n_hooks];
        if (fs_hook_start(group, hook, point, hook_ended, group)) {
            operation->hook = fs_hook_name(hook);
            operation->working = true;
            return;
        }
    }
    fs_operation_end(group);
}

void fs_operation_conclude(struct fs_group *group, const char *message)
{
    fs_operation_note_result(group, false, message);
    run_next(group);
}
