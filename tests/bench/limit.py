# SPDX-License-Identifier: Apache-2.0
"""What nothing that copies can be faster than."""
import time

from .cost import Meter
from .disk import end_fio, rbd, start_fio


class Limit:
    """fio reading what has changed here while another one writes as much there, the same blocks."""
    name = "limit"

    def __init__(self, east, west):
        self.east, self.west = east, west
        self.names, self.pattern, self.seed = [], None, 0

    def images(self, names):
        self.names = names

    def access(self, pattern, seed):
        """What the next ship() reads and writes."""
        self.pattern, self.seed = pattern, seed

    def ship(self):
        targets = [f"{name}.limit" for name in self.names]
        for name, target in zip(self.names, targets):
            if target not in self.west.names():
                with self.east.image(name, read_only=True) as image:
                    self.west.create(target, image.size())
        meter = Meter((self.east, self.west))
        both = [("fio read", start_fio(self.east, self.names, **self.pattern.fio("read", self.seed))),
                ("fio write", start_fio(self.west, targets, **self.pattern.fio("write", self.seed)))]
        children, wall = {}, 0
        for what, process in both:
            jobs, children[what] = end_fio(process)
            wall = max(wall, *(job["job_runtime"] / 1000 for job in jobs), 0.001)
        return meter.end(children, wall)

    def check(self, name):
        """It copies nothing."""


class FastDiff:
    """Finding the changed objects, and nothing else: librbd's diff of whole objects."""
    name = "limit"

    def __init__(self, east, west):
        self.east, self.west = east, west
        self.names, self.count = [], 0

    def images(self, names):
        self.names = names

    def ship(self):
        self.count += 1
        for name in self.names:
            rbd(self.east, "snap", "create", "--no-progress", f"rbd/{name}@limit.{self.count}")
        meter = Meter((self.east, self.west))
        for name in self.names:
            with self.east.image(name, read_only=True) as image:
                base = f"limit.{self.count - 1}" if self.count > 1 else None
                begun = time.monotonic()
                image.diff_iterate(0, image.size(), base, lambda *_: None, whole_object=True)
                took = time.monotonic() - begun
        return meter.end(wall=took)

    def check(self, name):
        """It copies nothing."""
