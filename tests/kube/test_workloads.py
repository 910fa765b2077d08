# SPDX-License-Identifier: Apache-2.0
"""Stopping workloads and bringing them up at another site (run_workloads.c), against the real API with
exactly the rights of docs/kubernetes/, and a stand-in for KubeVirt's controller."""
import copy
import json
import subprocess
import threading
import time

import pytest
from harness import SOURCE, wait_for
from harness.daemon import build_dir
from harness.kube import CORE, VM_API, ApiError, any_kind
from harness.kubevirt import Controllers
from harness.proxy import Proxy
from harness.virt_api import VirtApi
from harness.webhook import Webhook

GOLD = {"farshore.io/policy": "gold"}
FSID = "5ec1a5b2-0000-4000-8000-000000000001"
CLASS = "/apis/storage.k8s.io/v1/storageclasses"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
APPS = "/apis/apps/v1"


@pytest.fixture
def rights(api, account):
    for name in ("workloads", "workloads-secrets"):
        api.apply(SOURCE / f"docs/kubernetes/rbac-{name}.yaml")
    return account[0]


@pytest.fixture
def controllers(api):
    api.define_vms()
    controllers = Controllers(api)
    yield controllers
    controllers.close()


@pytest.fixture
def storage(api):
    """The StorageClass of this site."""
    api.delete(f"{CLASS}/rbd-here")
    api.create(CLASS, {"metadata": {"name": "rbd-here"}, "provisioner": "rbd.csi.ceph.com",
                       "parameters": {"clusterID": FSID, "pool": "rbd", "imageFeatures": "layering",
                                      "csi.storage.k8s.io/node-stage-secret-name": "node",
                                      "csi.storage.k8s.io/node-stage-secret-namespace": "ceph"}})
    yield "rbd-here"
    api.delete(f"{CLASS}/rbd-here")


def run(kubeconfig, **order):
    done = subprocess.run([build_dir() / "tests/kube/run-workloads", kubeconfig],
                          input=json.dumps(order), capture_output=True, text=True, check=True,
                          timeout=120)
    return json.loads(done.stdout)


def outcomes(result):
    return {r["object"].replace(" ", "/", 1).split("/", 1)[0] + " " +
            r["object"].rsplit("/", 1)[-1].rsplit(" ", 1)[-1]: r["outcome"]
            for r in result["report"]}


def message(result, title):
    return next(r["message"] for r in result["report"] if title in r["object"])


def vm_path(ns, name, kind="virtualmachines"):
    return f"{VM_API}/namespaces/{ns}/{kind}/{name}"


def instance(api, ns, name):
    try:
        return api.get(vm_path(ns, name, "virtualmachineinstances"))
    except ApiError:
        return None


def run_vm(api, ns, name, *disks, **run):
    api.vm(ns, name, *disks)
    api.patch(vm_path(ns, name), {"spec": run})
    wait_for(lambda: instance(api, ns, name), 20, f"{name} runs")


# --- stopping -----------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [{"runStrategy": "Always"}, {"running": True}])
def test_machine_is_stopped_and_runs_as_before(api, ns, rights, controllers, how):
    run_vm(api, ns, "web", "root", "data", **how)
    run_vm(api, ns, "other", "unprotected", running=True)
    order = {"claims": [f"{ns}/data"], "timeout_s": 20}
    for outcome in ("stopped", "already"):  # twice ends in the same place
        stopped = run(rights, do="stop", **order)
        assert stopped["error"] is None and outcomes(stopped) == {"VirtualMachine web": outcome}
        assert not instance(api, ns, "web")
        web = api.get(vm_path(ns, "web"))
        assert json.loads(web["metadata"]["annotations"]["farshore.io/run"]) == how
        key, value = next(iter(how.items()))
        assert web["spec"][key] == ("Halted" if value == "Always" else False)
    assert instance(api, ns, "other"), "a machine without a protected disk is left alone"
    started = run(rights, do="undo", **order)
    assert started["error"] is None and outcomes(started) == {"VirtualMachine web": "started"}
    web = api.get(vm_path(ns, "web"))
    assert web["spec"][key] == value
    assert "farshore.io/run" not in web["metadata"].get("annotations", {})
    wait_for(lambda: instance(api, ns, "web"), 20, "it runs again")
    assert not run(rights, do="undo", **order)["report"], "and nothing is left to undo"


def test_machine_that_its_owner_stopped_stays_so(api, ns, rights, controllers):
    api.vm(ns, "web", "data")
    api.patch(vm_path(ns, "web"), {"spec": {"runStrategy": "Halted"}})
    order = {"claims": [f"{ns}/data"], "timeout_s": 10}
    assert outcomes(run(rights, do="stop", **order)) == {"VirtualMachine web": "already"}
    assert not run(rights, do="undo", **order)["report"]
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Halted"


def test_machine_under_migration_is_refused_and_nothing_is_changed(api, ns, rights, controllers):
    run_vm(api, ns, "aaa", "data", runStrategy="Always")
    run_vm(api, ns, "web", "root", runStrategy="Always")
    controllers.slow |= {"web"}
    path = vm_path(ns, "web", "virtualmachineinstances")
    api.patch(path, {"status": {"migrationState": {"targetNode": "n2"}}})
    order = {"claims": [f"{ns}/root", f"{ns}/data"], "timeout_s": 20}
    refused = run(rights, do="stop", **order)
    assert "VirtualMachine" in refused["error"] and "live-migrated" in refused["error"]
    assert not refused["report"]
    assert all(api.get(vm_path(ns, n))["spec"]["runStrategy"] == "Always" for n in ("aaa", "web"))
    api.patch(path, {"status": {"migrationState": {"completed": True}}})
    controllers.slow.clear()
    assert run(rights, do="stop", **order)["error"] is None


def test_machine_that_does_not_stop(api, ns, rights, controllers):
    run_vm(api, ns, "web", "data", runStrategy="Always")
    controllers.slow.add("web")
    order = {"claims": [f"{ns}/data"], "timeout_s": 1}
    stuck = run(rights, do="stop", **order)
    assert f"VirtualMachine {ns}/web did not stop within 1 s; it has no guest agent" in stuck["error"]
    assert outcomes(run(rights, do="undo", **order)) == {"VirtualMachine web": "started"}
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Always"
    api.patch(vm_path(ns, "web", "virtualmachineinstances"), {"status": {"conditions": [
        {"type": "AgentConnected", "status": "True"}]}})
    assert run(rights, do="stop", **order)["error"].endswith("within 1 s")
    controllers.slow.clear()
    assert run(rights, do="stop", **order)["error"] is None, "the guest has gone meanwhile"
    assert not instance(api, ns, "web")


@pytest.fixture
def virt(api, ns, tmp_path, controllers):
    made = VirtApi(api, ns, tmp_path, controllers)
    yield made
    made.close()


def test_machine_that_does_not_stop_is_switched_off(api, ns, rights, controllers, virt):
    """stop_late: force. The stop of a halted machine, with no time for it."""
    run_vm(api, ns, "web", "data", runStrategy="Always")
    controllers.slow.add("web")
    order = {"claims": [f"{ns}/data"], "timeout_s": 1, "force": True}
    stopped = run(rights, do="stop", **order)
    assert stopped["error"] is None and outcomes(stopped) == {"VirtualMachine web": "stopped"}
    (verb, name, _, options), = virt.calls
    assert (verb, name, options) == ("stop", f"{ns}/web", {"gracePeriod": 0})
    assert not instance(api, ns, "web")
    assert outcomes(run(rights, do="undo", **order)) == {"VirtualMachine web": "started"}
    wait_for(lambda: instance(api, ns, "web"), 20, "it runs as before")


def test_machine_that_cannot_be_switched_off(api, ns, rights, controllers, virt):
    run_vm(api, ns, "web", "data", runStrategy="Always")
    controllers.slow.add("web")
    order = {"claims": [f"{ns}/data"], "timeout_s": 1, "force": True}
    virt.modes["stop"] = "fail"  # for a while
    threading.Timer(4, virt.modes.clear).start()
    assert run(rights, do="stop", **order)["error"] is None
    assert virt.verbs().count("stop") > 1
    assert run(rights, do="undo", **order)["error"] is None
    wait_for(lambda: instance(api, ns, "web"), 20, "it runs as before")
    controllers.slow.add("web")
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore-workloads"
    api.patch(role, {"rules": [r for r in api.get(role)["rules"]
                               if r["apiGroups"] != ["subresources.kubevirt.io"]]})
    stuck = run(rights, do="stop", **order)
    assert "did not stop within 1 s, and could not be switched off: PUT" in stuck["error"]
    assert "HTTP status 403" in stuck["error"] and instance(api, ns, "web")
    assert run(rights, do="undo", **order)["error"] is None
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Always"


def test_manual_machine_is_started_by_hand_again(api, ns, rights, controllers, virt):
    api.vm(ns, "web", "data")
    api.patch(vm_path(ns, "web"), {"spec": {"runStrategy": "Manual"}})
    order = {"claims": [f"{ns}/data"], "timeout_s": 20}
    assert outcomes(run(rights, do="stop", **order)) == {"VirtualMachine web": "already"}
    assert not virt.calls, "nobody had started it"
    controllers.started.add((ns, "web"))
    wait_for(lambda: instance(api, ns, "web"), 20, "its owner started it")
    assert outcomes(run(rights, do="stop", **order)) == {"VirtualMachine web": "stopped"}
    assert not instance(api, ns, "web")
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Halted"
    assert outcomes(run(rights, do="undo", **order)) == {"VirtualMachine web": "started"}
    assert virt.verbs() == ["start"]
    wait_for(lambda: instance(api, ns, "web"), 20, "it runs again")
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Manual"


def workload(kind, name, claim, replicas=2):
    pod = {"metadata": {"labels": {"app": name}},
           "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [
               {"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_other_workloads_by_their_replicas(api, ns, rights, controllers):
    sets = f"{APPS}/namespaces/{ns}/statefulsets"
    api.create(f"{APPS}/namespaces/{ns}/deployments", workload("Deployment", "shop", "data"))
    db = workload("StatefulSet", "db", "unprotected", 3)
    db["spec"].update(serviceName="db", volumeClaimTemplates=[
        {"metadata": {"name": "disk"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}])
    api.create(sets, db)
    api.patch(f"{sets}/db/status", {"status": {"replicas": 3}})
    order = {"claims": [f"{ns}/data", f"{ns}/disk-db-0"], "timeout_s": 20}
    threading.Timer(2, lambda: api.patch(f"{sets}/db/status", {"status": {"replicas": 0}})).start()
    begun = time.time()
    stopped = run(rights, do="stop", **order)
    assert stopped["error"] is None and time.time() - begun > 1.5, "it waited for the pods"
    assert outcomes(stopped) == {"Deployment shop": "stopped", "StatefulSet db": "stopped"}
    assert api.get(f"{sets}/db")["spec"]["replicas"] == 0
    assert run(rights, do="undo", **order)["error"] is None
    assert api.get(f"{sets}/db")["spec"]["replicas"] == 3
    assert api.get(f"{APPS}/namespaces/{ns}/deployments/shop")["spec"]["replicas"] == 2


def test_api_that_goes_away_while_it_stops(api, ns, rights, controllers):
    run_vm(api, ns, "web", "data", runStrategy="Always")
    controllers.slow.add("web")  # its instance stays until the API is back
    order = {"claims": [f"{ns}/data"], "timeout_s": 110}

    def away():
        wait_for(lambda: api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Halted", 20, "so")
        api.lab("stop")
        time.sleep(1)
        api.lab("start")
        controllers.slow.clear()
    thread = threading.Thread(target=away)
    thread.start()
    stopped = run(rights, do="stop", **order)
    thread.join()
    assert stopped["error"] is None and outcomes(stopped) == {"VirtualMachine web": "stopped"}


# --- bringing up --------------------------------------------------------------------------------

def volume(ns, claim, uuid):
    return {"uuid": uuid, "namespace": ns, "claim": claim, "cluster_id": FSID, "pool": "rbd", "rados_namespace": "",
            "image": f"copy-{claim}", "size_bytes": 16 << 20}


def captured(ns):
    """What a point of a virtual machine with everything carries."""
    def pvc(name):
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": ns, "labels": {**GOLD, "app": "shop"}},
                "spec": {"accessModes": ["ReadWriteMany"], "volumeMode": "Block",
                         "storageClassName": "rbd-there", "volumeName": f"pv-{name}",
                         "resources": {"requests": {"storage": "16Mi"}}}}

    def data_volume(name):
        return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume",
                "metadata": {"name": name, "namespace": ns},
                "spec": {"source": {"http": {"url": "http://images.example.net/x"}}}}

    def of_kind(version, kind, name, **more):
        return {"apiVersion": version, "kind": kind,
                "metadata": {"name": name, "namespace": ns, "labels": {"app": "shop"}}, **more}
    vm = of_kind("kubevirt.io/v1", "VirtualMachine", "web", spec={
        "runStrategy": "Halted", "instancetype": {"name": "small", "revisionName": "web-small"},
        "dataVolumeTemplates": [{"metadata": {"name": "root"}, "spec": {}}],
        "template": {"spec": {"volumes": [
            {"name": "a", "dataVolume": {"name": "root"}},
            {"name": "b", "dataVolume": {"name": "data"}},
            {"name": "c", "secret": {"secretName": "key"}}]}}})
    vm["metadata"]["annotations"] = {"farshore.io/run": '{"runStrategy":"Always"}'}
    return [vm, data_volume("root"), data_volume("data"), pvc("root"), pvc("data"),
            of_kind("v1", "Secret", "key", data={"k": "c2VjcmV0"}),
            of_kind("v1", "ConfigMap", "settings", data={"a": "1"}),
            of_kind("v1", "Service", "web", spec={
                "clusterIP": "10.9.8.7", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 31999}],
                "selector": {"app": "shop"}, "type": "NodePort"}),
            of_kind("apps/v1", "ControllerRevision", "web-small", revision=1,
                    data={"kind": "VirtualMachineInstancetype", "spec": {"cpu": {"guest": 2}}})]


@pytest.fixture
def order(ns, storage):
    return {"volumes": [volume(ns, "root", "11111111-0000-4000-8000-000000000001"),
                        volume(ns, "data", "11111111-0000-4000-8000-000000000002")],
            "objects": captured(ns), "classes": {"rbd-there": storage}, "secrets": True,
            "patience_s": 10, "start_s": 20}


def is_whole(api, ns):
    web = api.get(vm_path(ns, "web"))
    assert web["spec"]["runStrategy"] == "Always" and instance(api, ns, "web")
    assert "farshore.io/run" not in web["metadata"].get("annotations", {})
    assert web["spec"]["dataVolumeTemplates"][0]["metadata"]["annotations"] == {
        "cdi.kubevirt.io/storage.prePopulated": "root"}
    for name in ("root", "data"):
        claim = wait_for(lambda name=name: (c := api.get(api.pvc_path(ns, name))) and
                         c["status"]["phase"] == "Bound" and c, 20, "it is bound")
        assert claim["metadata"]["labels"] == {**GOLD, "app": "shop"}
        assert claim["metadata"]["annotations"]["cdi.kubevirt.io/storage.populatedFor"] == name
        pv = api.get(f"{CORE}/persistentvolumes/{claim['spec']['volumeName']}")["spec"]
        assert pv["persistentVolumeReclaimPolicy"] == "Retain"
        assert pv["storageClassName"] == claim["spec"]["storageClassName"] == "rbd-here"
        assert pv["csi"]["volumeHandle"] == f"copy-{name}" and pv["csi"]["volumeAttributes"] == {
            "clusterID": FSID, "pool": "rbd", "imageName": f"copy-{name}", "staticVolume": "true",
            "imageFeatures": "layering"}
        assert pv["csi"]["nodeStageSecretRef"] == {"name": "node", "namespace": "ceph"}
        dv = api.get(f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{ns}/datavolumes/{name}")
        assert dv["metadata"]["annotations"]["cdi.kubevirt.io/storage.prePopulated"] == name
    assert api.get(f"{CORE}/namespaces/{ns}/secrets/key")["data"] == {"k": "c2VjcmV0"}
    assert api.get(f"{CORE}/namespaces/{ns}/configmaps/settings")["data"] == {"a": "1"}
    service = api.get(f"{CORE}/namespaces/{ns}/services/web")["spec"]
    assert service["clusterIP"] != "10.9.8.7" and service["ports"][0]["port"] == 80
    assert api.get(f"{APPS}/namespaces/{ns}/controllerrevisions/web-small")["revision"] == 1


def test_machine_comes_up_whole_and_again(api, ns, rights, controllers, order):
    came = run(rights, do="bring", **order)
    assert came["left"] == 0, json.dumps(came)
    assert outcomes(came)["VirtualMachine web"] == "started"
    is_whole(api, ns)
    uid = instance(api, ns, "web")["metadata"]["uid"]
    again = run(rights, do="bring", **order)
    assert again["left"] == 0 and outcomes(again)["PersistentVolumeClaim data"] == "kept"
    assert outcomes(again)["Secret key"] == "unchanged"
    assert instance(api, ns, "web")["metadata"]["uid"] == uid, "the machine was not disturbed"
    is_whole(api, ns)


def test_namespace_that_is_not_there(api, ns, rights, controllers, order):
    other = f"{ns}-new"
    moved = json.loads(json.dumps(order).replace(f'"{ns}"', f'"{other}"'))
    came = run(rights, do="bring", **moved)
    assert came["left"] == 0 and outcomes(came)[f"Namespace {other}"] == "applied"
    is_whole(api, other)
    api.clear(other)


def test_only_volumes_for_objects_that_git_brings(api, ns, rights, controllers, order):
    order.update(objects=None, classes={"*": "rbd-here"})
    came = run(rights, do="bring", **order)
    assert came["left"] == 0
    assert outcomes(came) == {f"Namespace {ns}": "unchanged",
                              "PersistentVolumeClaim root": "applied",
                              "PersistentVolumeClaim data": "applied"}
    wait_for(lambda: api.get(api.pvc_path(ns, "data"))["status"]["phase"] == "Bound", 20, "bound")
    order["classes"] = {}
    order["volumes"][0]["claim"] = "third"
    lost = run(rights, do="bring", **order)
    assert lost["left"] == 1 and "discovery.storage_classes" in message(lost, "third")


def test_foreign_objects_are_left_alone(api, ns, rights, controllers, order):
    path = f"{CORE}/namespaces/{ns}"
    api.create(f"{path}/configmaps", {"metadata": {"name": "settings"}, "data": {"a": "theirs"}})
    api.create(f"{path}/secrets", {"metadata": {"name": "key", "labels": {"app": "shop"}},
                                   "data": {"k": "c2VjcmV0"}})
    api.pvc(ns, "data", GOLD)
    api.bind(ns, "data", "another-image", FSID)
    came = run(rights, do="bring", **order)
    seen = outcomes(came)
    assert seen["ConfigMap settings"] == seen["PersistentVolumeClaim data"] == "conflict"
    assert seen["Secret key"] == "unchanged", "of the same content"
    assert seen["VirtualMachine web"] == "not_started" and came["left"] == 3
    assert came["pending"] == 3
    assert "another-image" not in json.dumps(api.get(vm_path(ns, "web")))
    assert api.get(f"{path}/configmaps/settings")["data"] == {"a": "theirs"}
    assert not instance(api, ns, "web")
    api.delete(f"{path}/configmaps/settings")
    api.remove(ns, "data")
    assert run(rights, do="bring", **order)["left"] == 0
    is_whole(api, ns)


def test_kind_that_is_not_served_is_named_before(api, ns, rights, controllers, order):
    route = {"apiVersion": "route.openshift.io/v1", "kind": "Route",
             "metadata": {"name": "web", "namespace": ns}, "spec": {}}
    order["objects"].append(route)
    checked = run(rights, do="check", **order)
    assert outcomes(checked) == {"Route web": "not_served"}
    assert "route.openshift.io/v1" in message(checked, "Route")
    assert not instance(api, ns, "web")
    came = run(rights, do="bring", **order)
    assert came["left"] == 1 and outcomes(came)["VirtualMachine web"] == "started"
    is_whole(api, ns)

    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions",  # it is installed
               any_kind("routes", "Route", "route.openshift.io"))
    order["kinds"] = ["routes.v1.route.openshift.io"]
    wait_for(lambda: not run(rights, do="check", **order)["report"], 20, "it is served")
    again = run(rights, do="bring", **order)
    assert again["left"] == 0 and outcomes(again)["Route web"] == "applied"
    assert api.get(f"/apis/route.openshift.io/v1/namespaces/{ns}/routes/web")


def everything(api, ns):
    """What is in the namespace, and the PVs, as a text."""
    kinds = [api.pvc_path(ns)] + [f"{CORE}/namespaces/{ns}/{k}" for k in (
        "configmaps", "secrets", "services")] + [
        f"{VM_API}/namespaces/{ns}/virtualmachines", f"{CORE}/persistentvolumes"]
    return json.dumps([api.get(path)["items"] for path in kinds])


def test_check_changes_nothing_and_finds_what_is_in_the_way(api, ns, rights, controllers, order):
    before = everything(api, ns)
    assert run(rights, do="check", **order) == {"report": [], "left": 0, "pending": 0}
    assert everything(api, ns) == before
    path = f"{CORE}/namespaces/{ns}"
    api.create(f"{path}/configmaps", {"metadata": {"name": "settings"}, "data": {"a": "theirs"}})
    api.pvc(ns, "data", GOLD)
    api.bind(ns, "data", "another-image", FSID)
    api.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/farshore-workloads-secrets")
    order["classes"] = {"rbd-there": "not-here"}
    before = everything(api, ns)
    checked = run(rights, do="check", **order)
    assert outcomes(checked) == {
        "ConfigMap settings": "conflict", "PersistentVolumeClaim data": "conflict",
        "Secret key": "refused", "PersistentVolumeClaim root": "refused"}, checked
    assert "another-image" in message(checked, "data") or "pv-" in message(checked, "data")
    assert "not-here" in message(checked, "root")
    assert everything(api, ns) == before


def test_check_of_what_is_up_and_of_a_namespace_that_is_not_there(api, ns, rights, controllers, order):
    other = f"{ns}-other"
    moved = json.loads(json.dumps(order).replace(f'"{ns}"', f'"{other}"'))
    assert not run(rights, do="check", **moved)["report"]
    with pytest.raises(ApiError):
        api.get(f"{CORE}/namespaces/{other}")
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore-workloads"
    rules = [r for r in api.get(role)["rules"] if r["resources"] != ["namespaces"]]
    api.patch(role, {"rules": rules + [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]})
    wait_for(lambda: run(rights, do="check", **moved)["report"], 20, "the right is gone")
    refused = run(rights, do="check", **moved)
    assert outcomes(refused) == {f"Namespace {other}": "refused"}
    assert "docs/kubernetes/" in message(refused, "Namespace")
    assert not run(rights, do="check", **order)["report"], "its namespace is there"
    assert run(rights, do="bring", **order)["left"] == 0
    before = everything(api, ns)
    assert not run(rights, do="check", **order)["report"]
    assert everything(api, ns) == before


def test_webhook_that_refuses(api, ns, rights, controllers, order, tmp_path):
    hook = Webhook(api, ns, "configmaps", tmp_path)
    try:
        def asked():
            return outcomes(run(rights, do="check", **order)) == {"ConfigMap settings": "refused"}
        wait_for(asked, 20, "the check is refused, too")
        came = run(rights, do="bring", **order)
    finally:
        hook.close()
    assert outcomes(came)["ConfigMap settings"] == "refused" and came["left"] == came["pending"] == 1
    assert "nobody may make a ConfigMap here" in message(came, "ConfigMap")
    assert outcomes(came)["VirtualMachine web"] == "started", "the rest goes on"
    wait_for(lambda: run(rights, do="bring", **order)["left"] == 0, 20, "a rerun finishes")
    is_whole(api, ns)


def test_webhook_that_does_not_answer(api, ns, rights, controllers, order):
    api.create(HOOKS, {"metadata": {"name": ns}, "webhooks": [{
        "name": "no.example.net", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "failurePolicy": "Fail", "timeoutSeconds": 1,
        "clientConfig": {"url": "https://127.0.0.1:1/no", "caBundle": ""},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                   "resources": ["configmaps"]}]}]})
    try:
        order["patience_s"] = 1
        came = run(rights, do="bring", **order)
    finally:
        api.delete(f"{HOOKS}/{ns}")
    assert outcomes(came)["ConfigMap settings"] == "failed" and came["left"] == 1
    assert "no.example.net" in message(came, "ConfigMap")
    assert outcomes(came)["VirtualMachine web"] == "started", "the rest goes on"

    def whole():
        return run(rights, do="bring", **order)["left"] == 0
    wait_for(whole, 20, "a rerun finishes")
    is_whole(api, ns)


def test_api_that_goes_away_in_the_middle(api, ns, rights, controllers, order, tmp_path, account):
    proxy = Proxy(api.port)
    behind = api.kubeconfig(tmp_path / "behind", {"tokenFile": str(account[1])}, proxy.port)
    proxy.cut_after(40_000)
    thread = threading.Timer(0.5, lambda: (proxy.refuse(), proxy.cut()))
    thread.start()
    order["patience_s"] = 2
    came = run(behind, do="bring", **order)
    thread.join()
    started = list(outcomes(came).values()).count("not_running")  # it went when all was done but to look
    assert came["pending"] == came["left"] - started, came
    proxy.heal()
    assert run(behind, do="bring", **order)["left"] == 0
    is_whole(api, ns)
    proxy.close()


def test_machine_that_does_not_come(api, ns, rights, controllers, order):
    controllers.slow.add("web")
    order["start_s"] = 1
    came = run(rights, do="bring", **order)
    assert outcomes(came)["VirtualMachine web"] == "not_running"
    assert (came["left"], came["pending"]) == (1, 0)
    controllers.slow.clear()
    order["start_s"] = 20
    assert run(rights, do="bring", **order)["left"] == 0
    is_whole(api, ns)


def test_manual_machine_comes_up_and_is_started(api, ns, rights, controllers, virt, order):
    machine = order["objects"][0]
    machine["metadata"]["annotations"]["farshore.io/run"] = '{"runStrategy":"Manual","instance":true}'
    for calls in (["start"], ["start", "start"]):  # the second time it runs already
        came = run(rights, do="bring", **order)
        assert came["left"] == 0, came
        assert outcomes(came)["VirtualMachine web"] == "started" and virt.verbs() == calls
        assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Manual"
        assert instance(api, ns, "web")["status"]["phase"] == "Running"


def test_manual_machine_that_cannot_be_started(api, ns, rights, controllers, virt, order):
    machine = order["objects"][0]
    machine["metadata"]["annotations"]["farshore.io/run"] = '{"runStrategy":"Manual","instance":true}'
    virt.modes["start"] = "fail"
    order["patience_s"] = 1
    came = run(rights, do="bring", **order)
    assert (came["left"], came["pending"]) == (1, 1), came
    assert outcomes(came)["VirtualMachine web"] == "failed" and not instance(api, ns, "web")
    virt.modes.clear()
    assert run(rights, do="bring", **order)["left"] == 0
    assert instance(api, ns, "web")["status"]["phase"] == "Running"


def test_machine_whose_secret_the_point_does_not_carry(api, ns, rights, controllers, order):
    key = next(o for o in order["objects"] if o["kind"] == "Secret")
    order["objects"].remove(key)
    order["start_s"] = 2
    came = run(rights, do="bring", **order)
    assert (came["left"], came["pending"]) == (1, 0)
    assert outcomes(came)["VirtualMachine web"] == "not_running"
    assert "Scheduling" in message(came, "VirtualMachine")
    api.create(f"{CORE}/namespaces/{ns}/secrets", {"metadata": {"name": "key"}, "data": key["data"]})
    order["start_s"] = 20
    assert run(rights, do="bring", **order)["left"] == 0
    is_whole(api, ns)


def test_without_the_right_to_secrets(api, ns, rights, controllers, order):
    api.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/farshore-workloads-secrets")
    order["start_s"] = 1
    came = run(rights, do="bring", **order)
    assert came["left"] == 2 and outcomes(came)["Secret key"] == "refused"
    assert outcomes(came)["VirtualMachine web"] == "not_running", "without it"
    assert "docs/kubernetes/" in message(came, "Secret")
    order["start_s"] = 20
    api.apply(SOURCE / "docs/kubernetes/rbac-workloads-secrets.yaml")
    assert run(rights, do="bring", **order)["left"] == 0


def test_machine_goes_and_comes_back_home(api, ns, rights, controllers, order):
    """The site where it was stopped is the one that it comes back to."""
    assert run(rights, do="bring", **order)["left"] == 0
    claims = [f"{ns}/data", f"{ns}/root"]
    assert run(rights, do="stop", claims=claims, timeout_s=20)["error"] is None
    changed = copy.deepcopy(order)
    changed["objects"][0]["spec"]["template"]["spec"]["hostname"] = "shop"
    assert run(rights, do="bring", **changed)["left"] == 0
    web = api.get(vm_path(ns, "web"))
    assert web["spec"]["template"]["spec"]["hostname"] == "shop"
    is_whole(api, ns)


def test_objects_of_others_are_not_made(api, ns, rights, controllers, order):
    """What the other site's document says that is not the group's, or not for this site to make."""
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
               "metadata": {"name": f"{ns}-admin"}, "subjects": [], "roleRef": {
                   "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}}
    other = {"apiVersion": "v1", "kind": "ConfigMap",
             "metadata": {"name": "other", "namespace": f"{ns}-other"}, "data": {}}
    stranger = copy.deepcopy(order["objects"][0])
    stranger["metadata"].update(name="stranger", namespace=f"{ns}-other")
    order["objects"] += [binding, other, stranger]
    order["secrets"] = False
    api.create(f"{CORE}/namespaces/{ns}/secrets", {"metadata": {"name": "key"}})  # by hand: the machine wants it
    came = run(rights, do="bring", **order)
    assert came["left"] == 0, json.dumps(came)
    seen = outcomes(came)
    assert {k for k in seen if seen[k] == "left_out"} == {
        "Secret key", f"ClusterRoleBinding {ns}-admin", "ConfigMap other", "VirtualMachine stranger"}
    assert f"Namespace {ns}-other" not in seen and seen["VirtualMachine web"] == "started"


def test_machine_that_was_halted_at_the_other_site_stays_so(api, ns, rights, controllers, order):
    assert run(rights, do="bring", **order)["left"] == 0
    claims = [f"{ns}/data", f"{ns}/root"]
    assert run(rights, do="stop", claims=claims, timeout_s=20)["error"] is None
    del order["objects"][0]["metadata"]["annotations"]
    came = run(rights, do="bring", **order)
    assert came["left"] == 0 and outcomes(came)["VirtualMachine web"] == "halted"
    assert "annotations" not in api.get(vm_path(ns, "web"))["metadata"]
    assert not run(rights, do="undo", claims=claims, timeout_s=20)["report"]
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Halted"


def test_run_that_nobody_asked_for_starts_only_what_was_not(api, ns, rights, controllers, order):
    api.pvc(ns, "data", GOLD)
    api.bind(ns, "data", "another-image", FSID)
    assert outcomes(run(rights, do="bring", **order))["VirtualMachine web"] == "not_started"
    api.remove(ns, "data")
    order["again"] = True
    came = run(rights, do="bring", **order)
    assert came["left"] == 0 and outcomes(came)["VirtualMachine web"] == "started"
    wait_for(lambda: instance(api, ns, "web"), 20, "it runs")
    is_whole(api, ns)
    api.patch(vm_path(ns, "web"), {"spec": {"runStrategy": "Halted"}})  # by its owner
    came = run(rights, do="bring", **order)
    assert came["left"] == 0 and outcomes(came)["VirtualMachine web"] == "unchanged"
    assert api.get(vm_path(ns, "web"))["spec"]["runStrategy"] == "Halted"


def test_api_that_is_silent_is_not_asked_for_each(api, ns, rights, order, tmp_path, account):
    proxy = Proxy(api.port)
    behind = api.kubeconfig(tmp_path / "behind", {"tokenFile": str(account[1])}, proxy.port)
    proxy.refuse()
    order["patience_s"] = 1
    begun = time.time()
    came = run(behind, do="bring", **order)
    assert came["left"] == came["pending"] == len(came["report"]) == 10
    print(f"{time.time() - begun:.1f} s")
    proxy.close()
