/* SPDX-License-Identifier: Apache-2.0 */
/* Events as JSON, and which are counted up: daemon/kube/event.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/kube/event.h"
#include "daemon/kube/run.h"
#include "daemon/kube/strip.h"
#include "farshore/clock.h"

#define MOMENT (1700000000 * FS_SEC + 999999999)

static struct fs_kube_events_made made;

static int setup(void **state)
{
    (void)state;
    memset(&made, 0, sizeof(made));
    return 0;
}

static struct fs_kube_event late(void)
{
    return (struct fs_kube_event){.reason = "ProtectionLate",
                                  .warning = true,
                                  .message = "shop/web is late",
                                  .site = "east",
                                  .happened_ns = MOMENT};
}

static void test_event_names_the_object_and_who_says_it(void **state)
{
    const struct fs_kube_event event = late();
    json_t *object =
        json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "apiVersion", "kubevirt.io/v1", "kind",
                  "VirtualMachine", "metadata", "namespace", "shop", "name", "web", "uid", "u-1");
    json_t *made_event = fs_kube_event_make(object, &event, "web.17");
    json_t *expected = json_loads(
        "{\"apiVersion\": \"v1\", \"kind\": \"Event\","
        " \"metadata\": {\"namespace\": \"shop\", \"name\": \"web.17\"},"
        " \"involvedObject\": {\"apiVersion\": \"kubevirt.io/v1\", \"kind\": \"VirtualMachine\","
        " \"namespace\": \"shop\", \"name\": \"web\", \"uid\": \"u-1\"},"
        " \"type\": \"Warning\", \"reason\": \"ProtectionLate\", \"message\": \"shop/web is late\","
        " \"source\": {\"component\": \"farshore\"}, \"reportingComponent\": \"farshore\","
        " \"reportingInstance\": \"east\", \"firstTimestamp\": \"2023-11-14T22:13:20Z\","
        " \"lastTimestamp\": \"2023-11-14T22:13:20Z\", \"count\": 1}",
        0, NULL);

    (void)state;
    assert_non_null(expected);
    assert_true(json_equal(made_event, expected));
    json_t *again = fs_kube_event_again(&event, 7);
    assert_int_equal(json_integer_value(json_object_get(again, "count")), 7);
    assert_string_equal(fs_kube_text(again, "lastTimestamp"), "2023-11-14T22:13:20Z");
    json_decref(again);
    json_decref(expected);
    json_decref(made_event);
    json_decref(object);
}

/* The API takes so many bytes at most. */
static void test_event_with_a_long_message_is_cut_between_characters(void **state)
{
    struct fs_kube_event event = late();
    char message[2 * FS_KUBE_MESSAGE_MAX];

    (void)state;
    memset(message, 'x', sizeof(message));
    memcpy(message + FS_KUBE_MESSAGE_MAX - 1, "\xc3\xa9", 2);
    message[sizeof(message) - 1] = '\0';
    event.message = message;
    json_t *again = fs_kube_event_again(&event, 2);
    assert_int_equal(strlen(fs_kube_text(again, "message")), FS_KUBE_MESSAGE_MAX - 1);
    json_decref(again);
}

static void test_made_of_an_object_is_found_by_reason(void **state)
{
    (void)state;
    assert_null(fs_kube_made_find(&made, "u-1", "Protected"));
    fs_kube_made_add(&made, "u-1", "Protected", "a.1");
    fs_kube_made_add(&made, "u-1", "ProtectionLate", "a.2");
    fs_kube_made_add(&made, "u-2", "Protected", "b.1");
    struct fs_kube_made *found = fs_kube_made_find(&made, "u-1", "ProtectionLate");
    assert_string_equal(found->name, "a.2");
    assert_int_equal(found->count, 1);
    fs_kube_made_again(&made, found);
    assert_int_equal(fs_kube_made_find(&made, "u-1", "ProtectionLate")->count, 2);
    fs_kube_made_forget(&made, found);
    assert_null(fs_kube_made_find(&made, "u-1", "ProtectionLate"));
    assert_string_equal(fs_kube_made_find(&made, "u-2", "Protected")->name, "b.1");
    assert_string_equal(fs_kube_made_find(&made, "u-1", "Protected")->name, "a.1");
}

static void test_made_of_too_many_objects_forgets_the_oldest(void **state)
{
    char uid[16];

    (void)state;
    for (unsigned i = 0; i < FS_KUBE_EVENTS_KNOWN; i++) {
        (void)snprintf(uid, sizeof(uid), "u-%u", i);
        fs_kube_made_add(&made, uid, "Protected", "x");
    }
    fs_kube_made_again(&made, fs_kube_made_find(&made, "u-0", "Protected"));
    fs_kube_made_add(&made, "one-more", "Protected", "y");
    assert_int_equal(made.n, FS_KUBE_EVENTS_KNOWN);
    assert_non_null(fs_kube_made_find(&made, "u-0", "Protected"));
    assert_null(fs_kube_made_find(&made, "u-1", "Protected"));
    assert_int_equal(fs_kube_made_find(&made, "one-more", "Protected")->count, 1);
}

static void test_names_are_valid_and_differ(void **state)
{
    char one[FS_KUBE_EVENT_NAME], other[FS_KUBE_EVENT_NAME], object[254];

    (void)state;
    fs_kube_made_name(&made, "data", MOMENT, one);
    fs_kube_made_name(&made, "data", MOMENT, other);
    assert_true(strncmp(one, "data.", 5) == 0);
    assert_string_not_equal(one, other);
    memset(object, 'a', sizeof(object));
    memset(object + 150, '-', 100);
    object[253] = '\0';
    fs_kube_made_name(&made, object, MOMENT, one);
    assert_true(fs_kube_name_valid(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_event_names_the_object_and_who_says_it, setup),
        cmocka_unit_test_setup(test_event_with_a_long_message_is_cut_between_characters, setup),
        cmocka_unit_test_setup(test_made_of_an_object_is_found_by_reason, setup),
        cmocka_unit_test_setup(test_made_of_too_many_objects_forgets_the_oldest, setup),
        cmocka_unit_test_setup(test_names_are_valid_and_differ, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
