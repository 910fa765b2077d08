# SPDX-License-Identifier: Apache-2.0
"""What Farshore protects here: the two disks of one virtual machine, a group with a point a second."""
from harness import wait_for
from harness.guest import DISKS, SIZE

LABELS = {"farshore.io/policy": "gold", "app": "shop"}
POLICY = {"interval": "1s", "group_by": "app", "retain": {"latest": 3}}
GROUP = "rbd/shop"
NAMES = [f"shop-{disk}" for disk in DISKS]
IMAGES = [f"rbd/{name}" for name in NAMES]


def create_disks(site):
    for name in NAMES:
        site.create(name, SIZE)
    for name in NAMES:  # discovery may look between the two
        site.label(name, LABELS)


def newest(pair):
    """Sequence number of the newest point at west; 0: none."""
    point = (pair.west.group(GROUP) or {}).get("recovery_point")
    return point["seq"] if point else 0


def land(pair, count):
    """So many more points land at west."""
    before = newest(pair)
    wait_for(lambda: newest(pair) >= before + count, 90,
             lambda: f"{count} points after {before}: {pair.east.group(GROUP)}\n{pair.east.log(30)}\n"
                     f"{pair.west.log(30)}")


def last_records(guest):
    """Of the journals on both disks, which are whole, on file systems without a fault. The guest writes one
    record at a time, to the first disk before the second."""
    guest.ready()
    assert guest.clean(), f"fsck: {guest}"
    first, second = guest.journals()
    assert first - 1 <= second <= first, f"not one instant: {first} and {second}"
    return first, second
