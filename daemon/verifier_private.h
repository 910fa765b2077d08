/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the verifier, shared by its files: verifier.c (life, background), verifier_task.c
 * (one verification), verifier_peer.c (what peers ask) and verifier_status.c. LOOP only.
 */
#ifndef FARSHORE_DAEMON_VERIFIER_PRIVATE_H
#define FARSHORE_DAEMON_VERIFIER_PRIVATE_H

#include "daemon/groups.h"
#include "daemon/peer.h"
#include "daemon/verify_note.h"

#define VERIFY_WATCHERS_MAX 4

struct task;

/* A peer that asked for it. */
struct watcher {
    struct task *task;
    struct fs_session *session; /* NULL: free */
    uint32_t stream;
};

/* What there is for a group; lives as long as the verifier. */
struct task {
    struct fs_verifier *verifier;
    struct task *next;
    struct fs_uuid group;
    struct fs_verify_note note;
    int64_t seen_ns;  /* boot: when the background first looked at it */
    int64_t ended_ns; /* boot: of the newest outcome; meaningful where the note has one */
    int64_t retry_ns; /* boot: no attempt in the background before */

    bool running;
    bool background;
    bool cancelled;
    uint64_t serial; /* that have ended */
    unsigned wanted; /* by local callers */
    struct fs_uuid point;
    struct watcher watchers[VERIFY_WATCHERS_MAX];
    int64_t report_ns;          /* boot: next to the watchers */
    struct fs_prover *prover;   /* where it is done here */
    struct fs_session *session; /* where a peer does it, with the stream */
    uint32_t stream;
    struct fs_verify_report report; /* as last heard, or the newest outcome */
};

struct answering {
    struct fs_verifier *verifier;
    struct fs_answerer *answerer;
    struct answering *next;
};

struct fs_verifier {
    struct fs_groups *groups;
    struct fs_context *ctx;
    struct task *tasks;
    struct answering *answerings;
    size_t n_answerings;
    size_t noting; /* notes on their way from or to the cluster */
    bool stopping;
    bool loaded; /* since the site's work began */
};

/* Borrowed; get makes it where there is none, NULL when out of memory. */
struct task *verify_task_find(const struct fs_verifier *verifier, const struct fs_uuid *group);
struct task *verify_task_get(struct fs_verifier *verifier, const struct fs_uuid *group);
void verify_kick(const struct fs_verifier *verifier);

/* How far it is, or its outcome. */
const struct fs_verify_report *verify_task_report(const struct task *task);
/* Send the watchers a report; the last one lets go of them. */
void verify_task_tell(struct task *task, bool last);
bool verify_task_is_wanted(const struct task *task);
void verify_task_cancel(struct task *task);
/* What is not ASCII becomes '?': JSON wants UTF-8, and Ceph's names need not be. */
void verify_clean(char *text);

/* Fills err for the operator; returns -EPERM. */
int verify_refused(struct fs_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* This site is secondary: prove it here. wanted may be zero: the newest. */
int verify_begin_here(struct task *task, struct fs_group *group, const struct fs_uuid *wanted,
                      struct fs_error *err);
/* Begin, or join the one of the same point that is under way. here: only where this site can. */
int verify_begin_or_join(struct fs_verifier *verifier, struct fs_group *group,
                         const struct fs_uuid *point, bool here, struct task **ret_task,
                         struct fs_error *err);

#endif
