/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of verification. */
#include "tests/unit/wire_rig.h"

DECODER(verify, no_fini)
DECODER(verify_report, no_fini)
DECODER(digest_open, no_fini)
DECODER(digest_ready, no_fini)
DECODER(digest_want, no_fini)
DECODER(digest_batch, fs_digest_batch_fini)

static void test_verify_round_trip(void **state)
{
    (void)state;
    struct fs_verify verify = {.group = uuid_a}, got;
    struct fs_digest_open open = {.group = uuid_a, .point = uuid_b}, got_open;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_verify_encode(&verify, &buf);
    assert_int_equal(fs_verify_decode(buf.data, buf.length, &got, &err), 0);
    assert_memory_equal(&got, &verify, sizeof(verify));
    check_bounds(decode_verify, &buf);
    fs_digest_open_encode(&open, &buf);
    assert_int_equal(fs_digest_open_decode(buf.data, buf.length, &got_open, &err), 0);
    assert_memory_equal(&got_open, &open, sizeof(open));
    check_bounds(decode_digest_open, &buf);
    open.point = (struct fs_uuid){0}; /* digests are of a certain point */
    fs_digest_open_encode(&open, &buf);
    assert_int_equal(decode_copy(decode_digest_open, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

static struct fs_verify_report a_report(void)
{
    return (struct fs_verify_report){
        .phase = FS_VERIFY_DIFFERENT,
        .kept = true,
        .point = uuid_b,
        .done_bytes = 10,
        .total_bytes = 20,
        .read_bytes = 5,
        .different = 70,
        .message = "so it is",
        .n_differences = 2,
        .differences = {{uuid_a, 1, 4 << 20, 65536}, {uuid_b, 0, 0, 1}},
    };
}

static int try_report(const struct fs_verify_report *report)
{
    struct fs_buf buf = FS_BUF_INIT;
    fs_verify_report_encode(report, &buf);
    int r = decode_copy(decode_verify_report, buf.data, buf.length);
    fs_buf_fini(&buf);
    return r;
}

static void test_verify_report_round_trip(void **state)
{
    (void)state;
    struct fs_verify_report report = a_report(), got;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_verify_report_encode(&report, &buf);
    assert_int_equal(fs_verify_report_decode(buf.data, buf.length, &got, &err), 0);
    assert_int_equal(got.phase, report.phase);
    assert_true(got.kept);
    assert_int_equal(got.different, 70);
    assert_string_equal(got.message, report.message);
    assert_memory_equal(got.differences, report.differences, 2 * sizeof(report.differences[0]));
    check_bounds(decode_verify_report, &buf);
}

static void test_verify_report_impossible_fields_are_refused(void **state)
{
    (void)state;
    struct fs_verify_report report = a_report();
    report.phase = FS_VERIFY_EQUAL; /* with differences */
    assert_int_equal(try_report(&report), -EPROTO);
    report = a_report();
    report.phase = (enum fs_verify_phase)5;
    assert_int_equal(try_report(&report), -EPROTO);
    report = a_report();
    report.done_bytes = 21;
    assert_int_equal(try_report(&report), -EPROTO);
    report = a_report();
    report.differences[1].length = 0;
    assert_int_equal(try_report(&report), -EPROTO);
    report = a_report();
    report.differences[0].offset = UINT64_MAX;
    assert_int_equal(try_report(&report), -EPROTO);
}

static void test_digests_round_trip(void **state)
{
    (void)state;
    struct fs_digest_ready ready = {.n_volumes = 2, .volumes = {{uuid_a, 5, 12}, {uuid_b, 0, 25}}},
                           got_ready;
    struct fs_digest_want want = {{uuid_a, 8192, 10000, 4096}}, got_want;
    struct fs_digest_entry entries[] = {{4096, 1}, {8192, UINT64_MAX}};
    struct fs_digest_batch batch = {.next = 8193, .n_entries = 2, .entries = entries}, got_batch;
    struct fs_error err = FS_ERROR_INIT;
    struct fs_buf buf = FS_BUF_INIT;
    fs_digest_ready_encode(&ready, &buf);
    assert_int_equal(fs_digest_ready_decode(buf.data, buf.length, &got_ready, &err), 0);
    assert_int_equal(got_ready.n_volumes, 2);
    assert_int_equal(got_ready.volumes[1].order, 25);
    check_bounds(decode_digest_ready, &buf);
    fs_digest_want_encode(&want, &buf);
    assert_int_equal(fs_digest_want_decode(buf.data, buf.length, &got_want, &err), 0);
    assert_int_equal(got_want.query.to, 10000);
    check_bounds(decode_digest_want, &buf);
    fs_digest_batch_encode(&batch, &buf);
    assert_int_equal(fs_digest_batch_decode(buf.data, buf.length, &got_batch, &err), 0);
    assert_int_equal(got_batch.next, 8193);
    assert_memory_equal(got_batch.entries, entries, sizeof(entries));
    fs_digest_batch_fini(&got_batch);
    check_bounds(decode_digest_batch, &buf);
}

static void test_digests_impossible_fields_are_refused(void **state)
{
    (void)state;
    const struct fs_digest_want wants[] = {
        {{uuid_a, 0, 100, 3000}},        /* no power of two */
        {{uuid_a, 0, 100, 2048}},        /* too small */
        {{uuid_a, 0, 100, 64 << 20}},    /* too great */
        {{uuid_a, 100, 5000, 4096}},     /* not at a unit */
        {{uuid_a, 8192, 8192, 4096}},    /* nothing */
        {{uuid_a, 0, UINT64_MAX, 4096}}, /* beyond any volume */
    };
    struct fs_buf buf = FS_BUF_INIT;
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        fs_digest_want_encode(&wants[i], &buf);
        assert_int_equal(decode_copy(decode_digest_want, buf.data, buf.length), -EPROTO);
        fs_buf_fini(&buf);
    }
    struct fs_digest_entry bad[][2] = {
        {{8192, 1}, {4096, 1}}, {{4096, 1}, {4096, 1}}, {{0, 1}, {4096, 0}}, {{0, 1}, {9000, 1}}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fs_digest_batch batch = {.next = 9000, .n_entries = 2, .entries = bad[i]};
        fs_digest_batch_encode(&batch, &buf);
        assert_int_equal(decode_copy(decode_digest_batch, buf.data, buf.length), -EPROTO);
        fs_buf_fini(&buf);
    }
    fs_buf_put_u64(&buf, 1);
    fs_buf_put_u32(&buf, UINT32_MAX); /* a promise of 64 GiB */
    assert_int_equal(decode_copy(decode_digest_batch, buf.data, buf.length), -EPROTO);
    fs_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verify_round_trip),
        cmocka_unit_test(test_verify_report_round_trip),
        cmocka_unit_test(test_verify_report_impossible_fields_are_refused),
        cmocka_unit_test(test_digests_round_trip),
        cmocka_unit_test(test_digests_impossible_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
