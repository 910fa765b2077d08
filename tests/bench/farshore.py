# SPDX-License-Identifier: Apache-2.0
"""Farshore as a rival among the others."""
from harness import content, wait_for

from . import SHIP_S
from .cost import Meter

LABEL = {"farshore.io/policy": "gold"}


class Farshore:
    """Two daemons. From the moment that the daemon sees the label, later that it is asked for a point,
    until the point is committed at the target."""
    name = "farshore"

    def __init__(self, pair):
        self.pair = pair
        self.names, self.known = [], set()

    def images(self, names):
        self.names = names

    def _meter(self):
        processes = {f"farshored {d.site.name}": d.process.pid for d in self.pair}
        return Meter([d.site for d in self.pair], processes)

    def ship(self):
        groups = [f"rbd/{name}" for name in self.names]
        if not self.known.issuperset(groups):
            return self._ship_first(groups)
        meter = self._meter()
        if len(groups) == 1:
            self.pair.east.sync(groups[0], timeout_s=SHIP_S)
            return meter.end()
        wanted = {g: self.newest(g) for g in groups}
        for group in groups:
            self.pair.east.request("sync", group=group)
        wait_for(lambda: all(self.newest(g) != wanted[g] for g in groups), SHIP_S, "new points",
                 every_s=0.05)
        return meter.end()

    def newest(self, group):
        points = self.pair.west.committed(group)
        return points[-1]["id"] if points else None

    def _ship_first(self, groups):
        east, west = self.pair
        for name in self.names:
            east.site.label(name, LABEL)
        wait_for(lambda: east.group(groups[0]), 30, f"{groups[0]} is found", every_s=0.01)
        meter = self._meter()

        def committed(group):
            return west.group(group) and west.committed(group)
        wait_for(lambda: all(committed(g) for g in groups), SHIP_S, "first points", every_s=0.05)
        self.known.update(groups)
        return meter.end()

    def check(self, name):
        east, west = self.pair
        group = f"rbd/{name}"

        def common():  # the source hears of the commit a moment later
            here, there = east.committed(group), west.committed(group)
            return here and there and here[-1]["id"] == there[-1]["id"] and (here[-1], there[-1])
        here, there = wait_for(common, 30, f"{group} is settled")
        content.same_point((east.site, here), (west.site, there))
