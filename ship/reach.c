/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/transfer.h"

void fs_reach_begin(struct fs_reach *reach, const struct fs_uuid *point)
{
    if (!fs_uuid_equal(&reach->point, point)) {
        *reach = (struct fs_reach){.point = *point};
    }
}

bool fs_reach_pass(struct fs_reach *reach, size_t volume, uint64_t start, uint64_t end)
{
    uint64_t *offset = &reach->offsets[volume];
    bool again = start < *offset;

    if (*offset < end) {
        *offset = end;
    }
    return again;
}
