/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: an event of the catalogue and typed fields. journald's native fields where the
 * daemon runs under it, logfmt on stderr elsewhere. Repeats are rate-limited with a count. Never
 * give it a key. Any thread but Ceph's callbacks.
 */
#ifndef FARSHORE_LOG_H
#define FARSHORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "farshore/error.h"

enum fs_log_level {                     /* syslog's numbers */
                    FS_LOG_ERROR = 3,   /* act now */
                    FS_LOG_WARNING = 4, /* heals itself, but look */
                    FS_LOG_NOTICE = 5,  /* a state changed */
                    FS_LOG_INFO = 6,    /* one line per cycle */
                    FS_LOG_DEBUG = 7,
};

/* The catalogue: X(constant, name, level, meaning). docs/man/farshored.8 lists the same. */
#define FS_EVENTS(X)                                                                               \
    X(FS_EV_STARTED, "started", FS_LOG_NOTICE, "the daemon is up")                                 \
    X(FS_EV_STOPPING, "stopping", FS_LOG_NOTICE, "the daemon was told to stop")                    \
    X(FS_EV_RELOADED, "reloaded", FS_LOG_NOTICE, "a new configuration is in force")                \
    X(FS_EV_RELOAD_REFUSED, "reload_refused", FS_LOG_ERROR, "the old configuration stays")         \
    X(FS_EV_CERTIFICATE_LOADED, "certificate_loaded", FS_LOG_NOTICE,                               \
      "the certificate files changed and are used from now on")                                    \
    X(FS_EV_CERTIFICATE_REFUSED, "certificate_refused", FS_LOG_ERROR,                              \
      "the certificate files changed and cannot be used: the old ones stay")                       \
    X(FS_EV_CERTIFICATE_ENDS, "certificate_ends", FS_LOG_WARNING,                                  \
      "this site's certificate ends within 30 days")                                               \
    X(FS_EV_CERTIFICATE_RENEWED, "certificate_renewed", FS_LOG_NOTICE,                             \
      "this site has a new certificate of the same key")                                           \
    X(FS_EV_CERTIFICATE_NOT_RENEWED, "certificate_not_renewed", FS_LOG_WARNING,                    \
      "this site's certificate is near its end and was not renewed: tried again")                  \
    X(FS_EV_ENROLLED, "enrolled", FS_LOG_NOTICE, "a site got a certificate from this one")         \
    X(FS_EV_ENROLL_REFUSED, "enroll_refused", FS_LOG_WARNING,                                      \
      "somebody asked for a certificate and got none")                                             \
    X(FS_EV_CLUSTER_UP, "cluster_up", FS_LOG_NOTICE, "connected to the Ceph cluster")              \
    X(FS_EV_CLUSTER_DOWN, "cluster_down", FS_LOG_ERROR, "the Ceph cluster cannot be reached")      \
    X(FS_EV_LEASE_TAKEN, "lease_taken", FS_LOG_NOTICE, "this daemon works for the site")           \
    X(FS_EV_LEASE_LOST, "lease_lost", FS_LOG_ERROR, "this daemon does not work for the site now")  \
    X(FS_EV_STANDBY, "standby", FS_LOG_NOTICE, "another daemon works for the site")                \
    X(FS_EV_INSTANCE_FENCED, "instance_fenced", FS_LOG_NOTICE,                                     \
      "a client instance that a predecessor left behind was blocklisted")                          \
    X(FS_EV_KUBERNETES_UP, "kubernetes_up", FS_LOG_NOTICE, "the Kubernetes API tells of volumes")  \
    X(FS_EV_KUBERNETES_DOWN, "kubernetes_down", FS_LOG_WARNING,                                    \
      "the Kubernetes API does not answer: what is known of volumes stays in force")               \
    X(FS_EV_PEER_UP, "peer_up", FS_LOG_NOTICE, "a session with the peer is open")                  \
    X(FS_EV_PEER_DOWN, "peer_down", FS_LOG_WARNING, "no session with the peer")                    \
    X(FS_EV_PEER_REFUSED, "peer_refused", FS_LOG_WARNING, "a connection was turned away")          \
    X(FS_EV_LANE_UP, "lane_up", FS_LOG_INFO, "one more connection carries the session")            \
    X(FS_EV_LANE_DOWN, "lane_down", FS_LOG_WARNING,                                                \
      "one of the connections that carry a session ended, or could not be made")                   \
    X(FS_EV_BANDWIDTH, "bandwidth", FS_LOG_NOTICE, "another limit for what is sent to a peer")     \
    X(FS_EV_GROUP_FOUND, "group_found", FS_LOG_NOTICE, "a group is protected from now on")         \
    X(FS_EV_GROUP_LET_GO, "group_let_go", FS_LOG_NOTICE, "a group is no longer selected")          \
    X(FS_EV_GROUP_CHANGED, "group_changed", FS_LOG_NOTICE, "a group's volumes changed")            \
    X(FS_EV_GROUP_STATE, "group_state", FS_LOG_NOTICE, "a group's state changed")                  \
    X(FS_EV_VOLUME_SKIPPED, "volume_skipped", FS_LOG_WARNING, "a volume cannot be protected")      \
    X(FS_EV_POINT_TAKEN, "point_taken", FS_LOG_INFO, "a consistent point exists at the source")    \
    X(FS_EV_POINT_UNCHANGED, "point_unchanged", FS_LOG_DEBUG, "nothing changed, none was taken")   \
    X(FS_EV_POINT_COMMITTED, "point_committed", FS_LOG_INFO, "a recovery point is at the target")  \
    X(FS_EV_POINT_REMOVED, "point_removed", FS_LOG_DEBUG, "a point's snapshots were removed")      \
    X(FS_EV_POINT_LOST, "point_lost", FS_LOG_WARNING,                                              \
      "somebody removed a snapshot of a recovery point at the target: it is none any more")        \
    X(FS_EV_SNAPSHOT_UNKNOWN, "snapshot_unknown", FS_LOG_WARNING,                                  \
      "an image at the target has a point's snapshot that no record knows; it stays")              \
    X(FS_EV_REBASED, "rebased", FS_LOG_NOTICE,                                                     \
      "no base told what changed: what differs was found by digests and shipped")                  \
    X(FS_EV_RECOVERED, "recovered", FS_LOG_NOTICE, "what a crash left half-done was finished")     \
    X(FS_EV_PRUNE_FAILED, "prune_failed", FS_LOG_WARNING,                                          \
      "an old point's snapshots could not be removed; it is tried again")                          \
    X(FS_EV_TAKE_FAILED, "take_failed", FS_LOG_WARNING, "no point could be taken")                 \
    X(FS_EV_TAKE_KILLED, "take_killed", FS_LOG_WARNING,                                            \
      "the snapshot helper passed its bound and was killed and blocklisted")                       \
    X(FS_EV_OBJECTS_STALE, "objects_stale", FS_LOG_WARNING,                                        \
      "Kubernetes objects could not be captured: points carry the newest known ones, or none")     \
    X(FS_EV_EVENTS_LOST, "events_lost", FS_LOG_WARNING,                                            \
      "Kubernetes Events or annotations could not be written")                                     \
    X(FS_EV_SLOW_DIFF, "slow_diff", FS_LOG_NOTICE, "fast-diff cannot be used for a volume")        \
    X(FS_EV_POOL_FULL, "pool_full", FS_LOG_WARNING,                                                \
      "a pool is full: no point is taken or received")                                             \
    X(FS_EV_POOL_HAS_ROOM, "pool_has_room", FS_LOG_NOTICE, "it is not any more")                   \
    X(FS_EV_TRIM_PACE, "trim_pace", FS_LOG_WARNING,                                                \
      "how far apart points are taken, since the cluster is behind with trimming snapshots")       \
    X(FS_EV_SYNC_FAILED, "sync_failed", FS_LOG_WARNING, "a transfer ended without a commit")       \
    X(FS_EV_SYNC_RESUMED, "sync_resumed", FS_LOG_INFO, "a transfer goes on where it was")          \
    X(FS_EV_OFFER_REFUSED, "offer_refused", FS_LOG_WARNING, "this site refused a peer's offer")    \
    X(FS_EV_DIGEST_MISMATCH, "digest_mismatch", FS_LOG_ERROR, "the sites' bytes differ")           \
    X(FS_EV_VERIFIED, "verified", FS_LOG_NOTICE, "a point was proved")                             \
    X(FS_EV_VERIFY_DIFFERENT, "verify_different", FS_LOG_ERROR,                                    \
      "a point does not hold the bytes that it should")                                            \
    X(FS_EV_VERIFY_FAILED, "verify_failed", FS_LOG_WARNING, "a verification did not end")          \
    X(FS_EV_TAMPERED, "tampered", FS_LOG_ERROR, "somebody else wrote to an image of this site's")  \
    X(FS_EV_ADOPTING, "adopting", FS_LOG_NOTICE,                                                   \
      "an operator lets Farshore go on with images that others wrote to")                          \
    X(FS_EV_LEFT_KEPT, "left_kept", FS_LOG_WARNING,                                                \
      "what an image held beside its points is in a snapshot farshore.left.*")                     \
    X(FS_EV_LEFT_DISCARDED, "left_discarded", FS_LOG_NOTICE,                                       \
      "an operator had a snapshot farshore.left.* removed")                                        \
    X(FS_EV_OPERATION, "operation", FS_LOG_NOTICE,                                                 \
      "an operation on a group came to a step; the log of the group has it too")                   \
    X(FS_EV_PROMOTED, "promoted", FS_LOG_NOTICE, "this site is primary for a group from now on")   \
    X(FS_EV_FOLLOWING, "following", FS_LOG_NOTICE,                                                 \
      "this site was primary for a group and is the peer's secondary from now on")                 \
    X(FS_EV_HOOK_STARTED, "hook_started", FS_LOG_NOTICE, "a command of the policy's hooks runs")   \
    X(FS_EV_HOOK_OUTPUT, "hook_output", FS_LOG_INFO, "a line that a hook printed")                 \
    X(FS_EV_HOOK_DONE, "hook_done", FS_LOG_NOTICE, "a hook ended with status 0")                   \
    X(FS_EV_HOOK_FAILED, "hook_failed", FS_LOG_ERROR,                                              \
      "a hook failed, or was killed at its time limit")                                            \
    X(FS_EV_FREEZE_FAILED, "freeze_failed", FS_LOG_WARNING,                                        \
      "what uses a group's volumes could not be brought to rest for a point")                      \
    X(FS_EV_THAW_FAILED, "thaw_failed", FS_LOG_ERROR,                                              \
      "what was frozen for a point could not be thawed: it is tried again")                        \
    X(FS_EV_THAWED, "thawed", FS_LOG_NOTICE,                                                       \
      "what a daemon before this one froze, or could not be thawed, is thawed")                    \
    X(FS_EV_CLIENT_FENCED, "client_fenced", FS_LOG_WARNING,                                        \
      "a client was kept from a group's volumes, or let in again")                                 \
    X(FS_EV_SUPERSEDED, "superseded", FS_LOG_WARNING,                                              \
      "the peer was promoted: this site takes and ships no more points of a group")                \
    X(FS_EV_SPLIT_BRAIN, "split_brain", FS_LOG_ERROR,                                              \
      "both sites were promoted to the same term: neither ships")                                  \
    X(FS_EV_REPEATED, "repeated", FS_LOG_INFO, "a message came again so many times")               \
    X(FS_EV_INTERNAL, "internal", FS_LOG_ERROR, "a bug: please report it")

enum fs_event {
#define FS_EVENT_CONSTANT(constant, name, level, meaning) constant,
    FS_EVENTS(FS_EVENT_CONSTANT)
#undef FS_EVENT_CONSTANT
        FS_EVENT_COUNT
};

struct fs_field {
    const char *key; /* lower case and _; NULL ends a list */
    enum { FS_FIELD_STRING, FS_FIELD_INT, FS_FIELD_UINT } type;
    const char *s; /* NULL is left out */
    int64_t i;
    uint64_t u;
};

#define FS_S(k, v) ((struct fs_field){.key = (k), .type = FS_FIELD_STRING, .s = (v)})
#define FS_I(k, v) ((struct fs_field){.key = (k), .type = FS_FIELD_INT, .i = (v)})
#define FS_U(k, v) ((struct fs_field){.key = (k), .type = FS_FIELD_UINT, .u = (v)})
/* The message and class of a struct fs_error. */
#define FS_E(e) FS_S("error", (e)->message), FS_S("class", fs_error_class_name((e)->class))

/* fs_log(FS_EV_POINT_COMMITTED, FS_S("group", name), FS_U("seq", seq)) */
#define fs_log(event, ...) fs_log_fields((event), (const struct fs_field[]){__VA_ARGS__, {0}})

void fs_log_fields(enum fs_event event, const struct fs_field *fields);

/* The newest events of level notice and above that were written, for people who have no log at
 * hand. */
#define FS_LOG_RECENT_MAX 256

struct fs_log_recent {
    int64_t wall_ns;
    const char *name; /* static storage */
    enum fs_log_level level;
    char group[256]; /* "" where it is about none */
    char text[512];  /* its other fields, as logfmt */
};

/* Newest first. each must not log. */
void fs_log_recent_each(void (*each)(void *arg, const struct fs_log_recent *entry), void *arg);

/* Before any thread starts. journal: write native journald fields instead of logfmt. */
void fs_log_init(bool journal, enum fs_log_level most);
/* Print what was held back by rate limits. LOOP, about once a second. */
void fs_log_flush_repeats(void);

#endif
