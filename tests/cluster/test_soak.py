# SPDX-License-Identifier: Apache-2.0
"""Two hundred points of three groups under writers: nothing of the daemons may grow with them."""
import os
import pathlib

from harness import MIB, wait_for

GOLD = {"farshore.io/policy": "gold"}
POINTS = int(os.environ.get("FARSHORE_POINTS", "200"))
# What every buffer and arena has been grown to by then.
WARM_POINTS = POINTS // 4
KEPT = 3
GROUPS = {"rbd/one": ["one"], "rbd/two": ["two"], "rbd/trio": ["a", "b", "c"]}


def figures(daemon):
    """What must be flat: of the process, and of what it holds in the cluster."""
    pid = daemon.process.pid
    status = dict(line.split(":", 1) for line in
                  pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
    images = [name for names in GROUPS.values() for name in names]
    points = marks = locks = 0
    for name in images:
        found = daemon.site.farshore_snapshots(name)
        points, marks = points + len(found[0]), marks + len(found[1])
        with daemon.site.image(name, read_only=True) as image:
            locks += len((image.list_lockers() or {}).get("lockers", []))
    return {"memory_mib": int(status["VmRSS"].split()[0]) / 1024,
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(status["Threads"]), "snapshots": points, "marks": marks, "locks": locks}


def seqs(pair):
    return {g["name"]: (g.get("recovery_point") or {}).get("seq", 0)
            for g in pair.west.status()["groups"]}


def until(pair, points):
    def said():
        return f"{points} points of each: {seqs(pair)}\n{pair.east.log(15)}\n{pair.west.log(15)}"
    wait_for(lambda: min(seqs(pair).values()) >= points, 30 + 30 * points, said, every_s=1)


def settled(pair):
    """No point is under way, so what is there is what stays."""
    for name in GROUPS:
        pair.east.request("pause", group=name)
    wait_for(lambda: all(g["sync"]["phase"] == "idle" for d in pair for g in d.status()["groups"]),
             60, "all are idle")
    found = {daemon.site.name: figures(daemon) for daemon in pair}
    for name in GROUPS:
        pair.east.request("resume", group=name)
    return found


def test_two_hundred_points_leave_nothing_behind(east, west, daemons, same, writer):
    for names in GROUPS.values():
        for name in names:
            east.create(name, 32 * MIB, labels={**GOLD, "app": "trio" if len(names) > 1 else name})
            east.fill(name)
    pair = daemons(policies={"gold": {"interval": "1s", "group_by": "app",
                                      "retain": {"latest": KEPT}}})
    for name in GROUPS:
        pair.ready(name)
    writing = [writer(east, [f"rbd/{n}" for n in names], rate=20) for names in GROUPS.values()]
    until(pair, WARM_POINTS)
    before = settled(pair)
    until(pair, POINTS)
    after = settled(pair)
    print(f"\nafter {WARM_POINTS} points: {before}\nafter {POINTS} points: {after}")
    for one in writing:
        assert not one.stop()["failures"]
    images = sum(len(names) for names in GROUPS.values())
    for site, now in after.items():
        then = before[site]
        assert now["memory_mib"] < then["memory_mib"] + 24, (before, after)
        assert now["descriptors"] <= then["descriptors"] + 4, (before, after)
        assert now["threads"] <= then["threads"] + 2, (before, after)
    assert after["east"]["snapshots"] <= 2 * images and after["east"]["locks"] <= images
    assert after["west"]["snapshots"] == KEPT * images and after["west"]["locks"] == images
    assert not after["west"]["marks"]
    for name in GROUPS:
        pair.east.request("pause", group=name)
        same(pair, name)
    for site in (east, west):  # the daemon, and the helpers of the moment
        assert len(site.instances()) <= 4, f"{site.name}: {site.instances()}"
