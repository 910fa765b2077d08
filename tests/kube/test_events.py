# SPDX-License-Identifier: Apache-2.0
"""Two real sites: what the owners of PVCs and virtual machines are told there, of protection, failure,
failover and moves; and that protection goes on where nothing can be told."""
import contextlib
import datetime
import json
import time

import pytest
from harness import SOURCE, wait_for
from harness.kube import VM_API, ApiError
from harness.tool import farshore
from test_doctor import findings
from test_protection import GOLD, SHOP, volume
from test_relocation import far, far_dir, places, relocate, shop  # noqa: F401  (fixtures)
from test_telling import NOTE, described, reasons, vm_path

LASTS_S = 30  # before a state is news


@pytest.fixture
def protect(api, ns, account, east, daemons):
    assert ns and east
    api.define_vms()
    api.apply(SOURCE / "docs/kubernetes/rbac-objects.yaml")

    def make(events=True, **policy):
        if events:
            api.apply(SOURCE / "docs/kubernetes/rbac-events.yaml")
        else:
            api.delete("/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore-events")
        source = {"source": "kubernetes", "kubeconfig": str(account[0]), "interval": "2s"}
        return daemons(policies={"gold": {"group_by": "app", "interval": "5s", **policy}},
                       settings={"discovery": [source]})
    return make


def machine(api, east, ns):
    """A labelled VM with two disks; paths of all that is to be told of it."""
    for i, name in enumerate(("root", "data")):
        volume(api, east, ns, name, SHOP, seed=i)
    api.vm(ns, "shop", "root", {"dataVolume": {"name": "data"}})
    api.patch(vm_path(ns, "shop"), {"metadata": {"labels": SHOP}})
    return [api.pvc_path(ns, "root"), api.pvc_path(ns, "data"), vm_path(ns, "shop")]


def note_of(api, path):
    with contextlib.suppress(ApiError):
        return (api.get(path)["metadata"].get("annotations") or {}).get(NOTE)


def moment(point):
    taken = datetime.datetime.fromtimestamp(int(point["taken_timestamp"]), datetime.timezone.utc)
    return taken.strftime("%Y-%m-%dT%H:%M:%SZ")


def told(api, path, reason):
    with contextlib.suppress(ApiError):  # it may still be on its way
        return next((e for e in described(api, path) if e["reason"] == reason), None)


def test_protection_failure_and_recovery(api, ns, east, protect):
    paths = machine(api, east, ns)
    pair = protect()
    group = f"{ns}/shop"
    pair.ready(group)
    for path in paths:
        event = wait_for(lambda path=path: told(api, path, "Protected"), 20, f"{path} is told")
        assert event["type"] == "Normal" and event["count"] == 1 and "west" in event["message"]
        wait_for(lambda path=path: note_of(api, path), 20, f"{path} has its note")
    # The note made no point: an idle group takes none, whatever is written at its objects.
    wait_for(lambda: pair.east.group(group)["objects"]["state"] == "captured", 20, "objects are captured")
    time.sleep(3)
    before = pair.west.committed(group)[-1]
    api.patch(paths[1], {"metadata": {"annotations": {NOTE: "2001-01-01T00:00:00Z"}}})
    time.sleep(11)
    assert pair.west.committed(group)[-1]["id"] == before["id"]
    assert pair.east.group(group)["state"] == "ok"

    # It is written sparingly: points come, and nobody who watches is woken.
    versions = [api.get(path)["metadata"]["resourceVersion"] for path in paths]
    for seed in range(10, 15):
        east.fill(f"csi-vol-{ns}-data", seed=seed)
        pair.synced(group)
    assert pair.west.committed(group)[-1]["seq"] >= before["seq"] + 4
    assert [api.get(path)["metadata"]["resourceVersion"] for path in paths] == versions

    # The other site is away: it is told once that has lasted, with the time of what there is.
    pair.west.stop()
    began = time.monotonic()
    for path in paths:
        event = wait_for(lambda path=path: told(api, path, "ProtectionFailed"), LASTS_S + 30, f"{path} is told")
        assert event["type"] == "Warning" and "peer_down" in event["message"] and group in event["message"]
    assert time.monotonic() - began > LASTS_S - 5
    newest = pair.east.committed(group)[-1]
    for path in paths:
        wait_for(lambda path=path: note_of(api, path) == moment(newest), 10, lambda: note_of(api, paths[0]))
    pair.west.start()
    for path in paths:
        wait_for(lambda path=path: told(api, path, "ProtectionRecovered"), LASTS_S + 60, f"{path} is told")

    # A daemon that starts says nothing again of what is as it was.
    before = {path: reasons(api, path) for path in paths}
    assert before[paths[0]] == {"Protected": 1, "ProtectionFailed": 1, "ProtectionRecovered": 1}
    pair.east.stop()
    pair.east.start()
    pair.synced(group)
    time.sleep(LASTS_S + 10)
    assert {path: reasons(api, path) for path in paths} == before

    # The label goes, and so does the note.
    for name in ("root", "data"):
        api.label(ns, name, {"farshore.io/policy": None})
    for path in paths:
        wait_for(lambda path=path: told(api, path, "ProtectionEnded"), 20, f"{path} is told")
        wait_for(lambda path=path: not note_of(api, path), 20, f"{path} has no note")


def test_without_the_rights_protection_goes_on(api, ns, east, protect):
    paths = machine(api, east, ns)
    pair = protect(events=False)
    group = f"{ns}/shop"
    pair.ready(group)
    pair.synced(group)

    def said():
        return [(level, message) for level, message, _ in findings(pair.east, "rights")]
    wait_for(lambda: [level for level, _ in said()] == ["warning"], 30, said)
    (_, message, hint), = findings(pair.east, "rights")
    assert "may not create events" in message and "rbac-events.yaml" in hint and "events: false" in hint
    wait_for(lambda: pair.east.events("events_lost"), 30, "the log says it")
    for seed in range(3):
        east.fill(f"csi-vol-{ns}-data", seed=20 + seed)
        pair.synced(group)
    assert len(pair.east.events("events_lost")) == 1
    assert not any(described(api, path) or note_of(api, path) for path in paths)
    assert pair.east.group(group)["state"] in ("ok", "syncing")
    # Who does not want them says so.
    pair.east.config["discovery"][0]["events"] = False
    pair.east.reload()
    wait_for(lambda: [level for level, _ in said()] == ["ok"], 30, said)
    # Rights and configuration come later: so does the note.
    api.apply(SOURCE / "docs/kubernetes/rbac-events.yaml")
    pair.east.config["discovery"][0]["events"] = True
    pair.east.reload()
    wait_for(lambda: [level for level, _ in said()] == ["ok"], 30, said)
    pair.west.stop()
    wait_for(lambda: told(api, paths[0], "ProtectionFailed"), LASTS_S + 90, "it is told again")
    wait_for(lambda: note_of(api, paths[0]), 30, "it is noted")


def test_api_that_is_away_holds_nothing_up(api, ns, east, protect):
    paths = machine(api, east, ns)
    pair = protect()
    group = f"{ns}/shop"
    pair.ready(group)
    wait_for(lambda: told(api, paths[0], "Protected"), 20, "it is told")
    api.lab("pause")  # it accepts connections, and says nothing
    for seed in range(3):
        east.fill(f"csi-vol-{ns}-data", seed=30 + seed)
        pair.synced(group)
    pair.west.stop()
    time.sleep(LASTS_S + 10)  # it is news by then
    wait_for(lambda: pair.east.events("events_lost"), 60, "it could not be told")
    pair.west.start()
    east.fill(f"csi-vol-{ns}-data", seed=40)
    pair.synced(group, timeout_s=60)
    api.lab("continue")
    wait_for(lambda: told(api, paths[0], "ProtectionRecovered"), 150, lambda: reasons(api, paths[0]))


def test_moves_are_told_at_both_sites(shop, ns):  # noqa: F811
    """A failover too: the objects come up first, then they are told."""
    pair, (near, far), group = shop  # noqa: F811
    for place in (near, far):
        for name in ("rbac-objects", "rbac-events"):
            place.api.apply(SOURCE / f"docs/kubernetes/{name}.yaml")
    paths = [near.api.pvc_path(ns, "root"), near.api.pvc_path(ns, "data"),
             f"{VM_API}/namespaces/{ns}/virtualmachines/web"]
    near.api.patch(paths[2], {"metadata": {"labels": {"app": "shop", **GOLD}}})

    def carried():
        pair.east.sync(group)
        return "VirtualMachine" in farshore(pair.east, "objects", "-o", "json", group).stdout
    wait_for(carried, 90, lambda: pair.east.group(group).get("objects"), every_s=2)
    done = relocate(pair.east, "west", group)
    assert done.returncode == 0, done.stderr
    for place, words in ((far, "as east handed it over"), (near, "west is primary in term 2")):
        for path in paths:
            event = wait_for(lambda place=place, path=path: told(place.api, path, "Relocated"), 90,
                             lambda path=path: f"{path}: {farshore(pair.west, 'history', group).stdout}")
            assert event["type"] == "Normal" and words in event["message"]
    # The note is where it is primary now, and neither travelled nor stayed.
    for path in paths:
        wait_for(lambda path=path: note_of(far.api, path), 30, f"{path} has its note")
        wait_for(lambda path=path: not note_of(near.api, path), 30, f"{path} has none")

    # West is lost; east goes on with what it has.
    wait_for(lambda: pair.east.group(group)["role"] == "secondary", 60, "east follows")
    wait_for(lambda: pair.east.committed(group)[-1]["term"] == 2 or pair.west.sync(group), 60, "a point of west's")
    pair.west.kill()
    done = farshore(pair.east, "failover", "--yes", "-o", "json", group, timeout_s=240)
    assert done.returncode in (0, 4), done.stderr
    assert json.loads(done.stdout)["groups"][0]["outcome"] == "promoted"
    for path in paths:
        event = wait_for(lambda path=path: told(near.api, path, "FailedOver"), 60, f"{path} is told")
        assert "primary in term 3" in event["message"] and "loss at most" in event["message"]
    wait_for(lambda: told(near.api, paths[0], "ProtectionFailed"), LASTS_S + 60, "nobody protects it now")
