/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is like what: finds, for new content, the blocks of the base that hold something similar,
 * wherever they lie in the volume. A database's log repeats pages that lie elsewhere, as they were
 * before. Fingerprints of the old content of what changed go in, those of new content are looked
 * up. It only proposes; a wrong proposal costs bytes, never content. ANY thread, several at a time.
 */
#ifndef FARSHORE_SHIP_DELTA_INDEX_H
#define FARSHORE_SHIP_DELTA_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "ship/content.h"

/* What is proposed, aligned in the volume. */
#define FS_DELTA_BLOCK 8192u

struct fs_delta_index;

/* bytes: of memory, a power of two. NULL when out of memory. */
struct fs_delta_index *fs_delta_index_new(size_t bytes);
void fs_delta_index_free(struct fs_delta_index *index); /* NULL is allowed */

/* bytes: what the base holds at offset of a volume. */
void fs_delta_index_add(struct fs_delta_index *index, unsigned volume, uint64_t offset,
                        const uint8_t *bytes, size_t length);

struct fs_delta_query {
    unsigned volume;
    const struct fs_piece *pieces; /* new content; ascending */
    size_t n_pieces;
    uint64_t size;   /* of the base: nothing beyond it is named */
    uint64_t window; /* no range crosses a multiple of it */
    uint64_t most;   /* bytes of all ranges together */
};

/* Ranges of the base that are most like the pieces, outside of them; ascending. Returns how many.
 */
size_t fs_delta_index_find(const struct fs_delta_index *index, const struct fs_delta_query *query,
                           struct fs_range ret_ranges[FS_DELTA_RANGES_MAX]);

#endif
