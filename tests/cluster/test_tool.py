# SPDX-License-Identifier: Apache-2.0
"""The programs as a person uses them: farshore's commands and exit statuses, farshored's checks."""
import json
import os
import stat
import subprocess

import pytest
from harness import MIB, tool, wait_for
from harness.daemon import program

GOLD = {"farshore.io/policy": "gold"}


@pytest.fixture
def pair(east, daemons):
    east.create("desk", 16 * MIB, labels=GOLD)
    east.fill("desk")
    made = daemons()
    made.ready("rbd/desk")
    return made


def farshore(daemon, *arguments, exit_status=0):
    done = tool.farshore(daemon, *arguments)
    assert done.returncode == exit_status, done
    return done.stdout if exit_status == 0 else done.stderr


@pytest.mark.sanitized
def test_commands(pair, same):
    table = farshore(pair.east, "status")
    assert "rbd/desk" in table and "ok" in table
    document = json.loads(farshore(pair.east, "status", "-o", "json"))
    assert document["schema_version"] == 1
    assert json.loads(pair.east.http("/api/v1/status")).keys() == document.keys()
    uuid = document["groups"][0]["uuid"]
    assert "rbd/desk" in farshore(pair.east, "status", uuid)

    pair.east.site.fill("desk", seed=1)
    farshore(pair.east, "sync", "rbd/desk", "--wait")
    point = same(pair, "rbd/desk")
    assert point["name"] in farshore(pair.west, "points", "rbd/desk")
    listed = json.loads(farshore(pair.west, "points", "-o", "json", "rbd/desk"))["points"]
    assert [p["id"] for p in listed][-1] == point["id"]

    wait_for(lambda: pair.east.group("rbd/desk")["state"] == "ok", 20, "the group is well")
    assert "nothing to mend" in farshore(pair.east, "doctor", "--bandwidth=100Mbit/s")
    farshore(pair.east, "pause", "rbd/desk")
    assert "paused" in farshore(pair.east, "status")
    found = tool.farshore(pair.east, "doctor", "-o", "json")
    assert found.returncode == 4, found
    checks = json.loads(found.stdout)["checks"]
    assert [c["check"] for c in checks if c["level"] != "ok"] == ["state"]
    assert "farshore resume" in next(c["hint"] for c in checks if c["level"] != "ok")
    farshore(pair.east, "resume", "rbd/desk")


def test_exit_statuses(pair):
    assert "rbd/none" in farshore(pair.east, "points", "rbd/none", exit_status=3)
    farshore(pair.east, "dance", exit_status=2)
    # Points are taken where the group is primary.
    assert "east" in farshore(pair.west, "sync", "rbd/desk", exit_status=3)
    pair.east.stop()
    farshore(pair.east, "status", exit_status=5)


def test_control_socket_is_for_root_and_its_group(pair):
    mode = stat.S_IMODE(os.stat(pair.east.config["control"]).st_mode)
    assert mode & 0o007 == 0


def test_check_and_version(pair):
    checked = subprocess.run([program("farshored"), "--check", "-c", pair.east.config_file],
                             stdin=subprocess.DEVNULL, check=False)
    assert checked.returncode == 0
    bad = pair.dir / "bad.yaml"
    bad.write_text("site: east\nspeed: high\n")
    checked = subprocess.run([program("farshored"), "--check", "-c", bad], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False)
    assert checked.returncode == 2 and f"{bad}:2:1:" in checked.stdout, checked.stdout
    version = subprocess.run([program("farshored"), "--version"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True, check=True)
    assert "farshore" in version.stdout
