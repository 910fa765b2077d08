# SPDX-License-Identifier: Apache-2.0
"""Changes that travel as the difference to what the base holds."""
import random
import re

import pytest
import rbd
from harness import KIB, MIB, wait_for
from harness.site import FEATURES

GOLD = {"farshore.io/policy": "gold"}
PAGE = 8 * KIB
ALWAYS = {"compression": {"delta": "always"}}


def create_noise(site, name, rng, size, labels=None):
    site.create(name, size, labels=labels or GOLD)
    with site.image(name) as image:
        for at in range(0, size, 4 * MIB):
            image.write(rng.randbytes(4 * MIB), at)


def touch_pages(site, name, rng, pages):
    """As a database does: a few bytes in every sector of a page, and pages anywhere."""
    with site.image(name) as image:
        for number in rng.sample(range(image.size() // PAGE), pages):
            page = bytearray(image.read(number * PAGE, PAGE))
            for at in range(0, PAGE, 256):
                page[at + rng.randrange(248)] ^= 0xFF
            image.write(bytes(page), number * PAGE)


def counted(daemon, group):
    counters = daemon.group(group)["counters"]
    return {"wire": counters["sync_bytes"]["wire"], **{
        f"delta_{name}": value for name, value in counters["delta_bytes"].items()}}


def shipped(daemon, group, work):
    """What one point took."""
    before = counted(daemon, group)
    work()
    daemon.sync(group)
    after = counted(daemon, group)
    return {name: after[name] - before[name] for name in before}


@pytest.mark.sanitized
def test_pages_with_small_changes_are_small(east, daemons, same):
    rng = random.Random(1)
    create_noise(east, "pages", rng, 32 * MIB)
    pair = daemons(settings=ALWAYS)
    pair.ready("rbd/pages")
    same(pair, "rbd/pages")
    assert counted(pair.east, "rbd/pages")["delta_content"] == 0  # a first copy has no base
    for _ in range(3):
        took = shipped(pair.east, "rbd/pages",
                       lambda: touch_pages(east, "pages", rng, 1000))
        assert took["delta_content"] >= 0.9 * 1000 * PAGE, took
        assert took["wire"] < 1000 * PAGE / 5, took
        same(pair, "rbd/pages")
    metrics = pair.west.http("/metrics")
    assert re.search(r'^farshore_delta_bytes_total\{.*stage="content".*\} [1-9]', metrics, re.M)

    # Without, by a reload: as long as they are.
    pair.east.config["compression"] = {"delta": "off"}
    pair.east.reload()
    took = shipped(pair.east, "rbd/pages", lambda: touch_pages(east, "pages", rng, 500))
    assert took["delta_content"] == 0 and took["wire"] >= 500 * PAGE, took
    same(pair, "rbd/pages")


def test_log_of_old_pages_is_small(east, daemons, same):
    """The log has images of pages as they were, which lie elsewhere, and are changed as well."""
    rng = random.Random(2)
    create_noise(east, "db", rng, 64 * MIB)
    pair = daemons(settings=ALWAYS)
    pair.ready("rbd/db")

    def write():
        with east.image("db") as image:
            pages = rng.sample(range(32 * MIB // PAGE, 48 * MIB // PAGE), 500)
            log = b"".join(rng.randbytes(24) + image.read(number * PAGE, PAGE) for number in pages)
            image.write(log, 1 * MIB + 512)
            image.write(log, 50 * MIB)
            for number in pages:
                page = bytearray(image.read(number * PAGE, PAGE))
                page[300:316] = rng.randbytes(16)
                image.write(bytes(page), number * PAGE)
    took = shipped(pair.east, "rbd/db", write)
    assert took["delta_content"] >= 2.5 * 500 * PAGE, took
    assert took["wire"] < 500 * PAGE / 2, took
    same(pair, "rbd/db")


def test_group_of_several_and_sizes_that_change(east, daemons, same):
    rng = random.Random(3)
    labels = {**GOLD, "app": "shop"}
    for name in ("a", "b", "c"):
        create_noise(east, name, rng, 16 * MIB, labels)
    pair = daemons(settings=ALWAYS, policies={"gold": {"group_by": "app"}})
    group = wait_for(lambda: pair.east.status()["groups"], 30, "the group is there")[0]["name"]
    pair.ready(group)
    same(pair, group)

    def work():
        for name in ("a", "b", "c"):
            touch_pages(east, name, rng, 200)
        with east.image("b") as image:
            image.resize(20 * MIB)
            image.write(image.read(1 * MIB, 2 * MIB), 17 * MIB)
        with east.image("c") as image:
            image.resize(12 * MIB)
            image.discard(4 * MIB, 1 * MIB)
    for _ in range(2):
        took = shipped(pair.east, group, work)
        assert took["delta_content"] >= 400 * PAGE, took
        same(pair, group)


def test_clone_and_the_way_back(east, west, daemons, same):
    """The base of a clone is partly its parent's; after a failover the base is the other's point."""
    rng = random.Random(4)
    create_noise(east, "parent", rng, 16 * MIB, labels={"none": "of ours"})
    with east.image("parent") as image:
        image.create_snap("golden")
        image.protect_snap("golden")
    with east.ioctx("rbd") as io:
        rbd.RBD().clone(io, "parent", "golden", io, "child", features=FEATURES)
    east.label("child", GOLD)
    pair = daemons(settings=ALWAYS)
    pair.ready("rbd/child")
    took = shipped(pair.east, "rbd/child", lambda: touch_pages(east, "child", rng, 300))
    assert took["delta_content"] >= 0.9 * 300 * PAGE, took
    assert took["wire"] < 300 * PAGE / 3, took
    same(pair, "rbd/child")
