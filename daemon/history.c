/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/history.h"

#include "daemon/operation_log.h"
#include "daemon/status.h"
#include "farshore/log.h"

static json_t *lag_json(const struct fs_group *group)
{
    const struct fs_lag_history *lags = &group->lags;
    json_t *values = json_array();

    for (size_t age = FS_LAG_STEPS; age-- > 0;) {
        double lag_s = fs_lag_history_get(lags, age);
        json_array_append_new(values, lag_s < 0 ? json_null() : json_real(lag_s));
    }
    return json_pack("{s:f, s:f, s:o}", "end_timestamp",
                     (double)fs_context_wall(group->ctx) / (double)FS_SEC, "step_seconds",
                     (double)FS_LAG_STEP_NS / (double)FS_SEC, "max_seconds", values);
}

json_t *fs_history_group(struct fs_group *group)
{
    json_t *document = fs_status_points(group);

    json_object_set_new(document, "group", fs_status_group(group));
    json_object_set_new(document, "lag", lag_json(group));
    json_t *operations = fs_operation_recent(group);
    if (operations) {
        json_object_set_new(document, "operations", operations);
    }
    return document;
}

static const char *level_name(enum fs_log_level level)
{
    return level == FS_LOG_ERROR ? "error" : level == FS_LOG_WARNING ? "warning" : "notice";
}

static void add_event(void *arg, const struct fs_log_recent *entry)
{
    json_t *events = arg;

    json_array_append_new(events, json_pack("{s:f, s:s, s:s, s:o, s:o}", "timestamp",
                                            (double)entry->wall_ns / (double)FS_SEC, "event",
                                            entry->name, "level", level_name(entry->level), "group",
                                            fs_status_text(entry->group), "text",
                                            fs_status_text(entry->text)));
}

json_t *fs_history_events(void)
{
    json_t *events = json_array();

    fs_log_recent_each(add_event, events);
    return json_pack("{s:i, s:o}", "schema_version", 1, "events", events);
}
