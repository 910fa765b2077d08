/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/clock.h"
#include "farshore/sink.h"

static void test_role_names_parse_back(void **state)
{
    enum fs_role role;

    (void)state;
    for (int i = FS_ROLE_NONE; i <= FS_ROLE_RECORD_LOST; i++) {
        assert_int_equal(fs_role_parse(fs_role_name((enum fs_role)i), &role), 0);
        assert_int_equal(role, i);
    }
    assert_string_equal(fs_role_name(FS_ROLE_RECORD_LOST), "record-lost");
    assert_string_equal(fs_role_name((enum fs_role)99), "unknown");
    assert_int_equal(fs_role_parse("unknown", &role), -EINVAL);
    assert_int_equal(fs_role_parse("", &role), -EINVAL);
    assert_int_equal(fs_role_parse("Primary", &role), -EINVAL);
}

static void test_image_ref_same_goes_by_identity(void **state)
{
    struct fs_image_ref a = {.pool_id = 3, .pool = "rbd", .ns = "n", .image_id = "1f", .name = "x"};
    struct fs_image_ref b = {
        .pool_id = 3, .pool = "moved", .ns = "n", .image_id = "1f", .name = "y"};

    (void)state;
    assert_true(fs_image_ref_same(&a, &b));
    b.pool_id = 4;
    assert_false(fs_image_ref_same(&a, &b));
    b.pool_id = 3;
    strcpy(b.ns, "");
    assert_false(fs_image_ref_same(&a, &b));
    strcpy(b.ns, "n");
    strcpy(b.image_id, "1f0");
    assert_false(fs_image_ref_same(&a, &b));
}

static void test_image_spec_leaves_out_the_default_namespace(void **state)
{
    struct fs_image_ref ref = {.pool = "rbd", .name = "disk"};
    char text[FS_IMAGE_SPEC_SIZE];

    (void)state;
    assert_string_equal(fs_image_spec(&ref, text), "rbd/disk");
    strcpy(ref.ns, "prod");
    assert_string_equal(fs_image_spec(&ref, text), "rbd/prod/disk");
    memset(ref.pool, 'p', sizeof(ref.pool) - 1);
    memset(ref.ns, 'n', sizeof(ref.ns) - 1);
    memset(ref.name, 'i', sizeof(ref.name) - 1);
    assert_int_equal(strlen(fs_image_spec(&ref, text)), 127 + 1 + 127 + 1 + 255);
}

static void test_point_names_are_made_of_term_seq_and_id(void **state)
{
    struct fs_point_id point = {
        .term.number = 7, .seq = 42, .id = {{0x0a, 0xbc, 0x01, 0xff, 0x55}}};
    char name[FS_SNAP_NAME_SIZE];

    (void)state;
    assert_string_equal(fs_point_snap_name(&point, name), "farshore.7.42.0abc01ff");
    assert_string_equal(fs_point_mark_name(&point, name), "farshore.mark.0abc01ff");
    point.term.number = UINT64_MAX;
    point.seq = UINT64_MAX;
    assert_string_equal(fs_point_snap_name(&point, name),
                        "farshore.18446744073709551615.18446744073709551615.0abc01ff");
}

static void test_digest_text_parses_back(void **state)
{
    struct fs_digest digest = {
        {0x00, 0x01, 0x7f, 0x80, 0xff, 0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 8}};
    struct fs_digest parsed = {{0}};
    char text[FS_DIGEST_TEXT];

    (void)state;
    fs_digest_format(&digest, text);
    assert_string_equal(text, "00017f80ffabcdef0102030405060708");
    assert_int_equal(fs_digest_parse(text, &parsed), 0);
    assert_memory_equal(&parsed, &digest, sizeof(digest));
    assert_int_equal(fs_digest_parse("", &parsed), -EINVAL);
    assert_int_equal(fs_digest_parse("00017f80ffabcdef010203040506070", &parsed), -EINVAL);
    assert_int_equal(fs_digest_parse("00017f80ffabcdef01020304050607080", &parsed), -EINVAL);
    assert_int_equal(fs_digest_parse("00017f80ffabcdef010203040506070g", &parsed), -EINVAL);
    assert_int_equal(fs_digest_parse("00017F80FFABCDEF0102030405060708", &parsed), -EINVAL);
}

static void test_uuid_text_parses_back(void **state)
{
    struct fs_uuid a;
    struct fs_uuid b;
    struct fs_uuid zero = {{0}};
    char text[FS_UUID_TEXT];

    (void)state;
    fs_uuid_random(&a);
    fs_uuid_random(&b);
    assert_false(fs_uuid_equal(&a, &b));
    assert_false(fs_uuid_is_zero(&a));
    assert_true(fs_uuid_is_zero(&zero));
    assert_true(fs_uuid_compare(&zero, &a) < 0);
    fs_uuid_format(&a, text);
    assert_int_equal(strlen(text), 36);
    assert_int_equal(fs_uuid_parse(text, &b), 0);
    assert_true(fs_uuid_equal(&a, &b));
    assert_int_equal(fs_uuid_parse("00112233-4455-6677-8899-aabbccddeeff", &b), 0);
    assert_int_equal(b.b[0], 0x00);
    assert_int_equal(b.b[15], 0xff);
    assert_int_equal(fs_uuid_parse("00112233-4455-6677-8899-aabbccddeef", &a), -EINVAL);
    assert_int_equal(fs_uuid_parse("001122334455-6677-8899-aabb-ccddeeff", &a), -EINVAL);
    assert_int_equal(fs_uuid_parse("", &a), -EINVAL);
}

static void test_volume_copy_is_independent(void **state)
{
    struct fs_volume volume = {.image = {.pool = "rbd", .name = "disk"}, .pvc = "data"};
    struct fs_volume copy;

    (void)state;
    assert_int_equal(fs_volume_copy(&volume, &copy), 0);
    assert_null(copy.labels);
    volume.labels = strdup("{\"app\":\"web\"}");
    assert_int_equal(fs_volume_copy(&volume, &copy), 0);
    assert_ptr_not_equal(copy.labels, volume.labels);
    fs_volume_fini(&volume);
    assert_null(volume.labels);
    fs_volume_fini(&volume);
    assert_string_equal(copy.labels, "{\"app\":\"web\"}");
    assert_string_equal(copy.pvc, "data");
    fs_volume_fini(&copy);
}

static void test_offer_fini_frees_and_empties(void **state)
{
    struct fs_offer offer = {.n_held = 2, .n_volumes = 2};

    (void)state;
    offer.held = calloc(2, sizeof(*offer.held));
    offer.volumes = calloc(2, sizeof(*offer.volumes));
    offer.volumes[1].volume.labels = strdup("{}");
    fs_offer_fini(&offer);
    assert_null(offer.held);
    assert_null(offer.volumes);
    assert_int_equal(offer.n_held, 0);
    assert_int_equal(offer.n_volumes, 0);
    fs_offer_fini(&offer);
}

static void test_clock_scripted_moves_only_when_told(void **state)
{
    struct fs_clock_scripted scripted;

    (void)state;
    fs_clock_scripted_init(&scripted, 1000 * FS_SEC);

    int64_t boot = fs_clock_boot(&scripted.clock);

    assert_int_equal(fs_clock_wall(&scripted.clock), 1000 * FS_SEC);
    assert_int_equal(fs_clock_boot(&scripted.clock), boot);
    fs_clock_scripted_advance(&scripted, 250 * FS_MSEC);
    assert_int_equal(fs_clock_wall(&scripted.clock), 1000 * FS_SEC + 250 * FS_MSEC);
    assert_int_equal(fs_clock_boot(&scripted.clock), boot + 250 * FS_MSEC);
    scripted.wall_now_ns -= 3600 * FS_SEC; /* an administrator steps the clock */
    assert_int_equal(fs_clock_boot(&scripted.clock), boot + 250 * FS_MSEC);
}

static void test_clock_system_goes_on(void **state)
{
    const struct fs_clock *clock = fs_clock_system();
    int64_t boot = fs_clock_boot(clock);

    (void)state;
    assert_true(boot > 0);
    assert_true(fs_clock_boot(clock) >= boot);
    assert_true(fs_clock_wall(clock) > INT64_C(1577836800) * FS_SEC); /* later than 2020 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_role_names_parse_back),
        cmocka_unit_test(test_image_ref_same_goes_by_identity),
        cmocka_unit_test(test_image_spec_leaves_out_the_default_namespace),
        cmocka_unit_test(test_point_names_are_made_of_term_seq_and_id),
        cmocka_unit_test(test_digest_text_parses_back),
        cmocka_unit_test(test_uuid_text_parses_back),
        cmocka_unit_test(test_volume_copy_is_independent),
        cmocka_unit_test(test_offer_fini_frees_and_empties),
        cmocka_unit_test(test_clock_scripted_moves_only_when_told),
        cmocka_unit_test(test_clock_system_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
