/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/mem_private.h"

#include <assert.h>
#include <stdlib.h>

#define SECTOR      512u /* what diffs are exact to */
#define SCAN_WINDOW (16u << 20)

/* --- take ------------------------------------------------------------------------------------ */

struct take {
    struct mem_action action;
    struct fs_record *record;
    struct fs_uuid base;
    bool has_base, force, prepare, prepared, volume_missing;
    int64_t application_until_ns;
    struct fs_captured objects;
    struct fs_buf packed;
    fs_take_fn *done;
    void *arg;
};

static struct mem_image *image_of(struct mem_store *store, struct fs_record *record,
                                  const struct fs_uuid *uuid)
{
    struct fs_record_volume *volume = fs_record_find_volume(record, uuid);
    return volume ? mem_store_find_ref(store, &volume->volume.image) : NULL;
}

/* False where the process died of it. */
static bool drop_point(struct mem_store *store, struct fs_record *record,
                       const struct fs_record_point *point, const char *step)
{
    struct fs_uuid id = point->point.id;
    for (size_t i = 0; i < point->n_contents; i++) {
        struct mem_image *image = image_of(store, record, &point->contents[i].volume);
        if (image) {
            mem_image_drop_point(image, &id);
            if (mem_pass(store, "helper.removed")) {
                return false;
            }
        }
    }
    if (mem_pass(store, step)) {
        return false;
    }
    fs_record_remove_point(record, &id);
    return true;
}

static bool drop_half_taken(struct mem_store *store, struct fs_record *record)
{
    for (size_t i = record->n_points; i-- > 0;) {
        if (record->points[i].state == FS_POINT_TAKING &&
            !drop_point(store, record, &record->points[i], "take.pruned")) {
            return false;
        }
    }
    return true;
}

static bool unchanged(struct take *take)
{
    const struct fs_record_point *base =
        take->has_base ? fs_record_find_point(take->record, &take->base) : NULL;
    size_t members = 0;
    if (!base || take->force || !fs_captured_same(&base->objects, &take->objects)) {
        return false;
    }
    for (size_t i = 0; i < take->record->n_volumes; i++) {
        const struct fs_record_volume *volume = &take->record->volumes[i];
        const struct fs_record_content *content =
            fs_record_find_content(base, &volume->volume.uuid);
        struct mem_image *image = mem_store_find_ref(take->action.store, &volume->volume.image);
        if (volume->gone) {
            continue;
        }
        struct mem_snap *snap = image && content ? mem_image_snap(image, content->snap_id) : NULL;
        if (!snap || snap->generation != image->generation) {
            return false;
        }
        members++;
    }
    return members == base->n_contents;
}

/* stop: how many steps to get to before the process dies; steps are: the point is recorded, each
 * snapshot, the point is complete. */
static int stopped(struct fs_error *err)
{
    return fs_error_set(err, FS_ERR_TRANSIENT, EIO, "the take stopped");
}

static int snapshot_point(struct take *take, uint64_t stop, struct fs_error *err)
{
    struct mem_store *store = take->action.store;
    struct fs_record *record = take->record;
    struct fs_record_point *point = &record->points[record->n_points - 1];
    assert(point->state == FS_POINT_TAKING);
    for (size_t i = 0; i < point->n_contents; i++) {
        struct mem_image *image = image_of(store, record, &point->contents[i].volume);
        if (stop-- == 0) {
            return stopped(err);
        }
        point->contents[i].geometry = image->geometry;
        point->contents[i].geometry.size = image->head.size;
        point->contents[i].snap_id = mem_image_take_snap(image, &point->point.id);
        point->contents[i].mark_id = point->contents[i].snap_id;
    }
    if (stop == 0 || mem_pass(store, "take.answered")) {
        return stopped(err);
    }
    point->taken_ns = fs_clock_wall(store->clock);
    if (fs_clock_boot(store->clock) < take->application_until_ns) {
        point->flags |= FS_POINT_APPLICATION;
    }
    point->state = FS_POINT_COMPLETE;
    int rc = mem_record_store(store, record, err);
    return rc == 0 && mem_pass(store, "take.complete") ? stopped(err) : rc;
}

static int take_point(struct take *take, uint64_t stop, struct fs_error *err)
{
    struct mem_store *store = take->action.store;
    struct fs_record *record = take->record;
    size_t members = 0, n = 0;
    if (take->prepared) {
        return snapshot_point(take, stop, err);
    }
    if (!drop_half_taken(store, record)) {
        return stopped(err);
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone) {
            members++;
            if (!mem_store_find_ref(store, &record->volumes[i].volume.image)) {
                return fs_error_set(err, FS_ERR_TRANSIENT, ENOENT, "image %s is not there",
                                    record->volumes[i].volume.image.name);
            }
        }
    }
    if (take->packed.length > 0) {
        mem_captured_keep(store, &record->group, &take->objects, &take->packed);
        if (mem_pass(store, "objects.kept")) {
            return stopped(err);
        }
    }
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone) {
            mem_store_find_ref(store, &record->volumes[i].volume.image)->beside =
                fs_uuid_is_zero(&record->joins) ? record->joins : record->group;
        }
    }
    struct fs_record_point *point = fs_record_add_point(record, members);
    if (!point) {
        abort();
    }
    fs_uuid_random(&point->point.id);
    point->point.term = record->term;
    point->point.seq = record->next_seq++;
    point->state = FS_POINT_TAKING;
    point->objects = take->objects;
    point->flags = take->volume_missing ? FS_POINT_VOLUME_MISSING : 0;
    for (size_t i = 0; i < record->n_volumes; i++) {
        if (!record->volumes[i].gone) {
            point->contents[n++].volume = record->volumes[i].volume.uuid;
        }
    }
    if (stop-- == 0 || mem_record_store(store, record, err) < 0 || mem_pass(store, "take.seq")) {
        return stopped(err);
    }
    return take->prepare ? 0 : snapshot_point(take, stop, err);
}

static void take_finish(struct mem_action *action)
{
    struct take *take = (struct take *)action;
    struct fs_take_result result = {.err = action->err};
    if (fs_error_is_set(&action->err)) { /* it may have got anywhere */
        struct fs_error ignored = FS_ERROR_INIT;
        if (!action->store->crashed) {
            take_point(take, mem_random(action->store) % 4, &ignored);
            if (action->dying) {
                mem_store_crash(action->store);
            }
        }
    } else if (!take->prepared && unchanged(take)) {
        result.outcome = FS_TAKE_UNCHANGED;
    } else if (take_point(take, UINT64_MAX, &result.err) == 0) {
        result.outcome = take->prepare ? FS_TAKE_PREPARED : FS_TAKE_POINT;
        result.pause_ns = 50 * FS_MSEC;
    }
    result.record = take->record;
    take->done(take->arg, &result);
    fs_buf_fini(&take->packed);
    free(take);
}

static void start_take(struct fs_source *source, const struct fs_take_request *request,
                       bool prepared, fs_take_fn *done, void *arg)
{
    struct take *take = mem_alloc(1, sizeof(*take));
    take->record = request->record;
    take->has_base = request->base && !fs_uuid_is_zero(request->base);
    if (take->has_base) {
        take->base = *request->base;
    }
    take->force = request->force;
    take->objects = request->objects;
    if (request->packed) {
        fs_buf_put(&take->packed, request->packed->data, request->packed->length);
    }
    take->prepare = request->prepare;
    take->volume_missing = request->volume_missing;
    take->prepared = prepared;
    take->application_until_ns = request->application_until_ns;
    take->done = done;
    take->arg = arg;
    mem_start((struct mem_store *)source, MEM_OP_TAKE, &take->action, take_finish);
}

static void source_take(struct fs_source *source, const struct fs_take_request *request,
                        fs_take_fn *done, void *arg)
{
    start_take(source, request, false, done, arg);
}

static void source_snapshot(struct fs_source *source, const struct fs_take_request *request,
                            fs_take_fn *done, void *arg)
{
    start_take(source, request, true, done, arg);
}

/* --- settle and store ------------------------------------------------------------------------ */

struct keep {
    struct mem_action action;
    struct fs_record *record;
    struct fs_uuid committed;
    int64_t current_until_ns;
    size_t n_agreed;
    struct fs_digest agreed[FS_VOLUMES_MAX];
    fs_record_fn *done;
    void *arg;
};

/* As far as the process lives. */
static void settle_record(struct keep *keep)
{
    struct mem_store *store = keep->action.store;
    struct fs_record *record = keep->record;
    struct fs_record_point *point = fs_record_find_point(record, &keep->committed);
    if (!point) {
        fs_error_set(&keep->action.err, FS_ERR_BUG, ENOENT, "no such point to settle");
        return;
    }
    point->state = FS_POINT_COMMITTED;
    fs_record_end_seeds(record, point);
    for (size_t i = 0; i < point->n_contents; i++) {
        point->contents[i].chain = keep->agreed[i];
    }
    if (keep->current_until_ns > record->current_until_ns) {
        record->current_until_ns = keep->current_until_ns;
    }
    if (mem_record_store(store, record, &keep->action.err) < 0 ||
        mem_pass(store, "settle.committed")) {
        return;
    }
    for (size_t i = record->n_points; i-- > 0;) {
        if (record->points[i].point.seq < point->point.seq &&
            record->points[i].state != FS_POINT_SEED &&
            !fs_record_needs_point(record, &record->points[i].point.id)) {
            if (!drop_point(store, record, &record->points[i], "settle.gone")) {
                return;
            }
            point = fs_record_find_point(record, &keep->committed);
        }
    }
    mem_captured_sweep(store, record);
    if (store->crashed) {
        return;
    }
    mem_record_store(store, record, &keep->action.err);
    mem_pass(store, "settle.stored");
}

static void keep_finish(struct mem_action *action)
{
    struct keep *keep = (struct keep *)action;
    if (!fs_error_is_set(&action->err) && action->kind == MEM_OP_SETTLE) {
        settle_record(keep);
    } else if (!fs_error_is_set(&action->err)) {
        mem_record_store(action->store, keep->record, &action->err);
    }
    mem_died(action);
    keep->done(keep->arg, keep->record, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(keep);
}

static void source_settle(struct fs_source *source, struct fs_record *record,
                          const struct fs_uuid *committed, const struct fs_digest *agreed,
                          int64_t current_until_ns, fs_record_fn *done, void *arg)
{
    struct keep *keep = mem_alloc(1, sizeof(*keep));
    const struct fs_record_point *point = fs_record_find_point(record, committed);
    keep->record = record;
    keep->committed = *committed;
    keep->current_until_ns = current_until_ns;
    keep->n_agreed = point ? point->n_contents : 0;
    if (agreed) {
        memcpy(keep->agreed, agreed, keep->n_agreed * sizeof(*agreed));
    }
    keep->done = done;
    keep->arg = arg;
    mem_start((struct mem_store *)source, MEM_OP_SETTLE, &keep->action, keep_finish);
}

static void source_store(struct fs_source *source, struct fs_record *record, fs_record_fn *done,
                         void *arg)
{
    struct keep *keep = mem_alloc(1, sizeof(*keep));
    keep->record = record;
    keep->done = done;
    keep->arg = arg;
    mem_start((struct mem_store *)source, MEM_OP_STORE, &keep->action, keep_finish);
}

/* --- release --------------------------------------------------------------------------------- */

struct release {
    struct mem_action action;
    struct fs_record *record;
    bool whole, removed_only;
    fs_record_fn *done;
    void *arg;
};

static bool leaves(struct release *release, const struct fs_record_content *content)
{
    struct fs_record_volume *volume = fs_record_find_volume(release->record, &content->volume);
    struct mem_image *image = mem_store_find_ref(release->action.store, &volume->volume.image);
    return (release->whole || volume->gone) && content->snap_id &&
           (!release->removed_only || !image || image->trashed);
}

/* False where the process died of it. */
static bool release_content(struct release *release, struct fs_record_point *point, size_t i)
{
    struct mem_store *store = release->action.store;
    struct mem_image *image = image_of(store, release->record, &point->contents[i].volume);
    if (image) {
        mem_image_drop_point(image, &point->point.id);
        if (mem_pass(store, "helper.removed")) {
            return false;
        }
    }
    point->contents[i].snap_id = point->contents[i].mark_id = 0;
    return true;
}

static void release_record(struct release *release)
{
    struct mem_store *store = release->action.store;
    struct fs_record *record = release->record;
    bool ending = false, changed = false;
    for (size_t p = 0; p < record->n_points; p++) {
        struct fs_record_point *point = &record->points[p];
        size_t leaving = 0, stay = 0;
        for (size_t i = 0; i < point->n_contents; i++) {
            bool left = leaves(release, &point->contents[i]);
            leaving += left;
            stay += !left && point->contents[i].snap_id;
        }
        if (leaving > 0 && (stay == 0 || point->state != FS_POINT_COMMITTED)) {
            point->state = FS_POINT_TAKING;
            ending = true;
        }
    }
    if (ending && mem_record_store(store, record, &release->action.err) < 0) {
        return;
    }
    for (size_t p = record->n_points; p-- > 0;) {
        struct fs_record_point *point = &record->points[p];
        struct fs_uuid id = point->point.id;
        for (size_t i = point->n_contents; i-- > 0;) {
            if (point->state == FS_POINT_TAKING || leaves(release, &point->contents[i])) {
                changed = true;
                if (!release_content(release, point, i)) {
                    return;
                }
            }
        }
        if (changed && mem_pass(store, "release.gone")) {
            return;
        }
        if (point->state == FS_POINT_TAKING) {
            fs_record_remove_point(record, &id);
        }
    }
    if (changed && mem_record_store(store, record, &release->action.err) == 0) {
        mem_pass(store, "release.stored");
    }
}

static void release_finish(struct mem_action *action)
{
    struct release *release = (struct release *)action;
    if (!fs_error_is_set(&action->err)) {
        release_record(release);
    }
    mem_died(action);
    release->done(release->arg, release->record,
                  fs_error_is_set(&action->err) ? &action->err : NULL);
    free(release);
}

static void source_release(struct fs_source *source, struct fs_record *record, bool whole,
                           bool removed_only, fs_record_fn *done, void *arg)
{
    struct release *release = mem_alloc(1, sizeof(*release));
    release->record = record;
    release->whole = whole;
    release->removed_only = removed_only;
    release->done = done;
    release->arg = arg;
    mem_start((struct mem_store *)source, MEM_OP_RELEASE, &release->action, release_finish);
}

/* --- reading --------------------------------------------------------------------------------- */

struct reading {
    struct fs_reading reading;
    struct mem_store *store;
    size_t n_volumes;
    struct {
        struct mem_content point;
        struct mem_content base; /* size 0: everything */
        bool listing;
    } * volumes;
    size_t in_flight;
};

struct open {
    struct mem_action action;
    struct reading *reading;
    fs_reading_fn *done;
    void *arg;
};

static void reading_free(struct reading *reading)
{
    for (size_t i = 0; i < reading->n_volumes; i++) {
        mem_content_fini(&reading->volumes[i].point);
        mem_content_fini(&reading->volumes[i].base);
    }
    free(reading->volumes);
    free(reading);
}

static void open_finish(struct mem_action *action)
{
    struct open *op = (struct open *)action;
    if (fs_error_is_set(&action->err)) {
        reading_free(op->reading);
        op->done(op->arg, NULL, &action->err);
    } else {
        op->done(op->arg, &op->reading->reading, NULL);
    }
    free(op);
}

static void source_open(struct fs_source *source, const struct fs_record *record,
                        const struct fs_uuid *point_id, const struct fs_uuid *base_id,
                        fs_reading_fn *done, void *arg)
{
    struct mem_store *store = (struct mem_store *)source;
    struct open *op = mem_alloc(1, sizeof(*op));
    struct fs_record *copy = fs_record_copy(record);
    const struct fs_record_point *point = fs_record_find_point(copy, point_id);
    const struct fs_record_point *base = NULL;
    struct reading *reading = mem_alloc(1, sizeof(*reading));
    reading->reading.ops = source->ops;
    reading->store = store;
    op->reading = reading;
    op->done = done;
    op->arg = arg;
    if (base_id && !fs_uuid_is_zero(base_id)) {
        base = fs_record_find_point(copy, base_id);
        if (!base) {
            fs_error_set(&op->action.err, FS_ERR_PERMANENT, ENODATA, "the base is gone");
        }
    }
    if (!point) {
        fs_error_set(&op->action.err, FS_ERR_PERMANENT, ENOENT, "the point is gone");
    }
    reading->n_volumes = point ? point->n_contents : 0;
    reading->volumes = mem_alloc(reading->n_volumes + 1, sizeof(reading->volumes[0]));
    for (size_t i = 0; i < reading->n_volumes; i++) {
        const struct fs_record_content *content = &point->contents[i];
        const struct fs_record_content *old =
            fs_record_base_content(record, base, &content->volume, NULL);
        struct mem_image *image = image_of(store, copy, &content->volume);
        struct mem_snap *snap = image ? mem_image_snap(image, content->snap_id) : NULL;
        struct mem_snap *old_snap = image && old ? mem_image_snap(image, old->snap_id) : NULL;
        if (!snap || (old && !old_snap)) {
            fs_error_set(&op->action.err, FS_ERR_PERMANENT, snap ? ENODATA : ENOENT,
                         "a snapshot is gone");
            continue;
        }
        mem_content_copy(&snap->content, &reading->volumes[i].point);
        if (old_snap) {
            mem_content_copy(&old_snap->content, &reading->volumes[i].base);
        }
    }
    fs_record_free(copy);
    mem_start(store, MEM_OP_OPEN, &op->action, open_finish);
}

struct list {
    struct mem_action action;
    struct reading *reading;
    unsigned volume;
    uint64_t from;
    struct fs_extent_list *list;
    fs_list_fn *done;
    void *arg;
};

static void list_add(struct fs_extent_list *list, uint64_t offset, uint64_t length,
                     enum fs_extent_kind kind)
{
    struct fs_extent *last = list->count > 0 ? &list->extents[list->count - 1] : NULL;
    if (last && last->kind == kind && last->offset + last->length == offset) {
        last->length += length;
    } else {
        list->extents[list->count++] =
            (struct fs_extent){.offset = offset, .length = length, .kind = kind};
    }
}

/* Changed sectors of one block; now and then a neighbour that has not changed. */
static void list_block(struct mem_store *store, struct fs_extent_list *list,
                       const struct mem_content *point, const struct mem_content *base,
                       size_t index, uint64_t from, uint64_t end)
{
    const uint8_t *now = mem_content_block(point, index);
    const uint8_t *then = mem_content_block(base, index);
    uint64_t start = (uint64_t)index * MEM_BLOCK;
    bool hole = !point->blocks[index];
    if (hole && mem_random(store) % 2 && from <= start && end >= start + MEM_BLOCK) {
        list_add(list, start, MEM_BLOCK, FS_EXTENT_ZERO); /* the diff knows that it is gone */
        return;
    }
    bool over = mem_random(store) % 4 == 0;
    for (uint64_t at = start; at < start + MEM_BLOCK; at += SECTOR) {
        uint64_t low = at < from ? from : at;
        uint64_t high = at + SECTOR < end ? at + SECTOR : end;
        bool differs = base->size == 0 || memcmp(now + (at - start), then + (at - start), SECTOR);
        if (low < high && (over || differs)) {
            list_add(list, low, high - low, FS_EXTENT_DATA);
        }
    }
}

static void list_finish(struct mem_action *action)
{
    struct list *op = (struct list *)action;
    struct mem_content *point = &op->reading->volumes[op->volume].point;
    struct mem_content *base = &op->reading->volumes[op->volume].base;
    struct fs_extent_list *list = op->list;
    op->reading->in_flight--;
    op->reading->volumes[op->volume].listing = false;
    list->count = 0;
    list->next = op->from;
    uint64_t end = point->size - op->from < SCAN_WINDOW ? point->size : op->from + SCAN_WINDOW;
    while (!fs_error_is_set(&action->err) && list->next < end &&
           list->count + MEM_BLOCK / SECTOR <= list->capacity) {
        size_t index = list->next / MEM_BLOCK;
        uint64_t stop = (uint64_t)(index + 1) * MEM_BLOCK;
        const struct mem_block *was = index < base->n_blocks ? base->blocks[index] : NULL;
        stop = stop < end ? stop : end;
        if (point->blocks[index] != was) {
            list_block(action->store, list, point, base, index, list->next, stop);
        }
        list->next = stop;
    }
    op->done(op->arg, list, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void source_list(struct fs_reading *base, unsigned volume, uint64_t from,
                        struct fs_extent_list *list, fs_list_fn *done, void *arg)
{
    struct reading *reading = (struct reading *)base;
    struct list *op = mem_alloc(1, sizeof(*op));
    assert(volume < reading->n_volumes && !reading->volumes[volume].listing);
    assert(list->capacity >= MEM_BLOCK / SECTOR && from <= reading->volumes[volume].point.size);
    reading->volumes[volume].listing = true;
    reading->in_flight++;
    op->reading = reading;
    op->volume = volume;
    op->from = from;
    op->list = list;
    op->done = done;
    op->arg = arg;
    mem_start(reading->store, MEM_OP_LIST, &op->action, list_finish);
}

struct read {
    struct mem_action action;
    struct reading *reading;
    unsigned volume;
    const struct fs_read *ranges;
    size_t count;
    fs_io_fn *done;
    void *arg;
};

static void read_finish(struct mem_action *action)
{
    struct read *op = (struct read *)action;
    op->reading->in_flight--;
    for (size_t i = 0; !fs_error_is_set(&action->err) && i < op->count; i++) {
        mem_content_read(&op->reading->volumes[op->volume].point, op->ranges[i].offset,
                         op->ranges[i].buffer, op->ranges[i].length);
    }
    op->done(op->arg, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static uint64_t source_read_gap(const struct fs_reading *base, unsigned volume)
{
    (void)base;
    return volume % 2 ? 0 : 64 << 10;
}

static void source_read(struct fs_reading *base, unsigned volume, const struct fs_read *ranges,
                        size_t count, fs_io_fn *done, void *arg)
{
    struct reading *reading = (struct reading *)base;
    struct read *op = mem_alloc(1, sizeof(*op));
    uint64_t at = 0;
    assert(volume < reading->n_volumes && count > 0);
    for (size_t i = 0; i < count; i++) {
        assert(ranges[i].length > 0 && ranges[i].offset >= at);
        at = ranges[i].offset + ranges[i].length;
    }
    assert(at <= reading->volumes[volume].point.size);
    (void)at; /* without assertions */
    reading->in_flight++;
    op->reading = reading;
    op->volume = volume;
    op->ranges = ranges;
    op->count = count;
    op->done = done;
    op->arg = arg;
    mem_start(reading->store, MEM_OP_READ, &op->action, read_finish);
}

struct shut {
    struct mem_action action;
    struct reading *reading;
    fs_io_fn *done;
    void *arg;
};

static void close_finish(struct mem_action *action)
{
    struct shut *op = (struct shut *)action;
    if (op->reading->in_flight > 0) {
        mem_start(action->store, MEM_OP_CLOSE, action, close_finish);
        return;
    }
    reading_free(op->reading);
    if (op->done) {
        op->done(op->arg, NULL);
    }
    free(op);
}

static void source_close(struct fs_reading *base, fs_io_fn *done, void *arg)
{
    struct reading *reading = (struct reading *)base;
    struct shut *op = mem_alloc(1, sizeof(*op));
    op->reading = reading;
    op->done = done;
    op->arg = arg;
    mem_start(reading->store, MEM_OP_CLOSE, &op->action, close_finish);
}

struct objects {
    struct mem_action action;
    struct fs_uuid group;
    struct fs_captured captured;
    fs_packed_fn *done;
    void *arg;
};

static void objects_finish(struct mem_action *action)
{
    struct objects *op = (struct objects *)action;
    struct fs_error *err = &action->err;
    const struct mem_captured *kept = mem_captured_find(action->store, &op->group, &op->captured);
    struct fs_buf text = FS_BUF_INIT;
    if (!fs_error_is_set(err) && !kept) {
        fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "the objects are gone");
    } else if (!fs_error_is_set(err)) {
        (void)fs_captured_unpack(&op->captured, kept->packed.data, kept->packed.length, &text, err);
    }
    fs_buf_fini(&text);
    op->done(op->arg, kept ? &kept->packed : NULL, fs_error_is_set(err) ? err : NULL);
    free(op);
}

static void source_objects(struct fs_source *source, const struct fs_uuid *group,
                           const struct fs_captured *captured, fs_packed_fn *done, void *arg)
{
    struct objects *op = mem_alloc(1, sizeof(*op));
    op->group = *group;
    op->captured = *captured;
    op->done = done;
    op->arg = arg;
    mem_start((struct mem_store *)source, MEM_OP_OBJECTS, &op->action, objects_finish);
}

const struct fs_source_ops mem_source_ops = {
    .take = source_take,
    .snapshot = source_snapshot,
    .settle = source_settle,
    .store = source_store,
    .release = source_release,
    .objects = source_objects,
    .open = source_open,
    .list = source_list,
    .read_gap = source_read_gap,
    .read = source_read,
    .close = source_close,
};
