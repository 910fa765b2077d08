/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librbd's public interface takes one range at a time, and each becomes an operation of an OSD. A
 * RADOS operation may as well carry all ranges of an object, which costs a fraction (16.2,
 * bluestore, 32,000 random ranges of 4 KiB in 512 objects: written in 2.0 s instead of 6.7 s, read
 * in 2.3 s instead of 9.9 s, CPU of the OSD likewise). But it goes past librbd, and what librbd
 * knows must be known here.
 *
 * For both directions an image qualifies where byte B of it is byte B % size of object B / size and
 * nowhere else: format 2, no fancy striping, no parent (at this snapshot), no migration under way,
 * and no feature that this code does not know: a newer one may mean anything. Journaling is
 * excluded too: an image's journal has to see each write, and a reader might need it. Encryption
 * is no matter: it is loaded into a handle, and ours see what lies in the objects, as librbd shows
 * it to them. The objects are in the data pool, in the image's own namespace.
 *
 * Reading: an image's snapshot id is that of its objects. An object that is not there is either a
 * hole, or the snapshot was removed meanwhile and its clone trimmed: the caller asks librbd then,
 * which knows. An object that is there has the right content: RADOS gives a clone only to the
 * snapshots that it was kept for.
 *
 * Writing needs more, and rests on five things:
 *
 *   1. librbd's exclusive lock is ours, taken with rbd_lock_acquire, so it is given to nobody who
 *      asks for it. Who breaks it blocklists this client, and RADOS then refuses these operations
 *      as it refuses librbd's, which come from the same client.
 *   2. The snapshot context is the image header's, as librbd reads it, so the OSD keeps for every
 *      snapshot what it had. When somebody takes another one (librbd does that for him in this
 *      process, since the lock is here) direct I/O ends before it is taken; see direct.c.
 *   3. The object map says EXISTS, durably, before anything is written: the first range of an
 * object goes through librbd, which stores that in the map before it writes. Later ranges change
 *      nothing in the map. They would after a snapshot (EXISTS becomes EXISTS_CLEAN in it), but
 *      by then direct I/O has ended. So a crash at any point leaves no write that a fast diff
 *      cannot see, and the handle's own copy of the map is true at all times, which its later
 *      operations (a shrink, a discard, a read of what it takes for a hole) rest on. To update the
 *      map by the class's method would leave that copy stale.
 *   4. Nothing is created or removed here: each operation asserts that its object exists. Where one
 *      is gone, somebody resized the image: librbd does those ranges, or refuses them.
 *      Removing whole objects is left to librbd for the same reason: the map has to know.
 *   5. An acknowledged write is durable, as librbd's are with its cache off; flushing the image
 *      adds nothing to it.
 */
#include "snapshot/objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/buf.h"

/* What changes nothing in where a byte lies. */
#define KNOWN_FEATURES                                                                             \
    (RBD_FEATURE_LAYERING | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP |                  \
     RBD_FEATURE_FAST_DIFF | RBD_FEATURE_DEEP_FLATTEN | RBD_FEATURE_STRIPINGV2 |                   \
     RBD_FEATURE_DATA_POOL | RBD_FEATURE_OPERATIONS)

#define SNAPS_MAX 4096 /* more snapshots than that: librbd writes */

static int check_layout(rbd_image_t handle, bool *ret_plain, uint64_t *ret_object_size)
{
    rbd_image_info_t info;
    uint64_t features, unit, count, overlap;
    uint8_t old_format;
    int rc = rbd_get_old_format(handle, &old_format);

    *ret_plain = false;
    if (rc == 0) {
        rc = rbd_get_features(handle, &features);
    }
    if (rc == 0) {
        rc = rbd_get_stripe_unit(handle, &unit);
    }
    if (rc == 0) {
        rc = rbd_get_stripe_count(handle, &count);
    }
    if (rc == 0) {
        rc = rbd_get_overlap(handle, &overlap);
    }
    if (rc == 0) {
        rc = rbd_stat(handle, &info, sizeof(info));
    }
    if (rc == 0) {
        *ret_object_size = info.obj_size;
        *ret_plain = !old_format && !(features & ~(uint64_t)KNOWN_FEATURES) && count == 1 &&
                     unit == info.obj_size && overlap == 0;
    }
    return rc;
}

static int open_data_pool(const struct fs_image *image, struct fs_objects *objects)
{
    char ns[FS_POOL_SIZE];
    int64_t pool = rbd_get_data_pool_id(image->handle);
    int rc = pool < 0 ? (int)pool : 0;

    if (rc == 0) {
        rc = rbd_get_block_name_prefix(image->handle, objects->prefix, sizeof(objects->prefix));
    }
    if (rc >= 0) {
        rc = rados_ioctx_get_namespace(image->ioctx, ns, sizeof(ns));
    }
    if (rc >= 0) {
        rc = rados_ioctx_create2(rados_ioctx_get_cluster(image->ioctx), pool, &objects->ioctx);
        if (rc < 0) {
            objects->ioctx = NULL;
        } else {
            rados_ioctx_set_namespace(objects->ioctx, ns);
        }
    }
    return rc < 0 ? rc : 0;
}

static int open_objects(const struct fs_image *image, struct fs_objects *ret_objects,
                        struct fs_error *err)
{
    bool plain;
    int rc;

    *ret_objects = (struct fs_objects){0};
    rc = check_layout(image->handle, &plain, &ret_objects->object_size);
    if (rc == 0 && plain) {
        rc = open_data_pool(image, ret_objects);
    }
    return rc < 0 ? fs_cluster_error(err, rc, "cannot read where the image's objects lie") : 0;
}

int fs_objects_open_read(const struct fs_image *image, uint64_t snap_id,
                         struct fs_objects *ret_objects, struct fs_error *err)
{
    int rc = open_objects(image, ret_objects, err);

    if (rc == 0 && ret_objects->ioctx) {
        rados_ioctx_snap_set_read(ret_objects->ioctx, snap_id);
    }
    return rc;
}

/*
 * What librbd writes with: a sequence number, the newest that a snapshot was ever given, and the
 * ids of those that there are, the newest first. struct SnapContext of Ceph: u64, u32, u64s.
 */
static int set_snap_context(const struct fs_image *image, const char *header,
                            struct fs_objects *objects)
{
    static const size_t size = 12 + 8 * SNAPS_MAX;
    rados_snap_t *snaps = malloc(SNAPS_MAX * sizeof(*snaps));
    char *reply = malloc(size);
    int rc = -ENOMEM;

    if (snaps && reply) {
        rc = rados_exec(image->ioctx, header, "rbd", "get_snapcontext", NULL, 0, reply, size);
    }
    if (rc >= 0) {
        struct fs_cursor cursor = fs_cursor_of(reply, (size_t)rc);
        uint64_t seq = fs_cursor_get_u64(&cursor);
        uint32_t count = fs_cursor_get_u32(&cursor);

        for (uint32_t i = 0; i < count && i < SNAPS_MAX; i++) {
            snaps[i] = fs_cursor_get_u64(&cursor);
        }
        rc =
            fs_cursor_finished(&cursor)
                ? rados_ioctx_selfmanaged_snap_set_write_ctx(objects->ioctx, seq, snaps, (int)count)
                : -ERANGE;
    }
    free(snaps);
    free(reply);
    return rc < 0 ? rc : 0;
}

int fs_objects_open_write(const struct fs_image *image, const char *header,
                          struct fs_objects *ret_objects, struct fs_error *err)
{
    int owner = 0;
    int rc = open_objects(image, ret_objects, err);

    if (rc < 0 || !ret_objects->ioctx) {
        return rc;
    }
    rc = rbd_is_exclusive_lock_owner(image->handle, &owner);
    if (rc == 0 && owner) {
        rc = set_snap_context(image, header, ret_objects);
    }
    if (rc < 0 || !owner) {
        fs_objects_close(ret_objects);
    }
    return rc < 0 && rc != -ERANGE ? fs_cluster_error(err, rc, "cannot read its snapshot context")
                                   : 0;
}

void fs_objects_close(struct fs_objects *objects)
{
    if (objects->ioctx) {
        rados_ioctx_destroy(objects->ioctx);
    }
    *objects = (struct fs_objects){0};
}

const char *fs_objects_name(const struct fs_objects *objects, uint64_t number,
                            char name[FS_OBJECT_NAME_SIZE])
{
    snprintf(name, FS_OBJECT_NAME_SIZE, "%s.%016" PRIx64, objects->prefix, number);
    return name;
}
