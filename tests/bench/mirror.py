# SPDX-License-Identifier: Apache-2.0
"""rbd-mirror, in a pool of its own: it would copy the snapshots of the others too."""
import contextlib
import os
import pathlib
import subprocess

import rbd as librbd

from harness import wait_for

from . import SHIP_S
from .compare import compare
from .cost import Meter
from .disk import rbd

POOL = "rbd2"


class Mirror:
    """rbd-mirror at the target, snapshot mode. From the snapshot's creation until the non-primary
    snapshot is complete."""
    name = "rbd-mirror"

    def __init__(self, east, west, directory):
        self.east, self.west = east, west
        self.dir = pathlib.Path(directory)
        self.names, self.enabled = [], set()
        # Besides /etc/ceph, a cluster's name is looked up here.
        (self.dir / ".ceph").mkdir(parents=True)
        for site in (east, west):
            (self.dir / f".ceph/{site.name}.conf").symlink_to(site.conf)
            rbd(site, "mirror", "pool", "enable", POOL, "image")
        with west.ioctx(POOL) as io:
            librbd.RBD().mirror_peer_add(io, east.name, "client.admin",
                                         librbd.RBD_MIRROR_PEER_DIRECTION_RX)
        with open(self.dir / "log", "ab") as log, west.entered():
            self.process = subprocess.Popen(
                ["rbd-mirror", "--cluster", west.name, "--id", "admin", "-f",
                 "--log-file", self.dir / "rbd-mirror.log"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                env={**{k: v for k, v in os.environ.items() if k != "CEPH_CONF"},
                     "HOME": str(self.dir)})

        def has_met():
            with east.ioctx(POOL) as io:
                return list(librbd.RBD().mirror_peer_list(io))
        wait_for(has_met, 60, lambda: "rbd-mirror reaches the other cluster:\n" +
                 (self.dir / "log").read_text())

    def stop(self):
        self.process.kill()
        self.process.wait()

    def images(self, names):
        self.names = names

    def ship(self):
        meter = Meter((self.east, self.west), {"rbd-mirror": self.process.pid})
        wanted = {name: self.snapshot(name) for name in self.names}
        wait_for(lambda: all(self.complete(n, s) for n, s in wanted.items()), SHIP_S,
                 "complete snapshots", every_s=0.05)
        return meter.end()

    def snapshot(self, name):
        """The id of a new snapshot for the other site."""
        with self.east.image(name, POOL) as image:
            if name in self.enabled:
                return image.mirror_image_create_snapshot()
            image.mirror_image_enable(librbd.RBD_MIRROR_IMAGE_MODE_SNAPSHOT)
            self.enabled.add(name)
            return max(s["id"] for s in image.list_snaps())

    def complete(self, name, snap_id):
        """Whether all of a snapshot is there."""
        with contextlib.suppress(librbd.ImageNotFound):
            with self.west.image(name, POOL, read_only=True) as image:
                mirrors = [snap.get("mirror") for snap in image.list_snaps()]
                return any(m and m["primary_snap_id"] == snap_id and m["complete"]
                           for m in mirrors)
        return False

    def check(self, name):
        """The head of the copy: read at the non-primary snapshot, 16.2 gives what was there before it."""
        with self.east.image(name, POOL, read_only=True) as image:
            here = max(s["id"] for s in image.list_snaps())
        compare(self.east, name, here, self.west, name, None, POOL)

    def drop(self, names):
        """It removes the copies itself."""
        for name in names:
            with self.east.image(name, POOL) as image:
                image.mirror_image_disable(True)
            self.enabled.discard(name)
        wait_for(lambda: not set(names) & set(self.west.names(POOL)), 120, "rbd-mirror removes its copies")
        for name in names:
            rbd(self.east, "rm", "--no-progress", f"{POOL}/{name}")
