/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/mem_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void *mem_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        abort();
    }
    return memory;
}

uint64_t mem_random(struct mem_store *store)
{
    uint64_t z = store->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct mem_store *mem_store_new(const char *fsid, struct fs_mailbox *mailbox,
                                const struct fs_clock *clock, uint64_t seed)
{
    struct mem_store *store = mem_alloc(1, sizeof(*store));
    snprintf(store->fsid, sizeof(store->fsid), "%s", fsid);
    store->source.ops = &mem_source_ops;
    store->sink.ops = &mem_sink_ops;
    store->operators.ops = &mem_operator_ops;
    store->mailbox = mailbox;
    store->clock = clock;
    store->random = seed;
    store->next_id = 1;
    return store;
}

static void image_free(struct mem_image *image)
{
    while (image->n_snaps > 0) {
        mem_image_drop_snap(image, image->snaps[0]->id);
    }
    free(image->snaps);
    mem_content_fini(&image->head);
    mem_content_fini(&image->durable);
    free(image);
}

void mem_store_free(struct mem_store *store)
{
    if (!store) {
        return;
    }
    assert(store->in_flight[MEM_OP_ANY] == 0);
    while (store->images) {
        mem_store_remove(store, store->images);
    }
    while (store->pools) {
        struct mem_pool *pool = store->pools;
        store->pools = pool->next;
        free(pool);
    }
    for (size_t i = 0; i < store->n_records; i++) {
        fs_record_free(store->records[i]);
    }
    free(store->records);
    mem_store_lose_captured(store, false);
    for (size_t i = 0; i < store->n_history; i++) {
        free(store->history[i].text);
    }
    free(store);
}

struct fs_source *mem_store_source(struct mem_store *store)
{
    return &store->source;
}

struct fs_operator *mem_store_operator(struct mem_store *store)
{
    return &store->operators;
}

struct fs_sink *mem_store_sink(struct mem_store *store)
{
    return &store->sink;
}

/* --- images --------------------------------------------------------------------------------- */

static int64_t pool_id(struct mem_store *store, const char *name)
{
    struct mem_pool **link = &store->pools;
    while (*link && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }
    if (!*link) {
        *link = mem_alloc(1, sizeof(**link));
        snprintf((*link)->name, sizeof((*link)->name), "%s", name);
        (*link)->id = (int64_t)store->next_id++;
    }
    return (*link)->id;
}

struct mem_image *mem_store_create(struct mem_store *store, const char *pool, const char *name,
                                   uint64_t size)
{
    struct mem_image *image = mem_alloc(1, sizeof(*image));
    struct mem_image **link = &store->images;
    image->store = store;
    image->ref.pool_id = pool_id(store, pool);
    snprintf(image->ref.pool, sizeof(image->ref.pool), "%s", pool);
    snprintf(image->ref.name, sizeof(image->ref.name), "%s", name);
    snprintf(image->ref.image_id, sizeof(image->ref.image_id), "%" PRIx64, store->next_id++);
    image->geometry = (struct fs_geometry){.order = 22, .stripe_unit = 1 << 22, .stripe_count = 1};
    mem_content_init(&image->head, size);
    while (*link) {
        link = &(*link)->next;
    }
    *link = image;
    return image;
}

struct mem_image *mem_store_find(struct mem_store *store, const char *pool, const char *name)
{
    struct mem_image *image = store->images;
    while (image && (image->trashed || strcmp(image->ref.pool, pool) != 0 ||
                     strcmp(image->ref.name, name) != 0)) {
        image = image->next;
    }
    return image;
}

struct mem_image *mem_store_find_ref(struct mem_store *store, const struct fs_image_ref *ref)
{
    struct mem_image *image = store->images;
    while (image && !fs_image_ref_same(&image->ref, ref)) {
        image = image->next;
    }
    return image;
}

void mem_store_remove(struct mem_store *store, struct mem_image *image)
{
    struct mem_image **link = &store->images;
    while (*link != image) {
        link = &(*link)->next;
    }
    *link = image->next;
    image_free(image);
}

void mem_image_trash(struct mem_image *image)
{
    image->trashed = true;
}

void mem_image_volume(const struct mem_image *image, struct fs_volume *ret_volume)
{
    *ret_volume = (struct fs_volume){.image = image->ref};
}

void mem_store_identity(const struct mem_store *store, const struct fs_image_ref *ref,
                        char ret_identity[FS_NAME_SIZE])
{
    int n = snprintf(ret_identity, FS_NAME_SIZE, "%.36s/%" PRId64 "/%.60s/%s", store->fsid,
                     ref->pool_id, ref->ns, ref->image_id);
    assert(n > 0 && n < FS_NAME_SIZE);
    (void)n;
}

/* A write by the image's users: durable at once. */
static void changed(struct mem_image *image)
{
    image->generation++;
    mem_image_flush(image);
}

void mem_image_write(struct mem_image *image, uint64_t offset, const void *data, uint64_t length)
{
    mem_content_write(&image->head, offset, data, length);
    changed(image);
}

void mem_image_zero(struct mem_image *image, uint64_t offset, uint64_t length)
{
    mem_content_zero(&image->head, offset, length);
    changed(image);
}

void mem_image_resize(struct mem_image *image, uint64_t size)
{
    mem_content_resize(&image->head, size);
    changed(image);
}

uint64_t mem_image_size(const struct mem_image *image)
{
    return image->head.size;
}

void mem_image_read(const struct mem_image *image, uint64_t offset, void *data, uint64_t length)
{
    mem_content_read(&image->head, offset, data, length);
}

void mem_image_scribble(struct mem_image *image, uint64_t offset, uint64_t length,
                        bool compressible)
{
    uint8_t *noise = mem_alloc((size_t)length + 8, 1);
    for (size_t i = 0; i < length; i += 8) {
        uint64_t value = mem_random(image->store);
        if (compressible) { /* one letter of 16 for each byte */
            value = UINT64_C(0x6161616161616161) | (value & UINT64_C(0x0e0e0e0e0e0e0e0e));
        }
        memcpy(noise + i, &value, 8);
    }
    mem_image_write(image, offset, noise, length);
    free(noise);
}

uint64_t mem_image_allocated(const struct mem_image *image)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < image->head.n_blocks; i++) {
        bytes += image->head.blocks[i] ? MEM_BLOCK : 0;
    }
    return bytes;
}

struct fs_uuid mem_image_beside(const struct mem_image *image)
{
    return image->beside;
}

size_t mem_image_snapshots(const struct mem_image *image)
{
    return image->n_snaps;
}

struct mem_snap *mem_image_snap(struct mem_image *image, uint64_t id)
{
    for (size_t i = 0; i < image->n_snaps; i++) {
        if (image->snaps[i]->id == id) {
            return image->snaps[i];
        }
    }
    return NULL;
}

static struct mem_snap *snap_of_point(struct mem_image *image, const struct fs_uuid *point)
{
    for (size_t i = 0; i < image->n_snaps; i++) {
        if (fs_uuid_equal(&image->snaps[i]->point, point)) {
            return image->snaps[i];
        }
    }
    return NULL;
}

uint64_t mem_image_take_snap(struct mem_image *image, const struct fs_uuid *point)
{
    struct mem_snap *snap = snap_of_point(image, point);
    if (snap) {
        return snap->id;
    }
    snap = mem_alloc(1, sizeof(*snap));
    snap->id = image->store->next_id++;
    snap->point = *point;
    snap->generation = image->generation;
    mem_content_copy(&image->head, &snap->content);
    image->snaps = realloc(image->snaps, (image->n_snaps + 1) * sizeof(struct mem_snap *));
    image->snaps[image->n_snaps++] = snap;
    return snap->id;
}

void mem_image_drop_snap(struct mem_image *image, uint64_t id)
{
    for (size_t i = 0; i < image->n_snaps; i++) {
        if (image->snaps[i]->id == id) {
            mem_content_fini(&image->snaps[i]->content);
            free(image->snaps[i]);
            image->snaps[i] = image->snaps[--image->n_snaps];
            return;
        }
    }
}

void mem_image_drop_point(struct mem_image *image, const struct fs_uuid *point)
{
    const struct mem_snap *snap = snap_of_point(image, point);
    if (snap) {
        mem_image_drop_snap(image, snap->id);
    }
}

void mem_image_soften(struct mem_image *image)
{
    if (!image->volatile_head) {
        mem_content_copy(&image->head, &image->durable);
        image->volatile_head = true;
    }
    image->generation++;
}

void mem_image_flush(struct mem_image *image)
{
    mem_content_fini(&image->durable);
    image->volatile_head = false;
}

/* --- records -------------------------------------------------------------------------------- */

struct fs_record **mem_record_slot(const struct mem_store *store, const struct fs_uuid *group)
{
    for (size_t i = 0; i < store->n_records; i++) {
        if (fs_uuid_equal(&store->records[i]->group, group)) {
            return &store->records[i];
        }
    }
    return NULL;
}

struct fs_record *mem_store_load(const struct mem_store *store, const struct fs_uuid *group)
{
    struct fs_record **slot = mem_record_slot(store, group);
    return slot ? fs_record_copy(*slot) : NULL;
}

size_t mem_store_count_records(const struct mem_store *store)
{
    return store->n_records;
}

struct fs_record *mem_store_load_at(const struct mem_store *store, size_t index)
{
    return fs_record_copy(store->records[index]);
}

void mem_store_put(struct mem_store *store, const struct fs_record *record)
{
    struct fs_record **slot = mem_record_slot(store, &record->group);
    struct fs_record *copy = fs_record_copy(record);
    if (!copy) {
        abort();
    }
    if (slot) {
        copy->current_until_ns = record->current_until_ns > (*slot)->current_until_ns
                                     ? record->current_until_ns
                                     : (*slot)->current_until_ns;
        fs_record_free(*slot);
        *slot = copy;
        return;
    }
    store->records = realloc(store->records, (store->n_records + 1) * sizeof(struct fs_record *));
    store->records[store->n_records++] = copy;
}

void mem_record_remove(struct mem_store *store, const struct fs_uuid *group)
{
    struct fs_record **slot = mem_record_slot(store, group);
    if (slot) {
        fs_record_free(*slot);
        *slot = store->records[--store->n_records];
    }
}

int mem_record_store(struct mem_store *store, struct fs_record *record, struct fs_error *err)
{
    struct fs_record **slot = mem_record_slot(store, &record->group);
    if (record->version != (slot ? (*slot)->version : 0)) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ESTALE, "someone else changed the record");
    }
    record->version++;
    mem_store_put(store, record);
    return 0;
}

bool mem_store_same_point(const struct mem_store *a, const struct mem_store *b,
                          const struct fs_uuid *group, const struct fs_uuid *point)
{
    const struct mem_store *stores[2] = {a, b};
    struct fs_record *records[2];
    struct fs_record_point *points[2];
    bool same = true;
    for (int i = 0; i < 2; i++) {
        records[i] = mem_store_load(stores[i], group);
        points[i] = records[i] ? fs_record_find_point(records[i], point) : NULL;
        same = same && points[i];
    }
    same = same && points[0]->n_contents == points[1]->n_contents;
    for (size_t v = 0; same && v < points[0]->n_contents; v++) {
        const struct fs_uuid *uuid = &points[0]->contents[v].volume;
        struct mem_snap *snaps[2] = {NULL, NULL};
        for (int i = 0; i < 2; i++) {
            struct fs_record_volume *volume = fs_record_find_volume(records[i], uuid);
            const struct fs_record_content *content = fs_record_find_content(points[i], uuid);
            struct mem_image *image =
                volume ? mem_store_find_ref((struct mem_store *)(uintptr_t)stores[i],
                                            &volume->volume.image)
                       : NULL;
            snaps[i] = image && content ? mem_image_snap(image, content->snap_id) : NULL;
        }
        same = snaps[0] && snaps[1] && mem_content_equal(&snaps[0]->content, &snaps[1]->content);
    }
    fs_record_free(records[0]);
    fs_record_free(records[1]);
    return same;
}
