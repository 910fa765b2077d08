# SPDX-License-Identifier: Apache-2.0
"""The commit that tests/compat/baseline names, built, at one site and this one at the other: they
ship both ways, over the records that either left."""
import subprocess

import pytest
from harness import MIB, SOURCE
from harness.daemon import build_dir, program

GOLD = {"farshore.io/policy": "gold"}
DISK = "rbd/disk"


@pytest.fixture(scope="module")
def baseline():
    """Its farshored."""
    commit = (SOURCE / "tests/compat/baseline").read_text().strip()
    tree, build = build_dir() / f"baseline/{commit}", build_dir() / f"baseline/{commit}/build/release"
    if not tree.exists():
        tree.mkdir(parents=True)
        with subprocess.Popen(["git", "-C", SOURCE, "archive", commit], stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
        assert archive.returncode == 0, f"no commit {commit} in this clone: fetch it (git fetch --unshallow)"
    subprocess.run(["cmake", "--preset", "release", "-DFARSHORE_TESTS=OFF"], cwd=tree, check=True)
    subprocess.run(["cmake", "--build", build], cwd=tree, check=True)
    return build / "daemon/farshored"


def change(pair, step):
    pair.east.site.fill("disk", seed=step, ranges=((step * MIB, MIB), (20 * MIB, 64 * 1024)))
    pair.synced(DISK)


def restart(pair, east, west):
    for daemon, executable in ((pair.east, east), (pair.west, west)):
        daemon.stop()
        daemon.program = executable
    pair.start()


def test_both_ways(east, daemons, same, baseline):
    ours = program("farshored")
    east.create("disk", 32 * MIB, labels=GOLD)
    east.fill("disk")
    pair = daemons(start=False)
    pair.east.program = baseline
    pair.start()
    pair.ready(DISK)
    change(pair, 1)
    points = {same(pair, DISK)["id"]}

    # The other way round, each over what the other left; the next is a difference, not a first copy.
    restart(pair, ours, baseline)
    change(pair, 2)
    points.add(same(pair, DISK)["id"])
    shipped = pair.east.group(DISK)["counters"]["sync_bytes"]["changed"]
    assert shipped < 8 * MIB, f"{shipped} bytes shipped again"
    assert pair.west.request("verify", group=DISK)["verify"]["outcome"] == "equal"

    # And both upgraded: the points of all three are there, and a failover finds them.
    restart(pair, ours, ours)
    change(pair, 3)
    points.add(same(pair, DISK)["id"])
    assert points <= {p["id"] for p in pair.west.committed(DISK)}
    promoted = pair.west.request("failover", group=DISK, yes=True)["groups"][0]
    assert promoted["outcome"] == "promoted", promoted
