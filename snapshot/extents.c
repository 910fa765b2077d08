/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/extents.h"

#include <errno.h>
#include <stdlib.h>

void fs_extents_fini(struct fs_extents *extents)
{
    free(extents->items);
    *extents = FS_EXTENTS_INIT;
}

void fs_extents_clear(struct fs_extents *extents)
{
    extents->count = 0;
    extents->sorted = true;
}

static uint64_t extent_end(const struct fs_extent *extent)
{
    return extent->offset + extent->length;
}

/* Append, merging with the last one where they touch and are of one kind. */
static int append(struct fs_extents *extents, const struct fs_extent *extent)
{
    if (extents->count > 0) {
        struct fs_extent *last = &extents->items[extents->count - 1];

        if (extent_end(last) == extent->offset && last->kind == extent->kind) {
            last->length += extent->length;
            return 0;
        }
        if (extent_end(last) > extent->offset) {
            extents->sorted = false;
        }
    }
    if (extents->count == extents->capacity) {
        size_t capacity = extents->capacity ? 2 * extents->capacity : 64;
        struct fs_extent *items = reallocarray(extents->items, capacity, sizeof(*items));

        if (!items) {
            return -ENOMEM;
        }
        extents->items = items;
        extents->capacity = capacity;
    }
    extents->items[extents->count++] = *extent;
    return 0;
}

int fs_extents_add(struct fs_extents *extents, const struct fs_extent *extent, uint64_t low,
                   uint64_t high)
{
    uint64_t start = extent->offset > low ? extent->offset : low;
    uint64_t end = extent->length > UINT64_MAX - extent->offset ? UINT64_MAX : extent_end(extent);

    if (end > high) {
        end = high;
    }
    if (start >= end) {
        return 0;
    }
    return append(
        extents, &(struct fs_extent){.offset = start, .length = end - start, .kind = extent->kind});
}

static int compare_offsets(const void *a, const void *b)
{
    const struct fs_extent *left = a, *right = b;

    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* The union of the runs of one kind; items are sorted by offset. */
static int unite(const struct fs_extents *extents, enum fs_extent_kind kind,
                 struct fs_extents *result)
{
    uint64_t covered = 0;

    for (size_t i = 0; i < extents->count; i++) {
        const struct fs_extent *extent = &extents->items[i];
        uint64_t end = extent_end(extent);

        if (extent->kind == kind && end > covered) {
            int rc = fs_extents_add(result, extent, covered, end);

            if (rc < 0) {
                return rc;
            }
            covered = end;
        }
    }
    return 0;
}

/* Both are disjoint and ascending; what zero and data have in common is data. */
static int overlay(const struct fs_extents *data, const struct fs_extents *zero,
                   struct fs_extents *result)
{
    uint64_t data_end = 0;
    size_t next = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < zero->count; i++) {
        const struct fs_extent *hole = &zero->items[i];
        uint64_t at = hole->offset;

        while (rc == 0 && next < data->count && data->items[next].offset < extent_end(hole)) {
            at = at > data_end ? at : data_end;
            rc = fs_extents_add(result, hole, at, data->items[next].offset);
            if (rc == 0) {
                rc = append(result, &data->items[next]);
            }
            data_end = extent_end(&data->items[next++]);
        }
        if (rc == 0) {
            rc = fs_extents_add(result, hole, at > data_end ? at : data_end, extent_end(hole));
        }
    }
    while (rc == 0 && next < data->count) {
        rc = append(result, &data->items[next++]);
    }
    return rc;
}

int fs_extents_normalize(struct fs_extents *extents)
{
    if (extents->sorted) {
        return 0;
    }
    qsort(extents->items, extents->count, sizeof(*extents->items), compare_offsets);

    struct fs_extents data = FS_EXTENTS_INIT, zero = FS_EXTENTS_INIT, result = FS_EXTENTS_INIT;
    int rc = unite(extents, FS_EXTENT_DATA, &data);

    if (rc == 0) {
        rc = unite(extents, FS_EXTENT_ZERO, &zero);
    }
    if (rc == 0) {
        rc = overlay(&data, &zero, &result);
    }
    fs_extents_fini(&data);
    fs_extents_fini(&zero);
    if (rc < 0) {
        fs_extents_fini(&result);
        return rc;
    }
    fs_extents_fini(extents);
    *extents = result;
    return 0;
}
