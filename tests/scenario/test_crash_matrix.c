/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash matrix in memory: the daemon logic of both sites lives through the whole life of a
 * group, and at each named step (farshore/fault.h) the site that passes it loses everything that
 * is not durable and starts again. Whatever the step:
 *
 *   - a point that is visible at the target has the source's bytes (I1), also right afterwards
 *   - once there was a recovery point there always is one (I4)
 *   - what a durable position covers is not sent again (I6)
 *   - in the end both sites hold the same, and no snapshot that their records do not name
 *
 * tests/cluster/test_crash_matrix.py does the same with real clusters and SIGKILL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "farshore/fault.h"
#include "tests/scenario/pair.h"

#define INTERVAL   (10 * FS_SEC)
#define STEP       (100 * FS_MSEC)
#define LARGE_SIZE (40u << 20) /* positions are made durable every 32 MiB */
#define SEEN_MAX   64

/* What a store in memory does not have: a lease, a helper process, locks, moments apart from the
 * record. The cluster matrix has them. */
static const char *const not_here[] = {
    "lease.claim",     "lease.fenced",  "lease.taken",   "take.stamped",    "helper.start",
    "helper.mark",     "helper.group",  "helper.member", "helper.left",     "helper.single",
    "helper.snapshot", "helper.found",  "open.recorded", "open.created",    "open.lifted",
    "open.held",       "open.marked",   "park.unmarked", "park.parked",     "commit.noted",
    "settle.noted",    "helper.remove", "left.kept",     "objects.indexed",
};

/* Another test's: see test_failover.c. */
static const char *const operations[] = {"promote.", "supersede.", "drill.",  "follow.",
                                         "demote.",  "grant.",     "undo.",   "fence.",
                                         "unfence.", "quiesce.",   "forget.", "join."};

struct crash { /* one case of the matrix */
    char name[64];
    const char *steps[2]; /* a crash at the first, then one at the second; or NULL */
    unsigned nth;         /* passage of the last one */
    bool large;
};

struct life {
    const struct crash *crash;
    struct pair *pair;
    const char *group;
    size_t next; /* of the steps */
    unsigned passed, written;
    struct pair_site *dead;
    size_t n_seen;
    struct fs_uuid seen[SEEN_MAX];
    /* Of the transfer that the target's crash cut: what is left of it at most. */
    struct fs_uuid resumed;
    uint64_t left_bytes;
};

/* --- dying ----------------------------------------------------------------------------------- */

static const struct fs_fault_step *find_step(const char *name)
{
    for (const struct fs_fault_step *step = fs_fault_steps; step->name; step++) {
        if (strcmp(step->name, name) == 0) {
            return step;
        }
    }
    return NULL;
}

static struct pair_site *site_of(struct life *life, const char *step)
{
    struct pair *pair = life->pair;

    if (mem_store_passing) {
        return mem_store_passing == pair->east.store ? &pair->east : &pair->west;
    }
    return strcmp(find_step(step)->who, "TARGET") == 0 ? &pair->west : &pair->east;
}

static void pass(void *arg, const char *step)
{
    struct life *life = arg;
    const char *due = life->next < 2 ? life->crash->steps[life->next] : NULL;
    bool last = life->next == 1 || !life->crash->steps[1];

    if (!due || life->dead || strcmp(due, step) != 0 ||
        ++life->passed != (last ? life->crash->nth : 1)) {
        return;
    }
    life->next++;
    life->passed = 0;
    life->dead = site_of(life, step);
    mem_store_crash(life->dead->store);
    if (life->pair->link) { /* nothing that is queued arrives */
        fake_link_cut_after(life->pair->link, 0, 0);
    }
}

/* What the target's durable positions leave of the transfer under way. */
static void note_positions(struct life *life)
{
    for (size_t i = 0; i < mem_store_count_records(life->pair->west.store); i++) {
        struct fs_record *record = mem_store_load_at(life->pair->west.store, i);
        const struct fs_record_incoming *incoming = &record->incoming;

        if (incoming->present && strcmp(record->name, life->group) == 0) {
            life->resumed = incoming->point.id;
            life->left_bytes = 0;
            for (size_t v = 0; v < incoming->n_positions; v++) {
                struct fs_record_volume *volume =
                    fs_record_find_volume(record, &incoming->positions[v].volume);
                struct mem_image *image = mem_store_find(
                    life->pair->west.store, volume->volume.image.pool, volume->volume.image.name);

                life->left_bytes += mem_image_size(image) - incoming->positions[v].position.offset;
            }
        }
        fs_record_free(record);
    }
}

static void start_again(struct life *life)
{
    struct pair_site *site = life->dead;

    life->resumed = (struct fs_uuid){0};
    if (site == &life->pair->west) {
        note_positions(life);
    }
    pair_restart(site);
    life->dead = NULL;
    pair_dial(life->pair);
    pair_discover(life->pair, NULL);
}

/* --- what must be so ------------------------------------------------------------------------- */

static void check_new_point(struct life *life, const struct fs_record *record,
                            const struct fs_uuid *point)
{
    const struct fs_group *group = pair_find(&life->pair->west, life->group);

    for (size_t i = 0; i < life->n_seen; i++) {
        if (fs_uuid_equal(&life->seen[i], point)) {
            return;
        }
    }
    assert_true(life->n_seen < SEEN_MAX);
    life->seen[life->n_seen++] = *point;
    assert_true(mem_store_same_point(life->pair->east.store, life->pair->west.store, &record->group,
                                     point));
    if (group && fs_uuid_equal(point, &life->resumed) && !life->dead) {
        assert_true(group->stats.total.written_bytes <= life->left_bytes);
    }
}

static void check_visible(struct life *life)
{
    for (size_t i = 0; i < mem_store_count_records(life->pair->west.store); i++) {
        struct fs_record *record = mem_store_load_at(life->pair->west.store, i);
        size_t committed = 0;

        for (size_t p = 0; p < record->n_points; p++) {
            if (record->points[p].state == FS_POINT_COMMITTED) {
                committed++;
                check_new_point(life, record, &record->points[p].point.id);
            }
        }
        assert_true(committed > 0 || life->n_seen == 0);
        fs_record_free(record);
    }
}

/* Objects that no older point of the record carries. */
static bool carries_new(const struct fs_record *record, size_t at)
{
    const struct fs_captured *objects = &record->points[at].objects;

    for (size_t i = 0; i < at; i++) {
        if (fs_captured_same(&record->points[i].objects, objects)) {
            return false;
        }
    }
    return objects->size > 0;
}

/* Records without anything half-done, and no snapshot beside them. */
static void check_tidy(struct pair_site *site, size_t most)
{
    size_t named = 0, there = 0, carried = 0;

    for (size_t i = 0; i < mem_store_count_records(site->store); i++) {
        struct fs_record *record = mem_store_load_at(site->store, i);

        assert_false(record->incoming.present);
        assert_true(record->n_points <= most);
        for (size_t p = 0; p < record->n_points; p++) {
            assert_int_equal(record->points[p].state, FS_POINT_COMMITTED);
            named += record->points[p].n_contents;
            carried += carries_new(record, p);
        }
        for (size_t v = 0; v < record->n_volumes; v++) {
            const struct fs_image_ref *ref = &record->volumes[v].volume.image;

            struct mem_image *image = mem_store_find(site->store, ref->pool, ref->name);

            there += image ? mem_image_snapshots(image) : 0; /* none: it is in the trash */
        }
        fs_record_free(record);
    }
    assert_int_equal(there, named);
    assert_int_equal(mem_store_count_captured(site->store), carried);
}

/* The newest point carries what the API says, at both sites. */
static void check_objects(struct life *life, const struct fs_record_point *newest)
{
    const char *expected = life->pair->east.api.objects;
    struct pair_site *const sites[] = {&life->pair->east, &life->pair->west};
    const struct fs_uuid *group = &pair_find(sites[0], life->group)->record->group;

    for (size_t i = 0; expected && i < 2; i++) {
        char *text = mem_store_captured(sites[i]->store, group, &newest->point.id);

        assert_non_null(text);
        assert_string_equal(text, expected);
        free(text);
    }
}

/* --- the life of a group --------------------------------------------------------------------- */

static void go_on(struct life *life, int64_t ns)
{
    for (; ns > 0; ns -= STEP) {
        pair_advance(life->pair, STEP);
        check_visible(life);
        if (life->dead) {
            start_again(life);
        }
    }
}

static void write_and_go_on(struct life *life)
{
    static const char *const objects[] = {
        "{\"format\":1,\"missing\":[],\"objects\":[]}",
        "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"Secret\"}]}",
        "{\"format\":1,\"missing\":[],\"objects\":[{\"kind\":\"Service\"}]}",
    };

    life->pair->east.api.objects = objects[life->written++ % 3];
    pair_write(life->pair, life->group);
    go_on(life, INTERVAL);
}

/* A crash may take the command along with its answer: then it is given again. */
static void set_paused(struct life *life, bool paused)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fs_group *group = pair_find(&life->pair->east, life->group);

        group->pause_wanted = paused;
        group->pause_pending = true;
        go_on(life, FS_SEC);
    }
}

/* Somebody removes the snapshots of the newest point at the source. */
static void remove_base(struct life *life)
{
    const struct fs_record *record = pair_find(&life->pair->east, life->group)->record;
    const struct fs_record_point *base = fs_record_newest_committed(record);

    for (size_t i = 0; base && i < record->n_volumes; i++) {
        const struct fs_image_ref *ref = &record->volumes[i].volume.image;

        mem_image_drop_point(mem_store_find(life->pair->east.store, ref->pool, ref->name),
                             &base->point.id);
    }
}

static void live_small(struct life *life)
{
    struct pair *pair = life->pair;

    life->group = "a";
    (void)pair_add_group(pair, "a", 2);
    go_on(life, INTERVAL + FS_SEC);
    for (unsigned i = 0; i < 3; i++) {
        write_and_go_on(life);
    }
    mem_image_resize(mem_store_find(pair->east.store, "rbd", "a-0"), 2 * PAIR_IMAGE_SIZE);
    write_and_go_on(life);
    go_on(life, 2 * INTERVAL); /* unchanged */
    set_paused(life, true);
    set_paused(life, false);
    mem_image_scribble(mem_store_create(pair->east.store, "rbd", "a-2", PAIR_IMAGE_SIZE), 0, 100000,
                       true);
    pair_discover(pair, NULL);
    write_and_go_on(life);
    write_and_go_on(life);
    remove_base(life);
    write_and_go_on(life);
}

/* One volume goes to the trash, then nothing is selected any more. */
static void leave(struct life *life)
{
    struct mem_store *store = life->pair->east.store;

    mem_image_trash(mem_store_find(store, "rbd", "a-2"));
    pair_discover(life->pair, NULL);
    go_on(life, 3 * FS_SEC);
    write_and_go_on(life);
    mem_image_trash(mem_store_find(store, "rbd", "a-1"));
    pair_discover(life->pair, NULL);
    go_on(life, 3 * FS_SEC);
}

static void live_large(struct life *life)
{
    struct mem_store *store = life->pair->east.store;

    life->group = "b";
    mem_image_scribble(mem_store_create(store, "rbd", "b-0", LARGE_SIZE), 0, LARGE_SIZE, true);
    pair_discover(life->pair, NULL);
    go_on(life, 2 * INTERVAL);
}

static bool is_not_here(const char *step)
{
    for (size_t i = 0; i < sizeof(not_here) / sizeof(not_here[0]); i++) {
        if (strcmp(not_here[i], step) == 0) {
            return true;
        }
    }
    return false;
}

static void test_crash_heals(void **state)
{
    const struct crash *crash = *state;
    struct life life = {.crash = crash, .pair = pair_new(INTERVAL)};
    size_t n_steps = crash->steps[1] ? 2 : 1;

    pair_connect(life.pair);
    fs_fault_set_hook(pass, &life);
    if (crash->large) {
        live_large(&life);
    } else {
        live_small(&life);
    }
    if (strncmp(crash->steps[0], "release.", 8) == 0) {
        leave(&life);
    }
    go_on(&life, 3 * INTERVAL);
    fs_fault_set_hook(NULL, NULL);
    /* A step is passed here, or it is known not to be: a list that is out of date is a failure. */
    if (crash->nth == 1) {
        assert_int_equal(life.next == n_steps, !is_not_here(crash->steps[n_steps - 1]));
    }
    const struct fs_record_point *newest = pair_check_synced(life.pair, life.group);
    check_objects(&life, newest);
    assert_int_equal(pair_state(&life.pair->east, life.group), FS_STATE_OK);
    assert_int_equal(pair_state(&life.pair->west, life.group), FS_STATE_OK);
    check_tidy(&life.pair->east, 1);
    check_tidy(&life.pair->west, 3);
    pair_free(life.pair);
}

/* --- the cases ------------------------------------------------------------------------------- */

/* What must have happened before a step that mends something is passed. */
static const char *crash_before(const char *step)
{
    if (strcmp(step, "take.pruned") == 0) {
        return "take.seq";
    }
    return strncmp(step, "recover.", 8) == 0 ? "commit.committing" : NULL;
}

static bool is_operation(const char *step)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strncmp(step, operations[i], strlen(operations[i])) == 0) {
            return true;
        }
    }
    return false;
}

#define NTH_MAX   3
#define CASES_MAX (NTH_MAX * 256)

int main(void)
{
    static struct crash crashes[CASES_MAX];
    static struct CMUnitTest tests[CASES_MAX];
    size_t n = 0;

    for (const struct fs_fault_step *step = fs_fault_steps; step->name; step++) {
        if (is_operation(step->name)) {
            continue;
        }
        bool large = strncmp(step->name, "sync.", 5) == 0;
        const char *before = crash_before(step->name);
        unsigned most = large || before || is_not_here(step->name) ? 1 : NTH_MAX;

        for (unsigned nth = 1; nth <= most && n < CASES_MAX; nth++, n++) {
            crashes[n] = (struct crash){.nth = nth, .large = large};
            crashes[n].steps[0] = before ? before : step->name;
            crashes[n].steps[1] = before ? step->name : NULL;
            (void)snprintf(crashes[n].name, sizeof(crashes[n].name), "test_crash_at_%s_%u_heals",
                           step->name, nth);
            tests[n] = (struct CMUnitTest){.name = crashes[n].name,
                                           .test_func = test_crash_heals,
                                           .initial_state = &crashes[n]};
        }
    }
    return _cmocka_run_group_tests("crash_matrix", tests, n, NULL, NULL);
}
