/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which digests of two sites are comparable?
 *
 * Two sites that hold the same bytes need not hold the same objects: a hole here is an object of
 * zeroes there, or one that was truncated where zeroes begin; a clone's object may still lie in
 * the parent. A checksum over an object as it happens to lie there would tell these apart. So a
 * unit is digested chunk by chunk, as a reader sees it, and a chunk of zeroes counts as zero
 * however it is stored. The OSD gives the hashes of all whole chunks of an object in one operation
 * (rados_read_op_checksum with a chunk size; it leaves out the incomplete chunk at the end of a
 * short object). What is left is settled here:
 *
 *   no object          zeroes; where a parent overlaps, whatever librbd reads
 *   beyond its end     zeroes: the object exists, so no parent is asked any more
 *   the chunk that its end cuts, or the image's end
 *                      read through librbd, at most FS_DIGEST_CHUNK bytes
 *   a hash of zeroes   zero
 *
 * The OSD's size of the object and the number of hashes must fit each other, or the unit is read
 * as a whole; likewise where a unit is not one object (fancy striping, another unit than our
 * object's size, sub-ranges of an object) and where the pool cannot do checksums.
 *
 * Objects that the object map does not know are skipped, if it can be believed: librbd would
 * not read them either.
 */
#include "snapshot/digest_image.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Objects whose checksums are under way at once: this is to be in nobody's way. */
#define DEPTH 4
/* One call looks at no more than so much data, or so many objects that are not there. */
#define BATCH_BYTES (UINT64_C(64) << 20)
#define BATCH_UNITS 4096u
/* Objects that are looked up in the object map at once. */
#define USED_OBJECTS 65536u
#define CHUNKS_MAX   (FS_DIGEST_UNIT_MAX / FS_DIGEST_CHUNK)

struct probe {               /* one object that the OSD digests */
    uint64_t offset, length; /* of the unit */
    rados_read_op_t op;
    rados_completion_t completion;
    uint64_t size; /* of the object */
    time_t mtime;
    int stat_rc, checksum_rc;
    struct {
        uint32_t count;
        uint8_t hashes[CHUNKS_MAX * sizeof(uint64_t)];
    } __attribute__((packed)) answer;
};

/* --- open ------------------------------------------------------------------------------------ */

static int open_data(struct fs_cluster *cluster, struct fs_digest_image *image, uint64_t snap_id,
                     struct fs_error *err)
{
    char ns[FS_POOL_SIZE];
    int64_t pool = rbd_get_data_pool_id(image->image.handle);
    int rc =
        pool < 0 ? (int)pool : rados_ioctx_create2(fs_cluster_rados(cluster), pool, &image->data);

    if (rc < 0) {
        image->data = NULL;
        return fs_cluster_error(err, rc, "cannot open the image's data pool");
    }
    rc = rados_ioctx_get_namespace(image->image.ioctx, ns, sizeof(ns));
    if (rc >= 0) {
        rados_ioctx_set_namespace(image->data, ns);
        rados_ioctx_snap_set_read(image->data, snap_id);
        rc = rbd_get_block_name_prefix(image->image.handle, image->prefix, sizeof(image->prefix));
    }
    return rc < 0 ? fs_cluster_error(err, rc, "cannot read how the image's objects are named") : 0;
}

static int read_layout(struct fs_digest_image *image, struct fs_error *err)
{
    rbd_image_info_t info;
    uint64_t stripe_unit = 0, stripe_count = 0, size = 0;
    int rc = rbd_stat(image->image.handle, &info, sizeof(info));

    if (rc == 0) {
        rc = rbd_get_stripe_unit(image->image.handle, &stripe_unit);
    }
    if (rc == 0) {
        rc = rbd_get_stripe_count(image->image.handle, &stripe_count);
    }
    if (rc == 0) {
        rc = rbd_get_overlap(image->image.handle, &image->overlap);
    }
    if (rc == 0) {
        rc = rbd_get_size(image->image.handle, &size);
    }
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot read the image's layout");
    }
    if (size != image->size) {
        return fs_error_set(err, FS_ERR_DATA, EUCLEAN,
                            "it has %" PRIu64 " bytes, the record says %" PRIu64, size,
                            image->size);
    }
    image->object_size = info.obj_size;
    image->plain = stripe_count <= 1 && stripe_unit == info.obj_size;
    return 0;
}

static int open_at(struct fs_cluster *cluster, uint64_t snap_id, struct fs_digest_image *image,
                   struct fs_error *err)
{
    uint64_t to_id = snap_id == LIBRADOS_SNAP_HEAD ? 0 : snap_id;
    struct fs_snap_list snaps;
    char why[128];
    int rc = fs_snap_list_load(&image->image, &snaps, err);

    if (rc < 0) {
        return rc;
    }
    if (!snap_id) {
        rc = fs_error_set(err, FS_ERR_PERMANENT, ENOENT,
                          "its snapshot of the point was given up: the volume left the group");
    } else if (to_id && !fs_snap_list_find(&snaps, snap_id)) {
        rc =
            fs_error_set(err, FS_ERR_PERMANENT, ENOENT,
                         "snapshot %" PRIu64 " of the point is gone: somebody removed it", snap_id);
    }
    if (rc == 0) { /* leaves the handle at the snapshot */
        rc = fs_image_fast_diff_valid(&image->image, &snaps, 0, to_id, &image->fast, why,
                                      sizeof(why), err);
    }
    if (rc == 0) {
        rc = read_layout(image, err);
    }
    if (rc == 0) {
        rc = open_data(cluster, image, snap_id, err);
    }
    fs_snap_list_fini(&snaps);
    return rc;
}

int fs_digest_image_open(struct fs_cluster *cluster, const struct fs_image_ref *ref,
                         uint64_t snap_id, uint64_t size, struct fs_digest_image *ret_image,
                         struct fs_error *err)
{
    char spec[FS_IMAGE_SPEC_SIZE];
    int rc;

    *ret_image = (struct fs_digest_image){.size = size, .used = FS_EXTENTS_INIT};
    ret_image->buffer = malloc(FS_DIGEST_READ);
    if (!ret_image->buffer) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to digest an image");
    }
    rc = fs_image_open(cluster, ref, FS_IMAGE_READ, &ret_image->image, err);
    if (rc == 0) {
        rc = open_at(cluster, snap_id, ret_image, err);
        if (rc < 0) {
            fs_error_context(err, "image %s", fs_image_spec(ref, spec));
        }
    }
    return rc;
}

void fs_digest_image_close(struct fs_digest_image *image)
{
    if (image->data) {
        rados_ioctx_destroy(image->data);
    }
    fs_image_close(&image->image);
    fs_extents_fini(&image->used);
    free(image->buffer);
    *image = (struct fs_digest_image){0};
}

/* --- which units there are -------------------------------------------------------------------- */

struct collect {
    struct fs_extents *extents;
    uint64_t low, high;
};

static int collect_cb(uint64_t offset, size_t length, int exists, void *arg)
{
    struct collect *collect = arg;
    struct fs_extent extent = {.offset = offset, .length = length};

    (void)exists;
    return fs_extents_add(collect->extents, &extent, collect->low, collect->high);
}

/* Make the window of used objects hold `at`. */
static int load_used(struct fs_digest_image *image, uint64_t at, struct fs_error *err)
{
    uint64_t window = USED_OBJECTS * image->object_size;
    uint64_t start = at - at % window;
    uint64_t end = image->size - start > window ? start + window : image->size;
    struct collect collect = {.extents = &image->used, .low = start, .high = end};

    if (at >= image->used_start && at < image->used_end) {
        return 0;
    }
    fs_extents_clear(&image->used);
    image->used_start = image->used_end = 0;
    int rc = rbd_diff_iterate2(image->image.handle, NULL, start, end - start, 1, 1, collect_cb,
                               &collect);
    if (rc < 0) {
        return fs_cluster_error(err, rc, "cannot list the image's objects");
    }
    if (fs_extents_normalize(&image->used) < 0) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory for a list of extents");
    }
    image->used_start = start;
    image->used_end = end;
    return 0;
}

/* The first unit at or after `at` that may hold data; at least limit where there is none before. */
static int next_used(struct fs_digest_image *image, uint64_t at, uint64_t limit, uint32_t unit,
                     uint64_t *ret_at, struct fs_error *err)
{
    while (image->fast && at < limit) {
        int rc = load_used(image, at, err);
        size_t low = 0, high = image->used.count;

        if (rc < 0) {
            return rc;
        }
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            const struct fs_extent *extent = &image->used.items[middle];

            if (extent->offset + extent->length <= at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low < image->used.count) {
            uint64_t offset = image->used.items[low].offset;

            at = offset > at ? offset - offset % unit : at;
            break;
        }
        at = image->used_end;
        /* A window that ends inside a unit: the unit was looked at with what came before. */
        at = at % unit && at < limit ? at - at % unit + unit : at;
    }
    *ret_at = at < limit ? at : limit;
    return 0;
}

/* --- digests ---------------------------------------------------------------------------------- */

static int read_bytes(struct fs_digest_image *image, uint64_t offset, uint64_t length,
                      struct fs_error *err)
{
    ssize_t got = rbd_read2(image->image.handle, offset, length, (char *)image->buffer,
                            LIBRADOS_OP_FLAG_FADVISE_DONTNEED);

    if (got >= 0 && (uint64_t)got != length) {
        return fs_error_set(err, FS_ERR_BUG, EINVAL, "read %zd of %" PRIu64 " bytes at %" PRIu64,
                            got, length, offset);
    }
    return got < 0 ? fs_cluster_error(err, (int)got, "cannot read %" PRIu64 " bytes at %" PRIu64,
                                      length, offset)
                   : 0;
}

/* Hash the chunks [first, last) of a unit by reading them. */
static int read_chunks(struct fs_digest_image *image, const struct probe *unit, uint32_t chunk,
                       size_t first, size_t last, uint64_t *ret_chunks, struct fs_error *err)
{
    for (size_t i = first; i < last;) {
        uint64_t start = i * chunk;
        uint64_t end = last * chunk < unit->length ? last * chunk : unit->length;
        uint64_t length = end - start < FS_DIGEST_READ ? end - start : FS_DIGEST_READ;
        int rc = read_bytes(image, unit->offset + start, length, err);

        if (rc < 0) {
            return rc;
        }
        for (uint64_t at = 0; at < length; at += chunk) {
            ret_chunks[i++] =
                fs_digest_of_chunk(image->buffer + at, length - at < chunk ? length - at : chunk);
        }
    }
    return 0;
}

/* What the OSD said of an object, made the chunks of its unit. False: it cannot be used. */
static bool take_hashes(const struct probe *probe, uint32_t chunk, size_t n_chunks, size_t whole,
                        uint64_t *ret_chunks)
{
    uint64_t zero_hash = fs_digest_zero_hash(chunk);

    if (probe->size >= chunk && le32toh(probe->answer.count) != probe->size / chunk) {
        return false;
    }
    for (size_t i = 0; i < n_chunks; i++) {
        uint64_t hash = 0;

        if (i < whole) {
            memcpy(&hash, probe->answer.hashes + i * sizeof(hash), sizeof(hash));
            hash = le64toh(hash);
            hash = hash == zero_hash ? 0 : hash;
        }
        ret_chunks[i] = hash;
    }
    return true;
}

static int digest_probe(struct fs_digest_image *image, const struct probe *probe, int rc,
                        uint32_t unit, uint64_t *ret_digest, uint64_t *ret_bytes,
                        struct fs_error *err)
{
    uint32_t chunk = unit < FS_DIGEST_CHUNK ? unit : FS_DIGEST_CHUNK;
    size_t n_chunks = (size_t)((probe->length + chunk - 1) / chunk);
    uint64_t chunks[CHUNKS_MAX];
    bool missing = rc == -ENOENT;

    *ret_digest = 0;
    if (missing && probe->offset >= image->overlap) {
        return 0;
    }
    if (rc < 0 && !missing && rc != -EOPNOTSUPP && rc != -EINVAL) {
        return fs_cluster_error(err, rc, "cannot digest the object at %" PRIu64, probe->offset);
    }
    /* Chunks that lie in the object and in the image as a whole, and those that lie in it at all.
     */
    uint64_t held = probe->size < probe->length ? probe->size : probe->length;
    size_t whole = (size_t)(held / chunk), touched = (size_t)((held + chunk - 1) / chunk);

    *ret_bytes += held;
    if (rc < 0 || probe->stat_rc < 0 || probe->size > image->object_size ||
        (probe->size >= chunk && probe->checksum_rc < 0) ||
        !take_hashes(probe, chunk, n_chunks, whole, chunks)) {
        whole = 0;
        touched = n_chunks;
        *ret_bytes += probe->length - held;
    }
    rc = read_chunks(image, probe, chunk, whole, touched, chunks, err);
    if (rc == 0) {
        *ret_digest = fs_digest_of_chunks(chunks, n_chunks);
    }
    return rc;
}

/* Ask the OSD; -errno where it could not even be asked. */
static int submit(struct fs_digest_image *image, struct probe *probe)
{
    static const char seed[sizeof(uint64_t)];
    uint64_t unit = image->object_size;
    uint64_t chunk = unit < FS_DIGEST_CHUNK ? unit : FS_DIGEST_CHUNK;
    char name[FS_DIGEST_PREFIX_SIZE + 24];
    int rc;

    snprintf(name, sizeof(name), "%s.%016" PRIx64, image->prefix, probe->offset / unit);
    probe->op = rados_create_read_op();
    rados_read_op_stat(probe->op, &probe->size, &probe->mtime, &probe->stat_rc);
    rados_read_op_checksum(probe->op, LIBRADOS_CHECKSUM_TYPE_XXHASH64, seed, sizeof(seed), 0, unit,
                           chunk, (char *)&probe->answer, sizeof(probe->answer),
                           &probe->checksum_rc);
    /* An object shorter than a chunk has no checksum to give: that is not a failure of the whole.
     */
    rados_read_op_set_flags(probe->op, LIBRADOS_OP_FLAG_FAILOK);
    rc = rados_aio_create_completion2(NULL, NULL, &probe->completion);
    if (rc < 0) {
        rados_release_read_op(probe->op);
        return rc;
    }
    rc = rados_aio_read_op_operate(probe->op, image->data, probe->completion, name, 0);
    if (rc < 0) {
        rados_aio_release(probe->completion);
        rados_release_read_op(probe->op);
    }
    return rc;
}

static int await(struct probe *probe)
{
    rados_aio_wait_for_complete(probe->completion);

    int rc = rados_aio_get_return_value(probe->completion);

    rados_aio_release(probe->completion);
    rados_release_read_op(probe->op);
    return rc;
}

static void add_entry(struct fs_digest_list *list, uint64_t offset, uint64_t digest)
{
    if (digest != 0) {
        list->entries[list->count++] = (struct fs_digest_entry){.offset = offset, .digest = digest};
    }
}

static int digest_objects(struct fs_digest_image *image, struct probe *probes, size_t count,
                          uint32_t unit, struct fs_digest_list *list, struct fs_error *err)
{
    int rcs[DEPTH];
    bool submitted[DEPTH];
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        rcs[i] = submit(image, &probes[i]);
        submitted[i] = rcs[i] >= 0;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t digest = 0;

        if (submitted[i]) {
            rcs[i] = await(&probes[i]);
        }
        if (rc == 0) {
            rc = digest_probe(image, &probes[i], rcs[i], unit, &digest, &list->bytes, err);
            add_entry(list, probes[i].offset, digest);
        }
    }
    return rc;
}

static int digest_by_reading(struct fs_digest_image *image, const struct probe *probes,
                             size_t count, uint32_t unit, struct fs_digest_list *list,
                             struct fs_error *err)
{
    uint32_t chunk = unit < FS_DIGEST_CHUNK ? unit : FS_DIGEST_CHUNK;
    uint64_t chunks[CHUNKS_MAX];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        size_t n_chunks = (size_t)((probes[i].length + chunk - 1) / chunk);

        rc = read_chunks(image, &probes[i], chunk, 0, n_chunks, chunks, err);
        list->bytes += probes[i].length;
        if (rc == 0) {
            add_entry(list, probes[i].offset, fs_digest_of_chunks(chunks, n_chunks));
        }
    }
    return rc;
}

int fs_digest_image_next(struct fs_digest_image *image, uint64_t from, uint64_t to, uint32_t unit,
                         struct fs_digest_list *list, struct fs_error *err)
{
    uint64_t limit = to < image->size ? to : image->size;
    struct probe *probes = calloc(DEPTH, sizeof(*probes));
    bool objects = image->plain && unit == image->object_size;
    uint64_t at = from, looked = 0;
    int rc = 0;

    list->count = 0;
    list->bytes = 0;
    list->next = from;
    if (!probes) {
        return fs_error_set(err, FS_ERR_TRANSIENT, ENOMEM, "no memory to digest an image");
    }
    while (rc == 0 && at < limit && looked < BATCH_UNITS && list->bytes < BATCH_BYTES &&
           list->count + DEPTH <= FS_DIGESTS_MAX) {
        size_t count = 0;

        memset(probes, 0, DEPTH * sizeof(*probes));
        while (rc == 0 && count < DEPTH) {
            rc = next_used(image, at, limit, unit, &at, err);
            if (rc < 0 || at >= limit) {
                break;
            }
            probes[count].offset = at;
            probes[count++].length = image->size - at < unit ? image->size - at : unit;
            at = limit - at < unit ? limit : at + unit;
        }
        looked += count;
        if (rc == 0) {
            rc = objects ? digest_objects(image, probes, count, unit, list, err)
                         : digest_by_reading(image, probes, count, unit, list, err);
        }
    }
    free(probes);
    /* The end of the image is the end of whatever was asked for. */
    list->next = at >= limit ? to : at;
    return rc;
}
