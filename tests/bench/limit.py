# SPDX-License-Identifier: Apache-2.0
"""What nothing that copies can be faster than."""
import statistics
import subprocess

from harness.daemon import program

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
        children, wall = [], 0
        for what, process in both:
            jobs, usage = end_fio(process)
            children.append((what, usage))
            wall = max(wall, *(job["job_runtime"] / 1000 for job in jobs), 0.001)
        return meter.end(children, wall)

    def check(self, name):
        """It copies nothing."""


class FastDiff:
    """Finding the changed objects, and nothing else: librbd's diff of whole objects. Ours is finding the
    extents, between the same two snapshots, in turns."""
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
        objects = extents = 0
        for name in self.names if self.count > 1 else []:
            with self.east.entered():
                said = subprocess.run([program("find_extents"), self.east.conf, "rbd", name,
                                       f"limit.{self.count - 1}", f"limit.{self.count}"],
                                      check=True, stdout=subprocess.PIPE, text=True).stdout
            rounds = [[int(ns) / 1e9 for ns in line.split()] for line in said.splitlines()]
            objects += statistics.median(one[0] for one in rounds)
            extents += statistics.median(one[1] for one in rounds)
        cost = meter.end(wall=objects)
        cost.our_part = extents
        return cost

    def check(self, name):
        """It copies nothing."""
