/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that has begun operations and waits for what comes of them: what operation_commands.c
 * shares with the commands of each kind of operation. LOOP only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_QUESTION_H
#define FARSHORE_DAEMON_OPERATION_QUESTION_H

#include "daemon/operation.h"
#include "daemon/operation_commands.h"

struct target { /* a group that a command is about */
    struct fs_uuid group;
    uint64_t serial; /* of its operation; 0: there is none, message says why */
    bool done;       /* there was nothing to do */
    char message[512];
    /* When the operation began, for what follows it: */
    int64_t began_ns; /* boot */
    uint64_t failed_at;
    uint64_t wire_bytes, written_bytes;
    /* What came of it, where more is waited for; owned, or NULL. */
    struct fs_operation_result *kept;
};

struct question_kind {
    const char *operation; /* "failover" */
    /* What came of it; result NULL: it was not begun. A new reference. */
    json_t *(*outcome)(const struct fs_group *group, const struct target *target,
                       const struct fs_operation_result *result);
    /* NULL, or: is there something to wait for, now that the operation has gone well? */
    bool (*waits)(const struct fs_group *group, const struct target *target);
    /* Beside waits: is it there? */
    bool (*reached)(const struct fs_group *group, const struct target *target);
    /* Beside waits: what is waited for. */
    void (*waiting)(const struct fs_group *group, char *text, size_t size);
    /* Whoever asked went away. NULL: what has begun goes on. */
    void (*gone)(struct fs_group *group, const struct target *target);
};

struct question {
    struct fs_operation_commands *commands;
    const struct question_kind *kind; /* NULL: it ends with what is being read */
    struct fs_call *call;             /* NULL: the client has gone */
    struct fs_uuid group;             /* where kind is NULL */
    struct fs_uuid point;             /* of a failover's plan: that was asked for; zero: newest */
    enum fs_fence_mode fence;         /* the same */
    const char *planned;              /* of a plan: of which operation */
    bool fence_asked;                 /* of a plan: the other site, and it has not answered */
    const char *workload_asked;       /* of a plan: who is asked what would not come up, or NULL */
    json_t *found;                    /* of a plan: what was answered, for it; owned, or NULL */
    int64_t progress_ns;              /* boot: next */
    size_t n_targets;
    struct target *targets; /* owned */
    struct question *next;
};

/* One that waits, with room for so many targets; NULL when out of memory, and the call is over. */
struct question *fs_question_new(struct fs_operation_commands *commands, struct fs_call *call,
                                 const struct question_kind *kind, size_t max_targets);
/* Without an answer; its client was answered, or has gone. */
void fs_question_free(struct question *question);
struct fs_groups *fs_question_groups(const struct question *question);
/* The next target; the caller begins its operation. */
struct target *fs_question_add(struct question *question, const struct fs_group *group);

/* group, term, point where there is one, hooks: what all outcomes have. A new reference. */
json_t *fs_question_outcome(const struct fs_group *group, const struct target *target,
                            const struct fs_operation_result *result, const char *success);

/* The group's volumes, or those of a point of it, for a plan. A new reference. */
json_t *fs_question_volumes(const struct fs_group *group, const struct fs_record_point *point);
/* A plan of steps, one text each (moved in), for the group's volumes; parks: they are out of their
 * users' reach afterwards. A new reference. */
json_t *fs_question_plan(const struct fs_group *group, json_t *steps, bool parks);
/* Append a text to a list. */
void fs_question_text(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
