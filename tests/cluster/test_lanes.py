# SPDX-License-Identifier: Apache-2.0
"""A session that several TLS connections carry: one ends in the middle of a transfer, and the
transfer goes on."""
import os

import pytest
from harness import MIB, wait_for
from harness.proxy import Proxy
from harness.tool import farshore

GOLD = {"farshore.io/policy": "gold"}
SIZE = 96 * MIB


def lanes(daemon):
    return daemon.status()["peers"][0].get("lanes")


@pytest.fixture
def linked(east, daemons):
    """East dials west over a proxy; `lanes` of its configuration are asked for."""
    proxies = []

    def make(count):
        east.create("disk", SIZE, labels=GOLD)
        with east.image("disk") as image:
            for at in range(0, SIZE, 4 * MIB):
                image.write(os.urandom(4 * MIB), at)
        pair = daemons(start=False)
        proxy = Proxy(int(pair.west.config["listen"].rpartition(":")[2]))
        proxies.append(proxy)
        peer = pair.east.config["peers"]["west"]
        peer["endpoints"] = [f"127.0.0.1:{proxy.port}"]
        if count is not None:
            peer["lanes"] = count
        peer["bandwidth"] = "60 Mbit/s"
        pair.east.write_config()
        pair.start()
        return pair, proxy
    yield make
    for proxy in proxies:
        proxy.close()


def went_through(pair):
    """One session, one transfer."""
    for daemon in pair:
        assert not daemon.events("sync_failed") and not daemon.events("sync_resumed")
        assert len(daemon.events("peer_up")) == 1 and not daemon.events("peer_down")


def test_a_lane_that_is_cut_does_not_end_the_transfer(linked, same):
    pair, proxy = linked(3)
    wait_for(lambda: lanes(pair.east) == 3 and lanes(pair.west) == 3, 30, "there are three lanes")
    assert len(proxy.now()) == 3
    assert 'farshore_session_lanes{peer="west"} 3\n' in pair.east.http("/metrics")
    assert "over 3 connections" in farshore(pair.east, "status").stdout
    for reset in (True, False):
        before = proxy.passed
        wait_for(lambda: proxy.passed > before + 8 * MIB, 60, "it is under way", every_s=0.005)
        proxy.now()[0].cut(reset)
        # A new one comes five seconds later.
        wait_for(lambda: len(proxy.now()) == 3 and lanes(pair.west) == 3, 30, "it is made again")
    assert not pair.west.committed("rbd/disk")
    pair.ready("rbd/disk")
    went_through(pair)
    for daemon in pair:
        assert len(daemon.events("lane_down")) == 2
    same(pair, "rbd/disk")


def test_a_lane_that_swallows_bytes_is_given_up(linked, same):
    pair, proxy = linked(3)
    wait_for(lambda: lanes(pair.east) == 3 and lanes(pair.west) == 3, 30, "there are three lanes")
    before = proxy.passed
    wait_for(lambda: proxy.passed > before + 8 * MIB, 60, "it is under way", every_s=0.005)
    proxy.now()[0].swallowed |= {"out", "back"}
    pair.ready("rbd/disk")
    went_through(pair)
    assert pair.east.events("lane_down")
    same(pair, "rbd/disk")


@pytest.mark.parametrize("count", [1, None])
def test_one_lane_is_one_connection(linked, same, count):
    pair, proxy = linked(count)  # a loopback is short: auto is one, too
    pair.ready("rbd/disk")
    assert lanes(pair.east) == lanes(pair.west) == 1
    assert len(proxy.now()) == 1
    same(pair, "rbd/disk")
