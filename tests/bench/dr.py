# SPDX-License-Identifier: Apache-2.0
"""Suite dr: what an operator waits for. A failover of many groups, from the command until every volume is
writable; a relocation's downtime under writes; a drill of a large volume; the bytes of a failback; the end of
a split brain."""
import json
import statistics
import subprocess
import time

from harness import GIB, KIB, MIB, TIB, wait_for
from harness.daemon import program

from . import SHIP_S, note
from .disk import Sparse, rbd, start_fio, write
from .mirror import POOL
from .report import OURS, Report

LINE = ""
POLICIES = {"gold": {"retain": {"latest": 1}}}


class Workload:
    """One of the suite, as far as its name is asked for. measure gives the figure of one run."""

    def __init__(self, name, against, metric, ours, theirs=None):
        self.name, self.against, self.metric = name, against, metric
        self.ours, self.theirs = ours, theirs

    def workloads(self):
        return [self.name]


def chains(quick):
    counts = (1, 3) if quick else (1, 10, 100)
    return [*(Workload(f"failover-{n}", "rbd-mirror", "wall", lambda s, n=n: failover(s, n),
                       lambda s, n=n: promote(s, n)) for n in counts),
            Workload("relocate", "none", "downtime", relocate),
            Workload("drill", "none", "wall", drill),
            Workload("failback", "limit", "wire_bytes", failback, changed),
            Workload("resync", "rbd-mirror", "wall", resync, mirror_resync)]


def farshore(daemon, *arguments):
    """What the tool says; it must go well."""
    done = subprocess.run([program("farshore"), "-S", daemon.config["control"], *arguments,
                           "-o", "json"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=SHIP_S, check=False)
    if done.returncode:
        raise SystemExit(f"bench: farshore {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


def synced(stage, names, size):
    """Groups of one volume each, with a point at west."""
    rival, = stage.rivals((), None)
    for name in names:
        stage.east.create(name, size)
        stage.east.fill(name, ranges=((0, MIB),))
    rival.images(names)
    rival.ship()
    return rival


def failover(stage, count):
    synced(stage, [f"dr-{i}" for i in range(count)], 16 * MIB)
    stage.settle()
    begun = time.monotonic()
    told = farshore(stage.pair.west, "failover", "--all", "--yes")
    took = time.monotonic() - begun
    assert [g["outcome"] for g in told["groups"]] == ["promoted"] * count
    return took


def promote(stage, count):
    """As an operator of rbd-mirror does it for a pool."""
    _, mirror = stage.rivals(("rbd-mirror",), None)
    names = [f"dr-{i}" for i in range(count)]
    for name in names:
        stage.east.create(name, 16 * MIB, POOL)
        stage.east.fill(name, ranges=((0, MIB),), pool=POOL)
    mirror.images(names)
    mirror.ship()
    stage.settle()
    begun = time.monotonic()
    rbd(stage.west, "mirror", "pool", "promote", "--force", POOL)
    took = time.monotonic() - begun
    for name in names:
        for site in (stage.west, stage.east):
            with site.image(name, POOL) as image:
                image.mirror_image_disable(True)
        mirror.enabled.discard(name)
        rbd(stage.east, "rm", "--no-progress", f"{POOL}/{name}")
        if name in stage.west.names(POOL):
            rbd(stage.west, "rm", "--no-progress", f"{POOL}/{name}")
    return took


def relocate(stage):
    """The workload writes 50 MB/s until on.stop ends it."""
    size = 64 * MIB if stage.quick else GIB
    synced(stage, ["dr-move"], size)
    fio = start_fio(stage.east, "dr-move", rw="randwrite", bs=64 * KIB, size=size, rate=50_000_000,
                    time_based=1, runtime=600)
    try:
        time.sleep(1 if stage.quick else 5)
        east = stage.pair.east
        east.config["policies"]["gold"]["on"] = {"stop": f"kill -INT {fio.pid}"}
        east.reload()
        told = farshore(east, "relocate", "--yes", "--to", "west", "rbd/dr-move")
        return told["groups"][0]["downtime_seconds"]
    finally:
        fio.kill()
        fio.communicate()


def drill(stage):
    rival, = stage.rivals((), None)
    size, objects = (GIB, 20) if stage.quick else (TIB, 2000)
    stage.east.create("dr-drill", size)
    Sparse(objects)(stage.east, "rbd", ["dr-drill"], 1)
    rival.images(["dr-drill"])
    rival.ship()
    begun = time.monotonic()
    farshore(stage.pair.west, "drill", "rbd/dr-drill")
    took = time.monotonic() - begun
    farshore(stage.pair.west, "drill", "--end", "rbd/dr-drill")
    return took


def changes(stage):
    return 16 * MIB if stage.quick else GIB


def changed(stage):
    return changes(stage)


def failback(stage):
    """Bytes on the wire for so many that were changed since, none of which can be compressed."""
    synced(stage, ["dr-back"], 2 * changes(stage))
    write(stage.east, "dr-back", rw="write", bs=MIB, size=2 * changes(stage))
    stage.pair.east.sync("rbd/dr-back", timeout_s=SHIP_S)
    farshore(stage.pair.west, "failover", "--yes", "rbd/dr-back")
    wait_for(lambda: stage.pair.east.group("rbd/dr-back")["role"] == "superseded", 30, "superseded")
    write(stage.west, "dr-back", rw="write", bs=MIB, size=changes(stage),
          buffer_compress_percentage=0)
    told = farshore(stage.pair.east, "failback", "--yes", "rbd/dr-back")
    return told["groups"][0]["wire_bytes"]


def both_write(stage, pool):
    for site in stage.sites:
        write(site, "dr-split", pool, rw="randwrite", bs=64 * KIB, size=2 * changes(stage),
              io_size=changes(stage) // 16)
    stage.settle()


def resync(stage):
    """Both sites were promoted while neither saw the other; the one that loses takes what differs."""
    east, west = stage.pair
    synced(stage, ["dr-split"], 2 * changes(stage))
    write(stage.east, "dr-split", rw="write", bs=MIB, size=2 * changes(stage))
    east.sync("rbd/dr-split", timeout_s=SHIP_S)
    east.stop()
    farshore(west, "failover", "--yes", "rbd/dr-split")
    west.stop()
    east.start()
    farshore(east, "failover", "--yes", "rbd/dr-split")
    west.start()
    wait_for(lambda: east.group("rbd/dr-split")["state"] == "split_brain", 60, "a split brain")
    both_write(stage, "rbd")
    begun = time.monotonic()
    farshore(east, "resync", "--yes", "--from", "west", "rbd/dr-split")
    return time.monotonic() - begun


def mirror_resync(stage):
    """The copy was promoted by force; from its demotion until it is a complete copy again."""
    _, mirror = stage.rivals(("rbd-mirror",), None)
    stage.east.create("dr-split", 2 * changes(stage), POOL)
    write(stage.east, "dr-split", POOL, rw="write", bs=MIB, size=2 * changes(stage))
    mirror.images(["dr-split"])
    mirror.ship()
    rbd(stage.west, "mirror", "image", "promote", "--force", f"{POOL}/dr-split")
    both_write(stage, POOL)
    begun = time.monotonic()
    rbd(stage.west, "mirror", "image", "demote", f"{POOL}/dr-split")
    wanted = mirror.snapshot("dr-split")
    rbd(stage.west, "mirror", "image", "resync", f"{POOL}/dr-split")
    wait_for(lambda: mirror.complete("dr-split", wanted), SHIP_S, "a complete copy", every_s=0.05)
    took = time.monotonic() - begun
    mirror.check("dr-split")
    mirror.drop(["dr-split"])
    return took


def suite(stage, options):
    report, found = Report(), {}
    workloads = [w for w in chains(options.quick) if w.name in options.workloads]
    for run in range(options.runs):
        for workload in workloads:
            contestants = [(OURS, workload.ours)]
            if workload.theirs and workload.against in options.against:
                contestants.append((workload.against, workload.theirs))
            for who, measure in contestants if run % 2 == 0 else contestants[::-1]:
                stage.renew()
                figure = measure(stage)
                found.setdefault((workload.name, who), []).append(figure)
                note(f"{workload.name:<12} {who:<16} {workload.metric} {figure:.2f}")
    for workload in workloads:
        ours = statistics.median(found[workload.name, OURS])
        theirs = found.get((workload.name, workload.against))
        report.row(workload.name, workload.against, workload.metric, ours,
                   statistics.median(theirs) if theirs else 0)
    return report
