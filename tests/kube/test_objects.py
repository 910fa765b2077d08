# SPDX-License-Identifier: Apache-2.0
"""Recovery points carry the Kubernetes objects of their group: from a real API, to a real cluster."""
import base64
import json

import pytest
import yaml
from harness import SOURCE, wait_for
from harness.crash import arm, catalogue, killed
from harness.kube import CORE
from harness.tool import farshore
from test_protection import SHOP, volume

APPS = "/apis/apps/v1"


@pytest.fixture
def protect(api, ns, account, east, daemons):
    assert ns and east
    api.define_vms()
    api.apply(SOURCE / "docs/kubernetes/rbac-objects.yaml")
    api.apply(SOURCE / "docs/kubernetes/rbac-secrets.yaml")

    def make(secrets=True, start=True, **policy):
        source = {"source": "kubernetes", "kubeconfig": str(account[0]), "interval": "2s",
                  "objects": {"secrets": secrets}}
        return daemons(start=start, policies={"gold": {"group_by": "app", "interval": "1s", **policy}},
                       settings={"discovery": [source]})
    return make


def put(api, ns, kind, name, labels=None, **more):
    return api.create(f"{CORE}/namespaces/{ns}/{kind}",
                      {"metadata": {"name": name, "labels": labels or {}}, **more})


def shop(api, east, ns):
    """A labelled VM with two disks, and what it needs; the Secret of its keys has no label."""
    for i, name in enumerate(("root", "data")):
        volume(api, east, ns, name, SHOP, seed=i)
    api.vm(ns, "shop", "root", {"dataVolume": {"name": "data"}},
           {"configMap": {"name": "settings"}}, {"secret": {"secretName": "keys"}},
           {"secret": {"secretName": "gone"}})
    machine = f"/apis/kubevirt.io/v1/namespaces/{ns}/virtualmachines/shop"
    api.patch(machine, {"metadata": {"labels": SHOP},
                        "spec": {"instancetype": {"revisionName": "small-1"}}})
    put(api, ns, "configmaps", "settings", SHOP, data={"colour": "red"})
    put(api, ns, "configmaps", "other", data={"not": "ours"})
    put(api, ns, "secrets", "keys", stringData={"password": "hunter2"})
    put(api, ns, "services", "web", SHOP, spec={"ports": [{"port": 80}], "selector": {"app": "shop"}})
    api.create(f"{APPS}/namespaces/{ns}/controllerrevisions",
               {"metadata": {"name": "small-1"}, "revision": 1, "data": {"spec": {"cpu": 1}}})


def look(daemon, group, *more):
    done = farshore(daemon, "objects", group, "-o", "json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def carried(result):
    return {(o["kind"], o["name"]): o for o in result["objects"] if o["here"] != "not in the point"}


def test_objects_of_a_machine_are_at_the_other_site(api, ns, east, protect, same):
    shop(api, east, ns)
    pair = protect()
    group = f"{ns}/shop"
    pair.ready(group)
    wait_for(lambda: pair.west.committed(group)[-1].get("objects"), 20, "a point with objects")
    same(pair, group)
    result = look(pair.west, group)
    found = carried(result)
    volumes = {k for k in found if k[0] == "PersistentVolume"}
    assert len(volumes) == 2
    assert found.keys() - volumes == {
        ("Secret", "keys"), ("ConfigMap", "settings"), ("ControllerRevision", "small-1"),
        ("PersistentVolumeClaim", "root"), ("PersistentVolumeClaim", "data"), ("Service", "web"),
        ("VirtualMachine", "shop")}
    assert [(m["kind"], m["name"], m["referred_by"]) for m in result["missing"]] == [
        ("Secret", "gone", "VirtualMachine/shop")]
    # Without what belongs to the cluster, and without what is in the Secret.
    service = found["Service", "web"]["object"]
    assert "clusterIP" not in service["spec"] and "uid" not in service["metadata"]
    assert found["Secret", "keys"]["object"]["data"] == {"password": ""}
    assert {o["here"] for o in found.values()} == {"same"}  # it is one API here
    shown = farshore(pair.west, "objects", group, "-o", "yaml", "--secrets")
    manifests = {(m["kind"], m["metadata"]["name"]): m for m in yaml.safe_load_all(shown.stdout)}
    assert manifests.keys() == found.keys()
    password = manifests["Secret", "keys"]["data"]["password"]
    assert base64.b64decode(password) == b"hunter2"
    table = farshore(pair.west, "objects", group).stdout
    assert "Secret gone, which VirtualMachine/shop refers to" in table and "hunter2" not in table

    # A changed ConfigMap alone makes a new point; the one before keeps what it had.
    before = wait_for(lambda: pair.west.committed(group)[-1], 5, "the newest point")
    api.patch(f"{CORE}/namespaces/{ns}/configmaps/settings", {"data": {"colour": "blue"}})
    wait_for(lambda: carried(look(pair.west, group))["ConfigMap", "settings"]["object"]["data"] ==
             {"colour": "blue"}, 20, "a point with the change")
    newest = pair.west.committed(group)[-1]
    assert newest["seq"] > before["seq"] and newest["objects"] != before["objects"]
    if before["id"] in {p["id"] for p in pair.west.committed(group)}:
        old = carried(look(pair.west, group, "--point", before["name"]))["ConfigMap", "settings"]
        assert old["object"]["data"] == {"colour": "red"} and old["here"] == "differs"


def test_data_goes_on_while_objects_cannot_be_captured(api, ns, east, protect):
    shop(api, east, ns)
    pair = protect(secrets=False)
    group = f"{ns}/shop"
    pair.ready(group)
    wait_for(lambda: pair.west.committed(group)[-1].get("objects"), 20, "a point with objects")
    result = look(pair.west, group)
    assert ("Secret", "keys") not in carried(result)
    assert {m["name"]: m["reason"] for m in result["missing"]}["keys"].startswith("Secrets are not")
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore-objects"
    rules = api.get(role)["rules"]
    api.patch(role, {"rules": []})
    seed = iter(range(100, 200))

    def said():
        east.fill(f"csi-vol-{ns}-data", seed=next(seed))
        return (pair.east.group(group).get("objects") or {}).get("reason")
    reason = wait_for(said, 60, "status says that they are not captured")
    assert "403" in reason
    wait_for(lambda: pair.west.committed(group)[-1]["objects"]["stale"], 20, "a stale point")
    assert pair.east.events("objects_stale")
    api.patch(role, {"rules": rules})

    def fresh():
        east.fill(f"csi-vol-{ns}-data", seed=next(seed))
        newest = pair.west.committed(group)[-1]
        return not newest["objects"]["stale"] and not pair.east.group(group)["objects"]["reason"]
    wait_for(fresh, 60, "they are captured again")


STEPS = (("east", "objects.indexed"), ("east", "objects.kept"), ("east", "objects.sent"),
         ("west", "objects.received"), ("west", "objects.indexed"), ("west", "objects.kept"),
         ("east", "objects.removed"), ("west", "objects.removed"))


def documents(daemon, uuid):
    """Digests of what the state pool has for the group."""
    prefix = f"objects.{uuid}."
    with daemon.site.ioctx(namespace="farshore") as io:
        return {o.key.removeprefix(prefix) for o in io.list_objects() if o.key.startswith(prefix)}


def test_crash_at_each_step_heals(api, ns, east, protect):
    if not any(name.startswith("objects.") for name, _ in catalogue()):
        pytest.skip("this build has no fault points")
    shop(api, east, ns)
    pair = protect(start=False, retain={"latest": 1})
    for daemon in pair:
        daemon.fault = daemon.dir / "fault"
        daemon.environment["FARSHORE_FAULT"] = f"@{daemon.fault}"
    pair.start()
    group = f"{ns}/shop"
    pair.ready(group)
    settings = f"{CORE}/namespaces/{ns}/configmaps/settings"
    for i, (site, step) in enumerate(STEPS):
        daemon = getattr(pair, site)
        arm(daemon, step)
        api.patch(settings, {"data": {"colour": f"number {i}"}})
        killed(daemon, step)
        daemon.start()
        colour = api.get(settings)["data"]

        def there(colour=colour):
            if not pair.west.group(group):  # it has just been started
                return False
            newest = carried(look(pair.west, group))
            return newest["ConfigMap", "settings"]["object"]["data"] == colour
        wait_for(there, 60, f"a point with the change, after {step}")
    # One document for each point that is kept, and nothing else.
    uuid = pair.east.group(group)["uuid"]
    for daemon in pair:
        def tidy(daemon=daemon):
            return documents(daemon, uuid) == {p["objects"]["digest"] for p in daemon.points(group)}
        wait_for(tidy, 20, "documents that no point carries are gone")
