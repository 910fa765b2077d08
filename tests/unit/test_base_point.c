/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ship/base_point.h"

#define OBJECT    (UINT64_C(1) << 16)
#define AT_ONCE   32
#define CALLS_ALL 1024

/* A reading that only notes what it is asked; the test answers. */
static struct call {
    uint64_t object;
    size_t count;
    fs_io_fn *done;
    void *arg;
} calls[CALLS_ALL];
static size_t asked, answered;

static void note_read(struct fs_reading *reading, unsigned volume, const struct fs_read *ranges,
                      size_t count, fs_io_fn *done, void *arg)
{
    (void)reading;
    assert_int_equal(volume, 3);
    assert_true(asked < CALLS_ALL);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ranges[i].offset / OBJECT, ranges[0].offset / OBJECT);
    }
    calls[asked++] = (struct call){ranges[0].offset / OBJECT, count, done, arg};
}

static const struct fs_source_ops ops = {.read = note_read};
static struct fs_reading reading = {.ops = &ops};

static void answer(const struct fs_error *err)
{
    struct call call = calls[answered++];
    call.done(call.arg, err);
}

/* What one caller hears. */
struct heard {
    struct fs_base_io io;
    struct fs_read reads[AT_ONCE * 4];
    unsigned times;
    int code;
};

static void heard_cb(void *arg, const struct fs_error *err)
{
    struct heard *heard = arg;
    heard->times++;
    heard->code = err ? err->code : 0;
}

static void base_init(struct fs_base_point *base)
{
    asked = answered = 0;
    *base = (struct fs_base_point){.state = FS_BASE_OPEN, .reading = &reading};
    base->volumes[0].there = true;
    base->volumes[0].index = 3;
    base->volumes[0].size = 1000 * OBJECT;
    base->volumes[0].window = OBJECT;
}

/* n ranges, so many of them in each object. */
static void ask(struct fs_base_point *base, struct heard *heard, size_t n, size_t in_object)
{
    *heard = (struct heard){0};
    for (size_t i = 0; i < n; i++) {
        heard->reads[i] =
            (struct fs_read){.offset = i / in_object * OBJECT + i % in_object * 512, .length = 1};
    }
    fs_base_read(base, 0, heard->reads, n, heard_cb, heard, &heard->io);
    assert_int_equal(heard->times, 0);
}

static void test_base_read_is_cut_where_objects_end(void **state)
{
    static const size_t counts[] = {4, 4, 2};
    struct fs_base_point base;
    struct heard heard;
    (void)state;
    base_init(&base);
    ask(&base, &heard, 10, 4);
    assert_int_equal(asked, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(calls[i].object, i);
        assert_int_equal(calls[i].count, counts[i]);
        assert_int_equal(heard.times, 0);
        answer(NULL);
    }
    assert_int_equal(heard.times, 1);
    assert_int_equal(heard.code, 0);
}

static void test_base_reads_beyond_the_bound_wait_in_order(void **state)
{
    struct fs_base_point base;
    struct heard first, second;
    (void)state;
    base_init(&base);
    ask(&base, &first, AT_ONCE * 2, 1);
    ask(&base, &second, AT_ONCE, 1);
    assert_int_equal(asked, AT_ONCE);
    while (answered < asked) {
        assert_true(asked - answered <= AT_ONCE);
        assert_int_equal(first.times, answered >= AT_ONCE * 2);
        answer(NULL);
    }
    assert_int_equal(asked, AT_ONCE * 3);
    assert_int_equal(first.times, 1);
    assert_int_equal(second.times, 1);
}

static void test_base_read_that_fails_asks_no_further(void **state)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_base_point base;
    struct heard first, second;
    (void)state;
    base_init(&base);
    fs_error_set(&err, FS_ERR_TRANSIENT, EIO, "broken");
    ask(&base, &first, AT_ONCE * 4, 1);
    ask(&base, &second, 2, 1);
    answer(&err);
    assert_int_equal(asked, AT_ONCE + 1); /* the second's */
    while (answered < asked) {
        answer(NULL);
    }
    assert_int_equal(asked, AT_ONCE + 2);
    assert_int_equal(first.times, 1);
    assert_int_equal(first.code, EIO);
    assert_int_equal(second.times, 1);
    assert_int_equal(second.code, 0);
}

static void test_base_that_is_stopped_ends_what_waits(void **state)
{
    struct fs_base_point base;
    struct heard first, second;
    (void)state;
    base_init(&base);
    ask(&base, &first, AT_ONCE * 2, 1);
    ask(&base, &second, 2, 1);
    fs_base_stop(&base);
    assert_int_equal(second.times, 0);
    while (answered < asked) {
        answer(NULL);
    }
    assert_int_equal(asked, AT_ONCE);
    assert_int_equal(first.times, 1);
    assert_int_equal(first.code, ECANCELED);
    assert_int_equal(second.times, 1);
    assert_int_equal(second.code, ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_read_is_cut_where_objects_end),
        cmocka_unit_test(test_base_reads_beyond_the_bound_wait_in_order),
        cmocka_unit_test(test_base_read_that_fails_asks_no_further),
        cmocka_unit_test(test_base_that_is_stopped_ends_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
