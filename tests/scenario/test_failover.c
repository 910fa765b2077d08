/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover in memory: the daemon logic of both sites, with the other one alive, cut off or dead,
 * and a crash at each step of a promotion. Whatever happens:
 *
 *   - the promoted images hold exactly the point's bytes, or what their users wrote since (I2)
 *   - images are their users' only when the record says primary, and stay so
 *   - the term is raised once, whoever dies and however often it is asked for (I3)
 *   - the old primary ends as superseded and ships nothing; equal terms stop both sites
 *   - its users are fenced where that was ordered, before the term is raised or at the first
 *     contact, and never for an equal term
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
#include "farshore/fault.h"
#include "tests/scenario/pair.h"

#define INTERVAL (10 * FS_SEC)
#define STEP     (100 * FS_MSEC)
#define N_IMAGES 2

static const struct fs_uuid newest;

static void expect_role(struct pair_site *site, enum fs_role role)
{
    assert_string_equal(fs_role_name(pair_find(site, "a")->record->role), fs_role_name(role));
}

static struct mem_image *image(struct pair_site *site, unsigned i)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "a-%u", i);
    return mem_store_find(site->store, "rbd", name);
}

/* West's heads are as the point has them, byte for byte, as east took it. */
static void check_heads(struct pair *pair, const struct fs_uuid *point)
{
    const struct fs_group *west = pair_find(&pair->west, "a");

    assert_true(
        mem_store_same_point(pair->east.store, pair->west.store, &west->record->group, point));
    for (unsigned i = 0; i < N_IMAGES; i++) {
        struct mem_image *there = image(&pair->west, i);
        uint64_t size = mem_image_size(there);
        const struct fs_record_point *at = fs_record_find_point(west->record, point);
        assert_int_equal(size, at->contents[i].geometry.size);
        assert_true(mem_image_is_at(there, at->contents[i].snap_id));
    }
}

static void check_writable(struct pair *pair, bool writable)
{
    for (unsigned i = 0; i < N_IMAGES; i++) {
        assert_int_equal(mem_image_is_writable(image(&pair->west, i)), writable);
    }
}

static struct fs_uuid synced(struct pair *pair)
{
    return pair_check_synced(pair, "a")->point.id;
}

/* A group with two recovery points, and a third one that is being shipped when the link breaks. */
static struct pair *begin(bool unfinished)
{
    struct pair *pair = pair_new(INTERVAL);

    pair_connect(pair);
    (void)pair_add_group(pair, "a", N_IMAGES);
    pair_advance(pair, INTERVAL + FS_SEC);
    pair_write(pair, "a");
    pair_advance(pair, INTERVAL);
    (void)synced(pair);
    if (unfinished) {
        mem_image_resize(image(&pair->east, 1), 2 * PAIR_IMAGE_SIZE);
        mem_image_scribble(image(&pair->east, 0), 0, PAIR_IMAGE_SIZE, false);
        mem_store_hold(pair->west.store, MEM_OP_COMMIT);
        pair_advance(pair, INTERVAL);
        assert_int_equal(mem_store_in_flight(pair->west.store, MEM_OP_COMMIT), 1);
        pair_cut(pair);
        mem_store_fail(pair->west.store, MEM_OP_COMMIT, 1, 0, FS_ERR_TRANSIENT, ETIMEDOUT);
    }
    return pair;
}

static uint64_t failover_fencing(struct pair_site *site, enum fs_fence_mode fence)
{
    const struct fs_record_point *point;
    char text[512];
    struct fs_group *group = pair_find(site, "a");

    assert_null(fs_failover_refusal(group, &newest, &point, text, sizeof(text)));
    return fs_failover_start(group, &newest, fence, "tester");
}

static uint64_t failover(struct pair_site *site)
{
    return failover_fencing(site, FS_FENCE_NONE);
}

static const struct fs_operation_result *finished(struct pair_site *site, uint64_t serial)
{
    const struct fs_operation_result *result = NULL;

    for (unsigned i = 0; i < 600 && !result; i++) {
        pair_advance(site->pair, STEP);
        result = fs_operation_result(pair_find(site, "a"), serial);
    }
    assert_non_null(result);
    return result;
}

static void test_failover_alive_peer_is_superseded(void **state)
{
    (void)state;
    struct pair *pair = begin(false);
    struct fs_uuid point = synced(pair);
    const struct fs_operation_result *result = finished(&pair->west, failover(&pair->west));

    assert_false(result->failed);
    assert_true(fs_uuid_equal(&result->point.id, &point));
    assert_true(result->loss_ns >= 0 && result->loss_ns < 2 * INTERVAL);
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    check_heads(pair, &point);
    check_writable(pair, true);
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 2);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_SUPERSEDED);

    /* East takes nothing more; west takes points and offers them, and east refuses. */
    size_t taken = pair_find(&pair->east, "a")->record->n_points;
    pair_write(pair, "a");
    pair_discover_west(pair);
    mem_image_scribble(image(&pair->west, 0), 4096, 5000, true);
    pair_advance(pair, 3 * INTERVAL);
    assert_int_equal(pair_find(&pair->east, "a")->record->n_points, taken);
    const struct fs_record *west = pair_find(&pair->west, "a")->record;
    assert_int_equal(west->points[west->n_points - 1].state, FS_POINT_COMPLETE);
    assert_int_equal(west->points[west->n_points - 1].point.term.number, 2);
    assert_true(west->points[west->n_points - 1].point.seq > result->point.seq);
    assert_int_equal(pair_state(&pair->west, "a"), FS_STATE_DEGRADED);
    assert_int_equal(pair->west.ctx.groups->count, 1);
    assert_int_equal(pair->east.ctx.groups->count, 1);
    pair_free(pair);
}

static void test_failover_twice_raises_the_term_once(void **state)
{
    (void)state;
    struct pair *pair = begin(false);
    uint64_t first = failover(&pair->west);

    assert_int_equal(failover(&pair->west), first); /* joins the one under way */
    (void)finished(&pair->west, first);
    assert_true(fs_failover_is_done(pair_find(&pair->west, "a")));
    pair_restart(&pair->west);
    assert_true(fs_failover_is_done(pair_find(&pair->west, "a")));
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 2);
    pair_free(pair);
}

static void test_failover_takes_back_what_an_unfinished_transfer_wrote(void **state)
{
    (void)state;
    struct pair *pair = begin(true);
    const struct fs_record *record = pair_find(&pair->west, "a")->record;
    struct fs_uuid point = fs_record_newest_committed(record)->point.id;
    uint64_t serial = failover(&pair->west);

    pair_advance(pair, 2 * FS_SEC); /* it waits for the commit under way */
    expect_role(&pair->west, FS_ROLE_SECONDARY);
    char text[400];
    fs_operation_text(pair_find(&pair->west, "a"), text, sizeof(text));
    assert_non_null(strstr(text, "under way"));
    mem_store_crash(pair->west.store); /* instead of it */
    mem_store_release(pair->west.store, MEM_OP_COMMIT);
    pair_restart(&pair->west);
    (void)serial;
    const struct fs_operation_result *result = finished(&pair->west, failover(&pair->west));
    assert_false(result->failed);
    assert_true(fs_uuid_equal(&result->point.id, &point));
    check_heads(pair, &point);
    check_writable(pair, true);
    pair_free(pair);
}

static void test_failover_to_an_older_point(void **state)
{
    (void)state;
    struct pair *pair = begin(false);
    struct fs_group *west = pair_find(&pair->west, "a");
    const struct fs_uuid older = west->record->points[0].point.id;
    struct fs_uuid point = synced(pair);
    const struct fs_record_point *found;
    char text[512];

    assert_false(fs_uuid_equal(&older, &point));
    assert_null(fs_failover_refusal(west, &older, &found, text, sizeof(text)));
    const struct fs_operation_result *result =
        finished(&pair->west, fs_failover_start(west, &older, FS_FENCE_NONE, "tester"));
    assert_true(fs_uuid_equal(&result->point.id, &older));
    found = fs_record_find_point(west->record, &older);
    for (unsigned i = 0; i < N_IMAGES; i++) {
        assert_true(mem_image_is_at(image(&pair->west, i), found->contents[i].snap_id));
    }
    pair_free(pair);
}

static void test_failover_returning_primary_is_superseded_at_first_contact(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    pair_write(pair, "a");
    (void)finished(&pair->west, failover(&pair->west));
    pair_advance(pair, 3 * INTERVAL);
    expect_role(&pair->east, FS_ROLE_PRIMARY); /* nobody told it */
    size_t points = pair_find(&pair->east, "a")->record->n_points;
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    assert_int_equal(pair_find(&pair->east, "a")->record->n_points, points);
    pair_restart(&pair->east); /* and stays so */
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    pair_free(pair);
}

static uint64_t fenced_at(const struct pair_site *site)
{
    return mem_store_started(site->store, MEM_OP_FENCE);
}

static void test_failover_has_the_other_site_fence_first(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    mem_store_hold(pair->east.store, MEM_OP_FENCE);
    uint64_t serial = failover_fencing(&pair->west, FS_FENCE_REQUIRED);
    pair_advance(pair, 20 * FS_SEC);
    expect_role(&pair->west, FS_ROLE_SECONDARY); /* east is at it */
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 1);
    assert_int_equal(fenced_at(&pair->east), 1);
    mem_store_release(pair->east.store, MEM_OP_FENCE);
    const struct fs_operation_result *result = finished(&pair->west, serial);
    assert_false(result->failed);
    assert_non_null(strstr(result->fencing, "fenced at"));
    pair_advance(pair, FS_SEC);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    assert_false(pair_find(&pair->east, "a")->record->fence_users);
    pair_free(pair);
}

static void test_failover_that_must_fence_and_cannot_changes_nothing(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    mem_store_fail(pair->east.store, MEM_OP_FENCE, 1, 1, FS_ERR_PERMANENT, EPERM);
    const struct fs_operation_result *result =
        finished(&pair->west, failover_fencing(&pair->west, FS_FENCE_REQUIRED));
    assert_true(result->failed && result->refused);
    expect_role(&pair->west, FS_ROLE_SECONDARY);
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    pair_cut(pair);
    result = finished(&pair->west, failover_fencing(&pair->west, FS_FENCE_REQUIRED));
    assert_true(result->failed && result->refused);
    assert_non_null(strstr(result->message, "not connected"));
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 1);
    pair_connect(pair); /* and replication goes on */
    pair_write(pair, "a");
    pair_advance(pair, 2 * INTERVAL);
    (void)synced(pair);
    pair_free(pair);
}

/* Nobody could be asked: it is done at the first contact, by the old primary itself, once. */
static void test_failover_returning_primary_fences_its_users(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    const struct fs_operation_result *result =
        finished(&pair->west, failover_fencing(&pair->west, FS_FENCE_BEST_EFFORT));
    assert_false(result->failed);
    assert_non_null(strstr(result->fencing, "nobody was fenced now"));
    pair_restart(&pair->west); /* it is in the record */
    assert_int_equal(fenced_at(&pair->east), 0);
    mem_store_fail(pair->east.store, MEM_OP_FENCE, 1, 1, FS_ERR_TRANSIENT, EBUSY);
    pair_connect(pair);
    pair_advance(pair, FS_SEC / 2);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    assert_true(pair_find(&pair->east, "a")->record->fence_users);
    pair_restart(&pair->east); /* and that it is still to be done */
    pair_connect(pair);
    pair_advance(pair, 10 * FS_SEC);
    assert_false(pair_find(&pair->east, "a")->record->fence_users);
    uint64_t fenced = fenced_at(&pair->east);
    assert_true(fenced > 0);
    pair_restart(&pair->east);
    pair_connect(pair);
    pair_advance(pair, INTERVAL);
    assert_int_equal(fenced_at(&pair->east), fenced);
    pair_free(pair);
}

static void test_failover_to_equal_terms_fences_nobody(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    pair_discover(pair, NULL);
    (void)finished(&pair->east, failover_fencing(&pair->east, FS_FENCE_BEST_EFFORT));
    (void)finished(&pair->west, failover_fencing(&pair->west, FS_FENCE_BEST_EFFORT));
    pair_discover_west(pair);
    pair_connect(pair);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_SPLIT_BRAIN);
    assert_int_equal(fenced_at(&pair->east) + fenced_at(&pair->west), 0);
    /* The one that is told to go on has the other's users fenced: its term is higher then. */
    const struct fs_operation_result *result =
        finished(&pair->west, failover_fencing(&pair->west, FS_FENCE_REQUIRED));
    assert_false(result->failed);
    assert_true(fenced_at(&pair->east) > 0);
    assert_int_equal(fenced_at(&pair->west), 0);
    pair_advance(pair, FS_SEC);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    pair_free(pair);
}

/* Both sites were told to carry on alone: neither yields, and nothing is overwritten. */
static void test_failover_at_both_sites_is_a_split_brain(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    pair_discover(pair, NULL);
    (void)finished(&pair->east, failover(&pair->east));
    (void)finished(&pair->west, failover(&pair->west));
    pair_discover_west(pair);
    mem_image_scribble(image(&pair->west, 0), 4096, 5000, true);
    pair_write(pair, "a");
    pair_connect(pair);
    pair_advance(pair, 3 * INTERVAL);
    struct pair_site *const sites[] = {&pair->east, &pair->west};
    for (size_t i = 0; i < 2; i++) {
        expect_role(sites[i], FS_ROLE_PRIMARY);
        assert_int_equal(pair_state(sites[i], "a"), FS_STATE_SPLIT_BRAIN);
        assert_int_equal(pair_find(sites[i], "a")->record->term.number, 2);
        assert_int_equal(pair_find(sites[i], "a")->stats.total.written_bytes != 0, i == 1);
    }
    uint64_t offered = mem_store_started(pair->west.store, MEM_OP_SINK_OPEN);
    pair_restart(&pair->east); /* it is in the records: nobody has to find out again */
    pair_discover(pair, NULL);
    assert_int_equal(pair_state(&pair->east, "a"), FS_STATE_SPLIT_BRAIN);
    pair_connect(pair);
    pair_advance(pair, 2 * INTERVAL);
    assert_int_equal(mem_store_started(pair->west.store, MEM_OP_SINK_OPEN), offered);

    /* The operator decides for west. */
    (void)finished(&pair->west, failover(&pair->west));
    pair_advance(pair, FS_SEC);
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 3);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    pair_free(pair);
}

/* The point that it goes to cannot be had: another one is given. */
static void test_failover_to_another_point_once_it_has_begun(void **state)
{
    (void)state;
    struct pair *pair = begin(false);
    struct fs_group *west = pair_find(&pair->west, "a");
    const struct fs_uuid older = west->record->points[0].point.id;
    const struct fs_record_point *found;
    char text[512];

    pair_cut(pair);
    mem_store_fail(pair->west.store, MEM_OP_PROMOTE, 1, 1, FS_ERR_PERMANENT, ENODATA);
    assert_true(finished(&pair->west, failover(&pair->west))->failed);
    expect_role(&pair->west, FS_ROLE_PROMOTING);
    mem_store_fail(pair->west.store, MEM_OP_PROMOTE, 1, 0, FS_ERR_PERMANENT, ENODATA);
    assert_null(fs_failover_refusal(west, &older, &found, text, sizeof(text)));
    const struct fs_operation_result *result =
        finished(&pair->west, fs_failover_start(west, &older, FS_FENCE_NONE, "tester"));
    assert_false(result->failed);
    assert_true(fs_uuid_equal(&result->point.id, &older));
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    assert_int_equal(west->record->term.number, 2);
    assert_false(west->record->incoming.present);
    for (unsigned i = 0; i < N_IMAGES; i++) {
        found = fs_record_find_point(west->record, &older);
        assert_true(mem_image_is_at(image(&pair->west, i), found->contents[i].snap_id));
    }
    pair_free(pair);
}

/* East went on alone in a higher term; west has heard of it, and was offered nothing yet. */
static void test_failover_takes_a_number_above_what_was_heard(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    pair_discover(pair, NULL);
    (void)finished(&pair->east, failover(&pair->east));
    assert_int_equal(pair_find(&pair->east, "a")->record->term.number, 2);
    mem_store_hold(pair->east.store, MEM_OP_TAKE);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    pair_cut(pair);
    pair_restart(&pair->west); /* it is in its record */
    (void)finished(&pair->west, failover(&pair->west));
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 3);
    pair_connect(pair);
    pair_advance(pair, FS_SEC);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    pair_free(pair);
}

/* A superseded site is told to carry on: the other one yields. */
static void test_failover_of_a_superseded_site_goes_on_from_its_head(void **state)
{
    (void)state;
    struct pair *pair = begin(false);
    uint8_t before[4096], after[4096];

    (void)finished(&pair->west, failover(&pair->west));
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    mem_image_read(image(&pair->east, 0), 1u << 20, before, sizeof(before));
    const struct fs_operation_result *result = finished(&pair->east, failover(&pair->east));
    assert_false(result->has_point);
    mem_image_read(image(&pair->east, 0), 1u << 20, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    pair_advance(pair, FS_SEC);
    expect_role(&pair->east, FS_ROLE_PRIMARY);
    expect_role(&pair->west, FS_ROLE_SUPERSEDED);
    assert_int_equal(pair_find(&pair->east, "a")->record->term.number, 3);
    pair_free(pair);
}

/* East is superseded, has written on, and is to go back to the first point of those it has. */
static struct pair *supersede(struct fs_uuid *ret_older)
{
    struct pair *pair = begin(false);

    *ret_older = pair_find(&pair->east, "a")->record->points[0].point.id;
    mem_image_scribble(image(&pair->east, 0), 2u << 20, 5000, false);
    (void)finished(&pair->west, failover(&pair->west));
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    return pair;
}

static uint64_t go_back(struct pair *pair, const struct fs_uuid *point)
{
    struct fs_group *east = pair_find(&pair->east, "a");
    const struct fs_record_point *found;
    char text[512];

    assert_null(fs_failover_refusal(east, point, &found, text, sizeof(text)));
    return fs_failover_start(east, point, FS_FENCE_NONE, "tester");
}

/* It is at the point, its users', and what it alone had is kept. */
static void check_went_back(struct pair *pair, const struct fs_uuid *point, const uint8_t *alone,
                            size_t length)
{
    struct fs_record *record = pair_find(&pair->east, "a")->record;
    const struct fs_record_point *at = fs_record_find_point(record, point);
    uint8_t kept[4096];

    expect_role(&pair->east, FS_ROLE_PRIMARY);
    assert_int_equal(record->term.number, 3);
    assert_false(record->promotion.present || record->following.present);
    for (unsigned i = 0; i < N_IMAGES; i++) {
        assert_true(mem_image_is_at(image(&pair->east, i), at->contents[i].snap_id));
        assert_true(mem_image_is_writable(image(&pair->east, i)));
    }
    assert_int_not_equal(mem_image_left(image(&pair->east, 0)), 0);
    mem_image_read_left(image(&pair->east, 0), 2u << 20, kept, length);
    assert_memory_equal(kept, alone, length);
}

static void test_failover_of_a_superseded_site_to_a_point(void **state)
{
    (void)state;
    struct fs_uuid older;
    struct pair *pair = supersede(&older);
    uint8_t alone[4096];

    mem_image_read(image(&pair->east, 0), 2u << 20, alone, sizeof(alone));
    mem_image_use(image(&pair->east, 1), true);
    const struct fs_operation_result *result = finished(&pair->east, go_back(pair, &older));
    assert_true(result->failed && result->refused);
    assert_non_null(strstr(result->message, "a client has a-1 open"));
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    assert_true(mem_image_is_writable(image(&pair->east, 0)));

    mem_image_use(image(&pair->east, 1), false);
    result = finished(&pair->east, go_back(pair, &older));
    assert_false(result->failed);
    assert_true(result->has_point && fs_uuid_equal(&result->point.id, &older));
    check_went_back(pair, &older, alone, sizeof(alone));
    pair_advance(pair, FS_SEC);
    expect_role(&pair->west, FS_ROLE_SUPERSEDED);
    pair_free(pair);
}

/* Its images are its users' again, and their snapshots go. */
static void test_failover_to_a_point_whose_volume_has_left_is_refused(void **state)
{
    (void)state;
    struct fs_uuid older;
    struct pair *pair = supersede(&older);
    struct fs_group *east = pair_find(&pair->east, "a");
    const struct fs_record_point *found;
    char text[512];

    east->record->volumes[1].gone = true;
    assert_non_null(fs_failover_refusal(east, &older, &found, text, sizeof(text)));
    assert_non_null(strstr(text, "a-1, that has left a since"));
    assert_null(fs_failover_refusal(east, &newest, &found, text, sizeof(text)));
    pair_free(pair);
}

static void test_failover_needs_a_point(void **state)
{
    (void)state;
    struct pair *pair = pair_new(INTERVAL);
    const struct fs_record_point *point;
    char text[512];

    mem_store_hold(pair->west.store, MEM_OP_COMMIT);
    pair_connect(pair);
    (void)pair_add_group(pair, "a", N_IMAGES);
    pair_advance(pair, INTERVAL);
    assert_non_null(
        fs_failover_refusal(pair_find(&pair->west, "a"), &newest, &point, text, sizeof(text)));
    assert_non_null(strstr(text, "no recovery point"));
    pair_free(pair);
}

static void test_failover_waits_for_a_lock_and_says_so(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    mem_store_fail(pair->west.store, MEM_OP_PROMOTE, 1, 3, FS_ERR_TRANSIENT, EBUSY);
    uint64_t serial = failover(&pair->west);
    pair_advance(pair, 1500 * FS_MSEC);
    char text[400];
    fs_operation_text(pair_find(&pair->west, "a"), text, sizeof(text));
    assert_non_null(strstr(text, "injected fault"));
    assert_false(finished(&pair->west, serial)->failed);
    check_writable(pair, true);
    pair_free(pair);
}

/* Past its limit the command ends, and the promotion does not. */
static void test_failover_that_takes_too_long_goes_on_by_itself(void **state)
{
    (void)state;
    struct pair *pair = begin(false);

    pair_cut(pair);
    mem_store_fail(pair->west.store, MEM_OP_PROMOTE, 1, UINT64_MAX, FS_ERR_TRANSIENT, EBUSY);
    uint64_t serial = failover(&pair->west);
    for (unsigned i = 0; i < 80; i++) {
        pair_advance(pair, FS_SEC);
    }
    assert_true(fs_operation_result(pair_find(&pair->west, "a"), serial)->failed);
    expect_role(&pair->west, FS_ROLE_PROMOTING);
    mem_store_fail(pair->west.store, MEM_OP_PROMOTE, 1, 0, FS_ERR_TRANSIENT, EBUSY);
    for (unsigned i = 0; i < 80; i++) {
        pair_advance(pair, FS_SEC);
    }
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    check_writable(pair, true);
    assert_int_equal(pair_find(&pair->west, "a")->record->term.number, 2);
    pair_free(pair);
}

/* --- the crash matrix --------------------------------------------------------------------------
 */

#ifdef FARSHORE_FAULTS

struct crash {
    char name[80];
    const char *before; /* a crash there first, or NULL */
    const char *step;
    unsigned nth;
    bool back; /* east, superseded, goes back to a point; else west is promoted */
};

struct life {
    const struct crash *crash;
    struct pair *pair;
    unsigned passed;
    bool first_done;
    struct pair_site *dead;
};

static void pass(void *arg, const char *step)
{
    struct life *life = arg;
    bool first = life->crash->before && !life->first_done;
    const char *due = first ? life->crash->before : life->crash->step;

    if (life->dead || strcmp(step, due) != 0 || ++life->passed != (first ? 1 : life->crash->nth)) {
        return;
    }
    life->passed = first ? 0 : life->passed;
    life->first_done = true;
    bool east = life->crash->back || strncmp(step, "supersede.", 10) == 0;
    life->dead = east ? &life->pair->east : &life->pair->west;
    mem_store_crash(life->dead->store);
    if (life->pair->link) {
        fake_link_cut_after(life->pair->link, 0, 0);
    }
}

static void go_on(struct life *life, int64_t ns)
{
    for (; ns > 0; ns -= STEP) {
        pair_advance(life->pair, STEP);
        if (life->dead) {
            struct pair_site *site = life->dead;
            enum fs_role role;

            pair_restart(site);
            life->dead = NULL;
            role = pair_find(&life->pair->west, "a")->record->role;
            if (role == FS_ROLE_SECONDARY) {
                (void)failover_fencing(&life->pair->west,
                                       FS_FENCE_BEST_EFFORT); /* the command got no answer: again */
            }
            if (role != FS_ROLE_PRIMARY) { /* nobody may write before the record allows it */
                check_writable(life->pair, false);
            }
            pair_dial(life->pair);
            pair_discover(life->pair, NULL);
        }
    }
}

static void test_crash_heals(void **state)
{
    struct life life = {.crash = *state, .pair = begin(false)};
    struct pair *pair = life.pair;
    struct fs_uuid point = synced(pair);

    fs_fault_set_hook(pass, &life);
    (void)failover_fencing(&pair->west, FS_FENCE_BEST_EFFORT);
    go_on(&life, 2 * INTERVAL);
    fs_fault_set_hook(NULL, NULL);
    if (life.crash->nth == 1) {
        assert_true(life.passed >= 1); /* the step is passed, or this matrix is out of date */
    }
    expect_role(&pair->west, FS_ROLE_PRIMARY);
    expect_role(&pair->east, FS_ROLE_SUPERSEDED);
    const struct fs_record *record = pair_find(&pair->west, "a")->record;
    assert_int_equal(record->term.number, 2);
    assert_false(record->promotion.present);
    assert_true(fenced_at(&pair->east) > 0);
    assert_false(pair_find(&pair->east, "a")->record->fence_users);
    check_heads(pair, &point);
    check_writable(pair, true);
    pair_free(pair);
}

static void test_crash_on_the_way_back_heals(void **state)
{
    struct fs_uuid older;
    struct life life = {.crash = *state, .pair = supersede(&older)};
    struct pair *pair = life.pair;
    uint8_t alone[4096];

    mem_image_read(image(&pair->east, 0), 2u << 20, alone, sizeof(alone));
    fs_fault_set_hook(pass, &life);
    (void)go_back(pair, &older);
    for (unsigned i = 0; i < 300; i++) {
        pair_advance(pair, STEP);
        if (life.dead) {
            life.dead = NULL;
            pair_restart(&pair->east);
            if (pair_find(&pair->east, "a")->record->role == FS_ROLE_SUPERSEDED) {
                (void)go_back(pair, &older); /* the command got no answer: again */
            }
            pair_dial(pair);
        }
    }
    fs_fault_set_hook(NULL, NULL);
    if (life.crash->nth == 1) {
        assert_true(life.passed >= 1);
    }
    check_went_back(pair, &older, alone, sizeof(alone));
    pair_free(pair);
}

#define CASES_MAX 128

static size_t add_crashes(struct CMUnitTest *tests, struct crash *crashes)
{
    size_t n = 0;

    for (const struct fs_fault_step *step = fs_fault_steps; step->name; step++) {
        bool ours =
            strncmp(step->name, "promote.", 8) == 0 || strncmp(step->name, "supersede.", 10) == 0;
        const char *before = strcmp(step->name, "promote.lifted") == 0 ? "promote.primary" : NULL;

        bool back = strncmp(step->name, "promote.", 8) == 0 || strcmp(step->name, "left.kept") == 0;
        for (unsigned k = 0; k < 2 * N_IMAGES; k++) {
            unsigned nth = k % N_IMAGES + 1;
            bool goes_back = k >= N_IMAGES;
            if (!(goes_back ? back : ours)) {
                continue;
            }
            assert_true(n < CASES_MAX);
            crashes[n] =
                (struct crash){.before = before, .step = step->name, .nth = nth, .back = goes_back};
            (void)snprintf(crashes[n].name, sizeof(crashes[n].name), "test_crash_at_%s_%u_%s_heals",
                           step->name, nth, goes_back ? "of_the_way_back" : "of_a_failover");
            tests[n] = (struct CMUnitTest){.name = crashes[n].name,
                                           .test_func = goes_back ? test_crash_on_the_way_back_heals
                                                                  : test_crash_heals,
                                           .initial_state = &crashes[n]};
            n++;
        }
    }
    return n;
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failover_alive_peer_is_superseded),
        cmocka_unit_test(test_failover_twice_raises_the_term_once),
        cmocka_unit_test(test_failover_takes_back_what_an_unfinished_transfer_wrote),
        cmocka_unit_test(test_failover_to_an_older_point),
        cmocka_unit_test(test_failover_returning_primary_is_superseded_at_first_contact),
        cmocka_unit_test(test_failover_at_both_sites_is_a_split_brain),
        cmocka_unit_test(test_failover_takes_a_number_above_what_was_heard),
        cmocka_unit_test(test_failover_to_another_point_once_it_has_begun),
        cmocka_unit_test(test_failover_of_a_superseded_site_goes_on_from_its_head),
        cmocka_unit_test(test_failover_of_a_superseded_site_to_a_point),
        cmocka_unit_test(test_failover_to_a_point_whose_volume_has_left_is_refused),
        cmocka_unit_test(test_failover_has_the_other_site_fence_first),
        cmocka_unit_test(test_failover_that_must_fence_and_cannot_changes_nothing),
        cmocka_unit_test(test_failover_returning_primary_fences_its_users),
        cmocka_unit_test(test_failover_to_equal_terms_fences_nobody),
        cmocka_unit_test(test_failover_needs_a_point),
        cmocka_unit_test(test_failover_waits_for_a_lock_and_says_so),
        cmocka_unit_test(test_failover_that_takes_too_long_goes_on_by_itself),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

#ifdef FARSHORE_FAULTS
    static struct crash crashes[CASES_MAX];
    static struct CMUnitTest crash_tests[CASES_MAX];
    size_t n = add_crashes(crash_tests, crashes);

    rc += _cmocka_run_group_tests("failover_crashes", crash_tests, n, NULL, NULL);
#endif
    return rc;
}
