/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of a fenced client, which is read back like any input: snapshot/fence_record.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/fence_record.h"

static struct fs_fence sample(void)
{
    struct fs_fence fence = {.group = {{2}}, .since_ns = 1700000000 * FS_SEC, .proven = true};

    (void)snprintf(fence.site, sizeof(fence.site), "east");
    (void)snprintf(fence.client, sizeof(fence.client), "client.4711");
    (void)snprintf(fence.address, sizeof(fence.address), "[2001:db8::1]:0/123456");
    (void)snprintf(fence.images, sizeof(fence.images), "rbd/a, rbd/b");
    (void)snprintf(fence.others, sizeof(fence.others), "rbd/c");
    (void)snprintf(fence.who, sizeof(fence.who), "root");
    return fence;
}

static void test_fence_round_trip(void **state)
{
    (void)state;
    const struct fs_fence fence = sample();
    struct fs_fence got;
    char *text = fs_fence_encode(&fence);

    assert_non_null(text);
    assert_int_equal(fs_fence_decode(text, &got), 0);
    assert_true(fs_uuid_equal(&got.group, &fence.group));
    assert_string_equal(got.site, "east");
    assert_string_equal(got.client, fence.client);
    assert_string_equal(got.address, fence.address);
    assert_string_equal(got.images, fence.images);
    assert_string_equal(got.others, fence.others);
    assert_string_equal(got.who, fence.who);
    assert_int_equal(got.since_ns, fence.since_ns);
    assert_true(got.proven);
    free(text);
}

/* The address goes into a command to the monitors. */
static void test_fence_with_another_text_as_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "10.0.0.1", "10.0.0.1:0/1\", \"x\": \"",
                                      "10.0.0.1:0/1 rm", "host:0/1"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fs_fence fence = sample(), got;
        (void)snprintf(fence.address, sizeof(fence.address), "%s", bad[i]);
        char *text = fs_fence_encode(&fence);
        assert_int_equal(fs_fence_decode(text, &got), -EINVAL);
        free(text);
    }
}

static void test_fence_of_another_shape_is_refused(void **state)
{
    (void)state;
    const struct fs_fence fence = sample();
    struct fs_fence got;
    char *text = fs_fence_encode(&fence);

    for (size_t length = strlen(text); length-- > 0;) {
        text[length] = '\0';
        assert_int_equal(fs_fence_decode(text, &got), -EINVAL);
    }
    assert_int_equal(fs_fence_decode("{\"format\": 2}", &got), -EINVAL);
    assert_int_equal(fs_fence_decode("[]", &got), -EINVAL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fence_round_trip),
        cmocka_unit_test(test_fence_with_another_text_as_address_is_refused),
        cmocka_unit_test(test_fence_of_another_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
