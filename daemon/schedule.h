/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which group goes next. Each has a deadline, the moment of its newest point plus its interval;
 * the one that is furthest past its deadline goes first, and intervals that were missed meanwhile
 * come to one point. Pure functions of moments on the boot clock.
 */
#ifndef FARSHORE_DAEMON_SCHEDULE_H
#define FARSHORE_DAEMON_SCHEDULE_H

#include <stddef.h>

#include "farshore/clock.h"
#include "farshore/uuid.h"

/*
 * Groups that are taken or shipped to one peer at once. More would not go faster: they share the
 * link, the CPUs and one budget of memory, and each keeps its volumes open at both sites. First
 * copies may take hours, so they never hold all of it: what remains is enough for the groups
 * that only have an interval's changes to ship.
 */
#define FS_SLOTS_PER_PEER     6
#define FS_SLOTS_FIRST_COPIES 3
#define FS_STAGGER_MAX_NS     (10 * FS_SEC)
#define FS_BACKOFF_FIRST_NS   (1 * FS_SEC)
#define FS_BACKOFF_LONGEST_NS (60 * FS_SEC)

/* What runs to one peer now. */
struct fs_slots {
    unsigned running;
    unsigned first_copies; /* of them */
};

bool fs_slots_free(const struct fs_slots *slots, bool first_copy);

/* How long a group that was just found or loaded waits, in [0, min(interval, 10 s)): by its
 * uuid, so that a thousand groups do not start in one second and each always starts alike. */
int64_t fs_schedule_stagger_ns(const struct fs_uuid *group, int64_t interval_ns);

/* How long to wait after so many failures in a row (from 1): doubling from 1 s up to 60 s. A
 * shorter interval bounds it, but never below 1 s. */
int64_t fs_schedule_backoff_ns(unsigned failures, int64_t interval_ns);

struct fs_candidate {
    int64_t deadline_ns; /* boot; INT64_MIN: asked for by an operator */
    struct fs_uuid group;
    void *owner;
};

/* Earliest deadline first; ties by uuid. */
void fs_schedule_sort(struct fs_candidate *candidates, size_t count);

#endif
