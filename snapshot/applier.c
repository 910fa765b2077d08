/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment is cut into I/Os, and an I/O consists of runs: touching extents of one kind, whose
 * contents touch, too. Where librbd does everything, an I/O is one run. Where the target may be
 * written directly, it is all runs that the segment has in one object; librbd writes the longest
 * DATA one (the essay in objects.c says why one has to go that way), then a single operation has
 * all the others, and those of I/Os that came for the same object meanwhile: an object whose
 * changes are in two segments takes two operations, not four. Whole objects, and an object's only
 * run, stay with librbd: a hole becomes a removed object there, and a write takes as many
 * operations either way.
 *
 * Where bytes are copied: once, by librbd or by librados's C interface, into what is sent. librbd
 * would send from the segment's buffer with rbd_disable_zero_copy_writes off, a tenth of the loop's
 * CPU in a first copy; but then 16.2 never completes a write that it refuses itself (beyond the
 * image's end, without the lock): what is refused holds the buffer that the completion waits for.
 */
#include "snapshot/applier.h"

#include <inttypes.h>
#include <stdlib.h>

#include "snapshot/alloc.h"

/* For longer runs an operation of their own costs little, and they do not wait for another one. */
#define FOLLOW_MAX (UINT64_C(256) << 10)

/* One write of the caller's: a segment. */
struct segment_write {
    struct fs_letter letter; /* to complete one without I/O */
    struct fs_applier *applier;
    struct segment_write *next;
    struct fs_segment_data segment; /* its arrays are the caller's until done */
    struct place {
        size_t extent;   /* the first that is not submitted as a whole */
        uint64_t inside; /* how much of it is */
        size_t payload;  /* where its content goes on */
    } at;
    unsigned in_flight;
    struct fs_error err; /* the first one */
    fs_sink_io_fn *done;
    void *arg;
};

struct run {
    uint64_t offset, length;
    enum fs_extent_kind kind;
    const uint8_t *content; /* DATA */
};

/* The loop's until a step of it is submitted, then Ceph's, then the loop's again. */
struct io {
    struct fs_letter letter;
    struct fs_mailbox *mailbox;
    struct segment_write *write;
    struct fs_direct *direct; /* NULL: librbd does all of it */
    uint64_t object;          /* with direct */
    bool is_direct;           /* the step that is under way */
    struct io *followers; /* a list: to the same object, with the next direct step of this one */
    struct io *next_touching;
    int result;
    size_t n_done, n_runs; /* runs that need nothing more; all */
    struct run runs[];
};

static void pump(struct fs_applier *applier);

static bool is_submitted(const struct segment_write *write)
{
    return write->at.extent == write->segment.n_extents || fs_error_is_set(&write->err);
}

static void finish_write(struct segment_write *write)
{
    struct fs_applier *applier = write->applier;

    applier->writes--;
    write->done(write->arg, fs_error_is_set(&write->err) ? &write->err : NULL);
    free(write);
    applier->idle(applier->arg);
}

static void empty_write_cb(struct fs_letter *letter)
{
    finish_write((struct segment_write *)letter);
}

/* --- cutting -------------------------------------------------------------------------------- */

/*
 * The run at a place, which moves behind it. With object_size (0: librbd does everything) it ends
 * with its object, unless it has whole objects from the start: then it is those.
 */
static struct run next_run(const struct fs_segment_data *segment, uint64_t object_size,
                           struct place *at)
{
    const struct fs_extent *first = &segment->extents[at->extent];
    struct run run = {.offset = first->offset + at->inside,
                      .length = first->length - at->inside,
                      .kind = first->kind,
                      .content = segment->payload + at->payload};
    size_t behind = at->extent + 1;
    uint64_t most = UINT64_MAX;

    while (behind < segment->n_extents && segment->extents[behind].kind == run.kind &&
           segment->extents[behind].offset == run.offset + run.length) {
        run.length += segment->extents[behind++].length;
    }
    if (object_size) {
        most = object_size - run.offset % object_size;
        if (most == object_size && run.length > most) {
            most = run.length - run.length % object_size;
        }
    }
    run.length = run.length < most ? run.length : most;
    if (run.kind == FS_EXTENT_DATA) {
        at->payload += run.length;
    }
    at->inside += run.length;
    while (at->extent < behind && at->inside >= segment->extents[at->extent].length) {
        at->inside -= segment->extents[at->extent++].length;
    }
    return run;
}

/* How many runs from the next one on make one I/O. */
static size_t count_runs(const struct segment_write *write, uint64_t object_size)
{
    struct place at = write->at;
    struct run run = next_run(&write->segment, object_size, &at);
    bool has_data = run.kind == FS_EXTENT_DATA;
    uint64_t object = object_size ? run.offset / object_size : 0;
    size_t count = 1;

    while (object_size && run.length < object_size && at.extent < write->segment.n_extents) {
        run = next_run(&write->segment, object_size, &at);
        if (run.offset / object_size != object) {
            break;
        }
        has_data = has_data || run.kind == FS_EXTENT_DATA;
        count++;
    }
    return has_data ? count : 1;
}

/* The longest DATA run goes first: librbd writes that one. */
static void put_longest_first(struct io *io)
{
    size_t longest = 0;

    for (size_t i = 1; i < io->n_runs; i++) {
        if (io->runs[i].kind == FS_EXTENT_DATA && (io->runs[longest].kind != FS_EXTENT_DATA ||
                                                   io->runs[i].length > io->runs[longest].length)) {
            longest = i;
        }
    }

    struct run first = io->runs[longest];

    io->runs[longest] = io->runs[0];
    io->runs[0] = first;
}

static struct io *next_io(struct segment_write *write)
{
    struct fs_direct *direct = write->applier->targets[write->segment.volume].direct;
    uint64_t object_size = direct ? fs_direct_objects(direct)->object_size : 0;
    size_t count = count_runs(write, object_size);
    struct io *io = fs_operation_new(sizeof(*io) + count * sizeof(io->runs[0]));

    io->mailbox = write->applier->mailbox;
    io->write = write;
    io->direct = direct;
    io->n_runs = count;
    for (size_t i = 0; i < count; i++) {
        io->runs[i] = next_run(&write->segment, object_size, &write->at);
    }
    io->object = object_size ? io->runs[0].offset / object_size : 0;
    put_longest_first(io);
    return io;
}

/* --- steps ---------------------------------------------------------------------------------- */

/* CEPH_CB */
static void librbd_cb(rbd_completion_t completion, void *arg)
{
    struct io *io = arg;

    io->result = (int)rbd_aio_get_return_value(completion);
    rbd_aio_release(completion);
    fs_mailbox_post(io->mailbox, &io->letter);
}

/* CEPH_CB */
static void direct_cb(rados_completion_t completion, void *arg)
{
    struct io *io = arg;

    io->result = rados_aio_get_return_value(completion);
    rados_aio_release(completion);
    fs_mailbox_post(io->mailbox, &io->letter);
}

static int submit_to_librbd(struct io *io, rbd_image_t image)
{
    const struct run *run = &io->runs[io->n_done];
    rbd_completion_t completion;
    int rc = rbd_aio_create_completion(io, librbd_cb, &completion);

    if (rc == 0) {
        rc = run->kind == FS_EXTENT_DATA
                 ? rbd_aio_write(image, run->offset, run->length, (const char *)run->content,
                                 completion)
                 : rbd_aio_write_zeroes(image, run->offset, run->length, completion, 0, 0);
        if (rc < 0) { /* the completion will not run */
            rbd_aio_release(completion);
        }
    }
    return rc;
}

static void add_run(rados_write_op_t op, const struct run *run, uint64_t object_size)
{
    uint64_t at = run->offset % object_size;

    if (run->kind == FS_EXTENT_DATA) {
        rados_write_op_write(op, (const char *)run->content, run->length, at);
    } else if (at + run->length == object_size) { /* as librbd does */
        rados_write_op_truncate(op, at);
    } else {
        rados_write_op_zero(op, at, run->length);
    }
}

/* The chain: an I/O and its followers, all of what is left of them. */
static int submit_directly(struct io *chain)
{
    const struct fs_objects *objects = fs_direct_objects(chain->direct);
    char name[FS_OBJECT_NAME_SIZE];
    rados_completion_t completion;
    rados_write_op_t op = rados_create_write_op();
    int rc = rados_aio_create_completion2(chain, direct_cb, &completion);

    if (rc == 0) {
        rados_write_op_assert_exists(op);
        for (const struct io *io = chain; io; io = io->followers) {
            for (size_t i = io->n_done; i < io->n_runs; i++) {
                add_run(op, &io->runs[i], objects->object_size);
            }
        }
        rc = rados_aio_write_op_operate(op, objects->ioctx, completion,
                                        fs_objects_name(objects, chain->object, name), NULL, 0);
        if (rc < 0) {
            rados_aio_release(completion);
        }
    }
    rados_release_write_op(op);
    return rc;
}

/* Its next run. Until that is written, others that come for the object follow it. */
static void go_to_librbd(struct io *io)
{
    const struct segment_write *write = io->write;
    struct fs_applier *applier = write->applier;
    int rc;

    io->is_direct = false;
    if (io->direct && io->runs[io->n_done].kind == FS_EXTENT_DATA) {
        io->next_touching = applier->touching;
        applier->touching = io;
    }
    rc = submit_to_librbd(io, applier->targets[write->segment.volume].image.handle);
    if (rc < 0) {
        io->result = rc;
        fs_mailbox_post(io->mailbox, &io->letter);
    }
}

static size_t count_left(const struct io *chain)
{
    size_t count = 0;

    for (; chain; chain = chain->followers) {
        count += chain->n_runs - chain->n_done;
    }
    return count;
}

/* All the rest in one operation where that is allowed, or each I/O's next run by librbd. */
static void go_on(struct io *chain)
{
    if (chain && chain->direct && count_left(chain) > 1 &&
        fs_direct_enter(chain->direct, chain->object)) {
        int rc;

        chain->is_direct = true;
        rc = submit_directly(chain);
        if (rc < 0) {
            chain->result = rc;
            fs_mailbox_post(chain->mailbox, &chain->letter);
        }
        return;
    }
    while (chain) {
        struct io *next = chain->followers;

        chain->followers = NULL;
        go_to_librbd(chain);
        chain = next;
    }
}

/* Its first step: with that of another I/O, or its own. */
static void start(struct io *io)
{
    struct io *leader = io->write->applier->touching;

    while (leader && (leader->direct != io->direct || leader->object != io->object)) {
        leader = leader->next_touching;
    }
    if (leader && io->runs[0].kind == FS_EXTENT_DATA && io->runs[0].length <= FOLLOW_MAX) {
        io->followers = leader->followers;
        leader->followers = io;
    } else {
        go_on(io);
    }
}

static void finish_io(struct io *io)
{
    struct segment_write *write = io->write;
    struct fs_applier *applier = write->applier;
    const struct fs_target *target = &applier->targets[write->segment.volume];
    char spec[FS_IMAGE_SPEC_SIZE];

    applier->in_flight--;
    write->in_flight--;
    if (io->result < 0) {
        fs_cluster_error(&write->err, io->result,
                         "group %s, image %s: cannot write %zu extents from %" PRIu64 " on",
                         applier->group, fs_image_spec(&target->ref, spec), io->n_runs,
                         io->runs[0].offset);
    }
    free(io);
    pump(applier); /* takes a failed write off the queue */
    if (write->in_flight == 0 && is_submitted(write)) {
        finish_write(write);
    }
}

static void touched(struct io *io)
{
    struct io **at = &io->write->applier->touching;

    while (*at && *at != io) {
        at = &(*at)->next_touching;
    }
    if (*at) {
        *at = io->next_touching;
        if (io->result >= 0) {
            fs_direct_touched(io->direct, io->object);
        }
    }
}

static void librbd_done(struct io *io)
{
    touched(io);
    io->n_done++;
    if (io->result >= 0 && io->n_done < io->n_runs) {
        go_on(io);
    } else {
        go_on(io->followers);
        finish_io(io);
    }
}

static void direct_done(struct io *chain)
{
    int result = chain->result;

    fs_direct_leave(chain->direct);
    while (chain) {
        struct io *next = chain->followers;

        chain->followers = NULL;
        if (result == -ENOENT) { /* the object is gone: librbd does it, or says why not */
            chain->direct = NULL;
            chain->result = 0;
            go_on(chain);
        } else {
            chain->result = result;
            finish_io(chain);
        }
        chain = next;
    }
}

static void io_delivered_cb(struct fs_letter *letter)
{
    struct io *io = (struct io *)letter;

    if (io->is_direct) {
        direct_done(io);
    } else {
        librbd_done(io);
    }
}

/* Keep so many I/Os in flight. */
static void pump(struct fs_applier *applier)
{
    while (applier->queue) {
        struct segment_write *write = applier->queue;

        while (!is_submitted(write) && applier->in_flight < applier->depth) {
            struct io *io = next_io(write);

            io->letter.deliver = io_delivered_cb;
            applier->in_flight++;
            write->in_flight++;
            start(io);
        }
        if (!is_submitted(write)) {
            return;
        }
        applier->queue = write->next;
        if (!applier->queue) {
            applier->queue_tail = &applier->queue;
        }
        if (write->in_flight == 0) { /* nothing to wait for; done is never called from here */
            fs_mailbox_post(applier->mailbox, &write->letter);
            write->in_flight = 1;
        }
    }
}

void fs_applier_init(struct fs_applier *applier, struct fs_mailbox *mailbox, const char *group,
                     struct fs_target *targets, unsigned depth, void (*idle)(void *arg), void *arg)
{
    *applier = (struct fs_applier){.mailbox = mailbox,
                                   .group = group,
                                   .targets = targets,
                                   .depth = depth,
                                   .idle = idle,
                                   .arg = arg};
    applier->queue_tail = &applier->queue;
}

void fs_applier_write(struct fs_applier *applier, const struct fs_segment_data *segment,
                      fs_sink_io_fn *done, void *arg)
{
    struct segment_write *write = fs_operation_new(sizeof(*write));

    write->letter.deliver = empty_write_cb;
    write->applier = applier;
    write->segment = *segment;
    write->done = done;
    write->arg = arg;
    applier->writes++;
    *applier->queue_tail = write;
    applier->queue_tail = &write->next;
    pump(applier);
}
