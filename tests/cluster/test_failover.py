# SPDX-License-Identifier: Apache-2.0
"""Failover on real clusters, with the other site alive, paused, cut off and gone: the volumes get
exactly the newest point, are writable and nobody else's, and the old primary is superseded at the
first contact. Nothing of the other site is needed, and nothing there is changed."""
import contextlib
import json
import threading

import pytest
import rbd
from harness import MIB, wait_for
from harness.daemon import CommandFailed
from harness.linked import (EAST_IS, GROUP, NAMES, SIZE, at_point, becomes, cut_off, failover, head,
                            role)
from harness.tool import farshore


def check_given_to_users(site, daemon, names=NAMES):
    """Unlocked, nobody of ours on it, stamped as primary; and a write goes through at once."""
    def free(name):  # but for a moment in which the daemon takes a point, as of any primary's
        with site.image(name, read_only=True) as image:
            return not image.list_lockers() and not list(image.watchers_list())
    for name in names:
        wait_for(lambda n=name: free(n), 20, f"{name} is unlocked and closed")
        with site.image(name, read_only=True) as image:
            stamp = json.loads(image.metadata_get("farshore.stamp"))
            assert stamp["role"] == "primary"
            assert "farshore.holder" not in dict(image.metadata_list())
        with site.image(name) as image:
            image.write(b"mine" * 1024, 5 * MIB)
    group = daemon.group(GROUP)
    assert group["role"] == "primary" and stamp["term"] == 2


def takes_points(daemon):
    """In the new term."""
    def taken():
        last = daemon.points(GROUP)[-1]
        if last["term"] == 2 and last["state"] == "complete":
            return True
        with contextlib.suppress(CommandFailed):
            daemon.request("sync", group=GROUP)
        return False
    wait_for(taken, 40, lambda: f"a point is taken: {daemon.group(GROUP)}\n{daemon.log(20)}",
             every_s=0.5)


@pytest.mark.parametrize("east_is", EAST_IS.values(), ids=EAST_IS)
def test_failover_with_a_transfer_under_way(linked, east_is):
    setup = linked()
    pair, (east, west) = setup.pair, setup.sites
    setup.point(2)
    before = pair.west.committed(GROUP)[-1]["name"]
    setup.unfinished()
    with east_is(setup):
        told = failover(pair.west)
        assert told["point"] == before and told["term"] == 2 and told["outcome"] == "promoted"
        assert 0 <= told["loss_seconds"] < 300 and "nobody was fenced" in told["fencing"]
        exact = at_point(west, pair.west, before)
        assert {name: head(west, name) for name in NAMES} == exact
        check_given_to_users(west, pair.west)
        assert failover(pair.west)["outcome"] == "already"
    setup.proxy.heal()
    role(pair.east, "superseded")
    heads = {name: head(east, name) for name in NAMES}
    with east.image("data") as image:  # its users are left alone
        image.write(b"old!" * 1024, 0)
    with pytest.raises(CommandFailed):
        pair.east.sync(GROUP)
    # One group at each site, and east's volumes are not west's business.
    assert [g["name"] for g in pair.west.status()["groups"]] == [GROUP]
    assert [g["name"] for g in pair.east.status()["groups"]] == [GROUP]
    assert heads["root"][0] == 2 * SIZE
    takes_points(pair.west)
    wait_for(lambda: pair.west.group(GROUP)["state"] == "degraded", 30,
             lambda: f"east refuses them: {pair.west.group(GROUP)}")
    history = [(e["step"], e["who"]) for e in pair.west.request("history", group=GROUP)["history"]]
    assert [step for step, _ in history][:3] == ["begun", "raised", "done"] and history[0][1]
    assert pair.east.request("history", group=GROUP)["history"][-1]["step"] == "superseded"


def test_failover_asks_first_and_takes_an_older_point(linked):
    setup = linked()
    pair, (_, west) = setup.pair, setup.sites
    setup.point(2)
    setup.point(3)
    older = pair.west.committed(GROUP)[0]["name"]
    shown = farshore(pair.west, "failover", GROUP, "--dry-run", "--point", older)
    assert shown.returncode == 0 and older in shown.stdout and "at most" in shown.stdout
    refused = farshore(pair.west, "failover", GROUP, answer="n\n")
    assert refused.returncode == 3 and pair.west.group(GROUP)["role"] == "secondary"
    assert farshore(pair.west, "failover", GROUP, "--point", "nonsense").returncode == 3
    assert farshore(pair.west, "failover").returncode == 2
    told = failover(pair.west, GROUP, "--point", older)
    assert told["point"] == older
    exact = at_point(west, pair.west, older)
    assert {name: head(west, name) for name in NAMES} == exact
    check_given_to_users(west, pair.west)


def test_failover_of_a_policy_without_select_or_discovery(linked):
    """The record says what the volumes are; other policies' groups are left alone."""
    setup = linked()
    pair, (_, west) = setup.pair, setup.sites
    for key in ("select", "group_by", "interval"):
        del pair.west.config["policies"]["gold"][key]
    del pair.west.config["discovery"]
    pair.west.reload()
    assert farshore(pair.west, "failover", "--policy", "silver", "--yes").returncode == 3
    assert failover(pair.west, "--policy", "gold")["outcome"] == "promoted"
    check_given_to_users(west, pair.west)
    takes_points(pair.west)
    pair.west.stop()
    pair.west.start()
    role(pair.west, "primary")


def test_failover_on_a_full_cluster(linked):
    setup = linked()
    pair, (_, west) = setup.pair, setup.sites
    setup.point(2)
    before = pair.west.committed(GROUP)[-1]["name"]
    setup.unfinished()
    pair.west.expect_error("event=(cluster_down|lease_lost)")
    west.set_full(True)
    try:
        told = failover(pair.west)
        assert told["point"] == before
        assert pair.west.group(GROUP)["role"] == "primary"
    finally:
        west.set_full(False)
    exact = at_point(west, pair.west, before)
    assert {name: head(west, name) for name in NAMES} == exact
    check_given_to_users(west, pair.west)


def test_what_others_wrote_is_kept_before_it_is_taken_back(linked):
    setup = linked()
    pair, (_, west) = setup.pair, setup.sites
    pair.west.expect_error("event=(tampered|lease_lost)")
    with west.image("data") as image:
        for client, cookie, _ in image.list_lockers()["lockers"]:
            image.break_lock(client, cookie)
        image.write(b"\xee" * 4096, 7 * MIB)
    wait_for(lambda: pair.west.status()["site"]["lease"] == "held" and pair.west.group(GROUP), 40,
             "west works again")
    before = pair.west.committed(GROUP)[-1]["name"]
    assert failover(pair.west)["point"] == before
    assert {n: head(west, n) for n in NAMES} == at_point(west, pair.west, before)
    with west.image("data", read_only=True) as image:
        left = [s["name"] for s in image.list_snaps() if s["name"].startswith("farshore.left.")]
    assert len(left) == 1
    with west.ioctx() as io, rbd.Image(io, "data", snapshot=left[0]) as image:
        assert image.read(7 * MIB, 4096) == b"\xee" * 4096


def test_split_brain_stops_both_and_overwrites_nothing(linked):
    setup = linked()
    pair, (east, west) = setup.pair, setup.sites
    for daemon in pair:
        daemon.expect_error("event=split_brain")
    with cut_off(setup):
        wait_for(lambda: not pair.east.status()["peers"][0]["up"], 40, "the link is down")
        failover(pair.east)
        failover(pair.west)
        for site, byte in ((east, b"E"), (west, b"W")):
            with site.image("root") as image:
                image.write(byte * 4096, 3 * MIB)
        heads = [{n: head(site, n) for n in NAMES} for site in (east, west)]
    for daemon in pair:
        becomes(daemon, "state", "split_brain")
        assert daemon.group(GROUP)["role"] == "primary"
    for daemon in pair:  # in its records: a restart does not forget it
        daemon.stop()
        daemon.start()
        becomes(daemon, "state", "split_brain")
    pair.wait_for_session()
    assert [{n: head(site, n) for n in NAMES} for site in (east, west)] == heads
    assert failover(pair.west)["term"] == 3  # the operator decides
    role(pair.east, "superseded")
    assert [{n: head(site, n) for n in NAMES} for site in (east, west)] == heads


def test_progress_says_what_is_waited_for(linked):
    """Somebody has a replica open: the failover names him, and goes on when he has gone."""
    setup = linked()
    pair, (_, west) = setup.pair, setup.sites
    pair.west.expect_error("event=lease_lost")
    with west.image("data") as image:
        for client, cookie, _ in image.list_lockers()["lockers"]:
            image.break_lock(client, cookie)
        wait_for(lambda: pair.west.status()["site"]["lease"] == "held" and pair.west.group(GROUP),
                 40, "west works again")
        image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
        said = []

        def run():
            said.append(farshore(pair.west, "failover", "--yes", GROUP))
        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda: pair.west.group(GROUP)["role"] == "promoting", 20, "it has begun")
        thread.join(4)
        assert thread.is_alive()
    thread.join(100)
    assert said[0].returncode == 0, said[0].stderr
    assert "waits:" in said[0].stderr and "stop using it there" in said[0].stderr
    check_given_to_users(west, pair.west)
