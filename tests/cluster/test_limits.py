# SPDX-License-Identifier: Apache-2.0
"""What runs out: room in a cluster's pools, file descriptors, memory. It is said, nothing is lost,
and all goes on by itself when there is enough again."""
import os
import resource
import socket
import time

import pytest
from harness import MIB, wait_for
from harness.group import ALLOWED_ERRORS, FAST, goes_on, newest, overwrite, settle, volume

LOOK_S = 5  # how often the daemon asks the monitors


@pytest.mark.parametrize("where", ["east", "west"])
def test_full_pool_is_no_space_until_there_is_room(east, west, daemons, same, where):
    group = volume(east, size=16 * MIB)
    pair = daemons(policies=FAST)
    for daemon in pair:
        daemon.expect_error(ALLOWED_ERRORS)
    pair.ready(group)
    site = {"east": east, "west": west}[where]
    full, other = (pair.east, pair.west) if where == "east" else (pair.west, pair.east)
    if where == "west":
        overwrite(east, size=16 * MIB)
    site.set_full(True)
    try:
        def said():
            return full.group(group)["state"] == "no_space" and \
                (where == "east" or other.group(group)["state"] == "no_space")
        if where == "west":  # of an image that does not change nothing is offered
            wait_for(lambda: overwritten_or(said, east), 60,
                     lambda: f"no_space: {full.group(group)} {other.group(group)}")
        else:
            wait_for(said, 60, lambda: f"no_space: {full.group(group)}")
        found = full.group(group)
        assert f"pool rbd of {where} is full" in found["reason"] and "ceph df" in found["hint"]
        assert 'farshore_pool_full{pool="rbd"} 1\n' in full.http("/metrics")
        for daemon in pair:  # leases and records need no room
            assert daemon.status()["site"]["cluster"] == "up"
    finally:
        site.set_full(False)
    wait_for(lambda: full.events("pool_has_room"), 30, "the room is noticed")
    before = newest(pair, group)
    overwrite(east, size=16 * MIB)
    goes_on(pair, group, before)
    settle(pair, group, same)


def overwritten_or(said, site):
    return said() or overwrite(site, size=1 * MIB)


def test_trim_queue_is_the_monitors_and_needs_no_more_caps(east, daemons):
    """The lab has no manager, so nothing ever leaves the queue, and nothing is held back for it."""
    group = volume(east, size=4 * MIB)
    pair = daemons(policies=FAST)
    pair.ready(group)
    for number in range(3):
        overwrite(east, size=4 * MIB)
        pair.east.sync(group)
    counted = east.removed_snapshots("rbd")
    assert counted > 0
    def shown():
        pools = {p["name"]: p for p in pair.east.status()["site"]["pools"]}
        return pools and pools["rbd"]["trimming_snapshots"] >= counted
    wait_for(shown, 6 * LOOK_S, lambda: f"{counted}: {pair.east.status()['site']}")
    site = pair.east.status()["site"]
    assert site["point_intervals"] == 1 and not site["trimming_known"]
    assert 'farshore_pool_trimming_snapshots{pool="rbd"} ' in pair.east.http("/metrics")


def test_no_descriptors_left_is_survived(east, daemons, same):
    """Connections that cannot be accepted wait; the loop neither spins nor ends."""
    group = volume(east, size=4 * MIB)
    pair = daemons()
    pair.ready(group)
    pid = pair.west.process.pid
    pair.west.expect_error(ALLOWED_ERRORS)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    clients = []
    try:
        for address in [pair.west.config["listen"], pair.west.config["http"]] * 5:
            host, _, port = address.rpartition(":")
            clients.append(socket.create_connection((host, int(port)), timeout=5))
        time.sleep(5)
        assert pair.west.running()
        refused = pair.west.log(10**9).count("Too many open files")
        assert 0 < refused < 20, f"{refused} complaints in 5 s"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for client in clients:
            client.close()
    wait_for(lambda: pair.west.status()["peers"][0]["up"], 60, lambda: pair.west.log())
    overwrite(east, size=4 * MIB)
    pair.synced(group, timeout_s=90)
    same(pair, group)
