/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back in memory: after a failover the old primary becomes the secondary (failback), after
 * a split brain one of the two does (resync). Whatever happens:
 *
 *   - what only the yielding site had is in a snapshot before anything of it is overwritten (I7)
 *   - only what differs is shipped, and the next committed point is the same at both sites (I1)
 *   - nobody's images are taken while a client has them open
 *   - a crash at any step is carried on by the next start, and there is one primary throughout
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/failover.h"
#include "daemon/follow.h"
#include "farshore/fault.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define STEP     (100 * FS_MSEC)
#define N_IMAGES 2

static const struct fs_uuid newest;

static struct fs_group *group_of(struct pair_site *site)
{
    return pair_find(site, "a");
}

static void expect_role(struct pair_site *site, enum fs_role role)
{
    assert_string_equal(fs_role_name(group_of(site)->record->role), fs_role_name(role));
}

static struct mem_image *image(struct pair_site *site, unsigned i)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "a-%u", i);
    return mem_store_find(site->store, "rbd", name);
}

static void scribble(struct pair_site *site, uint64_t offset)
{
    assert_true(mem_image_is_writable(image(site, 0)));
    mem_image_scribble(image(site, 0), offset, 10000, false);
}

static void run_to_end(struct pair *pair, struct pair_site *site)
{
    for (unsigned i = 0; i < 600 && group_of(site)->operation; i++) {
        pair_advance(pair, STEP);
    }
    assert_null(group_of(site)->operation);
}

static void failover(struct pair_site *site)
{
    const struct fs_record_point *point;
    char text[512];

    assert_null(fs_failover_refusal(group_of(site), &newest, &point, text, sizeof(text)));
    uint64_t serial = fs_failover_start(group_of(site), &newest, FS_FENCE_NONE, "tester");
    run_to_end(site->pair, site);
    assert_false(fs_operation_result(group_of(site), serial)->failed);
}

static const struct fs_operation_result *follow(struct pair_site *site, bool compare)
{
    char text[512] = "";
    const char *from = group_of(site)->record->peer;

    assert_null(compare ? fs_resync_refusal(group_of(site), from, text, sizeof(text))
                        : fs_failback_refusal(group_of(site), text, sizeof(text)));
    uint64_t serial = fs_follow_start(group_of(site), compare, "tester");
    run_to_end(site->pair, site);
    return fs_operation_result(group_of(site), serial);
}

/* A group with recovery points. */
static struct pair *begin(void)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", N_IMAGES);
    pair_advance(pair, INTERVAL + FS_SEC);
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL);
    (void)pair_check_synced(pair, "a");
    return pair;
}

/* East was cut off; both sites have written since, west is primary, east superseded. */
static struct pair *diverge(void)
{
    struct pair *pair = begin();

    pair_cut(pair);
    scribble(&pair->east, 100000);
    failover(&pair->west);
    pair_discover_west(pair);
    scribble(&pair->west, 300000);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    return pair;
}

/* West's point is at east, byte for byte, and the other way round. */
static void check_mended(struct pair *pair, uint64_t term)
{
    const struct fs_record_point *point = pair_check_synced(pair, "a");

    assert_int_equal(point->point.term.number, term);
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    expect_role(&pair->east, FS_ROLE_SECONDARY);
    assert_false(group_of(&pair->east)->record->following.present);
    assert_true(
        fs_term_same(&group_of(&pair->east)->record->term, &group_of(&pair->west)->record->term));
    for (unsigned i = 0; i < N_IMAGES; i++) {
        assert_false(mem_image_is_writable(image(&pair->east, i)));
        assert_true(mem_image_is_writable(image(&pair->west, i)));
    }
}

static void test_failback_keeps_what_only_the_old_primary_has(void **state)
{
    (void)state;
    struct pair *pair = diverge();
    uint8_t theirs[4096], kept[4096];
    uint64_t before = group_of(&pair->west)->stats.total.changed_bytes;

    mem_image_read(image(&pair->east, 0), 100000, theirs, sizeof(theirs));
    const struct fs_operation_result *result = follow(&pair->east, false);
    assert_false(result->failed);
    assert_non_null(strstr(result->message, "farshore.left"));
    pair_advance(pair, INTERVAL);
    check_mended(pair, 2);

    /* The first image was written to at east: it is kept. The second one was not. */
    assert_true(mem_image_left(image(&pair->east, 0)) != 0);
    assert_true(mem_image_left(image(&pair->east, 1)) == 0);
    mem_image_read(image(&pair->east, 0), 100000, kept, sizeof(kept));
    assert_memory_not_equal(theirs, kept, sizeof(kept));
    /* 10000 bytes were written at west, in blocks of a size that a diff in memory reports. */
    uint64_t shipped = group_of(&pair->west)->stats.total.changed_bytes - before;
    assert_true(shipped >= 10000 && shipped < PAIR_IMAGE_SIZE / 2);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
    pair_free(pair);
}

/* And home again: the former primary is promoted, the other one fails back. */
static void test_failback_both_ways(void **state)
{
    (void)state;
    struct pair *pair = diverge();

    (void)follow(&pair->east, false);
    pair_advance(pair, INTERVAL);
    check_mended(pair, 2);
    scribble(&pair->west, 200000);
    pair_advance(pair, 2 * INTERVAL);
    failover(&pair->east);
    pair_discover(pair, NULL);
    pair_advance(pair, FS_SEC);
    expect_role(&pair->west, FS_ROLE_SUPERSEDED);
    scribble(&pair->east, 50000);
    assert_false(follow(&pair->west, false)->failed);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_check_synced(pair, "a")->point.term.number, 3);
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    expect_role(&pair->west, FS_ROLE_SECONDARY);
    pair_free(pair);
}

static void test_failback_twice_changes_nothing(void **state)
{
    (void)state;
    struct pair *pair = diverge();

    (void)follow(&pair->east, false);
    pair_advance(pair, INTERVAL);
    assert_true(fs_failback_is_done(group_of(&pair->east)));
    char text[512];
    assert_non_null(fs_failback_refusal(group_of(&pair->east), text, sizeof(text)));
    pair_free(pair);
}

static void test_failback_waits_for_users(void **state)
{
    (void)state;
    struct pair *pair = diverge();
    char text[400];

    mem_image_use(image(&pair->east, 1), true);
    (void)fs_follow_start(group_of(&pair->east), false, "tester");
    pair_advance(pair, 3 * FS_SEC);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    fs_operation_text(group_of(&pair->east), text, sizeof(text));
    assert_non_null(strstr(text, "a client has a-1 open"));
    mem_image_use(image(&pair->east, 1), false);
    run_to_end(pair, &pair->east);
    pair_advance(pair, INTERVAL);
    check_mended(pair, 2);
    pair_free(pair);
}

static void test_failback_gives_up_where_users_stay(void **state)
{
    (void)state;
    struct pair *pair = diverge();

    mem_image_use(image(&pair->east, 0), true);
    uint64_t serial = fs_follow_start(group_of(&pair->east), false, "tester");
    for (unsigned i = 0; i < 70; i++) {
        pair_advance(pair, FS_SEC);
    }
    assert_true(fs_operation_result(group_of(&pair->east), serial)->failed);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    assert_true(mem_image_is_writable(image(&pair->east, 0)));
    assert_true(mem_image_left(image(&pair->east, 0)) == 0);
    pair_free(pair);
}

static void test_failback_is_refused_where_it_makes_no_sense(void **state)
{
    (void)state;
    struct pair *pair = begin();
    char text[512];

    assert_non_null(fs_failback_refusal(group_of(&pair->east), text, sizeof(text)));
    assert_non_null(strstr(text, "is primary"));
    assert_non_null(fs_resync_refusal(group_of(&pair->east), "west", text, sizeof(text)));
    assert_non_null(fs_resync_refusal(group_of(&pair->west), "nowhere", text, sizeof(text)));
    assert_non_null(strstr(text, "nowhere"));
    pair_free(pair);
    pair = diverge();
    pair_cut(pair);
    assert_non_null(fs_failback_refusal(group_of(&pair->east), text, sizeof(text)));
    assert_non_null(strstr(text, "no session with west"));
    pair_free(pair);
}

/* East's Farshore takes a failover back while it waits: the other site has died for good. */
static void test_failover_in_the_middle_of_a_failback(void **state)
{
    (void)state;
    struct pair *pair = diverge();

    mem_image_use(image(&pair->east, 0), true);
    (void)fs_follow_start(group_of(&pair->east), false, "tester");
    pair_advance(pair, 1500 * FS_MSEC);
    pair_cut(pair);
    failover(&pair->east);
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    assert_int_equal(group_of(&pair->east)->record->term.number, 3);
    pair_free(pair);
}

/* Nothing arrived since it yielded: it is promoted to the newest point that it has, and what was
 * kept aside stays. */
static void test_failover_after_a_failback_that_received_nothing(void **state)
{
    (void)state;
    struct pair *pair = diverge();
    const struct fs_uuid point =
        fs_record_newest_committed(group_of(&pair->east)->record)->point.id;

    mem_store_fail(pair->west.store, MEM_OP_OPEN, 1, UINT64_MAX, FS_ERR_TRANSIENT, EIO);
    (void)follow(&pair->east, false);
    pair_cut(pair);
    failover(&pair->east);
    const struct fs_record_point *at = fs_record_find_point(group_of(&pair->east)->record, &point);
    for (unsigned i = 0; i < N_IMAGES; i++) {
        assert_true(mem_image_is_at(image(&pair->east, i), at->contents[i].snap_id));
        assert_true(mem_image_is_writable(image(&pair->east, i)));
    }
    assert_true(mem_image_left(image(&pair->east, 0)) != 0);
    pair_free(pair);
}

static void test_resync_mends_a_split_brain(void **state)
{
    (void)state;
    struct pair *pair = begin();

    pair_cut(pair);
    failover(&pair->east);
    failover(&pair->west);
    pair_discover_west(pair);
    scribble(&pair->west, 300000);
    scribble(&pair->east, 100000);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_SPLIT_BRAIN);
    char text[512];
    assert_non_null(fs_failback_refusal(group_of(&pair->east), text, sizeof(text)));
    assert_non_null(strstr(text, "farshore resync a --from west"));

    uint64_t before = group_of(&pair->west)->stats.total.changed_bytes;
    assert_false(follow(&pair->east, true)->failed);
    pair_advance(pair, 2 * INTERVAL);
    check_mended(pair, 2);
    assert_true(mem_image_left(image(&pair->east, 0)) != 0);
    /* Two stretches of 10000 bytes differ, in chunks of 64 KiB. */
    assert_true(group_of(&pair->west)->stats.total.changed_bytes - before <= 5 * 65536);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_OK);
    pair_free(pair);
}

/* A discovery does not find the images of a secondary, and it may end long after it looked: a group
 * whose role changes or has just changed is not let go of for that. */
static void test_no_discovery_loses_a_group_whose_role_changes(void **state)
{
    (void)state;
    struct pair *pair = begin();
    struct fs_context *west = &pair->west.ctx;
    struct fs_selector *selector;

    assert_int_equal(fs_selector_parse("farshore.io/policy=gold", &selector, NULL), 0);
    pair->east.policy.selector = pair->west.policy.selector = selector;
    pair_cut(pair);
    failover(&pair->east);
    int64_t before = fs_context_boot(west);
    failover(&pair->west);
    pair_discover_nothing(&pair->west, before);
    assert_non_null(group_of(&pair->west));
    scribble(&pair->west, 300000);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);

    struct fs_group *group = group_of(&pair->east);
    assert_true(fs_follow_start(group, true, "tester") != 0);
    for (unsigned i = 0; i < 600 && group->operation; i++) {
        pair_discover_nothing(&pair->east, fs_context_boot(&pair->east.ctx));
        pair_advance(pair, 10 * FS_MSEC);
    }
    assert_null(group->operation);
    expect_role(&pair->east, FS_ROLE_SECONDARY);
    pair_discover(pair, NULL);
    pair_discover_west(pair);
    pair_advance(pair, 2 * INTERVAL);
    check_mended(pair, 2);
    /* What discovery says of a site that has long been primary counts. */
    pair_discover_nothing(&pair->west, fs_context_boot(west));
    assert_null(group_of(&pair->west));
    pair_free(pair);
    fs_selector_free(selector);
}

/* The points that both had are gone from the new primary: a failback cannot go on, and says what
 * can. */
static void test_resync_where_nothing_is_in_common(void **state)
{
    (void)state;
    struct pair *pair = diverge();
    struct fs_record *record = fs_record_copy(group_of(&pair->west)->record);

    while (record->n_points > 0 && record->points[0].point.term.number == 1) {
        const struct fs_uuid id = record->points[0].point.id;
        fs_record_remove_point(record, &id);
    }
    mem_store_put(pair->west.store, record);
    fs_record_free(record);
    pair_restart(&pair->west);
    pair_connect(pair);
    pair_discover_west(pair);
    pair_advance(pair, FS_SEC);
    assert_false(follow(&pair->east, false)->failed);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_DIVERGED);
    assert_non_null(strstr(group_of(&pair->west)->failure.hint, "resync"));
    assert_false(follow(&pair->east, true)->failed);
    pair_advance(pair, 2 * INTERVAL);
    check_mended(pair, 2);
    pair_free(pair);
}

/* --- the crash matrix --------------------------------------------------------------------------
 */

#ifdef FARSHORE_FAULTS

struct crash {
    char name[64];
    const char *step;
    unsigned nth;
    bool compare;
};

struct life {
    const struct crash *crash;
    struct pair *pair;
    unsigned passed;
    bool dead;
};

static void pass(void *arg, const char *step)
{
    struct life *life = arg;

    if (mem_store_passing == life->pair->east.store && strcmp(step, life->crash->step) == 0 &&
        ++life->passed == life->crash->nth) {
        life->dead = true;
        mem_store_crash(life->pair->east.store);
        fake_link_cut_after(life->pair->link, 0, 0);
    }
}

static void test_crash_heals(void **state)
{
    struct life life = {.crash = *state, .pair = diverge()};
    struct pair *pair = life.pair;

    fs_fault_set_hook(pass, &life);
    (void)fs_follow_start(group_of(&pair->east), life.crash->compare, "tester");
    for (int64_t ns = 0; ns < 4 * INTERVAL; ns += STEP) {
        pair_advance(pair, STEP);
        if (life.dead) {
            life.dead = false;
            pair_restart(&pair->east);
            bool follows = group_of(&pair->east)->record->role == FS_ROLE_SECONDARY;
            pair_dial(pair);
            pair_advance(pair, STEP);
            if (!follows) { /* the command got no answer: again */
                expect_role(&pair->east, FS_ROLE_SUPERSEDED);
                (void)fs_follow_start(group_of(&pair->east), life.crash->compare, "tester");
            }
        }
    }
    fs_fault_set_hook(NULL, NULL);
    if (life.crash->nth == 1) {
        assert_true(life.passed >= 1); /* the step is passed, or this matrix is out of date */
    }
    check_mended(pair, 2);
    assert_true(mem_image_left(image(&pair->east, 0)) != 0);
    pair_free(pair);
}

#define CASES_MAX 64

static size_t add_crashes(struct CMUnitTest *tests, struct crash *crashes)
{
    size_t n = 0;

    for (const struct fs_fault_step *step = fs_fault_steps; step->name; step++) {
        bool ours = strncmp(step->name, "follow.", 7) == 0 || strcmp(step->name, "left.kept") == 0;

        for (unsigned i = 0; ours && i < 2 * N_IMAGES; i++, n++) {
            assert_true(n < CASES_MAX);
            crashes[n] = (struct crash){
                .step = step->name, .nth = 1 + i % N_IMAGES, .compare = i >= N_IMAGES};
            (void)snprintf(crashes[n].name, sizeof(crashes[n].name), "test_crash_at_%s_%u_%s_heals",
                           step->name, crashes[n].nth, i >= N_IMAGES ? "resync" : "failback");
            tests[n] = (struct CMUnitTest){.name = crashes[n].name,
                                           .test_func = test_crash_heals,
                                           .initial_state = &crashes[n]};
        }
    }
    return n;
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failback_keeps_what_only_the_old_primary_has),
        cmocka_unit_test(test_failback_both_ways),
        cmocka_unit_test(test_failback_twice_changes_nothing),
        cmocka_unit_test(test_failback_waits_for_users),
        cmocka_unit_test(test_failback_gives_up_where_users_stay),
        cmocka_unit_test(test_failback_is_refused_where_it_makes_no_sense),
        cmocka_unit_test(test_failover_in_the_middle_of_a_failback),
        cmocka_unit_test(test_failover_after_a_failback_that_received_nothing),
        cmocka_unit_test(test_resync_mends_a_split_brain),
        cmocka_unit_test(test_no_discovery_loses_a_group_whose_role_changes),
        cmocka_unit_test(test_resync_where_nothing_is_in_common),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

#ifdef FARSHORE_FAULTS
    static struct crash crashes[CASES_MAX];
    static struct CMUnitTest crash_tests[CASES_MAX];
    size_t n = add_crashes(crash_tests, crashes);

    rc += _cmocka_run_group_tests("follow_crashes", crash_tests, n, NULL, NULL);
#endif
    return rc;
}
