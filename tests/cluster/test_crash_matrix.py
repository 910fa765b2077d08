# SPDX-License-Identifier: Apache-2.0
"""The crash matrix on real clusters: for each named step of the life of a point (farshore/fault.h)
the process that passes it is killed exactly there and started again. Then replication goes on by
itself, the sites hold the same bytes, what was a recovery point still is one with the same bytes,
and nothing is left behind.

The commit's steps run every time, the others take turns by a seed that is printed; FARSHORE_SEED
repeats a choice, FARSHORE_CRASH_STEPS names the steps ("all", or some of them). With an odd seed object I/O
is off, unless FARSHORE_TEST_OBJECT_IO says otherwise.

One pair of daemons serves all steps, each with a group of its own; a step that fails costs the pair,
and the next one begins with a fresh one."""
import os
import random
import re

import pytest
import rbd
from harness import MIB, content, crash, wait_for
from harness.crash import ELSEWHERE, OPERATIONS, Shared, catalogue
from harness.daemon import CommandFailed

LABEL = "farshore.io/policy"
POLICY = {"group_by": "app", "retain": {"latest": 1}}
EVERY_TIME = ("commit.",)
ROTATING = 8
LARGE = 72 * MIB  # positions are made durable every 32 MiB
HEAL_S = 60


def chosen():
    """(step, site): where a step is passed at either site, one of them, or both in a full run."""
    steps = catalogue()
    wanted = os.environ.get("FARSHORE_CRASH_STEPS", "")
    seed = int(os.environ.get("FARSHORE_SEED") or random.SystemRandom().randrange(1 << 32))
    source = random.Random(seed)
    cases = []
    for name, who in steps:
        if name.startswith((*OPERATIONS, *ELSEWHERE)):
            continue
        sites = {"SOURCE": ["east"], "HELPER": ["east"], "TARGET": ["west"]}.get(who, ["east", "west"])
        if wanted:
            cases += [(name, s) for s in sites if wanted == "all" or name in wanted.split()]
        else:
            cases.append((name, source.choice(sites)))
    if wanted:
        return cases, seed
    always = [c for c in cases if c[0].startswith(EVERY_TIME)]
    others = [c for c in cases if c not in always]
    return always + source.sample(others, min(ROTATING, len(others))), seed


CASES, SEED = chosen()
HELPER = {name for name, who in catalogue() if who == "HELPER"}


@pytest.fixture(scope="module")
def shared(clusters):
    object_io = os.environ.get("FARSHORE_TEST_OBJECT_IO") or ("auto", "off")[SEED % 2]
    print(f"FARSHORE_SEED={SEED}, object I/O {object_io}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARSHORE_TEST_OBJECT_IO", object_io)
        made = Shared(clusters, POLICY)
        yield made
        made.end()


# --- one step -----------------------------------------------------------------------------------


class Case:
    """A group of its own, and what happens to it."""

    def __init__(self, pair, clusters, step, site, number):
        self.pair, self.step, self.victim = pair, step, getattr(pair, site)
        self.east, self.west = clusters
        self.app = f"app{number}"
        self.group = f"rbd/{self.app}"
        self.images = []
        self.version = 0
        self.newest = None
        self.dropped = set()  # points that the test itself has spoilt: listed until there is a better

    def create(self, count=2, size=8 * MIB):
        for _ in range(count):
            name = f"{self.app}-{len(self.images)}"
            self.east.create(name, size)
            self.east.fill(name, ranges=((0, size // 2),))
            self.east.label(name, {"app": self.app, LABEL: "gold"})
            self.images.append(name)

    def found(self):
        """Discovery may have looked between two labels. A disk that is added joins after a transfer, of
        which a daemon that died has forgotten how long it took."""
        asked = set()

        def check():
            for name in [g["name"] for g in self.pair.east.status()["groups"]]:
                if name.startswith(f"{self.group}+") and name not in asked:
                    asked.add(name)
                    self.request_point(name)
            group = self.pair.east.group(self.group)
            return group and len(group["volumes"]) == len(self.images)
        wait_for(check, 20, lambda: f"{self.group} is whole: {self.pair.east.group(self.group)}")

    def request_point(self, group):
        """One that is not waited for; a group that has joined meanwhile needs none."""
        try:
            self.pair.east.request("sync", group=group)
        except (OSError, CommandFailed):
            pass

    def write(self, length=MIB):
        self.version += 1
        for name in self.images:
            self.east.fill(name, seed=self.version, ranges=((2 * MIB, length),))

    def point(self):
        """One more recovery point."""
        if self.images:
            self.write()
        self.sync()

    def sync(self):
        def done():
            try:
                self.pair.east.sync(self.group)
                return True
            except (OSError, CommandFailed):
                return False
        wait_for(done, HEAL_S, lambda: f"a sync of {self.group}: {self.pair.east.group(self.group)}")

    def ready(self):
        """Two recovery points: the next one lets go of the first, at both sites."""
        self.create()
        self.found()
        self.pair.ready(self.group)
        self.point()

    def arm(self, step=None):
        if self.newest is None:
            try:
                self.newest = max(p["seq"] for p in self.pair.east.points(self.group))
            except (OSError, CommandFailed, ValueError):  # there is none yet
                self.newest = 0
        crash.arm(self.victim, step or self.step)

    def ask(self):
        self.pair.ask(self.group)

    def dies(self):
        """Waits for the kill; where it is the helper's the daemon lives on."""
        dead = crash.passed if self.step in HELPER else crash.killed
        dead(self.victim, self.step, HEAL_S)

    def restart(self):
        if not self.victim.running():
            self.victim.start()


def first_copy(case):
    case.arm()
    case.create()
    case.dies()


def next_point(case):
    case.ready()
    case.write()
    case.arm()
    case.ask()
    case.dies()


def single(case):
    case.create(count=1)
    case.pair.ready(case.group)
    case.write()
    case.arm()
    case.ask()
    case.dies()


def large(case):
    case.create(size=LARGE)
    case.found()
    case.pair.ready(case.group)
    case.write(LARGE - 4 * MIB)
    case.arm()
    case.ask()
    case.dies()


def start(case):
    case.ready()
    case.victim.kill()
    case.arm()
    case.victim.start(wait=False)
    case.dies()


def after(first):
    """The step is part of mending what an earlier crash left."""
    def run(case):
        case.ready()
        case.write()
        case.arm(first)
        case.ask()
        case.dies()
        case.arm()
        case.victim.start(wait=False)
        if case.victim is case.pair.east:  # a target mends what it finds before anybody asks
            wait_for(case.victim.answers, 20, "it starts")
            case.ask()
        case.dies()
    return run


def lift_locks(case, remove=""):
    """Of the parked images, as an operator would who wants to remove a snapshot; librbd blocklists
    whose locks they were."""
    case.victim.expect_error(r"event=lease_lost .*blocklisted")
    for name in case.images:
        with case.west.image(name) as image:
            for client, cookie, _ in image.list_lockers()["lockers"]:
                image.break_lock(client, cookie)
            for snap in [s["name"] for s in image.list_snaps() if s["name"] == remove]:
                image.remove_snap(snap)


def unproven(case):
    """Nobody can tell who wrote to the images: what they hold is not believed."""
    case.ready()
    lift_locks(case)
    case.write()
    case.arm()
    case.ask()
    case.dies()


def target_without_base(case):
    """Somebody also removed the newest point's snapshots at the target."""
    case.ready()
    newest = case.pair.west.committed(case.group)[-1]
    case.dropped.add(newest["id"])
    lift_locks(case, remove=newest["name"])
    case.write()
    case.arm()
    case.ask()
    case.dies()


def source_without_base(case):
    """Somebody removed the marks at the source."""
    case.ready()
    for name in case.images:
        with case.east.image(name) as image:
            for snap in list(image.list_snaps()):
                if snap["name"].startswith("farshore.mark."):
                    image.remove_snap(snap["name"])
    case.write()
    case.arm()
    case.ask()
    case.dies()


def membership(case):
    case.ready()
    case.arm()
    case.create(count=1)
    case.dies()


def leaving(case):
    """A volume is deleted by its owner."""
    case.ready()
    case.arm()
    with case.east.ioctx() as io:
        rbd.RBD().trash_move(io, case.images.pop())
    case.dies()


def pause(case):
    case.ready()
    case.arm()
    try:
        case.pair.east.request("pause", group=case.group)
    except (OSError, CommandFailed):
        pass
    case.dies()


def unchanged(case):
    case.ready()
    case.arm()
    case.ask()
    case.dies()


SCENARIOS = {
    "group.store": first_copy, "group.stored": first_copy, "take.stamped": first_copy,
    "open.recorded": first_copy, "open.created": first_copy, "open.stamped": first_copy,
    "helper.single": single,
    "sync.flushed": large, "sync.stored": large,
    "lease.claim": start, "lease.fenced": start, "lease.taken": start,
    "take.pruned": after("take.seq"),
    "recover.begin": after("commit.committing"), "recover.snapshot": after("commit.committing"),
    "recover.finished": after("commit.committing"),
    "open.restored": unproven, "left.kept": target_without_base,
    "compare.begin": source_without_base, "compare.digested": source_without_base,
    "compare.listed": source_without_base,
    "members.store": membership, "members.stored": membership,
    "release.gone": leaving, "release.stored": leaving,
    "pause.store": pause, "pause.stored": pause,
    "current.note": unchanged, "current.noted": unchanged,
}
# Any transfer passes those.
ORDINARY = ("take.", "helper.", "offer.", "open.", "accept.", "apply.", "finals.", "commit.",
            "retain.", "park.", "answer.", "settle.")


# The point that was under way then comes to the target by itself; before them it was not taken,
# and who asked for it has to ask again.
FINISHED = ("helper.", "take.complete", "offer.", "open.", "left.", "accept.", "compare.", "apply.",
            "sync.", "finals.", "commit.", "recover.", "retain.", "park.", "answer.", "settle.")


def scenario_of(step):
    if step in SCENARIOS:
        return SCENARIOS[step]
    assert step.startswith(ORDINARY), f"teach this test how to get to {step}"
    return next_point


# --- what must be so afterwards ------------------------------------------------------------------


def kept(case):
    """Digests of the recovery points at the target, by id and image."""
    if not case.pair.west.running() or not case.pair.west.group(case.group):
        return {}
    found = {}
    for point in case.pair.west.committed(case.group):
        for volume in point["volumes"] if point["id"] not in case.dropped else ():
            with content.opened(case.west, volume) as image:
                found[point["id"], volume["image"]] = content.digest(image, content.ranges(image))
    return found


def check_same(case):
    def both():
        there = {p["id"]: p for p in case.pair.west.committed(case.group)}
        here = [p for p in case.pair.east.committed(case.group) if p["id"] in there]
        return here and (here[-1], there[here[-1]["id"]])
    a, b = wait_for(both, 20, f"{case.group} has a common point")
    assert len(a["volumes"]) == len(case.images)
    content.same_point((case.east, a), (case.west, b))
    return a


def check_clean(case, point):
    """Only what the records name is there, and every lock and membership is gone."""
    def snapshots(site, daemon, name):
        points, marks = site.farshore_snapshots(name)
        named = [v["snap_id"] for p in daemon.points(case.group) for v in p["volumes"]
                 if v["image"] == name]
        return sorted(points), sorted(named), len(marks)

    for name in case.images:
        there, named, marks = wait_for(
            lambda n=name: (lambda s: s if s[0] == s[1] else None)(
                snapshots(case.east, case.pair.east, n)),
            20, lambda n=name: f"{n} at east: {snapshots(case.east, case.pair.east, n)}")
        assert len(there) == 1 and marks <= 1, f"{name} at east: {there}, {marks} marks"
        there, named, marks = snapshots(case.west, case.pair.west, name)
        assert there == named and marks == 0, f"{name} at west: {there}, its record: {named}"
        assert len(there) <= 2, f"{name} at west: retention keeps one and the base: {there}"

    def parked(name):
        with case.west.image(name, read_only=True) as image:
            lockers = [cookie for _, cookie, _ in image.list_lockers().get("lockers", [])]
            return lockers == ["farshore"] and not list(image.watchers_list())
    for name in case.images:
        wait_for(lambda n=name: parked(n), 10, f"{name} is parked at west")
        with case.east.image(name, read_only=True) as image:
            assert not image.list_lockers() and not list(image.watchers_list()), name
    with case.east.ioctx() as io:
        for group in rbd.RBD().group_list(io):
            members = [m["name"] for m in rbd.Group(io, group).list_images()]
            assert not set(members) & set(case.images), f"RBD group {group} has {members}"


@pytest.mark.parametrize("step, site", CASES, ids=[f"{step}@{site}" for step, site in CASES])
def test_killed_at(shared, clusters, step, site):
    pair = shared.get()
    case = Case(pair, clusters, step, site, CASES.index((step, site)))
    try:
        scenario_of(step)(case)
        before = kept(case) if site == "east" else {}
        case.restart()
        check_healed(case, before)
    except BaseException:
        shared.drop()
        raise


def check_resumed(case):
    """What the durable positions cover was not sent again."""
    def events():
        return [line for line in case.pair.east.events("sync_resumed")
                if f"group={case.group} " in line]
    told = wait_for(events, HEAL_S, lambda: f"it resumes: {case.pair.east.log()}")
    resumed, wire = (int(re.search(rf"\b{key}=(\d+)", told[0])[1])
                     for key in ("resumed_bytes", "wire_bytes"))
    assert resumed >= 16 * MIB and wire <= len(case.images) * LARGE - resumed + MIB


def check_healed(case, before):
    pair, group = case.pair, case.group
    visible = kept(case)
    for key, digest in before.items():
        assert visible.get(key, digest) == digest, f"{key}: a recovery point changed"
    wait_for(lambda: pair.east.status()["peers"][0]["up"], 30, "the session is up again")
    wait_for(lambda: pair.east.group(group), 20, f"{group} is known")
    if pair.east.group(group)["paused"]:
        assert case.step == "pause.stored"
        pair.east.request("resume", group=group)
    # What was under way is finished without anybody's help, then the next point works as ever.
    least = case.newest + 1 if case.step.startswith(FINISHED) else 1
    wait_for(lambda: (pair.west.group(group) or {}).get("recovery_point", {}).get("seq", 0) >= least,
             HEAL_S,
             lambda: f"{group} has a point: {pair.east.group(group)}\n{pair.east.log(25)}\n"
                     f"{pair.west.log(25)}")
    for key, digest in kept(case).items():
        assert visible.get(key, digest) == digest, f"{key}: a recovery point changed"
    if case.step == "sync.stored":
        check_resumed(case)
    case.found()
    case.point()
    check_clean(case, check_same(case))
    for name in case.images:
        case.east.unlabel(name, LABEL)


def test_some_were_chosen():
    if not CASES:
        pytest.skip("a build without fault points (-DFARSHORE_FAULTS=ON)")
