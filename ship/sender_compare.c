/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The difference to what the target holds, where no diff tells it: the base is gone. In the place
 * of the source's list, a batch is made like this:
 *
 *   1. both sites digest objects from the same place on, each where its data lies (DIGEST_WANT);
 *   2. as far as both got: what is zero here and data there is a hole, what is data here and zero
 *      there is data, and an object with other data is digested once more, chunk by chunk;
 *   3. what differs is the batch's extents.
 *
 * The target answers for what its images hold at that moment. That stays so until our own segments
 * are written, which are of ranges that were compared before: the lister is ahead of them.
 */
#include "ship/sender.h"
#include "ship/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "farshore/fault.h"

/* What one answer can tell of chunks: room that a batch must have for it. */
#define CHUNKS_AT_ONCE FS_DIGESTS_MAX

struct unit { /* an object that differs */
    uint64_t offset;
    bool here, there; /* there is data at that site */
};

struct fs_comparison {
    struct fs_sender *sender;
    struct fs_digesting *own;

    bool own_busy, asked; /* the two halves of the query under way */
    struct fs_digest_query query;
    struct fs_digest_list mine, theirs;

    unsigned volume;
    uint64_t at; /* objects were compared up to here */
    size_t n_units, next_unit;
    struct unit units[2 * FS_DIGESTS_MAX];
    bool by_chunks;
    size_t chunks_until; /* of units: those that are looked at by chunks now */

    struct fs_extent_list *list; /* being filled; NULL: none */
    uint64_t from;
};

static void go_on(struct fs_comparison *comparison);

static uint32_t unit_of(const struct fs_comparison *comparison)
{
    const struct fs_sender *sender = comparison->sender;
    return UINT32_C(1) << sender->offer.volumes[comparison->volume].geometry.order;
}

static uint64_t size_of(const struct fs_comparison *comparison)
{
    return comparison->sender->volumes[comparison->volume].size;
}

static uint64_t end_of(const struct fs_comparison *comparison, uint64_t offset, uint64_t length)
{
    uint64_t size = size_of(comparison);
    return size - offset < length ? size : offset + length;
}

/* --- a query at both sites -------------------------------------------------------------------- */

static void own_done(void *arg, const struct fs_error *err)
{
    struct fs_comparison *comparison = arg;
    struct fs_sender *sender = comparison->sender;
    comparison->own_busy = false;
    if (sender->state == SENDER_ENDING) {
        fs_sender_check_drained(sender);
        return;
    }
    if (err && fs_error_is_set(err)) {
        struct fs_error failed = *err;
        fs_error_context(&failed, "digest %s",
                         sender->offer.volumes[comparison->volume].volume.image.name);
        fs_sender_fail(sender, &failed);
        return;
    }
    sender->stats.read_bytes += comparison->mine.bytes;
    go_on(comparison);
}

static void ask(struct fs_comparison *comparison, uint64_t from, uint64_t to, uint32_t unit)
{
    struct fs_sender *sender = comparison->sender;
    comparison->query = (struct fs_digest_query){
        .volume = sender->offer.volumes[comparison->volume].volume.uuid,
        .from = from,
        .to = to,
        .unit = unit,
    };
    struct fs_digest_want want = {.query = comparison->query};
    comparison->own_busy = comparison->asked = true;
    FS_STREAM_SEND(sender->session, FS_FRAME_DIGEST_WANT, sender->stream, digest_want, &want);
    comparison->own->ops->next(comparison->own, &comparison->query, &comparison->mine, own_done,
                               comparison);
}

int fs_sender_digests(struct fs_sender *sender, const struct fs_frame *frame, struct fs_error *err)
{
    struct fs_comparison *comparison = sender->comparison;
    struct fs_digest_batch batch;
    if (!comparison || !comparison->asked) {
        return fs_error_set(err, FS_ERR_PEER, EPROTO, "the peer sent digests that nobody wants");
    }
    int r = fs_digest_batch_decode(frame->payload, frame->length, &batch, err);
    if (r < 0) {
        return r;
    }
    if (fs_digest_batch_answers(&batch, &comparison->query)) {
        comparison->asked = false;
        comparison->theirs.count = batch.n_entries;
        comparison->theirs.next = batch.next;
        memcpy(comparison->theirs.entries, batch.entries, batch.n_entries * sizeof(*batch.entries));
        go_on(comparison);
    } else {
        r = fs_error_set(err, FS_ERR_PEER, EPROTO,
                         "the peer sent digests of another range than was asked for");
    }
    fs_digest_batch_fini(&batch);
    return r;
}

/* --- what it tells ---------------------------------------------------------------------------- */

/* The part of [offset, end) that the list is to have. */
static void add(struct fs_comparison *comparison, uint64_t offset, uint64_t end, bool data)
{
    struct fs_extent_list *list = comparison->list;
    enum fs_extent_kind kind = data ? FS_EXTENT_DATA : FS_EXTENT_ZERO;
    struct fs_extent *last = list->count > 0 ? &list->extents[list->count - 1] : NULL;
    offset = offset < comparison->from ? comparison->from : offset;
    if (offset >= end) {
        return;
    }
    if (last && last->kind == kind && last->offset + last->length == offset) {
        last->length += end - offset;
        return;
    }
    assert(list->count < list->capacity);
    list->extents[list->count++] =
        (struct fs_extent){.offset = offset, .length = end - offset, .kind = kind};
}

/* Both lists up to where both sites got; found is called for each unit that differs, in order. */
static uint64_t compare(struct fs_comparison *comparison,
                        void (*found)(struct fs_comparison *comparison, const struct unit *unit))
{
    const struct fs_digest_list *mine = &comparison->mine, *theirs = &comparison->theirs;
    uint64_t end = mine->next < theirs->next ? mine->next : theirs->next;
    size_t i = 0, k = 0;
    for (;;) {
        uint64_t a = i < mine->count ? mine->entries[i].offset : UINT64_MAX;
        uint64_t b = k < theirs->count ? theirs->entries[k].offset : UINT64_MAX;
        struct unit unit = {.offset = a < b ? a : b, .here = a <= b, .there = b <= a};
        if (unit.offset >= end) {
            return end;
        }
        if (a != b || mine->entries[i].digest != theirs->entries[k].digest) {
            found(comparison, &unit);
        }
        i += unit.here;
        k += unit.there;
    }
}

static void found_object(struct fs_comparison *comparison, const struct unit *unit)
{
    comparison->units[comparison->n_units++] = *unit;
}

static void found_chunk(struct fs_comparison *comparison, const struct unit *unit)
{
    add(comparison, unit->offset, end_of(comparison, unit->offset, FS_DIGEST_CHUNK), unit->here);
}

/* --- a batch ---------------------------------------------------------------------------------- */

static void finish(struct fs_comparison *comparison, uint64_t next)
{
    struct fs_extent_list *list = comparison->list;
    list->next = next;
    comparison->list = NULL;
    fs_fault("compare.listed");
    fs_sender_listed(comparison->sender, list, NULL);
}

/* Look at the next objects by chunks: a run of them, as far as one answer goes. */
static void ask_chunks(struct fs_comparison *comparison)
{
    const struct unit *units = comparison->units;
    size_t first = comparison->next_unit, last = first + 1;
    uint32_t unit = unit_of(comparison);
    while (last < comparison->n_units && units[last].here && units[last].there &&
           units[last].offset == units[last - 1].offset + unit &&
           (last - first + 1) * (unit / FS_DIGEST_CHUNK) <= CHUNKS_AT_ONCE) {
        last++;
    }
    comparison->by_chunks = true;
    comparison->chunks_until = last;
    ask(comparison, units[first].offset, end_of(comparison, units[last - 1].offset, unit),
        FS_DIGEST_CHUNK);
}

/* Put the objects that differ into the list, until it is finished or waits for an answer. */
static void hand_out(struct fs_comparison *comparison)
{
    for (; comparison->next_unit < comparison->n_units; comparison->next_unit++) {
        const struct unit *unit = &comparison->units[comparison->next_unit];
        if (comparison->list->capacity - comparison->list->count <= CHUNKS_AT_ONCE &&
            unit->offset > comparison->from) {
            finish(comparison, unit->offset); /* the next list begins with it */
            return;
        }
        if (unit->here && unit->there && unit_of(comparison) > FS_DIGEST_CHUNK) {
            ask_chunks(comparison);
            return;
        }
        add(comparison, unit->offset, end_of(comparison, unit->offset, unit_of(comparison)),
            unit->here);
    }
    finish(comparison, comparison->at);
}

static void chunks_compared(struct fs_comparison *comparison, uint64_t end)
{
    if (end < comparison->query.to) {
        ask(comparison, end, comparison->query.to, FS_DIGEST_CHUNK);
        return;
    }
    comparison->by_chunks = false;
    comparison->next_unit = comparison->chunks_until;
    hand_out(comparison);
}

/* Both halves of a query may be there. */
static void go_on(struct fs_comparison *comparison)
{
    if (comparison->own_busy || comparison->asked) {
        return;
    }
    if (comparison->by_chunks) {
        chunks_compared(comparison, compare(comparison, found_chunk));
        return;
    }
    comparison->n_units = comparison->next_unit = 0;
    comparison->at = compare(comparison, found_object);
    hand_out(comparison);
}

void fs_sender_compare(struct fs_sender *sender, unsigned volume, uint64_t from,
                       struct fs_extent_list *list)
{
    struct fs_comparison *comparison = sender->comparison;
    comparison->list = list;
    comparison->from = from;
    comparison->volume = volume;
    list->count = 0;
    uint32_t unit = unit_of(comparison);
    ask(comparison, from - from % unit, size_of(comparison), unit);
}

/* --- life ------------------------------------------------------------------------------------- */

static void opened_cb(void *arg, struct fs_digesting *digesting, const struct fs_error *err)
{
    struct fs_sender *sender = arg;
    sender->comparison->own = digesting;
    fs_sender_compare_opened(sender, digesting ? NULL : err);
}

int fs_sender_compare_open(struct fs_sender *sender, struct fs_error *err)
{
    if (!sender->digester || !(fs_session_peer(sender->session)->features & FS_FEATURE_COMPARE)) {
        return fs_error_set(err, FS_ERR_PERMANENT, EOPNOTSUPP,
                            "the snapshots of the base are gone, and the other site's Farshore "
                            "(%s) cannot tell by digests what differs: upgrade it",
                            fs_session_peer(sender->session)->software);
    }
    sender->comparison = calloc(1, sizeof(*sender->comparison));
    if (!sender->comparison) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "out of memory to compare digests");
    }
    sender->comparison->sender = sender;
    fs_fault("compare.begin");
    sender->digester->ops->open(sender->digester, sender->record, &sender->point, opened_cb,
                                sender);
    return 0;
}

bool fs_sender_compare_close(struct fs_sender *sender, fs_digest_io_fn *done)
{
    struct fs_digesting *own = sender->comparison ? sender->comparison->own : NULL;
    if (!own) {
        return false;
    }
    sender->comparison->own = NULL;
    own->ops->close(own, done, sender);
    return true;
}

bool fs_sender_compares(const struct fs_sender *sender)
{
    return sender->comparison && sender->comparison->own_busy;
}
