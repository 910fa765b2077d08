/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/digest.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* The state of a hash lies on the stack. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

static const uint8_t zeroes[FS_DIGEST_CHUNK];

/* A zero chunk is told by looking, not by its hash: then no byte of it is hashed at all. */
uint64_t fs_digest_of_chunk(const void *bytes, size_t length)
{
    assert(length <= FS_DIGEST_CHUNK);
    return memcmp(bytes, zeroes, length) == 0 ? 0 : XXH64(bytes, length, 0);
}

uint64_t fs_digest_zero_hash(size_t length)
{
    assert(length <= FS_DIGEST_CHUNK);
    return XXH64(zeroes, length, 0);
}

uint64_t fs_digest_of_chunks(const uint64_t *chunks, size_t count)
{
    XXH64_state_t state;
    uint64_t any = 0;

    (void)XXH64_reset(&state, 0);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = htole64(chunks[i]);

        any |= chunks[i];
        (void)XXH64_update(&state, &value, sizeof(value));
    }
    return any == 0 ? 0 : XXH64_digest(&state);
}

const struct fs_digest_volume *fs_digesting_find(const struct fs_digesting *digesting,
                                                 const struct fs_uuid *volume)
{
    for (size_t i = 0; i < digesting->n_volumes; i++) {
        if (fs_uuid_equal(&digesting->volumes[i].volume, volume)) {
            return &digesting->volumes[i];
        }
    }
    return NULL;
}
