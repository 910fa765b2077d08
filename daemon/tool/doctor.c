/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/doctor.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/tool/text.h"

#define CLOCK_WARN_S       1.0
#define CLOCK_BAD_S        30.0
#define RTT_WARN_S         0.2
#define CERTIFICATE_WARN_S (21 * 86400.0)
#define CERTIFICATE_BAD_S  (3 * 86400.0)
/* A mean of fewer cycles says little. */
#define CYCLES_MIN 3

struct doctor {
    json_t *checks; /* borrowed */
    double now;
    double bandwidth;
};

static const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static bool is_number(const json_t *object, const char *key)
{
    return json_is_number(json_object_get(object, key));
}

static void say(struct doctor *doctor, const char *check, const char *level, const char *about,
                const char *hint, const char *format, ...) __attribute__((format(printf, 6, 7)));

static void say(struct doctor *doctor, const char *check, const char *level, const char *about,
                const char *hint, const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    json_array_append_new(doctor->checks,
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "check", check, "level", level,
                                    "about", about, "message", message, "hint", hint));
}

/* --- the site -------------------------------------------------------------------------------- */

static void examine_site(struct doctor *doctor, const json_t *site)
{
    const char *name = string_of(site, "name");
    bool up = strcmp(string_of(site, "cluster"), "up") == 0;
    char text[FS_TEXT_SIZE];

    if (up) {
        say(doctor, "cluster", "ok", name, "",
            "the Ceph cluster answers, and the client may do "
            "what Farshore needs");
    } else {
        say(doctor, "cluster", "error", name,
            "run `ceph -s` as the client of the configuration; the reason names a missing right "
            "with the command that grants it",
            "no work with the Ceph cluster: %s", string_of(site, "cluster_reason"));
    }
    if (up && strcmp(string_of(site, "lease"), "standby") == 0) {
        say(doctor, "lease", "warning", name, "ask the daemon that has the lease",
            "another daemon works for this site; this one knows of no groups");
    }
    if (is_number(site, "certificate_expiry_timestamp")) {
        double left = number_of(site, "certificate_expiry_timestamp") - doctor->now;
        const char *level = left < CERTIFICATE_BAD_S    ? "error"
                            : left < CERTIFICATE_WARN_S ? "warning"
                                                        : "ok";
        say(doctor, "certificate", level, name,
            *level == 'o' ? "" : "put a new one at tls.cert and tls.key; it is taken up by itself",
            left > 0 ? "it ends in %s" : "it has ended",
            fs_text_duration(left > 0 ? left : 0, text));
    }
}

static void examine_peer(struct doctor *doctor, const json_t *peer)
{
    const char *name = string_of(peer, "name");
    double offset = number_of(peer, "clock_offset_seconds"), rtt = number_of(peer, "rtt_seconds");
    char text[FS_TEXT_SIZE];

    if (!json_is_true(json_object_get(peer, "up"))) {
        say(doctor, "peer", "error", name,
            "is farshored running there, does one site list the other's address under endpoints, "
            "and is the port open?",
            "no session: %s", string_of(peer, "reason"));
        return;
    }
    say(doctor, "peer", "ok", name, "", "connected at %s", string_of(peer, "address"));
    if (is_number(peer, "clock_offset_seconds")) {
        const char *level = fabs(offset) > CLOCK_BAD_S    ? "error"
                            : fabs(offset) > CLOCK_WARN_S ? "warning"
                                                          : "ok";
        say(doctor, "clock", level, name, *level == 'o' ? "" : "run NTP at both sites",
            "its clock differs by %+.3f s", offset);
    }
    if (is_number(peer, "rtt_seconds")) {
        bool far = rtt > RTT_WARN_S;
        say(doctor, "round_trip", far ? "warning" : "ok", name,
            far ? "every point costs a few round trips: choose intervals of many of them" : "",
            "a round trip takes %s", fs_text_duration(rtt, text));
    }
}

/* --- groups ---------------------------------------------------------------------------------- */

/* Mean seconds of a cycle, or -1 where too few were seen. */
static double mean_cycle_s(const json_t *group)
{
    const json_t *cycles =
        json_object_get(json_object_get(group, "histograms"), "sync_duration_seconds");
    double count = number_of(cycles, "count");

    return count >= CYCLES_MIN ? number_of(cycles, "sum") / count : -1;
}

/* Mean bytes on the wire of a point. */
static double mean_wire(const json_t *group)
{
    const json_t *counters = json_object_get(group, "counters");
    double points = number_of(counters, "committed");

    return points > 0 ? number_of(json_object_get(counters, "sync_bytes"), "wire") / points : 0;
}

static void examine_interval(struct doctor *doctor, const json_t *group)
{
    const char *name = string_of(group, "name");
    double interval = number_of(group, "interval_seconds"), mean = mean_cycle_s(group);
    double wire = mean_wire(group);
    char took[FS_TEXT_SIZE], wanted[FS_TEXT_SIZE], size[FS_TEXT_SIZE];

    if (mean < 0) {
        return;
    }
    fs_text_duration(mean, took);
    fs_text_duration(interval, wanted);
    if (mean > interval) {
        say(doctor, "interval", "error", name, "lengthen the interval, or widen the link",
            "the interval cannot be kept: a point takes %s, the interval is %s", took, wanted);
    } else if (mean > interval / 2) {
        say(doctor, "interval", "warning", name,
            "there is no room for a busy hour: lengthen the interval, or widen the link",
            "a point takes %s of the interval of %s", took, wanted);
    } else {
        say(doctor, "interval", "ok", name, "", "a point takes %s, the interval is %s", took,
            wanted);
    }
    if (doctor->bandwidth > 0) {
        bool kept = wire / doctor->bandwidth <= interval;
        say(doctor, "bandwidth", kept ? "ok" : "warning", name,
            kept ? "" : "with that link the interval has to be longer",
            "with that link a point of %s is sent in %s", fs_text_bytes((uint64_t)wire, size),
            fs_text_duration(wire / doctor->bandwidth, took));
    }
}

static bool is_well(const char *state)
{
    return strcmp(state, "ok") == 0 || strcmp(state, "syncing") == 0;
}

static void examine_group(struct doctor *doctor, const json_t *group)
{
    const char *name = string_of(group, "name"), *state = string_of(group, "state");
    const char *slow = string_of(group, "slow_reason"), *hint = string_of(group, "hint");

    if (!is_well(state)) {
        bool quiet = strcmp(state, "paused") == 0 || strcmp(state, "never_synced") == 0 ||
                     strcmp(state, "late") == 0;
        say(doctor, "state", quiet ? "warning" : "error", name,
            *hint ? hint : "`farshore status GROUP` at both sites tells more", "%s: %s", state,
            string_of(group, "reason"));
    }
    if (*slow) {
        say(doctor, "features", "warning", name,
            "enable object-map and fast-diff on its images, then `rbd object-map rebuild`",
            "finding what changed reads more than it should: %s", slow);
    }
    if (strcmp(string_of(group, "role"), "primary") == 0) {
        examine_interval(doctor, group);
    }
}

/* What every group wants of the link together. */
static void examine_demand(struct doctor *doctor, const json_t *groups)
{
    double demand = 0;
    size_t i;
    json_t *group;
    char text[FS_TEXT_SIZE], link[FS_TEXT_SIZE];

    json_array_foreach(groups, i, group)
    {
        if (strcmp(string_of(group, "role"), "primary") == 0) {
            demand += mean_wire(group) / number_of(group, "interval_seconds");
        }
    }
    if (doctor->bandwidth > 0) {
        bool enough = demand <= doctor->bandwidth;
        say(doctor, "bandwidth", enough ? "ok" : "error", "all groups",
            enough ? "" : "take a wider link, or longer intervals",
            "all groups together want %s/s at their intervals; that link carries %s/s",
            fs_text_bytes((uint64_t)demand, text),
            fs_text_bytes((uint64_t)doctor->bandwidth, link));
    }
}

json_t *fs_doctor_examine(const json_t *status, double now, double bandwidth)
{
    struct doctor doctor = {.checks = json_array(), .now = now, .bandwidth = bandwidth};
    const json_t *groups = json_object_get(status, "groups");
    size_t i;
    json_t *item;

    examine_site(&doctor, json_object_get(status, "site"));
    json_array_foreach(json_object_get(status, "peers"), i, item)
    {
        examine_peer(&doctor, item);
    }
    json_array_foreach(groups, i, item)
    {
        examine_group(&doctor, item);
    }
    examine_demand(&doctor, groups);
    json_array_foreach(json_object_get(status, "skipped"), i, item)
    {
        say(&doctor, "volume", "error", string_of(item, "image"),
            "mend what the reason says, or take the label off",
            "selected by policy %s and not "
            "protected: %s",
            string_of(item, "policy"), string_of(item, "reason"));
    }
    return json_pack("{s:i, s:o}", "schema_version", 1, "checks", doctor.checks);
}

size_t fs_doctor_findings(const json_t *report)
{
    size_t findings = 0, i;
    json_t *check;

    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        findings += strcmp(string_of(check, "level"), "ok") != 0;
    }
    return findings;
}
