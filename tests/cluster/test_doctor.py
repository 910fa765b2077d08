# SPDX-License-Identifier: Apache-2.0
"""farshore doctor against clusters, images and configurations with something to mend."""
import json
import re
import subprocess

from harness import MIB, wait_for
from harness.daemon import program
from harness.site import LAYERING

GOLD = {"farshore.io/policy": "gold"}
DISK = "rbd/disk"


def doctor(daemon, *arguments):
    """(exit status, {check: [finding or ok]})"""
    done = subprocess.run([program("farshore"), "-S", daemon.config["control"], "doctor", "-o", "json", *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 4), done
    checks = {}
    for check in json.loads(done.stdout)["checks"]:
        assert (check["level"] == "ok") == (not check["hint"]), f"no way to mend it: {check}"
        checks.setdefault(check["check"], []).append(check)
    return done.returncode, checks


def levels(checks, name):
    return [c["level"] for c in checks.get(name, [])]


def test_before_and_after_going_live(east, daemons):
    east.create("disk", 32 * MIB, labels=GOLD)
    east.fill("disk")
    pair = daemons(policies={"gold": {"interval": "1m", "retain": {"latest": 3, "hourly": 24}}})
    pair.ready(DISK)
    for step in range(1, 5):
        east.fill("disk", seed=step, ranges=((8 * MIB, 2 * MIB),))
        pair.synced(DISK)
    wait_for(lambda: pair.east.group(DISK)["state"] == "ok", 20, "it is well")

    status, checks = doctor(pair.east)
    assert status == 0, checks
    assert re.search(r"version \d+\.\d+", checks["cluster"][0]["message"]), checks["cluster"]
    assert {"pools", "flags", "certificate", "peer", "clock", "round_trip", "interval", "link", "space"} <= checks.keys()
    assert "32.0 MiB" in checks["space"][0]["message"]
    _, there = doctor(pair.west)
    assert "no manager" in there["space"][0]["message"], there["space"]

    # Another link: what the points need of it, and what is kept of them.
    status, checks = doctor(pair.east, "--bandwidth=1Gbit/s")
    assert status == 0 and levels(checks, "bandwidth") == ["ok", "ok"] and "retention" in checks
    status, checks = doctor(pair.east, "--bandwidth=8kbit/s")
    assert status == 4 and levels(checks, "bandwidth") == ["error", "warning"], checks["bandwidth"]
    assert "cannot keep" in checks["bandwidth"][0]["message"]


def test_older_snapshot_of_the_owner_is_named(east, daemons):
    """Nothing is wrong with the features: what makes it slow is the snapshot."""
    east.create("disk", 16 * MIB, labels=GOLD)
    with east.image("disk") as image:
        image.create_snap("mine")
    pair = daemons()
    pair.ready(DISK)
    east.fill("disk")
    pair.synced(DISK)
    checks = wait_for(lambda: (found := doctor(pair.east)[1]).get("features") and found, 20, "it is found")
    assert levels(checks, "features") == ["warning"]
    assert "rbd snap rm" in checks["features"][0]["hint"]


def test_what_is_to_be_mended_is_found(east, west, daemons):
    east.create("disk", 16 * MIB, labels=GOLD, features=LAYERING)  # neither fast-diff nor a lock
    east.fill("disk")
    east.create("twice", 16 * MIB, labels={"farshore.io/policy": "gold", "tier": "silver"})
    pair = daemons(start=False, policies={"silver": {"select": {"labels": "tier=silver"}}})
    pair.west.config["policies"]["silver"]["pools"] = {"rbd": "nosuch"}
    pair.west.write_config()
    pair.east.config["ceph"]["user"] = "admin"
    pair.east.write_config()
    try:
        east.command(prefix="osd set", key="noout")
        pair.start()
        pair.ready(DISK)
        east.fill("disk", seed=1)
        pair.synced(DISK)

        def found():
            checks = doctor(pair.east)[1]
            return "features" in checks and "flags" in checks and checks
        checks = wait_for(found, 20, lambda: f"it is found: {doctor(pair.east)}")
        assert levels(checks, "flags") == ["warning"] and "noout" in checks["flags"][0]["message"]
        assert levels(checks, "caps") == ["warning"] and "ceph auth caps" in checks["caps"][0]["hint"]
        assert levels(checks, "features") == ["warning"]
        assert "rbd feature enable" in checks["features"][0]["hint"]
        states = {c["about"]: c["message"] for c in checks["state"]}
        assert "not_one_instant" in states["rbd/disk"] and "two policies" in states["rbd/twice"], states
        # What its own client is is the site's; the pools of a policy are looked for where they are to be.
        _, there = doctor(pair.west)
        assert levels(there, "caps") == []
        assert sorted(levels(there, "pools")) == ["error", "ok"], there["pools"]
        assert "nosuch" in next(c["message"] for c in there["pools"] if c["level"] == "error")
    finally:
        east.command(prefix="osd unset", key="noout")


def test_a_link_that_is_too_narrow_is_found(east, daemons):
    east.create("disk", 16 * MIB, labels=GOLD)
    east.fill("disk", ranges=((0, MIB),))
    pair = daemons(start=False, policies={"gold": {"interval": "1s"}})
    pair.east.config["peers"]["west"]["bandwidth"] = "8 Mbit/s"
    pair.east.write_config()
    pair.start()
    pair.ready(DISK)

    def found():
        # A point of it takes two seconds at a megabyte a second.
        east.fill("disk", seed=found.step, ranges=((0, 2 * MIB),))
        found.step += 1
        pair.synced(DISK)
        checks = doctor(pair.east, "--bandwidth=1Gbit/s")[1]
        return "interval" in checks and checks
    found.step = 1
    checks = wait_for(found, 60, "three differences were shipped")
    assert levels(checks, "interval") == ["error"] and "cannot be kept" in checks["interval"][0]["message"]
    assert "of the 976.6 KiB/s that it carries" in checks["link"][0]["message"], checks["link"]
    assert levels(checks, "bandwidth") == ["ok", "ok"], checks["bandwidth"]
