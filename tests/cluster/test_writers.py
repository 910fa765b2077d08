# SPDX-License-Identifier: Apache-2.0
"""Clients that write while points are taken: they wait a moment and go on, and none ever fails."""
import contextlib
import os
import signal
import subprocess
import time

import pytest
from harness import MIB, wait_for
from harness.daemon import CommandFailed

GOLD = {"farshore.io/policy": "gold"}
POINTS = 200
# A take holds writers for a fraction of a second; this machine may be busy.
PAUSE_S = 8


def committed(pair):
    return sum(g["counters"]["committed"] for g in pair.east.status()["groups"])


def test_no_writer_fails_while_hundreds_of_points_are_taken(east, daemons, writer, same):
    singles = [f"single{n}" for n in range(8)]
    members = ["m0", "m1", "m2"]
    for name in singles:
        east.create(name, 32 * MIB, labels=GOLD)
    for name in members:
        east.create(name, 32 * MIB, labels={**GOLD, "app": "grouped"})
    writing = [writer(east, [f"rbd/{n}" for n in names], rate=60, seed=seed)
               for seed, names in enumerate((singles[:4], singles[4:], members))]
    pair = daemons(policies={"gold": {"group_by": "app", "interval": "1s"}})
    wait_for(lambda: committed(pair) >= POINTS, 150,
             lambda: f"{POINTS} points, not {committed(pair)}\n{pair.east.log()}", every_s=1)
    results = [one.stop() for one in writing]
    assert not any(r["failures"] for r in results), results
    assert max(r["longest_s"] for r in results) < PAUSE_S, results
    groups = [g["name"] for g in pair.east.status()["groups"]]
    assert len(groups) == 9
    for group in groups:
        pair.east.request("pause", group=group)
    wait_for(lambda: all(g["sync"]["phase"] == "idle" for g in pair.east.status()["groups"]), 60,
             "all are idle")
    for group in groups:
        same(pair, group)


def test_fio_writes_through_many_points(east, daemons, same, workdir):
    east.create("fast", 128 * MIB, labels=GOLD)
    pair = daemons(policies={"gold": {"interval": "1s"}})
    pair.ready("rbd/fast")
    done = subprocess.run(
        ["fio", "--name=w", "--ioengine=rbd", "--clientname=admin", "--pool=rbd", "--rbdname=fast",
         "--rw=randwrite", "--bs=4k", "--iodepth=8", "--rate_iops=500", "--time_based",
         "--runtime=12", "--output-format=terse"],
        env={**os.environ, "CEPH_CONF": str(east.conf)}, cwd=workdir, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(pair.west.events("point_committed")) >= 3
    pair.east.sync("rbd/fast")
    same(pair, "rbd/fast")


def test_stopped_writer_is_not_killed_by_a_snapshot(east, daemons, writer, same):
    east.create("hung", 32 * MIB, labels=GOLD)
    pair = daemons(policies={"gold": {"interval": "1s"}})
    pair.ready("rbd/hung")
    writing = writer(east, ["rbd/hung"])
    wait_for(lambda: len(pair.west.committed("rbd/hung")) >= 2, 20, "points of a live writer")
    writing.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: pair.east.group("rbd/hung")["state"] == "writer_silent", 30,
                 lambda: f"writer_silent, not {pair.east.group('rbd/hung')}")
        time.sleep(3)
        assert pair.east.group("rbd/hung")["state"] == "writer_silent"
    finally:
        writing.process.send_signal(signal.SIGCONT)
    before = pair.east.group("rbd/hung")["counters"]["committed"]
    wait_for(lambda: pair.east.group("rbd/hung")["counters"]["committed"] > before + 1, 30,
             "points of the writer that goes on")
    result = writing.stop()
    assert not result["failures"], result
    pair.east.sync("rbd/hung")
    same(pair, "rbd/hung")


def test_writer_stopped_while_an_older_point_is_removed_survives(east, daemons, writer, same,
                                                                 workdir):
    """A removal, too, waits for a stopped writer, and librbd would break its lock after 26 s: the
    helper that does it is killed before. Here the writer stops after it answered the probe."""
    fault = workdir / "fault"
    east.create("late", 32 * MIB, labels=GOLD)
    pair = daemons(environment={"FARSHORE_FAULT": f"@{fault}"})
    pair.ready("rbd/late")
    writing = writer(east, ["rbd/late"])
    time.sleep(1)
    fault.write_text("helper.remove stop")
    pair.ask("rbd/late")
    wait_for(lambda: not fault.exists(), 30, "the removal is about to begin", every_s=0.01)
    writing.process.send_signal(signal.SIGSTOP)
    subprocess.run(["pkill", "-CONT", "-f", f"farshore-take.*{east.conf}"], check=True)
    wait_for(lambda: pair.east.events("take_killed"), 30, "the helper passed its bound")
    time.sleep(20)  # what it left in librbd would come true now
    writing.process.send_signal(signal.SIGCONT)
    time.sleep(1)
    result = writing.stop()
    assert not result["failures"], result
    pair.east.sync("rbd/late")
    same(pair, "rbd/late")


def test_snapshot_that_a_stopped_writer_makes_late_is_removed(east, daemons, writer, same, workdir):
    """The snapshot is asked of the client that holds the lock. Where that stands still, the helper is
    killed and the point given up; and when it goes on, it makes the snapshot all the same."""
    fault = workdir / "fault"
    east.create("slow", 32 * MIB, labels=GOLD)
    pair = daemons(policies={"gold": {"interval": "2s"}},
                   environment={"FARSHORE_FAULT": f"@{fault}"})
    pair.ready("rbd/slow")
    writing = writer(east, ["rbd/slow"])
    wait_for(lambda: len(pair.east.committed("rbd/slow")) >= 1, 20, "a point")
    fault.write_text("helper.start stop")
    wait_for(lambda: not fault.exists(), 30, "a point is about to be taken", every_s=0.01)
    writing.process.send_signal(signal.SIGSTOP)
    subprocess.run(["pkill", "-CONT", "-f", f"farshore-take.*{east.conf}"], check=True)
    wait_for(lambda: pair.east.events("take_killed"), 30, "the helper passed its bound")
    wait_for(lambda: pair.east.group("rbd/slow")["state"] == "writer_silent", 30,
             "the next attempt finds it silent")
    writing.process.send_signal(signal.SIGCONT)
    before = pair.east.group("rbd/slow")["counters"]["committed"]
    wait_for(lambda: pair.east.group("rbd/slow")["counters"]["committed"] >= before + 4, 40,
             "points of the writer that goes on")
    pair.east.request("pause", group="rbd/slow")
    wait_for(lambda: not pair.east.group("rbd/slow").get("transfer"), 20, "nothing is under way")
    with east.image("slow", read_only=True) as image:
        there = {s["name"] for s in image.list_snaps()}
    assert there == {p["name"] for p in pair.east.points("rbd/slow")}
    assert not writing.stop()["failures"]
    same(pair, "rbd/slow")


def test_membership_ends_with_a_snapshot_that_is_given_up(east, daemons, workdir):
    """Also of a group that takes no point after it: a member of an RBD group cannot be deleted."""
    fault = workdir / "fault"
    names = ["one", "two"]
    for name in names:
        east.create(name, 32 * MIB, labels={**GOLD, "app": "stuck"})
    pair = daemons(policies={"gold": {"group_by": "app"}},
                   environment={"FARSHORE_FAULT": f"@{fault}"})
    pair.ready("rbd/stuck")
    with east.image("one") as image:
        image.write(b"new", 0)
    fault.write_text("helper.snapshot")
    pair.ask("rbd/stuck")
    wait_for(lambda: not fault.exists(), 30, "a point is being taken")
    with contextlib.suppress(CommandFailed):  # of the point, not of the pause
        pair.east.request("pause", group="rbd/stuck")
    wait_for(lambda: pair.east.group("rbd/stuck")["paused"], 60,
             lambda: f"it is paused: {pair.east.log(20)}")

    def alone(name):
        with east.image(name, read_only=True) as image:
            return not image.group()["name"]
    wait_for(lambda: all(alone(name) for name in names), 30, "the members are out of the group")
    assert [p["state"] for p in pair.east.points("rbd/stuck")] == ["committed"]
