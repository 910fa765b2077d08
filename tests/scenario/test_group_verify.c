/* SPDX-License-Identifier: Apache-2.0 */
/* Verification between two sites in memory: who does it, what it finds, what may happen meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/scenario/mem_digest.h"
#include "tests/scenario/pair.h"

#define INTERVAL (3600 * FS_SEC)

struct lab {
    struct pair *pair;
    struct mem_digester *east, *west;
    struct fs_uuid group, point; /* the newest one at west */
};

static void refresh(struct lab *lab)
{
    lab->point = pair_check_synced(lab->pair, "a")->point.id;
}

static void sync_again(struct lab *lab)
{
    pair_write(lab->pair, "a");
    pair_find(&lab->pair->east, "a")->requested = true;
    pair_advance(lab->pair, 2 * FS_SEC);
    refresh(lab);
}

static int set_up(void **state)
{
    struct lab *lab = calloc(1, sizeof(*lab));

    lab->pair = pair_new(INTERVAL);
    lab->east = lab->pair->east.digester;
    lab->west = lab->pair->west.digester;
    pair_connect(lab->pair);
    lab->group = pair_add_group(lab->pair, "a", 2)->record->group;
    pair_advance(lab->pair, 15 * FS_SEC);
    refresh(lab);
    *state = lab;
    return 0;
}

static int tear_down(void **state)
{
    struct lab *lab = *state;

    pair_free(lab->pair);
    free(lab);
    return 0;
}

/* Ask at a site; zero point: the newest. */
static int ask(struct pair_site *site, const struct fs_uuid *point, uint64_t *ret_serial)
{
    static const struct fs_uuid newest;
    struct fs_error err = FS_ERROR_INIT;

    return fs_verifier_ask(site->ctx.groups->verifier, pair_find(site, "a"),
                           point ? point : &newest, ret_serial, &err);
}

static struct fs_verify_report verify(struct lab *lab, struct pair_site *site,
                                      const struct fs_uuid *point)
{
    struct fs_verify_report report = {0};
    uint64_t serial = 0;

    assert_int_equal(ask(site, point, &serial), 0);
    pair_advance(lab->pair, 5 * FS_SEC);
    assert_true(fs_verifier_finished(site->ctx.groups->verifier, &lab->group, serial, &report));
    assert_int_equal(mem_digester_open(lab->east), 0);
    assert_int_equal(mem_digester_open(lab->west), 0);
    return report;
}

static void test_newest_is_proved_from_either_site(void **state)
{
    struct lab *lab = *state;
    struct pair_site *const sites[] = {&lab->pair->west, &lab->pair->east};

    for (size_t i = 0; i < 2; i++) {
        struct fs_verify_report report = verify(lab, sites[i], NULL);
        assert_int_equal(report.phase, FS_VERIFY_EQUAL);
        assert_false(report.kept);
        assert_int_equal(report.total_bytes, 2 * PAIR_IMAGE_SIZE);
        assert_memory_equal(&report.point, &lab->point, sizeof(lab->point));
        assert_int_equal(pair_state(sites[i], "a"), FS_STATE_OK);
    }
    assert_int_equal(mem_digester_proved(lab->west), 1);
    assert_int_equal(mem_digester_proved(lab->east), 0);
}

static void test_difference_is_found_and_remembered_until_proved(void **state)
{
    struct lab *lab = *state;
    struct pair_site *const sites[] = {&lab->pair->west, &lab->pair->east};

    mem_digester_tamper(lab->west, "rbd", "a-1", &lab->point, 200000);
    for (size_t i = 0; i < 2; i++) {
        struct fs_verify_report report = verify(lab, sites[i], NULL);
        assert_int_equal(report.phase, FS_VERIFY_DIFFERENT);
        assert_int_equal(report.different, 1);
        assert_int_equal(report.n_differences, 1);
        assert_int_equal(report.differences[0].offset, 196608);
        assert_int_equal(report.differences[0].length, 65536);
        assert_int_equal(pair_state(sites[i], "a"), FS_STATE_DEGRADED);
    }
    assert_int_equal(mem_digester_proved(lab->west), 0);
    pair_restart(&lab->pair->west);
    pair_connect(lab->pair);
    pair_advance(lab->pair, FS_SEC);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_DEGRADED);
    mem_digester_tamper(lab->west, "rbd", "a-1", &lab->point, 200000); /* and back again */
    assert_int_equal(verify(lab, &lab->pair->west, NULL).phase, FS_VERIFY_EQUAL);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_OK);
}

static void test_hole_against_data_differs(void **state)
{
    struct lab *lab = *state;

    /* Neither site has data there; now one has. */
    mem_digester_tamper(lab->west, "rbd", "a-0", &lab->point, 3u << 20);
    struct fs_verify_report report = verify(lab, &lab->pair->west, NULL);
    assert_int_equal(report.different, 1);
    assert_int_equal(report.differences[0].offset, 3u << 20);
    mem_digester_tamper(lab->west, "rbd", "a-0", &lab->point, 3u << 20);
    mem_digester_tamper(lab->east, "rbd", "a-0", &lab->point, 3u << 20);
    report = verify(lab, &lab->pair->west, NULL);
    assert_int_equal(report.different, 1);
    assert_int_equal(report.differences[0].offset, 3u << 20);
}

static void test_older_point_is_held_against_what_was_kept(void **state)
{
    struct lab *lab = *state;
    struct fs_uuid first = lab->point;

    assert_int_equal(verify(lab, &lab->pair->west, NULL).phase, FS_VERIFY_EQUAL);
    sync_again(lab);
    struct fs_uuid second = lab->point;
    sync_again(lab);
    struct fs_verify_report report = verify(lab, &lab->pair->west, &first);
    assert_int_equal(report.phase, FS_VERIFY_EQUAL);
    assert_true(report.kept);
    assert_int_equal(verify(lab, &lab->pair->east, &first).phase, FS_VERIFY_EQUAL);
    report = verify(lab, &lab->pair->west, &second);
    assert_int_equal(report.phase, FS_VERIFY_REFUSED);
    assert_non_null(strstr(report.message, "never proved"));
    mem_digester_tamper(lab->west, "rbd", "a-0", &first, 100000);
    report = verify(lab, &lab->pair->west, &first);
    assert_int_equal(report.phase, FS_VERIFY_DIFFERENT);
    assert_int_equal(report.differences[0].length, 1u << 18);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_DEGRADED);
    /* The newest one's being good says nothing of it. */
    assert_int_equal(verify(lab, &lab->pair->west, NULL).phase, FS_VERIFY_EQUAL);
    assert_int_equal(pair_state(&lab->pair->west, "a"), FS_STATE_DEGRADED);
}

static void test_unknown_point_and_missing_session_are_refused(void **state)
{
    struct lab *lab = *state;
    struct fs_uuid unknown;
    uint64_t serial;

    fs_uuid_random(&unknown);
    assert_true(ask(&lab->pair->west, &unknown, &serial) < 0);
    assert_int_equal(verify(lab, &lab->pair->east, &unknown).phase, FS_VERIFY_REFUSED);
    pair_cut(lab->pair);
    assert_true(ask(&lab->pair->west, NULL, &serial) < 0);
    assert_true(ask(&lab->pair->east, NULL, &serial) < 0);
}

static void test_cut_in_the_middle_fails_and_can_be_repeated(void **state)
{
    struct lab *lab = *state;
    uint64_t serial;
    struct fs_verify_report report;

    lab->pair->west.policy.verify_rate = 1u << 20;
    assert_int_equal(ask(&lab->pair->east, NULL, &serial), 0);
    pair_advance(lab->pair, 2 * FS_SEC);
    assert_false(
        fs_verifier_finished(lab->pair->east.ctx.groups->verifier, &lab->group, serial, NULL));
    pair_cut(lab->pair);
    pair_advance(lab->pair, 2 * FS_SEC);
    assert_true(
        fs_verifier_finished(lab->pair->east.ctx.groups->verifier, &lab->group, serial, &report));
    assert_int_equal(report.phase, FS_VERIFY_FAILED);
    assert_int_equal(mem_digester_open(lab->east), 0);
    assert_int_equal(mem_digester_open(lab->west), 0);
    assert_int_equal(fs_verifier_busy(lab->pair->west.ctx.groups->verifier), 0);
    pair_connect(lab->pair);
    lab->pair->west.policy.verify_rate = 0;
    assert_int_equal(verify(lab, &lab->pair->east, NULL).phase, FS_VERIFY_EQUAL);
}

static void test_failure_of_either_site_at_any_batch(void **state)
{
    struct lab *lab = *state;

    for (unsigned nth = 1; nth < 12; nth += 3) {
        mem_digester_fail_next(lab->west, nth);
        assert_int_equal(verify(lab, &lab->pair->west, NULL).phase, FS_VERIFY_FAILED);
        mem_digester_fail_next(lab->east, nth);
        assert_int_equal(verify(lab, &lab->pair->east, NULL).phase, FS_VERIFY_FAILED);
    }
    assert_int_equal(mem_digester_proved(lab->west), 0);
    assert_int_equal(verify(lab, &lab->pair->west, NULL).phase, FS_VERIFY_EQUAL);
}

static void test_nobody_wants_it_any_more(void **state)
{
    struct lab *lab = *state;
    uint64_t one, two;

    lab->pair->west.policy.verify_rate = 1u << 20;
    assert_int_equal(ask(&lab->pair->east, NULL, &one), 0);
    assert_int_equal(ask(&lab->pair->east, NULL, &two), 0); /* joins */
    assert_int_equal(one, two);
    pair_advance(lab->pair, FS_SEC);
    fs_verifier_let_go(lab->pair->east.ctx.groups->verifier, &lab->group, one);
    pair_advance(lab->pair, FS_SEC);
    assert_int_equal(fs_verifier_busy(lab->pair->west.ctx.groups->verifier), 1);
    fs_verifier_let_go(lab->pair->east.ctx.groups->verifier, &lab->group, two);
    pair_advance(lab->pair, FS_SEC);
    assert_int_equal(fs_verifier_busy(lab->pair->west.ctx.groups->verifier), 0);
    assert_int_equal(fs_verifier_busy(lab->pair->east.ctx.groups->verifier), 0);
}

static void test_rate_and_background(void **state)
{
    struct lab *lab = *state;

    lab->pair->west.policy.verify_rate = 1u << 20;
    lab->pair->west.policy.verify_every_ns = 600 * FS_SEC;
    pair_advance(lab->pair, 12 * FS_SEC);
    /* 8 MiB at 1 MiB/s: under way, and replication goes on. */
    assert_true(fs_verifier_busy(lab->pair->west.ctx.groups->verifier) > 0 ||
                mem_digester_proved(lab->west) == 1);
    sync_again(lab);
    pair_advance(lab->pair, 20 * FS_SEC);
    assert_int_equal(mem_digester_proved(lab->west), 1);
    pair_advance(lab->pair, 300 * FS_SEC);
    assert_int_equal(mem_digester_proved(lab->west), 1);
    pair_advance(lab->pair, 320 * FS_SEC);
    assert_int_equal(mem_digester_proved(lab->west), 2);
    assert_int_equal(mem_digester_proved(lab->east), 0);
}

#define VERIFY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERIFY_TEST(test_newest_is_proved_from_either_site),
        VERIFY_TEST(test_difference_is_found_and_remembered_until_proved),
        VERIFY_TEST(test_hole_against_data_differs),
        VERIFY_TEST(test_older_point_is_held_against_what_was_kept),
        VERIFY_TEST(test_unknown_point_and_missing_session_are_refused),
        VERIFY_TEST(test_cut_in_the_middle_fails_and_can_be_repeated),
        VERIFY_TEST(test_failure_of_either_site_at_any_batch),
        VERIFY_TEST(test_nobody_wants_it_any_more),
        VERIFY_TEST(test_rate_and_background),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
