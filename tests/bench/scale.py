# SPDX-License-Identifier: Apache-2.0
"""Suite scale: many volumes under writes, points as often as can be: how old is the newest one at the
target, sampled all the time. rbd-mirror's schedules go down to one minute; here it gets a snapshot of
each image as soon as the one before is complete, but no sooner than after a second."""
import statistics
import threading
import time

from harness import KIB, MIB, wait_for

from . import fleet, note
from .disk import end_fio, start_fio, whole, write
from .mirror import POOL
from .report import OURS, Report

LINE = ""
INTERVAL_S = 1
POLICIES = {"gold": {"interval": f"{INTERVAL_S}s"}, "fleet": fleet.POLICY}
SAMPLE_S = 0.1
WORKLOAD = "10-volumes"


class Volumes:
    """As a chain, as far as its name is asked for."""

    def __init__(self, quick):
        self.count = 2 if quick else 10
        self.size = (64 if quick else 256) * MIB
        self.seconds = 3 if quick else 60
        self.names = [f"scale-{i}" for i in range(self.count)]

    @staticmethod
    def workloads():
        return [WORKLOAD]

    def create(self, stage, pool):
        for name in self.names:
            stage.east.create(name, self.size, pool)
        write(stage.east, self.names, pool, **whole(self.size).fio("write", 0))

    def write(self, stage, pool):
        """5 MB/s to each, until it ends by itself. In blocks of 16 KiB the writers and their cluster alone
        would take all of two cores."""
        return start_fio(stage.east, self.names, pool, rw="randwrite", bs=64 * KIB, size=self.size,
                         rate=5_000_000, time_based=1, runtime=self.seconds + 5)


def chains(quick):
    return [Volumes(quick), fleet.Fleet(quick)]


def sample(seconds, lags):
    """Every lag of every volume that lags() gives, all the time."""
    samples, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        samples += lags()
        time.sleep(SAMPLE_S)
    return samples


def ours(stage, volumes):
    rival, = stage.rivals((), None)
    rival.images(volumes.names)
    volumes.create(stage, "rbd")
    rival.ship()

    def lags():
        return [g["rpo_lag_seconds"] for g in stage.pair.west.status()["groups"]]
    writer = volumes.write(stage, "rbd")
    try:
        time.sleep(4)
        return fleet.p99(sample(volumes.seconds, lags))
    finally:
        end_fio(writer)


def theirs(stage, volumes):
    _, mirror = stage.rivals(("rbd-mirror",), None)
    mirror.images(volumes.names)
    volumes.create(stage, POOL)
    mirror.ship()
    taken = {name: time.monotonic() for name in volumes.names}  # of the newest complete one
    ended = threading.Event()

    def replicate(name):
        while not ended.is_set():
            begun = time.monotonic()
            snapshot = mirror.snapshot(name)
            wait_for(lambda: ended.is_set() or mirror.complete(name, snapshot), 600,
                     f"a snapshot of {name}", every_s=0.05)
            if not ended.is_set():
                taken[name] = begun
                ended.wait(max(0, begun + INTERVAL_S - time.monotonic()))
    threads = [threading.Thread(target=replicate, args=(name,)) for name in volumes.names]
    writer = volumes.write(stage, POOL)
    for thread in threads:
        thread.start()
    try:
        time.sleep(4)
        return fleet.p99(sample(volumes.seconds,
                          lambda: [time.monotonic() - at for at in taken.values()]))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        end_fio(writer)
        mirror.drop(volumes.names)


def compare(stage, options, report):
    volumes, found = Volumes(options.quick), {}
    for run in range(options.runs):
        if run:
            stage.begin_anew()
        stage.renew()
        contestants = [(OURS, ours), ("rbd-mirror", theirs)]
        for who, measure in contestants if run % 2 else contestants[::-1]:
            if who in (OURS, *options.against):
                lag = measure(stage, volumes)
                found.setdefault(who, []).append(lag)
                note(f"{WORKLOAD:<12} {who:<16} lag p99 {lag:.2f} s")
                stage.settle()
    if "rbd-mirror" in found:
        report.row(WORKLOAD, "rbd-mirror", "lag_p99",
                   *(statistics.median(found[who]) for who in (OURS, "rbd-mirror")))


def suite(stage, options):
    report = Report()
    if WORKLOAD in options.workloads:
        compare(stage, options, report)
    if fleet.WORKLOAD in options.workloads:
        stage.renew()
        fleet.measure(stage, fleet.Fleet(options.quick), report)
    return report
