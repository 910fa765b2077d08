/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads as objects, and what is made of captured ones; the API's side is in tests/kube/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/kube/allow.h"
#include "daemon/kube/manifest.h"
#include "daemon/kube/run.h"

static json_t *parse(const char *text)
{
    json_t *object = json_loads(text, 0, NULL);

    assert_non_null(object);
    return object;
}

static json_t *vm(const char *spec, const char *annotation)
{
    json_t *object = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:o}", "apiVersion", "kubevirt.io/v1",
                               "kind", "VirtualMachine", "metadata", "name", "web", "namespace",
                               "shop", "resourceVersion", "7", "spec", parse(spec));

    if (annotation) {
        (void)json_object_set_new(json_object_get(object, "metadata"), "annotations",
                                  json_pack("{s:s}", FS_KUBE_RUN_ANNOTATION, annotation));
    }
    return object;
}

static void assert_json(json_t *got, const char *wanted)
{
    json_t *expected = parse(wanted);

    if (!json_equal(got, expected)) {
        fail_msg("%s is not %s", json_dumps(got, 0), wanted);
    }
    json_decref(expected);
    json_decref(got);
}

static void test_stop_patch_keeps_what_was_there(void **state)
{
    json_t *object = vm("{\"runStrategy\": \"RerunOnFailure\"}", NULL);

    (void)state;
    assert_json(
        fs_kube_stop_patch(object, true),
        "{\"metadata\": {\"resourceVersion\": \"7\", \"annotations\": {\"farshore.io/run\": "
        "\"{\\\"runStrategy\\\":\\\"RerunOnFailure\\\"}\"}}, "
        "\"spec\": {\"runStrategy\": \"Halted\"}}");
    json_decref(object);
    object = vm("{\"running\": false}", NULL);
    assert_null(fs_kube_stop_patch(object, false));
    json_decref(object);
}

static void test_run_is_what_it_was_before_farshore_stopped_it(void **state)
{
    static const struct {
        const char *spec, *annotation, *run;
    } cases[] = {
        {"{\"running\": true}", NULL, "{\"running\": true}"},
        {"{\"running\": false}", "{\"running\":true}", "{\"running\": true}"},
        {"{\"runStrategy\": \"Halted\"}", "{\"runStrategy\":\"Always\"}",
         "{\"runStrategy\": \"Always\"}"},
        /* Somebody has started it since, or wrote something else there. */
        {"{\"runStrategy\": \"Manual\"}", "{\"runStrategy\":\"Always\"}",
         "{\"runStrategy\": \"Manual\"}"},
        {"{\"runStrategy\": \"Halted\"}", "{\"running\":true}", "{\"runStrategy\": \"Halted\"}"},
        {"{\"runStrategy\": \"Halted\"}", "{\"runStrategy\":7}", "{\"runStrategy\": \"Halted\"}"},
        {"{\"runStrategy\": \"Halted\"}", "nonsense", "{\"runStrategy\": \"Halted\"}"},
        {"{}", NULL, "{\"running\": false}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *object = vm(cases[i].spec, cases[i].annotation);
        assert_json(fs_kube_run(object), cases[i].run);
        json_decref(object);
    }
    json_t *secret = parse("{\"apiVersion\": \"v1\", \"kind\": \"Secret\"}");
    assert_null(fs_kube_run(secret));
    json_decref(secret);
}

/* KubeVirt neither starts nor stops one by itself. */
static void test_manual_machine_is_started_where_it_ran(void **state)
{
    json_t *object = vm("{\"runStrategy\": \"Manual\"}", NULL);
    json_t *patch = fs_kube_stop_patch(object, true);
    const char *kept = fs_kube_text(
        json_object_get(json_object_get(patch, "metadata"), "annotations"), FS_KUBE_RUN_ANNOTATION);

    (void)state;
    assert_null(fs_kube_stop_patch(object, false));
    assert_json(json_incref(json_object_get(patch, "spec")), "{\"runStrategy\": \"Halted\"}");
    json_t *stopped = vm("{\"runStrategy\": \"Halted\"}", kept), *run = fs_kube_run(stopped);
    assert_false(fs_kube_run_is_halted(run));
    assert_true(fs_kube_run_is_by_hand(run));
    json_t *start = fs_kube_start_patch(run);
    assert_json(json_incref(json_object_get(start, "spec")), "{\"runStrategy\": \"Manual\"}");
    json_decref(run);
    run = fs_kube_run(object); /* as captured in a run: nobody knows whether it was started */
    assert_true(fs_kube_run_is_halted(run));
    assert_false(fs_kube_run_is_by_hand(run));
    assert_json(fs_kube_run_halted(run), "{\"runStrategy\": \"Manual\"}");
    json_decref(run);
    json_decref(start);
    json_decref(stopped);
    json_decref(patch);
    json_decref(object);
}

static void test_prepared_machine_is_halted_until_it_is_there(void **state)
{
    json_t *captured = vm("{\"runStrategy\": \"Halted\"}", "{\"runStrategy\":\"Always\"}");
    json_t *live = vm("{\"runStrategy\": \"Always\"}", NULL);
    json_t *fresh = fs_kube_prepare(captured, NULL), *again = fs_kube_prepare(captured, live);

    (void)state;
    assert_json(json_incref(json_object_get(fresh, "spec")), "{\"runStrategy\": \"Halted\"}");
    assert_json(json_incref(json_object_get(again, "spec")), "{\"runStrategy\": \"Always\"}");
    assert_null(json_object_get(json_object_get(fresh, "metadata"), "resourceVersion"));
    assert_json(json_incref(json_object_get(json_object_get(fresh, "metadata"), "annotations")),
                "{\"farshore.io/run\": \"{\\\"runStrategy\\\":\\\"Always\\\"}\"}");
    assert_json(json_incref(json_object_get(json_object_get(again, "metadata"), "annotations")),
                "{}"); /* it was started */
    json_decref(fresh);
    json_decref(again);
    json_decref(captured);
    json_decref(live);
}

static void test_storage_class_is_mapped(void **state)
{
    json_t *classes = parse("{\"fast\": \"ssd\"}"), *any = parse("{\"*\": \"hdd\"}");
    json_t *fast = parse("{\"spec\": {\"storageClassName\": \"fast\"}}");
    json_t *slow = parse("{\"spec\": {\"storageClassName\": \"slow\"}}");

    (void)state;
    assert_string_equal(fs_kube_class_name(classes, fast), "ssd");
    assert_string_equal(fs_kube_class_name(classes, slow), "slow");
    assert_string_equal(fs_kube_class_name(NULL, slow), "slow");
    assert_string_equal(fs_kube_class_name(any, slow), "hdd");
    assert_string_equal(fs_kube_class_name(any, NULL), "hdd");
    assert_null(fs_kube_class_name(classes, NULL));
    json_decref(classes);
    json_decref(any);
    json_decref(fast);
    json_decref(slow);
}

static void test_volume_of_another_driver_is_refused(void **state)
{
    json_t *volume = parse("{\"uuid\": \"u\", \"namespace\": \"n\", \"claim\": \"c\", \"pool\": "
                           "\"p\", \"image\": \"i\", \"size_bytes\": 4096}");
    json_t *nfs = parse("{\"metadata\": {\"name\": \"x\"}, \"provisioner\": \"nfs.csi.k8s.io\"}");
    struct fs_error err = FS_ERROR_INIT;

    (void)state;
    assert_null(fs_kube_make_volume(volume, NULL, NULL, nfs, &err));
    assert_non_null(strstr(err.message, "nfs.csi.k8s.io"));
    json_decref(volume);
    json_decref(nfs);
}

static void test_objects_that_are_not_made(void **state)
{
    static const struct {
        const char *version, *kind, *plural, *ns;
        bool namespaced, secrets;
        const char *why;
    } cases[] = {
        {"v1", "ConfigMap", "configmaps", "shop", true, false, NULL},
        {"apps/v1", "ControllerRevision", "controllerrevisions", "shop", true, false, NULL},
        {"apps/v1", "Deployment", "deployments", "shop", true, false, NULL},
        {"v1", "Secret", "secrets", "shop", true, true, NULL},
        {"v1", "Secret", "secrets", "shop", true, false, "objects.secrets"},
        {"v1", "ConfigMap", "configmaps", "kube-system", true, true, "namespace"},
        {"rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "", false, true,
         "no namespace"},
        {"v1", "Namespace", "namespaces", "", false, true, "no namespace"},
        {"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", "shop", true, true,
         "objects.kinds"},
        /* Of a name that is known, and of another group. */
        {"example.net/v1", "ConfigMap", "configmaps", "shop", true, true, "objects.kinds"},
        {"snapshot.kubevirt.io/v1beta1", "VirtualMachineSnapshot", "virtualmachinesnapshots",
         "shop", true, true, "snapshot"},
    };
    json_t *volumes = parse("[{\"namespace\": \"shop\"}]");
    json_t *kinds = parse("[\"Secret\", \"deployments.v1.apps\"]");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fs_kube_allowed allowed = {
            .volumes = volumes, .kinds = kinds, .secrets = cases[i].secrets};
        json_t *object = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", cases[i].version, "kind",
                                   cases[i].kind, "metadata", "namespace", cases[i].ns);
        json_t *served =
            json_pack("{s:s, s:b}", "plural", cases[i].plural, "namespaced", cases[i].namespaced);
        const char *why = fs_kube_why_left_out(object, served, &allowed);
        if (cases[i].why ? !why || !strstr(why, cases[i].why) : why != NULL) {
            fail_msg("%s %s: %s", cases[i].version, cases[i].kind, why ? why : "is made");
        }
        json_decref(object);
        json_decref(served);
    }
    json_decref(volumes);
    json_decref(kinds);
}

/* Images of two clusters may have one name. */
static void test_volume_of_another_cluster_does_not_lead_there(void **state)
{
    json_t *volume = parse("{\"cluster_id\": \"here\", \"pool\": \"p\", \"image\": \"i\"}");
    json_t *pv = parse("{\"spec\": {\"csi\": {\"driver\": \"rbd.csi.ceph.com\", "
                       "\"volumeAttributes\": {\"clusterID\": \"here\", \"pool\": \"p\", "
                       "\"imageName\": \"i\"}}}}");
    json_t *csi = json_object_get(json_object_get(pv, "spec"), "csi");

    (void)state;
    assert_true(fs_kube_leads_to(pv, volume));
    (void)json_object_set_new(json_object_get(csi, "volumeAttributes"), "clusterID",
                              json_string("there"));
    assert_false(fs_kube_leads_to(pv, volume));
    (void)json_object_set_new(json_object_get(csi, "volumeAttributes"), "clusterID",
                              json_string("here"));
    (void)json_object_set_new(csi, "driver", json_string("nfs.csi.k8s.io"));
    assert_false(fs_kube_leads_to(pv, volume));
    json_decref(volume);
    json_decref(pv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_patch_keeps_what_was_there),
        cmocka_unit_test(test_run_is_what_it_was_before_farshore_stopped_it),
        cmocka_unit_test(test_manual_machine_is_started_where_it_ran),
        cmocka_unit_test(test_prepared_machine_is_halted_until_it_is_there),
        cmocka_unit_test(test_storage_class_is_mapped),
        cmocka_unit_test(test_volume_of_another_driver_is_refused),
        cmocka_unit_test(test_objects_that_are_not_made),
        cmocka_unit_test(test_volume_of_another_cluster_does_not_lead_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
