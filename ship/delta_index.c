/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rolling hash over 64 bytes goes over the content; where it has a certain form, about once in
 * 256 bytes, it is a fingerprint. The same content gives the same ones wherever it begins, so that
 * the images of pages in a log are found though they are not aligned there. The table has one
 * block's number for each fingerprint; the first that comes stays. Measured on PostgreSQL: one in
 * 512 bytes finds nearly as much, one in 128 hardly more.
 */
#include "ship/delta_index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WINDOW 64
#define FORM   UINT64_C(0xff00000000)
/* So many hits must point to a block: fewer are chance, or a common phrase. */
#define VOTES_MIN 2
/* Hits of one query; content that has more is odd, and the rest of it is not looked at. */
#define HITS_MAX 8192

struct fs_delta_index {
    unsigned shift; /* of a fingerprint, to a slot */
    /* Above the block's number + 1 (32 bits), below the fingerprint's other half; 0: empty. */
    _Atomic uint64_t slots[];
};

static uint64_t gear[256];
static pthread_once_t gear_once = PTHREAD_ONCE_INIT;

/* Any numbers that look random: splitmix64. */
static void gear_make(void)
{
    uint64_t x = 0;
    for (size_t i = 0; i < 256; i++) {
        uint64_t z = (x += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        gear[i] = z ^ (z >> 31);
    }
}

struct fs_delta_index *fs_delta_index_new(size_t bytes)
{
    unsigned bits = 0;
    while ((sizeof(uint64_t) << (bits + 1)) <= bytes) {
        bits++;
    }
    struct fs_delta_index *index = calloc(1, sizeof(*index) + (sizeof(uint64_t) << bits));
    if (index) {
        index->shift = 64 - bits;
        pthread_once(&gear_once, gear_make);
    }
    return index;
}

void fs_delta_index_free(struct fs_delta_index *index)
{
    free(index);
}

/* The next fingerprint from *at on, with *at behind it; 0: there is none. One of a run of equal
 * ones, as long zeroes give, is enough: *hash remembers it. */
static uint64_t next_print(const uint8_t *bytes, size_t length, size_t *at, uint64_t *hash,
                           uint64_t *last)
{
    while (*at < length) {
        *hash = (*hash << 1) + gear[bytes[(*at)++]];
        if ((*hash & FORM) == 0 && *at >= WINDOW && *hash != *last) {
            *last = *hash;
            uint64_t print = *hash * UINT64_C(0x9e3779b97f4a7c15);
            return print ? print : 1;
        }
    }
    return 0;
}

/* Volumes have nothing in common: a segment names ranges of its own. */
static uint64_t of_volume(uint64_t print, unsigned volume)
{
    print ^= (uint64_t)volume * UINT64_C(0xd6e8feb86659fd93);
    return print * UINT64_C(0x9e3779b97f4a7c15);
}

void fs_delta_index_add(struct fs_delta_index *index, unsigned volume, uint64_t offset,
                        const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    uint64_t hash = 0, last = 0, print;
    while ((print = next_print(bytes, length, &at, &hash, &last)) != 0) {
        uint64_t block = (offset + at - 1) / FS_DELTA_BLOCK + 1;
        if (block > UINT32_MAX) {
            return; /* beyond 32 TiB */
        }
        uint64_t slot = of_volume(print, volume);
        uint64_t empty = 0;
        atomic_compare_exchange_strong_explicit(&index->slots[slot >> index->shift], &empty,
                                                block << 32 | (uint32_t)slot, memory_order_relaxed,
                                                memory_order_relaxed);
    }
}

struct vote {
    uint32_t block, votes;
};

static int by_block(const void *a, const void *b)
{
    uint32_t x = ((const struct vote *)a)->block, y = ((const struct vote *)b)->block;
    return x < y ? -1 : x > y;
}

static int by_votes(const void *a, const void *b)
{
    uint32_t x = ((const struct vote *)a)->votes, y = ((const struct vote *)b)->votes;
    return x > y ? -1 : x < y ? 1 : by_block(a, b);
}

static size_t find_hits(const struct fs_delta_index *index, const struct fs_delta_query *query,
                        struct vote *hits)
{
    size_t count = 0;
    for (size_t i = 0; i < query->n_pieces; i++) {
        const struct fs_piece *piece = &query->pieces[i];
        size_t length = piece->extent.kind == FS_EXTENT_DATA ? piece->extent.length : 0, at = 0;
        uint64_t hash = 0, last = 0, print;
        while (count < HITS_MAX &&
               (print = next_print(piece->content, length, &at, &hash, &last)) != 0) {
            uint64_t slot = of_volume(print, query->volume);
            uint64_t found =
                atomic_load_explicit(&index->slots[slot >> index->shift], memory_order_relaxed);
            if (found != 0 && (uint32_t)found == (uint32_t)slot) {
                hits[count++] = (struct vote){.block = (uint32_t)(found >> 32) - 1, .votes = 1};
            }
        }
    }
    return count;
}

/* What is in the same place is in the prefix anyway. */
static bool overlaps_piece(const struct fs_delta_query *query, uint64_t from, uint64_t to)
{
    size_t low = 0, high = query->n_pieces;
    while (low < high) { /* the first that ends behind from */
        size_t middle = (low + high) / 2;
        const struct fs_extent *extent = &query->pieces[middle].extent;
        if (extent->offset + extent->length > from) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low < query->n_pieces && query->pieces[low].extent.offset < to;
}

/* One entry for each block with enough votes that may be named. */
static size_t count_votes(const struct fs_delta_query *query, struct vote *votes, size_t count)
{
    size_t kept = 0;
    qsort(votes, count, sizeof(*votes), by_block);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && votes[next].block == votes[i].block;) {
            next++;
        }
        uint64_t from = (uint64_t)votes[i].block * FS_DELTA_BLOCK;
        if (next - i >= VOTES_MIN && from + FS_DELTA_BLOCK <= query->size &&
            !overlaps_piece(query, from, from + FS_DELTA_BLOCK)) {
            votes[kept++] = (struct vote){votes[i].block, (uint32_t)(next - i)};
        }
    }
    return kept;
}

size_t fs_delta_index_find(const struct fs_delta_index *index, const struct fs_delta_query *query,
                           struct fs_range ret_ranges[FS_DELTA_RANGES_MAX])
{
    struct vote *votes = malloc(HITS_MAX * sizeof(*votes));
    size_t n_ranges = 0;
    if (!votes) {
        return 0;
    }
    size_t count = count_votes(query, votes, find_hits(index, query, votes));
    size_t most = (size_t)(query->most / FS_DELTA_BLOCK);
    most = most < FS_DELTA_RANGES_MAX ? most : FS_DELTA_RANGES_MAX;
    qsort(votes, count, sizeof(*votes), by_votes);
    count = count < most ? count : most;
    qsort(votes, count, sizeof(*votes), by_block);
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = (uint64_t)votes[i].block * FS_DELTA_BLOCK;
        struct fs_range *last = n_ranges > 0 ? &ret_ranges[n_ranges - 1] : NULL;
        if (last && last->offset + last->length == offset && offset % query->window != 0) {
            last->length += FS_DELTA_BLOCK;
        } else {
            ret_ranges[n_ranges++] = (struct fs_range){offset, FS_DELTA_BLOCK};
        }
    }
    free(votes);
    return n_ranges;
}
