/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads as objects, and what is made of captured ones; the API's side is in tests/kube/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
        fs_kube_stop_patch(object),
        "{\"metadata\": {\"resourceVersion\": \"7\", \"annotations\": {\"farshore.io/run\": "
        "\"{\\\"runStrategy\\\":\\\"RerunOnFailure\\\"}\"}}, "
        "\"spec\": {\"runStrategy\": \"Halted\"}}");
    json_decref(object);
    object = vm("{\"running\": false}", NULL);
    assert_null(fs_kube_stop_patch(object));
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

static void test_prepared_machine_is_halted_until_it_is_there(void **state)
{
    json_t *captured = vm("{\"runStrategy\": \"Halted\"}", "{\"runStrategy\":\"Always\"}");
    json_t *live = vm("{\"runStrategy\": \"Always\"}", NULL);
    json_t *fresh = fs_kube_prepare(captured, NULL), *again = fs_kube_prepare(captured, live);

    (void)state;
    assert_json(json_incref(json_object_get(fresh, "spec")), "{\"runStrategy\": \"Halted\"}");
    assert_json(json_incref(json_object_get(again, "spec")), "{\"runStrategy\": \"Always\"}");
    assert_null(json_object_get(json_object_get(fresh, "metadata"), "resourceVersion"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_patch_keeps_what_was_there),
        cmocka_unit_test(test_run_is_what_it_was_before_farshore_stopped_it),
        cmocka_unit_test(test_prepared_machine_is_halted_until_it_is_there),
        cmocka_unit_test(test_storage_class_is_mapped),
        cmocka_unit_test(test_volume_of_another_driver_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
