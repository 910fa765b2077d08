# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests on a pair of real clusters. A conftest.py takes them all."""
import concurrent.futures
import os
import pathlib
import shutil
import tempfile

import pytest

from . import content, wait_for
from .daemon import DaemonPair
from .end import check_end
from .linked import Linked
from .site import Site, lab
from .writer import Writer


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
def fresh(clusters):
    """The clusters with empty pools."""
    with concurrent.futures.ThreadPoolExecutor(len(clusters)) as each:
        list(each.map(Site.renew_pools, clusters))
    return clusters


@pytest.fixture
def east(fresh):
    return fresh[0]


@pytest.fixture
def west(fresh):
    return fresh[1]


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
