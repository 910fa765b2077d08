/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/doctor_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CEPH_OLDEST        16
#define CLOCK_WARN_S       1.0
#define CLOCK_BAD_S        30.0
#define RTT_WARN_S         0.2
#define CERTIFICATE_WARN_S (21 * 86400.0)
#define CERTIFICATE_BAD_S  (3 * 86400.0)

void fs_doctor_say(struct fs_doctor *doctor, const char *check, const char *level,
                   const char *about, const char *hint, const char *format, ...)
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

static void examine_cluster(struct fs_doctor *doctor, const json_t *site)
{
    const char *name = string_of(site, "name"), *version = string_of(site, "ceph_version");

    if (strcmp(string_of(site, "cluster"), "up") != 0) {
        fs_doctor_say(
            doctor, "cluster", FS_DOCTOR_ERROR, name,
            "run `ceph -s` as the client of the configuration; the reason names a missing "
            "right with the command that grants it",
            "no work with the Ceph cluster: %s", string_of(site, "cluster_reason"));
        return;
    }
    if (*version && strtol(version, NULL, 10) < CEPH_OLDEST) {
        fs_doctor_say(doctor, "cluster", FS_DOCTOR_WARNING, name,
                      "upgrade Ceph: Farshore needs what 16.2 has",
                      "the Ceph cluster answers, but it is version %s", version);
    } else {
        fs_doctor_say(doctor, "cluster", FS_DOCTOR_OK, name, "",
                      "the Ceph cluster answers%s%s, and the client may do what Farshore needs",
                      *version ? ", version " : "", version);
    }
    if (json_is_true(json_object_get(site, "wide_caps"))) {
        fs_doctor_say(
            doctor, "caps", FS_DOCTOR_WARNING, name,
            "`ceph auth caps CLIENT mon 'profile rbd, allow command \"osd blocklist\"' osd "
            "'profile rbd'` leaves it what it needs",
            "the client may do more than Farshore needs: it may even read keys");
    }
    if (strcmp(string_of(site, "lease"), "standby") == 0) {
        fs_doctor_say(doctor, "lease", FS_DOCTOR_WARNING, name, "ask the daemon that has the lease",
                      "another daemon works for this site; this one knows of no groups");
    }
}

/* Flags of the OSD map that an operator has set and may have forgotten. */
static void examine_flags(struct fs_doctor *doctor, const json_t *site)
{
    static const struct {
        const char *flag, *level, *means;
    } known[] = {
        {"pauserd", FS_DOCTOR_ERROR, "nothing can be read (`ceph osd unpause`)"},
        {"pausewr", FS_DOCTOR_ERROR, "nothing can be written (`ceph osd unpause`)"},
        {"full", FS_DOCTOR_ERROR, "the cluster is full, and nothing can be written"},
        {"nosnaptrim", FS_DOCTOR_WARNING, "points that are given up free no space"},
        {"nodown", FS_DOCTOR_WARNING, "dead OSDs are not noticed"},
        {"noup", FS_DOCTOR_WARNING, "OSDs that start are not used"},
        {"noin", FS_DOCTOR_WARNING, "OSDs that start get no data"},
        {"noout", FS_DOCTOR_WARNING, "what a dead OSD held is not copied again"},
        {"norecover", FS_DOCTOR_WARNING, "what a dead OSD held is not copied again"},
        {"nobackfill", FS_DOCTOR_WARNING, "what a dead OSD held is not copied again"},
    };
    const char *flags = string_of(site, "flags"), *end = flags;
    const char *name = string_of(site, "name");
    bool any = false;

    for (const char *at = flags; *at; at = *end ? end + 1 : end) {
        size_t length = strcspn(at, ",");
        end = at + length;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (strlen(known[i].flag) == length && strncmp(at, known[i].flag, length) == 0) {
                any = true;
                fs_doctor_say(doctor, "flags", known[i].level, name,
                              "`ceph osd unset FLAG` when the work that it was set for is done",
                              "flag %s is set: %s", known[i].flag, known[i].means);
            }
        }
    }
    if (*flags && !any) {
        fs_doctor_say(doctor, "flags", FS_DOCTOR_OK, name, "", "no flag holds the cluster back");
    }
}

static void examine_certificate(struct fs_doctor *doctor, const json_t *site)
{
    double left = number_of(site, "certificate_expiry_timestamp") - doctor->now;
    const char *level = left < CERTIFICATE_BAD_S    ? FS_DOCTOR_ERROR
                        : left < CERTIFICATE_WARN_S ? FS_DOCTOR_WARNING
                                                    : FS_DOCTOR_OK;
    char text[FS_TEXT_SIZE];

    if (is_number(site, "certificate_expiry_timestamp")) {
        fs_doctor_say(
            doctor, "certificate", level, string_of(site, "name"),
            *level == 'o' ? "" : "put a new one at tls.cert and tls.key; it is taken up by itself",
            left > 0 ? "it ends in %s" : "it has ended",
            fs_text_duration(left > 0 ? left : 0, text));
    }
}

static void examine_rights(struct fs_doctor *doctor, const char *site, const json_t *rights)
{
    const json_t *missing = json_object_get(rights, "missing");
    const json_t *needless = json_object_get(rights, "needless");
    const json_t *for_events = json_object_get(rights, "for_events");
    size_t i;
    json_t *right;

    json_array_foreach(missing, i, right)
    {
        fs_doctor_say(
            doctor, "rights", FS_DOCTOR_ERROR, site,
            "`kubectl apply -f` the manifests of /usr/share/doc/farshore/kubernetes/ that "
            "its configuration needs",
            "the Kubernetes account may not %s", json_string_value(right));
    }
    json_array_foreach(needless, i, right)
    {
        fs_doctor_say(doctor, "rights", FS_DOCTOR_WARNING, site,
                      "use an account that has /usr/share/doc/farshore/kubernetes/ only",
                      "the Kubernetes account may do more than Farshore needs: %s",
                      json_string_value(right));
    }
    if (json_array_size(for_events) > 0) {
        fs_doctor_say(doctor, "rights", FS_DOCTOR_WARNING, site,
                      "`kubectl apply -f /usr/share/doc/farshore/kubernetes/rbac-events.yaml`; or "
                      "`events: false` in the source, which does without",
                      "not all is told in Kubernetes Events and annotations, since the account may "
                      "not %s%s",
                      json_string_value(json_array_get(for_events, 0)),
                      json_array_size(for_events) > 1 ? ", among others" : "");
    } else if (rights && json_array_size(missing) == 0 && json_array_size(needless) == 0) {
        fs_doctor_say(doctor, "rights", FS_DOCTOR_OK, site, "",
                      "the Kubernetes account may do what Farshore needs");
    }
}

static void examine_kubernetes(struct fs_doctor *doctor, const json_t *site)
{
    const json_t *kubernetes = json_object_get(site, "kubernetes");
    const char *name = string_of(site, "name"), *reason = string_of(kubernetes, "reason");

    if (kubernetes && *reason) {
        fs_doctor_say(doctor, "kubernetes", FS_DOCTOR_WARNING, name,
                      "protection goes on with the volumes that are known; new labels wait",
                      "the Kubernetes API: %s", reason);
    } else if (kubernetes) {
        fs_doctor_say(doctor, "kubernetes", FS_DOCTOR_OK, name, "", "the Kubernetes API: %s",
                      string_of(kubernetes, "state"));
    }
    examine_rights(doctor, name, json_object_get(kubernetes, "rights"));
}

static const json_t *pool_of(const json_t *pools, const char *spec)
{
    size_t i, length = strcspn(spec, "/");
    json_t *pool;

    json_array_foreach(pools, i, pool)
    {
        const char *name = string_of(pool, "name");
        if (strlen(name) == length && strncmp(name, spec, length) == 0) {
            return pool;
        }
    }
    return NULL;
}

/* Those of this site's cluster that a policy names: where it selects, and where it is a target. */
static void examine_pools(struct fs_doctor *doctor, const json_t *policy)
{
    const json_t *site = json_object_get(doctor->status, "site");
    const json_t *pools = json_object_get(site, "pools");
    const char *side = json_is_true(json_object_get(policy, "selects")) ? "source" : "target";
    const char *name = string_of(policy, "name");
    size_t i, missing = 0;
    json_t *map;

    if (json_array_size(pools) == 0) {
        return; /* nothing is known of them yet */
    }
    json_array_foreach(json_object_get(policy, "pools"), i, map)
    {
        const char *spec = string_of(map, side);
        const json_t *pool = pool_of(pools, spec);
        if (!pool) {
            missing++;
            fs_doctor_say(
                doctor, "pools", FS_DOCTOR_ERROR, name,
                "`ceph osd pool create POOL` and `rbd pool init POOL`, or correct `pools` "
                "of the policy: sources to the left, targets to the right",
                "this cluster has no pool %.*s", (int)strcspn(spec, "/"), spec);
        } else if (json_is_true(json_object_get(pool, "nearfull"))) {
            missing++;
            fs_doctor_say(doctor, "pools", FS_DOCTOR_WARNING, name,
                          "add space to the cluster, or raise the quota of the pool",
                          "pool %s is %s", string_of(pool, "name"),
                          json_is_true(json_object_get(pool, "full")) ? "full" : "nearly full");
        }
    }
    if (missing == 0) {
        fs_doctor_say(doctor, "pools", FS_DOCTOR_OK, name, "", "its pools at this site are there");
    }
}

/* --- peers and groups ------------------------------------------------------------------------ */

static void examine_peer(struct fs_doctor *doctor, const json_t *peer)
{
    const char *name = string_of(peer, "name");
    double offset = number_of(peer, "clock_offset_seconds"), rtt = number_of(peer, "rtt_seconds");
    char text[FS_TEXT_SIZE];

    if (!json_is_true(json_object_get(peer, "up"))) {
        fs_doctor_say(
            doctor, "peer", FS_DOCTOR_ERROR, name,
            "is farshored running there, does one site list the other's address under endpoints, "
            "and is the port open?",
            "no session: %s", string_of(peer, "reason"));
        return;
    }
    fs_doctor_say(doctor, "peer", FS_DOCTOR_OK, name, "", "connected at %s",
                  string_of(peer, "address"));
    if (is_number(peer, "clock_offset_seconds")) {
        const char *level = fabs(offset) > CLOCK_BAD_S    ? FS_DOCTOR_ERROR
                            : fabs(offset) > CLOCK_WARN_S ? FS_DOCTOR_WARNING
                                                          : FS_DOCTOR_OK;
        fs_doctor_say(doctor, "clock", level, name, *level == 'o' ? "" : "run NTP at both sites",
                      "its clock differs by %+.3f s", offset);
    }
    if (is_number(peer, "rtt_seconds")) {
        bool far = rtt > RTT_WARN_S;
        fs_doctor_say(doctor, "round_trip", far ? FS_DOCTOR_WARNING : FS_DOCTOR_OK, name,
                      far ? "every point costs a few round trips: choose intervals of many of them"
                          : "",
                      "a round trip takes %s", fs_text_duration(rtt, text));
    }
}

static bool is_well(const char *state)
{
    return strcmp(state, "ok") == 0 || strcmp(state, "syncing") == 0;
}

static void examine_group(struct fs_doctor *doctor, const json_t *group)
{
    const char *name = string_of(group, "name"), *state = string_of(group, "state");
    const char *slow = string_of(group, "slow_reason"), *hint = string_of(group, "hint");

    if (!is_well(state)) {
        bool quiet = strcmp(state, "paused") == 0 || strcmp(state, "never_synced") == 0 ||
                     strcmp(state, "late") == 0;
        fs_doctor_say(doctor, "state", quiet ? FS_DOCTOR_WARNING : FS_DOCTOR_ERROR, name,
                      *hint ? hint : "`farshore status GROUP` at both sites tells more", "%s: %s",
                      state, string_of(group, "reason"));
    }
    if (*slow) {
        const char *mend =
            strstr(slow, "older snapshot")
                ? "remove the snapshot (`rbd snap rm`) where nobody needs it any more"
                : "`rbd feature enable IMAGE object-map fast-diff` (with exclusive-lock before, "
                  "where it lacks that), then `rbd object-map rebuild IMAGE`";
        fs_doctor_say(doctor, "features", FS_DOCTOR_WARNING, name, mend,
                      "finding what changed reads more than it should: %s", slow);
    }
}

/* What Kubernetes would do to a volume when its PVC is deleted. */
static void examine_reclaim(struct fs_doctor *doctor, const json_t *group)
{
    size_t i;
    json_t *volume;

    json_array_foreach(json_object_get(group, "volumes"), i, volume)
    {
        const json_t *kubernetes = json_object_get(volume, "kubernetes");
        if (*string_of(kubernetes, "reason")) {
            fs_doctor_say(doctor, "reclaim", FS_DOCTOR_WARNING, string_of(group, "name"),
                          string_of(kubernetes, "hint"), "%s", string_of(kubernetes, "reason"));
        }
    }
}

json_t *fs_doctor_examine(const json_t *status, double now, double bandwidth)
{
    struct fs_doctor doctor = {
        .status = status, .checks = json_array(), .now = now, .bandwidth = bandwidth};
    const json_t *site = json_object_get(status, "site");
    size_t i;
    json_t *item;

    examine_cluster(&doctor, site);
    examine_flags(&doctor, site);
    json_array_foreach(json_object_get(status, "policies"), i, item)
    {
        examine_pools(&doctor, item);
    }
    examine_certificate(&doctor, site);
    examine_kubernetes(&doctor, site);
    json_array_foreach(json_object_get(status, "peers"), i, item)
    {
        examine_peer(&doctor, item);
    }
    json_array_foreach(json_object_get(status, "groups"), i, item)
    {
        examine_group(&doctor, item);
        examine_reclaim(&doctor, item);
    }
    fs_doctor_link(&doctor);
    fs_doctor_space(&doctor);
    json_array_foreach(json_object_get(status, "skipped"), i, item)
    {
        fs_doctor_say(&doctor, "volume", FS_DOCTOR_ERROR, string_of(item, "image"),
                      "mend what the reason says, or take the label off",
                      "selected by policy %s and not protected: %s", string_of(item, "policy"),
                      string_of(item, "reason"));
    }
    return json_pack("{s:i, s:o}", "schema_version", 1, "checks", doctor.checks);
}

size_t fs_doctor_findings(const json_t *report)
{
    size_t findings = 0, i;
    json_t *check;

    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        findings += strcmp(string_of(check, "level"), FS_DOCTOR_OK) != 0;
    }
    return findings;
}
