# SPDX-License-Identifier: Apache-2.0
"""Records that were lost or restored from a backup, two that claim one image, copies and images made
again: nothing is written, nothing is removed, and the state says why."""
import hashlib

import pytest
from harness import MIB, wait_for
from harness.site import FEATURES
from harness.state import State
import rbd

GOLD = {"farshore.io/policy": "gold"}


def fingerprint(site, name, pool="rbd"):
    """Content of the head, the snapshots and the stamp."""
    with site.image(name, pool, read_only=True) as image:
        content = hashlib.sha256(image.read(0, image.size())).hexdigest()
        return (image.id(), content, [s["id"] for s in image.list_snaps()],
                image.metadata_get("farshore.stamp") if has_stamp(image) else None)


def has_stamp(image):
    return any(key == "farshore.stamp" for key, _ in image.metadata_list())


def take_lock_off(site, name):
    """As an operator's `rbd lock rm` would, which blocklists the daemon."""
    with site.image(name) as image:
        for client, cookie, _ in image.list_lockers()["lockers"]:
            image.break_lock(client, cookie)


def in_state(daemon, group, state):
    def check():
        found = daemon.group(group)
        return found and found["state"] == state and found
    return wait_for(check, 30, lambda: f"{group} is {state}: {daemon.group(group)}")


@pytest.fixture
def pair(east, daemons):
    east.create("disk", 16 * MIB, labels=GOLD)
    east.fill("disk")
    made = daemons()
    made.ready("rbd/disk")
    return made


def test_target_that_lost_its_records_applies_nothing_until_adopted(east, west, pair, same):
    uuid = pair.west.group("rbd/disk")["uuid"]
    pair.west.stop()
    State(west, uuid).forget()
    before = fingerprint(west, "disk")
    east.fill("disk", seed=1)
    pair.west.start()
    pair.ask("rbd/disk")
    group = in_state(pair.east, "rbd/disk", "record_lost")
    assert "rbd/disk" in group["reason"] and "adopt" in group["hint"]
    in_state(pair.west, "rbd/disk", "record_lost")
    assert fingerprint(west, "disk") == before
    pair.west.request("adopt", group="rbd/disk", yes=True)
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")
    with west.image("disk", read_only=True) as image:
        left = [s["id"] for s in image.list_snaps() if s["name"] == "farshore.left.1.1"]
    with west.image("disk", snap_id=left[0]) as image:
        assert hashlib.sha256(image.read(0, image.size())).hexdigest() == before[1]


def test_source_whose_records_were_restored_removes_nothing(east, west, pair, same):
    pair.east.stop()
    uuid = pair.west.group("rbd/disk")["uuid"]
    state = State(east, uuid)
    backup = state.read()
    pair.east.start()
    for seed in (1, 2):
        east.fill("disk", seed=seed)
        pair.synced("rbd/disk")
    newest = state.read()
    pair.east.stop()
    state.write(backup)
    source, target = fingerprint(east, "disk"), fingerprint(west, "disk")
    pair.east.start()
    pair.ask("rbd/disk")
    group = in_state(pair.east, "rbd/disk", "record_lost")
    assert "farshore.1." in group["reason"], group
    assert fingerprint(east, "disk") == source and fingerprint(west, "disk") == target
    # The right records back: it goes on, from the same base.
    pair.east.stop()
    state.write(newest)
    pair.east.start()
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")


def test_target_whose_records_were_restored_applies_nothing_until_adopted(east, west, pair, same):
    uuid = pair.west.group("rbd/disk")["uuid"]
    pair.west.stop()
    state = State(west, uuid)
    backup = state.read()
    pair.west.start()
    for seed in (1, 2, 3, 4):  # what the backup knows is let go of
        east.fill("disk", seed=seed, ranges=((seed * MIB, MIB),))
        pair.synced("rbd/disk")
    newest = state.read()
    pair.west.stop()
    state.write(backup)
    before = fingerprint(west, "disk")
    pair.west.start()
    pair.wait_for_session()
    east.fill("disk", seed=5, ranges=((0, 32 << 10),))
    pair.ask("rbd/disk")
    group = in_state(pair.east, "rbd/disk", "record_lost")
    assert "has seen version" in group["reason"] and "adopt" in group["hint"], group
    in_state(pair.west, "rbd/disk", "record_lost")
    assert fingerprint(west, "disk") == before
    # The right records back: it goes on.
    pair.west.stop()
    state.write(newest)
    pair.west.start()
    pair.wait_for_session()
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")
    # Or without: what differs is found, kept aside where nobody can tell whose it is, and shipped.
    pair.west.stop()
    state.write(backup)
    pair.west.start()
    pair.wait_for_session()
    east.fill("disk", seed=6, ranges=((0, 32 << 10),))
    pair.ask("rbd/disk")
    in_state(pair.west, "rbd/disk", "record_lost")
    wire = pair.east.group("rbd/disk")["counters"]["sync_bytes"]["wire"]
    pair.west.request("adopt", group="rbd/disk", yes=True)
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")
    assert pair.east.group("rbd/disk")["counters"]["sync_bytes"]["wire"] - wire < MIB
    assert pair.west.events("snapshot_unknown"), "what the lost records knew is named"
    east.fill("disk", seed=7)
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")


def test_another_state_pool_at_the_target_is_no_licence(east, west, pair, same):
    pair.west.stop()
    before = fingerprint(west, "disk")
    pair.west.config["ceph"]["state_pool"] = "rbd2"
    pair.west.write_config()
    east.fill("disk", seed=1)
    pair.west.start()
    pair.ask("rbd/disk")
    in_state(pair.east, "rbd/disk", "record_lost")
    assert fingerprint(west, "disk") == before
    pair.west.stop()
    pair.west.config["ceph"]["state_pool"] = "rbd"
    pair.west.write_config()
    pair.west.start()
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")


def test_another_state_pool_at_the_source_takes_no_group_over(east, west, pair):
    pair.east.stop()
    source, target = fingerprint(east, "disk"), fingerprint(west, "disk")
    pair.east.config["ceph"]["state_pool"] = "rbd2"
    pair.east.write_config()
    pair.east.start()
    in_state(pair.east, "rbd/disk", "record_lost")
    assert fingerprint(east, "disk") == source and fingerprint(west, "disk") == target


def test_second_source_of_one_target_image_is_refused(east, west, daemons, same):
    east.create("disk", 16 * MIB, labels=GOLD)
    east.fill("disk")
    pair = daemons(policies={"gold": {"pools": {"rbd": "rbd", "rbd2": "rbd"}}})
    pair.ready("rbd/disk")
    uuid = pair.west.group("rbd/disk")["uuid"]
    before = fingerprint(west, "disk")
    east.create("disk", 16 * MIB, pool="rbd2", labels=GOLD)
    east.fill("disk", pool="rbd2", seed=7)
    pair.ask("rbd2/disk")
    group = in_state(pair.east, "rbd2/disk", "error")
    assert uuid in group["reason"] and "rbd/disk" in group["reason"], group
    assert fingerprint(west, "disk") == before
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")


def test_copies_and_images_made_again_are_left_alone(east, west, pair, same):
    pair.west.expect_error("event=lease_lost")
    take_lock_off(west, "disk")  # nobody can rename it otherwise
    with west.ioctx() as io:
        # The real one is moved aside, a copy with its metadata takes the name: found by its id.
        with rbd.Image(io, "disk", read_only=True) as image:
            image.copy(io, "impostor")
        rbd.RBD().rename(io, "disk", "elsewhere")
        rbd.RBD().rename(io, "impostor", "disk")
    before = fingerprint(west, "disk")
    east.fill("disk", seed=1)
    pair.synced("rbd/disk")
    assert fingerprint(west, "disk") == before
    same(pair, "rbd/disk")
    # Deleted, and one of its name made: not written to either.
    take_lock_off(west, "elsewhere")
    with west.image("elsewhere") as image:
        for snap in image.list_snaps():
            image.remove_snap(snap["name"])
    with west.ioctx() as io:
        rbd.RBD().remove(io, "elsewhere")
        rbd.RBD().create(io, "elsewhere", 16 * MIB, old_format=False, features=FEATURES)
    made = fingerprint(west, "elsewhere")
    east.fill("disk", seed=2)
    pair.ask("rbd/disk")
    group = in_state(pair.east, "rbd/disk", "error")
    assert "was deleted" in group["reason"], group
    assert fingerprint(west, "elsewhere") == made and fingerprint(west, "disk") == before


def test_first_copy_seeded_from_a_backup(east, west, daemons, same):
    """An image in the way is refused, until an operator adopts it: only what differs is shipped, and what
    it held is kept. Not while somebody uses it."""
    size = 64 * MIB
    east.create("disk", size, labels=GOLD)
    east.fill("disk", ranges=((0, size),))
    west.create("disk", size)  # the backup of last night
    west.fill("disk", ranges=((0, size),))
    with west.image("disk") as image:
        image.write(b"old" * 1000, 20 * MIB)
    before = fingerprint(west, "disk")
    pair = daemons()
    group = in_state(pair.west, "rbd/disk", "error")
    assert "not Farshore's" in group["reason"] and "adopt" in group["hint"]
    in_state(pair.east, "rbd/disk", "error")
    assert fingerprint(west, "disk") == before
    with west.image("disk") as user:
        user.write(b"x", 30 * MIB)
        assert pair.west.request("adopt", group="rbd/disk", yes=True)["adopting"]
        wait_for(lambda: "has it open" in pair.west.group("rbd/disk")["reason"], 40,
                 lambda: f"it is in use: {pair.west.group('rbd/disk')}")
    before = fingerprint(west, "disk")[1]
    wait_for(lambda: pair.west.group("rbd/disk").get("recovery_point"), 60,
             lambda: f"it becomes the replica: {pair.west.group('rbd/disk')}\n{pair.west.log(20)}")
    same(pair, "rbd/disk")
    assert pair.west.group("rbd/disk")["counters"]["sync_bytes"]["wire"] < 2 * MIB
    with west.image("disk", read_only=True) as image:
        kept, = [s["name"] for s in image.list_snaps() if s["name"].startswith("farshore.left.")]
    with west.ioctx() as io, rbd.Image(io, "disk", snapshot=kept) as image:
        assert hashlib.sha256(image.read(0, size)).hexdigest() == before
