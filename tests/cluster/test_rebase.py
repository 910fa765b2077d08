# SPDX-License-Identifier: Apache-2.0
"""The base is gone, and the sites' histories have not parted: the pair mends itself by digests. What
travels is what differs, the target's points stay, nobody is asked. One pair of daemons serves all
tests, each with a group of its own."""
import contextlib
import re
import tempfile
import uuid

from harness import KIB, MIB, content, wait_for
from harness.daemon import DaemonPair
from harness.end import check_end
from harness.site import FEATURES
from harness.state import State
import pytest
import rbd

LABEL = "farshore.io/policy"
GROUPS = ("marks", "snaps", "target", "both", "trash", "away", "parted")
SIZE = 12 * MIB
# What a point of write() may cost: 32 KiB in each of two volumes, in whole chunks; messages.
LITTLE = 192 * KIB
POLICY = {"gold": {"interval": "1h", "retain": {"latest": 2}, "group_by": "app"}}


def create_clone(east, name, features):
    east.create(f"{name}-parent", SIZE, features=features)
    east.fill(f"{name}-parent", ranges=((0, 8 * MIB),))
    with east.image(f"{name}-parent") as image:
        image.create_snap("s")
        image.protect_snap("s")
    with east.ioctx() as io:
        rbd.RBD().clone(io, f"{name}-parent", "s", io, name, features=features)
    east.label(name, {LABEL: "gold", "app": name})


@pytest.fixture(scope="module")
def pair(clusters):
    """Each group has two points; the clones have one."""
    for site in clusters:
        site.renew_pools()
    for app in GROUPS:
        for name in (f"{app}-0", f"{app}-1"):
            clusters[0].create(name, SIZE, labels={LABEL: "gold", "app": app})
            clusters[0].fill(name, ranges=((0, 7 * MIB),))
    create_clone(clusters[0], "flat", FEATURES)
    create_clone(clusters[0], "deep", FEATURES | rbd.RBD_FEATURE_DEEP_FLATTEN)
    with tempfile.TemporaryDirectory(prefix="farshore-rebase-") as directory:
        made = DaemonPair(*clusters, directory, policies=POLICY)
        try:
            made.start()
            for app in (*GROUPS, "flat", "deep"):
                made.ready(f"rbd/{app}")
            yield made
            check_end(made, *clusters)
        finally:
            made.kill()
            for daemon in made:
                print(f"--- log of {daemon.site.name}", daemon.log(100), sep="\n")


class Case:
    def __init__(self, clusters, pair, app, images=2):
        self.east, self.west = clusters
        self.pair, self.group = pair, f"rbd/{app}"
        self.images = [f"{app}-{i}" for i in range(images)] or [app]
        self.seed = 0

    def write(self):
        self.seed += 1
        for name in self.images:
            self.east.fill(name, seed=self.seed, ranges=((5 * MIB + 4 * KIB, 32 * KIB),))

    def point(self):
        self.write()
        self.pair.east.sync(self.group)

    def wire(self):
        return self.pair.east.group(self.group)["counters"]["sync_bytes"]["wire"]

    def rebased(self):
        return [e for e in self.pair.east.events("rebased") if f"group={self.group} " in e]

    def same(self):
        def both():
            there = {p["id"]: p for p in self.pair.west.committed(self.group)}
            here = [p for p in self.pair.east.committed(self.group) if p["id"] in there]
            return here and (here[-1], there[here[-1]["id"]])
        a, b = wait_for(both, 20, f"{self.group} has a common point")
        assert len(a["volumes"]) == len(self.images)
        content.same_point((self.east, a), (self.west, b))

    def digests(self, points):
        found = {}
        for point in points:
            for volume in point["volumes"]:
                with content.opened(self.west, volume) as image:
                    found[point["id"], volume["image"]] = content.digest(image, content.ranges(image))
        return found

    def mends(self, kept=True):
        """Another point, in the place of what is missing; then one as ever."""
        before = self.digests(self.pair.west.committed(self.group)[-1:]) if kept else {}
        wire, told = self.wire(), len(self.rebased())
        self.point()
        assert self.wire() - wire <= LITTLE, f"{self.wire() - wire} bytes for little"
        assert len(self.rebased()) == told + 1, "it was mended"
        self.same()
        after = self.digests(self.pair.west.committed(self.group))
        assert before.items() <= after.items(), "a point of the target's changed or went"
        self.point()
        assert len(self.rebased()) == told + 1, "the next one has a base"
        self.same()
        assert [d.group(self.group)["state"] for d in self.pair] == ["ok", "ok"]

    def remove(self, site, wanted):
        """Remove user snapshots of the images by name."""
        removed = 0
        for name in self.images:
            with site.image(name) as image:
                for snap in list(image.list_snaps()):
                    if re.search(wanted, snap["name"]):
                        image.remove_snap(snap["name"])
                        removed += 1
        return removed

    def kept_aside(self):
        return [name for name in self.images
                if any(s.startswith("farshore.left.1.") for _, s in heads(self.west, name)[0])]

    @contextlib.contextmanager
    def unparked(self):
        """The target's daemon is down and its locks are lifted, as an operator would."""
        self.pair.west.stop()
        for name in self.images:
            with self.west.image(name, read_only=True) as image:
                for client, cookie, _ in image.list_lockers()["lockers"]:
                    image.break_lock(client, cookie)
        yield
        self.pair.west.start()
        wait_for(lambda: self.pair.east.status()["peers"][0]["up"], 20, "the session is up")


def heads(site, name):
    with site.image(name, read_only=True) as image:
        return ([(s["id"], s["name"]) for s in image.list_snaps()],
                content.digest(image, content.ranges(image)))


def image_id(site, name):
    with site.image(name, read_only=True) as image:
        return image.id()


@pytest.fixture
def case(clusters, pair, request):
    return Case(clusters, pair, request.param)


def on(app):
    return pytest.mark.parametrize("case", [app], indirect=True)


@on("marks")
@pytest.mark.sanitized
def test_marks_removed_at_the_source(case):
    assert case.remove(case.east, r"^farshore\.mark\.") == 2
    case.mends()


@on("snaps")
def test_group_snapshot_and_marks_removed_at_the_source(case):
    case.remove(case.east, r"^farshore\.mark\.")
    with case.east.ioctx() as io:
        for name in rbd.RBD().group_list(io):
            if name == f"farshore.{case.pair.east.group(case.group)['uuid']}":
                for snap in list(rbd.Group(io, name).list_snaps()):
                    rbd.Group(io, name).remove_snap(snap["name"])
    case.mends()


@on("target")
@pytest.mark.sanitized
def test_base_removed_at_the_target(case):
    case.point()
    newest = case.pair.west.committed(case.group)[-1]
    with case.unparked():
        assert case.remove(case.west, re.escape(newest["name"])) == 2
    case.mends(kept=False)
    assert newest["id"] not in [p["id"] for p in case.pair.west.committed(case.group)]
    assert case.pair.west.events("point_lost")
    # Nobody could tell any more whether the images held what they should.
    assert case.kept_aside() == case.images


@on("both")
def test_everything_removed_at_both_sites(case):
    case.remove(case.east, r"^farshore\.mark\.")
    with case.unparked():
        assert case.remove(case.west, r"^farshore\.1\.") >= 2
    case.mends(kept=False)
    assert case.kept_aside() == case.images


@on("trash")
def test_images_that_were_in_the_trash_at_the_source(case):
    """Their snapshots are given up there, so that they can be removed."""
    def members(count):
        found = case.pair.east.group(case.group)
        return len(found["volumes"] if found else []) == count

    def given_up(moved):
        with case.east.ioctx() as io, rbd.Image(io, image_id=moved, read_only=True) as image:
            return not list(image.list_snaps())

    def away(names, points=0):
        moved = {name: image_id(case.east, name) for name in names}
        case.images = [name for name in case.images if name not in names]
        with case.east.ioctx() as io:
            for name in names:
                rbd.RBD().trash_move(io, name)
        for one in moved.values():
            wait_for(lambda i=one: given_up(i), 30, lambda: f"given up:\n{case.pair.east.log(20)}")
        for _ in range(points):
            case.point()
        with case.east.ioctx() as io:
            for name, one in moved.items():
                rbd.RBD().trash_restore(io, one, name)
        case.images += names
        wait_for(lambda: members(2), 20, "they are found again")

    away(["trash-1"])
    case.mends(kept=False)
    away(["trash-1"], points=3)  # no point that is left has it
    case.mends(kept=False)
    away(["trash-0", "trash-1"])  # nor is there any, at the source
    case.mends()


@on("away")
def test_image_that_was_in_the_trash_at_the_target(case):
    away = case.images[1]
    moved = image_id(case.west, away)
    with case.unparked(), case.west.ioctx() as io:
        rbd.RBD().trash_move(io, away)
        rbd.RBD().trash_restore(io, moved, away)
    wire = case.wire()
    case.point()
    assert case.wire() - wire <= LITTLE
    case.same()


@pytest.mark.parametrize("app", ["flat", "deep"])
def test_flatten(clusters, pair, app):
    case = Case(clusters, pair, app, images=0)
    wire = case.wire()
    with case.east.image(app) as image:
        image.write(b"before" * 1000, 3 * MIB)
        image.flatten()
        image.write(b"after" * 1000, 7 * MIB)
    pair.east.sync(case.group)
    case.same()
    assert case.wire() - wire <= LITTLE, f"{case.wire() - wire} bytes for a flatten"


@on("parted")
def test_histories_that_parted_are_left_alone(case):
    """The target's points are of a term that the source is not in: they are not its past."""
    state = State(case.west, case.pair.west.group(case.group)["uuid"])
    case.pair.west.stop()

    def part(record):
        for point in record["points"]:
            point["point"]["id"] = str(uuid.uuid4())
            point["point"]["term"]["number"] += 1
    state.edit(part)
    before = [heads(case.west, name) for name in case.images]
    case.pair.west.start()
    case.pair.wait_for_session()
    case.write()
    case.pair.ask(case.group)

    def diverged(daemon):
        found = daemon.group(case.group)
        return found["state"] == "diverged" and found
    for daemon in case.pair:
        found = wait_for(lambda d=daemon: diverged(d), 30, lambda: case.pair.east.group(case.group))
        assert "parted" in found["reason"] and found["hint"], found
    assert [heads(case.west, name) for name in case.images] == before
    assert not case.rebased()
