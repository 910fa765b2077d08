# SPDX-License-Identifier: Apache-2.0
"""What is broken, and how it heals. A fault draws everything that it does from the random numbers
that it is made with, so that a seed and a step's number always name the same fault."""
import contextlib
import os
import random
import signal
import subprocess
import threading
import time

from harness import MIB, wait_for
from harness.daemon import program
from harness.proxy import BACK, OUT
from stage import GROUPS

WRITTEN = [g for g in GROUPS if g.mode]
# Clients of a cluster that was away need a moment to find their way back.
RETURN_S = 15
LARGEST = 96 * MIB
MOST_DISKS = 8


class Fault:
    weight = 2
    area = None  # faults of one area do not meet

    def __init__(self, source):
        self.source = source
        self.seconds = 0.0
        self.site = source.choice(("east", "west"))

    def __str__(self):
        return self.describe() + (f" for {self.seconds:.1f} s" if self.seconds else "")

    def describe(self):
        return type(self).__name__

    def begin(self, stage):
        raise NotImplementedError

    def heal(self, stage):
        pass


# --- the daemons ---------------------------------------------------------------------------------


class Kill(Fault):
    """kill -9 at any moment; it is away for a while."""
    weight, area = 5, "daemon"

    def __init__(self, source):
        super().__init__(source)
        self.sites = source.choice((["east"], ["west"], ["east", "west"]))
        self.after = source.uniform(0, 2)
        self.seconds = source.choice((0, source.uniform(0, 8)))

    def describe(self):
        return f"kill -9 of the daemon at {' and '.join(self.sites)} after {self.after:.2f} s"

    def begin(self, stage):
        time.sleep(self.after)
        for site in self.sites:
            stage.kill(site)

    def heal(self, stage):
        for site in self.sites:
            stage.start(site)


class Restart(Fault):
    area = "daemon"

    def describe(self):
        return f"SIGTERM and start of the daemon at {self.site}"

    def begin(self, stage):
        stage.note_peak(self.site)
        stage.daemon(self.site).stop()

    def heal(self, stage):
        stage.start(self.site)


class KillAtStep(Fault):
    """The daemon, or its helper, ends itself exactly there; twice, where it comes that way again."""
    weight, area = 6, "daemon"

    def __init__(self, source):
        super().__init__(source)
        self.step, who = source.choice(steps())
        self.site = {"SOURCE": "east", "HELPER": "east", "TARGET": "west"}.get(who, self.site)
        self.nth = source.randint(1, 3)
        self.again = source.random() < 0.3
        self.hits = 0

    def describe(self):
        return f"{self.site} killed at {self.step}, passage {self.nth}" + \
            (", and again" if self.again else "")

    def begin(self, stage):
        for _ in range(1 + self.again):
            stage.arm(self.site, f"{self.step}:{self.nth}")
            with contextlib.suppress(TimeoutError):  # not every step is on the way
                wait_for(lambda: stage.fired(self.site), 12, "")
                self.hits += 1
            stage.disarm(self.site)
            stage.revive(self.site)

    def heal(self, stage):
        stage.say(f"  {self.step} was hit {self.hits} times")


# Steps of operations on groups, and of what is not configured here.
OPERATIONS = ("demote.", "drill.", "fence.", "follow.", "forget.", "grant.", "join.", "left.", "objects.", "promote.",
              "quiesce.", "supersede.", "undo.", "unfence.")


def steps():
    """(name, who) of the daemon's fault points that are on the way; a build without them has none."""
    if steps.found is None:
        listed = subprocess.run([program("farshored"), "--fault-points"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                check=False)
        lines = listed.stdout.splitlines() if listed.returncode == 0 else []
        steps.found = [tuple(line.split("\t")[:2]) for line in lines
                       if not line.startswith(OPERATIONS)]
    return steps.found


steps.found = None


class KillHelper(Fault):
    """The process that takes the snapshots, in the middle of one."""
    area = "daemon"

    def __init__(self, source):
        super().__init__(source)
        self.after = source.uniform(0, 0.2)

    def describe(self):
        return f"kill -9 of the snapshot helper {1000 * self.after:.0f} ms after it appeared"

    def begin(self, stage):
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                helpers = wait_for(lambda: children(stage.east.process.pid), 5, "", every_s=0.002)
                time.sleep(self.after)
                for helper in helpers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(helper, signal.SIGKILL)


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), \
                    open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as listed:
                found += [int(child) for child in listed.read().split()]
    return found


class StopDaemon(Fault):
    """SIGSTOP and SIGCONT, now and then for longer than its lease."""
    area = "daemon"

    def __init__(self, source):
        super().__init__(source)
        self.seconds = source.choice((source.uniform(1, 12), source.uniform(12, 40)))

    def describe(self):
        return f"daemon at {self.site} stopped"

    def begin(self, stage):
        stage.daemon(self.site).process.send_signal(signal.SIGSTOP)

    def heal(self, stage):
        stage.daemon(self.site).process.send_signal(signal.SIGCONT)


class Blocklist(Fault):
    """Every client instance of the site's daemon, as if another had taken over."""
    area = "daemon"

    def describe(self):
        return f"{self.site}'s own client instances blocklisted"

    def begin(self, stage):
        site = stage.site(self.site)
        for address in site.instances():
            site.block(address)


class Clock(Fault):
    """The daemon's wall clock jumps by hours, and back."""
    area = "daemon"

    def __init__(self, source):
        super().__init__(source)
        self.offset_s = source.choice((-1, 1)) * source.randint(60, 5 * 3600)
        self.seconds = source.uniform(4, 15)

    def describe(self):
        return f"clock of the daemon at {self.site} off by {self.offset_s} s"

    def begin(self, stage):
        stage.set_clock(self.site, self.offset_s)

    def heal(self, stage):
        stage.set_clock(self.site, 0)


# --- the link ------------------------------------------------------------------------------------


class Cuts(Fault):
    """The connection is cut at some byte, again and again."""
    weight, area = 4, "link"

    def __init__(self, source):
        super().__init__(source)
        self.counts = [int(2 ** source.uniform(0, 22)) for _ in range(source.randint(1, 6))]

    def describe(self):
        return f"link cut after {', '.join(map(str, self.counts))} bytes"

    def begin(self, stage):
        for count in self.counts:
            before = stage.proxy.cuts
            stage.proxy.cut_after(count)
            with contextlib.suppress(TimeoutError):
                wait_for(lambda b=before: stage.proxy.cuts > b, 8, "")

    def heal(self, stage):
        stage.proxy.heal()


class Link(Fault):
    area = "link"
    what = ""

    def __init__(self, source):
        super().__init__(source)
        self.seconds = source.choice((source.uniform(1, 8), source.uniform(8, 35)))
        self.directions = source.choice(((OUT,), (BACK,), (OUT, BACK)))

    def describe(self):
        return f"link {self.what} ({' and '.join(self.directions)})"

    def heal(self, stage):
        stage.proxy.heal()


class Hold(Link):
    what = "stands still"

    def begin(self, stage):
        stage.proxy.hold(*self.directions)


class Swallow(Link):
    what = "swallows every byte"

    def begin(self, stage):
        stage.proxy.swallow(*self.directions)


class HalfOpen(Link):
    what = "is half-open"

    def __init__(self, source):
        super().__init__(source)
        self.directions = self.directions[:1]
        self.seconds = 0.0

    def begin(self, stage):
        stage.proxy.half_open(*self.directions)


class Refuse(Link):
    what = "refuses connections"

    def begin(self, stage):
        stage.proxy.refuse()
        stage.proxy.cut()


class Slow(Link):
    def __init__(self, source):
        super().__init__(source)
        self.rate = int(2 ** source.uniform(13, 20))

    def describe(self):
        return f"link slow, {self.rate} bytes/s"

    def begin(self, stage):
        stage.proxy.slow(self.rate)


class Flap(Link):
    def __init__(self, source):
        super().__init__(source)
        self.seconds = source.uniform(4, 20)
        self.numbers = source.randrange(1 << 30)
        self.ended = threading.Event()
        self.thread = None

    def describe(self):
        return "link flaps every second"

    def begin(self, stage):
        self.thread = stage.proxy.flap(self.ended, self.numbers)

    def heal(self, stage):
        self.ended.set()
        self.thread.join()
        stage.proxy.heal()


# --- the clusters --------------------------------------------------------------------------------


class ClusterFault(Fault):
    area = "cluster"

    def __init__(self, source):
        super().__init__(source)
        self.daemon = source.choice(("mon", "osd", "osd"))
        self.begun = None

    def begin(self, stage):
        self.begun = time.monotonic()

    def heal(self, stage):
        if self.site == "east":  # the writers' cluster
            stage.held.append((self.begun, time.monotonic() + RETURN_S))


class KillCeph(ClusterFault):
    weight = 3

    def __init__(self, source):
        super().__init__(source)
        self.seconds = source.choice((0, source.uniform(1, 10), source.uniform(10, 40)))

    def describe(self):
        return f"{self.site}'s {self.daemon} killed"

    def begin(self, stage):
        super().begin(stage)
        stage.lab("kill", self.site, self.daemon)

    def heal(self, stage):
        stage.lab("start", self.site, self.daemon)
        super().heal(stage)


class StopCeph(ClusterFault):
    """An OSD not for longer than its read lease lasts after a renewal (8 of 16 s): in a pool of one
    replica a placement group whose lease ran out stays `laggy` for ever (16.2), and all wait."""

    def __init__(self, source):
        super().__init__(source)
        self.seconds = source.uniform(1, 6 if self.daemon == "osd" else 15)

    def describe(self):
        return f"{self.site}'s {self.daemon} stopped"

    def begin(self, stage):
        super().begin(stage)
        stage.lab("pause", self.site, self.daemon)

    def heal(self, stage):
        stage.lab("continue", self.site, self.daemon)
        super().heal(stage)


class Full(ClusterFault):
    def __init__(self, source):
        super().__init__(source)
        self.seconds = source.choice((source.uniform(1, 8), source.uniform(8, 45)))

    def describe(self):
        return f"{self.site}'s pools full"

    def begin(self, stage):
        super().begin(stage)
        stage.site(self.site).set_full(True)

    def heal(self, stage):
        stage.site(self.site).set_full(False)
        super().heal(stage)


# --- the volumes and their users -----------------------------------------------------------------


class StopWriter(Fault):
    area = "volume"

    def __init__(self, source):
        super().__init__(source)
        self.group = source.choice(WRITTEN).name
        self.seconds = source.choice((source.uniform(1, 10), source.uniform(10, 45)))
        self.begun = None

    def describe(self):
        return f"writer of {self.group} stopped"

    def begin(self, stage):
        self.begun = time.monotonic()
        stage.signal_writer(self.group, signal.SIGSTOP)

    def heal(self, stage):
        stage.signal_writer(self.group, signal.SIGCONT)
        stage.held.append((self.begun, time.monotonic() + RETURN_S))


class Volume(Fault):
    """Something that users and operators do to an image; with the link or a daemon gone, too."""
    area = "volume"

    def __init__(self, source):
        super().__init__(source)
        self.group = source.choice(GROUPS)
        self.image = source.choice(self.group.images)

    def describe(self):
        return f"{type(self).__name__.lower()} of {'/'.join(filter(None, self.image))}"

    def begin(self, stage):
        pool, namespace, name = self.image
        with stage.sites[0].image(name, pool, namespace) as image:
            self.change(image)

    def change(self, image):
        raise NotImplementedError


class Resize(Volume):
    def __init__(self, source):
        super().__init__(source)
        self.more = source.randint(1, 3 * MIB // 512) * 512
        self.shrink = source.random() < 0.5

    def change(self, image):
        # A shrink under a writer would fail the writer, and rightly.
        if self.shrink and not self.group.mode and image.size() > 8 * MIB:
            image.resize(image.size() - self.more)
        elif image.size() < LARGEST:
            image.resize(image.size() + self.more)


class Discard(Volume):
    def __init__(self, source):
        super().__init__(source)
        self.at, self.length = source.random(), source.randint(4096, 6 * MIB)

    def change(self, image):
        offset = 4096 + int(self.at * (image.size() - 8192))  # block 0 is the sequence's
        image.discard(offset, min(self.length, image.size() - offset))


class Snapshot(Volume):
    """A foreign one comes, and an older foreign one goes."""

    def __init__(self, source):
        super().__init__(source)
        self.name = f"user-{source.randrange(1 << 30)}"

    def change(self, image):
        image.create_snap(self.name)
        foreign = [s["name"] for s in image.list_snaps() if s["name"].startswith("user-")]
        for name in foreign[:-2]:
            image.remove_snap(name)


class Rollback(Volume):
    """Of the idle image, to its newest foreign snapshot."""

    def __init__(self, source):
        super().__init__(source)
        self.group = next(g for g in GROUPS if not g.mode)
        self.image = self.group.images[0]

    def change(self, image):
        foreign = [s["name"] for s in image.list_snaps() if s["name"].startswith("user-")]
        if foreign:
            image.rollback_to_snap(foreign[-1])


class Grow(Fault):
    """A disk is added to a group; another fault, a step's second, may meet it while it joins."""
    area, weight = "volume", 3

    def __init__(self, source):
        super().__init__(source)
        self.group = next(g for g in GROUPS if g.name == "rbd/growing")

    def describe(self):
        return f"a disk is added to {self.group.name}"

    def begin(self, stage):
        if len(self.group.images) < MOST_DISKS:
            image = ("rbd", "", f"grown-{len(self.group.images)}")
            stage.make_volume(self.group, *image)
            self.group.images.append(image)


FAULTS = (Kill, Restart, KillAtStep, KillHelper, StopDaemon, Blocklist, Clock, Cuts, Hold, Swallow,
          HalfOpen, Refuse, Slow, Flap, KillCeph, StopCeph, Full, StopWriter, Resize, Discard,
          Snapshot, Rollback, Grow)
# A client that the test itself makes would wait for the cluster, or break a stopped writer's lock.
APART = ({"cluster", "volume"},)


def drawn(seed, step):
    """The faults of a step, begun in this order and healed in the opposite one."""
    source = random.Random(f"{seed}/{step}")
    kinds = [k for k in FAULTS if k not in (KillAtStep, Clock) or steps()]
    chosen = [draw(source, kinds)]
    if source.random() < 0.35:
        other = draw(source, kinds)
        areas = {chosen[0].area, other.area}
        if len(areas) == 2 and areas not in APART:
            chosen.append(other)
    return sorted(chosen, key=lambda fault: fault.area != "volume")


def draw(source, kinds):
    kind = source.choices(kinds, [k.weight for k in kinds])[0]
    return kind(random.Random(source.random()))
