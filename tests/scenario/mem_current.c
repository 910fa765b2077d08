/* SPDX-License-Identifier: Apache-2.0 */
/* Moments until which groups are known to be unchanged, in memory. */
#include <stddef.h>
#include <stdlib.h>

#include "tests/scenario/mem_private.h"

struct note {
    struct mem_action action;
    size_t count;
    struct fs_current *entries;
    fs_sink_io_fn *done;
    void *arg;
};

static void note_finish(struct mem_action *action)
{
    struct note *op = (struct note *)action;
    if (!fs_error_is_set(&action->err)) {
        mem_pass(action->store, "current.note");
        mem_died(action);
    }
    for (size_t i = 0; i < op->count && !fs_error_is_set(&action->err); i++) {
        const struct fs_current *entry = &op->entries[i];
        struct fs_record **slot = mem_record_slot(action->store, &entry->group);
        const struct fs_record_point *newest = slot ? fs_record_newest_committed(*slot) : NULL;
        if (newest && fs_uuid_equal(&newest->point.id, &entry->point) &&
            entry->current_until_ns > (*slot)->current_until_ns) {
            (*slot)->current_until_ns = entry->current_until_ns;
        }
    }
    if (!fs_error_is_set(&action->err)) {
        mem_pass(action->store, "current.noted");
        mem_died(action);
    }
    op->done(op->arg, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op->entries);
    free(op);
}

void mem_sink_note_current(struct fs_sink *sink, const struct fs_current *entries, size_t count,
                           fs_sink_io_fn *done, void *arg)
{
    struct mem_store *store = (struct mem_store *)((char *)sink - offsetof(struct mem_store, sink));
    struct note *op = mem_alloc(1, sizeof(*op));
    op->count = count;
    op->entries = mem_alloc(count + 1, sizeof(*entries));
    memcpy(op->entries, entries, count * sizeof(*entries));
    op->done = done;
    op->arg = arg;
    mem_start(store, MEM_OP_NOTE_CURRENT, &op->action, note_finish);
}
