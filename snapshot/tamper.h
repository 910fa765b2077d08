/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has somebody else written to a target image? What the record says is in it is compared with what
 * is there, byte by byte, and nothing that cannot be Farshore's own is ever discarded without being
 * asked. The rules are in tamper.c. WORKER.
 */
#ifndef FARSHORE_SNAPSHOT_TAMPER_H
#define FARSHORE_SNAPSHOT_TAMPER_H

#include "snapshot/target.h"

#define FS_TAMPER_RANGES 4 /* that are told; there may be more */

struct fs_tampering {
    uint64_t size, expected_size; /* of the image; equal where that was left alone */
    size_t n_ranges;
    bool more; /* than these */
    struct {
        uint64_t offset, length;
    } ranges[FS_TAMPER_RANGES];
};

/*
 * The target is held, and its hold is not proven. record is the one before the offer. 0: what is in
 * the image beyond the newest point may be discarded. Refuses (FS_REFUSE_TAMPERED, -EKEYREJECTED)
 * where it may not; with adopt it is kept in a snapshot first, and 0 is returned.
 */
int fs_tamper_check(struct fs_cluster *cluster, const struct fs_record *record,
                    const struct fs_target *target, bool adopt, enum fs_refusal *refusal,
                    struct fs_error *err);

/*
 * The image's head in a snapshot farshore.left.<term>.<n>, which stays until it is discarded by
 * name. The target is held.
 */
int fs_tamper_keep(const struct fs_target *target, const struct fs_term *term,
                   char ret_name[FS_SNAP_NAME_SIZE], struct fs_error *err);

/*
 * What the head holds beyond the newest committed point that has the volume (without one: beyond
 * nothing); `more` alone where that point's snapshot is gone.
 */
int fs_tamper_compare(struct fs_cluster *cluster, const struct fs_record *record,
                      const struct fs_target *target, struct fs_tampering *ret_found,
                      struct fs_error *err);
bool fs_tampering_any(const struct fs_tampering *found);

/* fs_tamper_keep, where the newest snapshot of that kind and term does not hold the same. */
int fs_tamper_keep_once(struct fs_cluster *cluster, const struct fs_record *record,
                        const struct fs_target *target, const struct fs_term *term,
                        const char *what, struct fs_error *err);

/* "4096 bytes at 0, 512 bytes at 1048576 and more"; returns text. Pure. */
char *fs_tampering_text(const struct fs_tampering *tampering, char *text, size_t size);

#endif
