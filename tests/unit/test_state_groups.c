/* SPDX-License-Identifier: Apache-2.0 */
/* Which images are protected and in which group: snapshot/grouping.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/grouping.h"
#include "snapshot/stamp.h"

#define PAIRS_MAX 8

struct fixture {
    struct fs_selector *selectors[2];
    struct fs_pool_map maps[3];
    struct fs_discovery_policy policies[2];
    struct fs_grouping *grouping;
    struct fs_discovery found;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(fs_selector_parse("policy=gold", &f->selectors[0], NULL), 0);
    assert_int_equal(fs_selector_parse("silver", &f->selectors[1], NULL), 0);
    snprintf(f->maps[0].source_pool, FS_POOL_SIZE, "rbd");
    snprintf(f->maps[1].source_pool, FS_POOL_SIZE, "rbd");
    snprintf(f->maps[1].source_ns, FS_POOL_SIZE, "ns");
    snprintf(f->maps[2].source_pool, FS_POOL_SIZE, "ssd");
    snprintf(f->maps[2].target_pool, FS_POOL_SIZE, "far");
    f->policies[0] = (struct fs_discovery_policy){"gold", f->selectors[0], "app", f->maps, 3};
    f->policies[1] = (struct fs_discovery_policy){"silver", f->selectors[1], NULL, f->maps, 1};
    f->grouping = fs_grouping_new(f->policies, 2, NULL);
    assert_non_null(f->grouping);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fs_grouping_free(f->grouping);
    fs_discovery_fini(&f->found);
    fs_selector_free(f->selectors[0]);
    fs_selector_free(f->selectors[1]);
    free(f);
    return 0;
}

/* Key, value, key, value, ... NULL. */
static void add_in(struct fixture *f, const char *pool, const char *ns, const char *id,
                   const char *name, int rc, const char *const *texts)
{
    struct fs_omap_pair pairs[PAIRS_MAX];
    struct fs_omap meta = {.pairs = pairs};
    struct fs_grouping_image image = {.pool_id = strcmp(pool, "rbd") == 0 ? 1 : 2,
                                      .pool = pool,
                                      .ns = ns,
                                      .id = id,
                                      .name = name,
                                      .meta = &meta,
                                      .meta_rc = rc};

    for (; texts[0] != NULL; texts += 2) {
        assert_true(meta.count < PAIRS_MAX);
        pairs[meta.count++] = (struct fs_omap_pair){
            .key = (char *)texts[0], .value = (char *)texts[1], .length = strlen(texts[1])};
    }
    assert_int_equal(fs_grouping_add(f->grouping, &image), 0);
}

#define add(f, id, name, ...)                                                                      \
    add_in((f), "rbd", "", (id), (name), 0, (const char *const[]){__VA_ARGS__, NULL})
#define GOLD "policy", "gold"

/* A stamp's text; lives until the next call. */
static const char *stamp_of(const char *id, uint8_t group, enum fs_role role)
{
    static char text[1024];
    struct fs_stamp stamp = {.group = {{group}}, .volume = {{group, 1}}, .role = role};
    char *encoded = fs_stamp_encode(id, &stamp);

    assert_non_null(encoded);
    snprintf(text, sizeof(text), "%s", encoded);
    free(encoded);
    return text;
}

#define STAMP(id, group, role) "farshore.stamp", stamp_of((id), (group), FS_ROLE_##role)

static void finish(struct fixture *f, size_t n_groups, size_t n_skipped)
{
    assert_int_equal(fs_grouping_finish(f->grouping, &f->found), 0);
    assert_int_equal(f->found.n_groups, n_groups);
    assert_int_equal(f->found.n_skipped, n_skipped);
}

static void expect_group(const struct fixture *f, size_t at, const char *name, uint8_t uuid,
                         size_t n_volumes)
{
    const struct fs_found_group *group = &f->found.groups[at];

    assert_string_equal(group->name, name);
    assert_int_equal(group->group.b[0], uuid);
    assert_int_equal(group->n_volumes, n_volumes);
    assert_string_equal(group->problem, "");
}

static void test_groups_by_label_and_by_image_sorted(void **state)
{
    struct fixture *f = *state;

    add(f, "3", "z", GOLD, "app", "shop", "csi.storage.k8s.io/pvc/name", "data", "conf_rbd_cache",
        "1", ".rbd_x", "y");
    add(f, "1", "alone", GOLD);
    add(f, "2", "a", GOLD, "app", "shop", "csi.storage.k8s.io/pvc/namespace", "prod");
    add(f, "4", "other", "policy", "bronze");
    add(f, "5", "empty", GOLD, "app", "");
    add_in(f, "rbd", "ns", "2", "in", 0, (const char *const[]){GOLD, "app", "shop", NULL});
    add_in(f, "ssd", "", "2", "fast", 0, (const char *const[]){GOLD, "app", "shop", NULL});
    add_in(f, "hdd", "", "2", "slow", 0, (const char *const[]){GOLD, NULL});
    finish(f, 5, 0);
    expect_group(f, 0, "rbd/alone", 0, 1);
    expect_group(f, 1, "rbd/empty", 0, 1);
    expect_group(f, 2, "rbd/ns/shop", 0, 1);
    expect_group(f, 3, "rbd/shop", 0, 2);
    expect_group(f, 4, "ssd/shop", 0, 1);
    const struct fs_volume *volumes = f->found.groups[3].volumes;
    assert_string_equal(volumes[0].image.name, "a");
    assert_string_equal(volumes[0].pvc_namespace, "prod");
    assert_string_equal(volumes[1].pvc, "data");
    assert_string_equal(volumes[1].labels, "{\"app\":\"shop\",\"policy\":\"gold\"}");
    assert_string_equal(f->found.groups[3].policy, "gold");
}

static void test_replicas_are_left_out_and_copies_are_not_stamped(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "replica", GOLD, STAMP("1", 7, SECONDARY));
    add(f, "2", "demoted", GOLD, STAMP("2", 7, DEMOTED));
    add(f, "3", "copy", GOLD, STAMP("1", 7, SECONDARY));
    add(f, "4", "ours", GOLD, STAMP("4", 8, PRIMARY));
    add(f, "5", "garbage", GOLD, "farshore.stamp", "x");
    add(f, "6", "newer", GOLD, "farshore.stamp", "{\"image_id\":\"6\",\"format\":9}");
    finish(f, 2, 2);
    expect_group(f, 0, "rbd/copy", 0, 1);
    expect_group(f, 1, "rbd/ours", 8, 1);
    assert_int_equal(f->found.groups[1].volumes[0].uuid.b[1], 1);
    assert_non_null(strstr(f->found.skipped[0].reason, "farshore.stamp"));
    assert_non_null(strstr(f->found.skipped[1].reason, "newer"));
}

static void test_stamped_image_stays_in_its_group(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "a", GOLD, "app", "shop", STAMP("1", 7, PRIMARY));
    add(f, "2", "b", GOLD, "app", "shop", STAMP("2", 7, PRIMARY));
    add(f, "3", "c", GOLD, "app", "bank", STAMP("3", 7, PRIMARY));
    add(f, "4", "new", GOLD, "app", "shop");
    add(f, "5", "else", GOLD, "app", "bank");
    finish(f, 2, 1);
    expect_group(f, 0, "rbd/bank", 0, 1);
    expect_group(f, 1, "rbd/shop", 7, 4);
    assert_string_equal(f->found.skipped[0].image.name, "c");
    assert_non_null(strstr(f->found.skipped[0].reason, "rbd/bank"));
}

static void test_relabelled_group_is_renamed(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "a", GOLD, "app", "new", STAMP("1", 7, PRIMARY));
    add(f, "2", "b", GOLD, "app", "new", STAMP("2", 7, PRIMARY));
    finish(f, 1, 0);
    expect_group(f, 0, "rbd/new", 7, 2);
}

static void test_disk_that_joins_is_beside_the_group_of_its_name(void **state)
{
    struct fixture *f = *state;
    struct fs_stamp stamp = {
        .group = {{9}}, .volume = {{9, 1}}, .role = FS_ROLE_PRIMARY, .joins = {{7}}};
    char *text = fs_stamp_encode("2", &stamp);

    add(f, "1", "a", GOLD, "app", "shop", STAMP("1", 7, PRIMARY));
    add(f, "2", "b", GOLD, "app", "shop", "farshore.stamp", text);
    free(text);
    add(f, "3", "c", GOLD, "app", "shop");
    finish(f, 2, 0);
    expect_group(f, 0, "rbd/shop", 7, 2);
    expect_group(f, 1, "rbd/shop+b", 9, 1);
}

static void test_two_stamped_groups_of_one_name_are_a_problem(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "a", GOLD, "app", "shop", STAMP("1", 7, PRIMARY));
    add(f, "2", "b", GOLD, "app", "shop", STAMP("2", 9, PRIMARY));
    add(f, "3", "c", GOLD, "app", "shop");
    finish(f, 2, 1);
    assert_non_null(strstr(f->found.groups[0].problem, "another group"));
    assert_non_null(strstr(f->found.groups[1].problem, "another group"));
    assert_string_equal(f->found.skipped[0].image.name, "c");
}

static void test_two_policies_are_a_problem(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "both", GOLD, "silver", "");
    add(f, "2", "x", "silver", "", STAMP("2", 7, PRIMARY));
    add(f, "3", "y", GOLD, "app", "x", STAMP("3", 7, PRIMARY));
    finish(f, 2, 0);
    assert_string_equal(f->found.groups[0].policy, "gold");
    assert_non_null(strstr(f->found.groups[0].problem, "gold and silver"));
    assert_string_equal(f->found.groups[1].name, "rbd/x");
    assert_non_null(strstr(f->found.groups[1].problem, "two policies"));
}

static void test_image_named_like_a_label_value_is_a_problem(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "shop", GOLD);
    add(f, "2", "b", GOLD, "app", "shop");
    finish(f, 1, 0);
    assert_non_null(strstr(f->found.groups[0].problem, "image shop"));
}

static void test_same_name_from_pool_and_namespace_is_a_problem(void **state)
{
    struct fixture *f = *state;

    add(f, "1", "b", GOLD, "app", "ns/x");
    add_in(f, "rbd", "ns", "2", "x", 0, (const char *const[]){GOLD, NULL});
    finish(f, 2, 0);
    assert_non_null(strstr(f->found.groups[0].problem, "rbd/ns/x"));
    assert_non_null(strstr(f->found.groups[1].problem, "rbd/ns/x"));
}

static void test_too_many_volumes_are_a_problem_and_are_bounded(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < FS_VOLUMES_MAX + 3; i++) {
        char id[16];

        snprintf(id, sizeof(id), "%d", i);
        add(f, id, id, GOLD, "app", "huge");
    }
    finish(f, 1, 0);
    assert_int_equal(f->found.groups[0].n_volumes, FS_VOLUMES_MAX);
    assert_non_null(strstr(f->found.groups[0].problem, "more than 64"));
}

static void test_what_cannot_be_protected_is_skipped_with_its_reason(void **state)
{
    static char long_name[400];
    static char long_labels[20000];
    struct fixture *f = *state;

    memset(long_name, 'n', sizeof(long_name) - 1);
    memset(long_labels, 'l', sizeof(long_labels) - 1);
    add(f, "1", long_name, GOLD);
    add(f, "2", "caf\xe9", GOLD);
    add(f, "3", "value", GOLD, "app", long_name);
    add(f, "4", "latin", GOLD, "app", "caf\xe9");
    add_in(f, "rbd", "", "5", "broken", -EIO, (const char *const[]){NULL});
    add_in(f, "rbd", "", "6", "huge", -EFBIG, (const char *const[]){NULL});
    add_in(f, "hdd", "", "7", "nobody's", -EIO, (const char *const[]){NULL});
    add(f, "8", "wordy", GOLD, "text", long_labels);
    add(f, "9", "odd", GOLD, "text", "\xff");
    assert_int_equal(fs_grouping_add_missing(f->grouping, "rbd", "ns"), 0);
    finish(f, 2, 7);
    assert_string_equal(f->found.skipped[0].image.ns, "ns");
    assert_non_null(strstr(f->found.skipped[1].reason, "longer"));
    assert_non_null(strstr(f->found.skipped[2].reason, "UTF-8"));
    assert_string_equal(f->found.skipped[2].image.name, "caf?");
    assert_non_null(strstr(f->found.skipped[3].reason, "app"));
    assert_non_null(strstr(f->found.skipped[5].reason, "cannot be read"));
    assert_string_equal(f->found.groups[0].name, "rbd/odd");
    assert_non_null(strstr(f->found.groups[0].problem, "UTF-8"));
    assert_string_equal(f->found.groups[1].name, "rbd/wordy");
    assert_non_null(strstr(f->found.groups[1].problem, "16384"));
    assert_null(f->found.groups[1].volumes[0].labels);
}

static void test_name_that_no_peer_would_take_is_skipped(void **state)
{
    static const char *const names[] = {"bell\a", "new\nline", "del\x7f", "c1\xc2\x85"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        add(f, "1", names[i], GOLD);
    }
    add(f, "2", "fine", GOLD, "app", "new\nline");
    finish(f, 0, 5);
    for (size_t i = 0; i < f->found.n_skipped; i++) {
        assert_null(strpbrk(f->found.skipped[i].image.name, "\a\n\x7f\xc2"));
        assert_null(strpbrk(f->found.skipped[i].reason, "\a\n\x7f\xc2"));
    }
}

static void test_format_1_image_is_skipped_where_a_policy_would_select_it(void **state)
{
    struct fixture *f = *state;
    struct fs_selector *any;

    add_in(f, "rbd", "", "", "ancient", 0, (const char *const[]){NULL});
    assert_int_equal(fs_selector_parse("!never", &any, NULL), 0);
    f->policies[0].selector = any;
    add_in(f, "rbd", "", "", "old", 0, (const char *const[]){NULL});
    fs_selector_free(any);
    finish(f, 0, 1);
    assert_string_equal(f->found.skipped[0].image.name, "old");
    assert_non_null(strstr(f->found.skipped[0].reason, "format 1"));
}

static void test_nothing_is_nothing(void **state)
{
    finish(*state, 0, 0);
}

#define FAR(f, id, name, ...)                                                                      \
    add_in((f), "far", "", (id), (name), 0, (const char *const[]){__VA_ARGS__, NULL})

/* A pool on the right of the map holds replicas, and after a failover what was promoted. */
static void test_right_pool_counts_only_what_was_promoted(void **state)
{
    struct fixture *f = *state;

    FAR(f, "r1", "replica", GOLD, "app", "a", STAMP("r1", 7, SECONDARY));
    FAR(f, "p1", "promoted", GOLD, "app", "b", STAMP("p1", 8, PRIMARY));
    FAR(f, "u1", "joining", GOLD, "app", "b");
    FAR(f, "u2", "stranger", GOLD, "app", "c");
    FAR(f, "u3", "unlabelled", "app", "b");
    finish(f, 1, 0);
    expect_group(f, 0, "far/b", 8, 2);
}

static void test_images_of_drills_are_left_out(void **state)
{
    struct fixture *f = *state;

    add(f, "d1", "farshore-drill.12345678.root", GOLD, "app", "a");
    add(f, "i1", "root", GOLD, "app", "a");
    finish(f, 1, 0);
    expect_group(f, 0, "rbd/a", 0, 1);
}

int main(void)
{
#define each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        each(test_groups_by_label_and_by_image_sorted),
        each(test_replicas_are_left_out_and_copies_are_not_stamped),
        each(test_stamped_image_stays_in_its_group),
        each(test_relabelled_group_is_renamed),
        each(test_disk_that_joins_is_beside_the_group_of_its_name),
        each(test_two_stamped_groups_of_one_name_are_a_problem),
        each(test_name_that_no_peer_would_take_is_skipped),
        each(test_two_policies_are_a_problem),
        each(test_image_named_like_a_label_value_is_a_problem),
        each(test_same_name_from_pool_and_namespace_is_a_problem),
        each(test_too_many_volumes_are_a_problem_and_are_bounded),
        each(test_what_cannot_be_protected_is_skipped_with_its_reason),
        each(test_format_1_image_is_skipped_where_a_policy_would_select_it),
        each(test_nothing_is_nothing),
        each(test_right_pool_counts_only_what_was_promoted),
        each(test_images_of_drills_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
