# SPDX-License-Identifier: Apache-2.0
"""A group's point is one instant across its disks: a writer puts the number n on the first disk, once
that is acknowledged on the second, and so on; at every committed point, at both sites, no disk is ahead
of the one before it. How long the writers wait for that is printed by the size of the group."""
import os
import re

import pytest
import rbd
from harness import MIB, content, wait_for
from harness.writer import sequence_number

GOLD = {"farshore.io/policy": "gold"}
POINTS = int(os.environ.get("FARSHORE_POINTS", "60"))
SIZES = (2, 3, 5, 8)
# A take holds writers for a fraction of a second; this machine may be busy.
PAUSE_S = 8


def check(site, point):
    """Its numbers, or None where the site has removed it meanwhile."""
    numbers = {}
    try:
        for volume in point["volumes"]:
            with content.opened(site, volume) as image:
                numbers[volume["image"]] = sequence_number(image)
    except rbd.ImageNotFound:
        return None
    in_order = [numbers[name] for name in sorted(numbers)]
    assert in_order == sorted(in_order, reverse=True), f"{site.name}, {point['name']}: {numbers}"
    assert in_order[0] - in_order[-1] <= 1, f"{site.name}, {point['name']}: {numbers}"
    return in_order[0]


def settled(points):
    return [p for p in points if p["state"] in ("complete", "committed")]


def percentiles(values):
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.99, 1))


def run(daemons, east, west, writer, same, sizes, points):
    """So many points of all groups together, and a fair part of each."""
    names = {size: [f"g{size}-{n}" for n in range(size)] for size in sizes}
    for size, disks in names.items():
        for disk in disks:
            east.create(disk, 32 * MIB, labels={**GOLD, "app": f"g{size}"})
    writing = {size: writer(east, [f"rbd/{d}" for d in disks], mode="sequence", rate=200)
               for size, disks in names.items()}
    pair = daemons(policies={"gold": {"group_by": "app", "interval": "1s",
                                      "retain": {"latest": 20}}})
    seen = {(site, size): {} for site in "ew" for size in sizes}

    def enough():
        for size in sizes:
            for key, site, daemon in (("e", east, pair.east), ("w", west, pair.west)):
                known = seen[key, size]
                for point in settled(daemon.points(f"rbd/g{size}") if daemon.group(f"rbd/g{size}")
                                     else []):
                    if point["id"] not in known and not point["flags"]:
                        known[point["id"]] = check(site, point)
        counts = [len(seen["w", size]) for size in sizes]
        return sum(counts) >= points and min(counts) >= points // (3 * len(sizes))
    wait_for(enough, 90 + 3 * points, lambda: f"{points} points: "
             f"{ {k: len(v) for k, v in seen.items()} }\n{pair.east.log(20)}", every_s=0.3)
    for size in sizes:
        group = f"rbd/g{size}"
        pair.east.request("pause", group=group)
        result = writing[size].stop()
        assert not result["failures"] and result["longest_s"] < PAUSE_S, result
        here, there = seen["e", size], seen["w", size]
        both = [i for i in there if here.get(i) is not None and there[i] is not None]
        assert all(here[i] == there[i] for i in both)
        assert len(set(there.values())) > len(there) / 2  # the writer went on between them
        pauses = [int(m[1]) for e in pair.east.events("point_taken")
                  if (m := re.search(rf" group={group} .* pause_ms=(\d+)", e))]
        print(f"\n{size} disks: {len(there)} points at the target, {len(both)} of them seen at both "
              f"sites; pause p50 {percentiles(pauses)[0]} ms, p99 {percentiles(pauses)[1]} ms, max "
              f"{max(pauses)} ms; the writer's waits p50, p99, max: "
              f"{percentiles(result['waits'] or [0])} s")
        same(pair, group)


@pytest.mark.sanitized
def test_group_of_three_is_one_instant(east, west, daemons, writer, same):
    run(daemons, east, west, writer, same, (3,), 6)


def test_groups_of_each_size_are_one_instant(east, west, daemons, writer, same):
    run(daemons, east, west, writer, same, SIZES, POINTS)
