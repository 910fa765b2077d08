/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a group at the site that is secondary for it, in memory: not while anybody ships it,
 * and then all of it but the images; a crash at any step is mended by forgetting it again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/forget.h"
#include "farshore/fault.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define STEP     (100 * FS_MSEC)
#define N_IMAGES 2

static struct mem_image *copy(struct pair *pair, unsigned i)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "a-%u", i);
    return mem_store_find(pair->west.store, "rbd", name);
}

/* A group that had points, and whose label was taken away a while ago. */
static struct pair *unlabelled(void)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", N_IMAGES);
    pair_advance(pair, INTERVAL + FS_SEC);
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL);
    (void)pair_check_synced(pair, "a");
    pair_discover(pair, "a");
    pair_advance(pair, 4 * INTERVAL);
    return pair;
}

static void refused(struct pair_site *site, const char *why)
{
    char text[640];

    assert_non_null(fs_forget_refusal(pair_find(site, "a"), text, sizeof(text)));
    assert_non_null(strstr(text, why));
}

/* NULL where it is gone, or the site died of it. */
static void forget(struct pair *pair)
{
    struct fs_group *group = pair_find(&pair->west, "a");
    char text[640];

    assert_null(fs_forget_refusal(group, text, sizeof(text)));
    assert_true(fs_forget_start(group, "tester") != 0);
    for (unsigned i = 0; i < 100 && group->operation; i++) {
        pair_advance(pair, STEP);
    }
}

static void check_gone(struct pair *pair)
{
    assert_null(pair_find(&pair->west, "a"));
    assert_int_equal(mem_store_count_records(pair->west.store), 0);
    for (unsigned i = 0; i < N_IMAGES; i++) {
        assert_int_equal(mem_image_snapshots(copy(pair, i)), 0);
        assert_true(mem_image_is_writable(copy(pair, i)));
    }
    pair_restart(&pair->west);
    assert_null(pair_find(&pair->west, "a"));
}

static void test_group_is_forgotten_once_nobody_ships_it(void **state)
{
    (void)state;
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", N_IMAGES);
    pair_advance(pair, 2 * INTERVAL);
    refused(&pair->east, "this site is primary for a");
    refused(&pair->west, "east still protects a");
    pair_discover(pair, "a");
    refused(&pair->west, "30 s without a point tell so");
    pair_advance(pair, 4 * INTERVAL);
    forget(pair);
    check_gone(pair);
    pair_free(pair);
}

static void test_group_of_a_source_that_is_away_is_forgotten(void **state)
{
    (void)state;
    struct pair *pair = unlabelled();

    pair_cut(pair);
    pair_advance(pair, FS_SEC);
    forget(pair);
    check_gone(pair);
    pair_free(pair);
}

#ifdef FARSHORE_FAULTS

static void test_crash_at_any_step_is_mended_by_another_try(void **state)
{
    static const char *const steps[] = {"forget.pruned", "forget.unstamped", "forget.record"};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        for (unsigned nth = 1; nth <= (i < 2 ? N_IMAGES : 1); nth++) {
            struct pair *pair = unlabelled();
            struct pair_death death = {.step = steps[i], .store = pair->west.store, .nth = nth};

            pair_cut(pair);
            fs_fault_set_hook(pair_pass, &death);
            forget(pair);
            fs_fault_set_hook(NULL, NULL);
            assert_true(death.dead);
            pair_restart(&pair->west);
            pair_advance(pair, FS_SEC);
            forget(pair);
            check_gone(pair);
            pair_free(pair);
        }
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_is_forgotten_once_nobody_ships_it),
        cmocka_unit_test(test_group_of_a_source_that_is_away_is_forgotten),
#ifdef FARSHORE_FAULTS
        cmocka_unit_test(test_crash_at_any_step_is_mended_by_another_try),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
