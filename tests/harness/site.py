# SPDX-License-Identifier: Apache-2.0
"""A site of the lab as a test sees it: its cluster, its images, and fresh pools on demand."""
import contextlib
import json
import pathlib
import random
import subprocess

import rados
import rbd

from . import MIB, SOURCE, netns, wait_for

LAB = SOURCE / "tests/lab/lab"
POOLS = ("rbd", "rbd2", "rbd-data")
LAYERING = rbd.RBD_FEATURE_LAYERING
FEATURES = (LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK | rbd.RBD_FEATURE_OBJECT_MAP |
            rbd.RBD_FEATURE_FAST_DIFF)
# As for the daemon: without a write-back cache, what a test wrote is in the cluster.
CLIENT_OPTIONS = {"rbd_cache": "false", "rbd_skip_partial_discard": "false"}


def lab(command, directory, *arguments):
    subprocess.run([LAB, command, "--dir", directory, *arguments], check=True,
                   stdin=subprocess.DEVNULL)


class Site:
    def __init__(self, lab_dir, name):
        self.name = name
        self.conf = pathlib.Path(lab_dir, name, "ceph.conf")
        known = json.loads((self.conf.parent / "lab.json").read_text())
        self.fsid, self.address, self.namespace = (known[k] for k in ("fsid", "address", "namespace"))
        self.rados = self.connect()

    def entered(self):
        """What is started or connected inside of it is in the site's network namespace."""
        return netns.entered(self.namespace)

    def connect(self, user="admin"):
        with self.entered():
            cluster = rados.Rados(conffile=str(self.conf), rados_id=user, conf=CLIENT_OPTIONS)
            cluster.connect(timeout=30)
        return cluster

    def close(self):
        self.rados.shutdown()

    def command(self, **request):
        code, out, message = self.rados.mon_command(json.dumps(request), b"", timeout=30)
        if code != 0:
            raise OSError(-code, f"{request['prefix']}: {message}")
        return out

    def received_bytes(self):
        """Over the line between the sites, where the lab has one."""
        return netns.received_bytes(self.namespace, "wan0")

    def renew_pools(self, pools=POOLS):
        """Empty pools: no image, no lock and no record of an earlier test is left."""
        for pool in pools:
            self.command(prefix="osd pool delete", pool=pool, pool2=pool,
                         yes_i_really_really_mean_it=True)
        for pool in pools:
            self.command(prefix="osd pool create", pool=pool)
        self.rados.wait_for_latest_osdmap()
        for pool in pools:
            with self.ioctx(pool) as io:
                rbd.RBD().pool_init(io, True)

    @contextlib.contextmanager
    def ioctx(self, pool="rbd", namespace=""):
        with self.rados.open_ioctx(pool) as io:
            if namespace:
                io.set_namespace(namespace)
            yield io

    def create_namespace(self, name, pool="rbd"):
        with self.ioctx(pool) as io:
            rbd.RBD().namespace_create(io, name)

    def create(self, name, size, pool="rbd", namespace="", labels=None, features=FEATURES, **more):
        with self.ioctx(pool, namespace) as io:
            rbd.RBD().create(io, name, size, old_format=False, features=features, **more)
        if labels:
            self.label(name, labels, pool, namespace)

    def label(self, name, labels, pool="rbd", namespace=""):
        with self.image(name, pool, namespace) as image:
            for key, value in labels.items():
                image.metadata_set(key, value)

    def unlabel(self, name, key, pool="rbd", namespace=""):
        with self.image(name, pool, namespace) as image:
            image.metadata_remove(key)

    @contextlib.contextmanager
    def image(self, name, pool="rbd", namespace="", snap_id=None, read_only=False):
        """Open for writing, or for reading, or at a snapshot."""
        read_only = read_only or snap_id is not None
        with self.ioctx(pool, namespace) as io:
            with rbd.Image(io, name, read_only=read_only) as image:
                if snap_id is not None:
                    image.set_snap_by_id(snap_id)
                yield image

    def names(self, pool="rbd", namespace=""):
        with self.ioctx(pool, namespace) as io:
            return rbd.RBD().list(io)

    def fill(self, name, pool="rbd", namespace="", seed=0, ranges=((0, 4 * MIB),)):
        """Random bytes, the same for the same seed."""
        source = random.Random(f"{name}/{seed}")
        with self.image(name, pool, namespace) as image:
            for offset, length in ranges:
                done = 0
                while done < length:
                    step = min(4 * MIB, length - done)
                    image.write(source.randbytes(step), offset + done)
                    done += step

    def farshore_snapshots(self, name, pool="rbd", namespace=""):
        """(points, marks): the snapshot ids on an image that are Farshore's, but what it left."""
        points, marks = [], []
        with self.image(name, pool, namespace, read_only=True) as image:
            for snap in image.list_snaps():
                if snap["name"].startswith("farshore.mark."):
                    marks.append(snap["id"])
                elif snap["name"].startswith("farshore.") and "left" not in snap["name"]:
                    points.append(snap["id"])
                elif snap["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_GROUP:
                    if snap["group"]["snap_name"].startswith("farshore."):
                        points.append(snap["id"])
        return points, marks

    def blocklist(self):
        lines = self.command(prefix="osd blocklist ls", format="plain").decode().splitlines()
        return [line.split()[0] for line in lines if line]

    def instances(self):
        """Addresses of the client instances that the site's daemon recorded as its own."""
        with self.ioctx("rbd", "farshore") as io, rados.ReadOpCtx() as op:
            found, _ = io.get_omap_keys(op, "", 500)
            io.operate_read_op(op, "site")
            return [key.removeprefix("instance.") for key, _ in found
                    if key.startswith("instance.")]

    def block(self, address, expire_s=300):
        self.command(prefix="osd blocklist", blocklistop="add", addr=address,
                     expire=float(expire_s))

    def set_full(self, full):
        """Whether its pools are full, as by a quota (which needs a manager, and the lab has none)."""
        ratios = (("nearfull", 0.85), ("backfillfull", 0.9), ("full", 0.95))
        for name, ratio in ratios if full else reversed(ratios):
            self.command(prefix=f"osd set-{name}-ratio", ratio=1e-5 if full else ratio)

        def done():
            pools = json.loads(self.command(prefix="osd dump", format="json"))["pools"]
            return all(("full" in p["flags_names"].split(",")) == full for p in pools)
        wait_for(done, 30, f"{self.name}'s pools are {'' if full else 'not '}full")

    def removed_snapshots(self, pool):
        """How many snapshots of the pool were removed and are, as the monitors know it, to be
        trimmed."""
        dump = json.loads(self.command(prefix="osd dump", format="json"))
        number = next(p["pool"] for p in dump["pools"] if p["pool_name"] == pool)
        return sum(r["length"] for q in dump["removed_snaps_queue"] if q["pool"] == number
                   for r in q["snaps"])

    def slow_operations(self):
        """What the OSD complains about in its log: whether it is Ceph that does not go on."""
        log = self.conf.parent / "osd.0.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [line for line in lines[-200:] if "slow" in line][-3:]

    def watchers(self):
        """Addresses of the clients that have an image open, by image. Those on the blocklist are
        dead; their watches end by themselves."""
        found = {}
        dead = set(self.blocklist())
        for pool in POOLS:
            with self.ioctx(pool) as io:
                namespaces = ["", *rbd.RBD().namespace_list(io)]
            for namespace in namespaces:
                for name in self.names(pool, namespace):
                    # Opening for reading makes no watcher of its own.
                    with self.image(name, pool, namespace, read_only=True) as image:
                        addresses = [w["addr"] for w in image.watchers_list()
                                     if w["addr"] not in dead]
                    if addresses:
                        found[f"{pool}/{namespace}/{name}"] = addresses
        return found
