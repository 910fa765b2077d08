# SPDX-License-Identifier: Apache-2.0
"""Two real sites, and a real Kubernetes API that tells the daemons what to protect."""
import copy

import pytest
from harness import MIB, wait_for
from harness.kube import CORE

GOLD = {"farshore.io/policy": "gold"}
SHOP = {**GOLD, "app": "shop"}


@pytest.fixture
def protect(api, ns, account, east, daemons):
    """protect(...) starts both daemons, with the API as the source of volumes at both."""
    assert ns and east
    api.define_vms()

    def make(start=True, **policy):
        source = {"source": "kubernetes", "kubeconfig": str(account[0]), "interval": "2s"}
        return daemons(start=start, policies={"gold": policy}, settings={"discovery": [source]})
    return make


def volume(api, site, ns, name, labels=None, pool="rbd", seed=0):
    """A PVC with an image that has content, as the CSI driver makes it. The image's name."""
    image = f"csi-vol-{ns}-{name}"
    site.create(image, 16 * MIB, pool=pool)
    site.fill(image, pool=pool, seed=seed)
    api.pvc(ns, name, labels)
    api.bind(ns, name, image, site.fsid, pool=pool)
    return image


def skipped(daemon):
    return {s["pvc"]: s["reason"] for s in daemon.status()["skipped"]}


def pvcs(group):
    return sorted(v["pvc"] for v in group["volumes"]) if group else []


def let_go(daemon, name):
    group = daemon.group(name)
    return group is None or group["state"] not in ("ok", "syncing")


def test_a_label_is_all_it_takes(api, ns, east, west, protect, same):
    image = volume(api, east, ns, "data")
    east.label(image, GOLD)  # metadata is no source here
    pair = protect()
    group = f"{ns}/data"
    wait_for(lambda: pair.east.status()["site"]["kubernetes"]["state"] == "up", 15, "the API is up")
    assert not pair.east.status()["groups"]
    east.unlabel(image, "farshore.io/policy")
    api.label(ns, "data", GOLD)
    pair.ready(group)
    same(pair, group)
    for daemon in pair:
        known = daemon.group(group)["volumes"][0]
        assert (known["pvc_namespace"], known["pvc"]) == (ns, "data")
    uuid = pair.east.group(group)["uuid"]

    api.label(ns, "data", {"farshore.io/policy": None})
    wait_for(lambda: let_go(pair.east, group), 10, "it is let go of")
    api.label(ns, "data", GOLD)
    wait_for(lambda: not let_go(pair.east, group), 10, "it is taken up again")
    assert pair.east.group(group)["uuid"] == uuid

    # Deleted, as the CSI driver does it: the copy and its points stay.
    points = pair.west.committed(group)
    api.remove(ns, "data")
    wait_for(lambda: let_go(pair.east, group), 10, "the PVC is gone")
    assert pair.west.committed(group) == points
    # Made again under the same name it is another group: the old one's points stay, however many
    # come of the new one.
    api.pvc(ns, "data", GOLD)
    east.create("csi-vol-again", 16 * MIB)
    api.bind(ns, "data", "csi-vol-again", east.fsid)
    wait_for(lambda: not let_go(pair.east, group), 10, "the new one is found")
    again = pair.east.group(group)["uuid"]
    assert again != uuid
    for seed in range(5):
        east.fill("csi-vol-again", seed=seed)
        pair.synced(again)
    there = {g["uuid"]: g for g in pair.west.status()["groups"]}
    assert [v["image"] for v in there[again]["volumes"]] == ["csi-vol-again"] and uuid in there
    assert pair.west.committed(uuid) == points
    same(pair, again)


def test_what_is_not_protected_says_why(api, ns, east, protect):
    api.pvc(ns, "pending", GOLD)
    api.pvc(ns, "missing", GOLD)
    api.bind(ns, "missing", "no-such-image", east.fsid)
    api.pvc(ns, "pool", GOLD)
    api.bind(ns, "pool", "x", east.fsid, pool="other")
    api.pvc(ns, "foreign", GOLD)
    api.bind(ns, "foreign", "x", "0f-another-cluster")
    pair = protect()
    wait_for(lambda: len(skipped(pair.east)) == 4, 15, lambda: f"{skipped(pair.east)}")
    reasons = skipped(pair.east)
    assert "not bound" in reasons["pending"]
    assert "rbd/no-such-image is not there" in reasons["missing"]
    assert "pool other" in reasons["pool"]
    assert "0f-another-cluster" in reasons["foreign"] and east.fsid in reasons["foreign"]
    assert all(s["pvc_namespace"] == ns and s["policy"] == "gold"
               for s in pair.east.status()["skipped"])
    # The image comes: so does the group.
    east.create("no-such-image", 16 * MIB)
    pair.ready(f"{ns}/missing")
    assert "missing" not in skipped(pair.east)


def test_disks_of_a_machine_are_one_group(api, ns, east, protect, same):
    for i, name in enumerate(("root", "data")):
        volume(api, east, ns, name, labels=GOLD if i else None, pool="rbd2" if i else "rbd", seed=i)
    api.vm(ns, "shop", "root", {"dataVolume": {"name": "data"}})
    pair = protect(group_by="app")
    group = f"{ns}/shop"
    pair.ready(group)
    assert pvcs(pair.west.group(group)) == ["data", "root"]
    assert {v["vm"] for v in pair.east.group(group)["volumes"]} == {"shop"}
    assert [g["name"] for g in pair.east.status()["groups"]] == [group]
    same(pair, group)
    uuid = pair.east.group(group)["uuid"]

    # A disk is added, without a label; then a label renames the group, which stays the same.
    volume(api, east, ns, "logs", seed=7)
    api.vm(ns, "shop", "root", "data", "logs")
    wait_for(lambda: pvcs(pair.east.group(group)) == ["data", "logs", "root"], 15, "it joins")
    pair.synced(group)
    same(pair, group)
    assert pvcs(pair.west.group(group)) == ["data", "logs", "root"]
    wait_for(lambda: all(len(daemon.status()["groups"]) == 1 for daemon in pair), 15, "what it was is gone")
    api.label(ns, "data", {"app": "web"})
    renamed = wait_for(lambda: pair.east.group(f"{ns}/web"), 15, "the group is renamed")
    assert renamed["uuid"] == uuid and pvcs(renamed) == ["data", "logs", "root"]


def test_api_that_is_away_does_not_stop_protection(api, ns, east, protect, same):
    volume(api, east, ns, "data", SHOP)
    pair = protect(group_by="app", interval="1s")
    group = f"{ns}/shop"
    pair.ready(group)
    api.lab("stop")
    down = wait_for(lambda: (k := pair.east.status()["site"]["kubernetes"])["state"] == "down" and k,
                    20, "the API is seen to be away")
    assert down["since_timestamp"] > 0 and "connect" in down["reason"]
    wait_for(lambda: pair.east.events("kubernetes_down"), 5, "the log says so")

    def another(seed):
        before = len(pair.west.events("point_committed"))
        east.fill(f"csi-vol-{ns}-data", seed=seed)
        wait_for(lambda: len(pair.west.events("point_committed")) > before, 15, "a point comes")
    another(1)
    # Also where the daemon never heard the API: the records know.
    pair.east.stop()
    pair.east.start()
    pair.wait_for_session()
    another(2)
    wait_for(lambda: not let_go(pair.east, group), 10, "the group is well")
    assert pair.east.status()["site"]["kubernetes"]["state"] == "down"
    api.lab("start")
    wait_for(lambda: pair.east.status()["site"]["kubernetes"]["state"] == "up", 20, "it is back")
    another(3)
    volume(api, east, ns, "more", GOLD)
    wait_for(lambda: pair.east.group(f"{ns}/more"), 15, "labels count again")


def test_reload_changes_what_is_selected(api, ns, east, protect):
    volume(api, east, ns, "data", GOLD)
    volume(api, east, ns, "logs", {"tier": "silver"})
    pair = protect()
    pair.ready(f"{ns}/data")
    policies = pair.east.config["policies"]
    policies["silver"] = copy.deepcopy({**policies["gold"], "select": {"labels": "tier=silver"}})
    pair.east.reload()
    found = wait_for(lambda: pair.east.group(f"{ns}/logs"), 10, "the new policy selects it")
    assert found["policy"] == "silver"
    assert not pair.east.events("group_let_go"), "nothing was let go of meanwhile"


def test_after_a_failover_labels_make_no_second_group(api, ns, east, west, protect):
    volume(api, east, ns, "data", SHOP)
    pair = protect(start=False, group_by="app")
    pair.west.config["policies"]["gold"] |= {"select": {"labels": "farshore.io/policy=gold"},
                                             "group_by": "app"}
    pair.west.write_config()
    pair.start()
    group = f"{ns}/shop"
    pair.ready(group)
    uuid = pair.west.group(group)["uuid"]
    pair.east.stop()
    pair.west.request("failover", group=group, yes=True)
    # Without a PVC of its own, what travelled along names the group.
    wait_for(lambda: pair.west.group(group)["role"] == "primary", 20, "it is promoted")
    pair.west.reload()
    image = pair.west.group(group)["volumes"][0]["image"]
    east_pvc = api.get(api.pvc_path(ns, "data"))
    assert east_pvc["metadata"]["labels"] == SHOP
    # The same application at this site: a PVC with the labels, bound to the image.
    api.pvc(ns, "data-west", SHOP)
    api.bind(ns, "data-west", image, west.fsid)
    wait_for(lambda: pvcs(pair.west.group(group)) == ["data-west"], 15, "the group has the PVC")
    groups = pair.west.status()["groups"]
    assert [(g["name"], g["uuid"], g["role"]) for g in groups] == [(group, uuid, "primary")]
    # And a volume that is new there is to join it, once it has been copied.
    west.create("csi-vol-new", 16 * MIB)
    api.pvc(ns, "new", SHOP)
    api.bind(ns, "new", "csi-vol-new", west.fsid)
    beside = wait_for(lambda: pair.west.group(f"{group}+new"), 15, "it is found")
    assert beside["joins"] == group and pvcs(beside) == ["new"]
    assert len(pair.west.status()["groups"]) == 2
    assert not api.get(f"{CORE}/persistentvolumes")["items"] == []
