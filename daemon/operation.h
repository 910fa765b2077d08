/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on groups: at most one of a group at a time, each a few steps that wait for what is
 * under way, store records and let workers do the rest. Whoever asked may go away; the operation
 * goes on, and a promotion that a restart finds in a record is carried on without anybody. LOOP
 * only.
 */
#ifndef FARSHORE_DAEMON_OPERATION_H
#define FARSHORE_DAEMON_OPERATION_H

#include "daemon/groups.h"

enum fs_operation_step {
    FS_STEP_STOP = 0, /* what is under way for the group ends */
    FS_STEP_RECOVER,  /* a commit under way is finished, or given up */
    FS_STEP_RAISE,    /* the record: promoting, in the raised term */
    FS_STEP_PROMOTE,  /* the images */
    FS_STEP_FINISHED,
};

struct fs_operation {
    uint64_t serial;
    struct fs_uuid id;
    char who[FS_WHO_SIZE];
    struct fs_uuid point; /* that was asked for; zero: the newest */
    enum fs_operation_step step;
    int64_t began_ns, step_ns; /* boot: of the operation, of the step */
    int64_t retry_ns;          /* boot: not before */
    bool working;              /* a worker has it */
    bool resumed;              /* what a record said was going on */
    struct fs_error last;      /* what the step was tried with, and failed */
    struct fs_doing doing;
    struct fs_operation_result result;
};

/*
 * Why a failover of the group is not possible here, or NULL. *ret_point is the point that it would
 * go to; NULL where this site goes on from its heads. wanted as in fs_operation.
 */
const char *fs_failover_refusal(const struct fs_group *group, const struct fs_uuid *wanted,
                                const struct fs_record_point **ret_point, char *text, size_t size);
/* Is this site primary for it already, by the newest promotion that is known of? */
bool fs_failover_is_done(const struct fs_group *group);
/* At most so much will not be at this site, if it is promoted now; -1: it is not known. */
int64_t fs_failover_loss_ns(const struct fs_group *group, const struct fs_record_point *point);

/* Begin one that is not refused; or, where one is under way, join it. Returns its serial, 0 when
 * out of memory. */
uint64_t fs_failover_start(struct fs_group *group, const struct fs_uuid *wanted, const char *who);

/* The result of the operation where it is over; borrowed until the group's next one is. */
const struct fs_operation_result *fs_operation_result(const struct fs_group *group,
                                                      uint64_t serial);
/* What the operation under way does, and past the limit of its step what it waits for. */
void fs_operation_text(const struct fs_group *group, char *text, size_t size);

/* A round of the loop. */
void fs_operations_run(struct fs_groups *groups);
/* The site's work stops: they begin anew with the records that are read next. */
void fs_operations_stop(struct fs_groups *groups);

#endif
