/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/mem_digest.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "tests/scenario/mem_private.h"

#define BATCH_UNITS 3 /* so that small images take several batches */

struct kept {
    struct fs_uuid group, point, volume;
    uint64_t from;
    struct fs_digest_list list;
    struct kept *next;
};

struct proof {
    struct fs_uuid point;
    struct proof *next;
};

struct noted {
    struct fs_uuid group;
    char *text;
    struct noted *next;
};

struct mem_digester {
    struct fs_digester base;
    struct mem_store *store;
    struct kept *kept;
    struct proof *proofs;
    struct noted *notes;
    unsigned fail_next;
    size_t open;
};

struct opened {
    struct fs_digesting base;
    struct mem_digester *digester;
    struct fs_uuid point;
    bool from_kept;
    struct fs_digest_volume volumes[FS_VOLUMES_MAX];
    struct mem_content contents[FS_VOLUMES_MAX];
};

/* One operation; runs when the mailbox is drained. */
struct action {
    struct fs_letter letter;
    struct mem_digester *digester;
    void (*run)(struct action *action);
    struct opened *opened;
    struct fs_digest_query query;
    struct fs_digest_list *list;
    struct fs_error err;
    fs_digest_open_fn *open_done;
    fs_digest_io_fn *done;
    fs_digest_notes_fn *notes_done;
    void *arg;
};

static void deliver(struct fs_letter *letter)
{
    struct action *action = (struct action *)((char *)letter - offsetof(struct action, letter));

    if (action->digester->store->crashed) {
        (void)fs_error_set(&action->err, FS_ERR_TRANSIENT, ESHUTDOWN, "crashed");
    }
    action->run(action);
    free(action);
}

static struct action *start(struct fs_digester *base, void (*run)(struct action *action), void *arg)
{
    struct action *action = mem_alloc(1, sizeof(*action));

    action->letter.deliver = deliver;
    action->digester = (struct mem_digester *)base;
    action->run = run;
    action->arg = arg;
    fs_mailbox_post(action->digester->store->mailbox, &action->letter);
    return action;
}

static void run_io(struct action *action)
{
    action->done(action->arg, &action->err);
}

/* --- open, next, close -------------------------------------------------------------------------
 */

static bool is_proved(const struct mem_digester *digester, const struct fs_uuid *point)
{
    for (const struct proof *proof = digester->proofs; proof; proof = proof->next) {
        if (fs_uuid_equal(&proof->point, point)) {
            return true;
        }
    }
    return false;
}

static void free_opened(struct opened *opened)
{
    for (size_t i = 0; i < opened->base.n_volumes; i++) {
        mem_content_fini(&opened->contents[i]);
    }
    opened->digester->open--;
    free(opened);
}

static void run_open(struct action *action)
{
    if (fs_error_is_set(&action->err)) {
        free_opened(action->opened);
        action->open_done(action->arg, NULL, &action->err);
    } else {
        action->open_done(action->arg, &action->opened->base, &action->err);
    }
}

static void fill(struct opened *opened, const struct fs_record *record, struct fs_error *err)
{
    struct fs_record *lookup = (struct fs_record *)record;
    const struct fs_record_point *point = fs_record_find_point(lookup, &opened->point);

    if (!point || (opened->from_kept && !is_proved(opened->digester, &opened->point))) {
        (void)fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "%s",
                           point ? "never proved" : "no such point");
        return;
    }
    for (size_t i = 0; i < point->n_contents; i++) {
        const struct fs_record_content *content = &point->contents[i];
        struct fs_record_volume *volume = fs_record_find_volume(lookup, &content->volume);
        struct mem_image *image =
            mem_store_find_ref(opened->digester->store, &volume->volume.image);
        const struct mem_snap *snap = image ? mem_image_snap(image, content->snap_id) : NULL;

        if (!snap) {
            (void)fs_error_set(err, FS_ERR_PERMANENT, ENOENT, "the snapshot is gone");
            return;
        }
        mem_content_copy(&snap->content, &opened->contents[i]);
        opened->volumes[i] = (struct fs_digest_volume){
            .volume = content->volume, .size = snap->content.size, .order = 18};
        opened->base.n_volumes++;
    }
}

static void open_any(struct fs_digester *base, const struct fs_record *record,
                     const struct fs_uuid *point, bool kept, fs_digest_open_fn *done, void *arg)
{
    struct action *action = start(base, run_open, arg);
    struct opened *opened = mem_alloc(1, sizeof(*opened));

    action->opened = opened;
    action->open_done = done;
    opened->base.ops = base->ops;
    opened->base.volumes = opened->volumes;
    opened->digester = action->digester;
    opened->digester->open++;
    opened->point = *point;
    opened->from_kept = kept;
    fill(opened, record, &action->err);
}

static void mem_open(struct fs_digester *base, const struct fs_record *record,
                     const struct fs_uuid *point, fs_digest_open_fn *done, void *arg)
{
    open_any(base, record, point, false, done, arg);
}

static void mem_open_kept(struct fs_digester *base, const struct fs_record *record,
                          const struct fs_uuid *point, fs_digest_open_fn *done, void *arg)
{
    open_any(base, record, point, true, done, arg);
}

static uint64_t digest_unit(const struct mem_content *content, uint64_t offset, uint32_t unit)
{
    uint8_t bytes[FS_DIGEST_CHUNK];
    uint64_t chunks[FS_DIGEST_UNIT_MAX / FS_DIGEST_CHUNK];
    uint64_t end = content->size - offset < unit ? content->size : offset + unit;
    size_t count = 0;

    for (uint64_t at = offset; at < end; at += FS_DIGEST_CHUNK) {
        uint64_t length = end - at < FS_DIGEST_CHUNK ? end - at : FS_DIGEST_CHUNK;

        mem_content_read(content, at, bytes, length);
        chunks[count++] = fs_digest_of_chunk(bytes, length);
    }
    return fs_digest_of_chunks(chunks, count);
}

void mem_content_digest(const struct mem_content *content, const struct fs_digest_query *query,
                        struct fs_digest_list *list)
{
    uint64_t limit = query->to < content->size ? query->to : content->size;
    uint64_t at = query->from;

    list->count = 0;
    list->bytes = 0;
    for (unsigned i = 0; i < BATCH_UNITS && at < limit; i++, at += query->unit) {
        uint64_t digest = digest_unit(content, at, query->unit);

        list->bytes += query->unit;
        if (digest) {
            list->entries[list->count++] = (struct fs_digest_entry){at, digest};
        }
    }
    list->next = at >= limit ? query->to : at;
}

static void next_kept(struct action *action)
{
    const struct fs_digest_query *query = &action->query;

    action->list->next = query->to;
    for (const struct kept *kept = action->digester->kept; kept; kept = kept->next) {
        if (!fs_uuid_equal(&kept->point, &action->opened->point) ||
            !fs_uuid_equal(&kept->volume, &query->volume)) {
            continue;
        }
        for (size_t i = 0; i < kept->list.count; i++) {
            uint64_t offset = kept->list.entries[i].offset;
            if (offset >= query->from && offset < query->to) { /* newest first: so sort */
                struct fs_digest_list *list = action->list;
                size_t k = list->count++;
                for (; k > 0 && list->entries[k - 1].offset > offset; k--) {
                    list->entries[k] = list->entries[k - 1];
                }
                list->entries[k] = kept->list.entries[i];
            }
        }
    }
}

static void run_next(struct action *action)
{
    struct mem_digester *digester = action->digester;
    struct opened *opened = action->opened;

    action->list->count = 0;
    action->list->bytes = 0;
    if (digester->fail_next > 0 && --digester->fail_next == 0) {
        (void)fs_error_set(&action->err, FS_ERR_TRANSIENT, EIO, "injected");
    }
    for (size_t i = 0; !fs_error_is_set(&action->err) && i < opened->base.n_volumes; i++) {
        if (!fs_uuid_equal(&opened->volumes[i].volume, &action->query.volume)) {
            continue;
        }
        if (opened->from_kept) {
            next_kept(action);
        } else {
            mem_content_digest(&opened->contents[i], &action->query, action->list);
        }
    }
    run_io(action);
}

static void mem_next(struct fs_digesting *base, const struct fs_digest_query *query,
                     struct fs_digest_list *list, fs_digest_io_fn *done, void *arg)
{
    struct opened *opened = (struct opened *)base;
    struct action *action = start(&opened->digester->base, run_next, arg);

    action->opened = opened;
    action->query = *query;
    action->list = list;
    action->done = done;
}

static void run_close(struct action *action)
{
    free_opened(action->opened);
    action->err = FS_ERROR_INIT;
    if (action->done) {
        run_io(action);
    }
}

static void mem_close(struct fs_digesting *base, fs_digest_io_fn *done, void *arg)
{
    struct opened *opened = (struct opened *)base;
    struct action *action = start(&opened->digester->base, run_close, arg);

    action->opened = opened;
    action->done = done;
}

/* --- what is kept ------------------------------------------------------------------------------
 */

static void mem_keep(struct fs_digester *base, const struct fs_uuid *group,
                     const struct fs_uuid *point, const struct fs_uuid *volume, uint64_t from,
                     const struct fs_digest_list *list, fs_digest_io_fn *done, void *arg)
{
    struct action *action = start(base, run_io, arg);
    struct kept *kept = mem_alloc(1, sizeof(*kept));

    *kept = (struct kept){.group = *group,
                          .point = *point,
                          .volume = *volume,
                          .from = from,
                          .list = *list,
                          .next = action->digester->kept};
    action->digester->kept = kept;
    action->done = done;
}

static void mem_prove(struct fs_digester *base, const struct fs_uuid *group,
                      const struct fs_uuid *point, fs_digest_io_fn *done, void *arg)
{
    struct action *action = start(base, run_io, arg);
    struct proof *proof = mem_alloc(1, sizeof(*proof));

    (void)group;
    assert(!is_proved(action->digester, point));
    *proof = (struct proof){.point = *point, .next = action->digester->proofs};
    action->digester->proofs = proof;
    action->done = done;
}

static void mem_unkeep(struct fs_digester *base, const struct fs_uuid *group,
                       const struct fs_uuid *point, fs_digest_io_fn *done, void *arg)
{
    struct action *action = start(base, run_io, arg);

    (void)group;
    for (struct kept **at = &action->digester->kept; *at;) {
        struct kept *kept = *at;
        if (fs_uuid_equal(&kept->point, point)) {
            *at = kept->next;
            free(kept);
        } else {
            at = &kept->next;
        }
    }
    action->done = done;
}

static void mem_note(struct fs_digester *base, const struct fs_uuid *group, const char *text,
                     fs_digest_io_fn *done, void *arg)
{
    struct action *action = start(base, run_io, arg);
    struct noted *noted = action->digester->notes;

    while (noted && !fs_uuid_equal(&noted->group, group)) {
        noted = noted->next;
    }
    if (!noted) {
        noted = mem_alloc(1, sizeof(*noted));
        noted->group = *group;
        noted->next = action->digester->notes;
        action->digester->notes = noted;
    }
    free(noted->text);
    noted->text = strdup(text);
    action->done = done;
}

static void run_notes(struct action *action)
{
    struct fs_digest_note notes[64];
    size_t count = 0;

    for (const struct noted *at = action->digester->notes; at && count < 64; at = at->next) {
        notes[count++] = (struct fs_digest_note){.group = at->group, .text = at->text};
    }
    action->notes_done(action->arg, notes, count, &action->err);
}

static void mem_notes(struct fs_digester *base, fs_digest_notes_fn *done, void *arg)
{
    start(base, run_notes, arg)->notes_done = done;
}

/* --- life --------------------------------------------------------------------------------------
 */

static const struct fs_digester_ops ops = {
    .open = mem_open,
    .open_kept = mem_open_kept,
    .next = mem_next,
    .close = mem_close,
    .keep = mem_keep,
    .prove = mem_prove,
    .unkeep = mem_unkeep,
    .note = mem_note,
    .notes = mem_notes,
};

struct mem_digester *mem_digester_new(struct mem_store *store)
{
    struct mem_digester *digester = mem_alloc(1, sizeof(*digester));

    digester->base.ops = &ops;
    digester->store = store;
    return digester;
}

void mem_digester_free(struct mem_digester *digester)
{
    assert(digester->open == 0);
    while (digester->kept) {
        struct kept *kept = digester->kept;
        digester->kept = kept->next;
        free(kept);
    }
    while (digester->proofs) {
        struct proof *proof = digester->proofs;
        digester->proofs = proof->next;
        free(proof);
    }
    while (digester->notes) {
        struct noted *noted = digester->notes;
        digester->notes = noted->next;
        free(noted->text);
        free(noted);
    }
    free(digester);
}

struct fs_digester *mem_digester_table(struct mem_digester *digester)
{
    return &digester->base;
}

void mem_digester_fail_next(struct mem_digester *digester, unsigned nth)
{
    digester->fail_next = nth;
}

size_t mem_digester_proved(const struct mem_digester *digester)
{
    size_t count = 0;

    for (const struct proof *proof = digester->proofs; proof; proof = proof->next) {
        count++;
    }
    return count;
}

size_t mem_digester_open(const struct mem_digester *digester)
{
    return digester->open;
}

void mem_digester_tamper(struct mem_digester *digester, const char *pool, const char *name,
                         const struct fs_uuid *point, uint64_t offset)
{
    struct mem_image *image = mem_store_find(digester->store, pool, name);

    for (size_t i = 0; i < image->n_snaps; i++) {
        if (fs_uuid_equal(&image->snaps[i]->point, point)) {
            uint8_t byte;
            mem_content_read(&image->snaps[i]->content, offset, &byte, 1);
            byte ^= 0x80;
            mem_content_write(&image->snaps[i]->content, offset, &byte, 1);
            return;
        }
    }
    abort();
}
