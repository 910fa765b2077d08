# SPDX-License-Identifier: Apache-2.0
"""Drills: writable clones of a point, beside everything else that a group does. Replication goes on, the
point is kept, nothing else is touched, and what is left behind is listed until it is removed."""
import json

import pytest
from harness import MIB, content, wait_for
from harness.linked import EAST_IS, failover, role
from harness.tool import farshore

GOLD = {"farshore.io/policy": "gold"}
SELECT = {"select": {"labels": "farshore.io/policy=gold"}, "group_by": "app", "interval": "1h",
          "retain": {"latest": 1}}
SIZE = 16 * MIB
NAMES = ("root", "data")
GROUP = "rbd/vm"


def drill(daemon, *arguments):
    done = farshore(daemon, "drill", "-o", "json", GROUP, *arguments)
    assert done.returncode == 0, done.stderr + daemon.log()
    return json.loads(done.stdout)["drill"]


def clones(site):
    return sorted(n for n in site.names() if n.startswith("farshore-drill."))


def digest(site, name, snap_id=None):
    with site.image(name, snap_id=snap_id, read_only=True) as image:
        return content.digest(image, content.ranges(image))


def check_equal(site, daemon, made):
    """Each image of the drill holds the point's bytes."""
    point = next(p for p in daemon.points(GROUP) if p["name"] == made["point"])
    volumes = {v["image"]: v for v in point["volumes"]}
    assert {i["of"] for i in made["images"]} == set(volumes)
    for image in made["images"]:
        name = image["image"].removeprefix("rbd/")
        assert digest(site, name) == digest(site, image["of"], volumes[image["of"]]["snap_id"])


@pytest.fixture
def pair(east, daemons):
    for i, name in enumerate(NAMES):
        east.create(name, SIZE, labels={**GOLD, "app": "vm"})
        east.fill(name, seed=i, ranges=((0, SIZE // 2),))
    made = daemons(start=False, policies={"gold": SELECT})
    made.west.config["policies"]["gold"].update(SELECT)
    made.west.write_config()
    made.start()
    made.ready(GROUP)
    return made


def next_point(pair, east, seed):
    for name in NAMES:
        east.fill(name, seed=seed, ranges=((MIB, MIB),))
    pair.synced(GROUP)


def test_replication_goes_on_and_the_point_is_kept(east, west, pair, same):
    made = drill(pair.west)
    assert made["ready"] and len(clones(west)) == 2
    check_equal(west, pair.west, made)
    for name in clones(west):
        with west.image(name) as image:
            image.write(b"test" * 1024, 3 * MIB)
            assert not [k for k, _ in image.metadata_list() if k.startswith("farshore.io/")]
    for seed in (11, 12, 13):
        next_point(pair, east, seed)
        same(pair, GROUP)
    kept = [p["name"] for p in pair.west.committed(GROUP)]
    assert made["point"] in kept and len(kept) <= 3
    # The clones are nobody's volumes, and the group at either site is the one that there was.
    for daemon in pair:
        assert [g["name"] for g in daemon.status()["groups"]] == [GROUP]
    listed = pair.west.group(GROUP)["drills"]
    assert [d["id"] for d in listed] == [made["id"]] and listed[0]["age_seconds"] > 0
    assert "drill --end" in farshore(pair.west, "status").stdout
    pair.west.stop()  # it is in the cluster: a restart does not forget it
    pair.west.start()
    wait_for(lambda: (pair.west.group(GROUP) or {}).get("drills"), 20, "it is listed again")
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0
    assert not clones(west) and not pair.west.group(GROUP)["drills"]
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 3
    pair.wait_for_session()
    next_point(pair, east, 14)
    next_point(pair, east, 15)
    wait_for(lambda: made["point"] not in [p["name"] for p in pair.west.points(GROUP)], 20,
             "retention lets it go")
    steps = [e["step"] for e in pair.west.request("history", group=GROUP)["history"]]
    assert steps == ["begun", "done", "ended"]


def test_drill_with_the_other_site_gone_and_through_a_failover(west, pair):
    pair.east.kill()
    made = drill(pair.west)
    check_equal(west, pair.west, made)
    done = farshore(pair.west, "failover", "--yes", GROUP)
    assert done.returncode == 0, done.stderr
    assert len(pair.west.group(GROUP)["drills"]) == 1
    second = drill(pair.west)
    assert second["point"] == made["point"] and len(clones(west)) == 4
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0
    assert not clones(west)
    pair.east.start()


def test_images_that_are_used_are_not_removed(west, pair):
    drill(pair.west)
    names = clones(west)
    with west.image(names[1]) as image:
        image.write(b"busy" * 1024, 0)
        refused = farshore(pair.west, "drill", "--end", GROUP)
        assert refused.returncode == 3 and "open" in refused.stderr
        assert clones(west) == names
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0


def test_the_test_of_a_drill_is_recorded(west, pair, workdir):
    seen = workdir / "seen"
    command = f'echo "$FARSHORE_GROUP $FARSHORE_POINT" > {seen}; echo "$FARSHORE_IMAGES" >> {seen}; ' \
              f'exit 7'
    done = farshore(pair.west, "drill", GROUP, "--exec", command)
    assert done.returncode == 4, done.stderr
    lines = seen.read_text().splitlines()
    assert lines[0].startswith(f"{GROUP} farshore.1.") and len(lines) == 3
    assert all(line.startswith("rbd/farshore-drill.") for line in lines[1:])
    assert pair.west.group(GROUP)["drills"][0]["exit_status"] == 7
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0
    assert farshore(pair.west, "drill", GROUP, "--exec", "true").returncode == 0
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0


def test_what_cannot_be_cloned_leaves_nothing(east, pair):
    """The source has its points of several volumes as RBD group snapshots."""
    refused = farshore(pair.east, "drill", GROUP)
    assert refused.returncode == 1 and "at the other site" in refused.stderr
    assert not clones(east)
    wait_for(lambda: not pair.east.group(GROUP)["drills"], 20, "none is listed")
    assert farshore(pair.west, "drill", GROUP, "--point", "nonsense").returncode == 3
    east.create("alone", SIZE, labels=GOLD)
    pair.ready("rbd/alone")
    done = farshore(pair.east, "drill", "rbd/alone")
    assert done.returncode == 0, done.stderr
    assert len(clones(east)) == 1
    assert farshore(pair.east, "drill", "--end", "rbd/alone").returncode == 0
    assert not clones(east)


def test_drill_on_a_schedule(pair, west, workdir):
    """Made, tested, remembered and removed; a failure is the newest result until one succeeds, also
    after a restart."""
    policy = pair.west.config["policies"]["gold"]
    verdict = workdir / "verdict"
    verdict.write_text("3")
    policy["drill"] = {"every": "2s", "timeout": "20s",
                       "exec": f"echo $FARSHORE_IMAGES > {workdir}/images; exit $(cat {verdict})"}
    pair.west.expect_error("event=hook_failed")
    pair.west.reload()

    def result(status):
        last = pair.west.group(GROUP).get("drill")
        return last and last["exit_status"] == status and last
    failed = wait_for(lambda: result(1), 40, lambda: f"it fails: {pair.west.group(GROUP)}")
    words = (workdir / "images").read_text().split()
    assert [w.rpartition(".")[2] for w in words[::2]] == words[1::2]
    assert sorted(words[1::2]) == sorted(NAMES)
    verdict.write_text("0")
    done = wait_for(lambda: result(0), 40, lambda: f"it succeeds: {pair.west.group(GROUP)}")
    assert done["ended_timestamp"] > failed["ended_timestamp"]
    assert done["point"] == pair.west.committed(GROUP)[-1]["name"]
    policy["drill"] = {"every": "1d"}
    pair.west.reload()
    wait_for(lambda: not clones(west) and not pair.west.group(GROUP)["drills"], 40,
             lambda: f"nothing is left: {clones(west)}")
    metrics = pair.west.http("/metrics")
    assert 'farshore_drill_exit_status{group="rbd/vm"' in metrics
    assert 'farshore_drill_interval_seconds{group="rbd/vm"' in metrics
    last = pair.west.group(GROUP)["drill"]
    pair.west.stop()
    pair.west.start()
    wait_for(lambda: (pair.west.group(GROUP) or {}).get("drill") == last, 20,
             lambda: f"it is remembered: {pair.west.group(GROUP)}")
    steps = [(e["step"], e["who"]) for e in pair.west.request("history", group=GROUP)["history"]]
    assert ("test", "drill.every") in steps


@pytest.mark.parametrize("east_is", EAST_IS.values(), ids=EAST_IS)
def test_drill_needs_nothing_of_the_other_site(linked, east_is):
    """And a failover goes on beside it: the clones stay as the point was."""
    setup = linked(policy={"retain": {"latest": 1}})
    pair, (_, west) = setup.pair, setup.sites
    with east_is(setup):
        made = drill(pair.west)
        check_equal(west, pair.west, made)
        before = {i["image"]: digest(west, i["image"].removeprefix("rbd/")) for i in made["images"]}
        told = failover(pair.west)
        assert told["outcome"] == "promoted" and told["point"] == made["point"]
        with west.image("root") as image:
            image.write(b"new" * 1000, 0)
        assert {i["image"]: digest(west, i["image"].removeprefix("rbd/"))
                for i in made["images"]} == before
        assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0
        assert not clones(west)
    role(pair.east, "superseded")
