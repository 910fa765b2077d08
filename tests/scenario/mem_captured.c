/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes objects of points, in memory. */
#include <stdlib.h>

#include "tests/scenario/mem_private.h"

struct mem_captured *mem_captured_find(const struct mem_store *store, const struct fs_uuid *group,
                                       const struct fs_captured *captured)
{
    struct mem_captured *kept = store->captured;
    while (kept &&
           !(fs_uuid_equal(&kept->group, group) && fs_captured_same(&kept->captured, captured))) {
        kept = kept->next;
    }
    return kept;
}

void mem_captured_keep(struct mem_store *store, const struct fs_uuid *group,
                       const struct fs_captured *captured, const struct fs_buf *packed)
{
    struct mem_captured *kept = mem_captured_find(store, group, captured);
    if (!kept) {
        kept = mem_alloc(1, sizeof(*kept));
        kept->group = *group;
        kept->captured = *captured;
        kept->next = store->captured;
        store->captured = kept;
    }
    kept->packed.length = 0;
    fs_buf_put(&kept->packed, packed->data, packed->length);
}

static bool is_named(const struct fs_record *record, const struct fs_captured *captured)
{
    for (size_t i = 0; i < record->n_points; i++) {
        if (fs_captured_same(&record->points[i].objects, captured)) {
            return true;
        }
    }
    return false;
}

static void drop(struct mem_captured **link)
{
    struct mem_captured *kept = *link;
    *link = kept->next;
    fs_buf_fini(&kept->packed);
    free(kept);
}

void mem_captured_sweep(struct mem_store *store, const struct fs_record *record)
{
    struct mem_captured **link = &store->captured;
    while (*link) {
        if (fs_uuid_equal(&(*link)->group, &record->group) &&
            !is_named(record, &(*link)->captured)) {
            drop(link);
            if (mem_pass(store, "objects.removed")) {
                return;
            }
        } else {
            link = &(*link)->next;
        }
    }
}

size_t mem_store_count_captured(const struct mem_store *store)
{
    size_t count = 0;
    for (const struct mem_captured *kept = store->captured; kept; kept = kept->next) {
        count++;
    }
    return count;
}

char *mem_store_captured(const struct mem_store *store, const struct fs_uuid *group,
                         const struct fs_uuid *point)
{
    struct fs_record *record = mem_store_load(store, group);
    const struct fs_record_point *found = record ? fs_record_find_point(record, point) : NULL;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf text = FS_BUF_INIT;
    if (found && found->objects.size > 0) {
        const struct mem_captured *kept = mem_captured_find(store, group, &found->objects);
        if (kept) {
            (void)fs_captured_unpack(&found->objects, kept->packed.data, kept->packed.length, &text,
                                     &err);
        }
    }
    fs_record_free(record);
    return (char *)text.data;
}

void mem_store_lose_captured(struct mem_store *store, bool damage)
{
    for (struct mem_captured *kept = store->captured; damage && kept; kept = kept->next) {
        kept->packed.data[kept->packed.length - 1] ^= 1;
    }
    while (!damage && store->captured) {
        drop(&store->captured);
    }
}
