# SPDX-License-Identifier: Apache-2.0
"""A drill starts a copy of a machine at the other site, while the machine itself is at work and its points
keep landing."""
import json

from harness.tool import farshore
from workload import GROUP, NAMES, at_work, halt, land, last_records, newest


def drill(daemon):
    done = farshore(daemon, "drill", "-o", "json", GROUP)
    assert done.returncode == 0, done.stderr + daemon.log()
    return json.loads(done.stdout)["drill"]


def test_the_copy_starts_beside_replication(east, west, daemons, guest, same):
    pair, machine = at_work(daemons, guest, east)
    made = drill(pair.west)
    point = next(p for p in pair.west.points(GROUP) if p["name"] == made["point"])
    copies = {image["of"]: image["image"] for image in made["images"]}
    seen, acknowledged = newest(pair.west), len(machine.acknowledged)
    copy = guest(west, [copies[name] for name in NAMES])
    _, there = last_records(copy)
    assert there >= machine.last_before(point["taken_timestamp"]) > 0
    copy.write(20)
    assert newest(pair.west) > seen and len(machine.acknowledged) > acknowledged
    land(pair.east, pair.west, 2)
    copy.halt()
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0
    assert sorted(west.names()) == NAMES
    # What the copy wrote is nowhere else.
    land(pair.east, pair.west, 1)
    halt(pair.east, machine)
    pair.synced(GROUP)
    same(pair, GROUP)
