# SPDX-License-Identifier: Apache-2.0
"""Source images and the writes to them, by fio over librbd."""
import json
import os
import random
import subprocess
import sys

from harness import KIB, MIB

COMPRESSIBLE = {"refill_buffers": 1, "buffer_compress_percentage": 50,
                "buffer_compress_chunk": 4096}


def rbd(site, *arguments):
    """What it says is not part of the result."""
    with site.entered():
        subprocess.run(["rbd", "--conf", site.conf, *arguments], check=True,
                       stdin=subprocess.DEVNULL, stdout=sys.stderr)


def start_fio(site, image, pool="rbd", **options):
    """`image` may be a list: then a job for each, all at the same time."""
    images = [image] if isinstance(image, str) else image
    shared = {"ioengine": "rbd", "clientname": "admin", "pool": pool, "randrepeat": 0,
              "iodepth": 32, "output-format": "json", **COMPRESSIBLE, **options}
    argv = ["fio", *(f"--{key}={value}" for key, value in shared.items())]
    for name in images:
        argv += [f"--name={name}", f"--rbdname={name}"]
    with site.entered():
        return subprocess.Popen(argv, env={**os.environ, "CEPH_CONF": str(site.conf)}, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def end_fio(process):
    """(what it says about its jobs, its resource usage)"""
    with process.stdout:
        said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"bench: fio failed:\n{said}")
    return json.loads(said[said.index("{"):])["jobs"], usage


def write(site, image, pool="rbd", **options):
    end_fio(start_fio(site, image, pool, **options))


class Sparse:
    """A change of a few kilobytes in each of some objects, which lie far from each other."""

    def __init__(self, objects, every=1):
        self.objects, self.every = objects, every

    def __call__(self, site, pool, images, seed):
        source = random.Random(seed)
        for name in images:
            with site.image(name, pool) as image:
                apart = image.size() // self.objects // MIB * MIB
                writes = [image.aio_write(source.randbytes(16 * KIB), i * apart + 64 * KIB,
                                          lambda _: None)
                          for i in range(0, self.objects, self.every)]
                for one in writes:
                    one.wait_for_complete_and_cb()


class Pattern:
    """The access of one step: what fio is told, the same for all that write or read it."""

    def __init__(self, rw, block, size, amount=None):
        self.options = {"bs": block, "size": size, "iodepth": 32 if block < MIB else 8}
        self.random = rw == "random"
        if amount:
            self.options["io_size"] = amount

    def fio(self, verb, seed):
        """`verb` is read or write."""
        return {"rw": f"rand{verb}" if self.random else verb, "randseed": 1 + seed, **self.options}


def whole(size):
    return Pattern("sequential", 4 * MIB, size)


def scattered(block, size, amount):
    return Pattern("random", block * KIB, size, amount)
