/* SPDX-License-Identifier: Apache-2.0 */
/* A group's Kubernetes objects: captured at each point, and never in the way of the data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define ONE      "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"ConfigMap\"}]}"
#define TWO      "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"Secret\"}]}"

static struct pair *begin(const char *objects)
{
    struct pair *pair = pair_new(INTERVAL);

    pair->east.api.objects = objects;
    pair_connect(pair);
    (void)pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL);
    return pair;
}

/* What the newest point carries, at both sites; NULL: nothing. */
static void check_newest(struct pair *pair, const char *expected, bool stale)
{
    struct pair_site *const sites[] = {&pair->east, &pair->west};
    const struct fs_uuid point = pair_check_synced(pair, "a")->point.id;

    for (size_t i = 0; i < 2; i++) {
        struct fs_record *record = pair_find(sites[i], "a")->record;
        char *text = mem_store_captured(sites[i]->store, &record->group, &point);

        assert_int_equal(text != NULL, expected != NULL);
        if (text) {
            assert_string_equal(text, expected);
        }
        free(text);
        assert_int_equal(fs_record_find_point(record, &point)->objects.stale, stale);
    }
}

static uint64_t seq_of(struct pair *pair)
{
    return pair_check_synced(pair, "a")->point.seq;
}

static void check_reason(struct pair *pair, const char *state, const char *reason)
{
    json_t *status = fs_capture_status(pair_find(&pair->east, "a"));

    assert_non_null(status);
    assert_string_equal(json_string_value(json_object_get(status, "state")), state);
    assert_non_null(strstr(json_string_value(json_object_get(status, "reason")), reason));
    json_decref(status);
}

static void test_changed_objects_alone_make_a_new_point(void **state)
{
    struct pair *pair = begin(ONE);

    (void)state;
    check_newest(pair, ONE, false);
    uint64_t seq = seq_of(pair);
    pair_advance(pair, 3 * INTERVAL);
    assert_int_equal(seq_of(pair), seq); /* neither the data nor the objects changed */
    assert_true(pair->east.api.asked >= 3);
    assert_true(fs_group_lag_ns(pair_find(&pair->west, "a")) <= 2 * INTERVAL);
    pair->east.api.objects = TWO;
    pair_advance(pair, INTERVAL + FS_SEC);
    assert_true(seq_of(pair) > seq);
    check_newest(pair, TWO, false);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    pair_free(pair);
}

static void test_data_goes_on_while_the_api_is_away(void **state)
{
    struct pair *pair = begin(ONE);

    (void)state;
    pair->east.api.down = true;
    pair->east.api.objects = TWO;
    pair_advance(pair, 2 * INTERVAL); /* nobody knows of a change, so nothing has changed */
    uint64_t seq = seq_of(pair);
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL + FS_SEC);
    assert_int_equal(seq_of(pair), seq + 1);
    check_newest(pair, ONE, true);
    check_reason(pair, "stale", "the API is away");
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);

    pair->east.api.down = false;
    pair_advance(pair, INTERVAL + FS_SEC);
    check_newest(pair, TWO, false);
    check_reason(pair, "captured", "");
    pair_free(pair);
}

static void test_a_stop_does_not_wait_for_an_api_that_hangs(void **state)
{
    struct pair *pair = begin(ONE);
    struct fs_groups *groups = pair->east.ctx.groups;

    (void)state;
    pair->east.api.hangs = true;
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL + FS_SEC);
    assert_non_null(pair->east.api.waiting);
    assert_int_equal(fs_groups_busy(groups), 1);
    fs_groups_stop(groups);
    assert_null(pair->east.api.waiting);
    assert_int_equal(fs_groups_busy(groups), 0);
    check_newest(pair, ONE, false);
    check_reason(pair, "captured", "");

    pair->east.api.hangs = false;
    pair->east.api.objects = TWO;
    fs_groups_resume(groups);
    pair_advance(pair, 2 * INTERVAL);
    check_newest(pair, TWO, false);
    pair_free(pair);
}

static void test_without_any_known_objects_points_carry_none(void **state)
{
    struct pair *pair = pair_new(INTERVAL);

    (void)state;
    pair->east.api = (struct pair_api){
        .capturer = pair->east.api.capturer, .site = &pair->east, .objects = ONE, .down = true};
    pair_connect(pair);
    (void)pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL);
    check_newest(pair, NULL, false);
    check_reason(pair, "none", "the API is away");
    pair->east.api.down = false;
    pair_advance(pair, INTERVAL + FS_SEC);
    check_newest(pair, ONE, false);
    pair_free(pair);
}

static void test_objects_that_are_too_large_do_not_keep_the_data(void **state)
{
    struct pair *pair = begin(ONE);
    char *large = malloc(FS_CAPTURED_MAX + 2);

    (void)state;
    memset(large, ' ', FS_CAPTURED_MAX + 1);
    large[FS_CAPTURED_MAX + 1] = '\0';
    pair->east.api.objects = large;
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL + FS_SEC);
    check_newest(pair, ONE, true);
    check_reason(pair, "stale", "a point carries at most");
    pair_free(pair);
    free(large);
}

static void test_a_policy_without_objects_asks_for_none(void **state)
{
    struct pair *pair = begin(ONE);

    (void)state;
    pair->east.policy.no_objects = true;
    unsigned asked = pair->east.api.asked;
    pair_advance(pair, INTERVAL + FS_SEC); /* the point before carries some, so this is news */
    check_newest(pair, NULL, false);
    assert_int_equal(pair->east.api.asked, asked);
    pair_free(pair);
}

static void test_objects_that_are_lost_are_captured_again(void **state)
{
    struct pair *pair = begin(ONE);

    (void)state;
    pair->east.api.objects = TWO;
    mem_store_hold(pair->east.store, MEM_OP_OBJECTS);
    while (mem_store_in_flight(pair->east.store, MEM_OP_OBJECTS) == 0) {
        pair_advance(pair, FS_SEC);
    }
    mem_store_lose_captured(pair->east.store, false);
    mem_store_release(pair->east.store, MEM_OP_OBJECTS);
    pair_pump(pair);
    check_newest(pair, NULL, false);
    pair_advance(pair, INTERVAL + FS_SEC);
    check_newest(pair, TWO, false);
    pair_free(pair);
}

static void loaded(void *arg, json_t *document, const struct fs_error *err)
{
    assert_null(err);
    *(json_t **)arg = json_incref(document);
}

static void test_the_document_of_a_point_is_read_at_either_site(void **state)
{
    struct pair *pair = begin(ONE);
    const struct fs_uuid point = pair_check_synced(pair, "a")->point.id, other = {.b = {1}};
    struct pair_site *const sites[] = {&pair->east, &pair->west};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fs_error err = FS_ERROR_INIT;
        json_t *document = NULL;

        assert_int_equal(fs_capture_load(pair_find(sites[i], "a"), &point, loaded, &document, &err),
                         0);
        assert_null(document);
        pair_pump(pair);
        assert_int_equal(json_array_size(json_object_get(document, "objects")), 1);
        json_decref(document);
        assert_int_equal(fs_capture_load(pair_find(sites[i], "a"), &other, loaded, &document, &err),
                         -ENOENT);
    }
    pair_free(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed_objects_alone_make_a_new_point),
        cmocka_unit_test(test_data_goes_on_while_the_api_is_away),
        cmocka_unit_test(test_a_stop_does_not_wait_for_an_api_that_hangs),
        cmocka_unit_test(test_without_any_known_objects_points_carry_none),
        cmocka_unit_test(test_objects_that_are_too_large_do_not_keep_the_data),
        cmocka_unit_test(test_a_policy_without_objects_asks_for_none),
        cmocka_unit_test(test_objects_that_are_lost_are_captured_again),
        cmocka_unit_test(test_the_document_of_a_point_is_read_at_either_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
