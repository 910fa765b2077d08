# SPDX-License-Identifier: Apache-2.0
"""A site is lost under a machine at work: it starts at the other site from what landed there, and what it
had acknowledged is there up to the moment that the failover tells."""
import json
import time

import pytest
from harness import wait_for
from harness.site import lab
from harness.tool import farshore
from workload import GROUP, IMAGES, POLICY, create_disks, land, last_records


def failover(daemon):
    """What the tool says, and when it was asked."""
    asked = time.time()
    done = farshore(daemon, "failover", "--yes", "-o", "json", GROUP)
    assert done.returncode == 0, done.stderr + daemon.log()
    told, = json.loads(done.stdout)["groups"]
    assert told["outcome"] == "promoted"
    # What is lost is what came after the point, at most.
    assert 0 <= told["loss_seconds"] <= time.time() - told["taken_timestamp"]
    return told, asked


def check_survivors(old, new, told, asked):
    _, there = last_records(new)
    assert there >= old.last_before(told["taken_timestamp"])
    promised = old.last_before(asked - told["loss_seconds"])
    assert 0 < promised <= there, f"record {promised} was acknowledged in time, the last one is {there}"
    return there


def superseded(daemon):
    def check():
        return (daemon.group(GROUP) or {}).get("role") == "superseded"
    wait_for(check, 40, lambda: f"superseded: {daemon.group(GROUP)}\n{daemon.log(20)}")


@pytest.mark.parametrize("lost", ["daemon", "site"])
def test_failover_under_load(east, west, lab_dir, daemons, guest, lost):
    """The old machine goes on where only the daemon died; with its whole cluster it stands still."""
    create_disks(east)
    pair = daemons(policies={"gold": POLICY})
    old = guest(east, IMAGES, new=True)
    pair.ready(GROUP)
    old.ready().write()
    land(pair, 4)
    pair.east.kill()
    if lost == "site":
        for program in ("osd", "mon"):
            lab("kill", lab_dir, "east", program)
    else:
        old.writes(10)
    told, asked = failover(pair.west)
    new = guest(west, IMAGES)
    there = check_survivors(old, new, told, asked)
    new.write(20)
    assert new.last() > there
    if lost == "site":
        for program in ("mon", "osd"):
            lab("start", lab_dir, "east", program)
    # Nobody was fenced: the old machine is not stopped, and nothing of it comes to the new one.
    old.writes(10)
    pair.east.start()
    superseded(pair.east)
    new.writes(20)
    for one in (old, new):
        one.halt()
    again = guest(west, IMAGES)
    assert last_records(again) == (new.last(), new.last())
    again.halt()
