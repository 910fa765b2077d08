/* SPDX-License-Identifier: Apache-2.0 */
/* Quiescing around a point: the order, the limits, failures, and a daemon that dies between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/fault.h"
#include "tests/scenario/pair.h"

#define INTERVAL (60 * FS_SEC)
#define STEP     (100 * FS_MSEC)
#define CALLS    64

/* What stands for the command and the virtual machines: it answers after a time, or fails. */
static struct applications {
    struct pair *pair;
    struct {
        bool thaw;
        unsigned kind;
        int64_t at_ns;    /* boot */
        uint64_t started; /* operations on the cluster before it */
    } calls[CALLS];
    size_t n_calls;
    unsigned frozen; /* kinds */
    int64_t delay_ns;
    bool fail_freeze, fail_thaw, off;
    /* The one that is under way. */
    struct fs_group *asked;
    bool thaw;
    unsigned kind;
    int64_t answer_ns, limit_ns;
} apps;

static int64_t now_ns(void)
{
    return fs_clock_boot(&apps.pair->clock.clock);
}

static void answer(void)
{
    struct fs_error err = FS_ERROR_INIT;
    struct fs_group *group = apps.asked;
    bool dead = mem_store_crashed(apps.pair->east.store);
    bool late = now_ns() > apps.limit_ns;

    apps.asked = NULL;
    if (dead || late || (apps.thaw ? apps.fail_thaw : apps.fail_freeze)) {
        (void)fs_error_set(&err, FS_ERR_TRANSIENT, EIO, "it does not answer");
        fs_quiesce_answered(group, FS_QUIESCE_FAILED, &err);
        return;
    }
    if (apps.thaw) {
        apps.frozen &= ~apps.kind;
    } else if (!apps.off) {
        apps.frozen |= apps.kind;
    }
    fs_quiesce_answered(group, apps.off ? FS_QUIESCE_NOTHING : FS_QUIESCE_DONE, NULL);
}

static void ask(struct fs_group *group, const struct fs_quiesce_target *target, bool thaw,
                int64_t limit_ns)
{
    if (!mem_store_crashed(apps.pair->east.store)) {
        assert_true(apps.n_calls < CALLS);
        apps.calls[apps.n_calls].thaw = thaw;
        apps.calls[apps.n_calls].kind = target->kind;
        apps.calls[apps.n_calls].at_ns = now_ns();
        apps.calls[apps.n_calls++].started = mem_store_started(apps.pair->east.store, MEM_OP_ANY);
    }
    assert_null(apps.asked);
    apps.asked = group;
    apps.thaw = thaw;
    apps.kind = target->kind;
    apps.limit_ns = now_ns() + limit_ns;
    int64_t wait = apps.delay_ns < limit_ns ? apps.delay_ns : limit_ns + 1;
    apps.answer_ns = now_ns() + wait;
    if (wait == 0 || mem_store_crashed(apps.pair->east.store)) {
        answer();
    }
}

static void freeze(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns,
                   int64_t frozen_ns)
{
    assert_true(frozen_ns > limit_ns);
    ask(group, target, false, limit_ns);
}

static void thaw(struct fs_group *group, const struct fs_quiesce_target *target, int64_t limit_ns)
{
    ask(group, target, true, limit_ns);
}

static const struct fs_quiescer quiescer = {.freeze = freeze, .thaw = thaw};

static void advance(int64_t ns)
{
    for (int64_t gone = 0; gone < ns; gone += STEP) {
        pair_advance(apps.pair, STEP);
        if (apps.asked && now_ns() >= apps.answer_ns) {
            answer();
            pair_pump(apps.pair);
        }
    }
}

static int setup(void **state)
{
    apps = (struct applications){.pair = pair_new(INTERVAL)};
    apps.pair->east.ctx.quiescer = &quiescer;
    apps.pair->east.policy.on[FS_HOOK_QUIESCE] = (char *)"command";
    apps.pair->east.policy.quiesce_timeout_ns = 5 * FS_SEC;
    pair_connect(apps.pair);
    *state = apps.pair;
    return 0;
}

static int teardown(void **state)
{
    apps.delay_ns = 0;
    if (apps.asked) {
        answer();
    }
    pair_free(*state);
    return 0;
}

static const struct fs_record_point *newest(struct pair_site *site)
{
    return fs_record_newest_committed(pair_find(site, "a")->record);
}

static bool is_application(struct pair_site *site)
{
    return newest(site)->flags & FS_POINT_APPLICATION;
}

/* The first point is there, and another one is due. */
static void begin(void)
{
    (void)pair_add_group(apps.pair, "a", 2);
    advance(5 * FS_SEC);
    pair_check_synced(apps.pair, "a");
    apps.n_calls = 0;
    pair_write(apps.pair, "a");
    advance(INTERVAL - 5 * FS_SEC - STEP);
    assert_int_equal(apps.n_calls, 0);
}

static void test_point_is_taken_between_freeze_and_thaw(void **state)
{
    struct pair *pair = *state;

    begin();
    mem_store_hold(pair->east.store, MEM_OP_READ);
    apps.delay_ns = FS_SEC;
    uint64_t takes = mem_store_started(pair->east.store, MEM_OP_TAKE);
    advance(2 * STEP); /* due; nothing is snapshotted before all is frozen */
    assert_int_equal(apps.n_calls, 1);
    assert_int_equal(mem_store_started(pair->east.store, MEM_OP_TAKE), takes + 1);
    advance(FS_SEC);
    assert_int_equal(mem_store_started(pair->east.store, MEM_OP_TAKE), takes + 2);
    assert_int_equal(apps.n_calls, 2); /* the thaw does not wait for the transfer */
    assert_true(apps.calls[1].thaw);
    assert_true(apps.calls[1].at_ns - apps.calls[0].at_ns <= FS_SEC + 2 * STEP);
    mem_store_release(pair->east.store, MEM_OP_READ);
    advance(2 * FS_SEC);
    pair_check_synced(pair, "a");
    assert_int_equal(apps.frozen, 0);
    assert_true(is_application(&pair->east) && is_application(&pair->west));
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_unchanged_group_is_not_frozen(void **state)
{
    struct pair *pair = *state;

    (void)pair_add_group(pair, "a", 2);
    advance(5 * FS_SEC);
    apps.n_calls = 0;
    advance(3 * INTERVAL);
    assert_int_equal(apps.n_calls, 0);
    assert_int_equal(pair_find(&pair->east, "a")->stats.unchanged, 3);
}

static void test_failed_freeze_makes_a_crash_consistent_point(void **state)
{
    struct pair *pair = *state;

    begin();
    apps.fail_freeze = true;
    advance(3 * FS_SEC);
    const struct fs_record_point *point = pair_check_synced(pair, "a");
    assert_int_equal(point->point.seq, 2);
    assert_false(is_application(&pair->east) || is_application(&pair->west));
    assert_int_equal(apps.n_calls,
                     2); /* what failed may have happened: it is thawed all the same */
    assert_true(apps.calls[1].thaw);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_DEGRADED);
    apps.fail_freeze = false;
    pair_write(pair, "a");
    advance(INTERVAL);
    assert_true(is_application(&pair->west));
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_failed_freeze_skips_the_point_where_the_policy_says_so(void **state)
{
    struct pair *pair = *state;

    pair->east.policy.quiesce_or_skip = true;
    begin();
    apps.fail_freeze = true;
    advance(3 * FS_SEC);
    assert_int_equal(newest(&pair->west)->point.seq, 1);
    assert_true(apps.n_calls >= 2 && apps.calls[1].thaw);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_ERROR);
    apps.fail_freeze = false;
    advance(INTERVAL);
    const struct fs_record_point *point = pair_check_synced(pair, "a");
    assert_true(point->point.seq > 2); /* a number is never used twice */
    assert_true(is_application(&pair->west));
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_freeze_has_a_time_limit(void **state)
{
    struct pair *pair = *state;

    begin();
    apps.delay_ns = 3600 * FS_SEC;
    advance(5 * FS_SEC);
    assert_int_equal(newest(&pair->west)->point.seq, 1);
    advance(FS_SEC);
    apps.delay_ns = 0;
    advance(5 * FS_SEC);
    assert_int_equal(newest(&pair->west)->point.seq, 2);
    assert_false(is_application(&pair->west));
    assert_int_equal(apps.frozen, 0);
}

static void test_machine_that_does_not_run_has_nothing_to_freeze(void **state)
{
    struct pair *pair = *state;

    pair->east.policy.quiesce_or_skip = true;
    begin();
    apps.off = true;
    advance(3 * FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->point.seq, 2);
    assert_false(is_application(&pair->west));
    assert_int_equal(apps.n_calls, 1);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

/* Snapshots that do not come: nobody stays frozen for them, and the point says so. */
static void test_slow_snapshot_is_thawed_before_it_ends(void **state)
{
    struct pair *pair = *state;

    begin();
    apps.delay_ns = FS_SEC;
    advance(2 * STEP);
    assert_int_equal(apps.n_calls, 1);
    mem_store_hold(pair->east.store, MEM_OP_TAKE);
    advance(21 * FS_SEC);
    assert_int_equal(apps.n_calls, 2);
    assert_true(apps.calls[1].thaw);
    assert_int_equal(apps.calls[1].at_ns - apps.calls[0].at_ns, 20 * FS_SEC);
    mem_store_release(pair->east.store, MEM_OP_TAKE);
    advance(3 * FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->point.seq, 2);
    assert_false(is_application(&pair->west));
}

static void test_thaw_is_tried_until_it_succeeds(void **state)
{
    struct pair *pair = *state;

    begin();
    apps.fail_thaw = true;
    advance(30 * FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->point.seq, 2); /* that does not wait */
    assert_true(is_application(&pair->west));
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_ERROR);
    assert_int_equal(apps.n_calls, 1 + 5); /* after 0, 1, 3, 7 and 15 s */
    /* The next point is not application-consistent: who knows in which state that is. */
    pair_write(pair, "a");
    advance(INTERVAL - 30 * FS_SEC + 2 * FS_SEC);
    assert_int_equal(pair_check_synced(pair, "a")->point.seq, 3);
    assert_false(is_application(&pair->west));
    for (size_t i = 1; i < apps.n_calls; i++) {
        assert_true(apps.calls[i].thaw);
    }
    apps.fail_thaw = false;
    advance(INTERVAL - 5 * FS_SEC);
    assert_int_equal(apps.frozen, 0);
    size_t calls = apps.n_calls;
    pair_write(pair, "a");
    advance(10 * FS_SEC);
    assert_int_equal(apps.n_calls, calls + 2);
    assert_true(is_application(&pair->west));
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
}

static void test_guests_are_frozen_after_the_command_and_thawed_before_it(void **state)
{
    struct pair *pair = *state;

    pair->east.policy.quiesce_guest = true;
    begin();
    struct fs_record *record = pair_find(&pair->east, "a")->record;
    for (size_t i = 0; i < record->n_volumes; i++) { /* one virtual machine, two disks */
        (void)snprintf(record->volumes[i].volume.vm, FS_NAME_SIZE, "vm");
    }
    advance(3 * FS_SEC);
    assert_true(is_application(&pair->west));
    assert_int_equal(apps.n_calls, 4);
    const unsigned kinds[] = {FS_QUIESCE_COMMAND, FS_QUIESCE_GUEST, FS_QUIESCE_GUEST,
                              FS_QUIESCE_COMMAND};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(apps.calls[i].kind, kinds[i]);
        assert_int_equal(apps.calls[i].thaw, i >= 2);
    }
}

/* --- a daemon that dies ----------------------------------------------------------------------- */

#ifdef FARSHORE_FAULTS

static void die(void *arg, const char *step)
{
    const char **die_at = arg;

    if (*die_at && strcmp(step, *die_at) == 0) {
        *die_at = NULL;
        mem_store_crash(apps.pair->east.store);
        fake_link_cut_after(apps.pair->link, 0, 0);
    }
}

static void die_at(const char *step)
{
    struct pair *pair = apps.pair;

    begin();
    const char *at = step;
    fs_fault_set_hook(die, &at);
    advance(2 * FS_SEC);
    fs_fault_set_hook(NULL, NULL);
    assert_true(mem_store_crashed(pair->east.store));
    size_t calls = apps.n_calls;
    bool frozen = apps.frozen;
    pair_restart(&pair->east);
    uint64_t started = mem_store_started(pair->east.store, MEM_OP_ANY);
    (void)fs_groups_run(pair->east.ctx.groups); /* before anything else */
    assert_int_equal(apps.n_calls, calls + 1);
    assert_true(apps.calls[calls].thaw);
    assert_int_equal(apps.frozen, 0);
    assert_int_equal(apps.calls[calls].started, started);
    assert_int_equal(frozen,
                     strcmp(step, "quiesce.frozen") == 0 || strcmp(step, "take.answered") == 0);
    pair_connect(pair);
    pair_discover(pair, NULL);
    advance(2 * INTERVAL);
    pair_check_synced(pair, "a");
    assert_true(is_application(&pair->west));
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_OK);
    struct fs_record *record =
        mem_store_load(pair->east.store, &pair_find(&pair->east, "a")->record->group);
    assert_int_equal(record->quiesced, 0);
    fs_record_free(record);
}

static void test_death_before_the_freeze_is_thawed(void **state)
{
    (void)state;
    die_at("quiesce.recorded");
}

static void test_death_in_the_freeze_is_thawed(void **state)
{
    (void)state;
    die_at("quiesce.frozen");
}

static void test_death_after_the_snapshots_is_thawed(void **state)
{
    (void)state;
    die_at("take.answered");
}

static void test_death_after_the_thaw_is_thawed_again(void **state)
{
    (void)state;
    die_at("quiesce.thawed");
}

#endif

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_point_is_taken_between_freeze_and_thaw),
        TEST(test_unchanged_group_is_not_frozen),
        TEST(test_failed_freeze_makes_a_crash_consistent_point),
        TEST(test_failed_freeze_skips_the_point_where_the_policy_says_so),
        TEST(test_freeze_has_a_time_limit),
        TEST(test_machine_that_does_not_run_has_nothing_to_freeze),
        TEST(test_slow_snapshot_is_thawed_before_it_ends),
        TEST(test_thaw_is_tried_until_it_succeeds),
        TEST(test_guests_are_frozen_after_the_command_and_thawed_before_it),
#ifdef FARSHORE_FAULTS
        TEST(test_death_before_the_freeze_is_thawed),
        TEST(test_death_in_the_freeze_is_thawed),
        TEST(test_death_after_the_snapshots_is_thawed),
        TEST(test_death_after_the_thaw_is_thawed_again),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
