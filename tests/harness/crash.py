# SPDX-License-Identifier: Apache-2.0
"""Daemons that are killed at named steps (farshore/fault.h), in builds that have them."""
import subprocess
import tempfile

from . import wait_for
from .daemon import DaemonPair, program
from .end import check_end

# The steps of operations (test_crash_operations.py); the others are of a point's life.
OPERATIONS = ("promote.", "supersede.", "drill.", "follow.", "demote.", "grant.", "undo.", "fence.",
              "unfence.")
# Those of test_quiesce.py, test_forget.py, test_join.py and tests/kube/test_objects.py.
ELSEWHERE = ("quiesce.", "forget.", "join.", "objects.")


def catalogue():
    """(name, who) of every step, as the daemon tells them; none in a build without them."""
    try:
        listed = subprocess.run([program("farshored"), "--fault-points"], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return [tuple(line.split("\t")[:2]) for line in listed.stdout.splitlines()]


def arm(daemon, step):
    """The process that passes the step next dies there."""
    daemon.fault.write_text(step)


def passed(daemon, step, timeout_s=60):
    """Waits until somebody has died there: the daemon, or the helper that works for it."""
    wait_for(lambda: not daemon.fault.exists(), timeout_s,
             lambda: f"{step} is passed:\n{daemon.log(30)}", every_s=0.02)


def killed(daemon, step, timeout_s=60):
    """Waits until the daemon has died there."""
    passed(daemon, step, timeout_s)
    wait_for(lambda: not daemon.running(), 10, "the daemon ends", every_s=0.02)


class Shared:
    """One pair of daemons for many steps, each with a group of its own. A step that fails costs the
    pair: whoever finds that calls drop(), and the next get() begins with a fresh one."""

    def __init__(self, clusters, policy, at_west=None):
        self.clusters, self.policy, self.at_west = clusters, policy, at_west or {}
        self.pair = None
        self.made = 0
        self.directory = tempfile.TemporaryDirectory(prefix="farshore-crash-")

    def get(self):
        if self.pair is None:
            for site in self.clusters:
                site.renew_pools()
            self.made += 1
            self.pair = DaemonPair(*self.clusters, f"{self.directory.name}/{self.made}",
                                   policies={"gold": self.policy})
            self.pair.west.config["policies"]["gold"].update(self.at_west)
            self.pair.west.write_config()
            for daemon in self.pair:
                daemon.fault = daemon.dir / "fault"
                daemon.environment["FARSHORE_FAULT"] = f"@{daemon.fault}"
            self.pair.start()
        return self.pair

    def drop(self):
        pair, self.pair = self.pair, None
        if pair:
            pair.kill()
            for daemon in pair:
                print(f"--- log of {daemon.site.name}", daemon.log(60), sep="\n")

    def end(self):
        pair, self.pair = self.pair, None
        try:
            if pair:
                check_end(pair, *self.clusters)
        finally:
            if pair:
                pair.kill()
            self.directory.cleanup()
