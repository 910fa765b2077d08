# SPDX-License-Identifier: Apache-2.0
"""A planned move on real clusters: the workload is stopped, the rest is shipped, and the other site has
every acknowledged write. Up to the switch a failure or an interruption leaves all as it was."""
import json
import signal
import subprocess
import threading

from harness import MIB, wait_for
from harness.daemon import program
from harness.linked import GROUP, NAMES, at_point, becomes, cut_off, head, role
from harness.tool import farshore
from harness.writer import sequence_number


def relocate(daemon, to, *arguments, timeout_s=120):
    done = farshore(daemon, "relocate", "--yes", "-o", "json", "--to", to, GROUP, *arguments,
                    timeout_s=timeout_s)
    assert done.returncode == 0, done.stderr + daemon.log(40)
    return json.loads(done.stdout)["groups"][0]


def number(site, name):
    with site.image(name, read_only=True) as image:
        return sequence_number(image)


def hooks(setup, daemon, **commands):
    daemon.config["policies"]["gold"]["on"] = commands
    daemon.reload()


def is_free(site):
    for name in NAMES:
        with site.image(name, read_only=True) as image:
            if image.list_lockers() or list(image.watchers_list()):
                return False
    return True


def test_relocate_under_load_there_and_back(linked, writer, workdir):
    setup = linked(policy={"retain": {"latest": 1}})
    pair, (east, west) = setup.pair, setup.sites
    busy = writer(east, [f"rbd/{name}" for name in NAMES], "mixed", rate=400)
    hooks(setup, pair.east, stop=f"kill -TERM {busy.process.pid}",
          demoted=f"echo $FARSHORE_GROUP > {workdir}/demoted")
    hooks(setup, pair.west, start=f"echo $FARSHORE_GROUP $FARSHORE_TERM > {workdir}/started")
    plan = farshore(pair.east, "relocate", "--dry-run", "--to", "west", GROUP)
    assert plan.returncode == 0 and "on.stop" in plan.stdout and "west becomes primary" in plan.stdout
    assert "downtime: about" in plan.stdout
    there = farshore(pair.west, "relocate", "--yes", "--to", "east", GROUP)
    assert there.returncode == 0 and "already: east is primary in term 1" in there.stdout
    assert farshore(pair.west, "relocate", "--yes", "--to", "west", GROUP).returncode == 3
    assert farshore(pair.east, "relocate", "--yes", "--to", "mars", GROUP).returncode == 3

    told = relocate(pair.east, "west")
    assert told["outcome"] == "relocated" and told["term"] == 2 and told["downtime_seconds"] > 0
    print("downtime", told["downtime_seconds"])
    result = busy.stop()
    assert not result["failures"], result
    role(pair.east, "secondary")
    becomes(pair.west, "role", "primary")
    wait_for(lambda: is_free(west), 20, "west's volumes are given to their users")
    # Not one acknowledged write is missing, and both sites hold the same.
    assert result["writes"] > 0
    assert [number(west, name) for name in NAMES] == [result["writes"]] * 2
    assert {n: head(west, n) for n in NAMES} == {n: head(east, n) for n in NAMES}
    wait_for(lambda: (workdir / "demoted").exists() and (workdir / "started").exists(), 20,
             "the hooks have run")
    assert (workdir / "started").read_text().split() == [GROUP, "2"]

    # It goes on in the other direction, and home again without a hook to stop anything.
    with west.image("data") as image:
        image.write(b"W" * MIB, 9 * MIB)
    told = relocate(pair.west, "east")
    assert told["term"] == 3
    role(pair.west, "secondary")
    wait_for(lambda: is_free(east), 20, "east's volumes are given to their users")
    assert {n: head(west, n) for n in NAMES} == {n: head(east, n) for n in NAMES}
    with east.image("data") as image:
        assert image.read(9 * MIB, MIB) == b"W" * MIB
        image.write(b"E" * 4096, 0)
    pair.synced(GROUP)
    newest = pair.west.committed(GROUP)[-1]
    assert newest["term"] == 3
    at_point(west, pair.west, newest["name"])
    for site in (east, west):  # nothing differed, so nothing was kept
        for name in NAMES:
            with site.image(name, read_only=True) as image:
                assert not [s for s in image.list_snaps() if ".left." in s["name"]]


def test_what_stops_a_relocation_leaves_all_as_it_was(linked, workdir):
    setup = linked(policy={"retain": {"latest": 1}})
    pair, (east, west) = setup.pair, setup.sites
    hooks(setup, pair.east, stop="echo cannot stop it; false",
          start=f"echo again >> {workdir}/started")
    pair.east.expect_error("event=hook_failed")
    failed = farshore(pair.east, "relocate", "--yes", "--to", "west", GROUP)
    assert failed.returncode == 1 and "cannot stop it" in failed.stderr
    assert "primary as before" in failed.stderr
    assert (workdir / "started").read_text() == "again\n"

    # A client that stays: the command is interrupted, and he was not touched.
    hooks(setup, pair.east, start=f"echo again >> {workdir}/started")
    with east.image("data") as image:
        image.write(b"x" * 4096, 0)
        asked = subprocess.Popen([program("farshore"), "-S", pair.east.config["control"], "relocate",
                                  "--yes", "--to", "west", GROUP],
                                 stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        lines = []
        thread = threading.Thread(target=lambda: lines.extend(asked.stderr))
        thread.start()
        wait_for(lambda: any("has it open" in line for line in lines), 30, lambda: f"said: {lines}")
        asked.send_signal(signal.SIGINT)
        asked.wait(timeout=20)
        thread.join(20)
        wait_for(lambda: (workdir / "started").read_text() == "again\n" * 2, 30,
                 "the workload is started again")
        image.write(b"y" * 4096, 4096)
    steps = [e["step"] for e in pair.east.request("history", group=GROUP)["history"]]
    assert steps[-1] == "failed"

    # The link goes while the workload stops: once it is back the move goes on, or is undone. Never two
    # primaries, never none.
    hooks(setup, pair.east, stop=f"touch {workdir}/stopped; sleep 2")
    said = []
    thread = threading.Thread(target=lambda: said.append(
        farshore(pair.east, "relocate", "--yes", "--to", "west", GROUP, timeout_s=300)))
    thread.start()
    wait_for((workdir / "stopped").exists, 30, "the workload is stopped")
    with cut_off(setup):
        wait_for(lambda: not pair.east.status()["peers"][0]["up"], 40, "the link is down")
    thread.join(200)
    roles = [pair.east.group(GROUP)["role"], pair.west.group(GROUP)["role"]]
    moved = said[0].returncode == 0
    assert roles == (["secondary", "primary"] if moved else ["primary", "secondary"]), said[0].stderr
    wait_for(lambda: is_free(west if moved else east), 20, "its volumes are given to their users")
