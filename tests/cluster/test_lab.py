# SPDX-License-Identifier: Apache-2.0
"""The lab itself: up, status, env, down; nothing of it stays, and it harms no stranger."""
import pathlib
import subprocess
import time

import pytest
import rados
import rbd
from harness import wait_for
from harness.site import LAB, Site


def run(*arguments, check=True):
    return subprocess.run([LAB, *map(str, arguments)], check=check, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ceph_processes(directory):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if line.startswith("ceph-") and str(directory) in line:
                found.append(line)
    return found


@pytest.fixture
def directory(workdir):
    yield workdir / "lab"
    run("down", "--dir", workdir / "lab")


def test_two_sites_come_up_within_ten_seconds_and_leave_nothing(directory):
    begun = time.monotonic()
    run("up", "--dir", directory, "north", "south")
    assert time.monotonic() - begun < 10
    assert len(ceph_processes(directory)) == 4
    status = run("status", "--dir", directory)
    assert "north: up" in status.stdout and "south: up" in status.stdout
    assert f"CEPH_CONF={directory}/north/ceph.conf" in run("env", "--dir", directory, "north").stdout
    refused = run("up", "--dir", directory, "north", check=False)
    assert refused.returncode == 1 and "lab down" in refused.stderr

    run("down", "--dir", directory, "south")
    assert run("status", "--dir", directory).stdout.startswith("north: up")
    run("down", "--dir", directory)
    assert not directory.exists()
    assert not ceph_processes(directory)
    assert run("status", "--dir", directory, check=False).returncode == 1


def test_labs_at_the_same_time_do_not_collide(workdir):
    directories = [workdir / name for name in ("a", "b")]
    try:
        started = [subprocess.Popen([LAB, "up", "--dir", d, "east"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL) for d in directories]
        assert [p.wait(60) for p in started] == [0, 0]
        assert len({Site(d, "east").rados.get_fsid() for d in directories}) == 2
    finally:
        for directory in directories:
            run("down", "--dir", directory)


def test_an_up_that_was_killed_is_cleaned_up_by_down(directory):
    up = subprocess.Popen([LAB, "up", "--dir", directory, "east"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: ceph_processes(directory), 20, "a daemon of the lab runs", every_s=0.01)
    up.kill()
    up.wait()
    run("down", "--dir", directory)
    assert not ceph_processes(directory)
    assert not directory.exists()


def test_down_leaves_processes_of_others_alone(directory):
    run("up", "--dir", directory, "east")
    conf = directory / "east/ceph.conf"
    # Not a Ceph daemon, and a Ceph daemon's name with another cluster's configuration.
    strangers = [subprocess.Popen([name, "-c", "read line", argument], executable="/bin/sh",
                                  stdin=subprocess.PIPE)
                 for name, argument in (("sh", conf), ("ceph-osd", f"{conf}.other"))]
    try:
        run("down", "--dir", directory)
        assert [p.poll() for p in strangers] == [None, None]
    finally:
        for stranger in strangers:
            stranger.communicate(b"\n")


def test_farshore_may_do_what_it_needs_and_no_more(east):
    cluster = east.connect(user="farshore")
    try:
        with cluster.open_ioctx("rbd2") as io:
            rbd.RBD().create(io, "mine", 1 << 20)
            with rbd.Image(io, "mine") as image:
                image.write(b"x", 0)
        for operation in ("add", "rm"):
            code, _, message = cluster.mon_command(
                '{"prefix": "osd blocklist", "blocklistop": "%s", "addr": "192.0.2.1:0/1"}'
                % operation, b"")
            assert code == 0, message
        for forbidden in ('{"prefix": "osd pool create", "pool": "x"}',
                          '{"prefix": "auth ls"}', '{"prefix": "osd out", "ids": ["0"]}',
                          '{"prefix": "config-key ls"}'):
            code, _, _ = cluster.mon_command(forbidden, b"")
            assert code == -13, f"client.farshore may do {forbidden}"
    except rados.Error as e:
        pytest.fail(f"client.farshore may not do what it needs: {e}")
    finally:
        cluster.shutdown()
