/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/rewind.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/diff.h"

#define CHUNK   (1u << 20)
#define BLOCK   4096u /* compared, and written or discarded in runs of these */
#define EXTENTS 256

/* Read through handles of their own: setting the target's to a snapshot would give up its lock. */
struct rewind {
    rbd_image_t target; /* borrowed, with the lock */
    struct fs_image head, then;
    uint8_t *now_bytes, *then_bytes; /* CHUNK each */
};

static int read_both(const struct rewind *rewind, uint64_t offset, size_t length,
                     struct fs_error *err)
{
    ssize_t rc = rbd_read(rewind->head.handle, offset, length, (char *)rewind->now_bytes);

    if (rc == (ssize_t)length) {
        rc = rbd_read(rewind->then.handle, offset, length, (char *)rewind->then_bytes);
    }
    if (rc != (ssize_t)length) {
        return fs_cluster_error(err, rc < 0 ? (int)rc : -EIO, "cannot read %zu bytes at %" PRIu64,
                                length, offset);
    }
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static int put_back(const struct rewind *rewind, uint64_t offset, const uint8_t *bytes,
                    size_t length, struct fs_error *err)
{
    ssize_t rc = is_zero(bytes, length)
                     ? rbd_discard(rewind->target, offset, length)
                     : rbd_write(rewind->target, offset, length, (const char *)bytes);

    return rc < 0 ? fs_cluster_error(err, (int)rc, "cannot put back %zu bytes at %" PRIu64, length,
                                     offset)
                  : 0;
}

/* Runs of blocks that differ, at most CHUNK bytes. */
static int mend_chunk(const struct rewind *rewind, uint64_t offset, size_t length,
                      struct fs_error *err)
{
    size_t from = 0;
    bool differing = false;
    int rc = read_both(rewind, offset, length, err);

    for (size_t at = 0; rc == 0 && at <= length; at += BLOCK) {
        size_t block = at + BLOCK < length ? BLOCK : length - at;
        bool differs =
            at < length && memcmp(rewind->now_bytes + at, rewind->then_bytes + at, block) != 0;

        if (differing && !differs) {
            rc = put_back(rewind, offset + from, rewind->then_bytes + from, at - from, err);
        }
        if (differs && !differing) {
            from = at;
        }
        differing = differs;
    }
    if (rc == 0 && differing) { /* the last block was a short one */
        rc = put_back(rewind, offset + from, rewind->then_bytes + from, length - from, err);
    }
    return rc;
}

static int mend_extent(const struct rewind *rewind, const struct fs_extent *extent,
                       struct fs_error *err)
{
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < extent->length; at += CHUNK) {
        uint64_t left = extent->length - at;

        rc = mend_chunk(rewind, extent->offset + at, left < CHUNK ? (size_t)left : CHUNK, err);
    }
    return rc;
}

static int mend(const struct rewind *rewind, const struct fs_snap_list *snaps,
                const struct fs_base *base, bool never_back, struct fs_error *err)
{
    /* Without a rollback only the base and what came after it can mislead. */
    const struct fs_snap_list later = {.count = snaps->count - (size_t)(base->from - snaps->snaps),
                                       .snaps = (struct fs_snap *)base->from};
    struct fs_extent extents[EXTENTS];
    struct fs_diff diff;
    char why[128];
    bool fast = false;
    uint64_t size = base->content->size;
    size_t count;
    int rc = fs_image_fast_diff_valid(&rewind->head, never_back ? &later : snaps, base->from->id, 0,
                                      &fast, why, sizeof(why), err);

    if (rc == 0) {
        rc = fs_diff_init(&diff, rewind->head.handle, base->from->name, size, fast, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (uint64_t at = 0; rc == 0 && at < size;) {
        rc = fs_diff_list(&diff, at, extents, EXTENTS, &count, &at, err);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            rc = mend_extent(rewind, &extents[i], err);
        }
    }
    fs_diff_fini(&diff);
    return rc;
}

static int set_size(const struct rewind *rewind, uint64_t size, struct fs_error *err)
{
    uint64_t now;
    int rc = rbd_get_size(rewind->target, &now);

    if (rc == 0 && now != size) {
        rc = rbd_resize(rewind->target, size);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "cannot resize it to %" PRIu64 " bytes", size) : 0;
}

int fs_rewind(struct fs_cluster *cluster, const struct fs_target *target,
              const struct fs_snap_list *snaps, const struct fs_base *base, bool never_back,
              struct fs_error *err)
{
    struct rewind rewind = {
        .target = target->image.handle, .now_bytes = malloc(CHUNK), .then_bytes = malloc(CHUNK)};
    int rc = rewind.now_bytes && rewind.then_bytes
                 ? 0
                 : fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to take an image back");

    if (rc == 0) {
        rc = set_size(&rewind, base->content->size, err);
    }
    if (rc == 0) {
        rc = fs_image_open(cluster, &target->ref, FS_IMAGE_READ, &rewind.head, err);
    }
    if (rc == 0) {
        rc = fs_image_open(cluster, &target->ref, FS_IMAGE_READ, &rewind.then, err);
    }
    if (rc == 0) {
        rc = rbd_snap_set_by_id(rewind.then.handle, base->content->id);
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot look at snapshot %" PRIu64, base->content->id);
        }
    }
    if (rc == 0) {
        rc = mend(&rewind, snaps, base, never_back, err);
    }
    if (rc == 0) {
        rc = rbd_flush(target->image.handle);
        if (rc < 0) {
            fs_cluster_error(err, rc, "cannot flush");
        }
    }
    fs_image_close(&rewind.then);
    fs_image_close(&rewind.head);
    free(rewind.now_bytes);
    free(rewind.then_bytes);
    return rc;
}
