/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of records share. */
#ifndef FARSHORE_UNIT_RECORD_RIG_H
#define FARSHORE_UNIT_RECORD_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "farshore/record.h"

static inline struct fs_uuid uuid_of(uint8_t number)
{
    return (struct fs_uuid){{number, [15] = number}};
}

static inline void add_point(struct fs_record *record, uint8_t number, size_t n_contents)
{
    struct fs_record_point *point = fs_record_add_point(record, n_contents);

    assert_non_null(point);
    assert_int_equal(point->state, FS_POINT_TAKING);
    point->point = (struct fs_point_id){uuid_of(number), {3, uuid_of(200)}, number};
    point->state = (enum fs_point_state)(number % 5);
    point->flags = FS_POINT_NOT_ONE_INSTANT | FS_POINT_VOLUME_MISSING | FS_POINT_APPLICATION;
    point->taken_ns = -5;
    point->group_snapshot = true;
    strcpy(point->group_pool, "rbd");
    strcpy(point->group_ns, "prod");
    point->bytes = 123456789012345;
    if (number % 2) {
        point->objects =
            (struct fs_captured){.size = 7, .digest = {{0xee, [15] = 1}}, .stale = number > 2};
    }
    for (size_t i = 0; i < n_contents; i++) {
        point->contents[i] = (struct fs_record_content){
            .volume = uuid_of((uint8_t)(100 + i)),
            .snap_id = UINT64_MAX - 1,
            .mark_id = (uint64_t)INT64_MAX + 1,
            .geometry = {UINT64_C(1) << 40, 22, 4096, 4},
            .chain = {{0xab, [15] = 0xcd}},
        };
    }
}

/* A record with every member set. */

#endif
