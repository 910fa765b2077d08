# SPDX-License-Identifier: Apache-2.0
"""A drill starts a copy of a machine at the other site, while the machine itself is at work and its points
keep landing."""
import json

from harness.tool import farshore
from workload import GROUP, IMAGES, NAMES, POLICY, create_disks, land, last_records, newest


def drill(daemon):
    done = farshore(daemon, "drill", "-o", "json", GROUP)
    assert done.returncode == 0, done.stderr + daemon.log()
    return json.loads(done.stdout)["drill"]


def test_the_copy_starts_beside_replication(east, west, daemons, guest, same):
    create_disks(east)
    pair = daemons(policies={"gold": POLICY})
    machine = guest(east, IMAGES, new=True)
    pair.ready(GROUP)
    machine.ready().write()
    land(pair, 3)
    made = drill(pair.west)
    point = next(p for p in pair.west.points(GROUP) if p["name"] == made["point"])
    copies = {image["of"]: image["image"] for image in made["images"]}
    seen, acknowledged = newest(pair), len(machine.acknowledged)
    copy = guest(west, [copies[name] for name in NAMES])
    _, there = last_records(copy)
    assert there >= machine.last_before(point["taken_timestamp"]) > 0
    copy.write(20)
    assert newest(pair) > seen and len(machine.acknowledged) > acknowledged
    land(pair, 2)
    copy.halt()
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0
    assert sorted(west.names()) == NAMES
    # What the copy wrote is nowhere else.
    land(pair, 1)
    machine.halt()
    pair.east.config["policies"]["gold"]["interval"] = "1h"
    pair.east.reload()
    pair.synced(GROUP)
    same(pair, GROUP)
