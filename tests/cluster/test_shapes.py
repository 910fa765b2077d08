# SPDX-License-Identifier: Apache-2.0
"""Images of every shape: a first copy, then a change, and both points have the same bytes at both
sites."""
import time

import pytest
import rbd
from harness import KIB, MIB, TIB, content, wait_for
from harness.site import FEATURES, LAYERING

GOLD = {"farshore.io/policy": "gold"}
STRANGE_NAME = "a b'\"\\;:,#%&()[]{}<>|~$!?=+*^`é€-"


def change(site, name, pool="rbd", namespace=""):
    """A little of everything: small and large writes, a discard, explicit zeroes."""
    with site.image(name, pool, namespace) as image:
        size = image.size()
        for at in (0, 4096, size // 2 - 512, size - 4096):
            image.write(b"\xa5" * 4096, at // 512 * 512)
        image.write(b"\x5a" * 100, size // 3)
        image.discard(size // 4 // 4096 * 4096, 64 * KIB)
        image.write_zeroes(size // 8 // 4096 * 4096, 64 * KIB)


def replicate(daemons, same, group, site, name, pool="rbd", namespace="", pair=None, **options):
    pair = pair or daemons(**options)
    pair.ready(group)
    same(pair, group)
    change(site, name, pool, namespace)
    pair.east.sync(group)
    point = same(pair, group)
    assert len(pair.west.committed(group)) == 2
    pair.flags = point["flags"]
    return pair


@pytest.mark.sanitized
def test_plain_image(east, daemons, same):
    east.create("plain", 64 * MIB, labels=GOLD)
    east.fill("plain", ranges=((0, 20 * MIB), (40 * MIB, 1 * MIB)))
    pair = replicate(daemons, same, "rbd/plain", east, "plain")
    assert not pair.flags
    group = pair.east.group("rbd/plain")
    assert group["state"] == "ok" and group["role"] == "primary"
    assert group["rpo_lag_seconds"] < 30
    assert pair.west.group("rbd/plain")["role"] == "secondary"


@pytest.mark.parametrize("order", [12, 16, 25])
def test_object_size(east, daemons, same, order):
    east.create("sized", 8 * MIB if order == 12 else 96 * MIB, labels=GOLD, order=order)
    east.fill("sized", ranges=((0, 300 * KIB), (5 * MIB, 70 * KIB)))
    replicate(daemons, same, "rbd/sized", east, "sized")


def test_fancy_striping(east, daemons, same):
    east.create("striped", 64 * MIB, labels=GOLD, features=FEATURES | rbd.RBD_FEATURE_STRIPINGV2,
                stripe_unit=64 * KIB, stripe_count=5)
    east.fill("striped", ranges=((0, 9 * MIB), (31 * MIB, 200 * KIB)))
    replicate(daemons, same, "rbd/striped", east, "striped")


def test_data_pool(east, daemons, same):
    east.create("split", 64 * MIB, labels=GOLD, data_pool="rbd-data")
    east.fill("split")
    replicate(daemons, same, "rbd/split", east, "split")


def test_namespace(east, west, daemons, same):
    east.create_namespace("tenant")
    west.create_namespace("far")
    east.create("inside", 64 * MIB, namespace="tenant", labels=GOLD)
    east.fill("inside", namespace="tenant")
    replicate(daemons, same, "rbd/tenant/inside", east, "inside", namespace="tenant",
              policies={"gold": {"pools": {"rbd/tenant": "rbd/far"}}})
    assert west.names(namespace="far") == ["inside"]
    assert west.names() == []


def test_without_features_beyond_layering(east, daemons, same):
    east.create("bare", 64 * MIB, labels=GOLD, features=LAYERING)
    east.fill("bare")
    pair = replicate(daemons, same, "rbd/bare", east, "bare")
    # Without an exclusive lock nobody holds back its writers.
    assert pair.flags == ["not_one_instant"]
    assert pair.east.group("rbd/bare")["slow_reason"]
    assert pair.east.events("slow_diff")


@pytest.mark.parametrize("length", [12345 * 512 + 100, 4096])
def test_size_that_is_no_multiple_of_anything(east, daemons, same, length):
    east.create("odd", length, labels=GOLD)
    east.fill("odd", ranges=((0, length // 2),))
    pair = daemons()
    pair.ready("rbd/odd")
    same(pair, "rbd/odd")
    east.fill("odd", seed=1, ranges=((length - 100, 100),))
    pair.east.sync("rbd/odd")
    same(pair, "rbd/odd")


def test_resized_between_points(east, daemons, same):
    east.create("elastic", 32 * MIB, labels=GOLD)
    east.fill("elastic", ranges=((0, 32 * MIB),))
    pair = daemons()
    pair.ready("rbd/elastic")
    for size in (48 * MIB, 10 * MIB + 4096, 32 * MIB):
        with east.image("elastic") as image:
            image.resize(size)
            image.write(b"grown", size - 5)
        pair.east.sync("rbd/elastic")
        point = same(pair, "rbd/elastic")
        assert point["volumes"][0]["size_bytes"] == size
    # Shrunk and grown again between two points: what was there reads as zeroes.
    with east.image("elastic") as image:
        image.resize(1 * MIB)
        image.resize(32 * MIB)
    pair.east.sync("rbd/elastic")
    same(pair, "rbd/elastic")


@pytest.mark.parametrize("removed", (False, True))
def test_rolled_back_to_a_snapshot_older_than_the_base(east, daemons, same, removed):
    """librbd's fast diff sees nothing of it: the object map goes back with the content. That the
    snapshot is gone by the time of the diff must not hide it."""
    east.create("undone", 32 * MIB, labels=GOLD)
    east.fill("undone", ranges=((8 * MIB, 4096), (16 * MIB, 4096)))
    with east.image("undone") as image:
        image.create_snap("one")
        image.create_snap("two")  # by then the objects count as clean
        image.discard(16 * MIB, 4 * MIB)
    pair = daemons()
    east.fill("undone", seed=1, ranges=((8 * MIB, 4096), (24 * MIB, 4096)))
    pair.ready("rbd/undone")
    same(pair, "rbd/undone")
    with east.image("undone") as image:
        image.rollback_to_snap("two")
        for name in ("one", "two") if removed else ():
            image.remove_snap(name)
    pair.east.sync("rbd/undone")
    same(pair, "rbd/undone")
    assert "rollback" in pair.east.group("rbd/undone")["slow_reason"]


@pytest.mark.sanitized
def test_clone_carries_its_parents_data_and_arrives_standalone(east, west, daemons, same):
    east.create("parent", 64 * MIB)
    east.fill("parent", ranges=((0, 8 * MIB), (20 * MIB, 5 * MIB)))
    with east.image("parent") as image:
        image.create_snap("golden")
        image.protect_snap("golden")
    with east.ioctx() as io:
        rbd.RBD().clone(io, "parent", "golden", io, "child", features=FEATURES)
    east.label("child", GOLD)
    east.fill("child", ranges=((1 * MIB, 10 * KIB), (40 * MIB, 3 * MIB)))
    pair = replicate(daemons, same, "rbd/child", east, "child")
    assert west.names() == ["child"]
    with west.image("child", read_only=True) as image:
        with pytest.raises(rbd.ImageNotFound):
            image.parent_info()
    # A flatten makes every object look changed; the content is the same.
    with east.image("child") as image:
        image.flatten()
    pair.east.sync("rbd/child")
    same(pair, "rbd/child")


def test_discarded_and_zeroed_ranges_free_space_at_the_target(east, west, daemons, same):
    east.create("thin", 64 * MIB, labels=GOLD)
    east.fill("thin", ranges=((0, 64 * MIB),))
    pair = daemons(policies={"gold": {"retain": {"latest": 1}}})
    pair.ready("rbd/thin")
    with east.image("thin") as image:
        image.discard(0, 32 * MIB)
        image.write_zeroes(40 * MIB, 8 * MIB)
        image.write(b"\0" * (4 * MIB), 52 * MIB)  # zeroes that someone wrote out
    before = pair.east.group("rbd/thin")["counters"]["sync_bytes"]["wire"]
    pair.east.sync("rbd/thin")
    same(pair, "rbd/thin")
    assert pair.east.group("rbd/thin")["counters"]["sync_bytes"]["wire"] - before < 64 * KIB
    with west.image("thin", read_only=True) as image:
        # Whole objects: the one with zeroes written out may stay, empty.
        runs = content.used(image)
        assert sum(length for _, length in runs) <= 24 * MIB, runs


@pytest.mark.parametrize("name", [STRANGE_NAME, "x" * 90])
def test_names(east, daemons, same, name):
    east.create(name, 16 * MIB, labels=GOLD)
    east.fill(name)
    replicate(daemons, same, f"rbd/{name}", east, name)


@pytest.mark.sanitized
def test_group_with_pvc_names(east, daemons, same):
    labels = {**GOLD, "app": "shop", "csi.storage.k8s.io/pvc/namespace": "prod"}
    for name in ("data", "log"):
        east.create(name, 64 * MIB, labels={**labels, "csi.storage.k8s.io/pvc/name": f"shop-{name}"})
        east.fill(name)
    pair = daemons(policies={"gold": {"group_by": "app"}})
    pair.ready("rbd/shop")
    assert len(same(pair, "rbd/shop")["volumes"]) == 2
    assert not same(pair, "rbd/shop")["flags"]
    for _ in range(2):
        change(east, "data")
        change(east, "log")
        pair.east.sync("rbd/shop")
        assert len(same(pair, "rbd/shop")["volumes"]) == 2
    volumes = pair.west.group("rbd/shop")["volumes"]
    assert sorted(v["pvc"] for v in volumes) == ["shop-data", "shop-log"]
    assert {v["pvc_namespace"] for v in volumes} == {"prod"}


@pytest.mark.parametrize("older", (False, True))
def test_time_grows_with_what_changed_and_not_with_the_image(east, daemons, same, older):
    """Asking each of the 262,144 objects takes more than 10 s here. Where the owner has a snapshot that he may
    roll back to, only those are asked that are there."""
    east.create("huge", 1 * TIB, labels=GOLD)
    places = range(0, 1 * TIB, 2560 * MIB)
    with east.image("huge") as image:
        for at in places:
            image.write(b"first" * 800, at)
        if older:
            image.create_snap("mine")
    pair = daemons()
    pair.ready("rbd/huge", timeout_s=30)
    with east.image("huge") as image:
        for at in places[::10]:
            image.write(b"again" * 800, at + 8192)
    begun = time.monotonic()
    pair.east.sync("rbd/huge")
    assert time.monotonic() - begun < 5
    group = pair.east.group("rbd/huge")
    assert group["counters"]["sync_bytes"]["changed"] < 100 * MIB
    assert ("rollback" in (group["slow_reason"] or "")) == older
    same(pair, "rbd/huge")


def test_image_is_renamed_under_way(east, daemons, same):
    east.create("before", 32 * MIB, labels=GOLD)
    east.fill("before")
    pair = daemons()
    uuid = pair.ready("rbd/before") and pair.east.group("rbd/before")["uuid"]
    with east.ioctx() as io:
        rbd.RBD().rename(io, "before", "after")
    change(east, "after")

    def renamed():
        return next((g["name"] for g in pair.east.status()["groups"]
                     if g["uuid"] == uuid and g["volumes"][0]["image"] == "after"), None)
    group = wait_for(renamed, 20, "the group's volume has its new name")
    pair.east.sync(group)
    there = pair.west.committed(uuid)[-1]
    here = next(p for p in pair.east.committed(uuid) if p["id"] == there["id"])
    content.same_point((pair.east.site, here), (pair.west.site, there))
    assert len(pair.west.committed(uuid)) == 2


def test_image_is_deleted_under_way(east, west, daemons):
    east.create("doomed", 64 * MIB, labels=GOLD)
    east.fill("doomed", ranges=((0, 64 * MIB),))
    pair = daemons()
    pair.ready("rbd/doomed")
    # As an operator does it: `rbd snap purge` and `rbd rm`.
    with east.image("doomed") as image:
        for snap in list(image.list_snaps()):
            image.remove_snap(snap["name"])
    with east.ioctx() as io:
        wait_for(lambda: removed(io, "doomed"), 30, "the image can be removed", every_s=0.5)
    group = wait_for(lambda: gone(pair, "rbd/doomed"), 20, "the daemon has noticed")
    assert group == "gone" or group["reason"]
    assert west.names() == ["doomed"], "the copy stays"
    assert pair.west.committed("rbd/doomed"), "and so does its point"


def removed(io, name):
    try:
        rbd.RBD().remove(io, name)
    except (rbd.ImageBusy, rbd.ImageHasSnapshots):
        return False
    return True


def gone(pair, name):
    group = pair.east.group(name)
    if group is None:
        return "gone"
    return group if group["state"] not in ("ok", "syncing") else None
