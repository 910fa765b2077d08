# SPDX-License-Identifier: Apache-2.0
"""Two real sites, each with a real Kubernetes API: what uses the volumes is stopped at one and comes up at
the other, in relocations and failovers."""
import json
import subprocess
import threading

import pytest
from harness import MIB, SOURCE, wait_for
from harness.daemon import program
from harness.kube import CORE, VM_API, Api, ApiError, server
from harness.kubevirt import Place
from harness.tool import farshore
from harness.virt_api import VirtApi

GOLD = {"farshore.io/policy": "gold"}


@pytest.fixture(scope="module")
def far_dir(kube_dir):
    """West's API server; the other one is east's."""
    assert kube_dir
    with server() as directory:
        yield directory


@pytest.fixture
def far(far_dir, ns):
    api = Api(far_dir)
    yield api
    api.lab("start")
    api.clear(ns)


@pytest.fixture
def places(api, far, tmp_path, east, west):
    made = [Place(api, tmp_path / "east", east), Place(far, tmp_path / "west", west)]
    yield made
    for place in made:
        place.controllers.close()


@pytest.fixture
def shop(ns, places, east, daemons):
    """A protected virtual machine with two disks, running at east; (pair, places, group)."""
    here = places[0].api
    for name in ("root", "data"):
        image = f"csi-vol-{ns}-{name}"
        east.create(image, 16 * MIB)
        east.fill(image)
        here.pvc(ns, name, {**GOLD, "app": "shop"})
        here.bind(ns, name, image, east.fsid)
    here.vm(ns, "web", "root", "data")
    places[0].set_run(ns, "web", "Always")
    wait_for(lambda: places[0].runs(ns, "web"), 20, "it runs")
    pair = daemons(start=False, policies={"gold": {"group_by": "app", "workload": {
        "stop_timeout": "60s", "start_timeout": "60s"}}})
    for daemon, place in zip(pair, places):
        daemon.config["discovery"] = [{
            "source": "kubernetes", "kubeconfig": str(place.kubeconfig), "interval": "2s",
            "workloads": True, "storage_classes": {"*": "rbd"}}]
        daemon.write_config()
    pair.start()
    group = f"{ns}/shop"
    pair.ready(group)
    return pair, places, group


def relocate(daemon, to, group):
    return farshore(daemon, "relocate", "--yes", "-o", "json", "--to", to, group, timeout_s=240)


def bound(place, ns, west):
    for name in ("root", "data"):
        claim = place.api.get(place.api.pvc_path(ns, name))
        pv = place.api.get(f"{CORE}/persistentvolumes/{claim['spec']['volumeName']}")["spec"]
        assert pv["csi"]["volumeAttributes"]["clusterID"] == west.fsid
        assert pv["csi"]["volumeHandle"] in west.names()
        assert pv["persistentVolumeReclaimPolicy"] == "Retain"
        assert pv["capacity"]["storage"] == claim["spec"]["resources"]["requests"]["storage"]


def test_relocation_there_and_back(shop, ns, east, west):
    """The managed application: git brings the machine to the other site, its volumes wait for it."""
    pair, (near, far), group = shop
    for daemon in pair:
        daemon.config["policies"]["gold"]["objects"] = "none"
        daemon.reload()
    done = relocate(pair.east, "west", group)
    assert done.returncode == 0, done.stderr
    assert near.vm(ns, "web")["spec"]["runStrategy"] == "Halted" and not near.runs(ns, "web")
    told = json.loads(done.stdout)["groups"][0]
    assert told["outcome"] == "relocated" and told["workload"]["failed"] is False
    bound(far, ns, west)
    far.api.vm(ns, "web", "root", "data")
    far.api.patch(f"{VM_API}/namespaces/{ns}/virtualmachines/web", {"spec": {"running": True}})
    wait_for(lambda: far.runs(ns, "web"), 20, "git has brought it")
    wait_for(lambda: pair.east.group(group)["role"] == "secondary", 60, "east follows")
    wait_for(lambda: farshore(pair.west, "relocate", "--dry-run", "--to", "east", group).returncode == 0,
             60, "it can go back")
    back = relocate(pair.west, "east", group)
    assert back.returncode == 0, back.stderr
    assert far.vm(ns, "web")["spec"]["running"] is False and not far.runs(ns, "web")
    assert near.vm(ns, "web")["spec"]["runStrategy"] == "Always"
    wait_for(lambda: near.runs(ns, "web"), 20, "it runs at home again")
    assert "farshore.io/run" not in near.vm(ns, "web")["metadata"].get("annotations", {})


def test_machine_that_does_not_stop_goes_on(shop, ns):
    pair, (near, _far), group = shop
    near.controllers.slow.add("web")
    pair.east.config["policies"]["gold"]["workload"]["stop_timeout"] = "1s"
    pair.east.reload()
    done = relocate(pair.east, "west", group)
    assert done.returncode == 1 and "did not stop within 1 s" in done.stderr, done.stderr
    assert "primary as before" in done.stderr
    assert near.vm(ns, "web")["spec"]["runStrategy"] == "Always"
    pair.east.expect_error("did not stop")


def carry(shop, ns):
    """The machine and a ConfigMap with the group's label are in a point that the other site has."""
    pair, places, group = shop
    places[0].api.create(f"{CORE}/namespaces/{ns}/configmaps",
                         {"metadata": {"name": "settings", "labels": {"app": "shop"}},
                          "data": {"a": "1"}})
    for place in places:
        place.api.apply(SOURCE / "docs/kubernetes/rbac-objects.yaml")

    def carried():
        pair.east.sync(group)
        return all("ConfigMap" in farshore(daemon, "objects", "-o", "json", group).stdout
                   for daemon in pair)
    wait_for(carried, 90, lambda: pair.east.group(group).get("objects"), every_s=2)


def test_machine_that_does_not_come_at_the_other_site(shop, ns):
    """The storage has moved: the command says what is left over, and once more finishes it."""
    pair, (near, far), group = shop
    carry(shop, ns)
    far.api.namespace(ns)
    theirs = f"{CORE}/namespaces/{ns}/configmaps"
    far.api.create(theirs, {"metadata": {"name": "settings"}, "data": {"a": "theirs"}})
    text, told = plan(pair.east, "relocate", "--to", "west", group)
    assert f"THIS WOULD NOT COME UP AT west: ConfigMap {ns}/settings: conflict" in text
    assert "not_served" not in told["workload"]["message"]
    pair.west.config["policies"]["gold"]["workload"]["start_timeout"] = "2s"
    pair.west.reload()
    far.controllers.slow.add("web")
    done = relocate(pair.east, "west", group)
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)["groups"][0]
    assert told["outcome"] == "relocated" and told["workload"]["failed"]
    assert "objects are left over: ConfigMap" in told["workload"]["message"]
    assert pair.east.group(group)["role"] == "secondary" and not near.runs(ns, "web")
    far.api.delete(f"{theirs}/settings")
    far.controllers.slow.clear()
    again = farshore(pair.east, "relocate", "--yes", "--to", "west", group, timeout_s=240)
    assert again.returncode == 0, again.stderr
    assert "already: west is primary in term 2 already" in again.stdout
    assert "what uses the volumes is up there" in again.stdout
    assert far.runs(ns, "web") and far.api.get(f"{theirs}/settings")["data"] == {"a": "1"}
    assert relocate(pair.east, "west", group).returncode == 0, "and nothing is left to do"


def test_machine_that_is_late_and_is_asked_for_once_more(shop, ns, tmp_path):
    """Whoever waited longer is not told what the other command was; and nobody is told that it is up."""
    pair, (_near, far), group = shop
    carry(shop, ns)
    pair.west.config["policies"]["gold"]["workload"]["start_timeout"] = "15s"
    pair.west.reload()
    far.controllers.slow.add("web")
    told = tmp_path / "told"
    with told.open("w") as errors, subprocess.Popen(
            [program("farshore"), "-S", pair.east.config["control"], "relocate", "--yes", "-o", "json", "--to",
             "west", group], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True) as first:
        wait_for(lambda: "waiting for the workload at west" in told.read_text(), 120, told.read_text)
        second = relocate(pair.east, "west", group)
        outcome = json.loads(first.communicate(timeout=60)[0])["groups"][0]
    assert first.returncode == 4 and outcome["outcome"] == "relocated", outcome
    assert "what came of the workload is not known" in outcome["workload"]["message"]
    assert second.returncode == 4 and "does not run yet" in second.stdout, second.stdout
    again = farshore(pair.east, "relocate", "--yes", "--to", "west", group, timeout_s=240)
    assert again.returncode == 4, "it is as it was: " + again.stdout
    assert "nothing more is brought up there" in again.stdout and "does not run yet" in again.stdout
    far.controllers.slow.clear()


def test_relocation_to_a_site_whose_api_is_away(shop, ns, west):
    pair, (_near, far), group = shop
    pair.west.config["policies"]["gold"]["workload"]["start_timeout"] = "15s"
    pair.west.reload()
    far.api.lab("stop")
    text, told = plan(pair.east, "relocate", "--to", "west", group)
    assert "more: failed: GET /api/v1" in told["workload"]["message"] and "AT west" in text
    done = farshore(pair.east, "relocate", "--yes", "--to", "west", group, timeout_s=240)
    assert done.returncode == 4, done.stderr
    assert "LEFT OVER at west, which is primary all the same" in done.stdout
    far.come_back()
    again = relocate(pair.east, "west", group)
    assert again.returncode == 0, again.stderr
    bound(far, ns, west)


def plan(daemon, *order):
    """What is shown before the question, and nothing is changed: (text, the plan)."""
    text = farshore(daemon, *order, "--dry-run", timeout_s=60)
    assert text.returncode == 0, text.stderr
    told = farshore(daemon, *order, "--dry-run", "-o", "json", timeout_s=60)
    return text.stdout, json.loads(told.stdout)["plan"][0]


def test_plan_of_a_failover_names_what_would_not_come_up(shop, ns):
    pair, (near, far), group = shop
    text, told = plan(pair.west, "failover", group)
    assert told["workload"] == {"objects": [], "unknown": ""} and "would take all" in text
    far.api.namespace(ns)
    far.api.pvc(ns, "data")
    far.api.bind(ns, "data", "another", "another-cluster")
    text, told = plan(pair.west, "failover", group)
    assert [(o["object"], o["outcome"]) for o in told["workload"]["objects"]] == [
        (f"PersistentVolumeClaim {ns}/data", "conflict")]
    assert "THIS WOULD NOT COME UP HERE" in text and "is bound to" in text
    far.api.lab("stop")
    text, told = plan(pair.west, "failover", group)
    assert len(told["workload"]["objects"]) == 1 and told["workload"]["objects"][0]["others"] >= 2
    assert "more: failed: GET /api/v1" in text
    assert pair.west.group(group)["role"] == "secondary"
    far.come_back()
    assert near.runs(ns, "web")


def test_machine_that_does_not_stop_is_switched_off(shop, ns, api, tmp_path):
    """stop_late: force."""
    pair, (near, _far), group = shop
    virt = VirtApi(api, ns, tmp_path, near.controllers)
    try:
        near.controllers.slow.add("web")
        pair.east.config["policies"]["gold"]["workload"].update(stop_timeout="1s", stop_late="force")
        pair.east.reload()
        done = relocate(pair.east, "west", group)
        assert done.returncode == 0, done.stderr
        assert virt.verbs() == ["stop"] and not near.runs(ns, "web")
    finally:
        virt.close()


def test_machine_whose_secret_is_not_carried(shop, ns):
    pair, (near, far), group = shop
    near.api.create(f"{CORE}/namespaces/{ns}/secrets", {"metadata": {"name": "key"}, "data": {}})
    near.api.vm(ns, "web", "root", "data", {"secret": {"secretName": "key"}})
    carry(shop, ns)
    text, told = plan(pair.west, "failover", group)
    assert ("Secret key", "missing") in [(o["object"], o["outcome"]) for o in told["workload"]["objects"]]
    assert "VirtualMachine/web needs it, and the point does not carry it" in text
    pair.east.kill()
    pair.west.config["policies"]["gold"]["workload"]["start_timeout"] = "2s"
    pair.west.reload()
    done = farshore(pair.west, "failover", "--yes", group, timeout_s=120)
    assert done.returncode == 4 and "not_running" in done.stdout and "Scheduling" in done.stdout
    far.api.create(f"{CORE}/namespaces/{ns}/secrets", {"metadata": {"name": "key"}, "data": {}})
    again = farshore(pair.west, "failover", "--yes", group, timeout_s=120)
    assert again.returncode == 0, again.stderr
    path = f"{VM_API}/namespaces/{ns}/virtualmachineinstances/web"
    wait_for(lambda: far.api.get(path)["status"]["phase"] == "Running", 20, "it has come by itself")


def test_failover_with_the_api_away_and_again(shop, ns, west):
    pair, (_near, far), group = shop
    pair.west.config["policies"]["gold"]["workload"]["start_timeout"] = "15s"
    pair.west.reload()
    pair.east.kill()
    far.api.lab("stop")
    done = farshore(pair.west, "failover", "--yes", "-o", "json", group, timeout_s=240)
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)["groups"][0]
    assert told["outcome"] == "promoted" and told["workload"]["failed"]
    assert "left over" in told["workload"]["message"]
    far.come_back()
    again = farshore(pair.west, "failover", "--yes", "-o", "json", group, timeout_s=240)
    assert again.returncode == 0, again.stderr + again.stdout
    bound(far, ns, west)
    history = json.loads(farshore(pair.west, "history", "-o", "json", group).stdout)["history"]
    assert [h for h in history if h["step"] == "workload" and "left over" in h["detail"]]


def test_restart_in_the_middle_goes_on(shop, ns, west):
    pair, (_near, far), group = shop
    pair.east.kill()
    far.api.lab("stop")
    done = farshore(pair.west, "failover", "--yes", group, timeout_s=240)
    assert done.returncode == 4
    pair.west.kill()
    far.come_back()
    pair.west.start()
    wait_for(lambda: "what uses the volumes is up" in farshore(pair.west, "history", group).stdout,
             120, "the next daemon has finished it")
    bound(far, ns, west)


def superseded(pair, group, near):
    """East comes back after a failover that was told to fence, its API only once it has learned of that."""
    pair.east.kill()
    done = farshore(pair.west, "failover", "--yes", "--fence=best-effort", group, timeout_s=240)
    assert done.returncode == 0, done.stderr
    near.api.lab("stop")
    pair.east.start()
    wait_for(lambda: (pair.east.group(group) or {}).get("role") == "superseded", 60,
             lambda: pair.east.log(20))
    near.api.lab("start")

    def history():
        return farshore(pair.east, "history", group).stdout
    # One that still refuses everybody is asked again half a minute later.
    wait_for(lambda: "nobody is on the volumes" in history(), 120, history)
    return history()


def test_superseded_site_that_is_to_fence_stops_its_machine(shop, ns):
    """Its controllers would start it again as another client, whenever they are back."""
    pair, (near, _far), group = shop
    assert "what uses the volumes is stopped" in superseded(pair, group, near)
    vm = near.vm(ns, "web")
    assert vm["spec"]["runStrategy"] == "Halted" and not near.runs(ns, "web")
    assert json.loads(vm["metadata"]["annotations"]["farshore.io/run"]) == {"runStrategy": "Always"}
    assert farshore(pair.east, "failback", "--yes", group).returncode == 0


def test_superseded_site_with_a_machine_that_does_not_stop(shop, ns):
    """It is told, and is not in the way of a failback."""
    pair, (near, _far), group = shop
    near.controllers.slow.add("web")
    pair.east.config["policies"]["gold"]["workload"]["stop_timeout"] = "1s"
    pair.east.write_config()
    assert "did not stop within 1 s" in superseded(pair, group, near)
    assert near.vm(ns, "web")["spec"]["runStrategy"] == "Halted"
    assert farshore(pair.east, "failback", "--yes", group).returncode == 0


def test_discovered_machine_travels_with_its_objects(shop, ns, west):
    """What carries the group's label comes along; the point that it comes with was taken after the stop."""
    pair, (near, far), group = shop
    carry(shop, ns)
    text, told = plan(pair.east, "relocate", "--to", "west", group)
    assert told["workload"] == {"message": "", "unknown": ""} and "NOT COME UP" not in text
    far.controllers.slow.add("web")
    threading.Timer(8, far.controllers.slow.clear).start()
    done = relocate(pair.east, "west", group)
    assert done.returncode == 0, done.stderr
    assert far.runs(ns, "web"), "it is done once the machine has come"
    assert "waiting for the workload at west: waiting for VirtualMachine" in done.stderr
    told = json.loads(done.stdout)["groups"][0]
    assert told["downtime_seconds"] > 4 and told["workload"]["failed"] is False
    assert far.vm(ns, "web")["spec"]["runStrategy"] == "Always" and not near.runs(ns, "web")
    settings = far.api.get(f"{CORE}/namespaces/{ns}/configmaps/settings")
    assert settings["data"] == {"a": "1"}
    bound(far, ns, west)
