# SPDX-License-Identifier: Apache-2.0
"""A disk that is added to a group with points: copied beside them, and then one of the group's."""
import json

import pytest
from harness import MIB, crash, wait_for
from harness.linked import head
from harness.tool import farshore
from harness.writer import Writer

GOLD = {"farshore.io/policy": "gold", "app": "vm"}
POLICY = {"gold": {"select": {"labels": "farshore.io/policy=gold"}, "group_by": "app", "interval": "1s",
                   "retain": {"latest": 1}}}
GROUP, BESIDE = "rbd/vm", "rbd/vm+added"
SIZE = 64 * MIB
CATALOGUE = {step for step, _ in crash.catalogue()}


def steps(*wanted):
    """Those that this build can be told to die at."""
    return [step for step in wanted if step.partition(":")[0] in CATALOGUE]


def disk(site, name):
    site.create(name, SIZE, labels=GOLD)
    site.fill(name, ranges=((0, 16 * MIB),))


@pytest.fixture(name="pair")
def _pair(east, daemons):
    for name in ("root", "data"):
        disk(east, name)
    pair = daemons(policies=POLICY)
    pair.ready(GROUP)
    return pair


def disks(daemon, group=GROUP):
    points = daemon.committed(group) if daemon.group(group) else []
    return sorted(v["image"] for v in points[-1]["volumes"]) if points else []


def joined(pair):
    def done():
        return all(disks(daemon) == ["added", "data", "root"] and not daemon.group(BESIDE) for daemon in pair)
    wait_for(done, 60, lambda: f"the disk joins: {[d.status()['groups'] for d in pair]}\n"
                               f"{pair.east.log(30)}\n{pair.west.log(30)}")


def test_disk_is_copied_beside_the_points_and_joins_them(east, west, pair, same):
    writer = Writer(east, ["rbd/root", "rbd/data"])
    # A slow line: its first copy takes some seconds, and the others' points go on.
    pair.east.config["peers"]["west"]["bandwidth"] = "3 MB/s"
    pair.east.reload()
    disk(east, "added")
    wait_for(lambda: pair.west.group(BESIDE), 30, lambda: f"it is copied\n{pair.east.log(20)}")
    wait_for(lambda: "volume_missing" in pair.west.committed(GROUP)[-1]["flags"], 30,
             lambda: f"points without it say so: {pair.west.points(GROUP)}")
    assert disks(pair.west) == ["data", "root"]
    refused = farshore(pair.east, "relocate", "--yes", GROUP, "--to", "west")
    assert refused.returncode == 3 and BESIDE in refused.stderr, refused.stderr
    pair.east.config["peers"]["west"].pop("bandwidth")
    pair.east.reload()
    joined(pair)
    writer.stop()
    assert pair.east.group(GROUP)["counters"]["sync_bytes"]["wire"] < 44 * MIB, "its content went once"
    pair.east.config["policies"]["gold"]["interval"] = "1h"
    pair.east.reload()
    pair.east.sync(GROUP)
    same(pair, GROUP)
    point = pair.west.committed(GROUP)[-1]
    assert point["flags"] == []
    for site in (east, west):
        assert len(site.farshore_snapshots("added")) <= 4, site.farshore_snapshots("added")
    # What it was is gone, after a restart too, and its stamp says the group.
    pair.east.stop()
    pair.east.start()
    pair.east.sync(GROUP)
    assert pair.east.group(BESIDE) is None and len(pair.east.status()["groups"]) == 1
    with east.image("added", read_only=True) as image:
        stamp = json.loads(image.metadata_get("farshore.stamp"))
    assert stamp["group"] == pair.east.group(GROUP)["uuid"] and "joins" not in stamp
    verified = farshore(pair.west, "verify", GROUP)
    assert verified.returncode == 0, verified.stderr


def test_site_dies_before_the_disk_joins(east, pair):
    pair.east.config["peers"]["west"]["bandwidth"] = "3 MB/s"
    pair.east.reload()
    disk(east, "added")
    wait_for(lambda: pair.west.group(BESIDE), 30, "it is copied")
    pair.east.request("pause", group=GROUP)
    wait_for(lambda: disks(pair.west, BESIDE) == ["added"], 60, "its first copy is there")
    pair.east.kill()
    asked = farshore(pair.west, "failover", GROUP)
    assert f"it is group {BESIDE}" in asked.stdout + asked.stderr, asked
    done = farshore(pair.west, "failover", "--yes", "--all", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert {g["group"] for g in json.loads(done.stdout)["groups"]} == {GROUP, BESIDE}
    for group in (GROUP, BESIDE):
        assert pair.west.group(group)["role"] == "primary"


def faulty(daemon):
    """Started anew, so that it can be told to die at a step."""
    daemon.fault = daemon.dir / "fault"
    daemon.environment["FARSHORE_FAULT"] = f"@{daemon.fault}"
    daemon.stop()
    daemon.start()
    wait_for(lambda: daemon.group(GROUP), 30, "it knows its group")


def command(daemon, *arguments):
    done = farshore(daemon, *arguments, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr + daemon.log(20)


def equal_in_the_end(pair, source, same):
    """Whichever site is primary by now."""
    joined(pair)
    source.config["policies"]["gold"]["interval"] = "1h"
    source.reload()
    source.sync(GROUP)
    same(pair, GROUP)


def back(pair, same, groups=(GROUP, BESIDE)):
    """The old site returns, follows in both groups, and the disk joins at the other one."""
    pair.east.start()
    for group in groups:
        wait_for(lambda g=group: (pair.east.group(g) or {}).get("role") == "superseded", 40,
                 lambda g=group: f"{g}: {pair.east.group(g)}\n{pair.east.log(20)}")
        command(pair.east, "failback", group)
    equal_in_the_end(pair, pair.west, same)


@pytest.mark.parametrize("step", steps("join.taken_over"))
def test_target_is_killed_while_it_joins(east, pair, same, step):
    faulty(pair.west)
    crash.arm(pair.west, step)
    disk(east, "added")
    crash.killed(pair.west, step)
    pair.west.start()
    equal_in_the_end(pair, pair.east, same)


@pytest.mark.parametrize("step", steps("members.stored", "take.stamped:2", "take.complete:2",
                                       "settle.committed:2"))
def test_source_is_lost_while_it_joins(east, pair, same, step):
    faulty(pair.east)
    crash.arm(pair.east, step)
    disk(east, "added")
    crash.killed(pair.east, step)
    command(pair.west, "failover", "--all")
    whole = step.startswith("settle")  # west has its first point with the disk, and east does not know
    assert disks(pair.west) == (["added", "data", "root"] if whole else ["data", "root"])
    assert disks(pair.west, BESIDE) == ([] if whole else ["added"])
    back(pair, same, (GROUP,) if whole else (GROUP, BESIDE))


@pytest.mark.parametrize("step", steps("join.taken_over", "apply.written"))
def test_both_are_lost_while_it_joins(east, west, pair, same, step):
    faulty(pair.west)
    pair.east.request("pause", group=GROUP)
    disk(east, "added")
    wait_for(lambda: disks(pair.west, BESIDE) == ["added"], 60, "its first copy is there")
    before = head(west, "added")
    crash.arm(pair.west, step)
    with east.image("added") as image:  # the first transfer of the group with it brings this
        image.write(b"written after its own newest point" * 4096, 8 * MIB)
    pair.east.request("resume", group=GROUP)
    crash.killed(pair.west, step)
    pair.east.kill()
    pair.west.start()
    wait_for(lambda: pair.west.group(GROUP) and pair.west.group(BESIDE), 30, "it knows its groups")
    asked = farshore(pair.west, "failover", GROUP)
    assert f"it is group {BESIDE}" in asked.stdout + asked.stderr, asked
    refused = farshore(pair.west, "failover", BESIDE, "--yes")
    assert refused.returncode == 3 and f"failover {GROUP}" in refused.stderr, refused
    command(pair.west, "failover", "--all")
    assert {g["name"]: g["role"] for g in pair.west.status()["groups"]} == {GROUP: "primary", BESIDE: "primary"}
    assert head(west, "added") == before
    back(pair, same)


def test_what_an_old_site_wrote_goes_when_its_disk_joins(east, pair, same):
    pair.east.request("pause", group=GROUP)
    disk(east, "added")
    wait_for(lambda: disks(pair.west, BESIDE) == ["added"], 60, "its first copy is there")
    pair.east.kill()
    command(pair.west, "failover", "--all")
    with east.image("added") as image:
        image.write(b"nobody will read this again" * 9999, 2 * MIB)
    # Nothing is written to the disk at west: it joins without a transfer of its own.
    back(pair, same)
