/* SPDX-License-Identifier: Apache-2.0 */
/* What of the API's objects travels: daemon/kube/strip.h, daemon/kube/kinds.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/kube/events.h"
#include "daemon/kube/kinds.h"
#include "daemon/kube/manifest.h"
#include "daemon/kube/strip.h"

static json_t *parse(const char *text)
{
    json_error_t why;
    json_t *object = json_loads(text, 0, &why);

    if (!object) {
        fail_msg("%s at %d", why.text, why.position);
    }
    return object;
}

/* Single quotes stand for double ones. */
static json_t *object_of(const char *quoted)
{
    char *text = strdup(quoted);

    for (char *at = text; *at; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_t *object = parse(text);
    free(text);
    return object;
}

static void check_stripped(const char *before, const char *after)
{
    json_t *object = object_of(before), *expected = object_of(after);

    assert_true(fs_kube_strip(object));
    if (!json_equal(object, expected)) {
        fail_msg("%s", json_dumps(object, JSON_SORT_KEYS));
    }
    json_decref(object);
    json_decref(expected);
}

static void test_strip_metadata_of_the_cluster_goes(void **state)
{
    (void)state;
    check_stripped(
        "{'kind':'ConfigMap','metadata':{'name':'a','namespace':'n','uid':'u',"
        "'resourceVersion':'7','generation':2,'creationTimestamp':'t','finalizers':['f'],"
        "'managedFields':[{}],'ownerReferences':[{'uid':'o'}],'labels':{'app':'x'},"
        "'annotations':{'mine':'1','kubectl.kubernetes.io/last-applied-configuration':"
        "'{}','pv.kubernetes.io/bind-completed':'yes','farshore.io/newest-point':'now',"
        "'cdi.kubevirt.io/storage.condition.bound':'true',"
        "'cdi.kubevirt.io/storageClass':'fast'}},'data':{'k':'v'},'status':{}}",
        "{'kind':'ConfigMap','metadata':{'name':'a','namespace':'n',"
        "'labels':{'app':'x'},'annotations':{'mine':'1',"
        "'cdi.kubevirt.io/storageClass':'fast'}},'data':{'k':'v'}}");
    check_stripped("{'kind':'Secret','metadata':{'name':'a','annotations':{"
                   "'volume.kubernetes.io/selected-node':'node-1'}},'type':'Opaque'}",
                   "{'kind':'Secret','metadata':{'name':'a'},'type':'Opaque'}");
}

/* What we write about a point must not make the next one differ, nor the object one of ours. */
static void test_strip_note_of_the_newest_point_is_nothing_that_travels(void **state)
{
    json_t *before = object_of("{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':"
                               "{'name':'a','namespace':'n','labels':{'app':'x'}}}");
    json_t *after = json_deep_copy(before), *metadata = json_object_get(after, "metadata");

    (void)state;
    (void)json_object_set_new(metadata, "annotations",
                              json_pack("{s:s}", FS_KUBE_POINT_ANNOTATION, "2026-01-01T00:00:00Z"));
    (void)json_object_set_new(metadata, "managedFields",
                              json_pack("[{s:s}]", "manager", FS_KUBE_POINT_MANAGER));
    assert_false(fs_kube_is_ours(after));
    json_t *left = fs_kube_reduce_object(before), *right = fs_kube_reduce_object(after);
    assert_true(json_equal(left, right));
    json_decref(left);
    json_decref(right);
    json_decref(before);
    json_decref(after);
}

static void test_strip_service_loses_the_addresses_that_it_was_given(void **state)
{
    (void)state;
    check_stripped("{'kind':'Service','metadata':{'name':'web'},'spec':{'clusterIP':'10.0.0.7',"
                   "'clusterIPs':['10.0.0.7'],'ipFamilies':['IPv4'],'healthCheckNodePort':31000,"
                   "'ports':[{'port':80,'nodePort':30080}],'selector':{'app':'x'}},"
                   "'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.4'}]}}}",
                   "{'kind':'Service','metadata':{'name':'web'},'spec':{'ports':[{'port':80}],"
                   "'selector':{'app':'x'}}}");
    check_stripped("{'kind':'Service','metadata':{'name':'web'},'spec':{'clusterIP':'None',"
                   "'clusterIPs':['None']}}",
                   "{'kind':'Service','metadata':{'name':'web'},'spec':{'clusterIP':'None'}}");
}

static void test_strip_volume_keeps_whose_it_is_without_the_uid(void **state)
{
    (void)state;
    check_stripped("{'kind':'PersistentVolume','metadata':{'name':'pv'},'spec':{'claimRef':{"
                   "'kind':'PersistentVolumeClaim','namespace':'n','name':'a','uid':'u',"
                   "'resourceVersion':'9'},'nodeAffinity':{'required':{}},'csi':{'driver':'d'}},"
                   "'status':{'phase':'Bound'}}",
                   "{'kind':'PersistentVolume','metadata':{'name':'pv'},'spec':{'claimRef':{"
                   "'kind':'PersistentVolumeClaim','namespace':'n','name':'a'},"
                   "'csi':{'driver':'d'}}}");
}

static void test_strip_route_keeps_only_a_host_that_somebody_chose(void **state)
{
    (void)state;
    check_stripped("{'kind':'Route','metadata':{'name':'r','annotations':{"
                   "'openshift.io/host.generated':'true'}},'spec':{'host':'r.apps.east','to':{}}}",
                   "{'kind':'Route','metadata':{'name':'r'},'spec':{'to':{}}}");
    check_stripped("{'kind':'Route','metadata':{'name':'r'},'spec':{'host':'shop.example'}}",
                   "{'kind':'Route','metadata':{'name':'r'},'spec':{'host':'shop.example'}}");
}

static void test_strip_what_lies_inside_of_others(void **state)
{
    (void)state;
    check_stripped("{'kind':'ControllerRevision','metadata':{'name':'c'},'revision':3,'data':{"
                   "'kind':'VirtualMachineInstancetype','metadata':{'name':'small','uid':'u',"
                   "'creationTimestamp':null,'generation':1},'spec':{'cpu':{'guest':1}}}}",
                   "{'kind':'ControllerRevision','metadata':{'name':'c'},'revision':3,'data':{"
                   "'kind':'VirtualMachineInstancetype','metadata':{'name':'small'},"
                   "'spec':{'cpu':{'guest':1}}}}");
    check_stripped("{'kind':'VirtualMachine','metadata':{'name':'v'},'spec':{'running':true,"
                   "'template':{'metadata':{'creationTimestamp':null,'labels':{'a':'b'}},"
                   "'spec':{'nodeName':'node-1','domain':{}}}},'status':{'ready':true}}",
                   "{'kind':'VirtualMachine','metadata':{'name':'v'},'spec':{'running':true,"
                   "'template':{'metadata':{'labels':{'a':'b'}},'spec':{'domain':{}}}}}");
}

static void test_strip_what_a_cluster_makes_for_itself_is_not_carried(void **state)
{
    static const char *const objects[] = {
        "{'kind':'Secret','metadata':{'name':'t'},'type':'kubernetes.io/service-account-token'}",
        "{'kind':'ConfigMap','metadata':{'name':'kube-root-ca.crt'}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
        json_t *object = object_of(objects[i]);
        assert_false(fs_kube_strip(object));
        json_decref(object);
    }
}

static void test_mask_shows_the_keys_of_a_secret_only(void **state)
{
    json_t *secret = object_of("{'kind':'Secret','data':{'password':'aHVudGVyMg=='}}");
    json_t *map = object_of("{'kind':'ConfigMap','data':{'k':'v'}}");

    (void)state;
    fs_kube_mask(secret);
    fs_kube_mask(map);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(secret, "data"), "password")), "");
    assert_string_equal(json_string_value(json_object_get(json_object_get(map, "data"), "k")), "v");
    json_decref(secret);
    json_decref(map);
}

/* --- references ------------------------------------------------------------------------------ */

static void check_references(const char *object, const char *expected)
{
    json_t *of = object_of(object), *list = fs_kube_references(of), *wanted = object_of(expected);

    if (!json_equal(list, wanted)) {
        fail_msg("%s", json_dumps(list, JSON_SORT_KEYS));
    }
    json_decref(of);
    json_decref(list);
    json_decref(wanted);
}

static void test_references_of_a_machine_are_all_that_it_names(void **state)
{
    (void)state;
    check_references(
        "{'kind':'VirtualMachine','spec':{'instancetype':{'revisionName':'rev-1'},'preference':{},"
        "'template':{'spec':{'volumes':["
        "{'dataVolume':{'name':'root'}},{'persistentVolumeClaim':{'claimName':'data'}},"
        "{'secret':{'secretName':'app'}},{'configMap':{'name':'conf','optional':true}},"
        "{'cloudInitNoCloud':{'secretRef':{'name':'init'},'networkDataSecretRef':{'name':'net'}}},"
        "{'sysprep':{'configMap':{'name':'answers'}}},{'containerDisk':{'image':'x'}}],"
        "'accessCredentials':[{'sshPublicKey':{'source':{'secret':{'secretName':'keys'}}}},"
        "{'userPassword':{'source':{'secret':{'secretName':'app'}}}}]}}},"
        "'status':{'preferenceRef':{'controllerRevisionRef':{'name':'rev-2'}}}}",
        "[{'kind':'ControllerRevision','name':'rev-1'},{'kind':'ControllerRevision','name':'rev-2'}"
        ","
        "{'kind':'DataVolume','name':'root','optional':true},"
        "{'kind':'PersistentVolumeClaim','name':'root'},"
        "{'kind':'PersistentVolumeClaim','name':'data'},{'kind':'Secret','name':'app'},"
        "{'kind':'ConfigMap','name':'conf','optional':true},{'kind':'Secret','name':'init'},"
        "{'kind':'Secret','name':'net'},{'kind':'ConfigMap','name':'answers'},"
        "{'kind':'Secret','name':'keys'}]");
    check_references("{'kind':'PersistentVolumeClaim','metadata':{'name':'a'},"
                     "'spec':{'volumeName':'pv-1'}}",
                     "[{'kind':'PersistentVolume','name':'pv-1'}]");
    check_references("{'kind':'ConfigMap','metadata':{'name':'a'}}", "[]");
}

/* An object may hold anything where it names another one. */
static void test_references_of_garbage_are_none(void **state)
{
    (void)state;
    check_references("{'kind':'VirtualMachine','spec':[1]}", "[]");
    check_references("{'kind':'VirtualMachine','spec':{'template':{'spec':{'volumes':[7,{'secret':"
                     "'x'},{'secret':{'secretName':{}}}],'accessCredentials':{}}}}}",
                     "[]");
    assert_false(fs_kube_name_valid("../../other/secrets/admin"));
    assert_false(fs_kube_name_valid("a/b"));
    assert_false(fs_kube_name_valid(".."));
    assert_false(fs_kube_name_valid("a..b"));
    assert_false(fs_kube_name_valid("a?b=c"));
    assert_false(fs_kube_name_valid(""));
    assert_false(fs_kube_name_valid("-a"));
    assert_true(fs_kube_name_valid("web-0.shop"));
}

/* --- documents ------------------------------------------------------------------------------- */

static json_t *items_of(const char *const *objects, size_t count)
{
    json_t *items = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *object = object_of(objects[i]);
        json_array_append_new(items, fs_kube_reduce_object(object));
        json_decref(object);
    }
    return items;
}

static void test_document_of_the_same_set_is_the_same_bytes(void **state)
{
    static const char *const one[] = {
        "{'kind':'VirtualMachine','metadata':{'name':'v','namespace':'n'},'status':{'ready':true}}",
        "{'kind':'ConfigMap','metadata':{'namespace':'n','name':'b'},'data':{'z':'1','a':'2'}}",
        "{'kind':'ConfigMap','metadata':{'name':'a','namespace':'n','resourceVersion':'5'}}",
    };
    static const char *const other[] = {
        "{'kind':'ConfigMap','metadata':{'namespace':'n','name':'a','resourceVersion':'6'}}",
        "{'data':{'a':'2','z':'1'},'kind':'ConfigMap','metadata':{'name':'b','namespace':'n'}}",
        "{'kind':'VirtualMachine','metadata':{'name':'v','namespace':'n'},'status':{}}",
        "{'kind':'Secret','metadata':{'name':'t'},'type':'kubernetes.io/service-account-token'}",
    };
    json_t *items = items_of(one, 3), *again = items_of(other, 4);
    json_t *missing = object_of("[{'kind':'Secret','name':'s','referred_by':'v','reason':'r'},"
                                "{'kind':'ConfigMap','name':'s','referred_by':'v','reason':'r'}]");
    char *text = fs_kube_document(items, missing), *same = fs_kube_document(again, missing);

    (void)state;
    assert_string_equal(text, same);
    assert_string_equal(
        text, "{\"format\":1,\"missing\":["
              "{\"kind\":\"Secret\",\"name\":\"s\",\"reason\":\"r\",\"referred_by\":\"v\"},"
              "{\"kind\":\"ConfigMap\",\"name\":\"s\",\"reason\":\"r\",\"referred_by\":\"v\"}],"
              "\"objects\":["
              "{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}},"
              "{\"data\":{\"a\":\"2\",\"z\":\"1\"},\"kind\":\"ConfigMap\","
              "\"metadata\":{\"name\":\"b\",\"namespace\":\"n\"}},"
              "{\"kind\":\"VirtualMachine\",\"metadata\":{\"name\":\"v\",\"namespace\":\"n\"}}]}");

    const char *wrong;
    json_t *document = fs_kube_document_load(text, strlen(text), &wrong);
    assert_int_equal(json_array_size(json_object_get(document, "objects")), 3);
    assert_null(wrong);
    json_decref(document);
    json_decref(items);
    json_decref(again);
    json_decref(missing);
    free(text);
    free(same);
}

static void check_refused(const char *text)
{
    const char *wrong = NULL;

    assert_null(fs_kube_document_load(text, strlen(text), &wrong));
    assert_non_null(wrong);
}

static void test_document_that_is_none_is_refused(void **state)
{
    (void)state;
    check_refused("");
    check_refused("[]");
    check_refused("{\"format\":0,\"missing\":[],\"objects\":[]}");
    check_refused("{\"format\":2,\"missing\":[],\"objects\":[]}");
    check_refused("{\"format\":1,\"missing\":[],\"objects\":[1]}");
    check_refused("{\"format\":1,\"objects\":[]}");
}

/* --- kinds ----------------------------------------------------------------------------------- */

static void test_kinds_by_their_names(void **state)
{
    char path[FS_KUBE_PATH_SIZE];

    (void)state;
    for (size_t i = 0; fs_kube_default_kinds[i]; i++) {
        assert_true(fs_kube_kind_valid(fs_kube_default_kinds[i]));
    }
    assert_true(fs_kube_kind_valid("deployments.v1.apps"));
    assert_false(fs_kube_kind_valid("Deployment"));
    assert_true(fs_kube_kind_known("ConfigMap"));
    assert_false(fs_kube_kind_known("deployments.v1.apps"));
    assert_false(fs_kube_kind_valid("deployments"));
    assert_false(fs_kube_kind_valid("deployments.apps.v1/../x"));
    assert_string_equal(fs_kube_kind_path("Secret", path), "/api/v1/secrets");
    assert_string_equal(fs_kube_kind_path("VirtualMachine", path),
                        "/apis/kubevirt.io/v1/virtualmachines");
    assert_string_equal(fs_kube_kind_path("deployments.v1.apps", path),
                        "/apis/apps/v1/deployments");
    assert_string_equal(fs_kube_kind_path("endpoints.v1.", path), "/api/v1/endpoints");
    assert_string_equal(fs_kube_object_path("Secret", "n", "s", path),
                        "/api/v1/namespaces/n/secrets/s");
    assert_string_equal(fs_kube_object_path("PersistentVolume", "n", "p", path),
                        "/api/v1/persistentvolumes/p");
    assert_true(fs_kube_kind_same("Secret", "secrets.v1."));
    assert_false(fs_kube_kind_same("Secret", "ConfigMap"));
    assert_true(fs_kube_kind_rank("PersistentVolume") < fs_kube_kind_rank("PersistentVolumeClaim"));
    assert_true(fs_kube_kind_rank("Deployment") < fs_kube_kind_rank("VirtualMachine"));
    assert_true(fs_kube_kind_rank("Deployment") > fs_kube_kind_rank("Route"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strip_metadata_of_the_cluster_goes),
        cmocka_unit_test(test_strip_note_of_the_newest_point_is_nothing_that_travels),
        cmocka_unit_test(test_strip_service_loses_the_addresses_that_it_was_given),
        cmocka_unit_test(test_strip_volume_keeps_whose_it_is_without_the_uid),
        cmocka_unit_test(test_strip_route_keeps_only_a_host_that_somebody_chose),
        cmocka_unit_test(test_strip_what_lies_inside_of_others),
        cmocka_unit_test(test_strip_what_a_cluster_makes_for_itself_is_not_carried),
        cmocka_unit_test(test_mask_shows_the_keys_of_a_secret_only),
        cmocka_unit_test(test_references_of_a_machine_are_all_that_it_names),
        cmocka_unit_test(test_references_of_garbage_are_none),
        cmocka_unit_test(test_document_of_the_same_set_is_the_same_bytes),
        cmocka_unit_test(test_document_that_is_none_is_refused),
        cmocka_unit_test(test_kinds_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
