/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of a drill, which is read back like any input: snapshot/drill.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/drill.h"

static struct fs_drill sample(void)
{
    struct fs_drill drill = {
        .noted_ns = 1234567890123456789,
        .id = {{1}},
        .group = {{2}},
        .point = {{3}},
        .point_name = "farshore.1.2.00000003",
        .created_ns = 1700000000 * FS_SEC,
        .who = "root",
        .ready = true,
        .exit_status = FS_DRILL_NO_EXIT,
        .n_images = 1,
    };

    drill.images[0].volume = (struct fs_uuid){{4}};
    (void)snprintf(drill.images[0].clone.pool, FS_POOL_SIZE, "rbd");
    (void)snprintf(drill.images[0].clone.ns, FS_POOL_SIZE, "ns");
    (void)snprintf(drill.images[0].clone.name, FS_IMAGE_NAME_SIZE, "farshore-drill.01000000.root");
    (void)snprintf(drill.images[0].parent, FS_IMAGE_NAME_SIZE, "root");
    return drill;
}

static void test_drill_round_trip(void **state)
{
    (void)state;
    struct fs_drill drill = sample(), got;
    char *text = fs_drill_encode(&drill);

    assert_non_null(text);
    assert_int_equal(fs_drill_decode(text, &got), 0);
    assert_true(fs_uuid_equal(&got.id, &drill.id) && fs_uuid_equal(&got.group, &drill.group) &&
                fs_uuid_equal(&got.point, &drill.point));
    assert_string_equal(got.point_name, drill.point_name);
    assert_string_equal(got.who, drill.who);
    assert_int_equal(got.created_ns, drill.created_ns);
    assert_int_equal(got.noted_ns, drill.noted_ns);
    assert_int_equal(got.exit_status, FS_DRILL_NO_EXIT);
    assert_true(got.ready);
    assert_int_equal(got.n_images, 1);
    assert_string_equal(got.images[0].clone.name, drill.images[0].clone.name);
    assert_string_equal(got.images[0].clone.ns, "ns");
    assert_string_equal(got.images[0].parent, "root");
    free(text);
}

/* An entry says which images are removed: one that names another than a drill's is none. */
static void test_drill_of_other_images_is_refused(void **state)
{
    (void)state;
    struct fs_drill drill = sample(), got;

    (void)snprintf(drill.images[0].clone.name, FS_IMAGE_NAME_SIZE, "root");
    char *text = fs_drill_encode(&drill);
    assert_int_equal(fs_drill_decode(text, &got), -EINVAL);
    free(text);
}

static void test_drill_garbage_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "[]", "{}", "{\"format\": 2}", "{\"format\": 1, \"id\": 7}", "{\"format\": 1} x",
    };
    struct fs_drill got;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(fs_drill_decode(texts[i], &got), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drill_round_trip),
        cmocka_unit_test(test_drill_of_other_images_is_refused),
        cmocka_unit_test(test_drill_garbage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
