/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two windows slide over the image. The coarse one is a map of the object sets in which something
 * changed: one fast diff reads whole object maps and looks at every object in them, whatever the
 * range, so it must not be asked twice; 4 MiB of map are enough for 128 TiB in objects of 4 MiB.
 * The exact one holds the changed extents of up to EXACT_BYTES of changed objects, which bounds its
 * memory even if every second sector changed.
 *
 * Windows end where an object set ends, so that with fancy striping too every object is asked in
 * one go and once.
 */
#include "snapshot/diff.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COARSE_SETS (UINT64_C(1) << 25)
#define WORD        64
#define EXACT_BYTES (UINT64_C(256) << 20)
#define RANGES_MAX  64
/* Of one range: what changed in one piece is for all searchers, too. */
#define RANGE_BYTES (EXACT_BYTES / 16)
#define SEARCHERS   8
/* What one call may look through in vain before it lets its caller have the thread again. */
#define SCAN_BYTES (UINT64_C(4) << 30)

int fs_diff_init(struct fs_diff *diff, rbd_image_t handle, const char *from, uint64_t size,
                 bool fast, struct fs_error *err)
{
    rbd_image_info_t info;
    uint64_t stripe_count = 1;
    int rc = rbd_stat(handle, &info, sizeof(info));

    *diff = (struct fs_diff){0};
    if (rc == 0) {
        rc = rbd_get_stripe_count(handle, &stripe_count);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's geometry");
    }
    *diff = (struct fs_diff){.handle = handle,
                             .size = size,
                             .period = info.obj_size * stripe_count,
                             .fast = fast,
                             .exact = FS_EXTENTS_INIT};
    snprintf(diff->from, sizeof(diff->from), "%s", from ? from : "");
    return 0;
}

void fs_diff_fini(struct fs_diff *diff)
{
    free(diff->changed);
    fs_extents_fini(&diff->exact);
}

/* Ask librbd about [start, end). */
static int iterate(struct fs_diff *diff, uint64_t start, uint64_t end, bool whole_object,
                   int (*found)(uint64_t, size_t, int, void *), void *arg, struct fs_error *err)
{
    bool first = diff->from[0] == '\0';
    int rc = rbd_diff_iterate2(diff->handle, first ? NULL : diff->from, start, end - start, first,
                               whole_object, found, arg);

    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot diff bytes %" PRIu64 " to %" PRIu64, start, end);
    }
    return 0;
}

static int normalize(struct fs_extents *extents, struct fs_error *err)
{
    if (fs_extents_normalize(extents) < 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of extents");
    }
    return 0;
}

static uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value - value % unit;
}

static uint64_t round_up_clipped(uint64_t value, uint64_t unit, uint64_t limit)
{
    uint64_t down = round_down(value, unit);

    if (down == value) {
        return value < limit ? value : limit;
    }
    return down + unit < limit ? down + unit : limit;
}

/* --- the coarse window ---------------------------------------------------------------------- */

static int changed_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    struct fs_diff *diff = arg;
    uint64_t end = offset + length < diff->coarse_end ? offset + length : diff->coarse_end;
    uint64_t at = offset > diff->coarse_start ? offset : diff->coarse_start;

    (void)exists;
    for (; at < end; at = round_down(at, diff->period) + diff->period) {
        uint64_t set = (at - diff->coarse_start) / diff->period;

        diff->changed[set / WORD] |= UINT64_C(1) << set % WORD;
    }
    return 0;
}

static int new_map(struct fs_diff *diff, struct fs_error *err)
{
    uint64_t sets = (diff->coarse_end - diff->coarse_start) / diff->period + 1;

    diff->changed = calloc(sets / WORD + 1, sizeof(*diff->changed));
    return diff->changed
               ? 0
               : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a map of objects");
}

/* Make it hold `at`. */
static int load_coarse(struct fs_diff *diff, uint64_t at, struct fs_error *err)
{
    if (at >= diff->coarse_start && at < diff->coarse_end) {
        return 0;
    }
    diff->coarse_start = round_down(at, diff->period);
    diff->coarse_end =
        round_up_clipped(diff->coarse_start + COARSE_SETS * diff->period, diff->period, diff->size);
    free(diff->changed);
    diff->changed = NULL;
    if (!diff->fast) {
        return 0;
    }

    int rc = new_map(diff, err);

    if (rc == 0) {
        rc = iterate(diff, diff->coarse_start, diff->coarse_end, true, changed_cb, diff, err);
    }
    if (rc < 0) {
        diff->coarse_start = diff->coarse_end = 0;
    }
    return rc;
}

/* Adds what exists at this snapshot to the first window. A parent's, too: what of it an image shows
 * changes when the image is made smaller and larger again, and the object is there at no time. */
static int add_present(struct fs_diff *diff, struct fs_error *err)
{
    uint64_t size;
    int rc = rbd_get_size(diff->handle, &size);

    size = size < diff->coarse_end ? size : diff->coarse_end;
    if (rc == 0 && size > 0) {
        rc = rbd_diff_iterate2(diff->handle, NULL, 0, size, 1, 1, changed_cb, diff);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "cannot find out which objects there are") : 0;
}

int fs_diff_skip_absent(struct fs_diff *diff, const struct fs_image *image, uint64_t from_id,
                        uint64_t to_id, struct fs_error *err)
{
    const uint64_t ids[] = {from_id, to_id};
    bool valid = true;
    int rc = load_coarse(diff, 0, err);

    if (rc == 0) {
        rc = new_map(diff, err);
    }
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        bool believed;

        rc = fs_image_map_valid(image, ids[i], &believed, err);
        valid = valid && believed;
        if (rc == 0 && valid) {
            rc = add_present(diff, err);
        }
    }
    if (!valid) { /* all that is left is to ask everybody */
        free(diff->changed);
        diff->changed = NULL;
    }
    return rc;
}

/* The first set at or after this one that has changed, or has not; limit where there is none. */
static uint64_t find_set(const struct fs_diff *diff, uint64_t set, uint64_t limit, bool changed)
{
    while (set < limit) {
        uint64_t word = diff->changed[set / WORD];

        word = (changed ? word : ~word) >> set % WORD;
        if (word) {
            set += (uint64_t)__builtin_ctzll(word);
            break;
        }
        set = round_down(set, WORD) + WORD;
    }
    return set < limit ? set : limit;
}

/* The first changed object sets at or after `at` in the window; false where there are none. */
static bool next_coarse(const struct fs_diff *diff, uint64_t at, uint64_t *ret_start,
                        uint64_t *ret_end)
{
    uint64_t start = diff->coarse_start, period = diff->period;
    uint64_t limit = (diff->coarse_end - start + period - 1) / period;

    *ret_start = at;
    *ret_end = diff->coarse_end;
    if (!diff->changed) {
        return at < diff->coarse_end;
    }

    uint64_t first = find_set(diff, (at - start) / period, limit, true);
    uint64_t behind = find_set(diff, first, limit, false);

    *ret_start = start + first * period > at ? start + first * period : at;
    *ret_end = round_up_clipped(start + behind * period, period, diff->coarse_end);
    return first < limit;
}

/* --- the exact window ----------------------------------------------------------------------- */

struct collect {
    struct fs_extents *extents;
    uint64_t low, high;
};

static int collect_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    struct collect *collect = arg;
    struct fs_extent extent = {
        .offset = offset, .length = length, .kind = exists ? FS_EXTENT_DATA : FS_EXTENT_ZERO};

    return fs_extents_add(collect->extents, &extent, collect->low, collect->high);
}

/* Objects that are asked about, by several threads at once: what takes its time is that an OSD has
 * to answer for each. */
struct search {
    struct fs_diff *diff;
    struct range {
        uint64_t start, end;
    } ranges[RANGES_MAX];
    size_t count;
    atomic_size_t next;
};

struct searcher {
    pthread_t thread;
    bool started;
    struct search *search;
    struct fs_extents found;
    struct fs_error err;
};

static void *search_run(void *arg)
{
    struct searcher *searcher = arg;
    struct search *search = searcher->search;

    for (size_t i; (i = atomic_fetch_add(&search->next, 1)) < search->count;) {
        struct collect collect = {.extents = &searcher->found,
                                  .low = search->ranges[i].start,
                                  .high = search->ranges[i].end};

        if (iterate(search->diff, collect.low, collect.high, false, collect_cb, &collect,
                    &searcher->err) < 0) {
            atomic_store(&search->next, search->count);
        }
    }
    return NULL;
}

static int add_all(struct fs_extents *extents, const struct fs_extents *more, struct fs_error *err)
{
    for (size_t i = 0; i < more->count; i++) {
        if (fs_extents_add(extents, &more->items[i], 0, UINT64_MAX) < 0) {
            return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of extents");
        }
    }
    return 0;
}

/* The calling thread searches, too, and alone where no other can be had. */
static int search_all(struct search *search, struct fs_extents *extents, struct fs_error *err)
{
    struct searcher searchers[SEARCHERS];
    size_t wanted = search->count < SEARCHERS ? search->count : SEARCHERS;
    int rc = 0;

    for (size_t i = 0; i < wanted; i++) {
        searchers[i] = (struct searcher){.search = search, .found = FS_EXTENTS_INIT};
        searchers[i].started =
            i > 0 && pthread_create(&searchers[i].thread, NULL, search_run, &searchers[i]) == 0;
    }
    if (wanted > 0) {
        search_run(&searchers[0]);
    }
    for (size_t i = 0; i < wanted; i++) {
        if (searchers[i].started) {
            pthread_join(searchers[i].thread, NULL);
        }
        if (rc == 0 && fs_error_is_set(&searchers[i].err)) {
            *err = searchers[i].err;
            rc = -err->code;
        }
        if (rc == 0) {
            rc = add_all(extents, &searchers[i].found, err);
        }
        fs_extents_fini(&searchers[i].found);
    }
    return rc;
}

/*
 * Fill it from `at` on. Objects are asked for in whole sets: with fancy striping one object is many
 * runs of the image, and asking for each alone would list its snapshots as often.
 */
static int load_exact(struct fs_diff *diff, uint64_t at, struct fs_error *err)
{
    struct search search = {.diff = diff};
    uint64_t cursor = at, budget = EXACT_BYTES;
    int rc = load_coarse(diff, at, err);

    if (rc < 0) {
        return rc;
    }
    fs_extents_clear(&diff->exact);
    diff->exact_start = diff->exact_end = 0;
    while (cursor < diff->coarse_end) {
        uint64_t start, end;

        if (!next_coarse(diff, cursor, &start, &end)) {
            cursor = diff->coarse_end;
            break;
        }
        if (budget == 0 || search.count == RANGES_MAX) {
            cursor = start; /* nothing changed up to here */
            break;
        }
        uint64_t most = budget < RANGE_BYTES ? budget : RANGE_BYTES;

        if (end - start > most) {
            end = round_up_clipped(start + most, diff->period, end);
        }
        search.ranges[search.count++] = (struct range){.start = start, .end = end};
        budget -= budget < end - start ? budget : end - start;
        cursor = end;
    }
    rc = search_all(&search, &diff->exact, err);
    if (rc == 0) {
        rc = normalize(&diff->exact, err);
    }
    if (rc == 0) {
        diff->exact_start = at;
        diff->exact_end = cursor;
    }
    return rc;
}

/* Hand out of the exact window from `from` on, as much as fits. */
static size_t hand_out(const struct fs_diff *diff, uint64_t from, struct fs_extent *ret_extents,
                       size_t capacity, uint64_t *ret_next)
{
    size_t count = 0;

    *ret_next = diff->exact_end;
    for (size_t i = 0; i < diff->exact.count; i++) {
        struct fs_extent extent = diff->exact.items[i];
        uint64_t end = extent.offset + extent.length;

        if (end <= from) {
            continue;
        }
        if (count == capacity) {
            *ret_next = extent.offset > from ? extent.offset : from;
            break;
        }
        if (extent.offset < from) {
            extent.offset = from;
            extent.length = end - from;
        }
        ret_extents[count++] = extent;
    }
    return count;
}

int fs_diff_list(struct fs_diff *diff, uint64_t from, struct fs_extent *ret_extents,
                 size_t capacity, size_t *ret_count, uint64_t *ret_next, struct fs_error *err)
{
    uint64_t at = from;

    *ret_count = 0;
    *ret_next = diff->size;
    if (capacity == 0) {
        return fs_error_set(err, FS_ERR_BUG, EINVAL, "an extent list without room");
    }
    while (at < diff->size && at - from <= SCAN_BYTES) {
        if (at < diff->exact_start || at >= diff->exact_end) {
            int rc = load_exact(diff, at, err);

            if (rc < 0) {
                return rc;
            }
        }
        *ret_count = hand_out(diff, at, ret_extents, capacity, &at);
        if (*ret_count > 0) {
            break;
        }
    }
    *ret_next = at;
    return 0;
}
