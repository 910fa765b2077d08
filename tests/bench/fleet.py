# SPDX-License-Identifier: Apache-2.0
"""Many groups, of which few are written to: do all keep their interval, and what do the idle ones cost?
Of the suite scale; there is nobody to compare with."""
import statistics
import time

from harness import KIB, MIB, wait_for

from . import note
from .cost import Meter, operations
from .disk import end_fio, start_fio

WORKLOAD = "300-volumes"
DISKS = 3
POLICY = {"interval": "10s", "group_by": "app"}
DISCOVERY = {"source": "images", "interval": "60s"}  # as is the default; the tests' is one second


class Fleet:
    """Groups of three volumes with an interval of ten seconds; as a chain, as far as its name is asked
    for."""

    def __init__(self, quick):
        self.groups, self.busy = (4, 1) if quick else (100, 5)
        self.interval_s = 2 if quick else 10
        self.cycles = 1 if quick else 6
        self.size = 64 * MIB

    @staticmethod
    def workloads():
        return [WORKLOAD]

    def disks(self, group):
        return [f"fleet-{group}-{disk}" for disk in range(DISKS)]

    def create(self, stage):
        """All are known, and have a point at the target."""
        east, west = stage.pair
        for group in range(self.groups):
            for name in self.disks(group):
                stage.east.create(name, self.size,
                                  labels={"farshore.io/policy": "fleet", "app": f"fleet-{group}"})
        wait_for(lambda: self.lags(west) and len(self.lags(west)) == self.groups, 600,
                 f"{self.groups} groups have a point", every_s=1)
        for daemon in (east, west):
            daemon.config["discovery"] = [DISCOVERY]
            daemon.config["policies"]["fleet"]["interval"] = f"{self.interval_s}s"
            daemon.reload()

    @staticmethod
    def lags(daemon):
        return [g["rpo_lag_seconds"] for g in daemon.status()["groups"] if "rpo_lag_seconds" in g]

    def watch(self, stage):
        """(cost, RADOS operations, every lag of every group at the target) of some cycles."""
        daemons = {f"farshored {d.site.name}": d.process.pid for d in stage.pair}
        meter, before = Meter(stage.sites, daemons), operations(*stage.sites)
        lags, end = [], time.monotonic() + self.cycles * self.interval_s
        while time.monotonic() < end:
            lags += self.lags(stage.pair.west)
            time.sleep(0.5)
        return meter.end(), operations(*stage.sites) - before, lags


def measure(stage, fleet, report):
    fleet.create(stage)
    time.sleep(2 * fleet.interval_s)
    idle, ops, idle_lags = fleet.watch(stage)
    each = ops / fleet.groups / fleet.cycles
    writer = start_fio(stage.east, [n for g in range(fleet.busy) for n in fleet.disks(g)],
                       rw="randwrite", bs=16 * KIB, size=fleet.size, rate=500_000, iodepth=4, time_based=1,
                       runtime=(fleet.cycles + 3) * fleet.interval_s)
    try:
        time.sleep(2 * fleet.interval_s)
        busy, _, lags = fleet.watch(stage)
    finally:
        end_fio(writer)
    for what, cost, seen in (("idle", idle, idle_lags), (f"{fleet.busy} busy", busy, lags)):
        daemons = sum(cpu for name, cpu in cost.processes.items() if name.startswith("farshored"))
        note(f"{WORKLOAD:<12} {what:<8} lag p99 {p99(seen):.1f} s, most {max(seen):.1f} s of an interval of "
             f"{fleet.interval_s} s; both daemons {daemons / cost.metrics['wall'] * 100:.1f} % of a processor, "
             f"the OSDs {(cost.metrics['cpu'] - daemons) / cost.metrics['wall'] * 100:.1f} %; "
             f"{cost.metrics['peak_memory'] >> 20} MiB at most")
    note(f"{WORKLOAD:<12} {each:.1f} RADOS operations for an idle group of {DISKS} volumes in a cycle, both "
         f"clusters, the daemons' own timers among them")
    report.row(WORKLOAD, "none", "lag_p99", p99(lags), 0)
    report.row(WORKLOAD, "none", "rados_ops", each, 0)
    report.row(WORKLOAD, "none", "cpu", busy.metrics["cpu"], 0)
    report.row(WORKLOAD, "none", "peak_memory", busy.metrics["peak_memory"], 0)


def p99(samples):
    return statistics.quantiles(samples, n=100)[98]
