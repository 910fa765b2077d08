/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink over a real cluster: what it ships is compared byte by byte by a client of its own,
 * other clients try to get at the images, and a child process dies at every call that changes
 * something (they are wrapped at link time), after which another one must finish the work.
 *
 * Needs FARSHORE_TEST_CONF, FARSHORE_TEST_USER and FARSHORE_TEST_POOL (a pool that nothing else
 * uses meanwhile; everything that it makes there is removed again).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sink_outsider.h"
#include "snapshot/state.h"

#define CRASHED 77

extern char **environ;

/* --- dying on purpose ----------------------------------------------------------------------- */

static int crash_at = -1, crash_now;

static void crash_point(void)
{
    if (crash_at >= 0 && __atomic_fetch_add(&crash_now, 1, __ATOMIC_SEQ_CST) == crash_at) {
        _exit(CRASHED);
    }
}

#define WRAP(name, parameters, arguments)                                                          \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        crash_point();                                                                             \
        return __real_##name arguments;                                                            \
    }

WRAP(fs_state_store, (struct fs_state * s, struct fs_record *r, struct fs_error *e), (s, r, e))
WRAP(fs_state_note_current,
     (struct fs_state * s, const struct fs_current *c, size_t n, struct fs_error *e), (s, c, n, e))
WRAP(rbd_create4, (rados_ioctx_t io, const char *n, uint64_t s, rbd_image_options_t o),
     (io, n, s, o))
WRAP(rbd_snap_create, (rbd_image_t i, const char *n), (i, n))
WRAP(rbd_snap_remove_by_id, (rbd_image_t i, uint64_t id), (i, id))
WRAP(rbd_snap_rollback, (rbd_image_t i, const char *n), (i, n))
WRAP(rbd_metadata_set, (rbd_image_t i, const char *k, const char *v), (i, k, v))
WRAP(rbd_metadata_remove, (rbd_image_t i, const char *k), (i, k))
WRAP(rbd_resize, (rbd_image_t i, uint64_t s), (i, s))
WRAP(rbd_lock_acquire, (rbd_image_t i, rbd_lock_mode_t m), (i, m))
WRAP(rbd_lock_break, (rbd_image_t i, rbd_lock_mode_t m, const char *o), (i, m, o))
WRAP(rados_break_lock,
     (rados_ioctx_t io, const char *o, const char *n, const char *c, const char *k),
     (io, o, n, c, k))
WRAP(rados_exec,
     (rados_ioctx_t io, const char *o, const char *c, const char *m, const char *in, size_t il,
      char *out, size_t ol),
     (io, o, c, m, in, il, out, ol))
WRAP(rados_aio_write_op_operate,
     (rados_write_op_t op, rados_ioctx_t io, rados_completion_t c, const char *o, time_t *t, int f),
     (op, io, c, o, t, f))
WRAP(rbd_flush, (rbd_image_t i), (i))
WRAP(rbd_close, (rbd_image_t i), (i))

/* The points from the newest committed one on, up to `last`, as a restarted daemon would. */
static int child(const char *name, int at, unsigned last)
{
    struct run run;
    int rc = 0;

    run_begin(&run, OUTSIDER_KEY);
    run_load(&run, name);
    crash_at = at;
    for (unsigned point = 1; rc == 0 && point <= last; point++) {
        const struct fs_record_point *newest =
            run.record ? fs_record_newest_committed(run.record) : NULL;

        run.held = point - 1;
        if (newest && newest->point.seq >= point) {
            continue;
        }
        rc = run_ship(&run, name, point);
        if (rc < 0) {
            fprintf(stderr, "point %u: %s (refusal %d)\n", point, run.err.message, run.refusal);
        }
    }
    crash_at = -1;
    run_end(&run);
    return rc < 0 ? 1 : 0;
}

static int run_child(const char *name, int at, unsigned last)
{
    char at_text[16], last_text[16];
    char *argv[] = {"check_sink", "--child", (char *)name, at_text, last_text, NULL};
    pid_t pid;
    int status;

    snprintf(at_text, sizeof(at_text), "%d", at);
    snprintf(last_text, sizeof(last_text), "%u", last);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Offer, and expect a refusal whose message has this text. */
static void refuse(struct run *run, const char *name, unsigned point, enum fs_refusal reason,
                   const char *text)
{
    int rc = run_open(run, name, point);

    if (rc >= 0 || run->refusal != reason || !strstr(run->err.message, text)) {
        fail_msg("rc %d, refusal %d instead of %d: %s", rc, run->refusal, reason, run->err.message);
    }
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_points_are_exact_and_retained(void **state)
{
    (void)state;
    const char *name = "sink-exact";
    struct fs_record_point *point;
    char cookie[128], value[128];
    size_t length = sizeof(value);
    struct run run;
    rbd_image_t image;

    begin(&run, name);
    for (unsigned p = 1; p <= 4; p++) {
        must_ship(&run, name, p);
        assert_false(run.committed);
        assert_int_equal(run.base, p - 1);
        verify(name, p);
        if (p > 1) {
            verify_fast_diff(name, p - 1, p);
        }
    }
    verify(name, 3);
    verify_snapshots(name, 2);
    look_at_lock(name, 0, cookie, false);
    assert_string_equal(cookie, "farshore");
    image = open_volume(name, 0);
    assert_true(rbd_metadata_get(image, "farshore.io/policy", value, &length) >= 0);
    assert_string_equal(value, "gold");
    rbd_close(image);

    run_load(&run, name);
    assert_int_equal(run.record->n_points, 2);
    assert_false(run.record->incoming.present);
    assert_int_equal(run.record->role, FS_ROLE_SECONDARY);
    point = &run.record->points[1];
    assert_int_equal(point->state, FS_POINT_COMMITTED);
    assert_int_equal(point->bytes, 4711);
    assert_int_equal(run.record->current_until_ns, point->taken_ns);
    must(&run, run_open(&run, name, 4));
    assert_true(run.committed);
    end(&run, name);
}

static void test_closed_transfer_resumes(void **state)
{
    (void)state;
    const char *name = "sink-resume";
    struct run run;

    begin(&run, name);
    for (unsigned p = 1; p <= 2; p++) {
        run.held = p - 1;
        must(&run, run_open(&run, name, p));
        must(&run, run_write(&run, 2 * MODEL_SEGMENT));
        must(&run, run_sync(&run));
        run_close(&run);
        must(&run, run_open(&run, name, p));
        assert_int_equal(run.positions[0].offset, 2 * MODEL_SEGMENT);
        assert_int_equal(run.base, p - 1);
        must(&run, run_write(&run, UINT64_MAX));
        must(&run, run_commit(&run));
        run_close(&run);
        verify(name, p);
    }
    end(&run, name);
}

static void test_abandoned_point_leaves_nothing(void **state)
{
    (void)state;
    const char *name = "sink-abandoned";
    struct run run;

    begin(&run, name);
    must(&run, run_open(&run, name, 1)); /* the first copy, never finished */
    must(&run, run_write(&run, UINT64_MAX));
    must(&run, run_sync(&run));
    run_close(&run);
    must(&run, run_ship(&run, name, 2));
    assert_int_equal(run.base, 0);
    verify(name, 2);
    run.held = 2;
    must(&run, run_open(&run, name, 3)); /* a difference, never finished */
    must(&run, run_write(&run, UINT64_MAX));
    must(&run, run_sync(&run));
    run_close(&run);
    must(&run, run_ship(&run, name, 4));
    assert_int_equal(run.base, 2);
    verify(name, 4);
    verify_snapshots(name, 2);
    end(&run, name);
}

static void test_offers_are_refused(void **state)
{
    (void)state;
    const char *name = "sink-refused";
    enum fs_role role;
    struct run run;

    begin(&run, name);
    run.admission.n_pools = 0;
    refuse(&run, name, 1, FS_REFUSE_POOL_NOT_MAPPED, "pools: {src: POOL}");
    assert_null(run.record);
    run.admission.n_pools = 1;
    run.term = 5;
    must_ship(&run, name, 1);
    run.term = 4;
    refuse(&run, name, 2, FS_REFUSE_STALE_TERM, "term 4");
    run.term = 5;
    run.source_site.b[0] ^= 1;
    refuse(&run, name, 2, FS_REFUSE_SPLIT_BRAIN, "split brain");
    run.source_site.b[0] ^= 1;
    role = run.record->role;
    run.record->role = FS_ROLE_DEMOTED;
    refuse(&run, name, 2, FS_REFUSE_NOT_SECONDARY, "demoted");
    run.record->role = role;
    run.held = 0;
    refuse(&run, name, 2, FS_REFUSE_NO_BASE, "none of them");
    run.term = 6;
    must_ship(&run, name, 2);
    assert_int_equal(run.record->term.number, 6);
    verify(name, 2);
    end(&run, name);
}

static void test_one_transfer_of_a_group_at_a_time(void **state)
{
    (void)state;
    const char *name = "sink-busy";
    struct fs_incoming *first;
    struct run run;

    begin(&run, name);
    must(&run, run_open(&run, name, 1));
    first = run.incoming;
    refuse(&run, name, 1, FS_REFUSE_BUSY, "another transfer");
    run.incoming = first;
    fs_record_free(run.record);
    run.record = NULL;
    run_close(&run);
    must_ship(&run, name, 1);
    end(&run, name);
}

static void test_foreign_images_are_not_touched(void **state)
{
    (void)state;
    const char *name = "sink-foreign";
    struct run run;
    rbd_image_t image;
    int order = 20;

    begin(&run, name);
    assert_int_equal(rbd_create(ioctx, "sink-foreign-1", 4u << 20, &order), 0);
    refuse(&run, name, 1, FS_REFUSE_FOREIGN, "sink-foreign-1");
    assert_null(run.record);
    assert_int_equal(rbd_open(ioctx, "sink-foreign-0", &image, NULL), -ENOENT);
    remove_image("sink-foreign-1");
    must_ship(&run, name, 1);

    /* a copy carries the stamp along, but not the image's id */
    image = open_volume(name, 0);
    assert_int_equal(rbd_copy(image, ioctx, "sink-copied-0"), 0);
    rbd_close(image);
    fs_record_free(run.record);
    run.record = NULL;
    run.held = 0;
    refuse(&run, "sink-copied", 1, FS_REFUSE_FOREIGN, "sink-copied-0");
    remove_image("sink-copied-0");
    end(&run, name);
}

static void test_deleted_image_is_not_replaced(void **state)
{
    (void)state;
    const char *name = "sink-deleted";
    char cookie[128];
    struct run run;
    int order = 20;

    begin(&run, name);
    must(&run, run_open(&run, name, 1));
    run_close(&run);
    look_at_lock(name, 0, cookie, true);
    remove_image("sink-deleted-0");
    must_ship(&run, name, 1); /* nothing was committed: a new one is as good */
    verify(name, 1);
    look_at_lock(name, 0, cookie, true);
    remove_image("sink-deleted-0");
    run.held = 1;
    refuse(&run, name, 2, FS_REFUSE_BROKEN, "sink-deleted-0");
    assert_int_equal(rbd_create(ioctx, "sink-deleted-0", 8u << 20, &order), 0);
    refuse(&run, name, 2, FS_REFUSE_BROKEN, "was deleted");
    end(&run, name);
}

static void test_other_clients_stay_out(void **state)
{
    (void)state;
    const char *name = "sink-others";
    static char junk[4096];
    rbd_completion_t completion;
    struct run run;
    rbd_image_t image;

    memset(junk, 0xee, sizeof(junk));
    begin(&run, name);
    run.held = 0;
    must(&run, run_open(&run, name, 1));
    image = open_volume(name, 0);
    assert_int_equal(rbd_write(image, 0, sizeof(junk), junk), -EROFS);
    must(&run, run_write(&run, UINT64_MAX));
    must(&run, run_commit(&run));
    run_close(&run);

    /* parked: the write waits; when we work again, it fails, or it was faster than our lock and is
     * found */
    assert_int_equal(rbd_aio_create_completion(NULL, NULL, &completion), 0);
    assert_int_equal(rbd_aio_write(image, 0, sizeof(junk), junk, completion), 0);
    sleep(3);
    assert_false(rbd_aio_is_complete(completion));
    run.held = 1;
    if (run_open(&run, name, 2) < 0) {
        assert_int_equal(run.refusal, FS_REFUSE_TAMPERED);
        assert_int_equal(rbd_aio_wait_for_complete(completion), 0);
        assert_int_equal(rbd_aio_get_return_value(completion), 0);
        run.admission.adopt = true;
        must(&run, run_open(&run, name, 2));
    } else {
        assert_int_equal(rbd_aio_wait_for_complete(completion), 0);
        assert_int_equal(rbd_aio_get_return_value(completion), -EROFS);
    }
    rbd_aio_release(completion);
    rbd_close(image);
    must(&run, run_write(&run, UINT64_MAX));
    must(&run, run_commit(&run));
    run_close(&run);
    verify(name, 2);
    end(&run, name);
}

/* The first bytes of the volume at its newest snapshot of that name; false where there is none. */
static bool read_snap(const char *name, const char *snap, uint64_t offset, uint8_t ret_bytes[4096])
{
    rbd_image_t image = open_volume(name, 0);
    bool there = rbd_snap_set(image, snap) == 0;

    if (there) {
        assert_int_equal(rbd_read(image, offset, 4096, (char *)ret_bytes), 4096);
    }
    rbd_close(image);
    return there;
}

static void write_junk(const char *name, uint64_t offset)
{
    static char junk[4096];
    rbd_image_t image = open_volume(name, 0);

    memset(junk, 0xee, sizeof(junk));
    assert_int_equal(rbd_write(image, offset, sizeof(junk), junk), sizeof(junk));
    rbd_close(image);
}

static void test_tampered_base_is_kept_until_adopted(void **state)
{
    (void)state;
    const char *name = "sink-touched";
    uint8_t bytes[4096];
    char cookie[128];
    struct run run;

    begin(&run, name);
    must_ship(&run, name, 1);
    look_at_lock(name, 0, cookie, true);
    write_junk(name, 1u << 20);
    run.held = 1;
    for (int i = 0; i < 2; i++) { /* again and again, and nothing is touched */
        refuse(&run, name, 2, FS_REFUSE_TAMPERED, "4096 bytes at 1048576");
        assert_non_null(strstr(run.err.message, "farshore adopt"));
    }
    assert_false(run.record->incoming.present);
    assert_false(read_snap(name, "farshore.left.1.1", 0, bytes));
    run.admission.adopt = true;
    must_ship(&run, name, 2);
    verify(name, 2);
    assert_true(read_snap(name, "farshore.left.1.1", 1u << 20, bytes));
    assert_int_equal(bytes[0], 0xee);
    assert_int_equal(bytes[4095], 0xee);

    /* a size, and the next number */
    look_at_lock(name, 0, cookie, true);
    rbd_image_t image = open_volume(name, 0);
    assert_int_equal(rbd_resize(image, 20u << 20), 0);
    rbd_close(image);
    run.admission.adopt = false;
    run.held = 2;
    refuse(&run, name, 3, FS_REFUSE_TAMPERED, "its size is 20971520 instead of");
    run.admission.adopt = true;
    must_ship(&run, name, 3);
    verify(name, 3);
    assert_true(read_snap(name, "farshore.left.1.2", 1u << 20, bytes));
    end(&run, name);
}

static void test_untouched_image_without_its_lock_is_believed(void **state)
{
    (void)state;
    const char *name = "sink-unlocked";
    uint8_t bytes[4096];
    char cookie[128];
    struct run run;

    begin(&run, name);
    must_ship(&run, name, 1);
    look_at_lock(name, 0, cookie, true);
    run.held = 1;
    must(&run, run_open(&run, name, 2));
    must(&run, run_write(&run, 2 * MODEL_SEGMENT));
    must(&run, run_sync(&run));
    run_close(&run);
    look_at_lock(name, 0, cookie, true); /* with a part of point 2 in it */
    must_ship(&run, name, 2);
    verify(name, 2);
    verify_snapshots(name, 2);
    assert_false(read_snap(name, "farshore.left.1.1", 0, bytes));
    end(&run, name);
}

static void test_tampered_transfer_is_kept_until_adopted(void **state)
{
    (void)state;
    const char *name = "sink-tampered";
    static char junk[4096];
    char cookie[128];
    struct run run;
    rbd_image_t image;

    memset(junk, 0xee, sizeof(junk));
    begin(&run, name);
    must_ship(&run, name, 1);
    run.held = 1;
    must(&run, run_open(&run, name, 2));
    must(&run, run_write(&run, 2 * MODEL_SEGMENT));
    must(&run, run_sync(&run));
    run_close(&run);

    /* somebody takes our lock off and writes where the difference to point 2 is nothing */
    look_at_lock(name, 0, cookie, true);
    image = open_volume(name, 0);
    for (uint64_t at = 0; at < model_size(0, 2); at += MODEL_BLOCK) {
        assert_int_equal(rbd_write(image, at, sizeof(junk), junk), sizeof(junk));
    }

    /* as long as that client has the lock, nothing is applied */
    refuse(&run, name, 2, FS_REFUSE_BUSY, "holds its lock");
    rbd_close(image);
    refuse(&run, name, 2, FS_REFUSE_TAMPERED, "sink-tampered-0");
    run.admission.adopt = true;
    must(&run, run_open(&run, name, 2));
    assert_int_equal(run.positions[0].offset, 0);
    assert_int_equal(run.positions[1].offset, 2 * MODEL_SEGMENT); /* nobody touched that one */
    must(&run, run_write(&run, UINT64_MAX));
    must(&run, run_commit(&run));
    run_close(&run);
    verify(name, 2);
    end(&run, name);
}

static void test_crash_keeps_proven_positions(void **state)
{
    (void)state;
    const char *name = "sink-proof";
    struct run run;

    clean(name);
    /* Dies in the second rbd_flush of the commit: half was synced, nobody else had the lock. */
    for (int at = 0;; at++) {
        assert_int_equal(run_child(name, at, 1), CRASHED);
        run_begin(&run, OUTSIDER_KEY);
        run_load(&run, name);
        if (run.record && run.record->incoming.present &&
            run.record->incoming.positions[0].position.offset > 0) {
            break;
        }
        run_end(&run);
        clean(name);
    }
    must(&run, run_open(&run, name, 1));
    assert_int_equal(run.positions[0].offset, 2 * MODEL_SEGMENT);
    must(&run, run_write(&run, UINT64_MAX));
    must(&run, run_commit(&run));
    run_close(&run);
    verify(name, 1);
    end(&run, name);
}

static void test_crash_anywhere_is_recovered(void **state)
{
    (void)state;
    const char *name = "sink-crash";
    /* Every fourth place, other ones at each run; FARSHORE_TEST_CRASHES=FROM:STEP for others. */
    const char *chosen = getenv("FARSHORE_TEST_CRASHES");
    int at = (int)(getpid() % 4), step = 4, rc;

    if (chosen) {
        assert_int_equal(sscanf(chosen, "%d:%d", &at, &step), 2);
    }
    print_message("dies at call %d and every %d after it\n", at, step);
    for (;; at += step) {
        clean(name);
        rc = run_child(name, at, 3);
        if (rc != CRASHED) {
            break;
        }
        if (run_child(name, -1, 4) != 0) {
            fail_msg("not recovered after a crash before call %d", at);
        }
        verify(name, 3);
        verify(name, 4);
        verify_fast_diff(name, 3, 4);
        verify_snapshots(name, 2);
    }
    assert_int_equal(rc, 0);
    assert_true(at > 60);
    clean(name);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_are_exact_and_retained),
        cmocka_unit_test(test_closed_transfer_resumes),
        cmocka_unit_test(test_abandoned_point_leaves_nothing),
        cmocka_unit_test(test_offers_are_refused),
        cmocka_unit_test(test_one_transfer_of_a_group_at_a_time),
        cmocka_unit_test(test_foreign_images_are_not_touched),
        cmocka_unit_test(test_deleted_image_is_not_replaced),
        cmocka_unit_test(test_other_clients_stay_out),
        cmocka_unit_test(test_tampered_base_is_kept_until_adopted),
        cmocka_unit_test(test_untouched_image_without_its_lock_is_believed),
        cmocka_unit_test(test_tampered_transfer_is_kept_until_adopted),
        cmocka_unit_test(test_crash_keeps_proven_positions),
        cmocka_unit_test(test_crash_anywhere_is_recovered),
    };

    if (argc == 5 && strcmp(argv[1], "--child") == 0) {
        return child(argv[2], atoi(argv[3]), (unsigned)atoi(argv[4]));
    }
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, connect_outsider, disconnect_outsider);
}
