/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ranges of a volume: those of one object in one RADOS operation where the objects may be
 * read directly (objects.c), each by itself through librbd where not.
 *
 * Where bytes are copied: once, from the message that they came with to the caller's buffer, either
 * way.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/alloc.h"
#include "snapshot/reading_private.h"

/*
 * What a range costs beyond its bytes, measured on 16.2 with bluestore: through librbd as much as
 * 115 KiB more of reading on (32,000 ranges of 4 KiB over 2 GiB take 9.9 s, all of it 5.7 s), in
 * an operation with others as much as 26 KiB (2.3 s). We stay below, since a hole also takes
 * room in the caller's budget.
 */
#define LIBRBD_GAP (UINT64_C(64) << 10)
#define DIRECT_GAP (UINT64_C(16) << 10)
/* The point is read once: it is not to push out of the OSDs' caches what the machines use. */
#define READ_ONCE LIBRADOS_OP_FLAG_FADVISE_NOCACHE

/* One read of the caller's. LOOP. */
struct read_op {
    struct volume *volume;
    const struct fs_read *ranges; /* the caller's */
    unsigned in_flight;           /* object and range I/Os, also those that wait */
    struct fs_error err;          /* the first one */
    fs_io_fn *done;
    void *arg;
};

/* The ranges of one object; the loop's, Ceph's while it is submitted, the loop's again. */
struct object_io {
    struct fs_letter letter;
    struct read_op *op;
    size_t first, count; /* of the ranges */
    int result;
    size_t lengths[]; /* what was there of each; the rest is a hole */
};

/* One range through librbd; likewise. */
struct range_io {
    struct fs_letter letter;
    struct range_io *next;
    struct read_op *op;
    const struct fs_read *range;
    ssize_t result;
};

static void pump_librbd(struct reading *reading);

static void fail(struct read_op *op, int rc, const struct fs_read *range)
{
    char spec[FS_IMAGE_SPEC_SIZE];

    fs_cluster_error(&op->err, rc, "image %s: cannot read %" PRIu64 " bytes at %" PRIu64,
                     fs_image_spec(&op->volume->ref, spec), range->length, range->offset);
}

static void leave(struct read_op *op)
{
    struct reading *reading = op->volume->reading;

    if (--op->in_flight == 0) {
        op->done(op->arg, &op->err);
        free(op);
        fs_reading_leave(reading);
    }
}

/* --- through librbd ------------------------------------------------------------------------- */

static void range_delivered(struct fs_letter *letter)
{
    struct range_io *io = (struct range_io *)letter;
    struct read_op *op = io->op;
    struct reading *reading = op->volume->reading;

    if (io->result < 0) {
        fail(op, (int)io->result, io->range);
    } else if ((uint64_t)io->result != io->range->length) {
        fs_error_set(&op->err, FS_ERR_BUG, EINVAL, "read %zd of %" PRIu64 " bytes at %" PRIu64,
                     io->result, io->range->length, io->range->offset);
    }
    free(io);
    reading->librbd_in_flight--;
    pump_librbd(reading);
    leave(op);
}

/* CEPH_CB */
static void range_cb(rbd_completion_t completion, void *arg)
{
    struct range_io *io = arg;
    struct fs_mailbox *mailbox = io->op->volume->reading->context.mailbox;

    io->result = rbd_aio_get_return_value(completion);
    rbd_aio_release(completion);
    fs_mailbox_post(mailbox, &io->letter);
}

static void submit_range(struct range_io *io)
{
    const struct fs_read *range = io->range;
    struct volume *volume = io->op->volume;
    rbd_completion_t completion;
    int rc = rbd_aio_create_completion(io, range_cb, &completion);

    volume->reading->librbd_in_flight++;
    if (rc == 0) {
        rc = rbd_aio_read2(volume->image.handle, range->offset, range->length, range->buffer,
                           completion, READ_ONCE);
        if (rc < 0) {
            rbd_aio_release(completion); /* the callback does not come */
        }
    }
    if (rc < 0) {
        io->result = rc;
        fs_mailbox_post(volume->reading->context.mailbox, &io->letter);
    }
}

static void pump_librbd(struct reading *reading)
{
    while (reading->queue && reading->librbd_in_flight < reading->context.io_depth) {
        struct range_io *io = reading->queue;

        reading->queue = io->next;
        submit_range(io);
    }
}

static void ask_librbd(struct read_op *op, const struct fs_read *ranges, size_t count)
{
    struct reading *reading = op->volume->reading;

    for (size_t i = 0; i < count; i++) {
        struct range_io *io = fs_operation_new(sizeof(*io));

        *io = (struct range_io){
            .letter = {.deliver = range_delivered}, .op = op, .range = &ranges[i]};
        if (!reading->queue) {
            reading->queue_tail = &reading->queue;
        }
        *reading->queue_tail = io;
        reading->queue_tail = &io->next;
        op->in_flight++;
    }
    pump_librbd(reading);
}

/* --- objects -------------------------------------------------------------------------------- */

static void object_delivered(struct fs_letter *letter)
{
    struct object_io *io = (struct object_io *)letter;
    struct read_op *op = io->op;
    const struct fs_read *ranges = op->ranges + io->first;

    if (io->result == -ENOENT) {
        ask_librbd(op, ranges, io->count); /* a hole, or the snapshot is gone */
    } else if (io->result < 0) {
        fail(op, io->result, &ranges[0]);
    }
    for (size_t i = 0; io->result >= 0 && i < io->count; i++) {
        memset((char *)ranges[i].buffer + io->lengths[i], 0, ranges[i].length - io->lengths[i]);
    }
    free(io);
    leave(op);
}

/* CEPH_CB */
static void object_cb(rados_completion_t completion, void *arg)
{
    struct object_io *io = arg;
    struct fs_mailbox *mailbox = io->op->volume->reading->context.mailbox;

    io->result = rados_aio_get_return_value(completion);
    rados_aio_release(completion);
    fs_mailbox_post(mailbox, &io->letter);
}

static int submit_object(struct object_io *io, uint64_t object)
{
    const struct fs_objects *objects = &io->op->volume->objects;
    const struct fs_read *ranges = io->op->ranges + io->first;
    char name[FS_OBJECT_NAME_SIZE];
    rados_completion_t completion;
    rados_read_op_t op = rados_create_read_op();
    int rc = rados_aio_create_completion2(io, object_cb, &completion);

    if (rc == 0) {
        for (size_t i = 0; i < io->count; i++) {
            rados_read_op_read(op, ranges[i].offset % objects->object_size, ranges[i].length,
                               ranges[i].buffer, &io->lengths[i], NULL);
            rados_read_op_set_flags(op, READ_ONCE);
        }
        rc = rados_aio_read_op_operate(op, objects->ioctx, completion,
                                       fs_objects_name(objects, object, name), 0);
        if (rc < 0) {
            rados_aio_release(completion);
        }
    }
    rados_release_read_op(op);
    return rc;
}

/* One operation for the ranges, which lie in one object. */
static void read_object(struct read_op *op, size_t first, size_t count)
{
    struct object_io *io = fs_operation_new(sizeof(*io) + count * sizeof(io->lengths[0]));
    int rc;

    io->letter.deliver = object_delivered;
    io->op = op;
    io->first = first;
    io->count = count;
    op->in_flight++;
    rc = submit_object(io, op->ranges[first].offset / op->volume->objects.object_size);
    if (rc < 0) {
        io->result = rc;
        fs_mailbox_post(op->volume->reading->context.mailbox, &io->letter);
    }
}

static uint64_t last_byte(const struct fs_read *range)
{
    return range->offset + range->length - 1;
}

/* Ranges that cross objects are for librbd: a caller that wants them fast cuts them there. */
static void read_objects(struct read_op *op, size_t count)
{
    uint64_t size = op->volume->objects.object_size;
    size_t first = 0;

    while (first < count) {
        uint64_t object = op->ranges[first].offset / size;
        size_t behind = first;

        while (behind < count && op->ranges[behind].offset / size == object &&
               last_byte(&op->ranges[behind]) / size == object) {
            behind++;
        }
        if (behind > first) {
            read_object(op, first, behind - first);
        } else {
            ask_librbd(op, &op->ranges[behind++], 1);
        }
        first = behind;
    }
}

uint64_t fs_reading_gap(const struct fs_reading *base, unsigned index)
{
    const struct reading *reading = (const struct reading *)base;

    return reading->volumes[index].objects.ioctx ? DIRECT_GAP : LIBRBD_GAP;
}

void fs_reading_read(struct fs_reading *base, unsigned index, const struct fs_read *ranges,
                     size_t count, fs_io_fn *done, void *arg)
{
    struct reading *reading = fs_reading_of(base);
    struct read_op *op = fs_operation_new(sizeof(*op));

    assert(index < reading->n_volumes && count > 0);
    *op = (struct read_op){
        .volume = &reading->volumes[index], .ranges = ranges, .done = done, .arg = arg};
    reading->in_flight++;
    op->in_flight = 1; /* this call */
    if (op->volume->objects.ioctx) {
        read_objects(op, count);
    } else {
        ask_librbd(op, ranges, count);
    }
    op->in_flight--;
}
