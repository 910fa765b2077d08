# SPDX-License-Identifier: Apache-2.0
"""A pair of daemons with a proxy between them and a group of two volumes, for tests of operations on
groups."""
import contextlib
import hashlib
import json
import os
import signal

from . import MIB, content, wait_for
from .proxy import Proxy
from .site import lab
from .tool import farshore

GOLD = {"farshore.io/policy": "gold"}
SELECT = {"select": {"labels": "farshore.io/policy=gold"}, "group_by": "app"}
SIZE = 32 * MIB
NAMES = ("root", "data")
GROUP = "rbd/vm"


def failover(daemon, *arguments):
    """What the tool says about the one group that it promoted."""
    done = farshore(daemon, "failover", "--yes", "-o", "json", *(arguments or (GROUP,)))
    assert done.returncode == 0, done.stderr + daemon.log()
    groups = json.loads(done.stdout)["groups"]
    assert len(groups) == 1
    return groups[0]


def head(site, name):
    with site.image(name, read_only=True) as image:
        return image.size(), hashlib.sha256(image.read(0, image.size())).hexdigest()


def at_point(site, daemon, point_name):
    """(size, digest) of each volume at a point of the site's own."""
    point = next(p for p in daemon.points(GROUP) if p["name"] == point_name)
    found = {}
    for volume in point["volumes"]:
        with content.opened(site, volume) as image:
            found[volume["image"]] = (image.size(),
                                      hashlib.sha256(image.read(0, image.size())).hexdigest())
    return found


def becomes(daemon, what, wanted):
    """The group's role or state; a daemon that has just started does not know it yet."""
    wait_for(lambda: (daemon.group(GROUP) or {}).get(what) == wanted, 40,
             lambda: f"{GROUP}: {what} {wanted}: {daemon.group(GROUP)}\n{daemon.log(20)}")


def role(daemon, wanted):
    becomes(daemon, "role", wanted)


class Linked:
    """A pair of daemons with a proxy between them, and a group of two volumes."""

    def __init__(self, daemons, east, west, **options):
        self.sites = east, west
        for i, name in enumerate(NAMES):
            east.create(name, SIZE, labels={**GOLD, "app": "vm"})
            east.fill(name, seed=i, ranges=((0, SIZE),))
        policy = {"retain": {"latest": 3}, **SELECT, **options.pop("policy", {})}
        self.pair = daemons(start=False, policies={"gold": policy}, **options)
        self.pair.west.config["policies"]["gold"].update(policy)
        self.pair.west.write_config()
        self.proxy = Proxy(int(self.pair.west.config["listen"].rpartition(":")[2]))
        self.pair.east.config["peers"]["west"]["endpoints"] = [f"127.0.0.1:{self.proxy.port}"]
        self.pair.east.write_config()
        self.pair.start()
        self.pair.ready(GROUP)

    def point(self, seed):
        """One more recovery point with something in it."""
        for name in NAMES:
            self.sites[0].fill(name, seed=seed, ranges=((MIB * seed, MIB),))
        self.pair.synced(GROUP)

    def unfinished(self):
        """A transfer that has written to west, and will not end: the first volume grows in it."""
        east, west = self.sites
        with east.image("root") as image:
            image.resize(2 * SIZE)
        east.fill("root", seed=77, ranges=((0, 2 * SIZE),))
        east.fill("data", seed=78, ranges=((0, SIZE),))
        self.proxy.slow(24 * MIB)
        before = self.proxy.passed
        self.pair.ask(GROUP)
        wait_for(lambda: self.proxy.passed > before + 12 * MIB, 60, "a transfer is under way",
                 every_s=0.005)
        self.proxy.hold()
        with west.image("root", read_only=True) as image:
            assert image.size() == 2 * SIZE

    def close(self):
        self.proxy.close()


@contextlib.contextmanager
def cut_off(linked):
    linked.proxy.refuse()
    linked.proxy.cut()
    yield
    linked.proxy.heal()


@contextlib.contextmanager
def nothing(_linked):
    yield


@contextlib.contextmanager
def paused(linked):
    """East stands still, its daemon and its OSD, and goes on afterwards."""
    lab_dir = linked.sites[0].conf.parent.parent
    os.kill(linked.pair.east.process.pid, signal.SIGSTOP)
    lab("pause", lab_dir, "east", "osd")
    try:
        yield
    finally:
        lab("continue", lab_dir, "east", "osd")
        os.kill(linked.pair.east.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def gone(linked):
    linked.pair.east.kill()
    yield
    linked.proxy.heal()
    linked.pair.east.start()


# What a site goes through while an operation is to need nothing of it.
EAST_IS = {"alive": nothing, "paused": paused, "cut_off": cut_off, "gone": gone}
