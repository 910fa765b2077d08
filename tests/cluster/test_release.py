# SPDX-License-Identifier: Apache-2.0
"""Images that are removed by their owner (the CSI driver moves them to the trash first): Farshore's
snapshots do not keep them, and the points at the target stay."""
import rbd
from harness import MIB, wait_for

GOLD = {"farshore.io/policy": "gold", "app": "vm"}


def trash(site, name):
    """As ceph-csi deletes a volume; returns the id under which it can be removed for good."""
    with site.image(name, read_only=True) as image:
        found = image.id()
    with site.ioctx() as io:
        rbd.RBD().trash_move(io, name)
    return found


def removed(site, image_id):
    with site.ioctx() as io:
        try:
            rbd.RBD().trash_remove(io, image_id)
        except (rbd.ImageHasSnapshots, rbd.ImageBusy):
            return False
        return True


def test_deleted_volumes_are_let_go_at_the_source_and_kept_at_the_target(east, west, daemons, same):
    for name in ("disk-0", "disk-1", "disk-2"):
        east.create(name, 8 * MIB, labels=GOLD)
        east.fill(name)
    pair = daemons(policies={"gold": {"group_by": "app"}})
    pair.ready("rbd/vm")
    wait_for(lambda: len(pair.east.group("rbd/vm")["volumes"]) == 3 and pair.synced("rbd/vm"), 40,
             "all three are in")
    first = same(pair, "rbd/vm")
    assert len(first["volumes"]) == 3
    # One of three: the others keep their base, and the next point is of two.
    image_id = trash(east, "disk-1")
    wait_for(lambda: removed(east, image_id), 30, lambda: f"disk-1 can be removed:\n{pair.east.log()}")
    assert len(east.farshore_snapshots("disk-0")[0]) == 1
    east.fill("disk-0", seed=1, ranges=((0, 4096),))
    wait_for(lambda: pair.synced("rbd/vm") and len(same(pair, "rbd/vm")["volumes"]) == 2, 40,
             "a point of the two that are left")
    wire = pair.east.group("rbd/vm")["counters"]["sync_bytes"]["wire"]
    assert wire < 3 * 4 * MIB + MIB  # the first copy, and a change of 4 KiB
    # The rest goes, and with it the group; what the target has can still be read.
    ids = [trash(east, name) for name in ("disk-0", "disk-2")]
    for one in ids:
        wait_for(lambda i=one: removed(east, i), 30,
                 lambda: f"the others can be removed:\n{pair.east.log()}")
    kept = pair.west.committed("rbd/vm")
    assert first["id"] in [p["id"] for p in kept]
    for name in ("disk-0", "disk-1", "disk-2"):
        assert west.farshore_snapshots(name)[0]


def test_foreign_snapshots_of_a_deleted_volume_stay(east, daemons, same):
    east.create("single", 8 * MIB, labels=GOLD)
    east.fill("single")
    pair = daemons()
    pair.ready("rbd/single")
    with east.image("single") as image:
        image.create_snap("mine")
    image_id = trash(east, "single")

    def left():
        with east.ioctx() as io, rbd.Image(io, image_id=image_id, read_only=True) as image:
            return [s["name"] for s in image.list_snaps()]
    wait_for(lambda: left() == ["mine"], 30, lambda: f"only the owner's is left: {left()}")
    assert not removed(east, image_id)
