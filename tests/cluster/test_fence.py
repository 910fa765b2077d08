# SPDX-License-Identifier: Apache-2.0
"""Fencing with a real writer: it cannot write afterwards, nobody else is concerned, and unfence lets
in exactly those that were kept out."""
import contextlib
import datetime
import json
import os
import signal
import time

import pytest
import rados
from harness import MIB, wait_for
from harness.linked import GROUP, NAMES, cut_off, failover, farshore, role

GOLD = {"farshore.io/policy": "gold", "app": "vm"}
SELECT = {"select": {"labels": "farshore.io/policy=gold"}, "group_by": "app"}
IMAGES = tuple(f"rbd/{name}" for name in NAMES)
OTHERS = "192.0.2.77:0/77"  # an entry that is not Farshore's


def told(daemon, *arguments):
    done = farshore(daemon, *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr + daemon.log()
    return json.loads(done.stdout)


STUBBORN = {"rate": 20, "patience": 10**6}  # keeps its images open, and tries on


def check_out(users, fenced_at, wrote=True):
    """Nothing went through that it began to write after the fence was said to be done. (A write that
    was acknowledged before may be heard of later, where the writer stood still.)"""
    result = users.stop()
    assert (result["writes"] > 0 or not wrote) and result["failures"], result
    assert result["last_ok"] < fenced_at, (result, fenced_at)


@contextlib.contextmanager
def recorded_as_instance(site, address):
    """As a daemon of the site's does with its own clients."""
    with site.ioctx("rbd", "farshore") as io:
        with rados.WriteOpCtx() as op:
            io.set_omap(op, (f"instance.{address}",), (b"",))
            io.operate_write_op(op, "site")
        yield
        with rados.WriteOpCtx() as op:
            io.remove_omap_keys(op, (f"instance.{address}",))
            io.operate_write_op(op, "site")


def expiry(site, address):
    """How long the entry lasts, in days."""
    for line in site.command(prefix="osd blocklist ls", format="plain").decode().splitlines():
        if line.split()[0] == address:
            until = datetime.datetime.fromisoformat(line.split()[1].split("+")[0])
            return (until - datetime.datetime.now()).days
    return None


def has_lock(site, name):
    with site.image(name, read_only=True) as image:
        return image.list_lockers()


def is_free(site, name):
    with site.image(name, read_only=True) as image:
        return not image.list_lockers() and not list(image.watchers_list())


@pytest.fixture
def group(daemons, east):
    for i, name in enumerate(NAMES):
        east.create(name, 16 * MIB, labels=GOLD)
        east.fill(name, seed=i)
    pair = daemons(policies={"gold": SELECT})
    pair.ready(GROUP)
    return pair


def test_a_writer_is_fenced_and_let_in_again(group, east, writer):
    east.create("private", 16 * MIB)
    east.block(OTHERS)
    users, bystander = writer(east, ["rbd/root", "rbd/private"], **STUBBORN), writer(east, ["rbd/private"])
    before = set(east.blocklist())

    shown = farshore(group.east, "fence", GROUP, answer="n\n")
    assert shown.returncode == 3 and "rbd/private" in shown.stdout and "OTHER" in shown.stdout
    plan = told(group.east, "fence", "--dry-run", GROUP)["would_fence"]
    assert [(f["images"], f["others"]) for f in plan] == [("rbd/root", "rbd/private")]
    with recorded_as_instance(east, plan[0]["address"]):  # then it is Farshore's, and left alone
        assert told(group.east, "fence", "--dry-run", GROUP)["would_fence"] == []
    assert users.process.poll() is None and set(east.blocklist()) == before
    refused = farshore(group.west, "fence", "--yes", GROUP)  # where nobody but Farshore is on them
    assert refused.returncode == 3 and "secondary" in refused.stderr
    assert farshore(group.west, "unfence", GROUP).returncode == 3

    fences = told(group.east, "fence", "--yes", GROUP)["fences"]
    fenced_at = time.monotonic()
    assert [f["address"] for f in fences] == [f["address"] for f in plan]
    assert fences[0]["proven"] and fences[0]["client"].startswith("client.")
    assert set(east.blocklist()) - before == {fences[0]["address"]}
    assert expiry(east, fences[0]["address"]) > 3000
    time.sleep(1)  # in which it tries
    check_out(users, fenced_at)
    assert all(is_free(east, name) for name in NAMES)
    assert not set(east.instances()) & set(east.blocklist())

    assert group.east.group(GROUP)["fences"] == fences
    assert "is fenced since" in farshore(group.east, "status", GROUP).stdout
    steps = [e["step"] for e in group.east.request("history", group=GROUP)["history"]]
    assert steps == ["begun", "fenced", "done"]
    group.synced(GROUP)  # replication goes on, and so does a restart's knowledge
    group.east.stop()
    group.east.start()
    wait_for(lambda: (group.east.group(GROUP) or {}).get("fences") == fences, 20, "still listed")
    result = bystander.stop()
    assert not result["failures"], result

    assert farshore(group.east, "unfence", GROUP).returncode == 0
    assert OTHERS in east.blocklist() and fences[0]["address"] not in east.blocklist()
    assert group.east.group(GROUP)["fences"] == []
    assert farshore(group.east, "unfence", GROUP).returncode == 3
    again = writer(east, ["rbd/root"])
    wait_for(lambda: not is_free(east, "root"), 10, "it writes")
    assert not again.stop()["failures"]


def test_a_writer_that_stands_still_is_fenced(group, east, writer):
    """It answers nobody, and has its lock when it goes on."""
    users = writer(east, ["rbd/data"], **STUBBORN)
    wait_for(lambda: has_lock(east, "data"), 10, "it has the lock")
    os.kill(users.process.pid, signal.SIGSTOP)
    fences = told(group.east, "fence", "--yes", GROUP)["fences"]
    assert [f["images"] for f in fences] == ["rbd/data"] and fences[0]["proven"]
    assert expiry(east, fences[0]["address"]) > 3000  # and not librbd's hour
    fenced_at = time.monotonic()
    os.kill(users.process.pid, signal.SIGCONT)
    time.sleep(1)
    check_out(users, fenced_at, wrote=False)  # it may have stood still before the first one ended
    assert told(group.east, "fence", "--yes", GROUP)["message"] == "nobody is on the volumes"
    assert farshore(group.east, "unfence", GROUP).returncode == 0


def test_caps_for_single_pools_are_enough(daemons, east, writer):
    """Then it says that it could not look at all images."""
    full = ["mon", 'profile rbd, allow command "osd blocklist"', "osd", "profile rbd"]
    east.command(prefix="auth caps", entity="client.farshore", caps=[*full[:3], "profile rbd pool=rbd"])
    try:
        east.create("root", 16 * MIB, labels=GOLD)
        pair = daemons(policies={"gold": {**SELECT, "pools": {"rbd": "rbd"}}})
        pair.ready(GROUP)
        users = writer(east, ["rbd/root"], **STUBBORN)
        shown = farshore(pair.east, "fence", "--dry-run", GROUP)
        assert shown.returncode == 0 and "not all images of the cluster" in shown.stdout
        assert told(pair.east, "fence", "--yes", GROUP)["fences"][0]["proven"]
        check_out(users, time.monotonic())
        assert farshore(pair.east, "unfence", GROUP).returncode == 0
    finally:
        east.command(prefix="auth caps", entity="client.farshore", caps=full)


def fences(daemon):
    """Whom the group's status lists; a daemon that has just started has none."""
    return (daemon.group(GROUP) or {"fences": []})["fences"]


def planned(daemon, *arguments):
    """What the one group's plan of a failover says of fencing."""
    return told(daemon, "failover", "--dry-run", *arguments, GROUP)["plan"][0]


def test_failover_has_the_old_site_fence_its_users(linked, writer):
    setup = linked(policy={"fence": "best-effort"})
    pair, (east, _) = setup.pair, setup.sites
    east.create("private", 16 * MIB)
    east.create("lone", 16 * MIB, labels={**GOLD, "app": "lone"})
    pair.ready("rbd/lone")
    before = set(east.blocklist())
    assert planned(pair.west)["would_fence"] == []
    users = writer(east, ["rbd/root", "rbd/private"], **STUBBORN)
    wait_for(lambda: has_lock(east, "root") and has_lock(east, "private"), 10, "it is on both")
    shown = farshore(pair.west, "failover", "--dry-run", GROUP)
    assert "east fences who uses the volumes there" in shown.stdout
    assert "of rbd/root\n" in shown.stdout and "IT SERVES OTHER IMAGES, TOO: rbd/private\n" in shown.stdout
    plan = planned(pair.west)
    there = told(pair.east, "fence", "--dry-run", GROUP)
    named = [[(f["site"], f["client"], f["address"], f["images"], f["others"]) for f in view["would_fence"]]
             for view in (plan, there)]
    assert len(named[0]) == 1 and named[0] == named[1] and plan["all_seen"]
    assert "would_fence" not in planned(pair.west, "--fence=none")
    shown = farshore(pair.west, "failover", "--dry-run", "--all")
    for group in (GROUP, "rbd/lone"):
        assert f"farshore failover {group} --dry-run names them" in shown.stdout
    assert users.process.poll() is None and set(east.blocklist()) == before
    assert pair.west.group(GROUP)["role"] == "secondary" and fences(pair.east) == []
    told_of = failover(pair.west, GROUP, "--fence=required")
    assert told_of["fencing"].startswith("fenced at east: 1 client is out")
    check_out(users, time.monotonic())
    role(pair.east, "superseded")
    assert [f["images"] for f in fences(pair.east)] == ["rbd/root"]
    assert fences(pair.west) == []
    steps = [e["step"] for e in pair.west.request("history", group=GROUP)["history"]]
    assert steps == ["begun", "fenced", "raised", "done"]
    asked = next(e for e in pair.east.request("history", group=GROUP)["history"]
                 if e["step"] == "fenced")
    assert asked["who"].endswith("at west")
    assert farshore(pair.east, "unfence", GROUP).returncode == 0
    assert not set(east.blocklist()) & {f["address"] for f in fences(pair.east)}


@contextlib.contextmanager
def east_dead(setup):
    setup.pair.east.kill()
    yield
    setup.proxy.heal()
    setup.pair.east.start()


@pytest.mark.parametrize("away", [cut_off, east_dead], ids=["cut_off", "dead"])
def test_an_old_primary_that_returns_fences_its_users(linked, writer, away):
    setup = linked()
    pair, (east, _) = setup.pair, setup.sites
    users = writer(east, ["rbd/data"], **STUBBORN)
    with away(setup):
        wait_for(lambda: not pair.west.status()["peers"][0]["up"], 40, "the link is down")
        plan = planned(pair.west, "--fence=required")
        assert plan["fence_note"].endswith("east is not connected") and "would_fence" not in plan
        refused = farshore(pair.west, "failover", "--yes", "--fence=required", GROUP)
        assert refused.returncode == 3 and "cannot be fenced" in refused.stderr
        assert pair.west.group(GROUP)["role"] == "secondary"
        assert "nobody was fenced now" in failover(pair.west, GROUP, "--fence=best-effort")["fencing"]
        assert users.process.poll() is None
    role(pair.east, "superseded")
    wait_for(lambda: [f["proven"] for f in fences(pair.east)] == [True], 60,
             lambda: f"{fences(pair.east)}\n{pair.east.log(30)}")
    check_out(users, time.monotonic())
    assert farshore(pair.east, "unfence", GROUP).returncode == 0


def test_a_dead_site_is_fenced_through_its_cluster(linked, writer):
    setup = linked()
    pair, (east, _) = setup.pair, setup.sites
    pair.west.config["peers"]["east"]["fence"] = {"conf": str(east.conf)}
    pair.west.reload()
    east.create("private", 16 * MIB)
    users = writer(east, [*IMAGES, "rbd/private"], **STUBBORN)
    bystander = writer(east, ["rbd/private"])
    instances = set(east.instances())
    pair.east.kill()
    wait_for(lambda: not pair.west.status()["peers"][0]["up"], 40, "the link is down")
    before = set(east.blocklist())
    plan = planned(pair.west, "--fence=required")["would_fence"]
    assert [(f["site"], set(f["images"].split(", ")), f["others"]) for f in plan] == [
        ("east", set(IMAGES), "rbd/private")]
    assert users.process.poll() is None and set(east.blocklist()) == before
    assert pair.west.group(GROUP)["role"] == "secondary"
    told_of = failover(pair.west, GROUP, "--fence=required")
    assert "through its cluster" in told_of["fencing"]
    check_out(users, time.monotonic())
    listed = fences(pair.west)
    assert [(f["site"], set(f["images"].split(", "))) for f in listed] == [("east", set(IMAGES))]
    assert not instances & set(east.blocklist())
    assert not bystander.stop()["failures"]
    address = listed[0]["address"]
    assert address in east.blocklist()
    assert farshore(pair.west, "unfence", GROUP).returncode == 0
    assert address not in east.blocklist() and fences(pair.west) == []
    pair.east.start()
    role(pair.east, "superseded")
