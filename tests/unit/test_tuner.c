/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "farshore/clock.h"
#include "farshore/tuner.h"

#define MEMORY (UINT64_C(64) << 20)
#define MIB    (UINT64_C(1) << 20)

/* A machine of some cores and a link, as far as a tuner can tell: what is slower sets the pace. */
struct world {
    struct fs_tuner tuner;
    int64_t now_ns;
    unsigned threads;
    double link_mib_s;
    double speed;    /* of the cores: 1 is one on which level 1 takes 4 ms for a MiB */
    double shared;   /* part of the cores' time that others take */
    double other_ms; /* what a MiB takes besides, at every level */
    unsigned sent[64];
    uint64_t sent_bytes;
    double time_s;
};

/* As measured on the text of programs: time and result of a MiB. */
static const struct {
    int level;
    double ms, ratio;
} levels[] = {{0, 0.2, 1},   {-7, 1.7, 1.17}, {-3, 2.4, 1.3},   {1, 4, 1.62},   {3, 10, 1.86},
              {6, 20, 1.98}, {9, 42, 2.007},  {12, 100, 2.013}, {19, 500, 2.18}};

static size_t level_index(int level)
{
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (levels[i].level == level) {
            return i;
        }
    }
    fail_msg("no such level: %d", level);
    return 0;
}

static void world_init(struct world *world, unsigned threads, double link_mib_s)
{
    *world = (struct world){
        .now_ns = 1000 * FS_SEC, .threads = threads, .link_mib_s = link_mib_s, .speed = 1};
    fs_tuner_init(&world->tuner, threads, MEMORY);
}

static void world_run(struct world *world, double seconds)
{
    int64_t end = world->now_ns + (int64_t)(seconds * (double)FS_SEC);
    for (size_t i = 0; i < 64; i++) {
        world->sent[i] = 0;
    }
    while (world->now_ns < end) {
        int level = fs_tuner_level(&world->tuner);
        size_t i = level_index(level);
        double compress_s = (levels[i].ms - levels[0].ms) / 1000 / world->speed;
        double cpu_s = (levels[i].ms + world->other_ms) / 1000 / world->speed;
        double run_s = cpu_s / (1 - world->shared);
        double encode_s = run_s / world->threads;
        double link_s = 1 / levels[i].ratio / world->link_mib_s;
        struct fs_tuner_sample sample = {
            .level = level,
            .run_ns = (int64_t)(run_s * (double)FS_SEC),
            .cpu_ns = (int64_t)(cpu_s * (double)FS_SEC),
            .compress_ns = (int64_t)(compress_s * (double)FS_SEC),
            .content_bytes = MIB,
            .payload_bytes = (uint64_t)((double)MIB / levels[i].ratio),
            .link = link_s > encode_s ? FS_LINK_FULL : FS_LINK_IDLE,
        };
        sample.sent_bytes = world->sent_bytes += sample.payload_bytes;
        world->now_ns += (int64_t)((link_s > encode_s ? link_s : encode_s) * (double)FS_SEC);
        fs_tuner_encoded(&world->tuner, &sample, world->now_ns);
        world->sent[i]++;
    }
}

static void test_link_that_waits_makes_the_level_fall_to_none(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 2, 10000);
    assert_int_equal(fs_tuner_level(&world.tuner), 1);
    world_run(&world, 2);
    assert_int_equal(fs_tuner_level(&world.tuner), FS_LEVEL_NONE);
    world_run(&world, 60);
    assert_int_equal(world.sent[level_index(1)], 0);
}

/* The cores are shared with Ceph's daemons: few of ours are busy, and still the CPU is scarce. */
static void test_cores_that_others_want_make_the_level_fall(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 16, 10000);
    world.shared = 0.6;
    world_run(&world, 2);
    assert_int_equal(fs_tuner_level(&world.tuner), FS_LEVEL_NONE);
}

/* Hashes and copies in a cold cache take as long without compression: they do not count. */
static void test_work_that_is_done_at_every_level_does_not_make_it_fall(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 2, 10000);
    world.speed = 8;
    world.other_ms = 40;
    world_run(&world, 60);
    assert_int_equal(fs_tuner_level(&world.tuner), 1);
}

static void test_thin_link_makes_the_level_rise_while_it_pays(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 2, 12);
    world_run(&world, 30);
    /* Beyond 6 nothing is gained. */
    world_run(&world, 120);
    unsigned all = 0, good = world.sent[level_index(6)];
    for (size_t i = 0; i < 64; i++) {
        all += world.sent[i];
    }
    assert_true(good * 10 >= all * 9);
    assert_int_equal(world.sent[level_index(1)], 0);
}

/* Two levels, of which one is too slow and one too weak: it stays at the better one for long. */
static void test_level_between_two_does_not_swing(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 2, 160); /* 3 is too slow for it by far */
    world_run(&world, 20);
    world_run(&world, 120);
    unsigned all = 0;
    for (size_t i = 0; i < 64; i++) {
        all += world.sent[i];
    }
    assert_true(world.sent[level_index(1)] * 10 >= all * 8);
    assert_true(world.sent[level_index(3)] * 10 <= all);
}

static void test_link_that_changes_is_followed(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 2, 10000);
    world_run(&world, 10);
    assert_int_equal(fs_tuner_level(&world.tuner), FS_LEVEL_NONE);
    world.link_mib_s = 12;
    world_run(&world, 60);
    assert_in_range(fs_tuner_level(&world.tuner), 3, 9);
    world.link_mib_s = 10000;
    world_run(&world, 10);
    assert_int_equal(fs_tuner_level(&world.tuner), FS_LEVEL_NONE);
}

static void test_slow_source_or_target_moves_nothing(void **state)
{
    static const enum fs_link_state links[] = {FS_LINK_IDLE, FS_LINK_BUSY, FS_LINK_HELD};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fs_tuner tuner;
        int64_t now = 1000 * FS_SEC;
        fs_tuner_init(&tuner, 2, MEMORY);
        for (unsigned k = 0; k < 1000; k++) {
            struct fs_tuner_sample sample = {.level = fs_tuner_level(&tuner),
                                             .run_ns = 4 * FS_MSEC,
                                             .cpu_ns = 4 * FS_MSEC,
                                             .compress_ns = 4 * FS_MSEC,
                                             .content_bytes = MIB,
                                             .payload_bytes = MIB / 2,
                                             .link = links[i]};
            now += 50 * FS_MSEC;
            fs_tuner_encoded(&tuner, &sample, now);
        }
        assert_int_equal(fs_tuner_level(&tuner), 1);
    }
}

/* Bytes that were never sent need no encryption: content that compresses easily is cheaper so. */
static void test_level_that_costs_less_than_it_saves_stays(void **state)
{
    static const struct {
        double ms;
        uint64_t payload;
        int level;
    } cases[] = {{0.9, MIB / 2, 1},
                 {1.2, MIB / 2, FS_LEVEL_NONE},
                 {1.2, MIB, FS_LEVEL_NONE},
                 {0.2, MIB, 1}}; /* recognised by samples: what comes next may be better */
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_tuner tuner;
        int64_t now = 1000 * FS_SEC;
        fs_tuner_init(&tuner, 2, MEMORY);
        for (unsigned k = 0; k < 3000; k++) {
            int64_t ns = (int64_t)(cases[i].ms * (double)FS_MSEC);
            struct fs_tuner_sample sample = {.level = fs_tuner_level(&tuner),
                                             .run_ns = 2 * ns,
                                             .cpu_ns = ns,
                                             .compress_ns = ns,
                                             .content_bytes = MIB,
                                             .payload_bytes = cases[i].payload,
                                             .link = FS_LINK_IDLE};
            now += FS_MSEC;
            fs_tuner_encoded(&tuner, &sample, now);
        }
        assert_int_equal(fs_tuner_level(&tuner), cases[i].level);
    }
}

static void test_memory_bounds_the_level(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 16, 1);
    fs_tuner_init(&world.tuner, 16, MEMORY / 2);
    world.speed = 100;
    world_run(&world, 600);
    assert_int_equal(fs_tuner_level(&world.tuner), 3); /* 16 times 2 MiB */
}

static void test_fixed_level_stays(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 2, 12);
    fs_tuner_fix(&world.tuner, 12);
    world_run(&world, 10);
    assert_int_equal(fs_tuner_level(&world.tuner), 12);
    world.link_mib_s = 10000;
    world_run(&world, 10);
    assert_int_equal(fs_tuner_level(&world.tuner), 12);
    fs_tuner_adapt(&world.tuner);
    assert_int_equal(fs_tuner_level(&world.tuner), 1);
}

/* Only where the link is what segments wait for, also at a fixed level; not while the cores are. */
static void test_link_is_scarce_where_it_is_waited_for(void **state)
{
    struct world world;
    (void)state;
    world_init(&world, 4, 10);
    assert_false(fs_tuner_link_is_scarce(&world.tuner));
    world_run(&world, 10);
    assert_true(fs_tuner_link_is_scarce(&world.tuner));
    world.link_mib_s = 100000;
    world_run(&world, 10);
    assert_false(fs_tuner_link_is_scarce(&world.tuner));
    /* Once more it takes twice as long to believe it, and for good where it lasts. */
    assert_int_equal(world.tuner.doubt, 2);
    world.link_mib_s = 10;
    world_run(&world, 60);
    assert_true(fs_tuner_link_is_scarce(&world.tuner));
    assert_int_equal(world.tuner.doubt, 1);
    world_init(&world, 4, 10);
    fs_tuner_fix(&world.tuner, 1);
    world_run(&world, 10);
    assert_true(fs_tuner_link_is_scarce(&world.tuner));
    assert_int_equal(fs_tuner_level(&world.tuner), 1);
}

/* Ten seconds of segments that become so much smaller. */
static void feed(struct fs_tuner *tuner, int64_t *now_ns, double content_mb_s, double share,
                 bool delta, enum fs_link_state link)
{
    uint64_t sent_bytes = 0;
    int64_t end = *now_ns + 10 * FS_SEC;
    while (*now_ns < end) {
        struct fs_tuner_sample sample = {
            .level = fs_tuner_level(tuner),
            .run_ns = 4 * FS_MSEC,
            .cpu_ns = 4 * FS_MSEC,
            .compress_ns = 4 * FS_MSEC,
            .content_bytes = 1000000,
            .payload_bytes = (uint64_t)(1000000 * share),
            .delta = delta,
            .link = link,
            .sent_bytes = sent_bytes += (uint64_t)(1000000 * share),
        };
        *now_ns += (int64_t)((double)FS_SEC / content_mb_s);
        fs_tuner_encoded(tuner, &sample, *now_ns);
    }
}

/* As measured: deltas bring over 42 MB/s of content, as fast as they are made, whatever the line.
 * Without them the line would have to carry 9 % of it. */
static void test_deltas_that_leave_the_link_idle_stay_where_plain_is_slower(void **state)
{
    static const struct {
        double line_mb_s;
        enum fs_link_state link;
        bool right;
    } cases[] = {
        {2.5, FS_LINK_IDLE, true},   {2.5, FS_LINK_HELD, true}, {12.5, FS_LINK_IDLE, false},
        {12.5, FS_LINK_HELD, false}, /* the target reads its base, and cannot keep up */
        {12.5, FS_LINK_BUSY, true},  /* nothing is known */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_tuner tuner;
        int64_t now = 1000 * FS_SEC;
        fs_tuner_init(&tuner, 4, MEMORY);
        fs_tuner_fix(&tuner, 1);
        feed(&tuner, &now, cases[i].line_mb_s / 0.09, 0.09, false, FS_LINK_FULL);
        assert_true(fs_tuner_link_is_scarce(&tuner));
        assert_int_equal(fs_tuner_deltas_pay(&tuner), cases[i].line_mb_s < 40 * 0.09);
        assert_true(fs_tuner_ahead(&tuner) >= 32 * MIB);
        assert_true(fs_tuner_ahead(&tuner) < 150000000);
        assert_true(fs_tuner_queue(&tuner) < 13000000);
        feed(&tuner, &now, 42, 0.04, true, cases[i].link);
        assert_int_equal(fs_tuner_link_is_scarce(&tuner), cases[i].right);
        /* Without deltas a link that has room is a wide one. */
        feed(&tuner, &now, 42, 0.09, false, FS_LINK_IDLE);
        assert_false(fs_tuner_link_is_scarce(&tuner));
        assert_false(fs_tuner_deltas_pay(&tuner));
        assert_int_equal(fs_tuner_ahead(&tuner), UINT64_MAX);
        assert_int_equal(fs_tuner_queue(&tuner), UINT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_that_waits_makes_the_level_fall_to_none),
        cmocka_unit_test(test_cores_that_others_want_make_the_level_fall),
        cmocka_unit_test(test_work_that_is_done_at_every_level_does_not_make_it_fall),
        cmocka_unit_test(test_thin_link_makes_the_level_rise_while_it_pays),
        cmocka_unit_test(test_level_between_two_does_not_swing),
        cmocka_unit_test(test_link_that_changes_is_followed),
        cmocka_unit_test(test_slow_source_or_target_moves_nothing),
        cmocka_unit_test(test_level_that_costs_less_than_it_saves_stays),
        cmocka_unit_test(test_memory_bounds_the_level),
        cmocka_unit_test(test_fixed_level_stays),
        cmocka_unit_test(test_link_is_scarce_where_it_is_waited_for),
        cmocka_unit_test(test_deltas_that_leave_the_link_idle_stay_where_plain_is_slower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
