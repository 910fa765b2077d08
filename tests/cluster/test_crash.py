# SPDX-License-Identifier: Apache-2.0
"""Daemons that are stopped or killed at bad moments: replication goes on from where it was, and no
writer pays for it."""
import contextlib
import os
import signal
import time

import pytest
from harness import MIB, wait_for

GOLD = {"farshore.io/policy": "gold"}
# librbd itself breaks a dead owner's lock after some 28 s: less than this is our doing.
STALL_S = 12
SIZE = 512 * MIB
# What is sent again after an interruption, at most.
AGAIN = 64 * MIB


def large_image(site, name="large", size=SIZE):
    """Full of bytes that do not compress, made quickly."""
    site.create(name, size, labels=GOLD)
    block = os.urandom(4 * MIB)
    with site.image(name) as image:
        for at in range(0, size, len(block)):
            image.write(at.to_bytes(8, "little") + block[8:], at)


def under_way(pair, group, least=150 * MIB):
    pair.ask(group)

    def check():
        found = pair.east.group(group)
        return found and found["sync"].get("done_bytes", 0) > least
    wait_for(check, 60, lambda: f"{group} is being shipped: {pair.east.group(group)}", every_s=0.02)


@pytest.mark.parametrize("who", ["east", "west"])
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_transfer_goes_on_after(east, daemons, same, who, how):
    large_image(east)
    pair = daemons()
    victim = getattr(pair, who)
    under_way(pair, "rbd/large")
    # What the source has sent; the target makes it durable at its own pace, and takes no more than
    # so much ahead of that, however long a flush takes on this machine.
    sent = pair.east.group("rbd/large")["sync"]["done_bytes"]
    if how == "SIGTERM":
        assert victim.stop() < 5
    else:
        victim.kill()
    victim.start()
    wait_for(lambda: (pair.east.group("rbd/large") or {}).get("sync", {}).get("resumed_bytes", 0),
             30, lambda: f"resumed: {pair.east.group('rbd/large')}", every_s=0.02)
    resumed = pair.east.group("rbd/large")["sync"]["resumed_bytes"]
    assert resumed >= sent - AGAIN, f"{sent} were sent, {resumed} durable"
    pair.ready("rbd/large", timeout_s=120)
    same(pair, "rbd/large")
    for daemon in pair:  # each knows what it has seen in this life of its process
        counted = daemon.group("rbd/large")["counters"]["sync_bytes"]
        assert counted["resent"] <= AGAIN, f"{daemon.site.name}: {counted}"
        assert f'stage="resent"}} {counted["resent"]}\n' in daemon.http("/metrics")
    counted = pair.east.group("rbd/large")["counters"]["sync_bytes"]
    assert counted["resent"] > 0 or (who, how) != ("west", "SIGKILL"), counted
    wire = counted["wire"]
    if who == "east":  # its counters began again with its second life
        assert wire < SIZE - resumed + 16 * MIB
    else:
        assert wire < SIZE + AGAIN + 16 * MIB


def test_both_killed_again_and_again(east, daemons, same):
    large_image(east)
    pair = daemons()
    for least in (50 * MIB, 120 * MIB, 200 * MIB):
        under_way(pair, "rbd/large", least)
        pair.kill()
        pair.west.start(wait=False)
        pair.east.start()
        wait_for(pair.west.answers, 20, "west answers")
    pair.ready("rbd/large", timeout_s=120)
    same(pair, "rbd/large")


def taking(daemon):
    """Process ids of the daemon's snapshot helper."""
    found = []
    for entry in os.listdir(f"/proc/{daemon.process.pid}/task"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{daemon.process.pid}/task/{entry}/children", encoding="ascii") as f:
                found += [int(child) for child in f.read().split()]
    return found


@pytest.mark.parametrize("victim", ["daemon", "helper", "both"])
def test_killed_while_a_point_is_taken_stalls_no_writer(east, daemons, same, writer, victim):
    names = ["one", "two", "three"]
    for name in names:
        east.create(name, 64 * MIB, labels={**GOLD, "app": "trio"})
        east.fill(name)
    pair = daemons(policies={"gold": {"group_by": "app"}})
    pair.ready("rbd/trio")
    writing = writer(east, [f"rbd/{n}" for n in names], rate=200)
    hits = 0
    for attempt in range(6):
        pair.ask("rbd/trio")
        helpers = wait_for(lambda: taking(pair.east), 20, "a helper takes a point", every_s=0.001)
        time.sleep(0.02 * attempt)
        if victim != "daemon":
            for helper in helpers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
                    hits += 1
        if victim != "helper":
            pair.east.kill()
            hits += 1
            pair.east.start()
    assert hits
    pair.ask("rbd/trio")
    result = writing.stop()
    assert not result["failures"]
    assert result["longest_s"] < STALL_S, result
    pair.east.sync("rbd/trio")
    same(pair, "rbd/trio")
