# SPDX-License-Identifier: Apache-2.0
"""What a target keeps, by the moments at which points were taken: its clock is moved on, hour by
hour, through the daemon's own fault point."""
GOLD = {"farshore.io/policy": "gold"}
HOUR_S = 3600


def test_points_are_kept_by_hours_and_days(east, daemons, same, workdir):
    clock = workdir / "clock"
    clock.write_text("0")
    east.create("kept", 8 << 20, labels=GOLD)
    pair = daemons(start=False, environment={"FARSHORE_FAULT_CLOCK": str(clock)},
                   policies={"gold": {"retain": {"latest": 1, "hourly": 3, "daily": 2}}})
    pair.start()
    pair.ready("rbd/kept")
    seqs = {}
    for hour in range(1, 28):
        clock.write_text(str(hour * HOUR_S))
        east.fill("kept", seed=hour, ranges=((hour * 4096, 4096),))
        pair.east.sync("rbd/kept")
        seqs[hour] = same(pair, "rbd/kept")["seq"]
    points = {p["seq"]: p["kept_by"] for p in pair.west.committed("rbd/kept")}
    # The newest, two hours before it, and the last one of the day before, wherever midnight was;
    # the base of the newest is the point before it.
    newest = seqs[27]
    assert {"latest", "hourly", "daily"} == set(points[newest])
    assert points[seqs[26]][:1] == ["hourly"] and points[seqs[25]][:1] == ["hourly"]
    assert sum("daily" in kept for kept in points.values()) == 2
    assert len(points) in (3, 4)
    # The source keeps none of them: it has the newest one to start from.
    assert [p["seq"] for p in pair.east.committed("rbd/kept")] == [newest]


def test_a_smaller_number_takes_effect_with_the_next_point(east, daemons, same):
    east.create("kept", 8 << 20, labels=GOLD)
    pair = daemons(policies={"gold": {"retain": {"latest": 4}}})
    pair.ready("rbd/kept")
    for number in range(4):
        east.fill("kept", seed=number, ranges=((0, 4096),))
        pair.east.sync("rbd/kept")
    same(pair, "rbd/kept")
    assert len(pair.west.committed("rbd/kept")) == 4
    pair.west.config["policies"]["gold"]["retain"] = {"latest": 2}
    pair.west.reload()
    assert [p["kept_by"] for p in pair.west.committed("rbd/kept")] == \
        [[], [], ["latest"], ["latest"]]
    east.fill("kept", seed=9, ranges=((0, 4096),))
    pair.east.sync("rbd/kept")
    same(pair, "rbd/kept")
    assert len(pair.west.committed("rbd/kept")) == 2
    assert len(replica_snapshots(pair, "kept")) == 2


def replica_snapshots(pair, name):
    return pair.west.site.farshore_snapshots(name)[0]
