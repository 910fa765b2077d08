# SPDX-License-Identifier: Apache-2.0
"""Suite ship: what changed, from one site to the other, as fast as the two can."""
from harness import MIB

from .chain import Chain
from .disk import scattered, whole, write
from .report import Report

LINE = ""  # as fast as the kernel
METRICS = {"limit": ("wall", "cpu"), "all": ("wall", "cpu", "wire_bytes", "peak_memory")}
EVERYBODY = ("rbd-mirror", "export-diff", "export-diff-zstd", "limit")


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
    return Chain("disk", 1, size, [(name, ByFio(pattern)) for name, pattern in steps], EVERYBODY)


def many(quick):
    """20 images at once."""
    size = (4 if quick else 64) * MIB
    steps = [("20-first", whole(size)),
             ("20-changes", scattered(4, size, (1 if quick else 4) * MIB))]
    return Chain("many", 3 if quick else 20, size, [(name, ByFio(pattern)) for name, pattern in steps],
                 ("rbd-mirror", "export-diff", "limit"))


def chains(quick):
    return [disk(quick), many(quick)]


def suite(stage, options):
    report = Report()
    wanted = set(options.workloads)
    chosen = [chain for chain in chains(options.quick) if wanted.intersection(chain.workloads())]
    for run in range(options.runs):
        for chain in chosen:
            stage.renew()
            rivals = stage.rivals([name for name in chain.against if name in options.against])
            if not options.quick:
                warm_up(stage, rivals, check=run == 0)
            chain.run(stage, rivals, run, wanted, report)
            chain.check(rivals if options.quick else rivals[:1])
            chain.drop(rivals)
    report.compare(METRICS)
    return report


def warm_up(stage, rivals, check):
    """The daemons are fresh: their memory is touched, and their connections stand, once they have shipped
    a little. All copies are compared, if asked for; later ours alone are."""
    small = disk(quick=True)
    small.name = "warm"
    small.run(stage, rivals, 0, small.workloads(), Report(quiet=True))
    if check:
        small.check(rivals)
    small.drop(rivals)
