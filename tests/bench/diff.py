# SPDX-License-Identifier: Apache-2.0
"""rbd export-diff | rbd import-diff, as people have it in scripts."""
import contextlib
import os
import socket
import subprocess

from .compare import compare
from .cost import Meter
from .disk import rbd


class ExportDiff:
    """rbd export-diff | rbd import-diff, its snapshot included, over a TCP connection between the
    sites; with `through` a compressor before it and its opposite behind it."""

    def __init__(self, east, west, through=None):
        self.name = "export-diff-zstd" if through else "export-diff"
        self.east, self.west = east, west
        self.through = through
        self.names, self.count = [], {}

    def images(self, names):
        self.names = names

    def ship(self):
        meter = Meter((self.east, self.west))
        running, children = [], []
        for name in self.names:
            running += self._start(name)
        for what, process in running:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if status:
                raise SystemExit(f"bench: {what} failed with {process.returncode}")
            children.append((what, usage))
        return meter.end(children)

    def target(self, name):
        return f"{name}.{self.name}"

    def _start(self, name):
        """[(program, process)], all of them running when this returns."""
        count = self.count[name] = self.count.get(name, 0) + 1
        snapshot = f"{self.name}.{count}"
        rbd(self.east, "snap", "create", "--no-progress", f"rbd/{name}@{snapshot}")
        if count == 1:
            with self.east.image(name, read_only=True) as image:
                self.west.create(self.target(name), image.size())
        base = ["--from-snap", f"{self.name}.{count - 1}"] if count > 1 else []
        with connection(self.east, self.west) as (here, there):
            return pipeline(self.east, here, [
                ["rbd", "--conf", self.east.conf, "export-diff", "--no-progress", *base,
                 f"rbd/{name}@{snapshot}", "-"], *([self.through] if self.through else [])]) + \
                pipeline(self.west, there, [
                    *([[*self.through[:1], "-d"]] if self.through else []),
                    ["rbd", "--conf", self.west.conf, "import-diff", "--no-progress", "-",
                     f"rbd/{self.target(name)}"]])

    def check(self, name):
        snapshot = f"{self.name}.{self.count[name]}"
        here, there = (self._snap_id(site, image, snapshot) for site, image in
                       ((self.east, name), (self.west, self.target(name))))
        compare(self.east, name, here, self.west, self.target(name), there)

    @staticmethod
    def _snap_id(site, name, snapshot):
        with site.image(name, read_only=True) as image:
            return next(s["id"] for s in image.list_snaps() if s["name"] == snapshot)


@contextlib.contextmanager
def connection(a, b):
    """The two ends of a TCP connection between the sites, for processes to take over."""
    with b.entered(), socket.create_server((b.address, 0)) as listener:
        with a.entered():
            here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    with here, there:
        yield here, there


def pipeline(site, end, commands):
    """Runs commands at a site, each reading from the one before. The first one reads from `end`,
    or the last one writes to it, whichever imports or exports."""
    exports = "export-diff" in commands[0]
    started, before = [], subprocess.DEVNULL if exports else end
    with site.entered():
        for i, command in enumerate(commands):
            last = i == len(commands) - 1
            after = subprocess.PIPE if not last else end if exports else subprocess.DEVNULL
            process = subprocess.Popen(command, stdin=before, stdout=after)
            if i:
                before.close()
            before = process.stdout
            name = command[0] if len(command) < 4 else command[3]
            started.append((f"{name} {site.name}", process))
    return started
