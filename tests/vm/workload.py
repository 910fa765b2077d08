# SPDX-License-Identifier: Apache-2.0
"""What Farshore protects here: the two disks of one virtual machine, a group with a point a second."""
import contextlib
import json
import os
import signal
import subprocess
import time

from harness import wait_for
from harness.daemon import program
from harness.guest import DISKS, SIZE
from harness.site import lab
from harness.tool import farshore

LABELS = {"farshore.io/policy": "gold", "app": "shop"}
POLICY = {"select": {"labels": "farshore.io/policy=gold"}, "group_by": "app", "interval": "1s",
          "retain": {"latest": 1}}
GROUP = "rbd/shop"
NAMES = [f"shop-{disk}" for disk in DISKS]
IMAGES = [f"rbd/{name}" for name in NAMES]


def create_disks(site):
    for name in NAMES:
        site.create(name, SIZE)
    for name in NAMES:  # discovery may look between the two
        site.label(name, LABELS)


def protect(daemons, hooks):
    """The daemons, with the same policy at both sites but for the hooks: by site, then by name."""
    pair = daemons(start=False)
    for daemon in pair:
        daemon.config["policies"]["gold"].update({**POLICY, "on": hooks.get(daemon.site.name, {})})
        daemon.write_config()
    return pair.start()


class Hook:
    """A command that asks the test for something and waits for it, as it would for a unit of systemd."""

    def __init__(self, directory, name):
        self.name = name
        self.asked, self.done = directory / f"{name}.asked", directory / f"{name}.done"
        self.command = f"touch {self.asked}; until [ -e {self.done} ]; do sleep 0.1; done"

    def answer(self, action, why):
        """Waits for the hook, does it, and gives back what came of it. why() says what is waited for."""
        wait_for(self.asked.exists, 90, lambda: f"the hook {self.name} is run: {why()}")
        result = action()
        self.done.touch()
        return result


def lose(daemon, lab_dir):
    """A whole site: the daemon, the helper that takes its points, the cluster."""
    processes = [int(line.split()[0]) for line in daemon.processes()]
    daemon.kill()
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for ceph in ("osd", "mon"):
        lab("kill", lab_dir, daemon.site.name, ceph)


# --- points ---------------------------------------------------------------------------------------


def newest(target, group=GROUP):
    """(term, sequence number) of the newest point that came to that daemon's site."""
    point = (target.group(group) or {}).get("recovery_point")
    return (point["term"], point["seq"]) if point else (0, 0)


def land(source, target, count, group=GROUP):
    """So many more points come to the target."""
    for _ in range(count):
        before = newest(target, group)
        wait_for(lambda b=before: newest(target, group) > b, 60,
                 lambda b=before: f"a point after {b}: {source.group(group)}\n{source.log(30)}\n"
                                  f"{target.log(30)}")


def at_work(daemons, guest, east, hooks=None):
    """The daemons, and a machine at east that writes, of which some points have landed."""
    create_disks(east)
    pair = protect(daemons, hooks or {})
    machine = guest(east, IMAGES, new=True)
    pair.ready(GROUP)
    machine.ready().write()
    land(pair.east, pair.west, 4)
    return pair, machine


@contextlib.contextmanager
def no_points(daemon, group=GROUP):
    """While a guest closes volumes of which that daemon takes points: librbd 16.2 aborts (AsyncOpTracker)
    where another client asks something of an image that is being closed."""
    daemon.request("pause", group=group)
    wait_for(lambda: daemon.group(group)["sync"]["phase"] == "idle", 60,
             lambda: f"idle: {daemon.group(group)}")
    yield
    daemon.request("resume", group=group)


def halt(daemon, guest):
    with no_points(daemon):
        guest.halt()


# --- operations -----------------------------------------------------------------------------------


def operate(daemon, *command, group=GROUP):
    """What the tool says of the group."""
    done = farshore(daemon, *command, "--yes", "-o", "json", group, timeout_s=300)
    assert done.returncode == 0, done.stderr + daemon.log()
    told, = json.loads(done.stdout)["groups"]
    return told


def begun(daemon, said, *command):
    """The same, under way; it writes to the file `said`. It ends with the `with` that it is in."""
    with open(said, "w", encoding="utf-8") as out:
        return subprocess.Popen([program("farshore"), "-S", daemon.config["control"], *command,
                                 "--yes", GROUP], stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def failover(daemon, fence="none", group=GROUP):
    """What it tells, and when it was asked."""
    asked = time.time()
    told = operate(daemon, "failover", f"--fence={fence}", group=group)
    assert told["outcome"] == "promoted"
    # What is lost is what came after the point, at most.
    assert 0 <= told["loss_seconds"] <= time.time() - told["taken_timestamp"]
    return told, asked


def becomes(daemon, role, group=GROUP):
    wait_for(lambda: (daemon.group(group) or {}).get("role") == role, 60,
             lambda: f"{role}: {daemon.group(group)}\n{daemon.log(20)}")


def fenced(daemon, group=GROUP):
    """The images whose users are proven to be out."""
    return {image for fence in daemon.group(group)["fences"] if fence["proven"]
            for image in fence["images"].split(", ")}


# --- what is on the disks -------------------------------------------------------------------------


def last_records(guest):
    """Of the journals on both disks, which are whole, on file systems without a fault. The guest writes one
    record at a time, to the first disk before the second."""
    guest.ready()
    assert guest.clean(), f"fsck: {guest}"
    first, second = guest.journals()
    assert first - 1 <= second <= first, f"not one instant: {first} and {second}"
    return first, second


def check_survivors(old, new, told, asked):
    """After a failover: what the old guest had acknowledged before the point, and before the loss that was
    told. Returns the last record that is there."""
    _, there = last_records(new)
    assert there >= old.last_before(told["taken_timestamp"])
    promised = old.last_before(asked - told["loss_seconds"])
    assert 0 < promised <= there, f"record {promised} was acknowledged in time, the last one is {there}"
    return there
