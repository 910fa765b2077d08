# SPDX-License-Identifier: Apache-2.0
"""The demonstration behind tests/demo: two sites, a labelled volume under a writer, points landing.

With --once: three points, both sites' bytes compared through librbd, a summary, exit status 0 only where
all of it is equal. Without: `farshore status` live until ^C."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import MIB, content, wait_for  # noqa: E402
from harness.daemon import DaemonPair, program  # noqa: E402
from harness.site import Site, lab  # noqa: E402
from harness.writer import Writer  # noqa: E402

INTERVAL_S = 3
POINTS = 3
LABELS = {"farshore.io/policy": "gold", "app": "shop"}
GROUP = "rbd/shop"


def say(text):
    print(f"-- {text}", flush=True)


def status(pair):
    return subprocess.run([program("farshore"), "-S", pair.west.config["control"], "status"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def compare_newest(east, west, pair):
    """Compares the newest point that both sites hold; false where there is none at this moment."""
    there = {p["id"]: p for p in pair.west.committed(GROUP)}
    common = [p for p in pair.east.committed(GROUP) if p["id"] in there]
    if not common:
        return False
    point = common[-1]
    digests = content.same_point((east, point), (west, there[point["id"]]))
    for volume in point["volumes"]:
        say(f"{point['name']} {volume['image']}: sha256 {digests[volume['uuid']][:16]} at both")
    return True


def once(east, west, pair, writer):
    say(f"waiting for {POINTS} points, one every {INTERVAL_S} s")
    seen = set()

    def enough():
        seen.update(p["id"] for p in pair.west.committed(GROUP))
        return len(seen) >= POINTS
    wait_for(enough, 120, lambda: f"{POINTS} points:\n{pair.east.log()}\n{pair.west.log()}")
    result = writer.stop()
    say("no more points; comparing the newest one with python3-rbd")
    subprocess.run([program("farshore"), "-S", pair.east.config["control"], "pause", GROUP],
                   check=True, stdin=subprocess.DEVNULL)
    wait_for(lambda: pair.east.group(GROUP)["sync"]["phase"] == "idle", 60, "the transfer's end")
    wait_for(lambda: compare_newest(east, west, pair), 60, "a point at both sites")
    print(status(pair))
    if result["failures"]:
        raise SystemExit(f"demo: the writer failed: {result['failures']}")
    say(f"{len(seen)} points committed; {result['writes']} writes by the VM's stand-in, none "
        f"failed, the longest took {1000 * result['longest_s']:.0f} ms; both sites equal")


def live(pair):
    while True:
        screen = status(pair)
        print(f"\033[H\033[J{screen}\nwest's metrics: http://{pair.west.config['http']}/metrics\n"
              f"east's metrics: http://{pair.east.config['http']}/metrics\n\n"
              f"try in another terminal:\n"
              f"  {program('farshore')} -S {pair.east.config['control']} status {GROUP}\n"
              f"  {program('farshore')} -S {pair.west.config['control']} points {GROUP}\n\n"
              "^C ends it and removes everything", flush=True)
        time.sleep(1)


def main():
    directory = tempfile.mkdtemp(prefix="farshore-demo-")
    sites, pair, writer = [], None, None
    try:
        say("two sites, each a real Ceph cluster on loopback")
        lab("up", f"{directory}/lab", "east", "west")
        sites += [Site(f"{directory}/lab", name) for name in ("east", "west")]
        east, west = sites
        say("a daemon at each, with certificates of one CA")
        pair = DaemonPair(east, west, f"{directory}/run", policies={
            "gold": {"interval": f"{INTERVAL_S}s", "group_by": "app"}}).start()
        say("two volumes of one application at east, labelled, under a writer")
        for name in ("shop-root", "shop-data"):
            east.create(name, 256 * MIB, labels=LABELS)
        writer = Writer(east, ["rbd/shop-root", "rbd/shop-data"], rate=200)
        pair.ready(GROUP)
        if "--once" in sys.argv[1:]:
            once(east, west, pair, writer)
        else:
            live(pair)
    except KeyboardInterrupt:
        print()
    finally:
        say("removing everything")
        if writer:
            writer.kill()
        if pair:
            pair.kill()
        for site in sites:
            site.close()
        lab("down", f"{directory}/lab")
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
