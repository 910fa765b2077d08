/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/schedule.h"

#include <stdlib.h>

bool fs_slots_free(const struct fs_slots *slots, bool first_copy)
{
    return slots->running < FS_SLOTS_PER_PEER &&
           (!first_copy || slots->first_copies < FS_SLOTS_FIRST_COPIES);
}

int64_t fs_schedule_stagger_ns(const struct fs_uuid *group, int64_t interval_ns)
{
    /* FNV-1a: uuids of other makers than us need not be random in every byte. */
    uint64_t hash = UINT64_C(14695981039346656037);
    int64_t span = interval_ns < FS_STAGGER_MAX_NS ? interval_ns : FS_STAGGER_MAX_NS;

    for (size_t i = 0; i < sizeof(group->b); i++) {
        hash = (hash ^ group->b[i]) * UINT64_C(1099511628211);
    }
    return span > 0 ? (int64_t)(hash % (uint64_t)span) : 0;
}

int64_t fs_schedule_backoff_ns(unsigned failures, int64_t interval_ns)
{
    int64_t longest = interval_ns < FS_BACKOFF_LONGEST_NS ? interval_ns : FS_BACKOFF_LONGEST_NS;
    int64_t wait = FS_BACKOFF_FIRST_NS;

    for (unsigned i = 1; i < failures && wait < longest; i++) {
        wait *= 2;
    }
    if (wait > longest) {
        wait = longest;
    }
    return wait > FS_BACKOFF_FIRST_NS ? wait : FS_BACKOFF_FIRST_NS;
}

static int compare(const void *a, const void *b)
{
    const struct fs_candidate *left = a, *right = b;

    if (left->deadline_ns != right->deadline_ns) {
        return left->deadline_ns < right->deadline_ns ? -1 : 1;
    }
    return fs_uuid_compare(&left->group, &right->group);
}

void fs_schedule_sort(struct fs_candidate *candidates, size_t count)
{
    if (count > 1) {
        qsort(candidates, count, sizeof(*candidates), compare);
    }
}
