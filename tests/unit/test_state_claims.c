/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the images that PVCs name: snapshot/grouping.h with claims. */
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

#define CLAIMS_MAX 8
#define GOLD       "\"policy\":\"gold\""

struct fixture {
    struct fs_selector *selectors[2];
    struct fs_pool_map maps[2];
    struct fs_discovery_policy policies[2];
    struct fs_claim list[CLAIMS_MAX];
    struct fs_claims claims;
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
    snprintf(f->maps[1].source_pool, FS_POOL_SIZE, "ssd");
    f->policies[0] = (struct fs_discovery_policy){"gold", f->selectors[0], "app", f->maps, 2};
    f->policies[1] = (struct fs_discovery_policy){"silver", f->selectors[1], NULL, f->maps, 1};
    f->claims = (struct fs_claims){.list = f->list, .only = true};
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

/* A claim of namespace "prod" in pool rbd, whose image has its name. */
static struct fs_claim *claim(struct fixture *f, const char *name, const char *labels)
{
    struct fs_claim *new = &f->list[f->claims.count++];

    assert_true(f->claims.count <= CLAIMS_MAX);
    *new = (struct fs_claim){.ns = (char *)"prod",
                             .name = (char *)name,
                             .labels = (char *)labels,
                             .pool = (char *)"rbd",
                             .rados_ns = (char *)"",
                             .image = (char *)name};
    return new;
}

static void start(struct fixture *f)
{
    f->grouping = fs_grouping_new(f->policies, 2, &f->claims);
    assert_non_null(f->grouping);
}

static void image_in(struct fixture *f, const char *pool, const char *name,
                     const char *const *texts)
{
    struct fs_omap_pair pairs[8];
    struct fs_omap meta = {.pairs = pairs};
    struct fs_grouping_image image = {.pool_id = strcmp(pool, "rbd") == 0 ? 1 : 2,
                                      .pool = pool,
                                      .ns = "",
                                      .id = name,
                                      .name = name,
                                      .meta = &meta};

    for (; texts[0] != NULL; texts += 2) {
        pairs[meta.count++] = (struct fs_omap_pair){
            .key = (char *)texts[0], .value = (char *)texts[1], .length = strlen(texts[1])};
    }
    assert_int_equal(fs_grouping_add(f->grouping, &image), 0);
}

#define image(f, name, ...) image_in((f), "rbd", (name), (const char *const[]){__VA_ARGS__, NULL})
#define plain(f, name)      image_in((f), "rbd", (name), (const char *const[]){NULL})

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

static void test_labels_of_the_claim_count_and_the_namespace_names(void **state)
{
    struct fixture *f = *state;

    claim(f, "data", "{" GOLD ",\"app\":\"shop\"}");
    claim(f, "logs", "{" GOLD "}");
    claim(f, "off", NULL);
    start(f);
    image(f, "data", "csi.storage.k8s.io/pvc/name", "old");
    plain(f, "logs");
    image(f, "off", "policy", "gold");     /* its PVC is not selected */
    image(f, "unknown", "policy", "gold"); /* no PVC, no stamp */
    finish(f, 2, 0);
    expect_group(f, 0, "prod/logs", 0, 1);
    expect_group(f, 1, "prod/shop", 0, 1);
    const struct fs_volume *data = &f->found.groups[1].volumes[0];
    assert_string_equal(data->pvc, "data");
    assert_string_equal(data->pvc_namespace, "prod");
    assert_string_equal(data->labels,
                        "{\"app\":\"shop\",\"farshore.io/group\":\"prod/shop\"," GOLD "}");
}

static void test_images_source_beside_it_reads_metadata_of_the_others(void **state)
{
    struct fixture *f = *state;

    claim(f, "data", "{" GOLD "}");
    claim(f, "off", NULL);
    f->claims.only = false;
    start(f);
    plain(f, "data");
    image(f, "off", "policy", "gold");
    image(f, "unknown", "policy", "gold");
    finish(f, 3, 0);
    expect_group(f, 0, "prod/data", 0, 1);
    expect_group(f, 1, "rbd/off", 0, 1);
    expect_group(f, 2, "rbd/unknown", 0, 1);
}

static void test_disks_of_a_vm_are_one_group_across_pools(void **state)
{
    struct fixture *f = *state;
    struct fs_claim *root = claim(f, "root", "{" GOLD ",\"x\":\"1\"}");
    struct fs_claim *data = claim(f, "data", "{" GOLD ",\"x\":\"1\"}");

    data->pool = (char *)"ssd";
    root->vm = root->app = data->vm = data->app = (char *)"web";
    start(f);
    plain(f, "root");
    image_in(f, "ssd", "data", (const char *const[]){NULL});
    finish(f, 1, 0);
    expect_group(f, 0, "prod/web", 0, 2);
    assert_string_equal(f->found.groups[0].volumes[0].vm, "web");
    assert_non_null(strstr(f->found.groups[0].volumes[0].labels, "\"farshore.io/vm\":\"web\""));
}

static void test_group_label_of_one_disk_names_the_group(void **state)
{
    struct fixture *f = *state;
    struct fs_claim *root = claim(f, "root", "{" GOLD "}");
    struct fs_claim *data = claim(f, "data", "{" GOLD ",\"app\":\"shop\"}");

    root->vm = root->app = data->vm = data->app = (char *)"web";
    root->group_labels = data->group_labels = (char *)"{" GOLD ",\"app\":\"shop\"}";
    start(f);
    plain(f, "root");
    plain(f, "data");
    finish(f, 1, 0);
    expect_group(f, 0, "prod/shop", 0, 2);
}

static void test_disks_of_two_policies_are_a_problem(void **state)
{
    struct fixture *f = *state;
    struct fs_claim *root = claim(f, "root", "{\"silver\":\"\"}");
    struct fs_claim *data = claim(f, "data", "{" GOLD "}");

    root->vm = root->app = data->vm = data->app = (char *)"web";
    start(f);
    plain(f, "root");
    plain(f, "data");
    finish(f, 1, 0);
    assert_non_null(strstr(f->found.groups[0].problem, "two policies"));
}

static void test_pvc_named_like_a_vm_is_a_problem(void **state)
{
    struct fixture *f = *state;
    struct fs_claim *root = claim(f, "root", "{" GOLD "}");

    root->vm = root->app = (char *)"web";
    claim(f, "web", "{" GOLD "}");
    start(f);
    plain(f, "root");
    plain(f, "web");
    finish(f, 1, 0);
    assert_non_null(strstr(f->found.groups[0].problem, "has the name"));
}

static void test_claims_without_an_image_are_skipped_with_their_reason(void **state)
{
    struct fixture *f = *state;

    claim(f, "a", "{" GOLD "}")->problem = (char *)"it is not bound";
    claim(f, "b", "{" GOLD "}");
    claim(f, "c", "{" GOLD "}")->pool = (char *)"hdd";
    claim(f, "d", "{\"policy\":\"bronze\"}"); /* no policy of ours */
    claim(f, "e", NULL);
    f->list[0].pool = f->list[0].image = (char *)"";
    start(f);
    finish(f, 0, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct fs_skipped_volume *skipped = &f->found.skipped[i];
        assert_string_equal(skipped->pvc_namespace, "prod");
        assert_string_equal(skipped->policy, "gold");
        const char *expected = *skipped->pvc == 'a'   ? "it is not bound"
                               : *skipped->pvc == 'b' ? "rbd/b is not there"
                                                      : "pool hdd";
        assert_non_null(strstr(skipped->reason, expected));
    }
}

static void test_replica_of_a_claim_is_neither_group_nor_skipped(void **state)
{
    struct fixture *f = *state;

    claim(f, "data", "{" GOLD "}");
    start(f);
    image(f, "data", FS_STAMP_KEY, stamp_of("data", 7, FS_ROLE_SECONDARY));
    finish(f, 0, 0);
}

static void test_promoted_image_keeps_group_and_name_with_and_without_a_claim(void **state)
{
    struct fixture *f = *state;

    claim(f, "here", "{" GOLD ",\"app\":\"shop\"}");
    claim(f, "fresh", "{" GOLD ",\"app\":\"shop\"}");
    start(f);
    image(f, "here", FS_STAMP_KEY, stamp_of("here", 7, FS_ROLE_PRIMARY));
    image(f, "travelled", FS_STAMP_KEY, stamp_of("travelled", 7, FS_ROLE_PRIMARY), "policy", "gold",
          "farshore.io/group", "prod/shop", "farshore.io/vm", "web");
    image(f, "copy", FS_STAMP_KEY, stamp_of("travelled", 7, FS_ROLE_PRIMARY), "policy", "gold",
          "farshore.io/group", "prod/shop");
    plain(f, "fresh");
    finish(f, 1, 0);
    expect_group(f, 0, "prod/shop", 7, 3);
    assert_string_equal(f->found.groups[0].volumes[2].image.name, "travelled");
    assert_string_equal(f->found.groups[0].volumes[2].vm, "web");
}

int main(void)
{
#define each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        each(test_labels_of_the_claim_count_and_the_namespace_names),
        each(test_images_source_beside_it_reads_metadata_of_the_others),
        each(test_disks_of_a_vm_are_one_group_across_pools),
        each(test_group_label_of_one_disk_names_the_group),
        each(test_disks_of_two_policies_are_a_problem),
        each(test_pvc_named_like_a_vm_is_a_problem),
        each(test_claims_without_an_image_are_skipped_with_their_reason),
        each(test_replica_of_a_claim_is_neither_group_nor_skipped),
        each(test_promoted_image_keeps_group_and_name_with_and_without_a_claim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
