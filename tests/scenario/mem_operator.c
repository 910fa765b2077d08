/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on groups in memory: the steps of snapshot/promote.c and follow.c, without locks. */
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

void mem_image_use(struct mem_image *image, bool in_use)
{
    image->in_use = in_use;
}

uint64_t mem_image_left(const struct mem_image *image)
{
    return image->left;
}

void mem_image_read_left(struct mem_image *image, uint64_t offset, void *data, uint64_t length)
{
    mem_content_read(&mem_image_snap(image, image->left)->content, offset, data, length);
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

static bool is_unused(struct mem_store *store, const struct fs_record *record, struct fs_error *err)
{
    for (size_t i = 0; i < record->n_volumes; i++) {
        const struct mem_image *image = mem_store_find_ref(store, &record->volumes[i].volume.image);
        if (!record->volumes[i].gone && image && image->in_use) {
            fs_error_set(err, FS_ERR_TRANSIENT, EBUSY, "a client has %s open", image->ref.name);
            return false;
        }
    }
    return true;
}

static bool holds_newest(struct mem_image *image, const struct fs_record *record,
                         const struct fs_uuid *volume)
{
    const struct fs_record_point *newest = fs_record_newest_committed(record);
    const struct fs_record_content *content =
        newest ? fs_record_find_content(newest, volume) : NULL;

    return content && mem_image_snap(image, content->snap_id) &&
           mem_image_is_at(image, content->snap_id);
}

/* Of an image that was its users': a head that nobody else has. */
static void keep_head(struct mem_store *store, struct mem_image *image)
{
    struct fs_uuid id;

    fs_uuid_random(&id);
    if (!image->left || !mem_image_is_at(image, image->left)) {
        image->left = mem_image_take_snap(image, &id);
        mem_pass(store, "left.kept");
    }
}

static bool hold_and_restore(struct promote *op, const struct fs_record_point *point)
{
    struct mem_store *store = op->action.store;
    bool from_users = op->record->following.present;

    if (from_users && !is_unused(store, op->record, &op->action.err)) {
        return false;
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        image_of(op, &point->contents[i])->released = false;
        if (mem_pass(store, "promote.held")) {
            return false;
        }
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        struct mem_image *image = image_of(op, &point->contents[i]);
        if (from_users && !image->believed &&
            !holds_newest(image, op->record, &point->contents[i].volume)) {
            keep_head(store, image);
            if (store->crashed) {
                return false;
            }
        }
        restore(image, &point->contents[i]);
        image->believed = true;
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
        image_of(op, &point->contents[i])->believed = false;
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

/* --- follow ---------------------------------------------------------------------------------- */

struct follow {
    struct mem_action action;
    struct fs_record *record;
    struct fs_follow_request request;
    size_t kept;
    fs_follow_fn *done;
    void *arg;
};

/* Keep what the images hold beyond the newest point, and say so in the record. */
static void keep_aside(struct follow *op, bool compare)
{
    struct fs_record *record = op->record;
    struct fs_record_incoming incoming = {
        .positions = mem_alloc(FS_VOLUMES_MAX, sizeof(*incoming.positions))};
    bool resync = compare || fs_record_is_resync(record);

    for (size_t i = 0; i < record->n_volumes; i++) {
        const struct fs_uuid *volume = &record->volumes[i].volume.uuid;
        struct mem_image *image =
            mem_store_find_ref(op->action.store, &record->volumes[i].volume.image);
        if (record->volumes[i].gone || !image) {
            continue;
        }
        uint64_t reach = 0;
        for (size_t k = 0; record->incoming.present && k < record->incoming.n_positions; k++) {
            if (fs_uuid_equal(&record->incoming.positions[k].volume, volume)) {
                reach = record->incoming.positions[k].reach;
            }
        }
        if (!image->believed && !holds_newest(image, record, volume)) {
            reach = INT64_MAX;
            keep_head(op->action.store, image);
        }
        op->kept += reach > 0;
        incoming.present = incoming.present || reach > 0;
        incoming.positions[incoming.n_positions].volume = *volume;
        incoming.positions[incoming.n_positions++].reach = reach;
    }
    fs_record_clear_incoming(record);
    if (!incoming.present && !resync) {
        free(incoming.positions);
        return;
    }
    record->incoming = incoming;
    record->incoming.present = true;
    fs_uuid_random(&record->incoming.point.id);
    if (resync) {
        record->incoming.base = record->incoming.point.id;
    }
}

static void follow_steps(struct follow *op)
{
    struct mem_store *store = op->action.store;
    struct fs_record *record = op->record;

    if (!record->following.present) {
        fs_record_become_secondary(record, &op->request.term);
    }
    if (!is_unused(store, record, &op->action.err) || mem_pass(store, "follow.held")) {
        return;
    }
    keep_aside(op, op->request.compare);
    if (store->crashed || mem_pass(store, "follow.store") ||
        mem_record_store(store, record, &op->action.err) < 0 || mem_pass(store, "follow.stored")) {
        return;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        struct mem_image *image = mem_store_find_ref(store, &record->volumes[i].volume.image);
        if (record->volumes[i].gone || !image) {
            continue;
        }
        image->owner = record->group;
        image->released = false;
        if (mem_pass(store, "follow.stamped")) {
            return;
        }
        image->believed = true;
        if (mem_pass(store, "follow.marked")) {
            return;
        }
    }
    record->following = (struct fs_record_following){0};
    if (mem_record_store(store, record, &op->action.err) == 0) {
        (void)mem_pass(store, "follow.done");
    }
}

static void follow_finish(struct mem_action *action)
{
    struct follow *op = (struct follow *)action;

    if (!fs_error_is_set(&action->err)) {
        follow_steps(op);
        mem_died(action);
    }
    if (fs_error_is_set(&action->err)) { /* what is stored counts */
        struct fs_record *stored = mem_store_load(action->store, &op->record->group);
        fs_record_free(op->record);
        op->record = stored;
    }
    op->done(op->arg, op->record, op->kept, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void operator_follow(struct fs_operator *operators, struct fs_record *record,
                            const struct fs_follow_request *request, struct fs_doing *doing,
                            fs_follow_fn *done, void *arg)
{
    struct follow *op = mem_alloc(1, sizeof(*op));

    atomic_store(&doing->what, "following in memory");
    op->record = record;
    op->request = *request;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_FOLLOW, &op->action, follow_finish);
}

/* --- demote ---------------------------------------------------------------------------------- */

struct demote {
    struct mem_action action;
    struct fs_record *record;
    fs_sink_record_fn *done;
    fs_sink_io_fn *looked; /* only to look whether the images are unused */
    void *arg;
};

static void demote_steps(struct demote *op)
{
    struct mem_store *store = op->action.store;
    struct fs_record *record = op->record;

    if (!is_unused(store, record, &op->action.err) || op->looked ||
        mem_pass(store, "demote.held")) {
        return;
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        struct mem_image *image = mem_store_find_ref(store, &record->volumes[i].volume.image);
        if (record->volumes[i].gone || !image) {
            continue;
        }
        if (!holds_newest(image, record, &record->volumes[i].volume.uuid)) {
            fs_error_set(&op->action.err, FS_ERR_PERMANENT, EUCLEAN, "%s was written to",
                         image->ref.name);
            return;
        }
        image->owner = record->group;
        image->released = false;
        image->believed = true;
        if (mem_pass(store, "demote.marked")) {
            return;
        }
    }
}

static void demote_finish(struct mem_action *action)
{
    struct demote *op = (struct demote *)action;
    const struct fs_error *err;

    if (!fs_error_is_set(&action->err)) {
        demote_steps(op);
        mem_died(action);
    }
    err = fs_error_is_set(&action->err) ? &action->err : NULL;
    if (op->looked) {
        op->looked(op->arg, err);
        fs_record_free(op->record);
    } else {
        op->done(op->arg, op->record, err);
    }
    free(op);
}

static void operator_demote(struct fs_operator *operators, struct fs_record *record,
                            struct fs_doing *doing, fs_sink_record_fn *done, void *arg)
{
    struct demote *op = mem_alloc(1, sizeof(*op));

    (void)doing;
    op->record = record;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_DEMOTE, &op->action, demote_finish);
}

static void operator_unused(struct fs_operator *operators, const struct fs_record *record,
                            struct fs_doing *doing, fs_sink_io_fn *done, void *arg)
{
    struct demote *op = mem_alloc(1, sizeof(*op));

    (void)doing;
    op->record = fs_record_copy(record);
    op->looked = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_UNUSED, &op->action, demote_finish);
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

/* --- fencing: nobody but the tests uses the images in memory ------------------------------------
 */

void mem_store_set_users(struct mem_store *store, const struct fs_fence *users, size_t count)
{
    store->users = users;
    store->n_users = count;
}

struct fence {
    struct mem_action action;
    fs_fences_fn *done;
    void *arg;
};

static void fence_finish(struct mem_action *action)
{
    struct fence *op = (struct fence *)action;
    bool failed = fs_error_is_set(&action->err);
    bool shows = action->kind == MEM_OP_FENCE_LOOK && !failed;

    op->done(op->arg, shows ? action->store->users : NULL, shows ? action->store->n_users : 0, true,
             failed ? &action->err : NULL);
    free(op);
}

static void start_fence(struct fs_operator *operators, enum mem_op kind, fs_fences_fn *done,
                        void *arg)
{
    struct fence *op = mem_alloc(1, sizeof(*op));

    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), kind, &op->action, fence_finish);
}

static void operator_fences(struct fs_operator *operators, fs_fences_fn *done, void *arg)
{
    start_fence(operators, MEM_OP_LOG, done, arg);
}

static void operator_unfence(struct fs_operator *operators, const struct fs_fence_order *order,
                             fs_fences_fn *done, void *arg)
{
    (void)order;
    start_fence(operators, MEM_OP_LOG, done, arg);
}

static void operator_fence_look(struct fs_operator *operators, const struct fs_fence_order *order,
                                fs_fences_fn *done, void *arg)
{
    (void)order;
    start_fence(operators, MEM_OP_FENCE_LOOK, done, arg);
}

static void operator_fence(struct fs_operator *operators, const struct fs_fence_order *order,
                           struct fs_doing *doing, fs_fences_fn *done, void *arg)
{
    (void)order;
    (void)doing;
    start_fence(operators, MEM_OP_FENCE, done, arg);
}

/* What was kept aside is looked at through mem_image_left. */
static void operator_left(struct fs_operator *operators, const struct fs_record *record,
                          fs_left_fn *done, void *arg)
{
    (void)operators;
    (void)record;
    (void)done;
    (void)arg;
    abort();
}

static void operator_discard(struct fs_operator *operators, struct fs_record *record,
                             const char *name, fs_sink_record_fn *done, void *arg)
{
    (void)operators;
    (void)record;
    (void)name;
    (void)done;
    (void)arg;
    abort();
}

/* --- forget ---------------------------------------------------------------------------------- */

/* False where the site died. */
static bool forget_image(struct mem_store *store, struct mem_image *image)
{
    while (image->n_snaps > 0) {
        mem_image_drop_snap(image, image->snaps[0]->id);
    }
    if (mem_pass(store, "forget.pruned")) {
        return false;
    }
    image->owner = (struct fs_uuid){0};
    image->released = true;
    image->believed = false;
    return !mem_pass(store, "forget.unstamped");
}

static void forget_steps(struct promote *op)
{
    struct mem_store *store = op->action.store;
    struct fs_record *record = op->record;

    for (size_t i = 0; i < record->n_volumes; i++) {
        struct mem_image *image = mem_store_find_ref(store, &record->volumes[i].volume.image);
        if (image && image->left) {
            fs_error_set(&op->action.err, FS_ERR_PERMANENT, EBUSY, "something was kept aside");
            return;
        }
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        struct mem_image *image = mem_store_find_ref(store, &record->volumes[i].volume.image);
        if (image && fs_uuid_equal(&image->owner, &record->group) && !forget_image(store, image)) {
            return;
        }
    }
    if (!mem_pass(store, "forget.record")) {
        mem_record_remove(store, &record->group);
        while (record->n_points > 0) {
            const struct fs_uuid id = record->points[0].point.id;
            fs_record_remove_point(record, &id);
        }
        record->version = 0;
    }
}

static void forget_finish(struct mem_action *action)
{
    struct promote *op = (struct promote *)action;

    if (!fs_error_is_set(&action->err)) {
        forget_steps(op);
        mem_died(action);
    }
    op->done(op->arg, op->record, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void operator_forget(struct fs_operator *operators, struct fs_record *record,
                            struct fs_doing *doing, fs_sink_record_fn *done, void *arg)
{
    struct promote *op = mem_alloc(1, sizeof(*op));

    (void)doing;
    op->record = record;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(operators), MEM_OP_FORGET, &op->action, forget_finish);
}

const struct fs_operator_ops mem_operator_ops = {
    .left = operator_left,
    .discard = operator_discard,
    .forget = operator_forget,
    .promote = operator_promote,
    .follow = operator_follow,
    .demote = operator_demote,
    .unused = operator_unused,
    .log = operator_log,
    .history = operator_history,
    .drill = operator_drill,
    .end_drill = start_drill,
    .note_drill = start_drill,
    .drills = operator_drills,
    .fence_look = operator_fence_look,
    .fence = operator_fence,
    .unfence = operator_unfence,
    .fences = operator_fences,
};
