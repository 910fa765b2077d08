/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operation_log.h"

#include <stdlib.h>

#include "farshore/log.h"

#define RECENT_MAX 50u

static void written(void *arg, const struct fs_error *err)
{
    struct fs_groups *groups = arg;

    groups->noting--;
    if (err && fs_error_is_set(err)) {
        fs_log(FS_EV_SYNC_FAILED, FS_S("reason", "operation_log"), FS_E(err));
    }
    groups->ctx->kick(groups->ctx->hook_arg);
}

static void remember(struct fs_group *group, json_t *entry)
{
    double now_s = (double)fs_context_wall(group->ctx) / (double)FS_SEC;

    group->log.logged++;
    if (entry && group->log.recent) {
        (void)json_object_set_new(entry, "timestamp", json_real(now_s));
        (void)json_array_append(group->log.recent, entry);
        if (json_array_size(group->log.recent) > RECENT_MAX) {
            (void)json_array_remove(group->log.recent, 0);
        }
    }
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
    remember(group, entry);
    json_decref(entry);
}

static json_t *entries_of(const struct fs_history_entry *entries, size_t count)
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
    return list;
}

json_t *fs_operation_history(const struct fs_group *group, const struct fs_history_entry *entries,
                             size_t count)
{
    return json_pack("{s:i, s:s, s:o}", "schema_version", 1, "group", group->record->name,
                     "history", entries_of(entries, count));
}

/* --- the newest ones, for who looks again and again --------------------------------------------
 */

struct reading {
    struct fs_groups *groups;
    struct fs_uuid group;
    unsigned logged; /* as of its group when it began */
};

static void read_cb(void *arg, const struct fs_history_entry *entries, size_t count,
                    const struct fs_error *err)
{
    struct reading *reading = arg;
    struct fs_group *group = fs_groups_find_uuid(reading->groups, &reading->group);
    size_t skip = count > RECENT_MAX ? count - RECENT_MAX : 0;

    reading->groups->noting--;
    if (group) {
        group->log.reading = false;
        /* What was logged meanwhile may not be in it: then the next who looks reads again. */
        if (!(err && fs_error_is_set(err)) && group->log.logged == reading->logged) {
            json_decref(group->log.recent);
            group->log.recent = entries_of(entries + skip, count - skip);
        }
    }
    free(reading);
}

json_t *fs_operation_recent(struct fs_group *group)
{
    struct fs_context *ctx = group->ctx;

    if (!group->log.recent && !group->log.reading && ctx->operators && !ctx->groups->stopping) {
        struct reading *reading = malloc(sizeof(*reading));
        if (reading) {
            *reading = (struct reading){ctx->groups, group->record->group, group->log.logged};
            group->log.reading = true;
            ctx->groups->noting++;
            ctx->operators->ops->history(ctx->operators, &reading->group, read_cb, reading);
        }
    }
    return json_incref(group->log.recent);
}
