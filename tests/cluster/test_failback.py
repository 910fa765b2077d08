# SPDX-License-Identifier: Apache-2.0
"""The way back on real clusters: after a failover the old primary becomes the secondary, and
receives the difference only; what it alone had stays in snapshots. After a split brain a resync does
the same by digests. Nobody's disks are taken while they are open."""
import json
import re
import threading
import time

import rbd
from harness import MIB, content, wait_for
from harness.linked import (GROUP, NAMES, SIZE, at_point, becomes, cut_off, failover, head, role)
from harness.tool import farshore


def follow(daemon, command, *arguments, timeout_s=120):
    done = farshore(daemon, command, "--yes", "-o", "json", GROUP, *arguments, timeout_s=timeout_s)
    assert done.returncode == 0, done.stderr + daemon.log(40)
    return json.loads(done.stdout)["groups"][0]


def left(site, name):
    """The snapshots of what was kept aside, and their digests."""
    with site.image(name, read_only=True) as image:
        names = [s["name"] for s in image.list_snaps() if s["name"].startswith("farshore.left.")]
    found = {}
    for snap in names:
        with site.ioctx() as io, rbd.Image(io, name, snapshot=snap) as image:
            found[snap] = image.read(0, image.size())
    return found


def write(site, name, offset, byte, length=4096):
    with site.image(name) as image:
        image.write(byte * length, offset)


def same_newest(primary, secondary):
    """The secondary's newest point is settled at the primary, and the same byte for byte."""
    (site_a, a), (site_b, b) = primary, secondary

    def common():
        here = {p["id"]: p for p in a.committed(GROUP)}
        newest = b.committed(GROUP)[-1]
        return newest["id"] in here and (here[newest["id"]], newest)
    ours, theirs = wait_for(common, 40, lambda: f"a common point\n{a.log(20)}\n{b.log(20)}")
    content.same_point((site_a, ours), (site_b, theirs))
    return theirs


def diverged(linked, writer, **options):
    """East was cut off after a point that was taken under a writer, and has written since; west is
    primary, and has written too."""
    setup = linked(policy={"retain": {"latest": 1}, **options})
    pair, (east, west) = setup.pair, setup.sites
    busy = writer(east, [f"rbd/{name}" for name in NAMES], "mixed", rate=400)
    for _ in range(2):
        pair.synced(GROUP)
    busy.stop()
    with cut_off(setup):
        write(east, "root", 3 * MIB, b"E")
        told = failover(pair.west)
        write(west, "root", 9 * MIB, b"W")
        write(west, "data", 3 * MIB, b"W", MIB)
    role(pair.east, "superseded")
    return setup, told


def test_failback_ships_the_difference_and_keeps_the_rest(linked, writer):
    setup, told = diverged(linked, writer)
    pair, (east, west) = setup.pair, setup.sites
    heads = {name: head(east, name) for name in NAMES}
    plan = farshore(pair.east, "failback", "--dry-run", GROUP)
    assert plan.returncode == 0 and "farshore.left.1." in plan.stdout and "rbd/root" in plan.stdout
    refused = farshore(pair.east, "failback", GROUP, answer="n\n")
    assert refused.returncode == 3
    assert farshore(pair.west, "failback", "--yes", GROUP).returncode == 3
    assert {name: head(east, name) for name in NAMES} == heads

    done = follow(pair.east, "failback")
    assert done["outcome"] == "secondary" and done["term"] == 2 and done["peer"] == "west"
    assert done["wire_bytes"] < SIZE / 4  # of 64 MiB: what was written since, and the writer's
    role(pair.east, "secondary")
    point = same_newest((west, pair.west), (east, pair.east))
    assert point["id"] == done["recovery_point"]["id"] and point["term"] == 2
    # What east alone had, whole: as its head was. Nothing was kept of a volume that had nothing.
    kept = {name: left(east, name) for name in NAMES}
    assert [len(found) for found in kept.values()] == [1, 1]  # the writer's last writes, too
    assert list(kept["root"].values())[0][3 * MIB:3 * MIB + 4096] == b"E" * 4096
    with east.image("root", read_only=True) as image:
        assert image.list_lockers()["lockers"], "a secondary's image is out of its users' reach"
    again = follow(pair.east, "failback")
    assert again["outcome"] == "already"
    listed = json.loads(farshore(pair.east, "left", "-o", "json", GROUP).stdout)["left"]
    assert sorted((s["image"], s["snapshot"], s["size_bytes"]) for s in listed) == \
        sorted((n, "farshore.left.1.1", SIZE) for n in NAMES)
    assert all(abs(s["taken_timestamp"] - time.time()) < 600 for s in listed)
    assert farshore(pair.east, "discard", "--yes", GROUP, "--snapshot", "other").returncode == 3
    gone = farshore(pair.east, "discard", "--yes", GROUP, "--snapshot", "farshore.left.1.7")
    assert gone.returncode == 1 and "farshore left" in gone.stderr
    assert farshore(pair.east, "discard", GROUP, "--snapshot", "farshore.left.1.1",
                    answer="n\n").returncode == 3
    assert left(east, "root")
    assert farshore(pair.east, "discard", "--yes", GROUP, "--snapshot",
                    "farshore.left.1.1").returncode == 0, pair.east.log(20)
    assert not left(east, "root") and not left(east, "data")
    steps = [e["step"] for e in pair.east.request("history", group=GROUP)["history"]]
    assert steps[:3] == ["superseded", "begun", "done"]

    # And home again: every step of the way is the same in the other direction.
    write(west, "data", 20 * MIB, b"w")
    wait_for(lambda: pair.west.request("sync", group=GROUP) is not None, 20, "a point is asked for")
    newest = pair.west.committed(GROUP)[-1]
    wait_for(lambda: pair.west.committed(GROUP)[-1]["seq"] > newest["seq"], 40,
             lambda: f"it is committed: {pair.west.group(GROUP)}")
    back = failover(pair.east)
    assert back["term"] == 3
    assert {n: head(east, n) for n in NAMES} == at_point(east, pair.east, back["point"])
    role(pair.west, "superseded")
    write(east, "root", 0, b"e")
    follow(pair.west, "failback")
    same_newest((east, pair.east), (west, pair.west))
    assert told["term"] == 2


def test_failback_waits_until_the_disks_are_free(linked, writer):
    setup, _ = diverged(linked, writer)
    pair, (east, west) = setup.pair, setup.sites
    said = []
    with east.image("data") as image:
        image.write(b"x" * 4096, 0)
        thread = threading.Thread(
            target=lambda: said.append(farshore(pair.east, "failback", "--yes", GROUP)))
        thread.start()
        thread.join(4)
        assert thread.is_alive()
        image.write(b"y" * 4096, 4096)  # he was not touched
        role(pair.east, "superseded")
        assert not left(east, "root") and not left(east, "data")
    thread.join(100)
    assert said[0].returncode == 0, said[0].stderr
    assert re.search("waits: .*image rbd/data: the client at .* has it open", said[0].stderr)
    same_newest((west, pair.west), (east, pair.east))
    (kept,) = left(east, "data").values()
    assert kept[:8192] == b"x" * 4096 + b"y" * 4096


def test_superseded_site_goes_back_to_a_point(linked, writer):
    """Not from its heads, but from a point of its own: they are kept, and the other site yields."""
    setup, _ = diverged(linked, writer)
    pair, (east, west) = setup.pair, setup.sites
    alone = {}
    for name in NAMES:
        with east.image(name, read_only=True) as image:
            alone[name] = image.read(0, image.size())
    point = pair.east.committed(GROUP)[-1]["name"]
    with east.image("data"):  # a client
        refused = farshore(pair.east, "failover", "--yes", "--point", point, GROUP)
        assert refused.returncode == 3 and "in use" in refused.stderr, refused.stderr
        assert "rbd/data" in refused.stderr
    role(pair.east, "superseded")
    plan = farshore(pair.east, "failover", "--dry-run", "--point", point, GROUP)
    assert plan.returncode == 0 and point in plan.stdout and "farshore.left.*" in plan.stdout
    wanted = at_point(east, pair.east, point)
    told = failover(pair.east, "--point", point, GROUP)
    assert told["term"] == 3 and told["point"] == point
    assert {name: head(east, name) for name in NAMES} == wanted
    (kept,) = left(east, "root").values()
    assert kept == alone["root"]
    assert set(left(east, "data").values()) <= {alone["data"]}
    role(pair.west, "superseded")
    write(east, "data", 11 * MIB, b"e")
    follow(pair.west, "failback")
    same_newest((east, pair.east), (west, pair.west))
    assert head(east, "data") == head(west, "data")


def test_resync_after_a_split_brain(linked):
    setup = linked(policy={"retain": {"latest": 1}})
    pair, (east, west) = setup.pair, setup.sites
    for daemon in pair:
        daemon.expect_error("event=split_brain")
    with cut_off(setup):
        wait_for(lambda: not pair.east.status()["peers"][0]["up"], 40, "the link is down")
        failover(pair.east)
        failover(pair.west)
        write(east, "root", 3 * MIB, b"E")
        write(west, "root", 9 * MIB, b"W")
    for daemon in pair:
        becomes(daemon, "state", "split_brain")
    assert farshore(pair.east, "failback", "--yes", GROUP).returncode == 3
    assert farshore(pair.east, "resync", "--yes", GROUP, "--from", "east").returncode == 3
    assert farshore(pair.east, "resync", "--yes", GROUP).returncode == 2
    done = follow(pair.east, "resync", "--from", "west")
    assert done["outcome"] == "secondary" and done["term"] == 2
    assert done["wire_bytes"] < MIB  # two blocks differ
    same_newest((west, pair.west), (east, pair.east))
    (kept,) = left(east, "root").values()
    assert kept[3 * MIB:3 * MIB + 4096] == b"E" * 4096
    assert not left(east, "data")
    for daemon in pair:
        becomes(daemon, "state", "ok")
