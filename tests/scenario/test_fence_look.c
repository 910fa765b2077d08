/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the other site would fence: west asks for the plan of a failover, and east's daemon answers,
 * or does not. Whatever comes of it, the answer comes once and in time, and nothing is changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/fence_look.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)

struct told {
    unsigned times;
    char unknown[800]; /* "": it was told whom */
    size_t count;
    bool all_seen, more;
    struct fs_fence first;
};

static void told(void *arg, const struct fs_fence_view *view)
{
    struct told *told = arg;

    told->times++;
    told->count = view->count;
    told->all_seen = view->all_seen;
    told->more = view->more;
    (void)snprintf(told->unknown, sizeof(told->unknown), "%s", view->unknown ? view->unknown : "");
    if (view->count > 0) {
        told->first = view->fences[0];
    }
}

/* Groups a and b, with a recovery point each. */
static struct pair *begin(void)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", 2);
    (void)pair_add_group(pair, "b", 1);
    pair_advance(pair, 2 * INTERVAL);
    (void)pair_check_synced(pair, "a");
    (void)pair_check_synced(pair, "b");
    return pair;
}

static void ask(struct pair_site *site, const char *group, struct told *ret_told)
{
    *ret_told = (struct told){0};
    assert_true(fs_fence_look_start(site->ctx.groups->looks, pair_find(site, group), "tester", told,
                                    ret_told));
}

static uint64_t looks(const struct pair_site *site)
{
    return mem_store_started(site->store, MEM_OP_FENCE_LOOK);
}

static void test_look_names_the_other_sites_users(void **state)
{
    (void)state;
    struct pair *pair = begin();
    const struct fs_fence user = {.client = "client.4711",
                                  .address = "10.0.0.21:0/1",
                                  .images = "rbd/a-0",
                                  .others = "rbd/web-1"};
    struct told view;

    mem_store_set_users(pair->east.store, &user, 1);
    ask(&pair->west, "a", &view);
    assert_int_equal(view.times, 0); /* later */
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 1);
    assert_string_equal(view.unknown, "");
    assert_int_equal(view.count, 1);
    assert_true(view.all_seen);
    assert_false(view.more);
    assert_string_equal(view.first.client, user.client);
    assert_string_equal(view.first.address, user.address);
    assert_string_equal(view.first.images, user.images);
    assert_string_equal(view.first.others, user.others);
    assert_string_equal(view.first.site, "east");
    assert_int_equal(looks(&pair->east), 1);
    assert_int_equal(mem_store_started(pair->east.store, MEM_OP_FENCE), 0);
    assert_null(pair_find(&pair->east, "a")->operation);

    mem_store_set_users(pair->east.store, NULL, 0);
    ask(&pair->west, "a", &view);
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 1);
    assert_string_equal(view.unknown, "");
    assert_int_equal(view.count, 0);
    pair_free(pair);
}

static void test_look_says_that_there_are_more(void **state)
{
    (void)state;
    struct pair *pair = begin();
    static struct fs_fence users[FS_SEEN_MAX + 1];
    struct told view;

    for (size_t i = 0; i <= FS_SEEN_MAX; i++) {
        (void)snprintf(users[i].client, sizeof(users[i].client), "client.%zu", i);
        (void)snprintf(users[i].address, sizeof(users[i].address), "10.0.0.21:0/%zu", i);
    }
    mem_store_set_users(pair->east.store, users, FS_SEEN_MAX + 1);
    ask(&pair->west, "a", &view);
    pair_advance(pair, FS_SEC);
    assert_string_equal(view.unknown, "");
    assert_int_equal(view.count, FS_SEEN_MAX);
    assert_true(view.more);
    pair_free(pair);
}

static void test_look_of_a_silent_peer_is_given_up(void **state)
{
    (void)state;
    struct pair *pair = begin();
    struct told view;

    mem_store_hold(pair->east.store, MEM_OP_FENCE_LOOK);
    ask(&pair->west, "a", &view);
    pair_advance(pair, 29 * FS_SEC);
    assert_int_equal(view.times, 0);
    assert_int_equal(looks(&pair->east), 1); /* asked again and again, it is at it */
    pair_advance(pair, 2 * FS_SEC);
    assert_int_equal(view.times, 1);
    assert_non_null(strstr(view.unknown, "east has not answered within 30 s"));
    mem_store_release(pair->east.store, MEM_OP_FENCE_LOOK);
    pair_advance(pair, FS_SEC); /* too late */
    assert_int_equal(view.times, 1);
    pair_free(pair);
}

static void test_look_is_one_at_a_time_for_a_peer(void **state)
{
    (void)state;
    struct pair *pair = begin();
    struct told first, second, other;

    mem_store_hold(pair->east.store, MEM_OP_FENCE_LOOK);
    ask(&pair->west, "a", &first);
    pair_advance(pair, FS_SEC);
    ask(&pair->west, "b", &other);
    ask(&pair->west, "a", &second); /* joins the one under way */
    pair_advance(pair, FS_SEC);
    assert_int_equal(other.times, 1);
    assert_non_null(strstr(other.unknown, "another group"));
    assert_int_equal(looks(&pair->east), 1);
    mem_store_release(pair->east.store, MEM_OP_FENCE_LOOK);
    pair_advance(pair, 6 * FS_SEC);
    assert_int_equal(first.times, 1);
    assert_int_equal(second.times, 1);
    assert_string_equal(first.unknown, "");
    assert_string_equal(second.unknown, "");
    ask(&pair->west, "b", &other);
    pair_advance(pair, FS_SEC);
    assert_string_equal(other.unknown, "");
    pair_free(pair);
}

static void test_look_without_the_peer_says_why_not(void **state)
{
    (void)state;
    struct pair *pair = begin();
    struct told view;

    mem_store_hold(pair->east.store, MEM_OP_FENCE_LOOK);
    ask(&pair->west, "a", &view);
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 0);
    pair_cut(pair); /* while it is asked */
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 1);
    assert_string_equal(view.unknown, "east is not connected");
    assert_int_equal(looks(&pair->west), 0);
    pair_free(pair);
}

static void test_look_goes_through_the_cluster_without_the_peer(void **state)
{
    (void)state;
    struct pair *pair = begin();
    const struct fs_fence user = {.client = "client.4711", .address = "10.0.0.21:0/1"};
    struct told view;

    pair->west.peer.fence_conf = (char *)"/etc/ceph/east.conf";
    pair->west.peer.fence_user = (char *)"farshore";
    mem_store_set_users(pair->west.store, &user, 1);
    mem_store_fail(pair->east.store, MEM_OP_FENCE_LOOK, 1, 1, FS_ERR_TRANSIENT, ETIMEDOUT);
    ask(&pair->west, "a", &view); /* east's daemon tries, and cannot */
    pair_advance(pair, FS_SEC);
    assert_string_equal(view.unknown, "");
    assert_string_equal(view.first.client, user.client);
    assert_int_equal(looks(&pair->east), 1);
    assert_int_equal(looks(&pair->west), 1);
    pair_cut(pair);
    ask(&pair->west, "a", &view);
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 1);
    assert_string_equal(view.unknown, "");
    assert_int_equal(looks(&pair->west), 2);
    mem_store_fail(pair->west.store, MEM_OP_FENCE_LOOK, 1, 1, FS_ERR_TRANSIENT, ETIMEDOUT);
    ask(&pair->west, "a", &view);
    pair_advance(pair, FS_SEC);
    assert_non_null(strstr(view.unknown, "east is not connected; nor in its cluster: "));

    mem_store_hold(pair->west.store, MEM_OP_FENCE_LOOK);
    ask(&pair->west, "a", &view); /* its cluster hangs */
    pair_advance(pair, 31 * FS_SEC);
    assert_int_equal(view.times, 1);
    assert_non_null(strstr(view.unknown, "east's cluster has not answered within 30 s"));
    mem_store_release(pair->west.store, MEM_OP_FENCE_LOOK);
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 1);
    pair_free(pair);
}

/* The volumes of a secondary have no users but Farshore. */
static void test_look_is_refused_by_a_secondary(void **state)
{
    (void)state;
    struct pair *pair = begin();
    struct told view;

    ask(&pair->east, "a", &view);
    pair_advance(pair, FS_SEC);
    assert_int_equal(view.times, 1);
    assert_non_null(strstr(view.unknown, "west: this site is secondary"));
    assert_int_equal(looks(&pair->west), 0);
    pair_free(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_look_names_the_other_sites_users),
        cmocka_unit_test(test_look_says_that_there_are_more),
        cmocka_unit_test(test_look_of_a_silent_peer_is_given_up),
        cmocka_unit_test(test_look_is_one_at_a_time_for_a_peer),
        cmocka_unit_test(test_look_without_the_peer_says_why_not),
        cmocka_unit_test(test_look_goes_through_the_cluster_without_the_peer),
        cmocka_unit_test(test_look_is_refused_by_a_secondary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
