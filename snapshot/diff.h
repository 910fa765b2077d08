/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed in one image between two snapshots, found slice by slice: librbd's fast diff names
 * the objects, the exact diff is asked only for those. Where fast diff cannot be believed every
 * object is asked. WORKER; one user at a time.
 */
#ifndef FARSHORE_SNAPSHOT_DIFF_H
#define FARSHORE_SNAPSHOT_DIFF_H

#include "snapshot/extents.h"
#include "snapshot/image.h"

struct fs_diff {
    /* set once */
    rbd_image_t handle;           /* borrowed; set to the later snapshot */
    char from[FS_SNAP_NAME_SIZE]; /* "": from the beginning, a parent's extents too */
    uint64_t size;                /* at the later snapshot */
    uint64_t period;              /* bytes of a full object set: where striping begins anew */
    bool fast;

    uint64_t *changed; /* a bit for each object set of [coarse_start, coarse_end), NULL: all */
    uint64_t coarse_start, coarse_end;
    struct fs_extents exact; /* changed extents in [exact_start, exact_end) */
    uint64_t exact_start, exact_end;
};

/* handle is borrowed and set to the later snapshot, whose size this is; from may be NULL. */
int fs_diff_init(struct fs_diff *diff, rbd_image_t handle, const char *from, uint64_t size,
                 bool fast, struct fs_error *err);
void fs_diff_fini(struct fs_diff *diff);

/*
 * Where fast diff cannot be believed, but for a rollback the object maps of both snapshots can:
 * what exists at neither of them is not asked for, which is most of a sparse image. Right after
 * fs_diff_init; the image is that of its handle, and is left set to the later snapshot.
 */
int fs_diff_skip_absent(struct fs_diff *diff, const struct fs_image *image, uint64_t from_id,
                        uint64_t to_id, struct fs_error *err);

/*
 * Up to capacity extents from `from` on, and where to go on from (size at the end). Extents of
 * what was found already come from memory where the caller goes on where it stopped.
 */
int fs_diff_list(struct fs_diff *diff, uint64_t from, struct fs_extent *ret_extents,
                 size_t capacity, size_t *ret_count, uint64_t *ret_next, struct fs_error *err);

#endif
