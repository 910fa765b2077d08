/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of the workload once its group has moved; the API's side of it is in tests/kube/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/failover.h"
#include "daemon/operation_hooks.h"
#include "daemon/relocate.h"
#include "daemon/relocate_look.h"
#include "daemon/workload.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define STEP     (100 * FS_MSEC)

static const struct fs_uuid newest;
static struct event_base *base;

static struct fs_group *east_of(struct pair *pair)
{
    return pair_find(&pair->east, "a");
}

static struct fs_group *west_of(struct pair *pair)
{
    return pair_find(&pair->west, "a");
}

static const struct fs_operation_result *ended(struct pair *pair, uint64_t serial)
{
    const struct fs_operation_result *result = NULL;

    for (unsigned i = 0; i < 600 && !result; i++) {
        pair_advance(pair, STEP);
        result = fs_operation_result(east_of(pair), serial);
    }
    assert_non_null(result);
    return result;
}

/* The group has moved to west, which reads what its workload is to be made of. */
static struct pair *begin(void)
{
    base = event_base_new();
    struct pair *pair = pair_with_workload(INTERVAL, base);
    uint64_t serial = fs_relocate_start(east_of(pair), "tester");
    pair_await_reading(pair);
    const struct fs_operation_result *result = ended(pair, serial);
    assert_true(!result->failed && result->coming);
    return pair;
}

/* Bringing up fails for a reason that a later run may mend. */
static void leave_over(struct pair *pair)
{
    const struct fs_config_source *kubernetes = pair->west.config.kubernetes;

    pair->west.config.kubernetes = NULL;
    mem_store_release(pair->west.store, MEM_OP_OBJECTS);
    pair_advance(pair, STEP);
    pair->west.config.kubernetes = kubernetes;
    mem_store_hold(pair->west.store, MEM_OP_OBJECTS);
    pair_advance(pair, 2 * FS_SEC);
}

static void end(struct pair *pair)
{
    fs_workloads_free(pair->west.ctx.workloads);
    pair->west.ctx.workloads = NULL;
    pair_free(pair);
    event_base_free(base);
}

static void expect_left_over(struct pair *pair, const char *message)
{
    const struct fs_operation_result *result = &east_of(pair)->finished;

    assert_false(result->failed || result->coming);
    assert_true(result->workload.ran && result->workload.failed);
    if (!strstr(result->workload.message, message)) {
        assert_string_equal(result->workload.message, message);
    }
}

static const struct fs_operation_result *ask_again(struct pair *pair)
{
    assert_true(fs_relocate_is_done(east_of(pair), "west"));
    const struct fs_operation_result *result =
        ended(pair, fs_relocate_again(east_of(pair), "tester"));
    assert_true(result->already);
    return result;
}

/* What cannot be mended by bringing it up once more: nothing says that it is up. */
static void test_what_was_left_over_is_not_up(void **state)
{
    struct pair *pair = begin();

    (void)state;
    leave_over(pair);
    expect_left_over(pair, "no source any more");
    west_of(pair)->record->bring_up.present = false; /* as a machine that did not run leaves it */
    (void)ask_again(pair);
    pair_advance(pair, FS_SEC);
    expect_left_over(pair, "the last time: Kubernetes is no source any more");
    /* Another operation's result takes the place of that. */
    assert_true(fs_bring_up_start(west_of(pair), "tester") != 0);
    pair_advance(pair, FS_SEC);
    (void)ask_again(pair);
    pair_advance(pair, FS_SEC);
    expect_left_over(pair, "whether it is up is not known");
    end(pair);
}

/* It is asked until it works, and then it does what it was asked for. */
static void test_site_that_does_not_work_is_asked_once_more(void **state)
{
    struct pair *pair = begin();
    struct fs_operator *operators = pair->west.ctx.operators;

    (void)state;
    leave_over(pair);
    pair->west.ctx.operators = NULL;
    const struct fs_operation_result *result = ask_again(pair);
    pair_advance(pair, 3 * FS_SEC);
    assert_true(result->coming && !west_of(pair)->operation);
    pair->west.ctx.operators = operators;
    pair_advance(pair, FS_SEC);
    assert_non_null(west_of(pair)->operation);
    assert_string_equal(west_of(pair)->operation->who, "relocation from east");
    leave_over(pair);
    expect_left_over(pair, "no source any more");
    end(pair);
}

/* The operation that brings it up is under way: that one is waited for. */
static void test_asked_again_while_it_comes(void **state)
{
    struct pair *pair = begin();

    (void)state;
    const struct fs_operation_result *result = ask_again(pair);
    pair_advance(pair, 90 * FS_SEC);
    assert_true(result->coming);
    assert_string_equal(fs_relocate_watch_text(east_of(pair)), "reading what the point carries");
    leave_over(pair);
    expect_left_over(pair, "no source any more");
    assert_null(west_of(pair)->operation);
    end(pair);
}

/* The link is cut, and somebody who cannot wait promotes this site again. */
static void test_watch_ends_with_what_it_is_for(void **state)
{
    struct pair *pair = begin();
    struct fs_group *east = east_of(pair);

    (void)state;
    pair_cut(pair);
    uint64_t serial = fs_failover_start(east, &newest, FS_FENCE_NONE, "tester");
    assert_false(ended(pair, serial)->failed);
    pair_advance(pair, FS_SEC);
    assert_true(fs_relocate_looks_run(pair->east.ctx.groups->moves) == INT64_MAX);
    assert_false(east->finished.workload.ran);
    leave_over(pair);
    end(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_left_over_is_not_up),
        cmocka_unit_test(test_site_that_does_not_work_is_asked_once_more),
        cmocka_unit_test(test_asked_again_while_it_comes),
        cmocka_unit_test(test_watch_ends_with_what_it_is_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
