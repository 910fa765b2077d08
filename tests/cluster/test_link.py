# SPDX-License-Identifier: Apache-2.0
"""What is sent over the link: its limit of bandwidth and its compression."""
import os
import re

from harness import MIB, wait_for
from harness.tool import farshore

GOLD = {"farshore.io/policy": "gold"}
SIZE = 32 * MIB


def peer_of(daemon):
    return daemon.status()["peers"][0]


def shown(daemon):
    """What people see."""
    return farshore(daemon, "status").stdout


def create_noise(site, name):
    site.create(name, SIZE, labels=GOLD)
    with site.image(name) as image:
        for at in range(0, SIZE, 4 * MIB):
            image.write(os.urandom(4 * MIB), at)


def test_limit_is_lifted_by_a_reload_under_the_transfer(east, daemons, same):
    create_noise(east, "disk")
    pair = daemons(start=False)
    pair.east.config["peers"]["west"]["bandwidth"] = "1 Mbit/s"  # four minutes and a half
    pair.east.write_config()
    pair.start()
    wait_for(lambda: peer_of(pair.east)["sent_bytes"] > 300000, 60, "some of it is sent")
    assert peer_of(pair.east)["bandwidth_bytes_per_second"] == 125000
    assert "sent to at 1 Mbit/s at most" in shown(pair.east)
    assert ('farshore_peer_bandwidth_bytes_per_second{peer="west"} 125000\n'
            in pair.east.http("/metrics"))
    assert not pair.west.committed("rbd/disk")

    # The whole week, so that the test does not care for the time of the day.
    pair.east.config["peers"]["west"]["windows"] = [
        {"from": "00:00", "to": "24:00", "bandwidth": "2 Mbit/s"}]
    pair.east.reload()
    peer = peer_of(pair.east)
    assert peer["bandwidth_bytes_per_second"] == 250000
    assert peer["bandwidth_window"] == "mon-sun 00:00 to 24:00"
    assert not pair.west.committed("rbd/disk")

    del pair.east.config["peers"]["west"]["windows"]
    del pair.east.config["peers"]["west"]["bandwidth"]
    pair.east.reload()
    pair.ready("rbd/disk")
    assert "bandwidth_bytes_per_second" not in peer_of(pair.east)
    # One session, one transfer: nobody noticed.
    for daemon in pair:
        assert not daemon.events("sync_failed") and not daemon.events("sync_resumed")
        assert len(daemon.events("peer_up")) == 1
    wait_for(lambda: pair.east.group("rbd/disk")["counters"]["committed"] == 1, 30, "it is told")
    same(pair, "rbd/disk")


def test_level_follows_the_configuration_and_shows(east, daemons, same):
    east.create("text", 16 * MIB, labels=GOLD)
    text = (b"the quick brown fox jumps over the lazy dog\n" * 100000)[:4 * MIB]

    def write(mark):
        with east.image("text") as image:
            for at in range(0, 16 * MIB, 4 * MIB):
                image.write(mark + text[1:], at)

    write(b"0")
    pair = daemons()
    pair.ready("rbd/text")
    assert peer_of(pair.east)["compression_level"] in (-7, -3, 0, 1, 3, 6, 9, 12, 19)
    assert pair.east.group("rbd/text")["compression_ratio"] > 10
    assert pair.west.group("rbd/text")["compression_ratio"] > 10

    pair.east.config["compression"] = {"level": 0}
    pair.east.reload()
    assert peer_of(pair.east)["compression_level"] == 0
    write(b"1")
    pair.east.sync("rbd/text")
    assert 0.99 < pair.east.group("rbd/text")["compression_ratio"] <= 1

    pair.east.config["compression"] = {"level": 12}
    pair.east.reload()
    assert "compressed at level 12" in shown(pair.east)
    write(b"2")
    pair.east.sync("rbd/text")
    metrics = pair.east.http("/metrics")
    assert 'farshore_compression_level{peer="west"} 12\n' in metrics
    ratio = re.search(r'^farshore_compression_ratio\{group="rbd/text".*\} ([\d.]+)$', metrics, re.M)
    assert ratio and float(ratio[1]) > 10
    same(pair, "rbd/text")
