/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/transfer.h"

static unsigned grants;

static void count_cb(struct fs_budget_client *client)
{
    (void)client;
    grants++;
}

static void test_budget_first_come_first_served(void **state)
{
    struct fs_budget budget = {.limit = 100};
    struct fs_budget_client a, b, c;
    (void)state;
    grants = 0;
    fs_budget_join(&budget, &a, count_cb);
    fs_budget_join(&budget, &b, count_cb);
    fs_budget_join(&budget, &c, count_cb);
    assert_true(fs_budget_take(&budget, &a, 80));
    assert_false(fs_budget_take(&budget, &b, 50));
    assert_false(fs_budget_take(&budget, &c, 10)); /* small, but later */
    fs_budget_give(&budget, &a, 20);
    assert_int_equal(grants, 0);
    fs_budget_give(&budget, &a, 60);
    assert_int_equal(grants, 2);
    assert_int_equal(b.held, 50);
    assert_int_equal(c.held, 10);
    assert_int_equal(budget.used, 60);
    assert_int_equal(budget.peak, 80);
    fs_budget_leave(&budget, &a);
    fs_budget_leave(&budget, &b);
    fs_budget_leave(&budget, &c);
    assert_int_equal(budget.used, 0);
}

static void test_budget_client_above_its_share_leaves_room(void **state)
{
    struct fs_budget budget = {.limit = 100};
    struct fs_budget_client a, b;
    (void)state;
    grants = 0;
    fs_budget_join(&budget, &a, count_cb);
    assert_true(fs_budget_take(&budget, &a, 30));
    assert_true(fs_budget_take(&budget, &a, 20));
    assert_false(fs_budget_take(&budget, &a, 10)); /* half is for one that comes later */
    fs_budget_join(&budget, &b, count_cb);
    assert_true(fs_budget_take(&budget, &b, 50)); /* and it does not wait behind the first */
    fs_budget_give(&budget, &a, 50);
    assert_int_equal(grants, 1);
    assert_int_equal(a.held, 10);
    fs_budget_leave(&budget, &b);
    fs_budget_leave(&budget, &a);
    assert_int_equal(budget.used, 0);
    assert_true(budget.peak <= budget.limit);
}

static void test_budget_leave_forgets_the_waiter(void **state)
{
    struct fs_budget budget = {.limit = 10};
    struct fs_budget_client a, b;
    (void)state;
    grants = 0;
    fs_budget_join(&budget, &a, count_cb);
    fs_budget_join(&budget, &b, count_cb);
    assert_true(fs_budget_take(&budget, &a, 10));
    assert_false(fs_budget_take(&budget, &b, 1));
    fs_budget_leave(&budget, &b);
    fs_budget_leave(&budget, &a);
    assert_int_equal(grants, 0);
    assert_null(budget.waiters);
}

/* What is kept leaves room for everything that comes and goes, and nobody waits to keep. */
static void test_budget_keeps_an_eighth_at_most(void **state)
{
    struct fs_budget budget = {.limit = 800};
    struct fs_budget_client a;
    (void)state;
    grants = 0;
    fs_budget_join(&budget, &a, count_cb);
    assert_true(fs_budget_keep(&budget, 60));
    assert_false(fs_budget_keep(&budget, 41));
    assert_true(fs_budget_keep(&budget, 40));
    assert_int_equal(budget.used, 100);
    assert_false(fs_budget_take(&budget, &a, 750));
    fs_budget_unkeep(&budget, 60);
    assert_int_equal(grants, 1);
    assert_false(fs_budget_keep(&budget, 20)); /* no room */
    fs_budget_unkeep(&budget, 40);
    fs_budget_leave(&budget, &a);
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget_first_come_first_served),
        cmocka_unit_test(test_budget_client_above_its_share_leaves_room),
        cmocka_unit_test(test_budget_leave_forgets_the_waiter),
        cmocka_unit_test(test_budget_keeps_an_eighth_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
