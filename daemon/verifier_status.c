/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/verifier_private.h"

/* The images' names, beside the volumes' UUIDs. */
static void name_images(const struct fs_group *group, const json_t *outcome)
{
    size_t i;
    json_t *difference;

    json_array_foreach(json_object_get(outcome, "differences"), i, difference)
    {
        const char *text = json_string_value(json_object_get(difference, "volume"));
        struct fs_uuid uuid;
        const struct fs_record_volume *volume = text && fs_uuid_parse(text, &uuid) == 0
                                                    ? fs_record_find_volume(group->record, &uuid)
                                                    : NULL;
        char spec[FS_IMAGE_SPEC_SIZE];

        if (volume) {
            (void)fs_image_spec(&volume->volume.image, spec);
            verify_clean(spec);
            json_object_set_new(difference, "image", json_string(spec));
        }
    }
}

static void add_outcome(json_t *object, const char *key, const struct fs_group *group,
                        const struct fs_verify_outcome *outcome)
{
    if (outcome->ended_ns) {
        json_t *json = fs_verify_outcome_json(outcome);
        name_images(group, json);
        json_object_set_new(object, key, json);
    }
}

/* Differences at a point that is gone are gone with it. */
static bool bad_stands(const struct task *task, const struct fs_group *group)
{
    const struct fs_verify_outcome *bad = &task->note.bad;

    return bad->ended_ns && (!bad->report.kept || group->record->role != FS_ROLE_SECONDARY ||
                             fs_record_find_point(group->record, &bad->report.point));
}

json_t *fs_verifier_status(const struct fs_verifier *verifier, const struct fs_group *group)
{
    const struct task *task = verify_task_find(verifier, &group->record->group);
    json_t *object = json_object();

    json_object_set_new(object, "phase", json_string(task && task->running ? "running" : "idle"));
    if (!task) {
        return object;
    }
    if (task->running) {
        const struct fs_verify_report *report = verify_task_report(task);
        char point[FS_UUID_TEXT];

        fs_uuid_format(&report->point, point);
        json_object_set_new(object, "point", json_string(point));
        json_object_set_new(object, "done_bytes", json_integer((json_int_t)report->done_bytes));
        json_object_set_new(object, "total_bytes", json_integer((json_int_t)report->total_bytes));
        json_object_set_new(object, "read_bytes", json_integer((json_int_t)report->read_bytes));
        json_object_set_new(object, "different_objects",
                            json_integer((json_int_t)report->different));
    }
    if (task->note.proved_ns) {
        json_object_set_new(object, "proved_timestamp",
                            json_real((double)task->note.proved_ns / (double)FS_SEC));
    }
    add_outcome(object, "last", group, &task->note.last);
    if (bad_stands(task, group)) {
        add_outcome(object, "bad", group, &task->note.bad);
    }
    return object;
}

void fs_verifier_add_verdict(const struct fs_verifier *verifier, const struct fs_group *group,
                             struct fs_verdict *verdict)
{
    const struct task *task = verify_task_find(verifier, &group->record->group);

    if (!task || !bad_stands(task, group)) {
        return;
    }
    const struct fs_verify_report *report = &task->note.bad.report;
    const struct fs_record_volume *volume =
        report->n_differences > 0
            ? fs_record_find_volume(group->record, &report->differences[0].volume)
            : NULL;
    char point[FS_UUID_TEXT], spec[FS_IMAGE_SPEC_SIZE] = "a volume";

    fs_uuid_format(&report->point, point);
    if (volume) {
        (void)fs_image_spec(&volume->volume.image, spec);
    }
    fs_verdict_add(verdict, FS_STATE_DEGRADED,
                   "trust that point no more, look at the clusters' health and hardware, write "
                   "the named ranges again at the primary, then run `farshore verify GROUP`; "
                   "`farshore status -o json` lists them",
                   "verification of point %s found %" PRIu64
                   " objects that differ, first at byte %" PRIu64 " of %.200s",
                   point, report->different,
                   report->n_differences > 0 ? report->differences[0].offset : 0, spec);
}
