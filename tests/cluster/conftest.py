# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the cluster tests, and the checks that end each of them."""
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import content, wait_for  # noqa: E402
from harness.daemon import STOP_S, DaemonPair  # noqa: E402
from harness.linked import Linked  # noqa: E402
from harness.site import POOLS, Site, lab  # noqa: E402
from harness.writer import Writer  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: also runs against the asan build")


@pytest.fixture(scope="session")
def lab_dir():
    """The pair of clusters that CTest brought up, or one of our own."""
    if given := os.environ.get("FARSHORE_LAB_DIR"):
        yield given
        return
    directory = tempfile.mkdtemp(prefix="farshore-lab-")
    try:
        lab("up", directory, "east", "west")
        yield directory
    finally:
        lab("down", directory)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def clusters(lab_dir):
    sites = Site(lab_dir, "east"), Site(lab_dir, "west")
    yield sites
    for site in sites:
        site.close()


@pytest.fixture
def east(clusters):
    clusters[0].renew_pools()
    return clusters[0]


@pytest.fixture
def west(clusters):
    clusters[1].renew_pools()
    return clusters[1]


@pytest.fixture
def workdir():
    """Short enough for a Unix socket's path, which pytest's own may not be."""
    directory = tempfile.mkdtemp(prefix="farshore-test-")
    yield pathlib.Path(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def writer(daemons):
    """writer(site, images, ...) starts one; whatever is left is killed, before the daemons end."""
    assert daemons
    made = []

    def make(*args, **options):
        made.append(Writer(*args, **options))
        return made[-1]
    yield make
    for one in made:
        one.kill()


@pytest.fixture
def daemons(east, west, workdir):
    """daemons(policies=..., ...) starts a daemon at each site. After the test: both stop in time,
    and nothing that they should have cleaned up is left."""
    made = []

    def make(start=True, **options):
        pair = DaemonPair(east, west, workdir / str(len(made)), **options)
        made.append(pair)
        return pair.start() if start else pair
    yield make
    try:
        for pair in made:
            check_end(pair, east, west)
    finally:
        for pair in made:
            pair.kill()
            for daemon in pair:  # pytest shows it where the test failed
                print(f"--- log of {daemon.site.name}", daemon.log(100), sep="\n")


@pytest.fixture
def linked(daemons, east, west):
    """linked(...) makes a Linked; its proxy ends with the test."""
    made = []

    def make(**options):
        made.append(Linked(daemons, east, west, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


def check_end(pair, east, west):
    for daemon in pair:
        if daemon.running():
            took = daemon.stop()
            assert took < STOP_S, f"{daemon.site.name}'s daemon took {took:.1f} s to stop"
        complaints = daemon.complaints()
        assert not complaints, f"in the log of {daemon.site.name}:\n" + "\n".join(complaints[:20])
        assert not daemon.processes()
    for site in (east, west):
        watchers = site.watchers()
        assert not watchers, f"{site.name}: images are still open: {watchers}"
    check_snapshots(pair, east)


def check_snapshots(pair, source):
    """A source keeps a base and at most one point on its way, each with at most one mark."""
    for pool in POOLS:
        for name in source.names(pool):
            points, marks = source.farshore_snapshots(name, pool)
            assert len(points) <= 2 and len(marks) <= 2, \
                f"{pool}/{name}: points {points}, marks {marks}\n{pair.east.log()}"


@pytest.fixture
def same(east, west):
    """same(pair, group): the newest committed point is the same at both sites, byte for byte; it is
    returned. The source must not move on meanwhile (policies of tests have long intervals)."""
    def check(pair, group):
        def both():
            there = {p["id"]: p for p in pair.west.committed(group)}
            here = [p for p in pair.east.committed(group) if p["id"] in there]
            return here and (here[-1], there[here[-1]["id"]])
        a, b = wait_for(both, 20, f"{group} has a common point")
        content.same_point((east, a), (west, b))
        return b
    return check


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("FARSHORE_REQUIRE") == "all" and reporter.stats.get("skipped"):
        session.exitstatus = max(exitstatus, pytest.ExitCode.TESTS_FAILED)
