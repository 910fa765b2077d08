/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/verify_note.h"

#include <stdio.h>
#include <string.h>

#define FORMAT 1

static const char *const phases[] = {
    [FS_VERIFY_RUNNING] = "running",     [FS_VERIFY_EQUAL] = "equal",
    [FS_VERIFY_DIFFERENT] = "different", [FS_VERIFY_REFUSED] = "refused",
    [FS_VERIFY_FAILED] = "failed",
};

const char *fs_verify_phase_name(enum fs_verify_phase phase)
{
    return phases[phase];
}

void fs_verify_note_add(struct fs_verify_note *note, const struct fs_verify_report *report,
                        int64_t wall_ns)
{
    const struct fs_verify_report *bad = &note->bad.report;

    note->last.ended_ns = wall_ns;
    note->last.report = *report;
    if (report->phase == FS_VERIFY_DIFFERENT) {
        note->bad = note->last;
    } else if (report->phase == FS_VERIFY_EQUAL) {
        note->proved_ns = wall_ns;
        /* A proof of the newest point says that what was wrong with a newest point was written
         * over; of what is wrong with an older one it says nothing. */
        if (fs_uuid_equal(&bad->point, &report->point) || (!bad->kept && !report->kept)) {
            note->bad = (struct fs_verify_outcome){0};
        }
    }
}

static json_t *uuid_json(const struct fs_uuid *uuid)
{
    char text[FS_UUID_TEXT];

    fs_uuid_format(uuid, text);
    return json_string(text);
}

static json_t *differences_json(const struct fs_verify_report *report)
{
    json_t *array = json_array();

    for (size_t i = 0; i < report->n_differences; i++) {
        const struct fs_difference *difference = &report->differences[i];
        json_array_append_new(array, json_pack("{s:o, s:I, s:I, s:I}", "volume",
                                               uuid_json(&difference->volume), "object",
                                               (json_int_t)difference->object, "offset",
                                               (json_int_t)difference->offset, "length",
                                               (json_int_t)difference->length));
    }
    return array;
}

json_t *fs_verify_outcome_json(const struct fs_verify_outcome *outcome)
{
    const struct fs_verify_report *report = &outcome->report;

    return json_pack("{s:s, s:o, s:s, s:f, s:I, s:I, s:I, s:s, s:o}", "outcome",
                     phases[report->phase], "point", uuid_json(&report->point), "against",
                     report->kept ? "kept" : "peer", "ended_timestamp",
                     (double)outcome->ended_ns / (double)FS_SEC, "total_bytes",
                     (json_int_t)report->total_bytes, "read_bytes", (json_int_t)report->read_bytes,
                     "different_objects", (json_int_t)report->different, "message", report->message,
                     "differences", differences_json(report));
}

char *fs_verify_note_encode(const struct fs_verify_note *note)
{
    json_t *object = json_pack("{s:i, s:f}", "format", FORMAT, "proved_timestamp",
                               (double)note->proved_ns / (double)FS_SEC);

    if (note->last.ended_ns) {
        json_object_set_new(object, "last", fs_verify_outcome_json(&note->last));
    }
    if (note->bad.ended_ns) {
        json_object_set_new(object, "bad", fs_verify_outcome_json(&note->bad));
    }
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(object);
    return text;
}

static int decode_difference(json_t *object, struct fs_difference *ret_difference)
{
    const char *volume;
    json_int_t number, offset, length;

    if (json_unpack(object, "{s:s, s:I, s:I, s:I}", "volume", &volume, "object", &number, "offset",
                    &offset, "length", &length) < 0 ||
        fs_uuid_parse(volume, &ret_difference->volume) < 0 || number < 0 || offset < 0 ||
        length <= 0) {
        return -EINVAL;
    }
    ret_difference->object = (uint64_t)number;
    ret_difference->offset = (uint64_t)offset;
    ret_difference->length = (uint64_t)length;
    return 0;
}

static int decode_outcome(json_t *object, struct fs_verify_outcome *ret_outcome)
{
    struct fs_verify_report *report = &ret_outcome->report;
    const char *outcome, *point, *against, *message;
    double ended;
    json_int_t total, read, different;
    json_t *differences;

    if (json_unpack(object, "{s:s, s:s, s:s, s:F, s:I, s:I, s:I, s:s, s:o}", "outcome", &outcome,
                    "point", &point, "against", &against, "ended_timestamp", &ended, "total_bytes",
                    &total, "read_bytes", &read, "different_objects", &different, "message",
                    &message, "differences", &differences) < 0 ||
        fs_uuid_parse(point, &report->point) < 0 || total < 0 || read < 0 || different < 0 ||
        !json_is_array(differences) || json_array_size(differences) > FS_DIFFERENCES_MAX ||
        !(ended > 0 && ended < 9e9)) {
        return -EINVAL;
    }
    size_t phase = FS_VERIFY_EQUAL;
    while (phase <= FS_VERIFY_FAILED && strcmp(phases[phase], outcome) != 0) {
        phase++;
    }
    if (phase > FS_VERIFY_FAILED) {
        return -EINVAL;
    }
    report->phase = (enum fs_verify_phase)phase;
    report->kept = strcmp(against, "kept") == 0;
    report->done_bytes = report->total_bytes = (uint64_t)total;
    report->read_bytes = (uint64_t)read;
    report->different = (uint64_t)different;
    (void)snprintf(report->message, sizeof(report->message), "%s", message);
    ret_outcome->ended_ns = (int64_t)(ended * (double)FS_SEC);
    size_t i;
    json_t *difference;
    json_array_foreach(differences, i, difference)
    {
        if (decode_difference(difference, &report->differences[report->n_differences++]) < 0) {
            return -EINVAL;
        }
    }
    return 0;
}

int fs_verify_note_decode(const char *text, struct fs_verify_note *ret_note)
{
    json_t *object = json_loads(text, 0, NULL);
    json_t *last = json_object_get(object, "last"), *bad = json_object_get(object, "bad");
    double proved = 0;
    int format = 0;
    int rc = -EINVAL;

    *ret_note = (struct fs_verify_note){0};
    if (object &&
        json_unpack(object, "{s:i, s:F}", "format", &format, "proved_timestamp", &proved) == 0 &&
        format == FORMAT && proved >= 0 && proved < 9e9) {
        ret_note->proved_ns = (int64_t)(proved * (double)FS_SEC);
        rc = last ? decode_outcome(last, &ret_note->last) : 0;
    }
    if (rc == 0 && bad) {
        rc = decode_outcome(bad, &ret_note->bad);
    }
    json_decref(object);
    if (rc < 0) {
        *ret_note = (struct fs_verify_note){0};
    }
    return rc;
}
