/* SPDX-License-Identifier: Apache-2.0 */
/* When what uses a group's volumes is brought up, or shut out and stopped; the API's side of it is
 * in tests/kube/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/failover.h"
#include "daemon/follow.h"
#include "daemon/terms.h"
#include "daemon/workload.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define STEP     (100 * FS_MSEC)

static const struct fs_uuid newest;
static struct event_base *base;

/* West was promoted, and reads what the point carries. */
static struct pair *begin(uint64_t *ret_serial)
{
    base = event_base_new();
    struct pair *pair = pair_with_workload(INTERVAL, base);
    struct fs_group *group = pair_find(&pair->west, "a");

    *ret_serial = fs_failover_start(group, &newest, FS_FENCE_NONE, "tester");
    pair_await_reading(pair);
    return pair;
}

static void end(struct pair *pair)
{
    fs_workloads_free(pair->west.ctx.workloads);
    pair->west.ctx.workloads = NULL;
    pair_free(pair);
    event_base_free(base);
}

static const struct fs_operation_result *finished(struct pair *pair, uint64_t serial)
{
    const struct fs_operation_result *result = NULL;

    for (unsigned i = 0; i < 600 && !result; i++) {
        pair_advance(pair, STEP);
        result = fs_operation_result(pair_find(&pair->west, "a"), serial);
    }
    assert_non_null(result);
    return result;
}

static void test_source_that_is_removed_meanwhile(void **state)
{
    uint64_t serial;
    struct pair *pair = begin(&serial);
    const struct fs_group *group = pair_find(&pair->west, "a");

    (void)state;
    assert_int_equal(pair->west.ctx.groups->noting, 1); /* the site stays open for it */
    pair->west.config.kubernetes = NULL;
    mem_store_release(pair->west.store, MEM_OP_OBJECTS);
    const struct fs_operation_result *result = finished(pair, serial);
    assert_false(result->failed);
    assert_true(result->workload.failed);
    assert_non_null(strstr(result->workload.message, "no source any more"));
    assert_int_equal(pair->west.ctx.groups->noting, 0);
    assert_true(group->record->bring_up.present);
    assert_true(group->bring_up_ns > fs_context_boot(&pair->west.ctx));
    end(pair);
}

/* The other site was promoted, too, by somebody who could not wait: nothing is started here. */
static void test_higher_term_ends_it(void **state)
{
    uint64_t serial;
    struct pair *pair = begin(&serial);
    struct fs_group *group = pair_find(&pair->west, "a");
    const struct fs_term higher = {.number = group->record->term.number + 1,
                                   .site = pair->east.ctx.site_uuid};

    (void)state;
    fs_terms_learn(group, &higher, false);
    mem_store_release(pair->west.store, MEM_OP_OBJECTS);
    const struct fs_operation_result *result = finished(pair, serial);
    assert_true(result->workload.failed);
    assert_non_null(strstr(result->workload.message, "was promoted meanwhile"));
    pair_advance(pair, FS_SEC);
    assert_int_equal(group->record->role, FS_ROLE_SUPERSEDED);
    assert_null(fs_workload_text(group));
    end(pair);
}

/* Later points come and go; its objects are still to be read. */
static void test_point_stays_until_its_objects_are_brought_up(void **state)
{
    uint64_t serial;
    struct pair *pair = begin(&serial);
    struct fs_group *west = pair_find(&pair->west, "a"), *east = pair_find(&pair->east, "a");

    (void)state;
    pair->west.config.kubernetes = NULL;
    mem_store_release(pair->west.store, MEM_OP_OBJECTS);
    (void)finished(pair, serial);
    const struct fs_uuid point = west->record->bring_up.point;
    pair_discover_west(pair);
    pair_advance(pair, FS_SEC);
    assert_true(fs_follow_start(east, false, "tester") != 0);
    for (unsigned i = 0; i < 4; i++) {
        mem_image_scribble(mem_store_find(pair->west.store, "rbd", "a-0"), 0, 4096, false);
        pair_advance(pair, INTERVAL + FS_SEC);
    }
    assert_false(fs_uuid_equal(&pair_check_synced(pair, "a")->point.id, &point));
    assert_non_null(fs_record_find_point(west->record, &point));
    assert_int_equal(west->record->n_points, 2); /* of the others only the newest */
    end(pair);
}

/* What could not be stopped was put off, and a failback made it needless: that is over. */
static void test_one_that_was_put_off_does_not_delay_the_next_fencing(void **state)
{
    struct pair *pair = pair_new(INTERVAL);

    (void)state;
    pair_connect(pair);
    struct fs_group *east = pair_add_group(pair, "a", 1);
    pair_advance(pair, INTERVAL);
    east->fence_ns = fs_context_boot(&pair->east.ctx) + 960 * FS_SEC;
    east->fence_tries = 5;
    pair_advance(pair, FS_SEC);
    pair_cut(pair);
    (void)finished(pair, fs_failover_start(pair_find(&pair->west, "a"), &newest,
                                           FS_FENCE_BEST_EFFORT, "tester"));
    pair_connect(pair);
    pair_advance(pair, INTERVAL);
    assert_int_equal(east->record->role, FS_ROLE_SUPERSEDED);
    assert_false(east->record->fence_users);
    assert_true(mem_store_started(pair->east.store, MEM_OP_FENCE) > 0);
    assert_int_equal(east->fence_tries, 0);
    pair_free(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_that_is_removed_meanwhile),
        cmocka_unit_test(test_higher_term_ends_it),
        cmocka_unit_test(test_point_stays_until_its_objects_are_brought_up),
        cmocka_unit_test(test_one_that_was_put_off_does_not_delay_the_next_fencing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
