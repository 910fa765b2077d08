# SPDX-License-Identifier: Apache-2.0
"""Random writes, discards, zeroes, resizes, snapshots, clones, flattens and rollbacks on a source
image, a point after each bout, and every committed point has the same bytes at both sites. The seed
is in the test's name and each bout's operations are printed, so that a failure can be repeated."""
import contextlib
import os
import random

import pytest
import rbd
from harness import KIB, MIB, wait_for
from harness.site import FEATURES

GOLD = {"farshore.io/policy": "gold"}
LARGEST = 48 * MIB
SEEDS = [int(s) for s in os.environ.get("FARSHORE_SEEDS", "1").split()]
BOUTS = int(os.environ.get("FARSHORE_BOUTS", "40"))


class Trouble:
    """What can happen to an image; each method is one operation."""

    def __init__(self, site, name, source):
        self.site, self.name, self.source = site, name, source
        self.snapshots = self.clones = 0

    def bout(self):
        done = []
        with self.site.image(self.name) as image:
            for _ in range(self.source.randint(1, 10)):
                operation = self.source.choices(
                    (self.write, self.discard, self.zero, self.resize, self.snapshot,
                     self.drop_snapshot, self.roll_back, self.clone, self.flatten, self.object_map),
                    (30, 12, 8, 8, 6, 4, 2, 2, 2, 2))[0]
                done.append(f"{operation.__name__} {operation(image)}")
        print(f"{self.name}:", "; ".join(done))

    def span(self, image, longest):
        size = image.size()
        if size == 0:
            return 0, 0
        offset = self.source.randrange(size)
        if self.source.random() < 0.5:
            offset = offset // 4096 * 4096
        return offset, min(self.source.randint(1, longest), size - offset)

    def write(self, image):
        offset, length = self.span(image, self.source.choice((512, 64 * KIB, 6 * MIB)))
        if length:
            image.write(self.source.randbytes(length), offset)
        return offset, length

    def discard(self, image):
        offset, length = self.span(image, self.source.choice((64 * KIB, 12 * MIB)))
        if length:
            image.discard(offset, length)
        return offset, length

    def zero(self, image):
        offset, length = self.span(image, self.source.choice((4096, 9 * MIB)))
        if length:
            image.write_zeroes(offset, length)
        return offset, length

    def resize(self, image):
        size = self.source.randrange(LARGEST // 512) * 512
        image.resize(size)
        return size

    def own(self, image):
        return [s["name"] for s in image.list_snaps() if s["name"].startswith("user-")]

    def snapshot(self, image):
        self.snapshots += 1
        image.create_snap(f"user-{self.snapshots}")
        return self.snapshots

    def drop_snapshot(self, image):
        if names := self.own(image):
            name = self.source.choice(names)
            image.remove_snap(name)
            return name
        return None

    def roll_back(self, image):
        if names := self.own(image):
            name = self.source.choice(names)
            image.rollback_to_snap(name)
            return name
        return None

    def clone(self, image):
        """A clone of ours carries its labels and stamps: it must confuse nobody."""
        names = self.own(image)
        if not names:
            return None
        name = self.source.choice(names)
        with self.site.ioctx() as io:
            if not image.is_protected_snap(name):
                image.protect_snap(name)
            # Discovery may make a group of it, and the target keeps that: each has its own name.
            self.clones += 1
            passing = f"{self.name}-passing-{self.clones}"
            rbd.RBD().clone(io, self.name, name, io, passing, features=FEATURES)
            wait_for(lambda: removed(io, passing), 20, "the clone can be removed")
        image.unprotect_snap(name)
        return name

    def flatten(self, image):
        try:
            image.flatten()
            return True
        except rbd.Error:
            return False  # it has no parent any more

    def object_map(self, image):
        """Without and with an object map, as an operator might try."""
        on = image.features() & rbd.RBD_FEATURE_OBJECT_MAP
        image.update_features(rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF, not on)
        return "off" if on else "on"


def removed(io, name):
    try:
        rbd.RBD().remove(io, name)
    except rbd.ImageBusy:  # discovery, which saw its labels, looks at it
        return False
    except rbd.ImageHasSnapshots:  # the labels that it copied made a group of it
        with rbd.Image(io, name) as image:
            if "farshore.io/policy" in dict(image.metadata_list()):
                image.metadata_remove("farshore.io/policy")
            for snap in image.list_snaps():
                with contextlib.suppress(rbd.ImageNotFound):
                    image.remove_snap(snap["name"])
        return False
    return True


def make_clone(site, name, labels):
    """Trouble with a parent below it."""
    site.create(f"{name}-parent", LARGEST)
    site.fill(f"{name}-parent", ranges=((0, 20 * MIB), (30 * MIB, 5 * MIB)))
    with site.image(f"{name}-parent") as image:
        image.create_snap("base")
        image.protect_snap("base")
    with site.ioctx() as io:
        rbd.RBD().clone(io, f"{name}-parent", "base", io, name, features=FEATURES)
    site.label(name, labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_point_is_the_same_whatever_happens(east, daemons, same, seed):
    source = random.Random(seed)
    east.create("single", LARGEST, labels=GOLD)
    east.create("member", LARGEST, labels={**GOLD, "app": "pair"})
    make_clone(east, "cloned", {**GOLD, "app": "pair"})
    trouble = {"rbd/single": [Trouble(east, "single", source)],
               "rbd/pair": [Trouble(east, n, source) for n in ("member", "cloned")]}
    pair = daemons(policies={"gold": {"group_by": "app"}})
    for group in trouble:
        pair.ready(group)
        same(pair, group)
    ids = set()
    for bout in range(BOUTS):
        group = source.choice(list(trouble))
        print(f"bout {bout}: {group}")
        for one in trouble[group]:
            one.bout()
        pair.east.sync(group)
        ids.add(same(pair, group)["id"])
    assert len(ids) == BOUTS


@pytest.mark.parametrize("seed", SEEDS)
def test_every_point_is_the_same_under_kills(east, daemons, same, seed):
    """The same, and at random moments a daemon dies."""
    source = random.Random(seed)
    east.create("single", LARGEST, labels=GOLD)
    one = Trouble(east, "single", source)
    pair = daemons()
    pair.ready("rbd/single")
    for bout in range(BOUTS // 4):
        print(f"bout {bout}")
        one.bout()
        # Open until nothing is under way: librbd 16.2 aborts (AsyncOpTracker) where another client's
        # request comes while it closes.
        with east.image("single") as image:
            pair.ask("rbd/single")
            victim = source.choice((pair.east, pair.west))
            for _ in range(source.randrange(12)):
                one.write(image)
            victim.kill()
            victim.start()
            pair.wait_for_session()
            pair.east.sync("rbd/single")
            wait_for(lambda: len(pair.east.points("rbd/single")) == 1, 20, "older points are gone")
        same(pair, "rbd/single")
