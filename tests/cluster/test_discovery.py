# SPDX-License-Identifier: Apache-2.0
"""What is protected, how often, and what is refused."""
import pathlib
import tempfile
import time

import pytest
from harness import MIB, wait_for
from harness.daemon import STOP_S, CommandFailed, DaemonPair

GOLD = {"farshore.io/policy": "gold"}


def image(site, name, **more):
    site.create(name, 16 * MIB, labels=GOLD, **more)
    site.fill(name)


@pytest.fixture(scope="module", autouse=True)
def away(clusters):
    """A daemon whose monitor is not there: to notice takes it half a minute, in which others are tested."""
    with tempfile.TemporaryDirectory(prefix="farshore-away-") as directory:
        daemon = DaemonPair(*clusters, directory).east
        conf = pathlib.Path(directory, "away.conf")
        conf.write_text(clusters[0].conf.read_text().replace("mon_host = [v2:127.0.0.1:",
                                                             "mon_host = [v2:127.0.0.2:"))
        daemon.config["ceph"]["conf"] = str(conf)
        daemon.write_config()
        yield daemon.start(wait=False)
        daemon.kill()


def test_labels_come_and_go_without_a_restart(east, daemons, same):
    pair = daemons()
    assert pair.east.status()["groups"] == []
    image(east, "later")
    pair.ready("rbd/later", timeout_s=15)
    same(pair, "rbd/later")

    east.unlabel("later", "farshore.io/policy")

    def let_go():
        group = pair.east.group("rbd/later")
        return group is None or group["state"] not in ("ok", "syncing")
    wait_for(let_go, 15, "the unlabelled image is let go of")
    assert pair.west.committed("rbd/later"), "the copy stays"

    east.label("later", GOLD)
    east.fill("later", seed=2)
    wait_for(lambda: (pair.east.group("rbd/later") or {}).get("state") in ("ok", "syncing"), 15,
             "the image is picked up again")
    pair.east.sync("rbd/later")
    same(pair, "rbd/later")


def test_unchanged_volume_takes_no_snapshot_and_its_lag_stays_small(east, west, daemons):
    image(east, "idle")
    pair = daemons(policies={"gold": {"interval": "1s"}})
    pair.ready("rbd/idle")
    point = pair.west.committed("rbd/idle")[-1]
    snapshots = east.farshore_snapshots("idle")
    wait_for(lambda: pair.east.group("rbd/idle")["counters"]["unchanged"] >= 4, 20,
             "four cycles found nothing changed")
    assert pair.west.committed("rbd/idle") == [point]
    assert east.farshore_snapshots("idle") == snapshots
    for daemon in pair:
        group = daemon.group("rbd/idle")
        assert group["rpo_lag_seconds"] < 4, daemon.site.name
        assert group["recovery_point"]["id"] == point["id"]
    # A change is noticed at once, and one by another tool's snapshot is none.
    with east.image("idle") as opened:
        opened.create_snap("someone-else")
    east.fill("idle", seed=3, ranges=((8 * MIB, 4096),))
    wait_for(lambda: len(pair.west.committed("rbd/idle")) == 2, 15, "the change is shipped")


def test_interval_is_edited_and_reloaded(east, daemons):
    image(east, "paced")
    pair = daemons()
    pair.ready("rbd/paced")
    assert pair.east.group("rbd/paced")["interval_seconds"] == 3600
    pair.east.config["policies"]["gold"]["interval"] = "1s"
    pair.east.reload()
    for seed in range(3):
        before = pair.west.committed("rbd/paced")[-1]["id"]
        east.fill("paced", seed=seed + 10, ranges=((0, 4096),))
        wait_for(lambda: pair.west.committed("rbd/paced")[-1]["id"] != before, 10, "a point came")
    assert pair.east.group("rbd/paced")["interval_seconds"] == 1
    assert pair.west.group("rbd/paced")["interval_seconds"] == 1


def test_reload_of_a_broken_file_leaves_the_old_configuration_in_force(east, daemons):
    image(east, "steady")
    pair = daemons()
    pair.ready("rbd/steady")
    pair.east.expect_error("event=reload_refused")
    pair.east.config_file.write_text("site: east\nsite: east\n")
    pair.east.process.send_signal(1)
    wait_for(lambda: pair.east.events("reload_refused"), 10, "the reload is refused")
    pair.east.sync("rbd/steady")
    assert pair.east.group("rbd/steady")["interval_seconds"] == 3600


def test_pause_and_resume(east, daemons):
    image(east, "pausing")
    pair = daemons(policies={"gold": {"interval": "1s"}})
    pair.ready("rbd/pausing")
    pair.east.request("pause", group="rbd/pausing")
    wait_for(lambda: pair.east.group("rbd/pausing")["state"] == "paused", 10, "paused")
    points = pair.west.committed("rbd/pausing")
    east.fill("pausing", seed=4)
    # The pause outlives the daemon.
    pair.east.stop()
    pair.east.start()
    wait_for(lambda: (pair.east.group("rbd/pausing") or {}).get("state") == "paused", 20,
             "still paused after a restart")
    time.sleep(2.5)
    assert pair.west.committed("rbd/pausing") == points
    pair.east.request("resume", group="rbd/pausing")
    wait_for(lambda: len(pair.west.committed("rbd/pausing")) > len(points), 15, "resumed")


def test_image_of_the_same_name_that_is_not_ours_is_refused_and_untouched(east, west, daemons):
    image(east, "taken")
    west.create("taken", 16 * MIB)
    west.fill("taken", seed=99)
    with west.image("taken", read_only=True) as opened:
        before = opened.read(0, 4 * MIB)
    pair = daemons()

    def refused():
        group = pair.east.group("rbd/taken")
        return group and "taken" in group.get("reason", "") and group
    group = wait_for(refused, 20, "the state says why")
    assert group["state"] in ("error", "never_synced")
    assert "reason=foreign_image" in pair.west.log()
    with west.image("taken", read_only=True) as opened:
        assert opened.read(0, 4 * MIB) == before
        assert not list(opened.list_snaps())


def test_policy_or_pool_that_the_target_does_not_know_is_refused_with_a_hint(east, daemons):
    east.create("elsewhere", 16 * MIB, pool="rbd2", labels=GOLD)
    pair = daemons(start=False)
    del pair.west.config["policies"]["gold"]["pools"]["rbd2"]
    pair.west.write_config()
    pair.start()

    def reason():
        return (pair.east.group("rbd2/elsewhere") or {}).get("reason", "")
    wait_for(lambda: "rbd2" in reason(), 20, lambda: f"the pool is named, not: {reason()}")
    pair.west.config["policies"]["gold"]["pools"]["rbd2"] = "rbd2"
    pair.west.reload()
    pair.ready("rbd2/elsewhere", timeout_s=90)


def test_image_that_two_policies_match_is_a_state(east, daemons):
    image(east, "both")
    pair = daemons(policies={"silver": {"select": {"labels": "farshore.io/policy in (gold)"}}})

    def said():
        status = pair.east.status()
        texts = [s["reason"] for s in status["skipped"]]
        texts += [g.get("reason", "") for g in status["groups"]]
        return any("gold" in t and "silver" in t for t in texts)
    wait_for(said, 15, lambda: f"both policies are named in {pair.east.status()}")
    assert "both" not in pair.west.site.names()


def test_unknown_group_is_an_error(daemons):
    pair = daemons()
    for command in ("points", "sync", "pause", "resume"):
        with pytest.raises(CommandFailed) as failed:
            pair.east.request(command, group="rbd/nothing")
        assert "rbd/nothing" in str(failed.value)


@pytest.mark.parametrize("caps, missing", [
    (["mon", "profile rbd", "osd", "profile rbd"], "osd blocklist"),
    (["mon", 'profile rbd, allow command "osd blocklist"', "osd", "profile rbd pool=rbd2"],
     "profile rbd"),
    (["mon", 'profile rbd, allow command "osd blocklist"'], "profile rbd"),
])
def test_with_less_than_its_caps_it_says_what_is_missing(east, daemons, caps, missing):
    full = east.command(prefix="auth get", entity="client.farshore", format="json")
    assert b"osd blocklist" in full
    pair = daemons(start=False)
    pair.east.expect_error("event=cluster_down")
    east.command(prefix="auth caps", entity="client.farshore", caps=caps)
    try:
        pair.east.start(wait=False)

        def said():
            try:
                site = pair.east.status()["site"]
            except OSError:
                return None
            return "ceph auth caps" in site.get("cluster_reason", "") and site
        site = wait_for(said, 30, lambda: f"the command that grants it\n{pair.east.log()}")
        assert site["cluster"] == "down" and missing in site["cluster_reason"]
    finally:
        east.command(prefix="auth caps", entity="client.farshore",
                     caps=["mon", 'profile rbd, allow command "osd blocklist"',
                           "osd", "profile rbd"])
    # Given what was missing, it goes on without a restart.
    wait_for(lambda: pair.east.status()["site"]["cluster"] == "up", 60, "up with its caps")


def test_cluster_that_is_away_is_a_state(away):
    wait_for(lambda: away.events("cluster_down"), 60, away.log)
    site = away.status()["site"]
    assert site["cluster"] == "down" and site["cluster_reason"]
    assert away.running() and away.stop() < STOP_S
