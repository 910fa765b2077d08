# SPDX-License-Identifier: Apache-2.0
"""A run of a workload: source images, and steps of changing them and shipping what changed."""
import concurrent.futures

from .cost import operations
from .limit import Limit
from .mirror import POOL, Mirror


class Chain:
    """`steps` are (workload's name, write), where write(site, pool, images, seed) makes the change; a
    step without a name is shipped and not recorded. `against` are the names of those who take part,
    `limit` makes the one of that name. end() is called after a run, whether or not it succeeded."""

    def __init__(self, name, count, size, steps, against, limit=Limit, operations=False,
                 end=lambda: None):
        self.name = name
        self.count, self.size = count, size
        self.steps = steps
        self.against = against
        self.limit = limit
        self.operations = operations
        self.end = end

    def workloads(self):
        return [name for name, _ in self.steps if name]

    def images(self):
        return [f"{self.name}-{i}" for i in range(self.count)]

    def _write(self, stage, rivals, step, seed):
        """The change, to the images of each pool that somebody ships."""
        change = self.steps[step][1]
        pools = ["rbd"] + [POOL for rival in rivals if isinstance(rival, Mirror)]
        for pool in pools:
            if step == 0:
                for image in self.images():
                    stage.east.create(image, self.size, pool)
        at_once = len(pools) if hasattr(change, "pattern") else 1
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            list(threads.map(lambda pool: change(stage.east, pool, self.images(), seed), pools))

    def run(self, stage, rivals, run, wanted, report):
        """Everybody ships each change, taking turns at being first where that is recorded, as far as the
        last one wanted."""
        for rival in rivals:
            rival.images(self.images())
        last = max((i for i, (name, _) in enumerate(self.steps) if name in wanted), default=-1)
        for step in range(last + 1):
            name, change = self.steps[step]
            self._write(stage, rivals, step, 100 * run + step)
            # A snapshot of theirs that is older than our base would have our diffs ask for every object.
            turn = (run + step) % len(rivals) if name else 0
            for rival in rivals[turn:] + rivals[:turn]:
                if isinstance(rival, Limit):
                    if change.pattern.random:  # by fio, block by block: no limit for anybody here
                        continue
                    rival.access(change.pattern, 100 * run + step)
                if name:
                    stage.settle()
                cost = self._ship(stage, rival)
                if name in wanted:
                    report.add(name, rival.name, cost)

    def _ship(self, stage, rival):
        before = operations(*stage.sites) if self.operations else 0
        cost = rival.ship()
        if self.operations:
            cost.metrics["rados_ops"] = operations(*stage.sites) - before
        return cost

    def check(self, rivals):
        for rival in rivals:
            for image in self.images():
                rival.check(image)

    def drop(self, rivals):
        """The others' images go with the pool."""
        for rival in rivals:
            if isinstance(rival, Mirror):
                rival.drop(self.images())
