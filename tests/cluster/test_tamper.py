# SPDX-License-Identifier: Apache-2.0
"""Somebody writes to an image of the secondary behind Farshore's back: nothing is applied over it and
nothing of it is lost, until an operator adopts it."""
import json

import pytest
from harness import MIB, wait_for
from harness.daemon import CommandFailed
from harness.tool import farshore

GOLD = {"farshore.io/policy": "gold"}
JUNK = b"\xee" * 4096


def take_lock_off(site, name):
    """As an operator's `rbd lock rm` would."""
    with site.image(name) as image:
        for client, cookie, _ in image.list_lockers()["lockers"]:
            image.break_lock(client, cookie)


def left(site, name):
    with site.image(name, read_only=True) as image:
        return [s["name"] for s in image.list_snaps() if s["name"].startswith("farshore.left.")]


def tampered(daemon, group):
    wait_for(lambda: daemon.group(group)["state"] == "tampered", 30,
             lambda: f"{group} is tampered: {daemon.group(group)}")
    return daemon.group(group)


@pytest.fixture
def pair(east, daemons):
    for name in ("one", "two"):
        east.create(name, 16 * MIB, labels={**GOLD, "app": "desk"})
        east.fill(name)
    east.create("other", 16 * MIB, labels=GOLD)
    made = daemons(policies={"gold": {"group_by": "app"}})
    made.west.expect_error("event=tampered")
    made.west.expect_error("event=lease_lost")  # taking a lock off blocklists its owner
    made.ready("rbd/desk")
    made.ready("rbd/other")
    return made


def test_write_to_a_secondary_stops_its_group_until_adopted(east, west, pair, same):
    take_lock_off(west, "two")
    with west.image("two") as image:
        image.write(JUNK, 8 * MIB)
        image.write(JUNK, 12 * MIB)
    east.fill("one", seed=1)
    pair.ask("rbd/desk")
    for daemon in pair:
        group = tampered(daemon, "rbd/desk")
        assert "rbd/two" in group["reason"], group
        assert f"4096 bytes at {8 * MIB}, 4096 bytes at {12 * MIB}" in group["reason"]
        assert "farshore adopt" in group["hint"]
    with west.image("two", read_only=True) as image:
        assert image.read(8 * MIB, 4096) == JUNK
    assert not left(west, "two")
    # Others go on, and nobody else's group can be adopted.
    pair.synced("rbd/other")
    with pytest.raises(CommandFailed, match="nothing to adopt"):
        pair.west.request("adopt", group="rbd/other")
    with pytest.raises(CommandFailed, match="run it at west"):
        pair.east.request("adopt", group="rbd/desk")

    shown = farshore(pair.west, "adopt", "rbd/desk", answer="n\n")
    assert shown.returncode == 3 and f"4096 bytes at {8 * MIB}" in shown.stdout, shown
    assert pair.west.group("rbd/desk")["state"] == "tampered"
    adopted = farshore(pair.west, "adopt", "--yes", "rbd/desk")
    assert adopted.returncode == 0, adopted
    pair.synced("rbd/desk")
    same(pair, "rbd/desk")
    assert left(west, "two") == ["farshore.left.1.1"] and not left(west, "one")
    with west.image("two") as image:
        snap = next(s["id"] for s in image.list_snaps() if s["name"] == "farshore.left.1.1")
    with west.image("two", snap_id=snap) as image:
        assert image.read(8 * MIB, 4096) == JUNK and image.read(12 * MIB, 4096) == JUNK
    assert pair.west.group("rbd/desk")["state"] == "ok"
    # It holds for this one time.
    take_lock_off(west, "one")
    with west.image("one") as image:
        image.write(JUNK, 0)
    east.fill("one", seed=2)
    pair.ask("rbd/desk")
    tampered(pair.west, "rbd/desk")
    assert json.loads(farshore(pair.west, "status", "rbd/desk", "-o", "json").stdout)


def test_lock_taken_off_without_a_write_is_no_tampering(east, west, pair, same):
    for name in ("one", "two"):
        take_lock_off(west, name)
    with west.image("one") as image:  # the same bytes again
        image.write(image.read(0, 4096), 0)
        image.metadata_set("note", "somebody was here")
    east.fill("one", seed=1)
    pair.synced("rbd/desk")
    same(pair, "rbd/desk")
    assert not left(west, "one") and not left(west, "two")
