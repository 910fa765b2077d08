# SPDX-License-Identifier: Apache-2.0
"""The metrics as they are exposed, and what the daemon takes of the machine."""
import os
import subprocess

import pytest
from harness import MIB, wait_for

GOLD = {"farshore.io/policy": "gold"}
# A running daemon without any work, with librados, librbd and their threads.
RESIDENT_AT_REST = 96 * MIB
LIMIT = 64 * MIB


@pytest.fixture
def replicated(east, daemons):
    east.create("shop", 32 * MIB, labels={**GOLD, "csi.storage.k8s.io/pvc/name": "shop"})
    east.fill("shop")
    pair = daemons(policies={"gold": {"interval": "1s"}})
    pair.ready("rbd/shop")
    return pair


def test_promtool_accepts_the_metrics(replicated):
    for daemon in replicated:
        done = subprocess.run(["promtool", "check", "metrics"], input=daemon.http("/metrics"),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        assert done.returncode == 0 and not done.stdout.strip(), done.stdout
        assert daemon.http("/healthz")


def test_never_synced_has_no_lag(east, daemons):
    """Its own state, not a number: the target refuses, so there is no point."""
    east.create("lonely", 16 * MIB, labels=GOLD)
    pair = daemons(start=False)
    pair.east.start()
    wait_for(lambda: pair.east.group("rbd/lonely"), 15, "found")
    assert pair.east.group("rbd/lonely")["state"] in ("never_synced", "peer_down")
    assert "rpo_lag_seconds" not in pair.east.group("rbd/lonely")
    assert "farshore_rpo_lag_seconds{" not in pair.east.http("/metrics")
    assert 'farshore_peer_up{peer="west"} 0' in pair.east.http("/metrics")


def peak_bytes(daemon):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def test_memory_stays_within_its_limit(east, daemons, same):
    size = 512 * MIB
    east.create("wide", size, labels=GOLD)
    block = os.urandom(4 * MIB)
    with east.image("wide") as image:
        for at in range(0, size, len(block)):
            image.write(at.to_bytes(8, "little") + block[8:], at)
    pair = daemons(limits={"memory": f"{LIMIT // MIB} MiB"})
    pair.ready("rbd/wide", timeout_s=120)
    for daemon in pair:
        memory = daemon.status()["memory"]
        print(daemon.site.name, memory, "resident at its peak", peak_bytes(daemon))
        assert memory["limit_bytes"] == LIMIT
        assert memory["peak_bytes"] <= LIMIT
        assert peak_bytes(daemon) < LIMIT + RESIDENT_AT_REST
    same(pair, "rbd/wide")
