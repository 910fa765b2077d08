# SPDX-License-Identifier: Apache-2.0
"""Suite ship: what changed, from one site to the other, as fast as the two can."""
import statistics

from harness import GIB, MIB, TIB

from .chain import Chain
from .database import Database
from .disk import Sparse, scattered, whole, write
from .limit import FastDiff
from .report import Report

LINE = ""  # as fast as the kernel
POLICIES = None
METRICS = {"limit": ("wall", "cpu"), "all": ("wall", "cpu", "wire_bytes", "peak_memory", "rados_ops")}
EVERYBODY = ("rbd-mirror", "export-diff", "export-diff-zstd", "limit")
WITHOUT_ZSTD = ("rbd-mirror", "export-diff", "limit")  # it gains nothing without a thin line


class ByFio:
    """A change of a pattern, to every image."""

    def __init__(self, pattern):
        self.pattern = pattern

    def __call__(self, site, pool, images, seed):
        write(site, images, pool, **self.pattern.fio("write", seed))


def disk(quick):
    size = (64 if quick else 2048) * MIB
    steps = [("first-copy", whole(size)),
             ("4k-writes", scattered(4, size, (4 if quick else 256) * MIB)),
             ("64k-writes", scattered(64, size, (8 if quick else 1024) * MIB))]
    return Chain("disk", 1, size, [(name, ByFio(pattern)) for name, pattern in steps], WITHOUT_ZSTD)


def many(quick):
    """20 images at once."""
    size = (4 if quick else 64) * MIB
    steps = [("20-first", whole(size)),
             ("20-changes", scattered(4, size, (1 if quick else 4) * MIB))]
    return Chain("many", 3 if quick else 20, size, [(name, ByFio(pattern)) for name, pattern in steps],
                 WITHOUT_ZSTD)


def sparse(quick):
    size, objects = (GIB, 100) if quick else (TIB, 2000)
    return Chain("sparse", 1, size, [(None, Sparse(objects)), ("sparse", Sparse(objects, every=10))],
                 ("rbd-mirror", "limit"), limit=FastDiff)  # export-diff takes half a minute to find them


def database(quick):
    """What pgbench changes; the limit would be another workload."""
    made = Database(quick)
    return Chain("database", 1, (512 if quick else 4096) * MIB,
                 [(None, made.create), ("database", made.work)],
                 ("rbd-mirror", "export-diff-zstd"), end=made.stop)


def idle(quick):
    """Nothing has changed: what the cycle costs all the same."""
    size = (16 if quick else 256) * MIB
    return Chain("idle", 1, size, [(None, ByFio(whole(size))), ("idle", lambda *_: None)],
                 ("rbd-mirror", "export-diff"), operations=True)


def chains(quick):
    return [disk(quick), many(quick), sparse(quick), database(quick), idle(quick)]


def suite(stage, options):
    report = Report()
    chosen = [chain for chain in chains(options.quick)
              if set(options.workloads).intersection(chain.workloads())]
    play(stage, chosen, options, report)
    report.compare(METRICS)
    for (workload, who), costs in report.costs.items():
        parts = [cost.our_part for cost in costs if cost.our_part]
        if parts:
            report.row(workload, who, "wall", statistics.median(parts),
                       report.median(workload, who, "wall"))
    return report


def play(stage, chosen, options, report):
    wanted = set(options.workloads)
    for run in range(options.runs):
        if run:
            stage.begin_anew()
        for i, chain in enumerate(chosen):
            stage.renew()
            rivals = stage.rivals([name for name in chain.against if name in options.against],
                                  chain.limit)
            if not options.quick:
                cold = rivals if i == 0 else rivals[:1]
                warm_up(stage, [r for r in cold if r.name != "limit"], check=run == 0)
            try:
                chain.run(stage, rivals, run, wanted, report)
            finally:
                chain.end()
            chain.check(rivals if options.quick else rivals[:1])
            chain.drop(rivals)


def warm_up(stage, rivals, check):
    """Fresh daemons, ours in each chain, everybody's on fresh clusters: their memory is touched, and their
    connections stand, once they have shipped a little. The copies are compared, if asked for."""
    small = disk(quick=True)
    small.name = "warm"
    small.steps.pop()
    small.run(stage, rivals, 0, small.workloads(), Report(quiet=True))
    if check:
        small.check(rivals)
    small.drop(rivals)
