# SPDX-License-Identifier: Apache-2.0
"""What goes past librbd leaves no trace: with object I/O and without it the sites have the same bytes
after every kind of change, and the target's object maps are true, as `rbd object-map check` and
librbd's own diffs tell."""
import random
import subprocess

import pytest
from harness import KIB, MIB

GOLD = {"farshore.io/policy": "gold"}
OBJECT = 4 * MIB
SIZE = 12 * OBJECT + 68 * KIB


def scattered(image, rng, count=120, low=0, high=SIZE):
    """Small writes all over some objects, many in each; some touch, some cross objects."""
    for _ in range(count):
        length = rng.choice((512, 4096, 8192, 20 * KIB))
        image.write(rng.randbytes(length), rng.randrange(low, high - length) // 512 * 512)


def holes(image, rng):
    """Between the writes of an object: zeroed, discarded and written again."""
    for number in (1, 4, 7):
        at = number * OBJECT
        image.write_zeroes(at + 64 * KIB, 100 * KIB)
        image.discard(at + 1 * MIB, 256 * KIB)
        image.write(rng.randbytes(4096), at + 1 * MIB + 64 * KIB)
        image.write(rng.randbytes(4096), at)
        image.write_zeroes(at + 3 * MIB, MIB)  # the tail


def whole_objects(image, rng):
    """Removed, removed and written again, written as a whole, and a new one with holes."""
    image.discard(2 * OBJECT, OBJECT)
    image.discard(5 * OBJECT, 2 * OBJECT)
    scattered(image, rng, 20, 6 * OBJECT, 7 * OBJECT)
    image.write(rng.randbytes(OBJECT), 8 * OBJECT)
    image.discard(10 * OBJECT, OBJECT)


def shrunk(image, rng):
    image.resize(7 * OBJECT + MIB)
    scattered(image, rng, 60, 5 * OBJECT, 7 * OBJECT + MIB)


def grown(image, rng):
    image.resize(SIZE)
    scattered(image, rng, 40, 6 * OBJECT, SIZE)


def shrunk_and_grown(image, rng):
    image.resize(3 * OBJECT - 4096)
    image.resize(SIZE)
    scattered(image, rng, 60, 2 * OBJECT, 5 * OBJECT)


def same_again(image, rng):
    """What is written is what was there."""
    for number in range(4):
        at = number * OBJECT + 16 * KIB
        for offset in range(0, 10 * 40 * KIB, 40 * KIB):
            image.write(image.read(at + offset, 4096), at + offset)


CHANGES = (scattered, holes, whole_objects, shrunk, grown, shrunk_and_grown, same_again, scattered)


def rbd_command(site, *args):
    done = subprocess.run(["rbd", "--conf", site.conf, *args], check=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.stdout


def flags(site, image, snapshot):
    with site.image(image, read_only=True) as opened:
        if snapshot:
            opened.set_snap(snapshot)
        return opened.flags()


def check_map(site, image, snapshot=None):
    """The check makes a map that is wrong invalid; it needs no lock at a snapshot."""
    spec = f"rbd/{image}@{snapshot}" if snapshot else f"rbd/{image}"
    assert flags(site, image, snapshot) == 0, f"{spec}: its object map was invalid before"
    rbd_command(site, "object-map", "check", "--no-progress", spec)
    assert flags(site, image, snapshot) == 0, f"{spec}: its object map was wrong"


def objects(image, start, whole_object):
    found = set()

    def extent(offset, length, exists):
        found.update(range(offset // OBJECT, (offset + length - 1) // OBJECT + 1))
    image.diff_iterate(0, image.size(), start, extent, include_parent=True,
                       whole_object=whole_object)
    return found


def content(site, name, snapshot):
    with site.image(name, read_only=True) as image:
        image.set_snap(snapshot)
        return [image.read(at, min(OBJECT, image.size() - at))
                for at in range(0, image.size(), OBJECT)]


def check_diffs(site, name):
    """From each snapshot to the next: librbd's fast diff names every object that its exact one does,
    and both name every object whose bytes differ."""
    with site.image(name, read_only=True) as image:
        names = [snap["name"] for snap in image.list_snaps()]
        contents = [content(site, name, snapshot) for snapshot in names]
        for before, after in zip([None, *range(len(names))], range(len(names))):
            image.set_snap(names[after])
            start = names[before] if before is not None else None
            fast, exact = (objects(image, start, whole) for whole in (True, False))
            was = contents[before] if before is not None else []
            different = {i for i, now in enumerate(contents[after])
                         if now.strip(b"\0") != (was[i].strip(b"\0") if i < len(was) else b"")}
            assert exact <= fast, f"{start} to {names[after]}: {sorted(exact - fast)}"
            assert different <= fast, f"{start} to {names[after]}: {sorted(different - fast)}"
            assert different <= exact, f"{start} to {names[after]}: {sorted(different - exact)}"
    return names


def unlock(site, name):
    with site.image(name) as image:
        for locker in image.list_lockers()["lockers"]:
            image.break_lock(locker[0], locker[1])


@pytest.mark.sanitized
@pytest.mark.parametrize("object_io", ("auto", "off"))
def test_object_maps_are_true_after_every_kind_of_change(east, west, daemons, same, object_io,
                                                         monkeypatch):
    monkeypatch.setenv("FARSHORE_TEST_OBJECT_IO", object_io)
    rng = random.Random(object_io)
    east.create("mapped", SIZE, labels=GOLD)
    with east.image("mapped") as image:
        image.write(rng.randbytes(3 * MIB), OBJECT // 2)
        scattered(image, rng, 200)
    pair = daemons(policies={"gold": {"retain": {"latest": 20}}})
    pair.ready("rbd/mapped")
    same(pair, "rbd/mapped")
    for change in CHANGES:
        with east.image("mapped") as image:
            change(image, rng)
        pair.east.sync("rbd/mapped")
        same(pair, "rbd/mapped")
    names = check_diffs(west, "mapped")
    assert len(names) == len(CHANGES) + 1
    for name in names:
        check_map(west, "mapped", name)
    for daemon in pair:
        daemon.stop()
    unlock(west, "mapped")
    check_map(west, "mapped")
    for name in names:  # removing them changes the maps of those that follow
        with west.image("mapped") as image:
            image.remove_snap(name)
        check_map(west, "mapped")
