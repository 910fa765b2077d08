# SPDX-License-Identifier: Apache-2.0
"""The crash matrix of operations on real clusters: the daemon that carries one out is killed at each
named step of it (farshore/fault.h) and started again; the operation ends in the same place, whoever
asked for it.

One pair of daemons serves all steps, each with a group of its own, as in test_crash_matrix.py."""
import hashlib
import json
import os
import random
import subprocess

import pytest
import rbd
from harness import MIB, content, wait_for
from harness.crash import OPERATIONS, Shared, arm, catalogue, killed
from harness.daemon import program
from harness.writer import Writer

LABEL = "farshore.io/policy"
SELECT = {"select": {"labels": f"{LABEL}=gold"}, "group_by": "app", "interval": "1h",
          "retain": {"latest": 1}}
SIZE = 8 * MIB
# The first kill, for steps that only a start after a crash passes.
BEFORE = {"promote.lifted": "promote.primary"}
SOURCES = ("supersede.",)


def chosen():
    steps = [name for name, _ in catalogue() if name.startswith(OPERATIONS)]
    seed = int(os.environ.get("FARSHORE_SEED") or random.SystemRandom().randrange(1 << 32))
    if os.environ.get("FARSHORE_CRASH_STEPS") == "all":
        return steps, seed
    # The ones around the two writes that matter every time, of the others some.
    always = [s for s in steps if s in ("promote.restored", "promote.primary", "supersede.store",
                                        "drill.cloned", "follow.stored", "grant.store", "grant.stored",
                                        "fence.recorded")]
    others = [s for s in steps if s not in always]
    return always + random.Random(seed).sample(others, min(2, len(others))), seed


STEPS, SEED = chosen()


@pytest.fixture(scope="module")
def shared(clusters):
    print(f"FARSHORE_SEED={SEED}")
    made = Shared(clusters, SELECT, at_west=SELECT)
    yield made
    made.end()


def farshore(daemon, *arguments):
    """Asked with the tool, which may lose its daemon."""
    return subprocess.Popen([program("farshore"), "-S", daemon.config["control"], *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def failover(daemon, group, fence="none"):
    return farshore(daemon, "failover", "--yes", "-o", "json", f"--fence={fence}", group)


def drill(daemon, *arguments):
    done = farshore(daemon, "drill", *arguments)
    done.communicate(timeout=60)
    return done.returncode


def check_drill(pair, east, west, group, names, step):
    """Whatever is left of a drill that was made, or ended, is listed, and ending it leaves nothing;
    replication and the volumes know nothing of it."""
    before = {name: head(west, name) for name in names}
    ends = step in ("drill.removed", "drill.forget")
    if ends:
        assert drill(pair.west, group) == 0
    arm(pair.west, step)
    asked = farshore(pair.west, "drill", *(["--end"] if ends else []), group)
    killed(pair.west, step)
    asked.communicate(timeout=60)
    pair.west.start()
    wait_for(lambda: pair.west.group(group), 20, "west has read its records")
    left = [n for n in west.names() if n.startswith("farshore-drill.")]

    def listed():
        return pair.west.group(group)["drills"]
    if left:
        wait_for(listed, 20, "it is listed")
    wait_for(lambda: drill(pair.west, "--end", group) in (0, 3), 20, "it can be ended")
    wait_for(lambda: not listed(), 20, lambda: f"nothing is listed: {listed()}")
    assert not [n for n in west.names() if n.startswith("farshore-drill.")]
    assert {name: head(west, name) for name in names} == before
    assert drill(pair.west, group) == 0 and drill(pair.west, "--end", group) == 0
    wait_for(lambda: pair.east.status()["peers"][0]["up"], 40, "the session is up again")
    for name in names:
        east.fill(name, seed=99, ranges=((2 * MIB, MIB),))
    pair.synced(group)
    assert [g["name"] for g in pair.west.status()["groups"] if group in g["name"]] == [group]


def check_failback(pair, east, west, group, names, step):
    """The old primary ends as the secondary, with what it alone had kept aside, whatever it died
    of; and the next point is the same at both sites."""
    out, said = failover(pair.west, group).communicate(timeout=60)
    assert json.loads(out)["groups"][0]["outcome"] == "promoted", said
    in_role(pair.east, group, "superseded")
    with east.image(names[0]) as image:
        image.write(b"only" * 1024, 0)
    before = head(east, names[0])
    with west.image(names[1]) as image:
        image.write(b"west" * 1024, 0)
    arm(pair.east, step)
    asked = farshore(pair.east, "failback", "--yes", group)
    killed(pair.east, step)
    asked.communicate(timeout=60)
    pair.east.start()
    wait_for(lambda: pair.east.group(group), 20, "east has read its records")
    wait_for(lambda: pair.east.status()["peers"][0]["up"], 40, "the session is up again")
    if pair.east.group(group)["role"] == "superseded":
        assert step in ("follow.held", "follow.store")  # nothing was stored: asked again
        asked = farshore(pair.east, "failback", "--yes", group)
        _, said = asked.communicate(timeout=100)
        assert asked.returncode == 0, said
    in_role(pair.east, group, "secondary")

    def arrived():
        return pair.east.committed(group)[-1]["term"] == 2
    wait_for(arrived, 60, lambda: f"a point of west's comes: {pair.west.group(group)}\n"
                                  f"{pair.west.log(20)}")
    point = pair.east.committed(group)[-1]
    there = wait_for(lambda: next((p for p in pair.west.committed(group)
                                   if p["id"] == point["id"]), None), 20, "it is settled at west")
    content.same_point((west, there), (east, point))
    with east.image(names[0], read_only=True) as image:
        left = [s["name"] for s in image.list_snaps() if s["name"].startswith("farshore.left.1.")]
    assert len(left) == 1
    with east.ioctx() as io, rbd.Image(io, names[0], snapshot=left[0]) as image:
        assert hashlib.sha256(image.read(0, image.size())).hexdigest() == before


def check_relocation(pair, east, west, group, names, step):
    """It is carried on after the switch and undone before, by the next start; either way one site is
    primary, and has what the volumes held."""
    for name in names:
        with east.image(name) as image:
            image.write(b"last" * 1024, 4 * MIB)
    before = {name: head(east, name) for name in names}
    if step == "undo.store":  # passed where it is taken back: somebody wrote after the last point
        arm(pair.east, "demote.stored")
        farshore(pair.east, "relocate", "--yes", "--to", "west", group)
        killed(pair.east, "demote.stored")
        arm(pair.east, step)
        pair.east.start(wait=False)
        killed(pair.east, step)
    else:
        arm(pair.east, step)
        farshore(pair.east, "relocate", "--yes", "--to", "west", group)
        killed(pair.east, step)
    pair.east.start()
    wait_for(lambda: pair.east.group(group), 20, "east has read its records")
    wait_for(lambda: pair.east.status()["peers"][0]["up"], 40, "the session is up again")
    moved = step in ("grant.stored", "grant.sent")
    in_role(pair.east, group, "secondary" if moved else "primary")
    in_role(pair.west, group, "primary" if moved else "secondary")
    site = west if moved else east
    assert {name: head(site, name) for name in names} == before

    def free(name):
        with site.image(name, read_only=True) as image:
            return not image.list_lockers() and not list(image.watchers_list())
    for name in names:
        wait_for(lambda n=name: free(n), 40, f"{name} is unlocked and closed")
        with site.image(name) as image:
            image.write(b"mine" * 1024, 5 * MIB)
    daemon, other = (pair.west, pair.east) if moved else (pair.east, pair.west)
    least = other.committed(group)[-1]["seq"] + 1
    daemon.request("sync", group=group)
    wait_for(lambda: other.committed(group)[-1]["seq"] >= least, 60,
             lambda: f"the next point comes: {daemon.group(group)}")
    for name in names:
        for cluster in (east, west):
            with cluster.image(name, read_only=True) as image:
                assert not [s for s in image.list_snaps() if ".left." in s["name"]]
    return site


def check_fence(pair, east, group, names, step):
    """Fencing, given again, comes to its end; whoever is out is listed and let in again, and nobody
    else is on the blocklist because of it."""
    writer = Writer(east, [f"rbd/{names[0]}"], rate=20, patience=10**6)

    def fenced():
        return farshore(pair.east, "fence", "--yes", group).wait(60) == 0
    try:
        if step == "unfence.lifted":
            assert fenced()
        arm(pair.east, step)
        asked = farshore(pair.east, *(["unfence"] if step == "unfence.lifted" else ["fence", "--yes"]),
                         group)
        killed(pair.east, step)
        asked.communicate(timeout=60)
        pair.east.start()
        wait_for(lambda: pair.east.group(group), 20, "east has read its records")
        if step in ("fence.recorded", "fence.blocklisted", "fence.proven", "unfence.lifted"):
            wait_for(lambda: pair.east.group(group)["fences"], 20, "it is listed")
        if step != "unfence.lifted":
            wait_for(fenced, 60, "it is fenced", every_s=1)
        assert writer.stop()["failures"]
    finally:
        writer.kill()
    addresses = {f["address"] for f in pair.east.group(group)["fences"]}
    assert addresses <= set(east.blocklist()) or step == "unfence.lifted"
    wait_for(lambda: farshore(pair.east, "unfence", group).wait(60) in (0, 3), 20, "it is let in")
    assert not pair.east.group(group)["fences"] and not addresses & set(east.blocklist())
    wait_for(lambda: pair.east.status()["peers"][0]["up"], 40, "the session is up again")
    pair.synced(group)


def head(site, name):
    with site.image(name, read_only=True) as image:
        return hashlib.sha256(image.read(0, image.size())).hexdigest()


def in_role(daemon, group, role):
    def check():
        try:
            found = daemon.group(group)
        except OSError:
            return False
        return found and found["role"] == role and found["sync"]["phase"] == "idle"
    wait_for(check, 60, lambda: f"{group} is {role}: {daemon.group(group)}\n{daemon.log(30)}")


def ready(pair, east, number):
    """A group of two volumes with two points at west."""
    group, names = f"rbd/op{number}", [f"op{number}-{i}" for i in range(2)]
    for name in names:
        east.create(name, SIZE)
        east.fill(name, ranges=((0, SIZE),))
        east.label(name, {"app": f"op{number}", LABEL: "gold"})
    wait_for(lambda: len((pair.east.group(group) or {"volumes": []})["volumes"]) == 2, 20,
             f"{group} is found")
    pair.ready(group)
    for name in names:
        east.fill(name, seed=number + 1, ranges=((MIB, MIB),))
    pair.synced(group)
    return group, names


@pytest.mark.parametrize("step", STEPS)
def test_killed_at(shared, clusters, step):
    pair, (east, west) = shared.get(), clusters
    number = STEPS.index(step)
    try:
        group, names = ready(pair, east, number)
        if step.startswith("drill."):
            check_drill(pair, east, west, group, names, step)
            for name in names:
                east.unlabel(name, LABEL)
            return
        if step.startswith(("demote.", "grant.", "undo.")):
            primary = check_relocation(pair, east, west, group, names, step)
            for name in names:
                primary.unlabel(name, LABEL)
            return
        if step.startswith("follow."):
            check_failback(pair, east, west, group, names, step)
            for name in names:
                west.unlabel(name, LABEL)
            return
        if step.startswith(("fence.", "unfence.")):
            check_fence(pair, east, group, names, step)
            for name in names:
                east.unlabel(name, LABEL)
            return
        point = pair.west.committed(group)[-1]
        exact = {}
        for volume in point["volumes"]:
            with content.opened(west, volume) as image:
                exact[volume["image"]] = hashlib.sha256(image.read(0, SIZE)).hexdigest()
        victim = pair.east if step.startswith(SOURCES) else pair.west
        arm(victim, BEFORE.get(step, step))
        asked = failover(pair.west, group, "best-effort" if step == "supersede.fenced" else "none")
        killed(victim, BEFORE.get(step, step))
        if step in BEFORE:
            arm(victim, step)
            victim.start(wait=False)
            killed(victim, step)
        victim.start()
        out, said = asked.communicate(timeout=60)
        if victim is pair.east:
            assert asked.returncode == 0, said
        wait_for(lambda: pair.west.group(group), 20, "west has read its records")
        if pair.west.group(group)["role"] == "secondary":
            assert step == "promote.raise"  # nothing was stored: asked again
            asked = failover(pair.west, group)
            out, said = asked.communicate(timeout=60)
            assert asked.returncode == 0, said
        in_role(pair.west, group, "primary")
        wait_for(lambda: pair.east.status()["peers"][0]["up"], 40, "the session is up again")
        in_role(pair.east, group, "superseded")
        # Giving it again changes nothing.
        again = failover(pair.west, group)
        out, said = again.communicate(timeout=60)
        assert again.returncode == 0, said
        assert json.loads(out)["groups"][0]["outcome"] == "already"
        assert pair.west.points(group)[-1]["term"] in (1, 2)
        check_given_to_users(west, names, exact)
        for name in names:
            east.unlabel(name, LABEL)
            west.unlabel(name, LABEL)
    except BaseException:
        shared.drop()
        raise


def check_given_to_users(west, names, exact):
    def free(name):
        with west.image(name, read_only=True) as image:
            return not image.list_lockers() and not list(image.watchers_list())
    for name in names:
        assert head(west, name) == exact[name], f"{name} is not at the point"
        wait_for(lambda n=name: free(n), 40, f"{name} is unlocked and closed")
        with west.image(name) as image:
            image.write(b"mine" * 1024, 5 * MIB)
            stamp = json.loads(image.metadata_get("farshore.stamp"))
            assert (stamp["role"], stamp["term"]) == ("primary", 2)


def test_some_were_chosen():
    if not STEPS:
        pytest.skip("a build without fault points (-DFARSHORE_FAULTS=ON)")
