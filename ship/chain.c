/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
/* For hash states on the stack, whose size the library otherwise keeps to itself. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "ship/codec.h"

/* offset u64, length u64, kind u8, hash u64; little endian. */
#define ENTRY_SIZE 25

void fs_chain_extend(struct fs_digest *chain, const struct fs_segment_extent *extents, size_t count)
{
    if (count == 0) {
        return;
    }
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, chain->b, sizeof(chain->b));
    for (size_t i = 0; i < count; i++) {
        uint8_t entry[ENTRY_SIZE];
        fs_codec_store_u64(entry, extents[i].extent.offset);
        fs_codec_store_u64(entry + 8, extents[i].extent.length);
        entry[16] = (uint8_t)extents[i].extent.kind;
        fs_codec_store_u64(entry + 17, extents[i].hash);
        XXH3_128bits_update(&state, entry, sizeof(entry));
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    _Static_assert(sizeof(canonical.digest) == sizeof(chain->b), "both are 128 bits");
    memcpy(chain->b, canonical.digest, sizeof(chain->b));
}
