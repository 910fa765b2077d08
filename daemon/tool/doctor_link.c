/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intervals against the link. What a group wants of it is known from the differences that it has
 * shipped: bytes on the wire over the time that they cover. A link that is too narrow for all is
 * shared evenly, as the daemon does: who wants less than an equal share gets it, and what is left
 * is shared by the others, none of which keeps its interval.
 */
#include "daemon/tool/doctor_private.h"

#include <stdlib.h>

/* A mean of fewer says little. */
#define POINTS_MIN 3

struct demand {
    const json_t *group;
    struct fs_doctor_cycle cycle;
};

bool fs_doctor_cycle(const json_t *group, struct fs_doctor_cycle *ret_cycle)
{
    const json_t *change = json_object_get(group, "change");
    double points = number_of(change, "points"), covered = number_of(change, "covered_seconds");

    if (points < POINTS_MIN || covered <= 0) {
        return false;
    }
    *ret_cycle = (struct fs_doctor_cycle){
        .took_s = number_of(change, "took_seconds") / points,
        .wire_bytes = number_of(change, "wire_bytes") / points,
        .wire_rate = number_of(change, "wire_bytes") / covered,
        .change_rate = number_of(change, "bytes") / covered,
    };
    return true;
}

static void examine_interval(struct fs_doctor *doctor, const struct demand *demand)
{
    const char *name = string_of(demand->group, "name");
    double interval = number_of(demand->group, "interval_seconds"), took = demand->cycle.took_s;
    char taken[FS_TEXT_SIZE], wanted[FS_TEXT_SIZE];

    fs_text_duration(took, taken);
    fs_text_duration(interval, wanted);
    if (took > interval) {
        fs_doctor_say(
            doctor, "interval", FS_DOCTOR_ERROR, name,
            "lengthen the interval, or widen the link: --bandwidth=RATE says what another "
            "one would carry",
            "the interval cannot be kept: a point takes %s, the interval is %s", taken, wanted);
    } else if (took > interval / 2) {
        fs_doctor_say(doctor, "interval", FS_DOCTOR_WARNING, name,
                      "there is no room for a busy hour: lengthen the interval, or widen the link",
                      "a point takes %s of the interval of %s", taken, wanted);
    } else {
        fs_doctor_say(doctor, "interval", FS_DOCTOR_OK, name, "",
                      "a point takes %s, the interval is %s", taken, wanted);
    }
}

static int by_demand(const void *a, const void *b)
{
    double left = ((const struct demand *)a)->cycle.wire_rate;
    double right = ((const struct demand *)b)->cycle.wire_rate;

    return (left > right) - (left < right);
}

/* Demands sorted by what they want: how many of the smaller ones get all of it. */
static size_t served(const struct demand *demands, size_t count, double bandwidth)
{
    for (size_t i = 0; i < count; i++) {
        double share = bandwidth / (double)(count - i);
        if (demands[i].cycle.wire_rate > share) {
            return i;
        }
        bandwidth -= demands[i].cycle.wire_rate;
    }
    return count;
}

static double sum_of(const struct demand *demands, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += demands[i].cycle.wire_rate;
    }
    return sum;
}

static void examine_other_link(struct fs_doctor *doctor, const char *peer, struct demand *demands,
                               size_t count)
{
    double sum = sum_of(demands, count);
    char wanted[FS_TEXT_SIZE], link[FS_TEXT_SIZE], size[FS_TEXT_SIZE], took[FS_TEXT_SIZE];

    qsort(demands, count, sizeof(*demands), by_demand);
    size_t kept = served(demands, count, doctor->bandwidth);
    fs_text_bytes((uint64_t)sum, wanted);
    fs_text_bytes((uint64_t)doctor->bandwidth, link);
    if (kept < count) {
        fs_doctor_say(doctor, "bandwidth", FS_DOCTOR_ERROR, peer,
                      "take a wider link, or lengthen the intervals of the groups that are named",
                      "with a link of %s/s %zu of %zu groups cannot keep their intervals: all "
                      "together want %s/s",
                      link, count - kept, count, wanted);
    } else {
        fs_doctor_say(
            doctor, "bandwidth", FS_DOCTOR_OK, peer, "",
            "a link of %s/s carries its groups (%zu) at their intervals: together they want "
            "%s/s",
            link, count, wanted);
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = string_of(demands[i].group, "name");
        double wire = demands[i].cycle.wire_bytes;
        fs_text_bytes((uint64_t)wire, size);
        fs_text_duration(wire / doctor->bandwidth, took);
        if (i < kept) {
            fs_doctor_say(doctor, "bandwidth", FS_DOCTOR_OK, name, "",
                          "with that link a point of %s is sent in %s", size, took);
        } else {
            fs_doctor_say(
                doctor, "bandwidth", FS_DOCTOR_WARNING, name,
                "with that link its interval has to be longer",
                "it would not keep its interval: a point of %s is sent in %s at best, and "
                "the link is shared",
                size, took);
        }
    }
}

/* What the link has carried, as far as it was seen, and may carry; 0: not known. */
static double capacity_of(const json_t *peer, const struct demand *demands, size_t count)
{
    double limit = number_of(peer, "bandwidth_bytes_per_second"), speed = 0;

    for (size_t i = 0; i < count; i++) {
        double seen = number_of(demands[i].group, "speed_bytes_per_second");
        speed = seen > speed ? seen : speed;
    }
    return limit > 0 && (speed <= 0 || limit < speed) ? limit : speed;
}

static void examine_link(struct fs_doctor *doctor, const json_t *peer, const struct demand *demands,
                         size_t count)
{
    const char *name = string_of(peer, "name");
    double sum = sum_of(demands, count), capacity = capacity_of(peer, demands, count);
    char wanted[FS_TEXT_SIZE], link[FS_TEXT_SIZE];

    fs_text_bytes((uint64_t)sum, wanted);
    fs_text_bytes((uint64_t)capacity, link);
    if (capacity <= 0) {
        fs_doctor_say(
            doctor, "link", FS_DOCTOR_OK, name, "",
            "its groups (%zu) send %s/s; what the link can carry is known after a transfer of 8 "
            "MiB or more",
            count, wanted);
    } else if (sum > capacity * 0.7) {
        fs_doctor_say(
            doctor, "link", FS_DOCTOR_WARNING, name,
            "widen the link or raise `bandwidth`, or lengthen intervals: --bandwidth=RATE "
            "says what another one would carry",
            "its groups (%zu) send %s/s of the %s/s that it carries", count, wanted, link);
    } else {
        fs_doctor_say(doctor, "link", FS_DOCTOR_OK, name, "",
                      "its groups (%zu) send %s/s of the %s/s that it carries", count, wanted,
                      link);
    }
}

/* Silence would pass for an answer. */
static void say_unmeasured(struct fs_doctor *doctor, const char *peer, size_t measured,
                           size_t sending)
{
    if (measured < sending) {
        fs_doctor_say(doctor, "link", FS_DOCTOR_OK, peer, "",
                      "what %zu of its groups (%zu) want of the link is known after %d differences "
                      "each, since the daemon started",
                      sending - measured, sending, POINTS_MIN);
    }
}

static size_t demands_of(const struct fs_doctor *doctor, const char *peer, struct demand *demands,
                         size_t *ret_sending)
{
    size_t i, count = 0;
    json_t *group;

    *ret_sending = 0;

    json_array_foreach(json_object_get(doctor->status, "groups"), i, group)
    {
        if (is_role(group, "primary") && strcmp(string_of(group, "peer"), peer) == 0) {
            ++*ret_sending;
            if (fs_doctor_cycle(group, &demands[count].cycle)) {
                demands[count++].group = group;
            }
        }
    }
    return count;
}

void fs_doctor_link(struct fs_doctor *doctor)
{
    struct demand *demands =
        calloc(json_array_size(json_object_get(doctor->status, "groups")) + 1, sizeof(*demands));
    size_t i;
    json_t *peer;

    if (!demands) {
        abort(); /* this is the tool, not the daemon */
    }
    json_array_foreach(json_object_get(doctor->status, "peers"), i, peer)
    {
        size_t sending;
        size_t count = demands_of(doctor, string_of(peer, "name"), demands, &sending);
        for (size_t k = 0; k < count; k++) {
            examine_interval(doctor, &demands[k]);
        }
        if (count > 0) {
            examine_link(doctor, peer, demands, count);
        }
        if (count > 0 && doctor->bandwidth > 0) {
            examine_other_link(doctor, string_of(peer, "name"), demands, count);
        }
        say_unmeasured(doctor, string_of(peer, "name"), count, sending);
    }
    free(demands);
}
