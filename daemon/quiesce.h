/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quiescing: before a point's snapshots what uses the volumes comes to rest, and right after them
 * it goes on. What there is to freeze is the policy's: its command, the virtual machines of the
 * group. This module keeps the order and the limits; the freezing itself is a struct fs_quiescer's.
 *
 * A freeze has two limits: quiesce.timeout until everything is frozen, and until_ns, at which
 * everything is thawed whatever became of the snapshots. A thaw is certain: the record says that
 * something may be frozen before it is, a restart thaws it before anything else, a thaw that fails
 * is made again, and a virtual machine is frozen with a time after which it thaws by itself.
 * LOOP only.
 */
#ifndef FARSHORE_DAEMON_QUIESCE_H
#define FARSHORE_DAEMON_QUIESCE_H

#include "farshore/record.h"
#include "farshore/site.h"

struct fs_group;
struct fs_groups;
struct fs_verdict;

struct fs_quiesce_target {
    unsigned kind;                                  /* FS_QUIESCE_COMMAND or FS_QUIESCE_GUEST */
    char namespace[FS_NAME_SIZE], vm[FS_NAME_SIZE]; /* of a guest */
    bool frozen;                                    /* or it may be: to be thawed */
};

enum fs_quiesce_outcome {
    FS_QUIESCE_DONE = 0,
    FS_QUIESCE_NOTHING, /* a virtual machine that does not run: there is nothing to freeze or thaw
                         */
    FS_QUIESCE_FAILED,
};

/* Each ends, once and within limit_ns, in a call of fs_quiesce_answered, possibly before it
 * returns. target is borrowed during the call. */
struct fs_quiescer {
    /* What can thaw by itself does so after frozen_ns. */
    void (*freeze)(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns,
                   int64_t frozen_ns);
    /* Harmless where nothing is frozen. */
    void (*thaw)(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns);
};

/* err is set for FS_QUIESCE_FAILED only. */
void fs_quiesce_answered(struct fs_group *group, enum fs_quiesce_outcome outcome,
                         const struct fs_error *err);

/* err: NULL, or why not all is frozen. Then until_ns is 0, as where something was not running; else
 * everything is frozen until then (boot clock). */
typedef void fs_quiesce_fn(void *arg, int64_t until_ns, const struct fs_error *err);

enum fs_quiesce_step {
    FS_QUIESCE_IDLE = 0, /* targets that are frozen wait for their thaw */
    FS_QUIESCE_FREEZING,
    FS_QUIESCE_THAWING,
};

struct fs_quiesce { /* of a group */
    enum fs_quiesce_step step;
    struct fs_quiesce_target *targets; /* owned */
    size_t n_targets, at;
    int64_t began_ns;      /* boot: the freeze */
    int64_t until_ns;      /* boot: everything is thawed then at the latest; 0: at once */
    bool incomplete;       /* something was not running */
    bool refreeze;         /* the thaw is of what is left of the point before */
    unsigned failures;     /* thaws in a row */
    int64_t retry_ns;      /* boot */
    char *command;         /* owned; as it was when it froze */
    char reason[256];      /* why the newest point is not application-consistent, or "" */
    char thaw_reason[256]; /* why the newest thaw failed */
    fs_quiesce_fn *done;
    void *arg;
};

/* FS_QUIESCE_*: what the policy would freeze for a point of the group; 0: nothing. */
unsigned fs_quiesce_wanted(const struct fs_group *group);
/* FS_QUIESCE_*: what is frozen, or may be. */
unsigned fs_quiesce_frozen(const struct fs_group *group);
/* Something of it has to end before a next point is thought of. */
bool fs_quiesce_is_busy(const struct fs_group *group);

/* Freeze all of it. done is called once, possibly before this returns; fs_quiesce_thaw has to
 * follow in any case. The record says already what may be frozen. */
void fs_quiesce_freeze(struct fs_group *group, fs_quiesce_fn *done, void *arg);
/* Begin to thaw what is frozen; nothing where nothing is, or where that is under way. */
void fs_quiesce_thaw(struct fs_group *group);
/* Its record was loaded: what it says is frozen is thawed in the next round. */
void fs_quiesce_loaded(struct fs_group *group);

/* The process ends and what the snapshots wait for does not: thaw all now. Whether anything is
 * frozen, or may be. */
bool fs_quiesce_thaw_all(const struct fs_groups *groups);

/* Start the thaws that are due. */
void fs_quiesce_run(const struct fs_groups *groups);
/* When one of the group is due; INT64_MAX: none. */
int64_t fs_quiesce_next_ns(const struct fs_group *group);

void fs_quiesce_add_verdict(const struct fs_group *group, struct fs_verdict *verdict);
void fs_quiesce_fini(struct fs_quiesce *quiesce);

#endif
