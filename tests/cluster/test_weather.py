# SPDX-License-Identifier: Apache-2.0
"""Bad weather, one kind at a time and where it hurts: the link, the clusters, what others do to the
images. Each time replication goes on by itself, from where it was, and the bytes are the same."""
import random
import signal
import threading
import time

import pytest
import rbd
from harness import MIB, wait_for
from harness.group import (ALLOWED_ERRORS, FAST, GO_ON_S, GOLD, goes_on, newest, overwrite, settle,
                           volume)
from harness.proxy import BACK, OUT, Proxy
from harness.site import lab

SIZE = 192 * MIB
# What is sent again for each interruption, at most.
AGAIN = 64 * MIB


@pytest.fixture
def link(daemons):
    """link(...) is daemons(...) with a proxy between them: (pair, proxy)."""
    made = []

    def make(**options):
        pair = daemons(start=False, **options)
        proxy = Proxy(int(pair.west.config["listen"].rpartition(":")[2]))
        made.append(proxy)
        pair.east.config["peers"]["west"]["endpoints"] = [f"127.0.0.1:{proxy.port}"]
        pair.east.write_config()
        return pair.start(), proxy
    yield make
    for proxy in made:
        proxy.close()


def under_way(pair, proxy, group, least=24 * MIB):
    """A transfer has sent so much; from here on the link is slow enough to be spoilt in time."""
    before = proxy.passed
    pair.ask(group)
    wait_for(lambda: proxy.passed > before + least, 60,
             lambda: f"the transfer of {group} is under way:\n{pair.east.log()}", every_s=0.005)


def equal(pair, group, same):
    """Of a group with a long interval: once the source has let its older point go, too."""
    there = newest(pair, group)
    wait_for(lambda: (here := pair.east.group(group))["recovery_point"]["id"] == there and
             here["sync"]["phase"] == "idle", 30, lambda: f"settled: {pair.east.group(group)}")
    return same(pair, group)


# --- the link ------------------------------------------------------------------------------------


def test_link_cut_at_any_byte_again_and_again(east, link, same):
    group = volume(east, size=SIZE)
    pair, proxy = link()
    source = random.Random(7)
    pair.ask(group)
    sizes = [source.randrange(1, 2 ** source.randint(4, 25)) for _ in range(12)]
    for count in sizes:
        before = proxy.cuts
        proxy.cut_after(count)
        wait_for(lambda b=before: proxy.cuts > b or newest(pair, group), GO_ON_S, "a cut")
    goes_on(pair, group)
    same(pair, group)
    assert proxy.cuts >= 8
    assert proxy.passed < 2 * SIZE, f"{proxy.passed >> 20} MiB for {SIZE >> 20}; cut at {sizes}"


@pytest.mark.parametrize("kind", ["still", "stops reading", "half-open here", "half-open there",
                                  "swallowed"])
def test_link_that_dies_without_a_word(east, link, same, kind):
    group = volume(east, size=SIZE)
    pair, proxy = link()
    under_way(pair, proxy, group)
    {"still": proxy.hold,
     "stops reading": lambda: proxy.hold(OUT),
     "half-open here": lambda: proxy.half_open(OUT),
     "half-open there": lambda: proxy.half_open(BACK),
     "swallowed": proxy.swallow}[kind]()
    if proxy.held:
        wait_for(lambda: pair.east.group(group)["state"] == "peer_down", 30,
                 lambda: f"peer_down: {pair.east.group(group)}")
        proxy.heal()
    goes_on(pair, group)
    same(pair, group)
    assert proxy.passed < SIZE + AGAIN + 8 * MIB


def test_link_that_flaps_every_second(east, link, same):
    group = volume(east, size=SIZE)
    pair, proxy = link()
    under_way(pair, proxy, group)
    ended = threading.Event()
    flapping = proxy.flap(ended, seed=11)
    time.sleep(12)
    ended.set()
    flapping.join()
    goes_on(pair, group)
    same(pair, group)
    assert proxy.passed < 3 * SIZE


def test_slow_link_delays_and_does_not_break(east, link, same):
    group = volume(east, size=16 * MIB)
    pair, proxy = link()
    proxy.slow(1 * MIB)
    pair.ask(group)
    # Slower than a heart-beat's patience for the whole of it, and yet heard of all the time.
    goes_on(pair, group, timeout_s=90)
    same(pair, group)
    assert not pair.east.events("peer_down")
    assert proxy.passed < 24 * MIB


# --- the clusters --------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["east", "west"])
@pytest.mark.parametrize("what, how, seconds", [("osd", "kill", 4), ("osd", "pause", 6),
                                                ("mon", "kill", 4), ("mon", "pause", 8)])
def test_ceph_daemon_is_away_for_a_while(east, lab_dir, daemons, same, writer, where, what, how,
                                         seconds):
    group = volume(east, size=64 * MIB)
    pair = daemons(policies=FAST)
    for daemon in pair:
        daemon.expect_error(ALLOWED_ERRORS)
    pair.ready(group)
    writing = writer(east, [group])
    time.sleep(1)
    lab(how, lab_dir, where, what)
    time.sleep(seconds)
    lab({"kill": "start", "pause": "continue"}[how], lab_dir, where, what)
    before = newest_after_return(pair, group)
    goes_on(pair, group, before, timeout_s=90)
    result = writing.stop()
    assert not result["failures"], result
    settle(pair, group, same)


def newest_after_return(pair, group):
    return wait_for(lambda: newest(pair, group), 60, "west answers")


@pytest.mark.parametrize("where", ["east", "west"])
def test_full_cluster_loses_nothing_and_goes_on_when_there_is_room(east, west, daemons, same, where):
    group = volume(east, size=32 * MIB)
    pair = daemons(policies=FAST)
    for daemon in pair:
        daemon.expect_error(ALLOWED_ERRORS)
    pair.ready(group)
    site = {"east": east, "west": west}[where]
    site.set_full(True)
    time.sleep(2)  # what was under way
    before = newest(pair, group)
    try:
        if where == "west":  # east's own users would wait, and so would this
            overwrite(east, size=32 * MIB)
        time.sleep(10)
        assert newest(pair, group) == before
        for daemon in pair:  # leases need no space
            assert daemon.status()["site"]["cluster"] == "up"
    finally:
        site.set_full(False)
    before = newest(pair, group)
    overwrite(east, size=32 * MIB)
    goes_on(pair, group, before)
    settle(pair, group, same)


@pytest.mark.parametrize("where", ["east", "west"])
def test_blocklisted_daemon_comes_back_as_a_new_instance(east, west, daemons, same, where):
    group = volume(east, size=32 * MIB)
    pair = daemons(policies=FAST)
    for daemon in pair:
        daemon.expect_error(ALLOWED_ERRORS)
    pair.ready(group)
    site = {"east": east, "west": west}[where]
    instances = site.instances()
    assert instances
    for address in instances:
        site.block(address)
    wait_for(lambda: (found := set(site.instances())) and not found & set(instances), GO_ON_S,
             lambda: f"a new instance:\n{getattr(pair, where).log(30)}")
    before = newest_after_return(pair, group)
    overwrite(east, size=32 * MIB)
    goes_on(pair, group, before)
    settle(pair, group, same)


# --- other clients -------------------------------------------------------------------------------


def test_source_image_locked_by_another_client(east, daemons, same):
    """One that manages the lock by itself, as `rbd map --exclusive` does, and gives it to nobody:
    it is asked for the snapshots, and its writes go on."""
    group = volume(east, size=16 * MIB)
    pair = daemons(policies=FAST)
    pair.ready(group)
    with east.image("volume") as image:
        image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
        before = newest(pair, group)
        for number in range(40):
            image.write(number.to_bytes(4, "little") * 1024, number * 4096)
            time.sleep(0.1)
        assert newest(pair, group) != before, pair.east.group(group)
        image.lock_release()
    before = newest(pair, group)
    overwrite(east, size=16 * MIB)
    goes_on(pair, group, before)
    settle(pair, group, same)


def test_copy_locked_by_another_client_and_left_again(east, west, daemons, same):
    """An operator took our parked lock away and has one of his own: nothing is applied meanwhile."""
    group = volume(east, size=16 * MIB)
    pair = daemons()
    # To break a lock is to blocklist its owner: the daemon comes back as a new instance.
    pair.west.expect_error(ALLOWED_ERRORS)
    pair.ready(group)
    with west.image("volume", read_only=True) as image:
        (client, cookie, _), = image.list_lockers()["lockers"]
    with west.image("volume") as image:
        image.break_lock(client, cookie)
        image.lock_exclusive("operator")
        before = newest(pair, group)
        overwrite(east, size=16 * MIB)
        pair.ask(group)
        time.sleep(5)
        assert newest(pair, group) == before, pair.east.group(group)
        image.unlock("operator")
    goes_on(pair, group, before)
    equal(pair, group, same)


def test_stopped_writer_of_three_volumes_outlives_its_watch(east, daemons, same, writer):
    """Ceph gives up a watch after 30 s; that is no reason to take the lock from its owner."""
    names = ["one", "two", "three"]
    for name in names:
        east.create(name, 16 * MIB, labels={**GOLD, "app": "trio"})
        east.fill(name)
    pair = daemons(policies={"gold": {"interval": "3s", "group_by": "app"}})
    pair.ready("rbd/trio")
    writing = writer(east, [f"rbd/{n}" for n in names], mode="mixed")
    goes_on(pair, "rbd/trio", newest(pair, "rbd/trio"))
    # Between two points: who stops in the middle of the removal of old snapshots is not spared.
    wait_for(lambda: (g := pair.east.group("rbd/trio"))["sync"]["phase"] == "idle" and
             g.get("next_point_seconds", 0) > 0.2, 30, "between two points", every_s=0.005)
    writing.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: pair.east.group("rbd/trio")["state"] == "writer_silent", 30,
                 lambda: f"writer_silent: {pair.east.group('rbd/trio')}")
        time.sleep(33)
        assert pair.east.group("rbd/trio")["state"] == "writer_silent"
    finally:
        writing.process.send_signal(signal.SIGCONT)
    goes_on(pair, "rbd/trio", newest(pair, "rbd/trio"))
    result = writing.stop()
    assert not result["failures"], result
    settle(pair, "rbd/trio", same)
