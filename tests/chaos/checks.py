# SPDX-License-Identifier: Apache-2.0
"""What must hold after each heal and at the end, seen through librbd and the processes; of Farshore
only the list of its points is asked for."""
import contextlib
import re

import rbd
from harness import MIB, content, wait_for
from harness.daemon import STOP_S
from harness.writer import sequence_number
from stage import GROUPS, MEMORY, Finding

# librados, librbd and the program itself; then 0.4 MB for each open image.
BASE_MEMORY = 64 * MIB
SETTLE_S = 30
# librbd itself breaks the lock of a dead client after some 28 s: less than this is our doing.
STALL_S = 20
EXPECTED_ERRORS = re.compile(r"event=(cluster_down|lease_lost)\b")
BAD = re.compile(r"\bclass=(bug|data)\b")


def image_of(volume):
    return f"{volume['pool']}/{volume['namespace']}/{volume['image']}"


def check_points(stage):
    """I1, I2, I4: what is committed at the target is what the source has, byte for byte; a point
    that was once equal stays what it was; there is always one. Returns the number compared."""
    compared = 0
    for group in GROUPS:
        here = {p["id"]: p for p in stage.east.committed(group.name)}
        there = stage.west.committed(group.name)
        if not there:
            raise Finding(f"{group.name} has no committed point at west")
        common = [p for p in there if p["id"] in here]
        if not common:
            raise Finding(f"{group.name}: the sites have no point in common: "
                          f"{[p['name'] for p in here.values()]} {[p['name'] for p in there]}")
        for point in there:
            if point["id"] in here:
                digests = same(stage, here[point["id"]], point)
            else:
                digests = {v["uuid"]: digest(stage.sites[1], v) for v in point["volumes"]}
            remember(stage, point, digests)
            if group.mode == "mixed":
                check_one_instant(stage, group, point)
            compared += 1
    return compared


def same(stage, here, there):
    try:
        return content.same_point((stage.sites[0], here), (stage.sites[1], there))
    except AssertionError as e:
        raise Finding(f"I1: {e}") from e


def digest(site, volume):
    with content.opened(site, volume) as image:
        return content.digest(image, content.ranges(image))


def remember(stage, point, digests):
    for uuid, found in digests.items():
        if stage.digests.setdefault((point["id"], uuid), found) != found:
            raise Finding(f"I1: {point['name']} is not what it was when it was compared")


def check_one_instant(stage, group, point):
    """The writer's order: no image is ahead of the one before it."""
    if point["flags"]:
        raise Finding(f"{point['name']} has flags {point['flags']}")
    numbers = {}
    for volume in point["volumes"]:
        with content.opened(stage.sites[1], volume) as image:
            numbers[volume["image"]] = sequence_number(image)
    in_order = [numbers[name] for _, _, name in group.images]
    if sorted(in_order, reverse=True) != in_order or in_order[-1] < in_order[0] - 1:
        raise Finding(f"{point['name']} of {group.name} is not one instant: {numbers}")


def check_snapshots(stage):
    """Every snapshot of ours has a record and every record its snapshots, at both sites."""
    for daemon in stage.pair:
        found = []

        def clean():
            found[:] = strays(daemon)
            return not found
        with contextlib.suppress(TimeoutError):  # pruning goes on in the background
            wait_for(clean, SETTLE_S, "", every_s=0.5)
        if found:
            raise Finding(f"{daemon.site.name}: " + "; ".join(found))


def strays(daemon):
    found, site = [], daemon.site
    for group in GROUPS:
        recorded = {}
        points = daemon.points(group.name)
        for point in points:
            for volume in point["volumes"]:
                recorded.setdefault(image_of(volume), set()).add(volume["snap_id"])
        for spec, ids in recorded.items():
            pool, namespace, name = spec.split("/")
            there, marks = site.farshore_snapshots(name, pool, namespace)
            if set(there) != ids:
                found.append(f"{spec} has snapshots {sorted(there)}, recorded are {sorted(ids)}")
            if len(marks) > (len(points) if site.name == "east" else 0):
                found.append(f"{spec} has marks {marks} for {len(points)} points")
            with site.image(name, pool, namespace, read_only=True) as image:
                if image.group()["name"]:
                    found.append(f"{spec} is still a member of an RBD group")
                if site.name == "west" and not list_lockers(image):
                    found.append(f"{spec}, a copy, is not locked")
        if site.name == "east" and len([p for p in points if p["state"] != "taking"]) > 2:
            found.append(f"{group.name} has {len(points)} points")
    return found


def list_lockers(image):
    return (image.list_lockers() or {}).get("lockers", [])


def check_memory(stage):
    images = sum(len(g.images) for g in GROUPS)
    limit = MEMORY + BASE_MEMORY + images * MIB // 2
    for site, peak in stage.peaks.items():
        if peak > limit:
            raise Finding(f"I8: {site}'s daemon had {peak / MIB:.0f} MiB, more than "
                          f"{limit / MIB:.0f} MiB")


def check_logs(stage):
    for daemon in stage.pair:
        complaints = [line for line in daemon.complaints() if not EXPECTED_ERRORS.search(line)]
        complaints += [line for line in daemon.log(10**9).splitlines() if BAD.search(line)]
        if complaints:
            raise Finding(f"in the log of {daemon.site.name}:\n" + "\n".join(complaints[:10]))


def check_all(stage):
    """After a heal."""
    stage.check_running()
    with stage.still():
        compared = check_points(stage)
        check_snapshots(stage)
    check_memory(stage)
    check_logs(stage)
    return compared


# --- the end ---------------------------------------------------------------------------------------


def check_writers(stage):
    writes = 0
    for name, said in stage.stop_writers().items():
        if said["failures"]:
            raise Finding(f"the writer of {name} failed: {said['failures']}")
        for begun, took in said["slow"]:
            held = any(begun < until and begun + took > since for since, until in stage.held)
            if took > STALL_S and not held:
                raise Finding(f"a write to {name} took {took:.1f} s, begun at "
                              f"{begun - stage.begun:.1f} s, and no fault of its cluster explains it")
        writes += said["writes"]
    stage.writers = {}
    return writes


def check_heads(stage):
    """Nobody writes any more: after one more point, the target has what the source's users see."""
    for group in GROUPS:
        stage.east.sync(group.name)
    with stage.still():  # a foreign snapshot makes an idle group take points, too
        for group in GROUPS:
            check_group_heads(stage, group)


def check_group_heads(stage, group):
    point = stage.west.committed(group.name)[-1]
    if len(point["volumes"]) != len(group.images):
        raise Finding(f"{group.name} has {len(group.images)} volumes, {point['name']} "
                      f"{len(point['volumes'])}")
    for volume in point["volumes"]:
        source = next(i for i in group.images if i[2] == volume["image"])
        head = {"pool": source[0], "namespace": source[1], "image": source[2], "snap_id": None}
        if digest(stage.sites[0], head) != digest(stage.sites[1], volume):
            raise Finding(f"I1: {volume['image']} is not what its users wrote at {point['name']}")


def check_end(stage):
    writes = check_writers(stage)
    check_heads(stage)
    check_all(stage)
    for daemon in stage.pair:
        took = daemon.stop()
        if took > STOP_S:
            raise Finding(f"{daemon.site.name}'s daemon took {took:.1f} s to stop")
        if left := daemon.processes():
            raise Finding(f"{daemon.site.name}: processes are left: {left}")
    for site in stage.sites:
        if open_images := site.watchers():
            raise Finding(f"{site.name}: images are still open: {open_images}")
    check_parked(stage)
    return writes


def check_parked(stage):
    """Nobody can write to a copy while no daemon runs."""
    for group in GROUPS:
        for pool, namespace, name in group.images:
            pool, _, namespace = {("rbd", "tenant"): "rbd/far"}.get(
                (pool, namespace), pool).partition("/")
            with stage.sites[1].image(name, pool, namespace, read_only=True) as image:
                cookies = [cookie for _, cookie, _ in list_lockers(image)]
            if cookies != ["farshore"]:
                raise Finding(f"west's copy {name} is not parked: locks {cookies}")
            with contextlib.closing(stage.sites[0].rados.open_ioctx("rbd")) as io:
                left = [g for g in rbd.RBD().group_list(io) if g.startswith("farshore.mark")]
            if left:
                raise Finding(f"RBD groups are left: {left}")
