# SPDX-License-Identifier: Apache-2.0
"""A group of one volume under a short interval: its content, its newest point, and that it goes on."""
import os
import time

from . import MIB, wait_for

GOLD = {"farshore.io/policy": "gold"}
FAST = {"gold": {"interval": "1s"}}
# A peer that is not heard of is given up after 15 s, and dialed again 10 s later at most.
GO_ON_S = 60
# What a daemon says whose cluster or lease was taken from it.
ALLOWED_ERRORS = "event=(cluster_down|lease_lost)"


def volume(site, name="volume", *, size):
    """Full of bytes that do not compress, made quickly."""
    site.create(name, size, labels=GOLD)
    overwrite(site, name, size=size)
    return f"rbd/{name}"


def overwrite(site, name="volume", *, size):
    block = os.urandom(4 * MIB)
    with site.image(name) as image:
        for at in range(0, size, len(block)):
            image.write(at.to_bytes(8, "little") + block[8:], at)


def newest(pair, group):
    found = pair.west.group(group)
    return found and found.get("recovery_point") and found["recovery_point"]["id"]


def goes_on(pair, group, point=None, timeout_s=GO_ON_S):
    """A newer point than `point` is committed; returns how long it took."""
    begun = time.monotonic()

    def state():
        return f"a new point; east: {pair.east.group(group)}\n{pair.east.log(30)}\n" \
               f"west: {pair.west.group(group)}\n{pair.west.log(30)}"
    wait_for(lambda: newest(pair, group) not in (None, point), timeout_s, state)
    return time.monotonic() - begun


def settle(pair, group, same):
    """No more points by themselves, a last one by hand, and that is equal."""
    pair.east.config["policies"]["gold"]["interval"] = "1h"
    pair.east.reload()
    pair.east.sync(group)
    same(pair, group)
