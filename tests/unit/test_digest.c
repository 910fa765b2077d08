/* SPDX-License-Identifier: Apache-2.0 */
/* What digests are made of, and what is remembered of a verification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/verify_note.h"
#include "farshore/digest.h"

static const struct fs_uuid point_a = {.b = {1}}, point_b = {.b = {2}}, volume = {.b = {3}};

static void test_chunk_of_zeroes_is_zero_however_long(void **state)
{
    static const uint8_t zeroes[FS_DIGEST_CHUNK];

    (void)state;
    assert_int_equal(fs_digest_of_chunk(zeroes, 0), 0);
    assert_int_equal(fs_digest_of_chunk(zeroes, 1), 0);
    assert_int_equal(fs_digest_of_chunk(zeroes, sizeof(zeroes)), 0);
    assert_true(fs_digest_zero_hash(sizeof(zeroes)) != 0);
}

static void test_chunk_has_xxh64_of_its_bytes(void **state)
{
    (void)state;
    /* As `xxhsum -H64` says of the three bytes. */
    assert_true(fs_digest_of_chunk("abc", 3) == UINT64_C(0x44bc2cf5ad770999));
}

static void test_unit_depends_on_each_chunk_and_its_place(void **state)
{
    const uint64_t zero[2] = {0, 0}, first[2] = {7, 0}, second[2] = {0, 7};

    (void)state;
    assert_int_equal(fs_digest_of_chunks(zero, 2), 0);
    assert_true(fs_digest_of_chunks(first, 2) != 0);
    assert_true(fs_digest_of_chunks(first, 2) != fs_digest_of_chunks(second, 2));
    assert_true(fs_digest_of_chunks(first, 2) != fs_digest_of_chunks(first, 1));
}

static struct fs_verify_report report_of(enum fs_verify_phase phase, const struct fs_uuid *point,
                                         bool kept)
{
    return (struct fs_verify_report){
        .phase = phase, .point = *point, .kept = kept, .total_bytes = 100, .done_bytes = 100};
}

static void test_note_difference_stands_until_disproved(void **state)
{
    struct fs_verify_note note = {0};
    struct fs_verify_report report = report_of(FS_VERIFY_DIFFERENT, &point_a, false);

    (void)state;
    report.different = 1;
    fs_verify_note_add(&note, &report, 5 * FS_SEC);
    assert_int_equal(note.proved_ns, 0);
    assert_true(note.bad.ended_ns == 5 * FS_SEC);
    /* An older point against what was kept says nothing of it. */
    report = report_of(FS_VERIFY_EQUAL, &point_b, true);
    fs_verify_note_add(&note, &report, 6 * FS_SEC);
    assert_true(note.bad.ended_ns == 5 * FS_SEC && note.proved_ns == 6 * FS_SEC);
    report = report_of(FS_VERIFY_EQUAL, &point_b, false);
    fs_verify_note_add(&note, &report, 7 * FS_SEC);
    assert_int_equal(note.bad.ended_ns, 0);
}

static void test_note_of_an_older_point_stands_until_that_point_is_good(void **state)
{
    struct fs_verify_note note = {0};
    struct fs_verify_report report = report_of(FS_VERIFY_DIFFERENT, &point_a, true);

    (void)state;
    fs_verify_note_add(&note, &report, 5 * FS_SEC);
    report = report_of(FS_VERIFY_EQUAL, &point_b, false);
    fs_verify_note_add(&note, &report, 6 * FS_SEC);
    assert_true(note.bad.ended_ns != 0);
    report = report_of(FS_VERIFY_EQUAL, &point_a, true);
    fs_verify_note_add(&note, &report, 7 * FS_SEC);
    assert_int_equal(note.bad.ended_ns, 0);
}

static void test_note_round_trip(void **state)
{
    struct fs_verify_note note = {0}, got;
    struct fs_verify_report report = report_of(FS_VERIFY_DIFFERENT, &point_a, false);

    (void)state;
    report.different = 9;
    report.n_differences = 1;
    report.differences[0] = (struct fs_difference){volume, 3, 12 << 20, 65536};
    fs_verify_note_add(&note, &report, 1800000000 * FS_SEC);
    char *text = fs_verify_note_encode(&note);
    assert_non_null(text);
    assert_int_equal(fs_verify_note_decode(text, &got), 0);
    free(text);
    assert_int_equal(got.proved_ns, 0);
    assert_true(got.bad.ended_ns == note.bad.ended_ns && got.last.ended_ns == note.last.ended_ns);
    assert_int_equal(got.bad.report.different, 9);
    assert_memory_equal(&got.bad.report.differences[0], &report.differences[0],
                        sizeof(report.differences[0]));
}

static void test_note_garbage_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"format\":2,\"proved_timestamp\":0.0}",
        "{\"format\":1,\"proved_timestamp\":-1.0}",
        "{\"format\":1,\"proved_timestamp\":1.0,\"last\":{}}",
        "{\"format\":1,\"proved_timestamp\":1.0,\"bad\":7}",
    };
    struct fs_verify_note note;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(fs_verify_note_decode(texts[i], &note), -EINVAL);
        assert_int_equal(note.proved_ns, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunk_of_zeroes_is_zero_however_long),
        cmocka_unit_test(test_chunk_has_xxh64_of_its_bytes),
        cmocka_unit_test(test_unit_depends_on_each_chunk_and_its_place),
        cmocka_unit_test(test_note_difference_stands_until_disproved),
        cmocka_unit_test(test_note_of_an_older_point_stands_until_that_point_is_good),
        cmocka_unit_test(test_note_round_trip),
        cmocka_unit_test(test_note_garbage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
