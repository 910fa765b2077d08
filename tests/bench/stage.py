# SPDX-License-Identifier: Apache-2.0
"""What all suites stand on: two clusters joined by a line, a daemon at each, rbd-mirror at the target."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness import GIB
from harness.daemon import DaemonPair
from harness.site import LAB, Site

from .cost import settle
from .diff import ExportDiff
from .farshore import Farshore
from .mirror import Mirror

# Of both stores, in a run: they take new room before they take what was freed.
RUN_BYTES = 45 * GIB


class Stage:
    """`line` has the options of tests/lab/wan. Everything is gone after close()."""

    def __init__(self, line, quick, policies=None, lanes="auto"):
        self.line = line
        self.quick = quick
        self.policies = policies
        self.lanes = lanes
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if not quick and free < RUN_BYTES:
            raise SystemExit(f"bench: needs {RUN_BYTES // GIB} GiB in {tempfile.gettempdir()}, which has {free // GIB}; "
                             "TMPDIR names another directory")
        self._open()

    def _open(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="farshore-bench-"))
        self.sites, self.pair, self.mirror = [], None, None
        try:
            self._run_lab("up", "--wan", self.line, "east", "west")
            for name in ("east", "west"):
                self.sites.append(Site(self.dir / "lab", name))
            self.east, self.west = self.sites
        except BaseException:
            self.close()
            raise

    def begin_anew(self):
        """Fresh clusters, on which nobody has left anything."""
        self.close()
        self._open()

    def _run_lab(self, command, *arguments):
        """What it says is not part of the result."""
        subprocess.run([LAB, command, "--dir", self.dir / "lab", *arguments], check=True,
                       stdin=subprocess.DEVNULL, stdout=sys.stderr)

    def renew(self):
        """Fresh daemons over empty pools: copies that the daemons hold are gone with theirs."""
        if self.pair:
            for daemon in self.pair:
                daemon.stop()
        for site in self.sites:
            site.renew_pools(("rbd",))
        self.pair = DaemonPair(*self.sites, self.dir / "run", policies=self.policies)
        for daemon in self.pair:
            for peer in daemon.config["peers"].values():
                peer["lanes"] = self.lanes
            daemon.write_config()
        self.pair.start()

    def rivals(self, names, limit):
        """Farshore, and those of these names; `limit` makes the one that is called so."""
        made = {"export-diff": lambda: ExportDiff(*self.sites),
                "export-diff-zstd": lambda: ExportDiff(*self.sites, through=["zstd", "-3", "-T0"]),
                "rbd-mirror": self._mirror,
                "limit": lambda: limit(*self.sites)}
        return [Farshore(self.pair), *(made[name]() for name in names)]

    def _mirror(self):
        """The same for the whole bench: it takes ten seconds until its first copy begins."""
        if not self.mirror:
            self.mirror = Mirror(*self.sites, self.dir / "mirror")
        return self.mirror

    def settle(self):
        if not self.quick:
            settle(*self.sites)

    def close(self):
        if self.pair:
            self.pair.kill()
        if self.mirror:
            self.mirror.stop()
        for site in self.sites:
            site.close()
        self._run_lab("down")
        shutil.rmtree(self.dir, ignore_errors=True)
