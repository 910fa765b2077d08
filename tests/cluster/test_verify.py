# SPDX-License-Identifier: Apache-2.0
"""farshore verify: what it proves, what it finds, and what it must not mistake for a difference."""
import json
import socket
import time

import pytest
import rbd
from harness import KIB, MIB, wait_for
from harness.site import FEATURES
from harness.tool import farshore

GOLD = {"farshore.io/policy": "gold"}


def verify(daemon, group, exit_status=0, point=None):
    """The outcome, or what the tool said where there is none."""
    arguments = ["verify", group, "-o", "json"] + (["--point", point] if point else [])
    done = farshore(daemon, *arguments)
    assert done.returncode == exit_status, f"{done}\n{daemon.log(20)}"
    return json.loads(done.stdout)["verify"] if exit_status in (0, 4) else done.stderr


def prove(pair, group):
    """From either site; without a difference."""
    for daemon in pair:
        outcome = verify(daemon, group)
        assert outcome["outcome"] == "equal" and outcome["different_objects"] == 0
        assert outcome["against"] == "peer"
    return outcome


def tamper(site, name, object_number, offset, data, pool="rbd"):
    """Behind everybody's back, into the snapshot too: a write without a snapshot context makes no
    clone, so whatever the head's object stands for changes."""
    with site.image(name, pool, read_only=True) as image:
        prefix = image.stat()["block_name_prefix"]
    with site.ioctx(pool) as io:
        io.write(f"{prefix}.{object_number:016x}", data, offset)


@pytest.mark.sanitized
def test_equal_whatever_way_zeroes_are_stored(east, west, daemons, same):
    east.create("plain", 65 * MIB, labels=GOLD)
    east.fill("plain", ranges=((0, 20 * MIB), (40 * MIB, 100 * KIB), (64 * MIB, 1 * MIB)))
    with east.image("plain") as image:
        image.write(bytes(4 * MIB), 24 * MIB)            # an object of zeroes here, a hole there
        image.write(bytes(300 * KIB), 30 * MIB)          # zeroes in a short object
        image.write(b"\1", 48 * MIB + 70 * KIB)          # a short object, not whole chunks
        image.write(b"\2" * 5000, 52 * MIB + 1 * MIB)    # an object that begins with a hole
        image.discard(8 * MIB, 4 * MIB)
        image.discard(12 * MIB + 100 * KIB, 500 * KIB)
    pair = daemons()
    pair.ready("rbd/plain")
    same(pair, "rbd/plain")
    outcome = prove(pair, "rbd/plain")
    assert outcome["total_bytes"] == 65 * MIB
    assert outcome["read_bytes"] < 30 * MIB
    for daemon in pair:
        group = daemon.group("rbd/plain")
        assert group["state"] == "ok" and time.time() - group["verify"]["proved_timestamp"] < 60
        assert "farshore_verify_timestamp_seconds{" in daemon.http("/metrics")


@pytest.mark.parametrize("shape", ["data_pool", "striped", "tiny_objects", "clone", "resized"])
def test_shapes(east, west, daemons, same, shape):
    options = {"data_pool": {"data_pool": "rbd-data"}, "tiny_objects": {"order": 12},
               "striped": {"features": FEATURES | rbd.RBD_FEATURE_STRIPINGV2,
                           "stripe_unit": 64 * KIB, "stripe_count": 5}}.get(shape, {})
    size = (4 if shape == "tiny_objects" else 40) * MIB
    if shape == "clone":
        east.create("parent", size)
        east.fill("parent", ranges=((0, 9 * MIB),))
        with east.image("parent") as image:
            image.create_snap("s")
            image.protect_snap("s")
        with east.ioctx() as io:
            rbd.RBD().clone(io, "parent", "s", io, "shaped", features=FEATURES)
        east.label("shaped", GOLD)
        with east.image("shaped") as image:
            image.write(b"child" * 100, 5 * MIB)
    else:
        east.create("shaped", size, labels=GOLD, **options)
        east.fill("shaped", ranges=((0, 3 * MIB), (size // 2, 70 * KIB)))
    pair = daemons()
    pair.ready("rbd/shaped")
    same(pair, "rbd/shaped")
    prove(pair, "rbd/shaped")
    with east.image("shaped") as image:
        if shape == "resized":
            image.resize(17 * MIB + 512)
        image.write(b"more" * 100, 2 * MIB + 10)
        image.discard(1 * MIB, 100 * KIB)
    pair.east.sync("rbd/shaped")
    same(pair, "rbd/shaped")
    prove(pair, "rbd/shaped")


def test_namespace_and_several_volumes(east, west, daemons, same):
    east.create_namespace("tenant")
    west.create_namespace("far")
    for name in ("one", "two"):
        east.create(name, 16 * MIB, namespace="tenant", labels={**GOLD, "app": "shop"})
        east.fill(name, namespace="tenant")
    pair = daemons(policies={"gold": {"pools": {"rbd/tenant": "rbd/far"}, "group_by": "app"}})
    pair.ready("rbd/tenant/shop")
    same(pair, "rbd/tenant/shop")
    assert prove(pair, "rbd/tenant/shop")["total_bytes"] == 32 * MIB


@pytest.mark.sanitized
def test_one_byte(east, west, daemons, same):
    east.create("bad", 32 * MIB, labels=GOLD)
    east.fill("bad", ranges=((0, 16 * MIB),))
    pair = daemons()
    pair.ready("rbd/bad")
    same(pair, "rbd/bad")
    with west.image("bad", read_only=True) as image:
        old = image.read(8 * MIB + 1000 * KIB, 1)
    tamper(west, "bad", 2, 1000 * KIB, bytes([old[0] ^ 1]))
    for daemon in pair:
        daemon.expect_error("verify_different")
        outcome = verify(daemon, "rbd/bad", exit_status=4)
        assert outcome["outcome"] == "different" and outcome["different_objects"] == 1
        [found] = outcome["differences"]
        assert found["object"] == 2 and found["length"] == 64 * KIB
        assert found["offset"] == 8 * MIB + 1000 * KIB // (64 * KIB) * (64 * KIB)
        assert found["image"] == "rbd/bad"
        group = daemon.group("rbd/bad")
        assert group["state"] == "degraded" and "rbd/bad" in group["reason"] and group["hint"]
        assert "proved_timestamp" not in group["verify"]
    # It is remembered over a restart, and gone when a proof succeeds.
    pair.west.stop()
    pair.west.start()
    pair.wait_for_session()
    wait_for(lambda: pair.west.group("rbd/bad")["state"] == "degraded", 10, "it is remembered")
    tamper(west, "bad", 2, 1000 * KIB, old)
    prove(pair, "rbd/bad")
    assert [daemon.group("rbd/bad")["state"] for daemon in pair] == ["ok", "ok"]


def test_many_differences_are_counted(east, west, daemons, same):
    east.create("worse", 4 * MIB, order=14, labels=GOLD)
    east.fill("worse")
    pair = daemons()
    pair.ready("rbd/worse")
    same(pair, "rbd/worse")
    for number in range(100):
        tamper(west, "worse", 2 * number, 100, b"\0\1" * 50)
    pair.west.expect_error("verify_different")
    outcome = verify(pair.west, "rbd/worse", exit_status=4)
    assert outcome["different_objects"] == 100 and len(outcome["differences"]) == 64
    assert outcome["differences"][1] == {**outcome["differences"][1], "object": 2, "length": 16384}


def test_older_points(east, west, daemons, same):
    east.create("aged", 16 * MIB, labels=GOLD)
    east.fill("aged", ranges=((0, 8 * MIB),))
    pair = daemons()
    pair.ready("rbd/aged")
    first = same(pair, "rbd/aged")
    prove(pair, "rbd/aged")
    for seed in (1, 2):
        east.fill("aged", seed=seed, ranges=((0, 100 * KIB),))
        pair.east.sync("rbd/aged")
    second = pair.west.committed("rbd/aged")[1]

    assert verify(pair.west, "rbd/aged", point=first["name"])["against"] == "kept"
    assert verify(pair.east, "rbd/aged", point=first["id"])["outcome"] == "equal"
    assert "never proved" in verify(pair.west, "rbd/aged", exit_status=3, point=second["id"])
    assert "no such point" in verify(pair.west, "rbd/aged", exit_status=3,
                                     point="00000000-0000-4000-8000-000000000001")
    # An older point needs nobody else.
    pair.east.stop()
    wait_for(lambda: not pair.west.status()["peers"][0]["up"], 20, "the session is down")
    assert verify(pair.west, "rbd/aged", point=first["id"])["outcome"] == "equal"
    assert "session" in verify(pair.west, "rbd/aged", exit_status=3)
    tamper(west, "aged", 1, 2 * MIB, b"wrong")  # no later point has a clone of it
    pair.west.expect_error("verify_different")
    outcome = verify(pair.west, "rbd/aged", exit_status=4, point=first["id"])
    assert [d["object"] for d in outcome["differences"]] == [1]


def digest_objects(site):
    with site.ioctx() as io:
        io.set_namespace("farshore")
        return sorted(o.key for o in io.list_objects() if o.key.startswith("digest."))


def test_digests_go_with_their_point(east, west, daemons, same):
    east.create("kept", 8 * MIB, labels=GOLD)
    east.fill("kept")
    pair = daemons(policies={"gold": {"retain": {"latest": 1}}})
    pair.ready("rbd/kept")
    point = same(pair, "rbd/kept")
    prove(pair, "rbd/kept")
    [kept] = digest_objects(west)
    assert kept.endswith(point["id"]) and not digest_objects(east)
    for seed in (1, 2):
        east.fill("kept", seed=seed)
        pair.east.sync("rbd/kept")
    assert not digest_objects(west)


def test_held_and_cancelled(east, west, daemons, same):
    """A point stays as long as it is looked at; whoever asked may go away."""
    east.create("slow", 256 * MIB, labels=GOLD)
    east.fill("slow", ranges=((0, 160 * MIB),))
    pair = daemons(policies={"gold": {"retain": {"latest": 1}, "verify": {"rate": "1 MiB"}}})
    pair.ready("rbd/slow")
    same(pair, "rbd/slow")
    held = [site.farshore_snapshots("slow")[0] for site in (east, west)]
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(pair.east.config["control"]))
        asking.sendall(b'{"command": "verify", "group": "rbd/slow"}\n')
        with asking.makefile() as lines:
            assert json.loads(lines.readline())["progress"]["phase"] == "running"
        wait_for(lambda: pair.west.group("rbd/slow")["verify"].get("done_bytes", 0) > 0, 20,
                 "something was compared")
        for seed in (1, 2):
            east.fill("slow", seed=seed, ranges=((0, 4 * MIB),))
            pair.east.sync("rbd/slow")
        for site, snapshots in zip((east, west), held):
            assert set(snapshots) <= set(site.farshore_snapshots("slow")[0])
    wait_for(lambda: pair.west.group("rbd/slow")["verify"]["phase"] == "idle", 20, "it is cancelled")
    wait_for(lambda: pair.east.group("rbd/slow")["verify"]["phase"] == "idle", 20, "here too")
    for _ in range(2):
        east.fill("slow", seed=3, ranges=((0, 4 * MIB),))
        pair.east.sync("rbd/slow")
    for site, snapshots in zip((east, west), held):
        assert not set(snapshots) & set(site.farshore_snapshots("slow")[0])


def test_in_the_background(east, west, daemons, same):
    east.create("often", 16 * MIB, labels=GOLD)
    east.fill("often")
    pair = daemons(policies={"gold": {"verify": {"every": "2s"}}})
    pair.ready("rbd/often")
    wait_for(lambda: len(pair.west.events("verified")) >= 2, 60,
             lambda: f"it is proved again and again:\n{pair.west.log()}")
    assert not pair.east.events("verified")
    assert "farshore_verify_timestamp_seconds{" in pair.west.http("/metrics")
