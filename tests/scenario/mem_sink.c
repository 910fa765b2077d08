/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/mem_digest.h"
#include "tests/scenario/mem_private.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct incoming {
    struct fs_incoming incoming;
    struct mem_store *store;
    struct fs_record *record;
    struct fs_point_id point;
    unsigned flags;
    int64_t taken_ns;
    struct fs_captured objects;
    struct fs_retention retain;
    size_t n_volumes;
    struct mem_image *images[FS_VOLUMES_MAX]; /* in the order of the offer */
    struct fs_uuid uuids[FS_VOLUMES_MAX];
    size_t in_flight;
    bool syncing;
};

static struct mem_store *store_of(struct fs_sink *sink)
{
    return (struct mem_store *)((char *)sink - offsetof(struct mem_store, sink));
}

/* --- open ------------------------------------------------------------------------------------ */

struct sink_open {
    struct mem_action action;
    struct fs_record *record;
    const struct fs_offer *offer;
    const struct fs_admission *admission;
    fs_sink_open_fn *done;
    void *arg;
};

/* Remove what was let go; as far as the process lives. */
static void prune(struct mem_store *store, struct fs_record *record, struct fs_error *err)
{
    bool any = false;
    for (size_t i = record->n_points; i-- > 0;) {
        if (record->points[i].state != FS_POINT_TAKING) {
            continue;
        }
        struct fs_uuid id = record->points[i].point.id;
        for (size_t v = 0; v < record->points[i].n_contents; v++) {
            struct fs_record_volume *volume =
                fs_record_find_volume(record, &record->points[i].contents[v].volume);
            struct mem_image *image =
                volume ? mem_store_find_ref(store, &volume->volume.image) : NULL;
            if (image) {
                mem_image_drop_point(image, &id);
                if (mem_pass(store, "retain.removed")) {
                    return;
                }
            }
        }
        if (mem_pass(store, "retain.gone")) {
            return;
        }
        fs_record_remove_point(record, &id);
        any = true;
    }
    if (any) {
        mem_captured_sweep(store, record);
        if (store->crashed) {
            return;
        }
    }
    if (any && mem_record_store(store, record, err) == 0) {
        mem_pass(store, "retain.stored");
    }
}

/* A crash in committing: everything was applied; take the snapshots that are missing. */
static void roll_forward(struct mem_store *store, struct fs_record *record, struct fs_error *err)
{
    for (size_t i = 0; i < record->n_points; i++) {
        struct fs_record_point *point = &record->points[i];
        if (point->state == FS_POINT_COMMITTING && mem_pass(store, "recover.begin")) {
            return;
        }
        for (size_t v = 0; point->state == FS_POINT_COMMITTING && v < point->n_contents; v++) {
            struct fs_record_volume *volume =
                fs_record_find_volume(record, &point->contents[v].volume);
            struct mem_image *image = mem_store_find_ref(store, &volume->volume.image);
            if (point->contents[v].snap_id == 0) {
                point->contents[v].snap_id = mem_image_take_snap(image, &point->point.id);
                point->contents[v].mark_id = point->contents[v].snap_id;
                if (mem_pass(store, "recover.snapshot")) {
                    return;
                }
            }
        }
        if (point->state == FS_POINT_COMMITTING) {
            point->state = FS_POINT_COMMITTED;
            fs_record_clear_incoming(record);
            if (mem_record_store(store, record, err) < 0 || mem_pass(store, "recover.finished")) {
                return;
            }
        }
    }
    prune(store, record, err);
}

static struct fs_record *new_record(const struct fs_offer *offer,
                                    const struct fs_admission *admission)
{
    struct fs_record *record = fs_record_new();
    record->group = offer->group;
    record->role = FS_ROLE_SECONDARY;
    record->term = offer->term;
    record->joins = offer->joins;
    snprintf(record->peer, sizeof(record->peer), "%s", admission->peer);
    return record;
}

static enum fs_refusal check_term(struct fs_record *record, const struct fs_offer *offer,
                                  struct fs_error *err)
{
    enum fs_refusal refusal = FS_REFUSE_NONE;
    if (offer->term.number < record->term.number) {
        refusal = FS_REFUSE_STALE_TERM;
    } else if (offer->term.number == record->term.number &&
               !fs_uuid_equal(&offer->term.site, &record->term.site)) {
        refusal = FS_REFUSE_SPLIT_BRAIN;
    } else if (record->role != FS_ROLE_SECONDARY) {
        refusal = FS_REFUSE_NOT_SECONDARY;
    }
    if (refusal != FS_REFUSE_NONE) {
        fs_error_set(err, FS_ERR_CONFIG, EPERM, "term or role does not allow it");
    }
    record->term = offer->term;
    return refusal;
}

/* The image of one offered volume; made where it is missing. */
static enum fs_refusal claim_image(struct sink_open *op, struct fs_record *record,
                                   const struct fs_offer_volume *offered,
                                   struct mem_image **ret_image)
{
    struct mem_store *store = op->action.store;
    struct fs_record_volume *known = fs_record_find_volume(record, &offered->volume.uuid);
    const struct fs_admission *admission = op->admission;
    if (known) {
        *ret_image = mem_store_find_ref(store, &known->volume.image);
        if (!*ret_image) {
            fs_error_set(&op->action.err, FS_ERR_CONFIG, ENOENT, "a target image is gone");
        }
        return *ret_image ? FS_REFUSE_NONE : FS_REFUSE_BROKEN;
    }
    for (size_t i = 0; i < admission->n_pools; i++) {
        const struct fs_pool_map *map = &admission->pools[i];
        if (strcmp(map->source_pool, offered->volume.image.pool) != 0 ||
            strcmp(map->source_ns, offered->volume.image.ns) != 0) {
            continue;
        }
        struct mem_image *image =
            mem_store_find(store, map->target_pool, offered->volume.image.name);
        if (image && !fs_uuid_equal(&image->owner, &record->group)) {
            fs_error_set(&op->action.err, FS_ERR_CONFIG, EEXIST, "an image is in the way");
            return FS_REFUSE_NOT_OWNED;
        }
        if (!image) {
            image = mem_store_create(store, map->target_pool, offered->volume.image.name,
                                     offered->geometry.size);
            image->owner = record->group;
            mem_pass(store, "open.stamped");
        }
        struct fs_volume volume = offered->volume;
        volume.image = image->ref;
        struct fs_record_volume *added = fs_record_add_volume(record, &volume);
        if (!added) {
            abort();
        }
        (void)snprintf(added->peer_identity, sizeof(added->peer_identity), "%s", offered->identity);
        *ret_image = image;
        return FS_REFUSE_NONE;
    }
    fs_error_set(&op->action.err, FS_ERR_CONFIG, ENOENT, "pool %s is not mapped",
                 offered->volume.image.pool);
    return FS_REFUSE_POOL_NOT_MAPPED;
}

/* The newest of our points that the source can diff from. */
static bool choose_base(struct fs_record *record, const struct fs_offer *offer,
                        struct fs_uuid *ret_base)
{
    bool any = false;
    *ret_base = (struct fs_uuid){0};
    for (size_t i = record->n_points; i-- > 0;) {
        any = any || record->points[i].state == FS_POINT_COMMITTED;
        for (size_t h = 0; h < offer->n_held; h++) {
            if (record->points[i].state == FS_POINT_COMMITTED &&
                fs_uuid_equal(&record->points[i].point.id, &offer->held[h])) {
                *ret_base = offer->held[h];
                return true;
            }
        }
    }
    return !any;
}

static bool same_term(const struct fs_term *a, const struct fs_term *b)
{
    return a->number == b->number && fs_uuid_equal(&a->site, &b->site);
}

static bool holds_anything(const struct mem_image *image)
{
    return mem_image_allocated(image) > 0;
}

/* Can every image go back to the base? */
static bool is_restorable(struct incoming *in, const struct fs_uuid *base_id)
{
    const struct fs_record_point *base = fs_record_find_point(in->record, base_id);
    for (size_t v = 0; v < in->n_volumes; v++) {
        const struct fs_record_content *content =
            fs_record_base_content(in->record, base, &in->uuids[v], NULL);
        if (content ? !mem_image_snap(in->images[v], content->snap_id)
                    : holds_anything(in->images[v])) {
            return false;
        }
    }
    return true;
}

static bool can_resume(const struct fs_record_incoming *was, const struct fs_offer *offer,
                       const struct fs_uuid *base)
{
    if (!was->present || !fs_uuid_equal(&was->point.id, &offer->point.id) ||
        !fs_uuid_equal(&was->base, base) || was->n_positions != offer->n_volumes) {
        return false;
    }
    for (size_t i = 0; i < was->n_positions; i++) {
        if (!fs_uuid_equal(&was->positions[i].volume, &offer->volumes[i].volume.uuid)) {
            return false;
        }
    }
    return true;
}

/* The head becomes the base again: whatever an abandoned transfer wrote goes. */
static void roll_back(struct incoming *in, size_t v, const struct fs_record_point *base)
{
    const struct fs_record_content *content =
        fs_record_base_content(in->record, base, &in->uuids[v], NULL);
    struct mem_image *image = in->images[v];
    mem_content_fini(&image->head);
    if (content) {
        mem_content_copy(&mem_image_snap(image, content->snap_id)->content, &image->head);
    } else {
        mem_content_init(&image->head, 0);
    }
    mem_image_flush(image);
}

static void begin_incoming(struct incoming *in, const struct fs_offer *offer,
                           const struct fs_uuid *base_id)
{
    struct fs_record_incoming *to = &in->record->incoming;
    fs_record_clear_incoming(in->record);
    to->present = true;
    to->point = offer->point;
    to->base = *base_id;
    to->n_positions = offer->n_volumes;
    to->positions = mem_alloc(offer->n_volumes, sizeof(to->positions[0]));
    for (size_t v = 0; v < offer->n_volumes; v++) {
        to->positions[v].volume = offer->volumes[v].volume.uuid;
    }
}

/* Stored before the images change. One with position 0 may hold what an abandoned transfer wrote,
 * or not be back at the base since a crash. */
static void prepare_images(struct incoming *in, const struct fs_offer *offer,
                           const struct fs_uuid *base_id, struct fs_error *err)
{
    struct mem_store *store = in->store;
    const struct fs_record_point *base = fs_record_find_point(in->record, base_id);
    if (mem_record_store(store, in->record, err) < 0 || mem_pass(store, "open.stored")) {
        return;
    }
    bool by_digests = fs_uuid_equal(base_id, &offer->point.id);
    for (size_t v = 0; v < offer->n_volumes; v++) {
        if (in->record->incoming.positions[v].position.offset == 0 && !by_digests) {
            roll_back(in, v, base);
            if (mem_pass(store, "open.restored")) {
                return;
            }
        }
        if (in->images[v]->head.size != offer->volumes[v].geometry.size) {
            mem_content_resize(&in->images[v]->head, offer->volumes[v].geometry.size);
            mem_pass(store, "open.resized");
        }
        in->images[v]->geometry = offer->volumes[v].geometry;
    }
}

static enum fs_refusal accept_offer(struct sink_open *op, struct fs_sink_open_result *result,
                                    struct incoming *in)
{
    const struct fs_offer *offer = op->offer;
    struct fs_record *record = in->record;
    enum fs_refusal refusal = check_term(record, offer, &op->action.err);
    if (refusal == FS_REFUSE_NONE && !op->admission->adopt &&
        offer->peer_version > record->version) {
        fs_error_set(&op->action.err, FS_ERR_DATA, EBADFD, "the record went back in time");
        refusal = FS_REFUSE_RECORD_LOST;
    }
    if (refusal != FS_REFUSE_NONE) {
        return refusal;
    }
    roll_forward(op->action.store, record, &op->action.err);
    if (op->action.store->crashed) {
        return FS_REFUSE_UNAVAILABLE;
    }
    const struct fs_record_point *same = fs_record_find_point(record, &offer->point.id);
    result->committed = same && same->state == FS_POINT_COMMITTED;
    if (result->committed) {
        return FS_REFUSE_NONE;
    }
    bool resync = fs_record_is_resync(record);
    bool gone = !choose_base(record, offer, &result->base) || resync;
    if (gone && !resync &&
        (!op->admission->compare ||
         !same_term(&fs_record_newest_committed(record)->point.term, &offer->term))) {
        fs_error_set(&op->action.err, FS_ERR_CONFIG, ENOENT, "no point in common");
        return FS_REFUSE_NO_BASE;
    }
    if (!mem_join(op->action.store, op->admission, record, &op->action.err)) {
        return FS_REFUSE_UNAVAILABLE;
    }
    for (size_t v = 0; v < offer->n_volumes; v++) {
        in->uuids[v] = offer->volumes[v].volume.uuid;
        refusal = claim_image(op, record, &offer->volumes[v], &in->images[v]);
        if (refusal != FS_REFUSE_NONE) {
            return refusal;
        }
        if (op->action.store->crashed) {
            return FS_REFUSE_UNAVAILABLE;
        }
    }
    if (!can_resume(&record->incoming, offer, &result->base) && op->admission->compare &&
        (gone || !mem_same_seeds(record, offer, &result->base) ||
         !is_restorable(in, &result->base))) {
        result->base = offer->point.id;
    }
    if (!can_resume(&record->incoming, offer, &result->base)) {
        begin_incoming(in, offer, &result->base);
    }
    return FS_REFUSE_NONE;
}

static void sink_open_finish(struct mem_action *action)
{
    struct sink_open *op = (struct sink_open *)action;
    struct fs_sink_open_result result = {0};
    struct fs_position positions[FS_VOLUMES_MAX];
    struct incoming *in = mem_alloc(1, sizeof(*in));
    const struct fs_offer *offer = op->offer;
    in->incoming.ops = &mem_sink_ops;
    in->store = action->store;
    in->record = op->record ? op->record : new_record(offer, op->admission);
    in->point = offer->point;
    in->flags = offer->flags;
    in->taken_ns = fs_clock_wall(action->store->clock) - (int64_t)offer->taken_age_ns;
    in->objects = offer->objects;
    in->retain = op->admission->retain;
    in->n_volumes = offer->n_volumes;
    result.refusal = FS_REFUSE_UNAVAILABLE;
    if (!fs_error_is_set(&action->err)) {
        snprintf(in->record->name, sizeof(in->record->name), "%s", offer->name);
        snprintf(in->record->policy, sizeof(in->record->policy), "%s", offer->policy);
        in->record->interval_ns = (int64_t)offer->interval_ns;
        result.refusal = accept_offer(op, &result, in);
    }
    mem_died(action);
    if (!fs_error_is_set(&action->err) && !result.committed) {
        prepare_images(in, offer, &result.base, &action->err);
        mem_died(action);
        result.refusal = fs_error_is_set(&action->err) ? FS_REFUSE_UNAVAILABLE : FS_REFUSE_NONE;
    }
    result.err = action->err;
    if (fs_error_is_set(&action->err) || result.committed) {
        result.record = op->record || result.committed ? in->record : NULL;
        if (!result.record) {
            fs_record_free(in->record);
        }
        free(in);
    } else {
        for (size_t v = 0; v < in->n_volumes; v++) {
            positions[v] = in->record->incoming.positions[v].position;
        }
        result.record = in->record; /* the callback's; ours is a copy */
        in->record = fs_record_copy(in->record);
        result.incoming = &in->incoming;
        result.objects_wanted = offer->objects.size > 0 &&
                                !mem_captured_find(action->store, &offer->group, &offer->objects);
        result.positions = positions;
    }
    op->done(op->arg, &result);
    free(op);
}

static void sink_open(struct fs_sink *sink, struct fs_record *record, const struct fs_offer *offer,
                      const struct fs_admission *admission, fs_sink_open_fn *done, void *arg)
{
    struct sink_open *op = mem_alloc(1, sizeof(*op));
    op->record = record;
    op->offer = offer;
    op->admission = admission;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(sink), MEM_OP_SINK_OPEN, &op->action, sink_open_finish);
}

/* --- write ----------------------------------------------------------------------------------- */

struct write {
    struct mem_action action;
    struct incoming *in;
    struct fs_segment_data segment;
    fs_sink_io_fn *done;
    void *arg;
};

static void write_finish(struct mem_action *action)
{
    struct write *op = (struct write *)action;
    struct mem_image *image = op->in->images[op->segment.volume];
    const uint8_t *content = op->segment.payload;
    op->in->in_flight--;
    if (!action->store->crashed) {
        mem_image_soften(image);
    }
    for (size_t i = 0; i < op->segment.n_extents && !action->store->crashed; i++) {
        const struct fs_extent *extent = &op->segment.extents[i];
        if (fs_error_is_set(&action->err) && i >= op->segment.n_extents / 2) {
            break; /* a failed write may have got anywhere */
        }
        if (extent->kind == FS_EXTENT_ZERO) {
            mem_content_zero(&image->head, extent->offset, extent->length);
        } else {
            mem_content_write(&image->head, extent->offset, content, extent->length);
            content += extent->length;
        }
    }
    op->done(op->arg, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void sink_write(struct fs_incoming *base, const struct fs_segment_data *segment,
                       fs_sink_io_fn *done, void *arg)
{
    struct incoming *in = (struct incoming *)base;
    struct write *op = mem_alloc(1, sizeof(*op));
    uint64_t at = 0, content = 0;
    assert(segment->volume < in->n_volumes && segment->n_extents > 0);
    for (size_t i = 0; i < segment->n_extents; i++) {
        assert(segment->extents[i].offset >= at && segment->extents[i].length > 0);
        at = segment->extents[i].offset + segment->extents[i].length;
        content += segment->extents[i].kind == FS_EXTENT_DATA ? segment->extents[i].length : 0;
    }
    assert(at <= in->images[segment->volume]->head.size && content == segment->payload_length);
    (void)at;
    (void)content;
    in->in_flight++;
    op->in = in;
    op->segment = *segment;
    op->done = done;
    op->arg = arg;
    mem_start(in->store, MEM_OP_WRITE, &op->action, write_finish);
}

/* --- digest ---------------------------------------------------------------------------------- */

struct digest {
    struct mem_action action;
    struct incoming *in;
    struct fs_digest_query query;
    struct fs_digest_list *list;
    fs_sink_io_fn *done;
    void *arg;
};

static void digest_finish(struct mem_action *action)
{
    struct digest *op = (struct digest *)action;
    struct incoming *in = op->in;
    in->in_flight--;
    for (size_t v = 0; v < in->n_volumes && !fs_error_is_set(&action->err); v++) {
        if (fs_uuid_equal(&in->uuids[v], &op->query.volume)) {
            mem_content_digest(&in->images[v]->head, &op->query, op->list);
        }
    }
    op->done(op->arg, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void sink_digest(struct fs_incoming *base, const struct fs_digest_query *query,
                        struct fs_digest_list *list, fs_sink_io_fn *done, void *arg)
{
    struct incoming *in = (struct incoming *)base;
    struct digest *op = mem_alloc(1, sizeof(*op));
    in->in_flight++;
    op->in = in;
    op->query = *query;
    op->list = list;
    op->done = done;
    op->arg = arg;
    mem_start(in->store, MEM_OP_DIGEST, &op->action, digest_finish);
}

/* --- objects --------------------------------------------------------------------------------- */

struct objects {
    struct mem_action action;
    struct incoming *in;
    struct fs_buf packed;
    fs_sink_io_fn *done;
    void *arg;
};

static void objects_finish(struct mem_action *action)
{
    struct objects *op = (struct objects *)action;
    struct incoming *in = op->in;
    struct fs_buf text = FS_BUF_INIT;
    in->in_flight--;
    if (op->packed.length == 0) {
        in->objects = (struct fs_captured){0};
    } else if (!fs_error_is_set(&action->err) &&
               fs_captured_unpack(&in->objects, op->packed.data, op->packed.length, &text,
                                  &action->err) == 0) {
        fs_buf_fini(&text);
        mem_captured_keep(action->store, &in->record->group, &in->objects, &op->packed);
        mem_pass(action->store, "objects.kept");
        mem_died(action);
    }
    op->done(op->arg, fs_error_is_set(&action->err) ? &action->err : NULL);
    fs_buf_fini(&op->packed);
    free(op);
}

static void sink_objects(struct fs_incoming *base, struct fs_buf *packed, fs_sink_io_fn *done,
                         void *arg)
{
    struct incoming *in = (struct incoming *)base;
    struct objects *op = mem_alloc(1, sizeof(*op));
    in->in_flight++;
    op->in = in;
    op->packed = *packed;
    *packed = FS_BUF_INIT;
    op->done = done;
    op->arg = arg;
    mem_start(in->store, MEM_OP_OBJECTS, &op->action, objects_finish);
}

/* --- sync, commit, close --------------------------------------------------------------------- */

struct positions_op {
    struct mem_action action;
    struct incoming *in;
    struct fs_uuid group;
    struct fs_position positions[FS_VOLUMES_MAX];
    uint64_t bytes;
    fs_sink_io_fn *synced;
    fs_sink_record_fn *settled;
    void *arg;
};

static void flush(struct incoming *in)
{
    for (size_t v = 0; v < in->n_volumes; v++) {
        mem_image_flush(in->images[v]);
    }
}

static void sync_finish(struct mem_action *action)
{
    struct positions_op *op = (struct positions_op *)action;
    struct incoming *in = op->in;
    in->syncing = false;
    if (!fs_error_is_set(&action->err)) {
        flush(in);
        if (!mem_pass(action->store, "sync.flushed")) {
            for (size_t v = 0; v < in->n_volumes; v++) {
                in->record->incoming.positions[v].position = op->positions[v];
            }
            mem_record_store(action->store, in->record, &action->err);
            mem_pass(action->store, "sync.stored");
        }
    }
    mem_died(action);
    op->synced(op->arg, fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void sink_sync(struct fs_incoming *base, const struct fs_position *positions,
                      fs_sink_io_fn *done, void *arg)
{
    struct incoming *in = (struct incoming *)base;
    struct positions_op *op = mem_alloc(1, sizeof(*op));
    assert(!in->syncing);
    in->syncing = true;
    op->in = in;
    memcpy(op->positions, positions, in->n_volumes * sizeof(*positions));
    op->synced = done;
    op->arg = arg;
    mem_start(in->store, MEM_OP_SYNC, &op->action, sync_finish);
}

/* A point of which somebody removed a snapshot is none any more. */
static void let_go_of_broken(struct incoming *in)
{
    for (size_t i = 0; i < in->record->n_points; i++) {
        struct fs_record_point *point = &in->record->points[i];
        for (size_t v = 0; v < in->n_volumes && point->state == FS_POINT_COMMITTED; v++) {
            const struct fs_record_content *content = fs_record_find_content(point, &in->uuids[v]);
            if (content && !mem_image_snap(in->images[v], content->snap_id)) {
                point->state = FS_POINT_TAKING;
            }
        }
    }
}

/* stop: how many steps to get to before the process dies. */
static void commit_steps(struct positions_op *op, uint64_t stop)
{
    struct incoming *in = op->in;
    struct mem_store *store = in->store;
    struct fs_error *err = &op->action.err;
    if (mem_pass(store, "commit.begin")) {
        return;
    }
    struct fs_record_point *point = fs_record_add_point(in->record, in->n_volumes);
    point->point = in->point;
    point->state = FS_POINT_COMMITTING;
    point->flags = in->flags;
    point->taken_ns = in->taken_ns;
    point->bytes = op->bytes;
    point->objects = in->objects;
    for (size_t v = 0; v < in->n_volumes; v++) {
        point->contents[v].volume = in->uuids[v];
        point->contents[v].geometry = in->images[v]->geometry;
        point->contents[v].geometry.size = in->images[v]->head.size;
        point->contents[v].chain = op->positions[v].chain;
        in->record->incoming.positions[v].position = op->positions[v];
    }
    flush(in);
    if (mem_pass(store, "commit.flushed") || stop-- == 0 ||
        mem_record_store(store, in->record, err) < 0 || mem_pass(store, "commit.committing")) {
        return;
    }
    for (size_t v = 0; v < in->n_volumes; v++) {
        if (stop-- == 0) {
            return;
        }
        point->contents[v].snap_id = mem_image_take_snap(in->images[v], &in->point.id);
        point->contents[v].mark_id = point->contents[v].snap_id;
        if (mem_pass(store, "commit.snapshot")) {
            return;
        }
    }
    if (mem_pass(store, "commit.snapshots")) {
        return;
    }
    point->state = FS_POINT_COMMITTED;
    fs_record_end_seeds(in->record, point);
    in->record->current_until_ns = in->taken_ns;
    const struct fs_uuid base = in->record->incoming.base;
    fs_record_clear_incoming(in->record);
    let_go_of_broken(in);
    /* What is let go is not a point any more in the store that makes the newer one a point. */
    fs_retention_let_go(&in->retain, in->record, &base);
    if (mem_record_store(store, in->record, err) == 0 && !mem_pass(store, "commit.committed")) {
        prune(store, in->record, err);
    }
}

static void commit_finish(struct mem_action *action)
{
    struct positions_op *op = (struct positions_op *)action;
    struct incoming *in = op->in;
    if (!fs_error_is_set(&action->err)) {
        commit_steps(op, UINT64_MAX);
    } else if (!action->store->crashed) { /* it may have got anywhere */
        commit_steps(op, mem_random(action->store) % (in->n_volumes + 2));
        fs_record_free(in->record);
        in->record = mem_store_load(action->store, &op->group);
        if (action->dying) {
            mem_store_crash(action->store);
        }
    }
    mem_died(action);
    op->settled(op->arg, fs_record_copy(in->record),
                fs_error_is_set(&action->err) ? &action->err : NULL);
    free(op);
}

static void sink_commit(struct fs_incoming *base, const struct fs_position *finals, uint64_t bytes,
                        fs_sink_record_fn *done, void *arg)
{
    struct incoming *in = (struct incoming *)base;
    struct positions_op *op = mem_alloc(1, sizeof(*op));
    assert(in->in_flight == 0 && !in->syncing);
    op->in = in;
    op->group = in->record->group;
    memcpy(op->positions, finals, in->n_volumes * sizeof(*finals));
    op->bytes = bytes;
    op->settled = done;
    op->arg = arg;
    mem_start(in->store, MEM_OP_COMMIT, &op->action, commit_finish);
}

static void sink_close_finish(struct mem_action *action)
{
    struct positions_op *op = (struct positions_op *)action;
    struct incoming *in = op->in;
    if (in->in_flight > 0 || in->syncing) {
        mem_start(action->store, MEM_OP_SINK_CLOSE, action, sink_close_finish);
        return;
    }
    op->settled(op->arg, in->record, NULL);
    free(in);
    free(op);
}

static void sink_close(struct fs_incoming *base, fs_sink_record_fn *done, void *arg)
{
    struct incoming *in = (struct incoming *)base;
    struct positions_op *op = mem_alloc(1, sizeof(*op));
    op->in = in;
    op->settled = done;
    op->arg = arg;
    mem_start(in->store, MEM_OP_SINK_CLOSE, &op->action, sink_close_finish);
}

/* --- recover --------------------------------------------------------------------------------- */

struct recover {
    struct mem_action action;
    struct fs_record *record;
    fs_sink_record_fn *done;
    void *arg;
};

static void recover_finish(struct mem_action *action)
{
    struct recover *op = (struct recover *)action;
    if (!fs_error_is_set(&action->err)) {
        roll_forward(action->store, op->record, &action->err);
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

static void sink_recover(struct fs_sink *sink, struct fs_record *record, fs_sink_record_fn *done,
                         void *arg)
{
    struct recover *op = mem_alloc(1, sizeof(*op));
    op->record = record;
    op->done = done;
    op->arg = arg;
    mem_start(store_of(sink), MEM_OP_RECOVER, &op->action, recover_finish);
}

const struct fs_sink_ops mem_sink_ops = {
    .open = sink_open,
    .write = sink_write,
    .digest = sink_digest,
    .sync = sink_sync,
    .objects = sink_objects,
    .commit = sink_commit,
    .close = sink_close,
    .recover = sink_recover,
    .note_current = mem_sink_note_current,
};
