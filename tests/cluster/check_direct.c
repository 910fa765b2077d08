/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes past librbd: that there are any, and only where they may be; and what other clients do to
 * an image meanwhile: take snapshots of it, which librbd executes in the process that holds the
 * lock, or resize it. Needs what check_sink needs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sink_outsider.h"

#define OBJECT (1u << 20) /* of the model's first volume */

/* What was sent past librbd, and the writes that librbd got; submitted on one thread. */
static unsigned operations, librbd_writes;

int __real_rados_aio_write_op_operate(rados_write_op_t op, rados_ioctx_t io, rados_completion_t c,
                                      const char *object, time_t *mtime, int flags);
int __wrap_rados_aio_write_op_operate(rados_write_op_t op, rados_ioctx_t io, rados_completion_t c,
                                      const char *object, time_t *mtime, int flags);
int __wrap_rados_aio_write_op_operate(rados_write_op_t op, rados_ioctx_t io, rados_completion_t c,
                                      const char *object, time_t *mtime, int flags)
{
    operations++;
    return __real_rados_aio_write_op_operate(op, io, c, object, mtime, flags);
}

int __real_rbd_aio_write(rbd_image_t image, uint64_t offset, size_t length, const char *content,
                         rbd_completion_t completion);
int __wrap_rbd_aio_write(rbd_image_t image, uint64_t offset, size_t length, const char *content,
                         rbd_completion_t completion);
int __wrap_rbd_aio_write(rbd_image_t image, uint64_t offset, size_t length, const char *content,
                         rbd_completion_t completion)
{
    librbd_writes++;
    return __real_rbd_aio_write(image, offset, length, content, completion);
}

/* Point 1 is committed, point 2 is open; nothing of it is written. */
static void open_second(struct run *run, const char *name)
{
    begin(run, name);
    must_ship(run, name, 1);
    run->held = 1;
    must(run, run_open(run, name, 2));
    operations = librbd_writes = 0;
}

static void finish_second(struct run *run, const char *name)
{
    must(run, run_write(run, UINT64_MAX));
    must(run, run_commit(run));
    run_close(run);
    verify(name, 2);
    verify_fast_diff(name, 1, 2);
    end(run, name);
}

/* --- a foreign snapshot --------------------------------------------------------------------- */

/* What the first volume holds at a snapshot that was taken with point 2 written up to `until`. */
static void verify_foreign(const char *name, const char *snap, uint64_t until)
{
    static uint8_t expected[MODEL_BLOCK], present[MODEL_BLOCK];
    rbd_image_t image = open_volume(name, 0);
    uint64_t flags;

    assert_int_equal(rbd_snap_set(image, snap), 0);
    assert_int_equal(rbd_get_flags(image, &flags), 0);
    assert_int_equal(flags, 0);
    for (unsigned b = 0; (uint64_t)b * MODEL_BLOCK < model_size(0, 2); b++) {
        uint64_t at = (uint64_t)b * MODEL_BLOCK;

        model_block(0, b, at < until ? 2 : 1, expected);
        assert_int_equal(rbd_read(image, at, MODEL_BLOCK, (char *)present), MODEL_BLOCK);
        if (memcmp(expected, present, MODEL_BLOCK) != 0) {
            fail_msg("%s: block %u differs", snap, b);
        }
    }
    rbd_close(image);
}

static void remove_foreign(const char *name, const char *snap)
{
    char cookie[128];
    rbd_image_t image;

    look_at_lock(name, 0, cookie, true);
    image = open_volume(name, 0);
    assert_int_equal(rbd_snap_remove(image, snap), 0);
    rbd_close(image);
}

static int progress_cb(uint64_t offset, uint64_t total, void *arg)
{
    (void)offset;
    (void)total;
    (void)arg;
    return 0;
}

/* In the middle of an object, with more of it to come. */
static void take_between_writes(const char *name, uint32_t flags, unsigned wait_us)
{
    const uint64_t half = 3 * OBJECT + OBJECT / 2;
    struct run run;
    rbd_image_t image;

    open_second(&run, name);
    must(&run, run_write(&run, half));
    assert_true(operations > 0);
    operations = 0;
    image = open_volume(name, 0);
    assert_int_equal(rbd_snap_create2(image, "foreign", flags, progress_cb, NULL), 0);
    rbd_close(image);
    usleep(wait_us);
    verify_foreign(name, "foreign", half);
    must(&run, run_write(&run, UINT64_MAX));
    assert_int_equal(operations, 0); /* they would write into the snapshot */
    verify_foreign(name, "foreign", half);
    must(&run, run_commit(&run));
    run_close(&run);
    verify(name, 2);
    verify_fast_diff(name, 1, 2);
    verify_foreign(name, "foreign", half);
    remove_foreign(name, "foreign");
    end(&run, name);
}

static void test_foreign_snapshot_ends_direct_writes(void **state)
{
    (void)state;
    take_between_writes("direct-foreign", 0, 0);
}

/* Nobody is asked before; what tells of it comes a moment after. */
static void test_snapshot_without_quiescing_ends_direct_writes(void **state)
{
    (void)state;
    take_between_writes("direct-unasked", RBD_SNAP_CREATE_SKIP_QUIESCE, 200000);
}

struct taker {
    const char *name;
    uint8_t content[10u << 20]; /* of the first volume at the snapshot, as soon as it was taken */
    int rc;
};

static void read_whole(rbd_image_t image, const char *snap, uint8_t *content)
{
    assert_int_equal(rbd_snap_set(image, snap), 0);
    for (uint64_t at = 0; at < model_size(0, 2); at += OBJECT) {
        assert_int_equal(rbd_read(image, at, OBJECT, (char *)content + at), OBJECT);
    }
}

static void *take_in_flight(void *arg)
{
    struct taker *taker = arg;
    rbd_image_t image = open_volume(taker->name, 0);

    taker->rc = rbd_snap_create(image, "foreign");
    if (taker->rc == 0) {
        read_whole(image, "foreign", taker->content);
    }
    rbd_close(image);
    return NULL;
}

/* librbd waits for the operations that are under way. Each run has them at another place. */
static void test_snapshot_while_direct_writes_are_in_flight(void **state)
{
    (void)state;
    const char *name = "direct-flight";
    static struct taker taker;
    static uint8_t content[sizeof(taker.content)];

    for (unsigned round = 0; round < 4; round++) {
        struct run run;
        pthread_t thread;
        rbd_image_t image;

        taker.name = name;
        open_second(&run, name);
        assert_int_equal(pthread_create(&thread, NULL, take_in_flight, &taker), 0);
        for (uint64_t until = 0; until < model_size(0, 2); until += OBJECT) {
            must(&run, run_write(&run, until));
            usleep(round * 3000);
        }
        must(&run, run_write(&run, UINT64_MAX));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(taker.rc, 0);
        image = open_volume(name, 0);
        read_whole(image, "foreign", content);
        rbd_close(image);
        assert_memory_equal(content, taker.content, sizeof(content));
        must(&run, run_commit(&run));
        run_close(&run);
        verify(name, 2);
        verify_fast_diff(name, 1, 2);
        remove_foreign(name, "foreign");
        end(&run, name);
    }
}

/* --- objects -------------------------------------------------------------------------------- */

static void write_done(void *arg, const struct fs_error *err)
{
    struct run *run = arg;

    if (err) {
        run->err = *err;
    }
    run->pending--;
}

/* A segment: some blocks of the first volume's first object, with a hole after each. */
struct blocks {
    struct fs_extent extents[16];
    uint8_t payload[16 * 4096];
};

static void submit_blocks(struct run *run, struct blocks *blocks, uint64_t from, unsigned count,
                          uint8_t byte)
{
    struct fs_segment_data segment = {.extents = blocks->extents,
                                      .n_extents = count,
                                      .payload = blocks->payload,
                                      .payload_length = count * 4096};

    memset(blocks->payload, byte, segment.payload_length);
    for (unsigned i = 0; i < count; i++) {
        blocks->extents[i] =
            (struct fs_extent){.offset = from + i * 8192, .length = 4096, .kind = FS_EXTENT_DATA};
    }
    run->pending++;
    run->incoming->ops->write(run->incoming, &segment, write_done, run);
}

static void write_blocks(struct run *run, uint64_t from, unsigned count, uint8_t byte)
{
    static struct blocks blocks;

    run->err = FS_ERROR_INIT;
    submit_blocks(run, &blocks, from, count, byte);
    run_wait(run);
    must(run, -run->err.code);
}

static void check_blocks(const char *name, uint64_t from, unsigned count, uint8_t byte)
{
    uint8_t expected[4096], present[4096];
    rbd_image_t image = open_volume(name, 0);

    memset(expected, byte, sizeof(expected));
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(rbd_read(image, from + i * 8192, 4096, (char *)present), 4096);
        assert_memory_equal(expected, present, 4096);
    }
    rbd_close(image);
}

static void test_one_operation_has_all_of_an_object(void **state)
{
    (void)state;
    const char *name = "direct-one";
    struct run run;

    open_second(&run, name);
    write_blocks(&run, 0, 8, 1); /* one of them through librbd */
    assert_int_equal(operations, 1);
    assert_int_equal(librbd_writes, 1);
    write_blocks(&run, 512 << 10, 8, 2); /* librbd was here already */
    assert_int_equal(operations, 2);
    assert_int_equal(librbd_writes, 1);
    write_blocks(&run, 256 << 10, 1, 3);
    assert_int_equal(operations, 2);
    assert_int_equal(librbd_writes, 2);
    check_blocks(name, 0, 8, 1);
    check_blocks(name, 512 << 10, 8, 2);
    check_blocks(name, 256 << 10, 1, 3);
    run_close(&run);
    end(&run, name);
}

/* While librbd writes to it for the first time, others come: they go together, after that. */
static void test_segments_of_an_object_share_an_operation(void **state)
{
    (void)state;
    const char *name = "direct-shared";
    static struct blocks blocks[3];
    struct run run;

    open_second(&run, name);
    run.err = FS_ERROR_INIT;
    submit_blocks(&run, &blocks[0], 0, 8, 1);
    submit_blocks(&run, &blocks[1], 512 << 10, 1, 2);
    submit_blocks(&run, &blocks[2], 768 << 10, 8, 3);
    run_wait(&run);
    must(&run, -run.err.code);
    assert_int_equal(librbd_writes, 1);
    assert_int_equal(operations, 1);
    check_blocks(name, 0, 8, 1);
    check_blocks(name, 512 << 10, 1, 2);
    check_blocks(name, 768 << 10, 8, 3);
    run_close(&run);
    end(&run, name);
}

/* Only librbd makes objects: it knows of them. */
static void test_object_that_vanished_is_left_to_librbd(void **state)
{
    (void)state;
    const char *name = "direct-gone";
    char prefix[64], object[96];
    struct run run;
    rbd_image_t image;

    open_second(&run, name);
    write_blocks(&run, 0, 8, 1);
    image = open_volume(name, 0);
    assert_int_equal(rbd_get_block_name_prefix(image, prefix, sizeof(prefix)), 0);
    rbd_close(image);
    snprintf(object, sizeof(object), "%s.%016x", prefix, 0);
    assert_int_equal(rados_remove(ioctx, object), 0);
    librbd_writes = 0;
    write_blocks(&run, 512 << 10, 8, 2);
    assert_int_equal(operations, 2); /* the second failed */
    assert_int_equal(librbd_writes, 8);
    check_blocks(name, 512 << 10, 8, 2);
    run_close(&run);
    end(&run, name);
}

static void test_resized_image_is_written_by_librbd(void **state)
{
    (void)state;
    const char *name = "direct-resized";
    struct run run;
    rbd_image_t image;
    int rc;

    open_second(&run, name);
    must(&run, run_write(&run, 2 * OBJECT));
    image = open_volume(name, 0);
    rc = rbd_resize(image, 5 * OBJECT);
    rbd_close(image);
    assert_int_equal(rc, 0);
    usleep(200000);
    operations = 0;
    assert_int_equal(run_write(&run, UINT64_MAX), -EINVAL); /* beyond its end */
    assert_int_equal(operations, 0);
    run_close(&run);
    /* What the shrink took is not believed to be there: the point is applied again, whole. */
    must(&run, run_open(&run, name, 2));
    finish_second(&run, name);
}

static void test_switched_off_means_off(void **state)
{
    (void)state;
    const char *name = "direct-off";
    struct run run;

    setenv("FARSHORE_TEST_NO_OBJECT_IO", "1", 1);
    open_second(&run, name);
    unsetenv("FARSHORE_TEST_NO_OBJECT_IO");
    finish_second(&run, name);
    assert_int_equal(operations, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_snapshot_ends_direct_writes),
        cmocka_unit_test(test_snapshot_without_quiescing_ends_direct_writes),
        cmocka_unit_test(test_snapshot_while_direct_writes_are_in_flight),
        cmocka_unit_test(test_one_operation_has_all_of_an_object),
        cmocka_unit_test(test_segments_of_an_object_share_an_operation),
        cmocka_unit_test(test_object_that_vanished_is_left_to_librbd),
        cmocka_unit_test(test_resized_image_is_written_by_librbd),
        cmocka_unit_test(test_switched_off_means_off),
    };

    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, connect_outsider, disconnect_outsider);
}
