# SPDX-License-Identifier: Apache-2.0
"""farshored of one site: its configuration, its life, its control socket and its log."""
import collections
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import yaml

from . import SOURCE, wait_for

READY_S = 20
STOP_S = 5
CERTS = SOURCE / "tests/lab/certs"
REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")


class CommandFailed(Exception):
    def __init__(self, exit_status, message):
        super().__init__(f"exit {exit_status}: {message}")
        self.exit_status = exit_status


def build_dir():
    """Where the programs are: FARSHORE_BUILD, or the debug preset's."""
    return pathlib.Path(os.environ.get("FARSHORE_BUILD", SOURCE / "build/debug")).resolve()


def program(name):
    path = build_dir() / {"farshored": "daemon", "farshore": "daemon/tool",
                          "find_extents": "tests/bench"}[name] / name
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: build it, or set FARSHORE_BUILD")
    return path


def free_port():
    """Below the ephemeral range and above the lab's blocks; not one that was given lately, here or in a
    test beside this one, whose daemon may not listen yet: the name of an abstract socket keeps it."""
    while True:
        port = random.randrange(32000, 32760)
        token = socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                token.bind(f"\0farshore-port-{port}")
                s.bind(("127.0.0.1", port))
            except OSError:
                token.close()
                continue
        free_port.given.append(token)
        return port


free_port.given = collections.deque(maxlen=64)


class Daemon:
    def __init__(self, site, directory, config, environment=None):
        self.site = site
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.config_file = self.dir / "farshored.yaml"
        self.log_file = self.dir / "log"
        self.config = config
        self.program = program("farshored")
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.expected_errors = []
        self.write_config()

    def write_config(self):
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    # --- life ---------------------------------------------------------------------------------

    def start(self, wait=True):
        with open(self.log_file, "ab") as log, self.site.entered():
            # It ends with the test's process, however that ends: the next test has the clusters alone.
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", self.program,
                                             "-c", self.config_file],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.dir, env=self.environment)
        if wait:
            wait_for(self.answers, READY_S, lambda: f"{self.site.name} answers:\n{self.log()}")
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.site.name}'s daemon ended with {self.process.returncode}:\n"
                               f"{self.log()}")
        try:
            return self.status()["site"]["cluster"] == "up"
        except (OSError, CommandFailed):
            return False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; returns how long it took. It must be at most STOP_S and end with 0."""
        if not self.running():
            return 0.0
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S + 15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.site.name}'s daemon ignored SIGTERM:\n{self.log()}")
        took = time.monotonic() - begun
        assert code == 0, f"{self.site.name}'s daemon ended with {code}:\n{self.log()}"
        return took

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def reload(self):
        self.write_config()
        seen = len(self.events("reloaded"))
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(self.events("reloaded")) > seen, 10, "reloaded")

    # --- asking -------------------------------------------------------------------------------

    def request(self, command, timeout_s=120, **arguments):
        """The `result` of a control command; progress lines are skipped."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout_s)
            s.connect(str(self.config["control"]))
            s.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            with s.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if "exit" in answer:
                        if answer["exit"] != 0:
                            raise CommandFailed(answer["exit"], answer.get("error", ""))
                        return answer.get("result")
        raise ConnectionError("the daemon closed the control connection without an answer")

    def status(self):
        return self.request("status")

    def group(self, name):
        """The group's part of the status, or None."""
        return next((g for g in self.status()["groups"] if g["name"] == name), None)

    def points(self, group):
        return self.request("points", group=group)["points"]

    def committed(self, group):
        return [p for p in self.points(group) if p["state"] == "committed"]

    def sync(self, group, timeout_s=120):
        return self.request("sync", timeout_s=timeout_s, group=group, wait=True)

    def http(self, path, timeout_s=10):
        url = f"http://{self.config['http']}{path}"
        with self.site.entered(), urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return answer.read().decode()

    # --- the log ------------------------------------------------------------------------------

    def log(self, lines=60):
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def events(self, name):
        return [line for line in self.log(10**9).splitlines()
                if re.search(rf"\bevent={name}\b", line)]

    def expect_error(self, pattern):
        self.expected_errors.append(re.compile(pattern))

    def complaints(self):
        """Lines of the log that a good run does not have."""
        return [line for line in self.log(10**9).splitlines()
                if REPORTS.search(line) or
                (re.search(r"\blevel=error\b", line) and
                 not any(e.search(line) for e in self.expected_errors))]

    def processes(self):
        """Every process that runs with this daemon's directory or is its child."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if re.search(r"farshored |farshore-take", line) and str(self.site.conf) in line \
                        or str(self.config_file) in line:
                    found.append(f"{entry.name} {line}")
        return found


@functools.cache
def authority(*names):
    """A directory with certificates of these sites, to be copied; made once, which takes a while."""
    made = tempfile.TemporaryDirectory(prefix="farshore-certs-")
    subprocess.run([CERTS, made.name, *names], check=True, stdin=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return made


class DaemonPair:
    """One daemon at east (primary of what tests label) and one at west; west listens."""

    def __init__(self, east, west, directory, policies=None, limits=None, environment=None,
                 settings=None):
        self.dir = pathlib.Path(directory)
        shutil.copytree(authority(east.name, west.name).name, self.dir / "certs",
                        dirs_exist_ok=True)
        wire = free_port()
        self.policies = {"gold": {}, **(policies or {})}
        self.east = self._daemon(east, west, limits, environment, settings,
                                 endpoints=[f"{west.address}:{wire}"])
        self.west = self._daemon(west, east, limits, environment, settings,
                                 listen=f"{west.address}:{wire}")

    def _daemon(self, site, peer, limits, environment, settings, endpoints=None, listen=None):
        directory = self.dir / site.name
        object_io = os.environ.get("FARSHORE_TEST_OBJECT_IO")  # a suite runs with it off, too
        delta = os.environ.get("FARSHORE_TEST_DELTA")  # and with deltas always
        config = {
            "site": site.name,
            "ceph": {"conf": str(site.conf), "user": "farshore", "state_pool": "rbd",
                     **({"object_io": object_io} if object_io else {})},
            "http": f"127.0.0.1:{free_port()}",
            "tls": {"cert": str(self.dir / f"certs/{site.name}.crt"),
                    "key": str(self.dir / f"certs/{site.name}.key"),
                    "ca": str(self.dir / "certs/ca.crt")},
            "peers": {peer.name: {"endpoints": endpoints} if endpoints else {}},
            "control": str(directory / "control.sock"),
            "discovery": [{"source": "images", "interval": "1s"}],
            "policies": {},
            **({"compression": {"delta": delta}} if delta else {}),
            **(settings or {}),
        }
        if listen:
            config["listen"] = listen
        if limits:
            config["limits"] = limits
        for name, more in self.policies.items():
            policy = {"peer": peer.name, "pools": {"rbd": "rbd", "rbd2": "rbd2"},
                      "interval": "1h", "retain": {"latest": 3}, **more}
            if endpoints:
                policy.setdefault("select", {"labels": f"farshore.io/policy={name}"})
            else:
                policy.pop("select", None)
                policy.pop("group_by", None)
            config["policies"][name] = policy
        return Daemon(site, directory, config, environment)

    def start(self):
        self.west.start(wait=False)
        self.east.start()
        wait_for(self.west.answers, READY_S, lambda: f"west answers:\n{self.west.log()}")
        self.wait_for_session()
        return self

    def wait_for_session(self):
        wait_for(lambda: self.east.status()["peers"][0]["up"], 20,
                 lambda: f"the session is up:\n{self.east.log()}\n{self.west.log()}")

    def __iter__(self):
        return iter((self.east, self.west))

    def ready(self, group, timeout_s=60):
        """Waits until a first point of the group is committed at the target."""
        def state():
            return f"{group} has a point; east: {self.east.group(group)}\n{self.east.log(25)}\n" \
                   f"west:\n{self.west.log(25)}"

        def first():
            found = self.west.group(group)
            return found and "recovery_point" in found and found["recovery_point"]
        return wait_for(first, timeout_s, state)

    def synced(self, group, timeout_s=40):
        """A point from now on is at the peer, whatever sessions come and go meanwhile."""
        def done():
            try:
                return self.east.sync(group)
            except CommandFailed as failed:
                if not re.search("no session|no group|does not work now", str(failed)):
                    raise
                return None
        return wait_for(done, timeout_s, lambda: f"{group} is synced:\n{self.east.log(25)}")

    def ask(self, group):
        """A point of the group as soon as it is found and may be taken; not waited for."""
        def taken():
            try:
                self.east.request("sync", group=group)
                return True
            except CommandFailed:
                return False
        wait_for(taken, 20, lambda: f"{group} is found at east:\n{self.east.log(25)}")

    def kill(self):
        for daemon in self:
            daemon.kill()
