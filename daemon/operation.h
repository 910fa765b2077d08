/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on groups: at most one of a group at a time, each a few steps that wait for what is
 * under way, store records and let workers do the rest. Whoever asked may go away; the operation
 * goes on, and one that a restart finds in a record is carried on without anybody. What the steps
 * are is each kind's: failover.h, follow.h. LOOP only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_H
#define FARSHORE_DAEMON_OPERATION_H

#include "daemon/groups.h"

#define FS_STEP_SHOWS_DOING     1u /* a worker says in doing what it is busy with */
#define FS_STEP_WITHOUT_CLUSTER 2u /* goes on while the site's cluster is away */

struct fs_operation_step {
    const char *text; /* "raising the term" */
    int64_t limit_ns; /* past it the step says what it waits for; past twice that it is given up */
    void (*run)(struct fs_group *group); /* begins it, or looks whether it may */
    unsigned flags;                      /* FS_STEP_* */
};

struct fs_operation_kind {
    const char *name; /* "failover" */
    /* The first one stops what is under way for the group; it begins anew there where the site's
     * work stopped meanwhile. */
    const struct fs_operation_step *steps;
    /* A step has failed for good. NULL: that ends the operation. */
    void (*give_up)(struct fs_group *group, const char *message);
    bool brings_up; /* what uses the volumes, at its end */
};

/* What the peer was asked to do, and has answered. */
struct fs_peer_fence {
    int64_t began_ns, sent_ns; /* boot; 0: not yet */
    uint64_t number;           /* of the term that it was asked with */
    bool answered;
    enum fs_fence_outcome outcome;
    char message[512];
};

struct fs_operation {
    const struct fs_operation_kind *kind;
    uint64_t serial;
    struct fs_uuid id;
    char who[FS_WHO_SIZE];
    struct fs_uuid point;             /* that was asked for; zero: the newest */
    bool compare;                     /* following: the difference is found by digests */
    bool cancelled;                   /* whoever asked went away */
    char snapshot[FS_SNAP_NAME_SIZE]; /* that is discarded */
    unsigned step;                    /* of the kind's */
    int64_t began_ns, step_ns;        /* boot: of the operation, of the step */
    int64_t retry_ns;                 /* boot: not before */
    bool working;                     /* a worker has it */
    struct fs_error last;             /* what the step was tried with, and failed */
    struct fs_doing doing;
    enum fs_fence_mode fence; /* failover: of the other site's users */
    struct fs_peer_fence peer_fence;
    size_t fenced;    /* clients that were */
    const char *hook; /* the one that runs, all else being done; NULL */
    size_t n_hooks;   /* of fs_hooks_after, that were run or are not there */
    bool brought_up;  /* what uses the volumes, or it was tried */
    struct fs_operation_result result;

    /* A relocation: */
    bool answered; /* the peer has, to the newest question */
    struct fs_move_answer answer;
    unsigned rounds;     /* of shipping while the workload runs */
    int64_t round_ns;    /* boot: since when */
    bool taking;         /* the point that is shipped was taken in this round */
    uint64_t failed_at;  /* the group's, when it was looked at last */
    int64_t workload_ns; /* boot: the workload was stopped; 0: not yet */
};

/* The result of the operation where it is over; borrowed until the group's next one is. */
const struct fs_operation_result *fs_operation_result(const struct fs_group *group,
                                                      uint64_t serial);
/* What the operation under way does, and past the limit of its step what it waits for. */
void fs_operation_text(const struct fs_group *group, char *text, size_t size);

/* A round of the loop. */
void fs_operations_run(struct fs_groups *groups);
/* The site's work stops: they begin anew with the records that are read next. */
void fs_operations_stop(struct fs_groups *groups);

/* --- for the kinds ---------------------------------------------------------------------------- */

/* Begin one where none is under way, or (who "") carry on what a record knows of; NULL when out of
 * memory. */
struct fs_operation *fs_operation_start(struct fs_group *group,
                                        const struct fs_operation_kind *kind, const char *who);
void fs_operation_enter(struct fs_group *group, unsigned step);
/* What came of it is known, and logged; it goes on with something that changes nothing of that. */
void fs_operation_note_result(struct fs_group *group, bool failed, const char *message);
/* It is over and freed, with the result that was noted. */
void fs_operation_end(struct fs_group *group);
/* Both. */
void fs_operation_finish(struct fs_group *group, bool failed, const char *message);
/* The step failed: a second later again where it may help, until the step has had its time. */
void fs_operation_failed(struct fs_group *group, const struct fs_error *err);
/* A copy of the record for a worker, which has the group from now on; NULL: tried again. */
struct fs_record *fs_operation_hand_over(struct fs_group *group);
/* The record that it gives back (NULL: as it was); true where it went well. */
bool fs_operation_take_back(struct fs_group *group, struct fs_record *record,
                            const struct fs_error *err);
/* The first step of all kinds; enters the second. */
void fs_operation_run_stop(struct fs_group *group);

#endif
