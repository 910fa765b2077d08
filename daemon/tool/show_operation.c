/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/tool/json.h"
#include "daemon/tool/show.h"
#include "daemon/tool/text.h"

static void show_client(const json_t *fence, const char *indent, FILE *out)
{
    fprintf(out, "%s%s at %s, of %s\n", indent, string_of(fence, "client"),
            string_of(fence, "address"), string_of(fence, "images"));
    if (*string_of(fence, "others")) {
        fprintf(out, "%s  IT SERVES OTHER IMAGES, TOO: %s\n", indent, string_of(fence, "others"));
    }
}

static void show_not_all_seen(const json_t *view, const char *indent, FILE *out)
{
    if (json_is_false(json_object_get(view, "all_seen"))) {
        fprintf(out, "%snot all images of the cluster could be looked at: they may serve others\n",
                indent);
    }
}

/* Beneath what is said of fencing. */
static void show_would_fence(const json_t *plan, FILE *out)
{
    const json_t *clients = json_object_get(plan, "would_fence");
    size_t i;
    json_t *fence;

    if (clients && json_array_size(clients) == 0) {
        fprintf(out, "    nobody is on the volumes there now\n");
    }
    json_array_foreach(clients, i, fence)
    {
        show_client(fence, "    ", out);
    }
    if (*string_of(plan, "fence_note")) {
        fprintf(out, "    %s\n", string_of(plan, "fence_note"));
    }
    show_not_all_seen(plan, "    ", out);
}

static void show_objects(const json_t *list, const char *indent, FILE *out)
{
    size_t i;
    json_t *object;

    json_array_foreach(list, i, object)
    {
        const char *message = string_of(object, "message");
        fprintf(out, "%s%s", indent, string_of(object, "object"));
        if (number_of(object, "others") > 0) {
            fprintf(out, " and %.0f more", number_of(object, "others"));
        }
        fprintf(out, ": %s%s%s\n", string_of(object, "outcome"), *message ? ": " : "", message);
    }
}

/* What Kubernetes would not take, or why that is not known. */
static void show_would_not_come(const json_t *workload, FILE *out)
{
    const json_t *objects = json_object_get(workload, "objects");

    if (workload && json_array_size(objects) == 0 && !*string_of(workload, "unknown")) {
        fprintf(out, "  Kubernetes here would take all that uses them\n");
    }
    if (json_array_size(objects) > 0) {
        fprintf(out, "  THIS WOULD NOT COME UP HERE, the volumes are promoted all the same:\n");
        show_objects(objects, "    ", out);
    }
    if (*string_of(workload, "unknown")) {
        fprintf(out, "  what would not come up in Kubernetes here is not known: %s\n",
                string_of(workload, "unknown"));
    }
}

static void show_plan(const json_t *plan, FILE *out)
{
    const json_t *point = json_object_get(plan, "point");
    char moment[FS_TEXT_SIZE], loss[FS_TEXT_SIZE];
    size_t i;
    json_t *volume;

    if (*string_of(plan, "refused") || *string_of(plan, "nothing_to_do")) {
        fprintf(out, "%s: nothing is done: %s%s\n", string_of(plan, "group"),
                string_of(plan, "refused"), string_of(plan, "nothing_to_do"));
        return;
    }
    fprintf(out, "%s (%s, term %.0f):\n", string_of(plan, "group"), string_of(plan, "role"),
            number_of(plan, "term"));
    if (point) {
        fprintf(out, "  goes to point %s of %s; loss: at most %s\n", string_of(point, "name"),
                fs_text_moment(number_of(point, "taken_timestamp"), moment),
                fs_text_duration(number_of(plan, "loss_seconds"), loss));
    } else {
        fprintf(out, "  goes on from what its volumes hold now\n");
    }
    if (json_is_true(json_object_get(plan, "keeps_aside"))) {
        fprintf(out,
                "  nobody may have its volumes open; what they hold beyond its newest point is "
                "kept in snapshots farshore.left.*\n");
    }
    json_array_foreach(json_object_get(plan, "volumes"), i, volume)
    {
        fprintf(out, "  volume %s becomes writable here\n", json_string_value(volume));
    }
    if (*string_of(plan, "beside")) {
        fprintf(
            out,
            "  another disk of it has not joined yet, and stays behind: it is group %s, which is "
            "failed over on its own\n",
            string_of(plan, "beside"));
    }
    fprintf(out, "  %s\n", string_of(plan, "peer_note"));
    if (strcmp(string_of(plan, "fence"), "none") != 0) {
        fprintf(out,
                "  %s fences who uses the volumes there, a whole machine where that is a kernel "
                "client%s\n",
                string_of(plan, "peer"),
                strcmp(string_of(plan, "fence"), "required") == 0
                    ? "; nothing is done where it cannot"
                    : ", if it can");
        show_would_fence(plan, out);
    }
    show_would_not_come(json_object_get(plan, "workload"), out);
}

static void show_hooks(const json_t *group, FILE *out)
{
    size_t i;
    json_t *hook;

    json_array_foreach(json_object_get(group, "hooks"), i, hook)
    {
        if (json_is_true(json_object_get(hook, "failed"))) {
            fprintf(out, "  HOOK FAILED, the volumes are promoted all the same: %s\n",
                    string_of(hook, "message"));
        } else {
            fprintf(out, "  %s was run\n", string_of(hook, "hook"));
        }
    }
}

static void show_workload(const json_t *workload, FILE *out)
{
    show_objects(json_object_get(workload, "objects"), "  ", out);
    if (json_is_true(json_object_get(workload, "failed"))) {
        fprintf(out, "  LEFT OVER, the volumes are promoted all the same: mend what is named, and "
                     "run this again\n");
    }
}

static void show_outcome(const json_t *group, FILE *out)
{
    char moment[FS_TEXT_SIZE], loss[FS_TEXT_SIZE], took[FS_TEXT_SIZE];

    if (strcmp(string_of(group, "outcome"), "promoted") != 0) {
        fprintf(out, "%s: %s: %s\n", string_of(group, "group"), string_of(group, "outcome"),
                string_of(group, "message"));
        return;
    }
    fprintf(out, "%s: primary here in term %.0f, after %s\n", string_of(group, "group"),
            number_of(group, "term"), fs_text_duration(number_of(group, "duration_seconds"), took));
    if (*string_of(group, "point")) {
        fprintf(out, "  point %s of %s; loss: at most %s\n", string_of(group, "point"),
                fs_text_moment(number_of(group, "taken_timestamp"), moment),
                fs_text_duration(number_of(group, "loss_seconds"), loss));
    }
    fprintf(out, "  %s\n", string_of(group, "fencing"));
    show_hooks(group, out);
    show_workload(json_object_get(group, "workload"), out);
}

void fs_show_failover(const json_t *result, FILE *out)
{
    size_t i;
    json_t *group;

    json_array_foreach(json_object_get(result, "plan"), i, group)
    {
        show_plan(group, out);
    }
    json_array_foreach(json_object_get(result, "groups"), i, group)
    {
        show_outcome(group, out);
    }
}

static void show_follow_plan(const json_t *plan, FILE *out)
{
    char downtime[FS_TEXT_SIZE];
    size_t i;
    json_t *text;

    if (*string_of(plan, "nothing_to_do")) {
        fprintf(out, "%s: nothing is done: %s\n", string_of(plan, "group"),
                string_of(plan, "nothing_to_do"));
        return;
    }
    fprintf(out, "%s (%s, term %.0f), at this site:\n", string_of(plan, "group"),
            string_of(plan, "role"), number_of(plan, "term"));
    json_array_foreach(json_object_get(plan, "steps"), i, text)
    {
        fprintf(out, "  %s\n", json_string_value(text));
    }
    json_array_foreach(
        json_is_true(json_object_get(plan, "parks")) ? json_object_get(plan, "volumes") : NULL, i,
        text)
    {
        fprintf(out, "  volume %s is not writable here from then on\n", json_string_value(text));
    }
    const json_t *workload = json_object_get(plan, "workload");
    if (*string_of(workload, "message")) {
        fprintf(out, "  THIS WOULD NOT COME UP AT %s: %s\n", string_of(plan, "peer"),
                string_of(workload, "message"));
    }
    if (*string_of(workload, "unknown")) {
        fprintf(out, "  what would not come up at %s is not known: %s\n", string_of(plan, "peer"),
                string_of(workload, "unknown"));
    }
    if (json_object_get(plan, "downtime_seconds")) {
        fprintf(out, "  downtime: about %s, and what the workload takes to stop and start\n",
                fs_text_duration(number_of(plan, "downtime_seconds"), downtime));
    }
}

static void show_follow_outcome(const json_t *group, FILE *out)
{
    const json_t *point = json_object_get(group, "recovery_point");
    const json_t *workload = json_object_get(group, "workload");
    char wire[FS_TEXT_SIZE], written[FS_TEXT_SIZE], moment[FS_TEXT_SIZE];

    fprintf(out, "%s: %s: %s\n", string_of(group, "group"), string_of(group, "outcome"),
            string_of(group, "message"));
    if (json_object_get(group, "downtime_seconds")) {
        fprintf(out, "  downtime: %s, with what the workload took to stop%s\n",
                fs_text_duration(number_of(group, "downtime_seconds"), moment),
                json_is_false(json_object_get(workload, "failed")) ? " and to come" : "");
    }
    if (json_is_false(json_object_get(workload, "failed"))) {
        fprintf(out, "  what uses the volumes is up there\n");
    }
    if (json_is_true(json_object_get(workload, "failed"))) {
        fprintf(out,
                "  LEFT OVER at %s, which is primary all the same: %s\n  Mend that there, and "
                "run this again\n",
                string_of(group, "peer"), string_of(workload, "message"));
    }
    if (point) {
        fprintf(out, "  point %s of %s is here; received: %s, written: %s\n",
                string_of(point, "name"),
                fs_text_moment(number_of(point, "taken_timestamp"), moment),
                fs_text_bytes(number_of(group, "wire_bytes"), wire),
                fs_text_bytes(number_of(group, "written_bytes"), written));
    }
}

void fs_show_follow(const json_t *result, FILE *out)
{
    size_t i;
    json_t *group;

    json_array_foreach(json_object_get(result, "plan"), i, group)
    {
        show_follow_plan(group, out);
    }
    json_array_foreach(json_object_get(result, "groups"), i, group)
    {
        show_follow_outcome(group, out);
    }
}

void fs_show_fences(const json_t *result, FILE *out)
{
    const json_t *would = json_object_get(result, "would_fence");
    size_t i;
    json_t *fence;

    if (!would) {
        fprintf(out, "%s: %s\n", string_of(result, "group"), string_of(result, "message"));
        would = json_object_get(result, "fences");
    } else {
        fprintf(
            out, "%s: %s\n", string_of(result, "group"),
            json_array_size(would) > 0
                ? "these clients would be blocklisted where they do not let go of it by "
                  "themselves, and could not use anything of this cluster until farshore unfence:"
                : "nobody is on the volumes now");
    }
    json_array_foreach(would, i, fence)
    {
        show_client(fence, "  ", out);
    }
    show_not_all_seen(result, "  ", out);
}

void fs_show_operation_progress(const json_t *progress, FILE *out)
{
    if (number_of(progress, "total") > 1) {
        fprintf(out, "%.0f of %.0f groups done; ", number_of(progress, "done"),
                number_of(progress, "total"));
    }
    fprintf(out, "%s: %s", string_of(progress, "group"), string_of(progress, "doing"));
}

void fs_show_drill(const json_t *result, const char *group, FILE *out)
{
    const json_t *drill = json_object_get(result, "drill");
    size_t i;
    json_t *image;

    if (!drill) {
        fprintf(out, "%.0f removed\n", number_of(result, "ended"));
        return;
    }
    fprintf(out, "drill of point %s:\n", string_of(drill, "point"));
    json_array_foreach(json_object_get(drill, "images"), i, image)
    {
        fprintf(out, "  %s  (of %s)\n", string_of(image, "image"), string_of(image, "of"));
    }
    fprintf(out,
            "They are writable, and nothing else is touched. When you are done: farshore drill "
            "--end %s\n",
            group);
}

void fs_show_left(const json_t *result, FILE *out)
{
    static const char *const heads[] = {"IMAGE", "SNAPSHOT", "TAKEN", "SIZE"};
    struct fs_table *table = fs_table_new(4);
    char moment[FS_TEXT_SIZE], size[FS_TEXT_SIZE];
    size_t i;
    json_t *left;

    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        fs_table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(json_object_get(result, "left"), i, left)
    {
        const char *ns = string_of(left, "namespace");
        fs_table_cell(table, "%s/%s%s%s", string_of(left, "pool"), ns, *ns ? "/" : "",
                      string_of(left, "image"));
        fs_table_cell(table, "%s", string_of(left, "snapshot"));
        fs_table_cell(table, "%s", fs_text_moment(number_of(left, "taken_timestamp"), moment));
        fs_table_cell(table, "%s", fs_text_bytes((uint64_t)number_of(left, "size_bytes"), size));
    }
    fs_table_print(table, out);
    fs_table_free(table);
}

void fs_show_history(const json_t *result, FILE *out)
{
    struct fs_table *table = fs_table_new(6);
    static const char *const heads[] = {"WHEN", "SITE", "STEP", "TERM", "WHO", "WHAT"};
    char moment[FS_TEXT_SIZE];
    size_t i;
    json_t *entry;

    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        fs_table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(json_object_get(result, "history"), i, entry)
    {
        const char *who = string_of(entry, "who");
        fs_table_cell(table, "%s", fs_text_moment(number_of(entry, "timestamp"), moment));
        fs_table_cell(table, "%s", string_of(entry, "site"));
        fs_table_cell(table, "%s", string_of(entry, "step"));
        fs_table_cell(table, "%.0f", number_of(entry, "term"));
        fs_table_cell(table, "%s", *who ? who : "-");
        fs_table_cell(table, "%s", string_of(entry, "detail"));
    }
    fs_table_print(table, out);
    fs_table_free(table);
}
