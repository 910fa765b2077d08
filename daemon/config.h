/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file, parsed and checked. One struct fs_config is one whole, immutable
 * configuration; a reload makes a new one. docs/man/farshored.yaml.5 lists the keys.
 */
#ifndef FARSHORE_DAEMON_CONFIG_H
#define FARSHORE_DAEMON_CONFIG_H

#include <stdio.h>

#include "daemon/bandwidth.h"
#include "farshore/selector.h"
#include "farshore/sink.h"
#include "farshore/tuner.h"

struct fs_config_peer {
    char *name;
    char *tls_name;   /* the name in the peer's certificate; default: the peer's name */
    char **endpoints; /* host:port; none: we wait for the peer to dial */
    size_t n_endpoints;
    char *fence_conf;          /* fence.conf: of the peer's cluster; NULL: it cannot be reached */
    char *fence_user;          /* fence.user, without "client."; default farshore */
    uint64_t bandwidth;        /* bytes/s that we send at most, outside of windows; 0: no limit */
    unsigned lanes;            /* connections of a session; 0: auto */
    struct fs_window *windows; /* the first that holds counts */
    size_t n_windows;
};

struct fs_config_source {
    bool kubernetes;     /* source: images | kubernetes */
    int64_t interval_ns; /* how often to look at the images; default 10 s */
    char *kubeconfig;    /* of kubernetes; NULL: the service account of our pod */
    char *cluster_id;    /* of kubernetes: clusterID of our Ceph cluster; NULL: its fsid */
    bool workloads;      /* of kubernetes: objects of protected groups may be changed there */
    bool events;         /* of kubernetes: Events and an annotation tell of protection there */
    char **kinds;        /* objects.kinds, of kubernetes; NULL: fs_kube_default_kinds */
    size_t n_kinds;
    bool secrets; /* objects.secrets, of kubernetes */
    /* storage_classes, of kubernetes: JSON, {class of the peer's cluster: class here}; NULL: none
     */
    char *storage_classes;
};

/* Commands of a policy, see daemon/hook.h. */
enum fs_hook {
    FS_HOOK_STOP = 0, /* before this site gives a group away */
    FS_HOOK_START,    /* after it became primary */
    FS_HOOK_PROMOTED, /* the same, before FS_HOOK_START */
    FS_HOOK_DEMOTED,  /* after it gave a group away */
    FS_HOOK_DRILL,    /* drill.exec: tests the images of a drill */
    FS_HOOK_QUIESCE,  /* quiesce.command: brings what uses the volumes to rest, and back */
    FS_HOOK_COUNT
};

/* What a failover does about the users of the other site's volumes. */
enum fs_fence_mode {
    FS_FENCE_NONE = 0,
    FS_FENCE_BEST_EFFORT, /* fenced where that can be done */
    FS_FENCE_REQUIRED,    /* no failover without */
};

struct fs_config_policy {
    char *name;
    char *peer;
    int64_t interval_ns;          /* 1 s to 31 d; 0 where select is NULL and it was not given */
    struct fs_selector *selector; /* NULL: this site is only a target for it */
    char *select_text;
    char *group_by; /* NULL: every volume is its own group */
    struct fs_pool_map *pools;
    size_t n_pools;
    struct fs_retention retain;          /* default: latest 3 */
    bool refuse_not_one_instant;         /* not_one_instant: mark | refuse; default mark */
    bool no_objects;                     /* objects: captured | none; default captured */
    int64_t snapshot_timeout_ns;         /* snapshot_timeout: default 5 s */
    int64_t verify_every_ns;             /* verify.every, at the target; 0: only by command */
    uint64_t verify_rate;                /* verify.rate: bytes/s, default 64 MiB */
    unsigned alert_warn, alert_critical; /* multiples of the interval; default 2 and 3 */
    enum fs_fence_mode fence;            /* fence; default none */
    char *on[FS_HOOK_COUNT];             /* on.*: for the shell; NULL: nothing is run */
    int64_t on_timeout_ns;               /* on.timeout: of each; default 60 s */
    int64_t stop_timeout_ns;             /* workload.stop_timeout; default 5 min */
    bool stop_force;                     /* workload.stop_late: refuse | force; default refuse */
    int64_t start_timeout_ns;            /* workload.start_timeout; default 5 min */
    int64_t drill_every_ns;              /* drill.every, at the target; 0: only by command */
    int64_t drill_timeout_ns;            /* drill.timeout: of drill.exec; default 10 min */
    bool quiesce_guest;                  /* quiesce.guest: freeze the virtual machines */
    int64_t quiesce_timeout_ns;          /* quiesce.timeout: of a freeze; default 5 s */
    bool quiesce_or_skip;                /* quiesce.on_failure: crash | skip; default crash */
};

struct fs_config {
    char *site;
    char *ceph_conf, *ceph_user, *state_pool; /* defaults /etc/ceph/ceph.conf, farshore, rbd */
    bool object_io;                           /* ceph.object_io: auto | off; default auto */
    char *listen;                             /* NULL: only dial */
    char *http;                               /* NULL: none */
    char *tls_cert, *tls_key, *tls_ca;
    char *control; /* default /run/farshore/control.sock */
    struct fs_config_peer *peers;
    size_t n_peers;
    struct fs_config_source *sources; /* discovery */
    size_t n_sources;
    bool discover_images;                      /* one of them is images */
    const struct fs_config_source *kubernetes; /* that one of them, or NULL */
    int64_t discovery_interval_ns;             /* the shortest of theirs; 0 without one */
    struct fs_config_policy *policies;
    size_t n_policies;
    uint64_t memory_bytes;    /* limits.memory, default 256 MiB */
    unsigned open_images;     /* limits.open_images, default 500 */
    unsigned cpu_threads;     /* limits.cpu; 0: as many as there are processors */
    bool fixed_level;         /* compression.level is a number, and not auto */
    int zstd_level;           /* that number: FS_LEVEL_MIN to FS_LEVEL_MAX */
    enum fs_delta_mode delta; /* compression.delta: auto | off | always; default auto */
};

/*
 * Read and check a file. Every finding is one line "FILE:LINE:COLUMN: message" on errors (may
 * be NULL), all of them, not only the first; err holds the first and how many more. Unknown and
 * duplicate keys, aliases, missing units, values out of range and references to unknown peers
 * are findings. Returns 0, or -errno and no configuration. Does no I/O but on the file itself.
 * Any thread; blocks on the file.
 */
int fs_config_load(const char *path, FILE *errors, struct fs_config **ret_config,
                   struct fs_error *err);
/* The same from memory; name stands for the file in messages. No I/O but on errors. */
int fs_config_parse(const char *name, const void *text, size_t length, FILE *errors,
                    struct fs_config **ret_config, struct fs_error *err);
void fs_config_free(struct fs_config *config);

/* "none", "best-effort" or "required", and back; false where it is none of them. */
const char *fs_fence_mode_name(enum fs_fence_mode mode);
bool fs_fence_mode_parse(const char *text, enum fs_fence_mode *ret_mode);

/* Borrowed; NULL where there is none. */
const struct fs_config_policy *fs_config_find_policy(const struct fs_config *config,
                                                     const char *name);
const struct fs_config_peer *fs_config_find_peer(const struct fs_config *config, const char *name);

/*
 * The schema, for the manual's test: calls back for every key that holds a value (not for the
 * sections around them) with "policies.*.interval", "duration from 1s to 31d", and
 * "default 5m", "no default" or "required", in the order of the table. Valid during the call.
 */
typedef void fs_config_key_fn(void *arg, const char *path, const char *type,
                              const char *default_text);
void fs_config_each_key(fs_config_key_fn *each, void *arg);

#endif
