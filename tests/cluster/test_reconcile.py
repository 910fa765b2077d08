# SPDX-License-Identifier: Apache-2.0
"""Records and images that disagree: snapshots that no record knows, records whose snapshots are
gone, images that were renamed or deleted. What can be mended safely is mended; the rest is a state of
that group with a reason and what to do, and the other groups go on."""
import contextlib

import pytest
import rbd
from harness import MIB, wait_for
from harness.daemon import CommandFailed

GOLD = {"farshore.io/policy": "gold"}
SIZE = 8 * MIB


@pytest.fixture
def pair(east, daemons):
    """Groups rbd/hurt and rbd/well, two points each."""
    for name in ("hurt", "well"):
        east.create(name, SIZE, labels=GOLD)
        east.fill(name)
    made = daemons(policies={"gold": {"interval": "1h", "retain": {"latest": 2}}}, start=False)
    made.east.fault = made.dir / "fault"
    made.east.environment["FARSHORE_FAULT"] = f"@{made.east.fault}"
    made.start()
    for name in ("hurt", "well"):
        made.ready(f"rbd/{name}")
        point(east, made, name, 1)
    return made


def point(east, pair, name, seed):
    east.fill(name, seed=seed, ranges=((seed * MIB % SIZE, MIB),))
    pair.east.sync(f"rbd/{name}")


def restart(pair, *daemons):
    for daemon in daemons:
        daemon.stop()  # nothing, where it is down
        daemon.start()
    wait_for(lambda: pair.east.status()["peers"][0]["up"], 20, "the session is up")
    for name in ("hurt", "well"):
        wait_for(lambda n=name: pair.east.group(f"rbd/{n}"), 20, f"{name} is found")


def told(daemon, group, *words):
    """The group's state is a bad one, and its reason and hint have the words."""
    def check():
        found = daemon.group(group)
        said = f"{found['reason']} {found.get('hint', '')}"
        return found["state"] not in ("ok", "syncing") and all(w in said for w in words) and found
    return wait_for(check, 30, lambda: f"{group} says {words}: {daemon.group(group)}")


@contextlib.contextmanager
def unparked(pair, site, name):
    """The target's daemon is down and its lock on the image is lifted: as an operator would."""
    pair.west.stop()
    with site.image(name, read_only=True) as image:
        for client, cookie, _ in image.list_lockers()["lockers"]:
            image.break_lock(client, cookie)
    yield
    restart(pair, pair.west)


def snapshot_of(site, daemon, name, index):
    volume = daemon.committed(f"rbd/{name}")[index]["volumes"][0]
    with site.image(name) as image:
        return next(s["name"] for s in image.list_snaps() if s["id"] == volume["snap_id"])


def test_snapshot_that_no_record_knows_is_removed_at_the_source(east, pair, same):
    lost = "farshore.1.1.deadbeef"
    with east.image("hurt") as image:
        image.create_snap(lost)
        image.create_snap("farshore.left.1.1")
        image.create_snap("mine")
    restart(pair, pair.east)
    point(east, pair, "hurt", 2)
    with east.image("hurt") as image:
        names = {s["name"] for s in image.list_snaps()}
        assert lost not in names and {"mine", "farshore.left.1.1"} <= names
        for name in ("mine", "farshore.left.1.1"):
            image.remove_snap(name)
    same(pair, "rbd/hurt")


def test_older_point_whose_snapshot_was_removed_at_the_target(east, west, pair, same):
    name = snapshot_of(west, pair.west, "hurt", 0)
    with unparked(pair, west, "hurt"), west.image("hurt") as image:
        image.remove_snap(name)
    for seed in (2, 3, 4):
        point(east, pair, "hurt", seed)
    same(pair, "rbd/hurt")
    assert len(pair.west.committed("rbd/hurt")) == 2


def test_point_whose_snapshot_was_removed_before_it_was_shipped_is_taken_again(east, pair, same):
    east.fill("hurt", seed=2, ranges=((MIB, MIB),))
    pair.east.fault.write_text("take.complete")
    pair.ask("rbd/hurt")
    wait_for(lambda: not pair.east.running(), 20, "a point is complete and not offered")
    with east.image("hurt") as image:
        image.remove_snap(max(image.list_snaps(), key=lambda s: s["id"])["name"])
    restart(pair, pair.east)

    def taken_again():  # the lost one may be offered first
        try:
            return point(east, pair, "hurt", 3) or True
        except CommandFailed:
            return False
    wait_for(taken_again, 30, lambda: pair.east.log(20))
    same(pair, "rbd/hurt")


def test_base_whose_snapshot_was_removed_at_the_source_is_compared(east, pair, same):
    with east.image("hurt") as image:
        image.remove_snap(snapshot_of(east, pair.east, "hurt", -1))
    restart(pair, pair.east, pair.west)
    point(east, pair, "hurt", 2)
    same(pair, "rbd/hurt")
    assert pair.east.events("rebased")


def test_image_deleted_at_the_target_stops_its_group_only(east, west, pair, same):
    with unparked(pair, west, "hurt"):
        with west.image("hurt") as image:
            for snap in list(image.list_snaps()):
                image.remove_snap(snap["name"])
        with west.ioctx() as io:
            rbd.RBD().remove(io, "hurt")
    east.fill("hurt", seed=2)
    pair.ask("rbd/hurt")
    told(pair.east, "rbd/hurt", "deleted", "rbd trash")
    point(east, pair, "well", 2)
    same(pair, "rbd/well")


def test_image_renamed_at_the_target_is_followed(east, west, pair):
    with unparked(pair, west, "hurt"), west.ioctx() as io:
        rbd.RBD().rename(io, "hurt", "renamed")
    point(east, pair, "hurt", 2)
    volume = pair.west.committed("rbd/hurt")[-1]["volumes"][0]
    assert volume["image"] == "renamed"
    assert "hurt" not in west.names()
