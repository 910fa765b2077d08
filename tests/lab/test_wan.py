# SPDX-License-Identifier: Apache-2.0
"""The emulated line does what it says, by tools that are not ours: ping and iperf3. Limits from above
are what a busy machine can miss, so they are wide; those from below no load can break."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import netns, wait_for  # noqa: E402

WAN = pathlib.Path(__file__).with_name("wan")


@pytest.fixture
def line(tmp_path):
    """line(options) joins two sites; the result runs a command at one of them: run("east", ...)."""
    with contextlib.ExitStack() as stack:
        def make(*options):
            directory = tmp_path / "line"
            process = subprocess.Popen([WAN, "--dir", directory, *options, "east", "west"],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

            def end():
                process.terminate()
                return process.communicate(timeout=10)[1]
            stack.callback(end)
            wait_for(lambda: (directory / "wan.json").exists(), 20, "the line is up")
            return Line(json.loads((directory / "wan.json").read_text())["sites"], end)
        yield make


class Line:
    def __init__(self, sites, end):
        self.sites = sites
        self.end = end

    def start(self, site, *argv):
        with netns.entered(self.sites[site]["namespace"]):
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def run(self, site, *argv):
        process = self.start(site, *argv)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        return out

    def ping(self, count, interval):
        """(answers, shortest, average, longest round trip in ms)"""
        said = self.run("east", "ping", "-q", "-c", str(count), "-i", str(interval), "10.77.0.2")
        times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", said)
        return int(re.search(r"(\d+) received", said)[1]), *map(float, times.groups())

    def iperf(self, *options):
        server = self.start("west", "iperf3", "-s", "-1", "--forceflush")
        wait_for(lambda: "listening" in server.stdout.readline(), 20, "iperf3 listens")
        said = self.run("east", "iperf3", "-J", "-c", "10.77.0.2", *options)
        server.communicate(timeout=30)
        return json.loads(said)["end"]


def test_the_sites_see_each_other_and_nothing_else(line):
    made = line()
    assert made.ping(3, 0.2)[0] == 3
    assert made.run("east", "cat", "/proc/self/net/route").count("\n") == 2  # header and the line
    assert made.iperf("-n", "16M")["sum_sent"]["bytes"] >= 16 << 20


def test_a_round_trip_takes_twice_the_delay(line):
    answers, shortest, average, _ = line("--delay", "20ms").ping(20, 0.1)
    assert answers == 20
    assert 40 <= shortest < 42 and average < 60


def test_jitter_is_added_and_nothing_is_reordered(line):
    made = line("--delay", "5ms", "--jitter", "20ms")
    _, shortest, _, longest = made.ping(40, 0.05)
    assert shortest >= 10 and longest - shortest > 10
    udp = made.iperf("-u", "-b", "2M", "-t", "2")["streams"][0]["udp"]
    assert udp["packets"] > 100 and udp["out_of_order"] == 0


def test_the_rate_holds_in_both_directions(line):
    made = line("--rate", "100mbit", "--delay", "20ms")
    for options in ((), ("-R",)):
        received = made.iperf("-t", "4", *options)["sum_received"]["bits_per_second"]
        # 1,448 bytes of each 1,500 are data; the first tenths of a second go into getting up to speed.
        assert 60e6 < received < 96.6e6


def test_the_lost_share_is_lost(line):
    made = line("--loss", "5", "--seed", "7")
    udp = made.iperf("-u", "-b", "20M", "-l", "1000", "-t", "3")["streams"][0]["udp"]
    assert udp["packets"] > 5000
    assert 3.5 < udp["lost_percent"] < 6.5


def test_a_full_queue_drops(line):
    made = line("--rate", "1mbit", "--queue", "10000")
    udp = made.iperf("-u", "-b", "4M", "-l", "1000", "-t", "2")["streams"][0]["udp"]
    assert udp["lost_percent"] > 50
    assert int(re.search(r"there: .*dropped (\d+)", made.end())[1]) > 100


def test_a_wrong_option_says_what_is_right():
    said = subprocess.run([WAN, "--dir", os.devnull, "--rate", "100mbt", "a", "b"], text=True,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert said.returncode == 2 and "mbit" in said.stderr


def test_nothing_is_left(line):
    made = line("--delay", "1ms")
    path = made.sites["east"]["namespace"]
    made.end()
    deadline = time.monotonic() + 10
    while os.path.exists(path):
        assert time.monotonic() < deadline
