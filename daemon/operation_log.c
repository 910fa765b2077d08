/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operation_log.h"

#include <stdlib.h>

#include "farshore/log.h"

static void written(void *arg, const struct fs_error *err)
{
    struct fs_groups *groups = arg;

    groups->noting--;
    if (err && fs_error_is_set(err)) {
        fs_log(FS_EV_SYNC_FAILED, FS_S("reason", "operation_log"), FS_E(err));
    }
    groups->ctx->kick(groups->ctx->hook_arg);
}

void fs_operation_log(struct fs_group *group, const char *step, const struct fs_uuid *id,
                      const char *who, const char *detail)
{
    struct fs_context *ctx = group->ctx;
    const struct fs_record *record = group->record;
    char operation[FS_UUID_TEXT] = "";

    if (id) {
        fs_uuid_format(id, operation);
    }
    fs_log(FS_EV_OPERATION, FS_S("group", record->name), FS_S("step", step),
           FS_S("operation", id ? operation : NULL), FS_S("who", *who ? who : NULL),
           FS_S("detail", *detail ? detail : NULL));
    if (!ctx->operators || ctx->groups->stopping) {
        return;
    }
    json_t *entry =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s}", "site", ctx->config->site, "step", step,
                  "operation", operation, "who", who, "role", fs_role_name(record->role), "term",
                  (json_int_t)record->term.number, "detail", detail);
    char *text = entry ? json_dumps(entry, JSON_COMPACT) : NULL;
    if (text) {
        ctx->groups->noting++;
        ctx->operators->ops->log(ctx->operators, &record->group, text, written, ctx->groups);
    }
    free(text);
    json_decref(entry);
}

json_t *fs_operation_history(const struct fs_group *group, const struct fs_history_entry *entries,
                             size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *entry = json_loads(entries[i].text, 0, NULL);
        if (json_is_object(entry)) {
            (void)json_object_set_new(entry, "timestamp",
                                      json_real((double)entries[i].wall_ns / (double)FS_SEC));
            json_array_append(list, entry);
        }
        json_decref(entry);
    }
    return json_pack("{s:i, s:s, s:o}", "schema_version", 1, "group", group->record->name,
                     "history", list);
}
