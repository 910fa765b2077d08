/* SPDX-License-Identifier: Apache-2.0 */
/* 128-bit identifiers of sites, groups, volumes, points and daemon instances. Any thread. */
#ifndef FARSHORE_UUID_H
#define FARSHORE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FS_UUID_TEXT 37 /* with the terminating NUL */

struct fs_uuid {
    uint8_t b[16];
};

void fs_uuid_random(struct fs_uuid *ret_uuid);
/* Lower case, with dashes. */
void fs_uuid_format(const struct fs_uuid *uuid, char ret_text[FS_UUID_TEXT]);
/* 0 or -EINVAL. */
int fs_uuid_parse(const char *text, struct fs_uuid *ret_uuid);

static inline bool fs_uuid_equal(const struct fs_uuid *a, const struct fs_uuid *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline int fs_uuid_compare(const struct fs_uuid *a, const struct fs_uuid *b)
{
    return memcmp(a->b, b->b, sizeof(a->b));
}

static inline bool fs_uuid_is_zero(const struct fs_uuid *a)
{
    static const struct fs_uuid zero;
    return fs_uuid_equal(a, &zero);
}

#endif
