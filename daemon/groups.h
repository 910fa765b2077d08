/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All groups of this site, in both roles: the table by uuid and name, and the round that starts
 * what is due. LOOP only.
 */
#ifndef FARSHORE_DAEMON_GROUPS_H
#define FARSHORE_DAEMON_GROUPS_H

#include "daemon/group.h"
#include "daemon/verifier.h"

struct fs_drills;
struct fs_fences;
struct fs_fence_looks;
struct fs_relocate_looks;

struct fs_groups {
    struct fs_context *ctx;
    struct fs_verifier *verifier;    /* owned */
    struct fs_drills *drills;        /* owned */
    struct fs_fences *fences;        /* owned */
    struct fs_fence_looks *looks;    /* owned */
    struct fs_relocate_looks *moves; /* owned */
    struct fs_group **list;          /* owned; in the order of their names */
    size_t count;
    size_t capacity;
    bool stopping;
    size_t noting;           /* moments, and entries of logs, being written */
    uint64_t serial;         /* of the newest operation */
    int64_t report_ns;       /* boot: changes of state are logged from then on */
    int64_t current_sent_ns; /* boot: the last batch of CURRENT */
    /* Volumes that discovery cannot protect, as last reported. */
    struct fs_skipped_volume *skipped;    /* owned */
    struct fs_skipped_news *skipped_news; /* owned; of each */
    size_t n_skipped;
    struct fs_candidate *candidates; /* owned; scratch of the round, capacity entries */
};

struct fs_groups *fs_groups_new(struct fs_context *ctx); /* NULL when out of memory */
/* Nothing may be under way. */
void fs_groups_free(struct fs_groups *groups);

/* Records as the site loaded them; moved in, the array is the caller's. Groups that are in the
 * table keep their counters. Nothing may be under way. 0 or -ENOMEM. */
int fs_groups_load(struct fs_groups *groups, struct fs_record **records, size_t count);
/* A new group of what was found, shown from now on; NULL when out of memory. */
struct fs_group *fs_groups_make(struct fs_groups *groups, const struct fs_found_group *found);
/* What the discovery found that began at began_ns (boot clock); borrowed. 0 or -ENOMEM (and the
 * rest is found next time). */
int fs_groups_discovered(struct fs_groups *groups, const struct fs_discovery *discovery,
                         int64_t began_ns);

/* Start what is due; returns when it wants to be called again (boot clock). */
int64_t fs_groups_run(struct fs_groups *groups);

/* Cancel everything that is under way and start nothing more until fs_groups_resume. */
void fs_groups_stop(struct fs_groups *groups);
void fs_groups_resume(struct fs_groups *groups);
/* Operations that have not ended yet. */
size_t fs_groups_busy(const struct fs_groups *groups);

/* Borrowed; NULL where there is none. By name or uuid text, shown groups only; *ret_ambiguous
 * where two have that name. */
struct fs_group *fs_groups_find(const struct fs_groups *groups, const char *text,
                                bool *ret_ambiguous);
struct fs_group *fs_groups_find_uuid(const struct fs_groups *groups, const struct fs_uuid *uuid);
/* Takes a new group in (moved); 0 or -ENOMEM (and it is freed). */
int fs_groups_add(struct fs_groups *groups, struct fs_group *group);

/* The session with a peer came up or went down. */
void fs_groups_peer_changed(struct fs_groups *groups, const char *peer);
/* CURRENT_ACK from a peer. */
void fs_groups_current_acked(struct fs_groups *groups, const char *peer,
                             const struct fs_current_list *list);

#endif
