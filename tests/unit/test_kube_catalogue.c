/* SPDX-License-Identifier: Apache-2.0 */
/* From the API's objects to claims: daemon/kube/catalogue.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/kube/catalogue.h"
#include "daemon/kube/objects.h"

static struct fs_claims claims;
static json_t *pvcs, *volumes, *vms;

static int setup(void **state)
{
    (void)state;
    pvcs = json_object();
    volumes = json_object();
    vms = json_object();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fs_claims_fini(&claims);
    json_decref(pvcs);
    json_decref(volumes);
    json_decref(vms);
    return 0;
}

static void pvc(const char *key, const char *labels)
{
    json_t *object = json_pack("{s:{s:s, s:o}, s:{s:s}, s:{s:s}}", "metadata", "uid", key, "labels",
                               json_loads(labels, 0, NULL), "spec", "volumeName", key, "status",
                               "phase", "Bound");

    json_object_set_new(pvcs, key, fs_kube_reduce_claim(object));
    json_decref(object);
}

/* The PV of that name. */
static void volume_of(const char *name, const char *key, const char *image, const char *reclaim)
{
    char ns[100];
    const char *slash = strchr(key, '/');
    json_t *object;

    snprintf(ns, sizeof(ns), "%.*s", (int)(slash - key), key);
    object = json_pack("{s:{s:s, s:{s:s, s:s, s:s}, s:{s:s, s:{s:s, s:s, s:s}}}, s:{s:s}}", "spec",
                       "persistentVolumeReclaimPolicy", reclaim, "claimRef", "namespace", ns,
                       "name", slash + 1, "uid", key, "csi", "driver", "rbd.csi.ceph.com",
                       "volumeAttributes", "pool", "rbd", "imageName", image, "clusterID", "here",
                       "status", "phase", "Bound");
    assert_non_null(object);
    json_object_set_new(volumes, name, fs_kube_reduce_volume(object));
    json_decref(object);
}

static void volume(const char *key, const char *image)
{
    volume_of(image, key, image, "Retain");
}

static void vm(const char *key, const char *first, const char *second)
{
    json_t *object = json_pack("{s:{s:{s:{s:[{s:{s:s}}, {s:{s:s}}, {s:{}}]}}}}", "spec", "template",
                               "spec", "volumes", "persistentVolumeClaim", "claimName", first,
                               "dataVolume", "name", second, "cloudInitNoCloud");

    assert_non_null(object);
    json_object_set_new(vms, key, fs_kube_reduce_vm(object));
    json_decref(object);
}

static void build(void)
{
    const json_t *const lists[] = {pvcs};
    const struct fs_kube_objects objects = {
        .claims = lists, .n_claims = 1, .volumes = volumes, .vms = vms, .cluster_id = "here"};

    assert_int_equal(fs_kube_catalogue(&objects, &claims), 0);
}

static const struct fs_claim *find(const char *ns, const char *name)
{
    for (size_t i = 0; i < claims.count; i++) {
        if (strcmp(claims.list[i].ns, ns) == 0 && strcmp(claims.list[i].name, name) == 0) {
            return &claims.list[i];
        }
    }
    return NULL;
}

static void test_empty_cluster_has_no_claims(void **state)
{
    (void)state;
    build();
    assert_int_equal(claims.count, 0);
}

static void test_unselected_image_is_known_without_labels(void **state)
{
    (void)state;
    pvc("a/one", "{\"x\": \"1\"}");
    volume("a/one", "img-1");
    volume("a/two", "img-2");
    build();
    assert_int_equal(claims.count, 2);
    assert_string_equal(find("a", "one")->labels, "{\"x\":\"1\"}");
    assert_string_equal(find("a", "one")->image, "img-1");
    assert_null(find("a", "one")->app);
    assert_null(find("a", "two")->labels);
    assert_string_equal(find("a", "two")->image, "img-2");
}

static void test_disks_of_a_vm_share_their_labels(void **state)
{
    (void)state;
    pvc("a/data", "{\"app\": \"shop\", \"x\": \"1\"}");
    volume("a/data", "img-data");
    volume("a/root", "img-root");
    volume("b/root", "img-b"); /* another namespace's disk of that name */
    vm("a/web", "root", "data");
    build();
    assert_string_equal(find("a", "root")->labels, "{\"app\":\"shop\",\"x\":\"1\"}");
    assert_string_equal(find("a", "root")->group_labels, find("a", "data")->group_labels);
    assert_string_equal(find("a", "root")->app, "web");
    assert_string_equal(find("a", "root")->vm, "web");
    assert_null(find("b", "root")->labels);
    assert_null(find("b", "root")->vm);
}

static void test_vms_that_share_a_disk_are_one_set(void **state)
{
    (void)state;
    pvc("a/z", "{\"x\": \"1\"}");
    volume("a/z", "img-z");
    volume("a/m", "img-m");
    volume("a/b", "img-b");
    volume("a/c", "img-c");
    vm("a/v2", "z", "m");
    vm("a/v1", "m", "b");
    vm("a/v3", "c", "b");
    build();
    assert_int_equal(claims.count, 4);
    for (size_t i = 0; i < claims.count; i++) {
        assert_string_equal(claims.list[i].group_labels, "{\"x\":\"1\"}");
        assert_string_equal(claims.list[i].app, "v1"); /* the first VM of disk b, the first disk */
    }
    assert_string_equal(find("a", "z")->vm, "v2");
}

static void test_disk_of_a_vm_that_is_not_there_says_so(void **state)
{
    (void)state;
    pvc("a/data", "{}");
    volume("a/data", "img-data");
    vm("a/web", "gone", "data");
    build();
    assert_non_null(strstr(find("a", "gone")->problem, "a/web"));
    assert_string_equal(find("a", "gone")->image, "");
    assert_null(find("a", "data")->problem);
}

static void test_images_of_which_one_volume_would_be_deleted(void **state)
{
    (void)state;
    volume_of("pv-1", "a/one", "img", "Retain");
    volume_of("pv-2", "a/two", "img", "Delete");
    volume_of("pv-3", "a/three", "img", "Retain");
    volume_of("pv-4", "a/four", "other", "Retain");
    const struct fs_kube_objects objects = {.volumes = volumes, .cluster_id = "here"};
    json_t *images = fs_kube_images(&objects);

    assert_int_equal(json_object_size(images), 2);
    const json_t *found = json_object_get(images, "rbd/img");
    assert_string_equal(json_string_value(json_object_get(found, "volume")), "pv-2");
    assert_string_equal(json_string_value(json_object_get(found, "reclaim")), "Delete");
    found = json_object_get(images, "rbd/other");
    assert_string_equal(json_string_value(json_object_get(found, "reclaim")), "Retain");
    json_decref(images);

    /* Another cluster's are none of ours. */
    images = fs_kube_images(&(struct fs_kube_objects){.volumes = volumes, .cluster_id = "there"});
    assert_int_equal(json_object_size(images), 0);
    json_decref(images);
}

static void test_objects_of_another_shape_are_no_harm(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "{\"spec\": 3, \"status\": [], \"metadata\": 1}",
        "{\"spec\": {\"template\": {\"spec\": {\"volumes\": {}}}}}"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *object = json_loads(texts[i], 0, NULL);
        assert_non_null(object);
        json_object_set_new(pvcs, texts[i], fs_kube_reduce_claim(object));
        json_object_set_new(volumes, texts[i], fs_kube_reduce_volume(object));
        json_object_set_new(vms, texts[i], fs_kube_reduce_vm(object));
        json_decref(object);
    }
    build();
    for (size_t i = 0; i < claims.count; i++) {
        assert_non_null(claims.list[i].problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty_cluster_has_no_claims, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unselected_image_is_known_without_labels, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_disks_of_a_vm_share_their_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vms_that_share_a_disk_are_one_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_of_a_vm_that_is_not_there_says_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_images_of_which_one_volume_would_be_deleted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_objects_of_another_shape_are_no_harm, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
