/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two windows slide over the image. The coarse one holds the changed objects of up to
 * COARSE_OBJECTS objects: one fast diff reads whole object maps, whatever the range, so it must
 * not be asked often; and its result is small. The exact one holds the changed extents of up to
 * EXACT_BYTES of changed objects, which bounds its memory even if every second sector changed.
 *
 * Windows end where an object set ends, so that with fancy striping too every object is asked in
 * one go and once.
 */
#include "snapshot/diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COARSE_OBJECTS 65536u
#define EXACT_BYTES    (UINT64_C(64) << 20)
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
                             .object_size = info.obj_size,
                             .period = info.obj_size * stripe_count,
                             .fast = fast,
                             .coarse = FS_EXTENTS_INIT,
                             .exact = FS_EXTENTS_INIT};
    snprintf(diff->from, sizeof(diff->from), "%s", from ? from : "");
    return 0;
}

void fs_diff_fini(struct fs_diff *diff)
{
    fs_extents_fini(&diff->coarse);
    fs_extents_fini(&diff->exact);
}

struct collect {
    struct fs_extents *extents;
    uint64_t low, high;
    bool whole_object;
};

static int collect_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    struct collect *collect = arg;
    struct fs_extent extent = {.offset = offset,
                               .length = length,
                               .kind = exists || collect->whole_object ? FS_EXTENT_DATA
                                                                       : FS_EXTENT_ZERO};

    return fs_extents_add(collect->extents, &extent, collect->low, collect->high);
}

/* Add what librbd says about [start, end). */
static int iterate(struct fs_diff *diff, uint64_t start, uint64_t end, bool whole_object,
                   struct fs_extents *extents, struct fs_error *err)
{
    struct collect collect = {
        .extents = extents, .low = start, .high = end, .whole_object = whole_object};
    bool first = diff->from[0] == '\0';
    int rc = rbd_diff_iterate2(diff->handle, first ? NULL : diff->from, start, end - start, first,
                               whole_object, collect_cb, &collect);

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

/* Make the coarse window hold `at`. */
static int load_coarse(struct fs_diff *diff, uint64_t at, struct fs_error *err)
{
    if (at >= diff->coarse_start && at < diff->coarse_end) {
        return 0;
    }

    uint64_t start = round_down(at, diff->period);
    uint64_t end =
        round_up_clipped(start + COARSE_OBJECTS * diff->object_size, diff->period, diff->size);
    int rc;

    fs_extents_clear(&diff->coarse);
    diff->coarse_start = diff->coarse_end = 0;
    if (diff->fast) {
        rc = iterate(diff, start, end, true, &diff->coarse, err);
    } else {
        struct fs_extent all = {.offset = start, .length = end - start};

        rc = fs_extents_add(&diff->coarse, &all, start, end);
        if (rc < 0) {
            fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of extents");
        }
    }
    if (rc == 0) {
        rc = normalize(&diff->coarse, err);
    }
    if (rc == 0) {
        diff->coarse_start = start;
        diff->coarse_end = end;
    }
    return rc;
}

/* The first changed object at or after `at` in the coarse window; false where there is none. */
static bool next_coarse(const struct fs_diff *diff, uint64_t at, uint64_t *ret_start,
                        uint64_t *ret_end)
{
    size_t low = 0, high = diff->coarse.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct fs_extent *extent = &diff->coarse.items[middle];

        if (extent->offset + extent->length <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == diff->coarse.count) {
        return false;
    }

    const struct fs_extent *extent = &diff->coarse.items[low];

    *ret_start = extent->offset > at ? extent->offset : at;
    *ret_end = extent->offset + extent->length;
    return true;
}

/*
 * Fill the exact window from `at` on. Changed objects are rounded to whole object sets: with fancy
 * striping one object is many runs of the image, and asking for each alone would list its
 * snapshots as often.
 */
static int load_exact(struct fs_diff *diff, uint64_t at, struct fs_error *err)
{
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
        if (budget == 0) {
            cursor = start; /* nothing changed up to here */
            break;
        }
        end = round_up_clipped(end, diff->period, diff->coarse_end);
        if (end - start > budget) {
            end = round_up_clipped(start + budget, diff->period, end);
        }
        rc = iterate(diff, start, end, false, &diff->exact, err);
        if (rc < 0) {
            return rc;
        }
        budget -= budget < end - start ? budget : end - start;
        cursor = end;
    }
    rc = normalize(&diff->exact, err);
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
