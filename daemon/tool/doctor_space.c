/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room at the target. A copy grows to its volume's size at most. A point that is kept holds what
 * was written over since: at most what changes until the next point that is kept, and never more
 * than the volumes. The rules of retention overlap, so their sum is a bound, and no forecast.
 */
#include "daemon/tool/doctor_private.h"

#include <math.h>

#define HOUR_S 3600.0
#define DAY_S  86400.0

/* Of its volumes; while a first copy runs, what that says. */
static double size_of(const json_t *group, const char *pool)
{
    double sum = 0;
    size_t i;
    json_t *volume;

    json_array_foreach(json_object_get(group, "volumes"), i, volume)
    {
        if (!pool || strcmp(string_of(volume, "pool"), pool) == 0) {
            sum += number_of(volume, "size_bytes");
        }
    }
    return sum > 0 || pool ? sum : number_of(json_object_get(group, "sync"), "total_bytes");
}

/* What its points hold at most beyond the copies; -1: not known yet. */
static double kept_of(const json_t *group)
{
    const json_t *retain = json_object_get(group, "retain");
    double size = size_of(group, NULL);
    struct fs_doctor_cycle cycle;

    if (!retain || size <= 0 || !fs_doctor_cycle(group, &cycle)) {
        return -1;
    }
    double rate = cycle.change_rate;
    double latest = fmax(number_of(retain, "latest") - 1, 0); /* the newest is the copy itself */

    return latest * fmin(rate * number_of(group, "interval_seconds"), size) +
           number_of(retain, "hourly") * fmin(rate * HOUR_S, size) +
           number_of(retain, "daily") * fmin(rate * DAY_S, size) +
           number_of(retain, "weekly") * fmin(rate * 7 * DAY_S, size);
}

static void examine_pool(struct fs_doctor *doctor, const json_t *pool)
{
    const char *name = string_of(pool, "name");
    double copies = 0, points = 0;
    size_t i, groups = 0;
    json_t *group;
    char grown[FS_TEXT_SIZE], kept[FS_TEXT_SIZE], stored[FS_TEXT_SIZE], room[FS_TEXT_SIZE];

    json_array_foreach(json_object_get(doctor->status, "groups"), i, group)
    {
        double here = size_of(group, name);
        if (is_role(group, "secondary") && here > 0) {
            groups++;
            copies += here;
            points += fmax(kept_of(group), 0) * here / size_of(group, NULL);
        }
    }
    if (groups == 0) {
        return;
    }
    fs_text_bytes((uint64_t)copies, grown);
    fs_text_bytes((uint64_t)points, kept);
    if (!is_number(pool, "available_bytes")) {
        fs_doctor_say(
            doctor, "space", FS_DOCTOR_OK, name, "",
            "the copies of %zu group%s may grow to %s; how much room there is, is not known: "
            "no manager of the cluster reports it",
            groups, groups == 1 ? "" : "s", grown);
        return;
    }
    double all = number_of(pool, "stored_bytes") + number_of(pool, "available_bytes");
    fs_text_bytes(bytes_of(pool, "stored_bytes"), stored);
    fs_text_bytes(bytes_of(pool, "available_bytes"), room);
    if (copies + points > all) {
        fs_doctor_say(doctor, "space", FS_DOCTOR_WARNING, name,
                      "add space to the cluster, keep fewer points, or protect less",
                      "it may get full: the copies of %zu group%s may grow to %s and their points "
                      "hold up to %s; %s is stored in it, and %s is free",
                      groups, groups == 1 ? "" : "s", grown, kept, stored, room);
    } else {
        fs_doctor_say(
            doctor, "space", FS_DOCTOR_OK, name, "",
            "the copies of %zu group%s may grow to %s and their points hold up to %s; %s is "
            "stored in it, and %s is free",
            groups, groups == 1 ? "" : "s", grown, kept, stored, room);
    }
}

/* The other site needs as much, and only its own daemon knows whether it has that. */
static void examine_selected(struct fs_doctor *doctor, const json_t *peer)
{
    const char *name = string_of(peer, "name");
    double sum = 0;
    size_t i;
    json_t *group;
    char size[FS_TEXT_SIZE];

    json_array_foreach(json_object_get(doctor->status, "groups"), i, group)
    {
        if (is_role(group, "primary") && strcmp(string_of(group, "peer"), name) == 0) {
            sum += size_of(group, NULL);
        }
    }
    if (sum > 0) {
        fs_doctor_say(doctor, "space", FS_DOCTOR_OK, name, "",
                      "what is selected here may take up to %s there: `farshore doctor` at %s says "
                      "whether it fits",
                      fs_text_bytes((uint64_t)sum, size), name);
    }
}

static void examine_retention(struct fs_doctor *doctor, const json_t *group)
{
    double kept = kept_of(group);
    const char *peer = string_of(group, "peer");
    bool primary = is_role(group, "primary");
    char size[FS_TEXT_SIZE];

    if (kept >= 0 && (primary || is_role(group, "secondary"))) {
        fs_doctor_say(doctor, "retention", FS_DOCTOR_OK, string_of(group, "name"), "",
                      "the points that are kept hold up to %s beyond the copies%s%s%s",
                      fs_text_bytes((uint64_t)kept, size), primary ? ", if " : "",
                      primary ? peer : "", primary ? " keeps what the policy here says" : "");
    }
}

void fs_doctor_space(struct fs_doctor *doctor)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(json_object_get(doctor->status, "site"), "pools"), i, item)
    {
        examine_pool(doctor, item);
    }
    json_array_foreach(json_object_get(doctor->status, "peers"), i, item)
    {
        examine_selected(doctor, item);
    }
    json_array_foreach(json_object_get(doctor->status, "groups"), i, item)
    {
        if (doctor->bandwidth > 0) {
            examine_retention(doctor, item);
        }
    }
}
