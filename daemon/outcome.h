/* SPDX-License-Identifier: Apache-2.0 */
/* What came of an operation on a group, for whoever asked for it. Plain data. */
#ifndef FARSHORE_DAEMON_OUTCOME_H
#define FARSHORE_DAEMON_OUTCOME_H

#include "farshore/model.h"

#define FS_WHO_SIZE 64

struct fs_operation_result {
    uint64_t serial; /* of the operation */
    bool failed;     /* message says why, and what it waits for */
    char message[640];
    bool has_point; /* what follows is known: not where a site goes on from its heads */
    struct fs_point_id point;
    int64_t taken_ns; /* wall */
    int64_t loss_ns;  /* at most so much was not at this site when it was promoted */
    int64_t took_ns;
};

#endif
