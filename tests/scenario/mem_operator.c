/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on groups in memory: the steps of snapshot/promote.c, without locks. */
#include "tests/scenario/mem_private.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct mem_store *store_of(struct fs_operator *operators)
{
    return (struct mem_store *)((char *)operators - offsetof(struct mem_store, operators));
}

bool mem_image_is_writable(const struct mem_image *image)
{
    return image->released || fs_uuid_is_zero(&image->owner);
}

bool mem_image_is_at(struct mem_image *image, uint64_t snap_id)
{
    return mem_content_equal(&image->head, &mem_image_snap(image, snap_id)->content);
}

/* --- promote --------------------------------------------------------------------------------- */

struct promote {
    struct mem_action action;
    struct fs_record *record;
    fs_sink_record_fn *done;
    void *arg;
};

static struct mem_image *image_of(struct promote *op, const struct fs_record_content *content)
{
    struct fs_record_volume *volume = fs_record_find_volume(op->record, &content->volume);

    return mem_store_find_ref(op->action.store, &volume->volume.image);
}

static void restore(struct mem_image *image, const struct fs_record_content *content)
{
    mem_content_fini(&image->head);
    mem_content_copy(&mem_image_snap(image, content->snap_id)->content, &image->head);
    image->geometry = content->geometry;
    mem_image_flush(image);
}

static bool hold_and_restore(struct promote *op, const struct fs_record_point *point)
{
    struct mem_store *store = op->action.store;

    for (size_t i = 0; i < point->n_contents; i++) {
        image_of(op, &point->contents[i])->released = false;
        if (mem_pass(store, "promote.held")) {
            return false;
        }
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        restore(image_of(op, &point->contents[i]), &point->contents[i]);
        if (mem_pass(store, "promote.restored")) {
            return false;
        }
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        if (mem_pass(store, "promote.stamped")) {
            return false;
        }
    }
    return !mem_pass(store, "promote.stored");
}

static bool release(struct promote *op, const struct fs_record_point *point, const char *step)
{
    for (size_t i = 0; i < point->n_contents; i++) {
        image_of(op, &point->contents[i])->released = true;
        if (mem_pass(op->action.store, step)) {
            return false;
        }
    }
    return true;
}

static void promote_steps(struct promote *op)
{
    struct mem_store *store = op->action.store;
    struct fs_record *record = op->record;
    const struct fs_record_point *point = fs_record_find_point(record, &record->promotion.point);
    bool lift = record->role == FS_ROLE_PRIMARY;

    if (!lift) {
        if (!hold_and_restore(op, point)) {
            return;
        }
        fs_record_become_primary(record);
        if (mem_record_store(store, record, &op->action.err) < 0 ||
            mem_pass(store, "promote.primary")) {
            return;
        }
    }
    if (!release(op, point, lift ? "promote.lifted" : "promote.released")) {
        return;
    }
    record->promotion = (struct fs_record_promotion){0};
    if (!mem_pass(store, "promote.forget") &&
        mem_record_store(store, record, &op->action.err) == 0) {
        (void)mem_pass(store, "promote.done");
    }
}

static void promote_finish(struct mem_action *action)
{
    struct promote *op = (struct promote *)action;

    if (!fs_error_is_set(&action->err)) {
        promote_steps(op);
        mem_died(action);
    }
    if (fs_error_is_set(&action->err)) { /* what is stored counts */
        struct fs_record *stored = mem_store_load(action->store, &op->record->group);
        fs_record_free(op->record);
        op->record = stored;
    }
    op->done(op->arg, op->record, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void operator_promote(struct fs_operator *operators, struct fs_record *record,
                             struct fs_doing *doing, fs_sink_record_fn *done, void *arg)
{
    struct promote *op = mem_alloc(1, sizeof(*op));

    atomic_store(&doing->what, "promoting in memory");
    op->record = record;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_PROMOTE, &op->action, promote_finish);
}

/* --- the log --------------------------------------------------------------------------------- */

struct log {
    struct mem_action action;
    char *text;
    fs_sink_io_fn *done;
    fs_history_fn *read;
    void *arg;
};

static void log_finish(struct mem_action *action)
{
    struct log *op = (struct log *)action;
    struct mem_store *store = action->store;
    const struct fs_error *err = fs_error_is_set(&action->err) ? &action->err : NULL;

    if (op->read) {
        op->read(op->arg, store->history, err ? 0 : store->n_history, err);
    } else {
        if (!err && store->n_history < FS_HISTORY_MAX) {
            store->history[store->n_history++] =
                (struct fs_history_entry){.wall_ns = fs_clock_wall(store->clock), .text = op->text};
            op->text = NULL;
        }
        op->done(op->arg, err);
    }
    free(op->text);
    free(op);
}

static void operator_log(struct fs_operator *operators, const struct fs_uuid *group,
                         const char *text, fs_sink_io_fn *done, void *arg)
{
    struct log *op = mem_alloc(1, sizeof(*op));

    (void)group;
    op->text = strdup(text);
    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_LOG, &op->action, log_finish);
}

static void operator_history(struct fs_operator *operators, const struct fs_uuid *group,
                             fs_history_fn *done, void *arg)
{
    struct log *op = mem_alloc(1, sizeof(*op));

    (void)group;
    op->read = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_LOG, &op->action, log_finish);
}

/* --- drills: a store in memory has none ---------------------------------------------------------
 */

struct drill {
    struct mem_action action;
    struct fs_drill drill;
    fs_drill_fn *done;
    fs_drills_fn *listed;
    void *arg;
};

static void drill_finish(struct mem_action *action)
{
    struct drill *op = (struct drill *)action;
    const struct fs_error *err = fs_error_is_set(&action->err) ? &action->err : NULL;

    if (op->listed) {
        op->listed(op->arg, NULL, 0, err);
    } else {
        fs_error_set(&action->err, FS_ERR_PERMANENT, ENOTSUP, "there are no clones in memory");
        op->done(op->arg, &op->drill, &action->err);
    }
    free(op);
}

static void start_drill(struct fs_operator *operators, const struct fs_drill *drill,
                        fs_drill_fn *done, void *arg)
{
    struct drill *op = mem_alloc(1, sizeof(*op));

    op->drill = *drill;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_LOG, &op->action, drill_finish);
}

static void operator_drill(struct fs_operator *operators, const struct fs_record *record,
                           const struct fs_drill *drill, fs_drill_fn *done, void *arg)
{
    (void)record;
    start_drill(operators, drill, done, arg);
}

static void operator_drills(struct fs_operator *operators, fs_drills_fn *done, void *arg)
{
    struct drill *op = mem_alloc(1, sizeof(*op));

    op->listed = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_LOG, &op->action, drill_finish);
}

const struct fs_operator_ops mem_operator_ops = {
    .promote = operator_promote,
    .log = operator_log,
    .history = operator_history,
    .drill = operator_drill,
    .end_drill = start_drill,
    .note_drill = start_drill,
    .drills = operator_drills,
};
