/* SPDX-License-Identifier: Apache-2.0 */
/* What is read back from the cluster as text: versions, moments, leases, stamps, metadata. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/buf.h"
#include "snapshot/image_meta.h"
#include "snapshot/lease.h"
#include "snapshot/stamp.h"
#include "snapshot/state.h"

#define POINT "00112233-4455-6677-8899-aabbccddeeff"

static void test_parse_version_takes_only_canonical_numbers(void **state)
{
    static const char *const bad[] = {
        "", "0", "01", "-1", "+1", " 1", "1 ", "1x", "x", "0x1", "18446744073709551616"};
    uint64_t version = 0;

    (void)state;
    assert_int_equal(fs_state_parse_version("1", &version), 0);
    assert_int_equal(version, 1);
    assert_int_equal(fs_state_parse_version("18446744073709551615", &version), 0);
    assert_true(version == UINT64_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(fs_state_parse_version(bad[i], &version), -EINVAL);
    }
}

static void test_parse_current_takes_a_point_and_a_moment(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      POINT,
                                      POINT " ",
                                      POINT " -5",
                                      POINT "  5",
                                      POINT " 5x",
                                      POINT " 9223372036854775808",
                                      "x" POINT " 5",
                                      "zz112233-4455-6677-8899-aabbccddeeff 5"};
    struct fs_uuid point;
    struct fs_uuid want;
    int64_t until = 0;

    (void)state;
    assert_int_equal(fs_uuid_parse(POINT, &want), 0);
    assert_int_equal(fs_state_parse_current(POINT " 1234567890123", &point, &until), 0);
    assert_true(fs_uuid_equal(&point, &want));
    assert_true(until == INT64_C(1234567890123));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(fs_state_parse_current(bad[i], &point, &until), -EINVAL);
    }
}

static void test_lease_round_trip_and_garbage(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"key\":1,\"instance\":\"i\",\"renewals\":1,\"lease_ms\":1}",
        "{\"key\":\"k\",\"instance\":\"i\",\"renewals\":-1,\"lease_ms\":1}",
        "{\"key\":\"k\",\"instance\":\"i\",\"renewals\":1,\"lease_ms\":0}",
        "{\"key\":\"k\",\"instance\":\"i\",\"renewals\":1,\"lease_ms\":9223372036854775807}",
        "{\"key\":\"k\",\"instance\":\"i\",\"renewals\":1.5,\"lease_ms\":1}",
        "{\"key\":\"k\",\"key\":\"j\",\"instance\":\"i\",\"renewals\":1,\"lease_ms\":1}",
        ("{\"key\":\"k\",\"instance\":\"0123456789012345678901234567890123456\","
         "\"renewals\":1,\"lease_ms\":1}"),
    };
    struct fs_lease_text lease = {
        .key = "host \"a\"", .instance = POINT, .renewals = 7, .lease_ns = 30 * FS_SEC};
    struct fs_lease_text again = {0};
    char *text = fs_lease_encode(&lease);

    (void)state;
    assert_non_null(text);
    assert_int_equal(fs_lease_parse(text, &again), 0);
    assert_string_equal(again.key, lease.key);
    assert_string_equal(again.instance, lease.instance);
    assert_int_equal(again.renewals, 7);
    assert_true(again.lease_ns == lease.lease_ns);
    free(text);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(fs_lease_parse(bad[i], &again), -EINVAL);
    }
}

static int parse_stamp(const char *text, const char *id, struct fs_stamp *ret_stamp)
{
    struct fs_error err = FS_ERROR_INIT;
    int rc = fs_stamp_parse(text, strlen(text), id, ret_stamp, &err);

    assert_int_equal(fs_error_is_set(&err), rc < 0 && rc != -ENOENT);
    return rc;
}

static void test_stamp_round_trip_and_copies(void **state)
{
    struct fs_stamp stamp = {.role = FS_ROLE_SECONDARY, .term = {.number = UINT64_C(1) << 40}};
    struct fs_stamp again;
    char *text;

    (void)state;
    fs_uuid_random(&stamp.group);
    fs_uuid_random(&stamp.volume);
    fs_uuid_random(&stamp.term.site);
    fs_uuid_random(&stamp.joins);
    text = fs_stamp_encode("abc", &stamp);
    assert_non_null(text);
    assert_int_equal(parse_stamp(text, "abc", &again), 0);
    assert_memory_equal(&again, &stamp, sizeof(stamp));
    assert_int_equal(parse_stamp(text, "abd", &again), -ENOENT);
    for (size_t cut = 0; cut < strlen(text); cut++) {
        struct fs_error err = FS_ERROR_INIT;

        assert_int_equal(fs_stamp_parse(text, cut, "abc", &again, &err), -EINVAL);
    }
    free(text);
}

#define STAMP(format, id, group, term, role)                                                       \
    "{\"format\":" format ",\"image_id\":" id ",\"group\":\"" group "\",\"volume\":\"" POINT       \
    "\",\"site\":\"" POINT "\",\"term\":" term ",\"role\":\"" role "\"}"

static void test_stamp_garbage_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "\"x\"",
        STAMP("1", "\"\"", POINT, "1", "primary"),
        STAMP("1", "7", POINT, "1", "primary"),
        STAMP("0", "\"a\"", POINT, "1", "primary"),
        STAMP("\"1\"", "\"a\"", POINT, "1", "primary"),
        STAMP("1", "\"a\"", "nobody", "1", "primary"),
        STAMP("1", "\"a\"", "00000000-0000-0000-0000-000000000000", "1", "primary"),
        STAMP("1", "\"a\"", POINT, "-1", "primary"),
        STAMP("1", "\"a\"", POINT, "1.0", "primary"),
        STAMP("1", "\"a\"", POINT, "1", "king"),
        STAMP("1", "\"a\"", POINT, "1", "none"),
    };
    struct fs_stamp stamp;
    struct fs_error err = FS_ERROR_INIT;
    char *longer = calloc(1, 5001);

    (void)state;
    assert_int_equal(parse_stamp(STAMP("1", "\"a\"", POINT, "1", "primary"), "a", &stamp), 0);
    assert_int_equal(stamp.role, FS_ROLE_PRIMARY);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse_stamp(bad[i], "a", &stamp), -EINVAL);
    }
    assert_int_equal(parse_stamp(STAMP("2", "\"a\"", POINT, "1", "emperor"), "a", &stamp),
                     -EPROTONOSUPPORT);
    assert_int_equal(parse_stamp(STAMP("2", "\"b\"", POINT, "1", "emperor"), "a", &stamp), -ENOENT);
    assert_non_null(longer);
    memset(longer, '[', 5000);
    assert_int_equal(fs_stamp_parse(longer, 5000, "a", &stamp, &err), -EINVAL);
    free(longer);
}

static void put_text(struct fs_buf *buf, const char *text)
{
    fs_buf_put_u32(buf, (uint32_t)strlen(text));
    fs_buf_put(buf, text, strlen(text));
}

static void test_metadata_decodes_and_every_cut_fails(void **state)
{
    struct fs_buf buf = FS_BUF_INIT;
    struct fs_omap meta = {0};

    (void)state;
    fs_buf_put_u32(&buf, 2);
    put_text(&buf, "app");
    put_text(&buf, "shop");
    put_text(&buf, "tier");
    put_text(&buf, "");
    assert_int_equal(fs_image_meta_decode(buf.data, buf.length, &meta), 0);
    assert_int_equal(meta.count, 2);
    assert_string_equal(fs_omap_get(&meta, "app"), "shop");
    assert_string_equal(fs_omap_get(&meta, "tier"), "");
    assert_null(fs_omap_get(&meta, "no"));
    fs_omap_fini(&meta);
    for (size_t cut = 0; cut < buf.length; cut++) {
        assert_int_equal(fs_image_meta_decode(buf.data, cut, &meta), -EINVAL);
        fs_omap_fini(&meta);
    }
    fs_buf_put_u8(&buf, 0);
    assert_int_equal(fs_image_meta_decode(buf.data, buf.length, &meta), -EINVAL);
    fs_omap_fini(&meta);
    memset(buf.data, 0xff, 4); /* a count that no answer has room for */
    assert_int_equal(fs_image_meta_decode(buf.data, buf.length, &meta), -EINVAL);
    fs_omap_fini(&meta);
    fs_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_version_takes_only_canonical_numbers),
        cmocka_unit_test(test_parse_current_takes_a_point_and_a_moment),
        cmocka_unit_test(test_lease_round_trip_and_garbage),
        cmocka_unit_test(test_stamp_round_trip_and_copies),
        cmocka_unit_test(test_stamp_garbage_is_refused),
        cmocka_unit_test(test_metadata_decodes_and_every_cut_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
