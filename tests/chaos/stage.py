# SPDX-License-Identifier: Apache-2.0
"""What the faults happen to: two clusters, a daemon at each, a link that can be spoilt, groups of
every kind, and their writers."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from harness import MIB, wait_for
from harness.daemon import CommandFailed, DaemonPair
from harness.proxy import Proxy
from harness.site import Site, lab
from harness.writer import Writer

POOLS = {"rbd": "rbd", "rbd/tenant": "rbd/far"}
MEMORY = 64 * MIB
# What waits for the slowest way back: a lease that runs out, a lock of a dead client that librbd
# breaks, a back-off.
HEAL_S = 150


class Finding(Exception):
    """Something that must not be, whatever was broken."""


class Group:
    def __init__(self, name, policy, images, mode=None, size=24 * MIB, rate=60):
        self.name, self.policy, self.mode, self.size, self.rate = name, policy, mode, size, rate
        self.images = images  # (pool, namespace, image)

    def specs(self):
        return ["/".join(part for part in image if part) for image in self.images]


GROUPS = (
    Group("rbd/single", "gold", [("rbd", "", "single")], "random", size=48 * MIB, rate=200),
    Group("rbd/trio", "silver", [("rbd", "", n) for n in ("a", "b", "c")], "mixed"),
    Group("rbd/idle", "gold", [("rbd", "", "idle")]),
    Group("rbd/tenant/inside", "bronze", [("rbd", "tenant", "inside")], "random"),
    Group("rbd/growing", "silver", [("rbd", "", "first")]),  # faults.Grow adds to it
)
POLICIES = {
    "gold": {"interval": "1s", "pools": dict(POOLS)},
    "silver": {"interval": "2s", "pools": dict(POOLS), "group_by": "app"},
    "bronze": {"interval": "3s", "pools": dict(POOLS)},
}


class Stage:
    def __init__(self, seed):
        self.seed = seed
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="farshore-chaos-"))
        self.begun = time.monotonic()
        self.sites = []
        self.pair = self.proxy = None
        self.writers = {}
        self.held = []     # (from, to) on the monotonic clock: when writers may well stand still
        self.peaks = {}    # site name: most memory that one of its daemons ever had, bytes
        self.digests = {}  # (point id, volume uuid): sha256, once both sites had it

    def say(self, text):
        print(f"{time.monotonic() - self.begun:7.1f} s  {text}", flush=True)

    # --- up and down --------------------------------------------------------------------------

    def up(self):
        lab("up", self.dir / "lab", "east", "west")
        self.sites = [Site(self.dir / "lab", name) for name in ("east", "west")]
        self.make_volumes()
        os.environ.setdefault("FARSHORE_TEST_OBJECT_IO", ("auto", "off")[self.seed // 2 % 2])
        self.pair = DaemonPair(*self.sites, self.dir / "run", policies=POLICIES,
                               limits={"memory": f"{MEMORY // MIB} MiB"},
                               # Loopback is never scarce: by turns with deltas all the time.
                               settings={"compression": {"delta": "always"}} if self.seed % 2 else {})
        for daemon in self.pair:  # of use in builds that have fault points
            daemon.environment["FARSHORE_FAULT"] = f"@{self.armed(daemon.site.name)}"
            daemon.environment["FARSHORE_FAULT_CLOCK"] = str(daemon.dir / "clock")
        self.proxy = Proxy(int(self.west.config["listen"].rpartition(":")[2]))
        self.east.config["peers"]["west"]["endpoints"] = [f"127.0.0.1:{self.proxy.port}"]
        self.east.write_config()
        self.pair.start()
        for number, group in enumerate(GROUPS):
            if group.mode:
                self.writers[group.name] = Writer(self.sites[0], group.specs(), mode=group.mode,
                                                  rate=group.rate, seed=self.seed + number)
        for group in GROUPS:
            self.pair.ready(group.name, timeout_s=HEAL_S)
        self.say(f"up in {self.dir}")

    def make_volumes(self):
        east, west = self.sites
        east.create_namespace("tenant")
        west.create_namespace("far")
        for group in GROUPS:
            for image in group.images:
                self.make_volume(group, *image)

    def make_volume(self, group, pool, namespace, name):
        labels = {"farshore.io/policy": group.policy, "app": group.name.rpartition("/")[2]}
        self.sites[0].create(name, group.size, pool, namespace)
        # Block 0 is the sequence's.
        self.sites[0].fill(name, pool, namespace, ranges=((4 * MIB, 12 * MIB),))
        self.sites[0].label(name, labels, pool, namespace)

    def down(self, keep):
        with contextlib.ExitStack() as stack:  # each is done, whatever happens to the others
            if not keep:
                stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
            stack.callback(lab, "down", self.dir / "lab")
            for site in self.sites:
                stack.callback(site.close)
            for daemon in self.pair or ():
                stack.callback(daemon.kill)
            for writer in self.writers.values():
                stack.callback(writer.kill)
            if self.proxy:
                stack.callback(self.proxy.close)

    # --- who is who ---------------------------------------------------------------------------

    @property
    def east(self):
        return self.pair.east

    @property
    def west(self):
        return self.pair.west

    def daemon(self, site):
        return getattr(self.pair, site)

    def site(self, name):
        return self.daemon(name).site

    def lab(self, command, site, daemon):
        lab(command, self.dir / "lab", site, daemon)

    # --- the daemons' life --------------------------------------------------------------------

    def note_peak(self, site):
        """Before a daemon ends, and now and then."""
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{self.daemon(site).process.pid}/status").open():
                if line.startswith("VmHWM:"):
                    self.peaks[site] = max(self.peaks.get(site, 0), int(line.split()[1]) << 10)

    def kill(self, site):
        self.note_peak(site)
        if not self.daemon(site).running():
            raise Finding(f"{site}'s daemon had ended by itself")
        self.daemon(site).kill()

    def start(self, site):
        """Not waited for: its cluster may be away."""
        self.daemon(site).start(wait=False)

    def armed(self, site):
        """The file that names the step at which the daemon ends itself; it removes the file then."""
        return self.daemon(site).dir / "fault"

    def arm(self, site, step):
        self.note_peak(site)
        self.armed(site).write_text(step)

    def fired(self, site):
        return not self.armed(site).exists()

    def disarm(self, site):
        self.armed(site).unlink(missing_ok=True)

    def revive(self, site):
        """After a step: it was the daemon that ended by it, or its helper, or nobody."""
        daemon = self.daemon(site)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if daemon.process.wait(1) == -signal.SIGKILL:
                self.start(site)

    def set_clock(self, site, offset_s):
        clock = self.daemon(site).dir / "clock"
        clock.with_suffix(".new").write_text(str(offset_s))
        clock.with_suffix(".new").rename(clock)

    def check_running(self):
        for daemon in self.pair:
            if not daemon.running():
                raise Finding(f"{daemon.site.name}'s daemon ended by itself with status "
                              f"{daemon.process.returncode}")
            self.note_peak(daemon.site.name)
        for name, writer in self.writers.items():
            if writer.process.poll() is not None:
                raise Finding(f"the writer of {name} ended: {writer.process.stdout.read()}")

    # --- replication --------------------------------------------------------------------------

    def behind(self, since, seqs):
        """Groups whose newest point is not known to be newer than that moment, with the reason.
        seqs remembers the points that were there when a group was first seen."""
        behind = {}
        for daemon in self.pair:
            site = daemon.site.name
            try:
                status = daemon.status()
            except (OSError, CommandFailed, ConnectionError) as e:
                behind[site] = f"does not answer: {e}"
                continue
            found = {g["name"]: g for g in status["groups"]}
            for group in GROUPS:
                said = found.get(group.name)
                lag = said.get("rpo_lag_seconds") if said else None
                seq = said["recovery_point"]["seq"] if lag is not None else 0
                # A lag is by a clock, and clocks jump: what has a writer has new points, too.
                old = group.mode and seq == seqs.setdefault(f"{group.name} at {site}", seq)
                # A disk that was added is one of the group's by then, and no group of its own.
                grows = said and (len(said["volumes"]) < len(group.images) or
                                  any(name.startswith(f"{group.name}+") for name in found))
                if lag is None or lag > time.monotonic() - since or old or grows or \
                        said["state"] not in ("ok", "syncing", "late"):
                    behind[f"{group.name} at {site}"] = said and \
                        f"{said['state']}, lag {lag}, seq {seq}: {said.get('reason')}, " \
                        f"{said['sync']}"
        return behind

    def heal(self):
        """Waits until every group has moved on; returns how long that took."""
        since, seqs = time.monotonic(), {}
        while behind := self.behind(since, seqs):
            self.check_running()
            if time.monotonic() - since > HEAL_S:
                raise Finding(f"not healed {HEAL_S} s after the fault was over:\n" +
                              "\n".join(f"  {k}: {v}" for k, v in behind.items()))
            time.sleep(0.25)
        self.check_running()
        return time.monotonic() - since

    @contextlib.contextmanager
    def still(self):
        """No group takes or ships anything meanwhile; a source's points stay as they are."""
        names = [g.name for g in GROUPS]
        for name in names:
            wait_for(lambda n=name: self.told("pause", n), HEAL_S, f"{name} can be paused")
        wait_for(lambda: all(g["sync"]["phase"] == "idle" for d in self.pair
                             for g in d.status()["groups"]), HEAL_S,
                 lambda: f"all are idle: {[d.status()['groups'] for d in self.pair]}")
        yield
        for name in names:
            wait_for(lambda n=name: self.told("resume", n), HEAL_S, f"{name} can be resumed")

    def told(self, command, group):
        try:
            self.east.request(command, group=group)
            return True
        except (OSError, ConnectionError, CommandFailed):
            return False

    # --- writers ------------------------------------------------------------------------------

    def signal_writer(self, group, number):
        self.writers[group].process.send_signal(number)

    def stop_writers(self):
        """What each said in the end. None of them may have failed, or stood still without need."""
        said = {}
        for name, writer in self.writers.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(writer.process.pid, signal.SIGCONT)
            said[name] = writer.stop()
        return said
