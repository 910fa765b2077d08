/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a group, as everyone is told it: exactly one, the worst that applies, with a reason
 * and a hint that says what to do. Pure; no I/O.
 */
#ifndef FARSHORE_DAEMON_STATE_H
#define FARSHORE_DAEMON_STATE_H

#include "farshore/sink.h"
#include "farshore/source.h"

/* X(constant, name), best first: of two that apply the later one is shown. */
#define FS_GROUP_STATES(X)                                                                         \
    X(FS_STATE_OK, "ok")                                                                           \
    X(FS_STATE_SYNCING, "syncing")                                                                 \
    X(FS_STATE_NEVER_SYNCED, "never_synced")                                                       \
    X(FS_STATE_NOT_ONE_INSTANT, "not_one_instant")                                                 \
    X(FS_STATE_LATE, "late")                                                                       \
    X(FS_STATE_PAUSED, "paused")                                                                   \
    X(FS_STATE_STALLED, "stalled")                                                                 \
    X(FS_STATE_WRITER_SILENT, "writer_silent")                                                     \
    X(FS_STATE_DEMOTED, "demoted")                                                                 \
    X(FS_STATE_SUPERSEDED, "superseded")                                                           \
    X(FS_STATE_PEER_DOWN, "peer_down")                                                             \
    X(FS_STATE_CLUSTER_DOWN, "cluster_down")                                                       \
    X(FS_STATE_DEGRADED, "degraded")                                                               \
    X(FS_STATE_NO_SPACE, "no_space")                                                               \
    X(FS_STATE_ERROR, "error")                                                                     \
    X(FS_STATE_TAMPERED, "tampered")                                                               \
    X(FS_STATE_DIVERGED, "diverged")                                                               \
    X(FS_STATE_SPLIT_BRAIN, "split_brain")                                                         \
    X(FS_STATE_RECORD_LOST, "record_lost")

enum fs_group_state {
#define FS_GROUP_STATE_CONSTANT(constant, name) constant,
    FS_GROUP_STATES(FS_GROUP_STATE_CONSTANT)
#undef FS_GROUP_STATE_CONSTANT
        FS_STATE_COUNT
};

/* "never_synced", ...; static storage. */
const char *fs_state_name(enum fs_group_state state);

struct fs_verdict {
    enum fs_group_state state;
    char reason[640]; /* "" only for ok */
    char hint[256];   /* what to do; "" where nothing needs doing */
};

#define FS_VERDICT_OK ((struct fs_verdict){.state = FS_STATE_OK})

/* Replace *verdict where state is worse than what it holds (the first of equals stays). hint may
 * be NULL. */
void fs_verdict_add(struct fs_verdict *verdict, enum fs_group_state state, const char *hint,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same with a verdict made elsewhere. */
void fs_verdict_merge(struct fs_verdict *verdict, const struct fs_verdict *other);

/* The label of a refusal that an operator can end by adopting what is there. */
#define FS_LABEL_FOREIGN "foreign_image"

/* What a failed take, a refused offer, or a failed operation means for the group. Each fills
 * *ret_verdict and returns the label of farshore_sync_failures_total (static storage). */
const char *fs_verdict_of_take(enum fs_take_reason reason, const struct fs_error *err,
                               struct fs_verdict *ret_verdict);
const char *fs_verdict_of_refusal(enum fs_refusal refusal, const struct fs_error *err,
                                  struct fs_verdict *ret_verdict);
const char *fs_verdict_of_error(const struct fs_error *err, struct fs_verdict *ret_verdict);

#endif
