/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing two lists of digests, range by range. Units that neither lists are zero on both sides.
 */
#include "ship/prover.h"

void fs_prover_add_difference(struct fs_prover *prover, const struct fs_uuid *volume,
                              uint64_t object, uint64_t offset, uint64_t length)
{
    struct fs_verify_report *report = &prover->report;
    if (report->n_differences > 0) {
        struct fs_difference *last = &report->differences[report->n_differences - 1];
        if (last->object == object && last->offset + last->length == offset &&
            fs_uuid_equal(&last->volume, volume)) {
            last->length += length;
            return;
        }
    }
    if (report->n_differences < FS_DIFFERENCES_MAX) {
        report->differences[report->n_differences++] = (struct fs_difference){
            .volume = *volume, .object = object, .offset = offset, .length = length};
    }
}

/*
 * Walk through both lists up to end; each offset where they differ goes to found. *used counts
 * the entries of mine that were passed.
 */
static void walk(const struct fs_digest_list *mine, size_t *used,
                 const struct fs_digest_list *theirs, uint64_t end,
                 void (*found)(struct fs_prover *prover, uint64_t offset), struct fs_prover *prover)
{
    size_t i = *used, k = 0;
    for (;;) {
        uint64_t a = i < mine->count ? mine->entries[i].offset : UINT64_MAX;
        uint64_t b = k < theirs->count ? theirs->entries[k].offset : UINT64_MAX;
        uint64_t at = a < b ? a : b;
        if (at >= end) {
            break;
        }
        if (a != b || mine->entries[i].digest != theirs->entries[k].digest) {
            found(prover, at);
        }
        i += a == at;
        k += b == at;
    }
    *used = i;
}

static void suspect(struct fs_prover *prover, uint64_t offset)
{
    prover->report.different++;
    if (prover->n_suspects < FS_DIFFERENCES_MAX) {
        prover->suspects[prover->n_suspects++] = offset;
    }
}

void fs_prover_compare(struct fs_prover *prover)
{
    prover->n_suspects = 0;
    prover->suspect = 0;
    walk(&prover->mine, &prover->used, &prover->theirs, prover->theirs.next, suspect, prover);
    prover->compared = prover->theirs.next;
}

static void found_chunk(struct fs_prover *prover, uint64_t offset)
{
    const struct fs_digest_volume *volume = &prover->own->volumes[prover->volume];
    uint64_t left = volume->size - offset;
    prover->narrowed = true;
    fs_prover_add_difference(prover, &volume->volume, offset >> volume->order, offset,
                             left < FS_DIGEST_CHUNK ? left : FS_DIGEST_CHUNK);
}

void fs_prover_compare_chunks(struct fs_prover *prover)
{
    size_t used = 0;
    walk(&prover->narrow_mine, &used, &prover->narrow_theirs, prover->narrow_theirs.next,
         found_chunk, prover);
    prover->narrow_at = prover->narrow_theirs.next;
}

static const struct fs_digest_volume *find_other(const struct fs_prover *prover,
                                                 const struct fs_uuid *volume)
{
    for (size_t i = 0; i < prover->other.n_volumes; i++) {
        if (fs_uuid_equal(&prover->other.volumes[i].volume, volume)) {
            return &prover->other.volumes[i];
        }
    }
    return NULL;
}

static void whole_differs(struct fs_prover *prover, const struct fs_uuid *volume, uint64_t from,
                          uint64_t to, unsigned order)
{
    prover->report.different++;
    fs_prover_add_difference(prover, volume, from >> order, from, to > from ? to - from : 1);
}

void fs_prover_compare_volumes(struct fs_prover *prover)
{
    for (size_t i = 0; i < prover->own->n_volumes; i++) {
        const struct fs_digest_volume *mine = &prover->own->volumes[i];
        const struct fs_digest_volume *theirs = find_other(prover, &mine->volume);
        if (theirs == NULL) {
            whole_differs(prover, &mine->volume, 0, mine->size, mine->order);
        } else if (mine->size != theirs->size) {
            uint64_t low = mine->size < theirs->size ? mine->size : theirs->size;
            uint64_t high = mine->size < theirs->size ? theirs->size : mine->size;
            whole_differs(prover, &mine->volume, low, high, mine->order);
        }
    }
    for (size_t i = 0; i < prover->other.n_volumes; i++) {
        const struct fs_digest_volume *theirs = &prover->other.volumes[i];
        if (fs_digesting_find(prover->own, &theirs->volume) == NULL) {
            whole_differs(prover, &theirs->volume, 0, theirs->size, theirs->order);
        }
    }
}
