/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relocation in memory: the daemon logic of both sites, a workload that writes until it is stopped,
 * and a crash of either site, or a cut link, at each step. Whatever happens:
 *
 *   - at every moment at most one site's images can be written to (I2, I3)
 *   - after the switch the other site holds every byte that was ever written (no loss)
 *   - before it, everything is as it was: this site is primary and its images are writable
 *   - it ends in one of the two by itself, whoever dies
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
#include "daemon/peer.h"
#include "daemon/relocate.h"
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

static enum fs_role role_of(struct pair_site *site)
{
    return group_of(site)->record->role;
}

static void expect_role(struct pair_site *site, enum fs_role role)
{
    assert_string_equal(fs_role_name(role_of(site)), fs_role_name(role));
}

static struct mem_image *image(struct pair_site *site, unsigned i)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "a-%u", i);
    return mem_store_find(site->store, "rbd", name);
}

static bool is_writable(struct pair_site *site)
{
    return mem_image_is_writable(image(site, 0)) || mem_image_is_writable(image(site, 1));
}

/* Never both. */
static void check_one_writable(struct pair *pair)
{
    assert_false(is_writable(&pair->east) && is_writable(&pair->west));
}

static struct pair *begin(void)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", N_IMAGES);
    pair_advance(pair, INTERVAL + FS_SEC);
    (void)pair_check_synced(pair, "a");
    /* What the last point must carry. */
    mem_image_scribble(image(&pair->east, 0), 100000, 50000, false);
    mem_image_scribble(image(&pair->east, 1), 4096, 9000, false);
    return pair;
}

static uint64_t start(struct pair_site *site)
{
    char text[512];

    assert_null(
        fs_relocate_refusal(group_of(site), group_of(site)->record->peer, text, sizeof(text)));
    return fs_relocate_start(group_of(site), "tester");
}

static const struct fs_operation_result *finished(struct pair_site *site, uint64_t serial)
{
    const struct fs_operation_result *result = NULL;

    for (unsigned i = 0; i < 3000 && !result; i++) {
        pair_advance(site->pair, STEP);
        check_one_writable(site->pair);
        result = fs_operation_result(group_of(site), serial);
    }
    assert_non_null(result);
    return result;
}

static const struct fs_operation_result *finished_alone(struct pair_site *site, uint64_t serial)
{
    const struct fs_operation_result *result = NULL;

    for (unsigned i = 0; i < 300 && !result; i++) {
        pair_advance(site->pair, STEP);
        result = fs_operation_result(group_of(site), serial);
    }
    assert_non_null(result);
    return result;
}

static void same_bytes(struct pair *pair)
{
    static uint8_t here[PAIR_IMAGE_SIZE], there[PAIR_IMAGE_SIZE];

    for (unsigned i = 0; i < N_IMAGES; i++) {
        mem_image_read(image(&pair->east, i), 0, here, sizeof(here));
        mem_image_read(image(&pair->west, i), 0, there, sizeof(there));
        assert_memory_equal(here, there, sizeof(here));
    }
}

static void check_moved(struct pair *pair)
{
    expect_role(&pair->east, FS_ROLE_SECONDARY);
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    assert_int_equal(group_of(&pair->west)->record->term.number, 2);
    assert_false(group_of(&pair->east)->record->grant.present);
    assert_false(is_writable(&pair->east));
    assert_true(mem_image_is_writable(image(&pair->west, 0)));
    assert_true(mem_image_is_writable(image(&pair->west, 1)));
    for (unsigned i = 0; i < N_IMAGES; i++) { /* there was nothing to keep */
        assert_true(mem_image_left(image(&pair->east, i)) == 0);
    }
    same_bytes(pair);
}

static void check_stayed(struct pair *pair)
{
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    expect_role(&pair->west, FS_ROLE_SECONDARY);
    assert_false(is_writable(&pair->west));
    assert_true(mem_image_is_writable(image(&pair->east, 0)));
    assert_true(mem_image_is_writable(image(&pair->east, 1)));
    assert_false(group_of(&pair->east)->record->promotion.present);
}

static void test_relocate_there_and_back(void **state)
{
    (void)state;
    struct pair *pair = begin();
    const struct fs_operation_result *result = finished(&pair->east, start(&pair->east));

    assert_false(result->failed);
    assert_true(result->downtime_ns >= 0 && result->downtime_ns < 5 * FS_SEC);
    check_moved(pair);
    pair_discover_west(pair);
    mem_image_scribble(image(&pair->west, 0), 0, 5000, false);
    pair_advance(pair, 2 * INTERVAL);
    (void)pair_check_synced(pair, "a");
    assert_false(finished(&pair->west, start(&pair->west))->failed);
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    expect_role(&pair->west, FS_ROLE_SECONDARY);
    same_bytes(pair);
    pair_free(pair);
}

/* Without Kubernetes nothing is to come up there: that is told, too, and at once. */
static void test_relocate_asks_how_the_workload_is(void **state)
{
    (void)state;
    struct pair *pair = begin();
    const struct fs_operation_result *result = finished(&pair->east, start(&pair->east));

    pair_advance(pair, FS_SEC);
    assert_false(result->coming || result->workload.ran || result->failed);
    assert_true(fs_relocate_is_done(group_of(&pair->east), "west"));
    assert_false(fs_relocate_is_done(group_of(&pair->west), "west"));
    uint64_t serial = fs_relocate_again(group_of(&pair->east), "tester");
    pair_cut(pair);
    result = finished(&pair->east, serial);
    assert_true(result->already && !result->failed);
    assert_true(result->coming);
    assert_false(fs_relocate_is_done(group_of(&pair->east), "west")); /* it cannot be asked */
    pair_advance(pair, 70 * FS_SEC);
    assert_false(result->coming);
    assert_true(result->workload.failed && strstr(result->workload.message, "is not connected"));
    pair_free(pair);
}

/* One whose Farshore does not know the question is not asked it. */
static void test_relocate_to_an_older_peer(void **state)
{
    (void)state;
    struct pair *pair = begin();
    const struct fs_session *session = fs_peers_session(pair->east.ctx.peers, "west");
    struct fs_hello *hello = (struct fs_hello *)fs_session_peer(session);

    hello->features &= ~FS_FEATURE_MOVE_LOOK;
    const struct fs_operation_result *result = finished(&pair->east, start(&pair->east));
    assert_false(result->failed || result->coming || result->workload.ran);
    check_moved(pair);
    assert_false(fs_relocate_is_done(group_of(&pair->east), "west"));
    pair_free(pair);
}

static void test_relocate_is_refused_where_it_cannot_be(void **state)
{
    (void)state;
    struct pair *pair = begin();
    char text[512];

    assert_non_null(fs_relocate_refusal(group_of(&pair->east), "mars", text, sizeof(text)));
    assert_non_null(strstr(text, "its peer is west"));
    assert_non_null(fs_relocate_refusal(group_of(&pair->west), "west", text, sizeof(text)));
    assert_non_null(strstr(text, "east is primary"));
    pair_cut(pair);
    assert_non_null(fs_relocate_refusal(group_of(&pair->east), "west", text, sizeof(text)));
    assert_non_null(strstr(text, "no session"));
    pair_free(pair);
}

static void test_relocate_of_what_is_in_use_changes_nothing(void **state)
{
    (void)state;
    struct pair *pair = begin();

    mem_image_use(image(&pair->east, 0), true);
    const struct fs_operation_result *result = finished(&pair->east, start(&pair->east));
    assert_true(result->failed);
    assert_non_null(strstr(result->message, "a client has a-0 open"));
    check_stayed(pair);
    assert_int_equal(group_of(&pair->east)->record->term.number, 1);
    mem_image_scribble(image(&pair->east, 0), 0, 5000, false);
    pair_advance(pair, 2 * INTERVAL);
    (void)pair_check_synced(pair, "a");
    pair_free(pair);
}

/* Somebody wrote after the last point: it is noticed under the lock, and nothing is lost. */
static void test_relocate_notices_a_late_write(void **state)
{
    (void)state;
    struct pair *pair = begin();
    uint64_t serial = start(&pair->east);

    mem_store_hold(pair->east.store, MEM_OP_DEMOTE);
    for (unsigned i = 0; i < 300 && !mem_store_in_flight(pair->east.store, MEM_OP_DEMOTE); i++) {
        pair_advance(pair, STEP);
    }
    mem_image_scribble(image(&pair->east, 1), 200000, 4096, false);
    mem_store_release(pair->east.store, MEM_OP_DEMOTE);
    const struct fs_operation_result *result = finished(&pair->east, serial);
    assert_true(result->failed);
    assert_non_null(strstr(result->message, "was written to"));
    check_stayed(pair);
    pair_free(pair);
}

static void test_relocate_interrupted_before_the_switch(void **state)
{
    (void)state;
    struct pair *pair = begin();

    for (unsigned at = 1; at < 20; at++) { /* wherever it is by then */
        uint64_t serial = start(&pair->east);

        pair_advance(pair, at * 20 * FS_MSEC);
        fs_relocate_cancel(group_of(&pair->east), serial);
        const struct fs_operation_result *result = finished(&pair->east, serial);
        if (!result->failed) {
            check_moved(pair);
            break;
        }
        check_stayed(pair);
    }
    pair_free(pair);
}

/* The link goes before the switch: it is undone; the other site knows nothing of it. */
static void test_relocate_without_a_link(void **state)
{
    (void)state;
    struct pair *pair = begin();
    uint64_t serial = start(&pair->east);

    pair_cut(pair);
    assert_true(finished(&pair->east, serial)->failed);
    check_stayed(pair);
    pair_free(pair);
}

/* The other site has died after the switch, and an operator decides for this one. */
static void test_failover_after_a_grant_that_nobody_took(void **state)
{
    (void)state;
    struct pair *pair = begin();

    mem_store_hold(pair->west.store, MEM_OP_STORE); /* west's promotion */
    (void)start(&pair->east);
    for (unsigned i = 0; i < 300 && !group_of(&pair->east)->record->grant.present; i++) {
        pair_advance(pair, STEP);
    }
    assert_true(group_of(&pair->east)->record->grant.present);
    pair_cut(pair);
    pair_advance(pair, 5 * FS_SEC);
    expect_role(&pair->east, FS_ROLE_DEMOTED);
    assert_false(is_writable(&pair->east));

    const struct fs_record_point *point;
    char text[512];
    assert_null(fs_failover_refusal(group_of(&pair->east), &newest, &point, text, sizeof(text)));
    uint64_t serial = fs_failover_start(group_of(&pair->east), &newest, FS_FENCE_NONE, "tester");
    assert_false(finished(&pair->east, serial)->failed);
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    assert_int_equal(group_of(&pair->east)->record->term.number, 3); /* 2 was granted */
    assert_true(mem_image_is_writable(image(&pair->east, 0)));
    pair_free(pair);
}

/* The other site cannot take the term for ever: its newest point is another one. */
static void test_grant_that_is_refused_is_burnt(void **state)
{
    (void)state;
    struct pair *pair = begin();
    uint64_t serial = start(&pair->east);

    mem_store_hold(pair->east.store, MEM_OP_DEMOTE);
    for (unsigned i = 0; i < 300 && !mem_store_in_flight(pair->east.store, MEM_OP_DEMOTE); i++) {
        pair_advance(pair, STEP);
    }
    expect_role(&pair->east, FS_ROLE_DEMOTED);
    struct fs_record *record = fs_record_copy(group_of(&pair->west)->record);
    const struct fs_uuid id = fs_record_newest_committed(record)->point.id;
    fs_record_remove_point(record, &id);
    mem_store_put(pair->west.store, record); /* a backup was restored at west */
    fs_record_free(record);
    pair_restart(&pair->west);
    pair_connect(pair);
    mem_store_release(pair->east.store, MEM_OP_DEMOTE);
    const struct fs_operation_result *result = finished(&pair->east, serial);
    assert_true(result->failed);
    assert_non_null(strstr(result->message, "does not have the last point"));
    check_stayed(pair);
    assert_true(group_of(&pair->east)->record->term.number == 3);
    pair_free(pair);
}

/* An operator cannot wait and promotes the other site, with the workload stopped here already: it
 * stays stopped, and this site yields. */
static void test_failover_of_the_other_site_in_the_middle(void **state)
{
    (void)state;
    struct pair *pair = begin();
    uint64_t serial = start(&pair->east);

    mem_store_hold(pair->east.store, MEM_OP_UNUSED);
    for (unsigned i = 0; i < 300 && !mem_store_in_flight(pair->east.store, MEM_OP_UNUSED); i++) {
        pair_advance(pair, STEP);
    }
    uint64_t other =
        fs_failover_start(group_of(&pair->west), &newest, FS_FENCE_NONE, "somebody else");
    assert_false(finished_alone(&pair->west, other)->failed);
    mem_store_release(pair->east.store, MEM_OP_UNUSED);
    const struct fs_operation_result *result = NULL;
    for (unsigned i = 0; i < 300 && !result; i++) {
        pair_advance(pair, STEP);
        result = fs_operation_result(group_of(&pair->east), serial);
    }
    assert_true(result && result->failed);
    assert_non_null(strstr(result->message, "promoted meanwhile"));
    pair_advance(pair, FS_SEC);
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    pair_free(pair);
}

/* The same when the images are parked: this site follows at once, and keeps nothing. */
static void test_failover_of_the_other_site_while_demoting(void **state)
{
    (void)state;
    struct pair *pair = begin();

    (void)start(&pair->east);
    mem_store_hold(pair->east.store, MEM_OP_DEMOTE);
    for (unsigned i = 0; i < 300 && !mem_store_in_flight(pair->east.store, MEM_OP_DEMOTE); i++) {
        pair_advance(pair, STEP);
    }
    uint64_t other =
        fs_failover_start(group_of(&pair->west), &newest, FS_FENCE_NONE, "somebody else");
    assert_false(finished_alone(&pair->west, other)->failed);
    mem_store_release(pair->east.store, MEM_OP_DEMOTE);
    pair_advance(pair, 2 * INTERVAL);
    check_moved(pair);
    pair_free(pair);
}

/* After the switch this site's images cannot be taken for a while: it never goes back for that. */
static void test_following_that_fails_after_the_switch(void **state)
{
    (void)state;
    struct pair *pair = begin();

    mem_store_fail(pair->east.store, MEM_OP_FOLLOW, 1, UINT64_MAX, FS_ERR_PERMANENT, EIO);
    (void)start(&pair->east);
    for (unsigned i = 0; i < 1500; i++) {
        pair_advance(pair, STEP);
        check_one_writable(pair);
        assert_true(role_of(&pair->east) != FS_ROLE_PRIMARY ||
                    role_of(&pair->west) == FS_ROLE_SECONDARY);
    }
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    expect_role(&pair->east, FS_ROLE_DEMOTED);
    assert_true(mem_store_started(pair->east.store, MEM_OP_FOLLOW) < 200); /* with pauses */
    mem_store_fail(pair->east.store, MEM_OP_FOLLOW, 1, 0, FS_ERR_PERMANENT, EIO);
    pair_advance(pair, 2 * INTERVAL);
    check_moved(pair);
    pair_free(pair);
}

/* --- crashes ------------------------------------------------------------------------------------
 */

#ifdef FARSHORE_FAULTS

enum death { EAST_DIES, WEST_DIES, LINK_DIES };

struct crash {
    char name[80];
    const char *step;
    enum death death;
};

struct life {
    const struct crash *crash;
    struct pair *pair;
    bool passed, dead;
};

static void pass(void *arg, const char *step)
{
    struct life *life = arg;

    if (life->passed || strcmp(step, life->crash->step) != 0) {
        return;
    }
    life->passed = life->dead = true;
    if (life->crash->death == EAST_DIES) {
        mem_store_crash(life->pair->east.store);
    } else if (life->crash->death == WEST_DIES) {
        mem_store_crash(life->pair->west.store);
    }
    fake_link_cut_after(life->pair->link, 0, 0);
}

static void test_crash_heals(void **state)
{
    struct life life = {.crash = *state, .pair = begin()};
    struct pair *pair = life.pair;

    fs_fault_set_hook(pass, &life);
    (void)start(&pair->east);
    for (int64_t ns = 0; ns < 12 * INTERVAL; ns += STEP) {
        pair_advance(pair, STEP);
        check_one_writable(pair);
        if (life.dead) {
            life.dead = false;
            if (life.crash->death != LINK_DIES) {
                pair_restart(life.crash->death == EAST_DIES ? &pair->east : &pair->west);
            }
            pair_dial(pair);
            pair_discover(pair, NULL);
        }
    }
    fs_fault_set_hook(NULL, NULL);
    assert_true(life.passed); /* or this matrix is out of date */
    if (role_of(&pair->east) == FS_ROLE_PRIMARY) {
        check_stayed(pair);
    } else {
        check_moved(pair);
    }
    pair_free(pair);
}

#define CASES_MAX 96

static size_t add_crashes(struct CMUnitTest *tests, struct crash *crashes)
{
    static const char *const prefixes[] = {"demote.", "grant.", "follow.", "promote."};
    static const char *const deaths[] = {"east_dies", "west_dies", "link_dies"};
    size_t n = 0;

    for (const struct fs_fault_step *step = fs_fault_steps; step->name; step++) {
        bool ours = false;
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
            ours = ours || strncmp(step->name, prefixes[i], strlen(prefixes[i])) == 0;
        }
        if (!ours || strcmp(step->name, "promote.lifted") == 0) {
            continue; /* that one is passed after another crash only */
        }
        for (int death = EAST_DIES; death <= LINK_DIES; death++, n++) {
            assert_true(n < CASES_MAX);
            crashes[n] = (struct crash){.step = step->name, .death = (enum death)death};
            (void)snprintf(crashes[n].name, sizeof(crashes[n].name), "test_%s_at_%s_heals",
                           deaths[death], step->name);
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
        cmocka_unit_test(test_relocate_there_and_back),
        cmocka_unit_test(test_relocate_asks_how_the_workload_is),
        cmocka_unit_test(test_relocate_to_an_older_peer),
        cmocka_unit_test(test_relocate_is_refused_where_it_cannot_be),
        cmocka_unit_test(test_relocate_of_what_is_in_use_changes_nothing),
        cmocka_unit_test(test_relocate_notices_a_late_write),
        cmocka_unit_test(test_relocate_interrupted_before_the_switch),
        cmocka_unit_test(test_relocate_without_a_link),
        cmocka_unit_test(test_failover_after_a_grant_that_nobody_took),
        cmocka_unit_test(test_grant_that_is_refused_is_burnt),
        cmocka_unit_test(test_failover_of_the_other_site_in_the_middle),
        cmocka_unit_test(test_failover_of_the_other_site_while_demoting),
        cmocka_unit_test(test_following_that_fails_after_the_switch),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

#ifdef FARSHORE_FAULTS
    static struct crash crashes[CASES_MAX];
    static struct CMUnitTest crash_tests[CASES_MAX];
    size_t n = add_crashes(crash_tests, crashes);

    rc += _cmocka_run_group_tests("relocate_crashes", crash_tests, n, NULL, NULL);
#endif
    return rc;
}
