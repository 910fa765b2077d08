/* SPDX-License-Identifier: Apache-2.0 */
/* What came of an operation on a group, for whoever asked for it. Plain data. */
#ifndef FARSHORE_DAEMON_OUTCOME_H
#define FARSHORE_DAEMON_OUTCOME_H

#include <jansson.h>

#include "farshore/model.h"

#define FS_WHO_SIZE 64

/* What became of a hook that was run after the switch; in the order of fs_hooks_after. */
#define FS_HOOKS_AFTER 2
struct fs_hook_outcome {
    bool ran, failed;
    char message[256]; /* where it failed */
};

struct fs_operation_result {
    uint64_t serial;  /* of the operation */
    const char *kind; /* its name; static */
    bool handed_over; /* a failover: the other site gave the group away */
    bool failed;      /* message says why, and what it waits for */
    bool refused;     /* and nothing was changed */
    char message[640];
    bool has_point; /* what follows is known: not where a site goes on from its heads */
    struct fs_point_id point;
    int64_t taken_ns;    /* wall */
    int64_t loss_ns;     /* at most so much was not at this site when it was promoted */
    int64_t took_ns;     /* without the hooks */
    int64_t downtime_ns; /* of a relocation, from on.stop on; -1: not known */
    char fencing[640];   /* what was done about the users of the other site's volumes */
    struct fs_hook_outcome hooks[FS_HOOKS_AFTER];
    bool already;      /* a relocation that was done before: only the workload was looked at */
    bool coming;       /* of a relocation: whether the workload is up there is not known yet */
    int64_t coming_ns; /* boot: since when */
    struct { /* what uses the volumes, in the Kubernetes of the site that became primary */
        bool ran, failed;
        char message[520]; /* where something is left over */
        json_t *objects;   /* owned: [{"object", "outcome", "message"}], or NULL */
    } workload;
};

#endif
