/* SPDX-License-Identifier: Apache-2.0 */
/* What the owners of volumes are told, and how often; saying it in Kubernetes is in tests/kube/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/failover.h"
#include "daemon/follow.h"
#include "daemon/relocate.h"
#include "daemon/workload.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define MINUTE   (60 * FS_SEC)
#define SAID_MAX 256

static const struct fs_uuid newest;

/* Who listens at a site. */
struct listener {
    struct fs_announcer announcer; /* first */
    struct {
        const char *reason;
        bool warning;
        size_t n_volumes;
        char message[1024];
    } said[SAID_MAX];
    size_t n_said;
    size_t n_notes, n_asked; /* taken, and all */
    int64_t noted_ns;        /* the newest */
    bool busy;
    bool full;       /* says are not taken */
    size_t n_offers; /* of them, since then */
};

static struct listener east, west;

static bool say(struct fs_announcer *announcer, const struct fs_volume *const *volumes,
                size_t n_volumes, const struct fs_announcement *what)
{
    struct listener *listener = (struct listener *)announcer;

    assert_true(listener->n_said < SAID_MAX);
    if (listener->full) {
        listener->n_offers++;
        return false;
    }
    for (size_t i = 0; i < n_volumes; i++) {
        assert_true(volumes[i]->image.name[0] != '\0' || volumes[i]->pvc[0] != '\0');
    }
    listener->said[listener->n_said].reason = what->reason;
    listener->said[listener->n_said].warning = what->warning;
    listener->said[listener->n_said].n_volumes = n_volumes;
    (void)snprintf(listener->said[listener->n_said].message, sizeof(listener->said[0].message),
                   "%s", what->message);
    listener->n_said++;
    return true;
}

static bool note(struct fs_announcer *announcer, const struct fs_volume *const *volumes,
                 size_t n_volumes, int64_t taken_ns)
{
    struct listener *listener = (struct listener *)announcer;

    (void)volumes;
    assert_true(n_volumes > 0);
    listener->n_asked++;
    if (listener->busy) {
        return false;
    }
    listener->n_notes++;
    listener->noted_ns = taken_ns;
    return true;
}

static struct pair *begin_without_groups(void)
{
    struct pair *pair = pair_new(INTERVAL);

    east = west = (struct listener){.announcer = {.say = say, .note = note}};
    pair->east.ctx.announcer = &east.announcer;
    pair->west.ctx.announcer = &west.announcer;
    pair->east.api.objects = "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"ConfigMap\"}]}";
    pair_connect(pair);
    return pair;
}

/* Group "a" of two volumes has its first point. */
static struct pair *begin(void)
{
    struct pair *pair = begin_without_groups();

    (void)pair_add_group(pair, "a", 2);
    pair_advance(pair, INTERVAL);
    (void)pair_check_synced(pair, "a");
    return pair;
}

static void expect_said(const struct listener *listener, size_t i, const char *reason, bool warning,
                        size_t n_volumes, const char *words)
{
    if (i >= listener->n_said) {
        fail_msg("nothing was said in place of %s", reason);
    }
    assert_string_equal(listener->said[i].reason, reason);
    assert_int_equal(listener->said[i].warning, warning);
    assert_int_equal(listener->said[i].n_volumes, n_volumes);
    if (!strstr(listener->said[i].message, words)) {
        fail_msg("\"%s\" is not in: %s", words, listener->said[i].message);
    }
}

static void expect_nothing_new(const struct listener *listener, size_t n_said)
{
    if (listener->n_said != n_said) {
        fail_msg("%s: %s", listener->said[n_said].reason, listener->said[n_said].message);
    }
}

static void test_first_point_is_said_once(void **state)
{
    struct pair *pair = begin();

    (void)state;
    expect_said(&east, 0, "Protected", false, 2, "a recovery point at west, farshore.1.1.");
    for (int i = 0; i < 30; i++) {
        pair_write(pair, "a");
        pair_advance(pair, INTERVAL);
    }
    pair_restart(&pair->east);
    pair_discover(pair, NULL);
    pair_connect(pair);
    pair_advance(pair, 5 * MINUTE);
    expect_nothing_new(&east, 1);
    expect_nothing_new(&west, 0);
    pair_free(pair);
}

static void test_new_volume_is_told_alone(void **state)
{
    struct pair *pair = begin();

    (void)state;
    mem_image_scribble(mem_store_create(pair->east.store, "rbd", "a-2", PAIR_IMAGE_SIZE), 65536,
                       300000, true);
    pair_discover(pair, NULL);
    pair_advance(pair, MINUTE);
    (void)pair_check_synced(pair, "a");
    expect_said(&east, 1, "Protected", false, 1, "a has a recovery point at west, farshore.1.");
    expect_nothing_new(&east, 2);
    assert_true(east.noted_ns != INT64_MIN); /* it was copied beside the group, which has ended */
    pair_free(pair);
}

static void test_failure_that_lasts_is_said_and_so_is_its_end(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_cut(pair);
    pair_advance(pair, 25 * FS_SEC);
    expect_nothing_new(&east, 1);
    pair_advance(pair, 10 * FS_SEC);
    expect_said(&east, 1, "ProtectionFailed", true, 2, "a is peer_down: there is no session");
    assert_non_null(strstr(east.said[1].message, "it goes on by itself")); /* the hint */
    /* It is not forgotten where it is told, and no more than that. */
    pair_advance(pair, 29 * MINUTE);
    expect_nothing_new(&east, 2);
    pair_advance(pair, 31 * MINUTE);
    expect_said(&east, 2, "ProtectionFailed", true, 2, "peer_down");
    expect_said(&east, 3, "ProtectionFailed", true, 2, "peer_down");
    expect_nothing_new(&east, 4);
    /* What may have been lost is said again sooner. */
    east.announcer.lost++;
    pair_advance(pair, 6 * MINUTE);
    expect_said(&east, 4, "ProtectionFailed", true, 2, "peer_down");
    pair_advance(pair, 6 * MINUTE);
    expect_nothing_new(&east, 5);
    pair_connect(pair);
    pair_advance(pair, MINUTE);
    expect_said(&east, 5, "ProtectionRecovered", false, 2, "is protected again");
    pair_advance(pair, 60 * MINUTE);
    expect_nothing_new(&east, 6);
    pair_free(pair);
}

static void expect_offers_then(struct pair *pair, struct listener *listener)
{
    size_t said = listener->n_said;

    pair_advance(pair, MINUTE);
    expect_nothing_new(listener, said);
    assert_in_range(listener->n_offers, 20, 61); /* once a second at most */
    listener->full = false;
    listener->n_offers = 0;
    pair_advance(pair, 2 * FS_SEC);
}

/* Where too much waits to be told, nothing counts as told. */
static void test_what_is_not_taken_is_said_later(void **state)
{
    struct pair *pair = begin_without_groups();

    (void)state;
    east.full = true;
    (void)pair_add_group(pair, "a", 2);
    expect_offers_then(pair, &east);
    expect_said(&east, 0, "Protected", false, 2, "a recovery point at west");
    expect_nothing_new(&east, 1);
    east.full = true;
    pair_cut(pair);
    expect_offers_then(pair, &east);
    expect_said(&east, 1, "ProtectionFailed", true, 2, "peer_down");
    expect_nothing_new(&east, 2);
    pair_connect(pair);
    pair_advance(pair, MINUTE);
    expect_said(&east, 2, "ProtectionRecovered", false, 2, "is protected again");
    east.full = true;
    uint64_t serial = fs_relocate_start(pair_find(&pair->east, "a"), "tester");
    pair_cut(pair);
    expect_offers_then(pair, &east);
    assert_non_null(fs_operation_result(pair_find(&pair->east, "a"), serial));
    expect_said(&east, 3, "RelocationFailed", true, 2, "a at site east: ");
    pair_connect(pair);
    pair_advance(pair, 2 * MINUTE);
    size_t said = east.n_said;
    east.full = true;
    pair_discover(pair, "a");
    expect_offers_then(pair, &east);
    expect_said(&east, said, "ProtectionEnded", false, 2, "is not selected any more");
    expect_nothing_new(&east, said + 1);
    pair_free(pair);
}

static void test_moment_of_trouble_is_no_news(void **state)
{
    struct pair *pair = begin();

    (void)state;
    for (int i = 0; i < 20; i++) {
        pair_cut(pair);
        pair_advance(pair, 20 * FS_SEC);
        pair_connect(pair);
        pair_advance(pair, 20 * FS_SEC);
    }
    expect_nothing_new(&east, 1);
    pair_free(pair);
}

static void test_flapping_is_told_less_and_less(void **state)
{
    struct pair *pair = begin();

    (void)state;
    for (int i = 0; i < 60; i++) { /* two hours, and 120 changes */
        pair_cut(pair);
        pair_advance(pair, MINUTE);
        pair_connect(pair);
        pair_advance(pair, MINUTE);
    }
    assert_in_range(east.n_said, 6, 18);
    /* The last word is how it is. */
    pair_advance(pair, 20 * MINUTE);
    const char *last = east.said[east.n_said - 1].reason;
    assert_string_equal(last, "ProtectionRecovered");
    pair_free(pair);
}

/* What was said is over for long, and nothing else lasts: it is not the last word. */
static void test_state_that_is_long_past_is_not_the_last_word(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_cut(pair);
    pair_advance(pair, MINUTE);
    expect_said(&east, 1, "ProtectionFailed", true, 2, "peer_down");
    pair_connect(pair);
    for (int i = 0; i < 30; i++) {
        pair_find(&pair->east, "a")->record->paused = i % 2 == 0;
        pair_advance(pair, INTERVAL);
    }
    if (east.n_said < 3 || strcmp(east.said[2].reason, "ProtectionFailed") == 0) {
        fail_msg("%zu were said", east.n_said);
    }
    assert_in_range(east.n_said, 3, 6);
    pair_free(pair);
}

static void test_late_is_said(void **state)
{
    struct pair *pair = begin();
    struct fs_group *group = pair_find(&pair->east, "a");

    (void)state;
    group->retry_ns = INT64_MAX; /* no point is taken, for no reason that is known */
    pair_write(pair, "a");
    pair_advance(pair, 2 * MINUTE);
    expect_said(&east, 1, "ProtectionLate", true, 2, "the interval is 10 s");
    group->retry_ns = 0;
    pair_advance(pair, 2 * MINUTE);
    expect_said(&east, 2, "ProtectionRecovered", false, 2, "until");
    pair_free(pair);
}

static void test_time_of_the_newest_point_is_noted_sparingly(void **state)
{
    struct pair *pair = begin();
    const struct fs_record *record = pair_find(&pair->east, "a")->record;

    (void)state;
    assert_int_equal(east.n_notes, 1);
    assert_int_equal(east.noted_ns, fs_record_newest_committed(record)->taken_ns);
    for (int i = 0; i < 120; i++) { /* 20 minutes, 120 points */
        pair_write(pair, "a");
        pair_advance(pair, INTERVAL);
    }
    assert_in_range(east.n_notes, 4, 5);
    /* Nothing changes, nothing is written. */
    pair_advance(pair, 10 * MINUTE);
    size_t notes = east.n_notes;
    pair_advance(pair, 30 * MINUTE);
    assert_int_equal(east.n_notes, notes);
    assert_int_equal(east.noted_ns,
                     fs_record_newest_committed(pair_find(&pair->east, "a")->record)->taken_ns);
    /* One that was lost is made again; one that is not taken is asked for until it is. */
    east.announcer.lost++;
    pair_advance(pair, MINUTE);
    assert_int_equal(east.n_notes, notes + 1);
    east.busy = true;
    east.announcer.lost++;
    pair_advance(pair, 6 * MINUTE);
    assert_int_equal(east.n_notes, notes + 1);
    assert_in_range(east.n_asked - east.n_notes, 2, 6 * 60); /* once a second at most */
    east.busy = false;
    pair_advance(pair, 1 * FS_SEC);
    assert_int_equal(east.n_notes, notes + 2);
    assert_int_equal(west.n_asked, 0);
    pair_free(pair);
}

static void test_what_is_told_has_its_time_at_once(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL);
    const struct fs_record *record = pair_find(&pair->east, "a")->record;
    int64_t taken = fs_record_newest_committed(record)->taken_ns;
    assert_true(east.noted_ns < taken);
    pair_cut(pair);
    pair_advance(pair, 31 * FS_SEC);
    expect_said(&east, 1, "ProtectionFailed", true, 2, "peer_down");
    assert_int_equal(east.noted_ns, taken);
    pair_free(pair);
}

static void test_end_of_protection_is_said(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_advance(pair, FS_SEC);
    pair_discover(pair, "a");
    pair_advance(pair, MINUTE);
    expect_said(&east, 1, "ProtectionEnded", false, 2, "is not selected any more");
    assert_int_equal(east.noted_ns, INT64_MIN);
    size_t asked = east.n_asked;
    pair_advance(pair, 10 * MINUTE);
    assert_int_equal(east.n_asked, asked);
    expect_nothing_new(&east, 2);
    pair_discover(pair, NULL);
    pair_advance(pair, MINUTE);
    expect_said(&east, 2, "Protected", false, 2, "west");
    pair_free(pair);
}

static void discover_skipped(struct pair *pair, const char *reason, int64_t ns)
{
    struct fs_skipped_volume skipped = {.pvc_namespace = "shop", .pvc = "data", .policy = "gold"};
    const struct fs_discovery discovery = {.skipped = &skipped, .n_skipped = 1};

    (void)snprintf(skipped.reason, sizeof(skipped.reason), "%s", reason);
    for (int64_t left = ns; left > 0; left -= INTERVAL) {
        assert_int_equal(fs_groups_discovered(pair->east.ctx.groups, &discovery, 0), 0);
        pair_advance(pair, INTERVAL);
    }
}

static void test_volume_that_cannot_be_protected_is_told_why(void **state)
{
    struct pair *pair = begin_without_groups();

    (void)state;
    discover_skipped(pair, "it is not bound", 30 * FS_SEC); /* as new ones are for a while */
    expect_nothing_new(&east, 0);
    discover_skipped(pair, "pool x is not mapped", 10 * MINUTE);
    expect_said(&east, 0, "NotProtected", true, 1, "policy gold selects it");
    assert_non_null(strstr(east.said[0].message, "pool x is not mapped"));
    expect_nothing_new(&east, 1);
    east.full = true;
    discover_skipped(pair, "pool x is not mapped", 25 * MINUTE);
    expect_nothing_new(&east, 1);
    assert_true(east.n_offers > 0);
    east.full = false;
    discover_skipped(pair, "pool x is not mapped", MINUTE);
    expect_said(&east, 1, "NotProtected", true, 1, "pool x");
    expect_nothing_new(&east, 2);
    pair_free(pair);
}

static void run_until_done(struct pair *pair, struct pair_site *site, uint64_t serial)
{
    for (int i = 0; i < 600; i++) {
        const struct fs_group *group = pair_find(site, "a");
        if (fs_operation_result(group, serial) && !group->operation) {
            break;
        }
        pair_advance(pair, 100 * FS_MSEC);
    }
    pair_advance(pair, FS_SEC);
}

static void test_failover_is_said_where_it_is_primary_now(void **state)
{
    struct pair *pair = begin();
    struct fs_group *group = pair_find(&pair->west, "a");

    (void)state;
    pair_cut(pair);
    run_until_done(pair, &pair->west, fs_failover_start(group, &newest, FS_FENCE_NONE, "tester"));
    expect_said(&west, 0, "FailedOver", false, 2, "a at site west: primary in term 2, at point ");
    assert_non_null(strstr(west.said[0].message, "loss at most"));
    assert_int_equal(west.n_notes, 1);
    pair_advance(pair, 2 * MINUTE);
    expect_said(&west, 1, "ProtectionFailed", true, 2, "peer_down");
    /* The old site hears of it, and its volumes' owners do. */
    pair_connect(pair);
    pair_advance(pair, 2 * MINUTE);
    expect_said(&east, east.n_said - 1, "ProtectionFailed", true, 2,
                "superseded: west was promoted");
    assert_int_equal(east.noted_ns, INT64_MIN);
    pair_free(pair);
}

/* Bringing up has to wait for the API; only then there is something to say it of. */
static void test_failover_is_said_once_its_objects_are_there(void **state)
{
    static const struct fs_config_source kubernetes = {.kubernetes = true, .workloads = true};
    struct event_base *base = event_base_new();
    struct pair *pair = begin();
    struct fs_group *group = pair_find(&pair->west, "a");

    (void)state;
    pair->west.ctx.workloads = fs_workloads_new(base);
    pair->west.config.kubernetes = &kubernetes;
    (void)snprintf(group->record->volumes[0].volume.pvc, FS_NAME_SIZE, "data");
    (void)snprintf(group->record->volumes[0].volume.pvc_namespace, FS_NAME_SIZE, "shop");
    mem_store_hold(pair->west.store, MEM_OP_OBJECTS);
    pair_cut(pair);
    uint64_t serial = fs_failover_start(group, &newest, FS_FENCE_NONE, "tester");
    for (int i = 0; i < 600 && !mem_store_in_flight(pair->west.store, MEM_OP_OBJECTS); i++) {
        pair_advance(pair, 100 * FS_MSEC);
    }
    pair->west.config.kubernetes = NULL; /* it fails, and is to be tried again */
    mem_store_release(pair->west.store, MEM_OP_OBJECTS);
    run_until_done(pair, &pair->west, serial);
    assert_true(group->record->bring_up.present);
    pair_advance(pair, 20 * FS_SEC);
    expect_nothing_new(&west, 0);
    group->record->bring_up.present = false;
    pair_advance(pair, FS_SEC);
    expect_said(&west, 0, "FailedOver", false, 2, "primary in term 2");
    fs_workloads_free(pair->west.ctx.workloads);
    pair->west.ctx.workloads = NULL;
    pair_free(pair);
    event_base_free(base);
}

/* notes: how many there were before. */
static void expect_taken_off_once(struct pair *pair, const struct listener *listener, size_t notes)
{
    pair_advance(pair, MINUTE);
    assert_int_equal(listener->n_notes, notes + 1);
    assert_int_equal(listener->noted_ns, INT64_MIN);
    pair_advance(pair, 10 * MINUTE);
    assert_int_equal(listener->n_notes, notes + 1);
}

/* Its daemon starts after the disaster: what it noted before is to go all the same. */
static void test_note_of_a_former_life_is_taken_off(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_cut(pair);
    run_until_done(
        pair, &pair->west,
        fs_failover_start(pair_find(&pair->west, "a"), &newest, FS_FENCE_NONE, "tester"));
    size_t notes = east.n_notes;
    pair_restart(&pair->east);
    pair->east.ctx.groups->report_ns = INT64_MAX; /* it had no time to note anything */
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    pair->east.ctx.groups->report_ns = 0;
    assert_int_equal(pair_find(&pair->east, "a")->record->role, FS_ROLE_SUPERSEDED);
    expect_taken_off_once(pair, &east, notes);
    east.busy = true; /* as where nothing is to be told at all */
    notes = east.n_notes;
    size_t asked = east.n_asked;
    pair_restart(&pair->east);
    pair_connect(pair);
    pair_advance(pair, MINUTE);
    assert_in_range(east.n_asked - asked, 2, 61); /* once a second at most */
    east.busy = false;
    expect_taken_off_once(pair, &east, notes);
    pair_discover_west(pair);
    run_until_done(pair, &pair->east,
                   fs_follow_start(pair_find(&pair->east, "a"), false, "tester"));
    assert_int_equal(pair_find(&pair->east, "a")->record->role, FS_ROLE_SECONDARY);
    notes = east.n_notes;
    pair_restart(&pair->east);
    pair_connect(pair);
    expect_taken_off_once(pair, &east, notes);
    assert_int_not_equal(west.noted_ns, INT64_MIN);
    pair_free(pair);
}

static void test_what_never_was_primary_has_no_note(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_restart(&pair->west);
    pair_connect(pair);
    pair_advance(pair, 10 * MINUTE);
    assert_int_equal(pair_find(&pair->west, "a")->record->role, FS_ROLE_SECONDARY);
    assert_int_equal(west.n_asked, 0);
    pair_free(pair);
}

static void test_relocation_is_said_at_both_sites(void **state)
{
    struct pair *pair = begin();
    struct fs_group *group = pair_find(&pair->east, "a");

    (void)state;
    run_until_done(pair, &pair->east, fs_relocate_start(group, "tester"));
    expect_said(&east, 1, "Relocated", false, 2, "a at site east: west is primary in term 2");
    expect_said(&west, 0, "Relocated", false, 2,
                "a at site west: primary in term 2, as east handed it");
    assert_int_equal(east.noted_ns, INT64_MIN);
    pair_advance(pair, 5 * MINUTE);
    expect_nothing_new(&east, 2);
    expect_nothing_new(&west, 1);
    pair_free(pair);
}

static void test_relocation_that_fails_is_said(void **state)
{
    struct pair *pair = begin();
    struct fs_group *group = pair_find(&pair->east, "a");

    (void)state;
    pair_cut(pair);
    run_until_done(pair, &pair->east, fs_relocate_start(group, "tester"));
    expect_said(&east, 1, "RelocationFailed", true, 2, "a at site east: ");
    pair_free(pair);
}

/* What was said before its daemon lost the site, and got it back, still is to be followed by its
 * end. */
static void test_site_that_is_opened_again_goes_on_from_what_was_said(void **state)
{
    struct pair *pair = begin();

    (void)state;
    pair_cut(pair);
    pair_advance(pair, MINUTE);
    expect_said(&east, 1, "ProtectionFailed", true, 2, "peer_down");
    pair_reopen(&pair->east);
    pair_discover(pair, NULL);
    pair_advance(pair, 5 * MINUTE);
    expect_nothing_new(&east, 2);
    fs_groups_stop(pair->east.ctx.groups);
    pair_advance(pair, 10 * MINUTE);
    pair_reopen(&pair->east);
    pair_discover(pair, NULL);
    pair_connect(pair);
    pair_advance(pair, 25 * FS_SEC);
    expect_nothing_new(&east, 2); /* it has to last, seen from now on */
    pair_advance(pair, MINUTE);
    expect_said(&east, 2, "ProtectionRecovered", false, 2, "is protected again");
    pair_advance(pair, 10 * MINUTE);
    expect_nothing_new(&east, 3);
    pair_free(pair);
}

/* A daemon that does not work for the site says nothing of it. */
static void test_site_that_stopped_is_silent(void **state)
{
    struct pair *pair = begin();

    (void)state;
    fs_groups_stop(pair->east.ctx.groups);
    pair_cut(pair);
    pair_advance(pair, 10 * MINUTE);
    expect_nothing_new(&east, 1);
    fs_groups_resume(pair->east.ctx.groups);
    pair_free(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_point_is_said_once),
        cmocka_unit_test(test_new_volume_is_told_alone),
        cmocka_unit_test(test_failure_that_lasts_is_said_and_so_is_its_end),
        cmocka_unit_test(test_what_is_not_taken_is_said_later),
        cmocka_unit_test(test_moment_of_trouble_is_no_news),
        cmocka_unit_test(test_flapping_is_told_less_and_less),
        cmocka_unit_test(test_state_that_is_long_past_is_not_the_last_word),
        cmocka_unit_test(test_late_is_said),
        cmocka_unit_test(test_time_of_the_newest_point_is_noted_sparingly),
        cmocka_unit_test(test_what_is_told_has_its_time_at_once),
        cmocka_unit_test(test_end_of_protection_is_said),
        cmocka_unit_test(test_volume_that_cannot_be_protected_is_told_why),
        cmocka_unit_test(test_failover_is_said_where_it_is_primary_now),
        cmocka_unit_test(test_failover_is_said_once_its_objects_are_there),
        cmocka_unit_test(test_note_of_a_former_life_is_taken_off),
        cmocka_unit_test(test_what_never_was_primary_has_no_note),
        cmocka_unit_test(test_relocation_is_said_at_both_sites),
        cmocka_unit_test(test_relocation_that_fails_is_said),
        cmocka_unit_test(test_site_that_is_opened_again_goes_on_from_what_was_said),
        cmocka_unit_test(test_site_that_stopped_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
