# SPDX-License-Identifier: Apache-2.0
"""A Debian under a systemd of its own, in a container (systemd-nspawn) in a site's network namespace.
What it changes is gone with it. Needs root."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

from . import wait_for

BOOT_S = 60
HIERARCHIES = [p for p in map(pathlib.Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
               if (p / "cgroup.procs").exists()]
# In a control group of its own, for two containers of one would share those of their units.
BOOT = 'for group in $CONTROL_GROUPS; do echo 0 >"$group/cgroup.procs"; done; exec "$@"'
# And in a process namespace of its own, which ends with the test's process, however that ends.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                "--kill-child", "--mount-proc")


class CommandFailed(AssertionError):
    pass


def children(pid):
    with contextlib.suppress(OSError):  # it has ended
        return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []


def name(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    return None


class Container:

    def __init__(self, site, tree):
        self.site = site
        machine = f"farshore-{site.name}-{os.getpid()}"
        self.groups = [p / machine for p in HIERARCHIES]
        for group in self.groups:
            group.mkdir()
        archives = pathlib.Path(tree).parent / "archives"
        with site.entered():
            self.process = subprocess.Popen(
                [*ENDS_WITH_US, "sh", "-c", BOOT, "sh", "systemd-nspawn", "-b", "--register=no",
                 "--keep-unit", "--quiet", "--console=pipe", f"--directory={tree}", "--read-only", "--volatile=overlay",
                 f"--machine={machine}", f"--hostname={site.name}", "--resolv-conf=off",
                 f"--overlay={archives}::/var/cache/apt/archives"],
                env={**os.environ, "CONTROL_GROUPS": " ".join(map(str, self.groups))},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.leader = None
        try:
            self._boot()
        except BaseException:
            self.end()
            raise

    def _boot(self):
        self.leader = wait_for(self._leader, BOOT_S, "the container has an init")
        wait_for(lambda: self.call("systemctl is-system-running").stdout.strip() == "running", BOOT_S,
                 lambda: f"{self.site.name} has booted: {self.call('systemctl is-system-running; systemctl list-jobs; systemctl --failed')}")

    def _leader(self):
        assert self.process.poll() is None, self.process.stdout.read().decode()
        below = [pid for child in children(self.process.pid) for pid in children(child)]
        return next((pid for pid in below if name(pid) == "systemd"), None)

    def argv(self, command):
        return ["nsenter", f"--target={self.leader}", "--all", "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "bash", "-c", f"cd /root && {command}"]

    def call(self, command, timeout_s=240):
        return subprocess.run(self.argv(command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout_s, check=False)

    def run(self, command, timeout_s=240):
        """What it prints; as root, in root's home."""
        done = self.call(command, timeout_s)
        if done.returncode != 0:
            raise CommandFailed(f"{self.site.name}# {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def path(self, inside):
        """Of a file there, from here."""
        return pathlib.Path(f"/proc/{self.leader}/root{inside}")

    def write(self, inside, text):
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def unit(self, what):
        return self.run(f"systemctl show --property={what} --value farshored").strip()

    def events(self, name):
        """The daemon's events of that name, from the journal, with its native fields."""
        said = self.run(f"journalctl --quiet --unit=farshored --output=json FARSHORE_EVENT={name} || true")
        return [json.loads(line) for line in said.splitlines()]

    def end(self):
        if self.leader:
            os.kill(self.leader, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.communicate()
        for group in self.groups:
            wait_for(lambda: self._is_removed(group), 10, f"{group} is not used any more")

    @staticmethod
    def _is_removed(group):
        """What is in a control group cannot be removed, but for other groups."""
        for path in (*sorted(group.rglob("*/"), reverse=True), group):
            with contextlib.suppress(OSError):
                path.rmdir()
        return not group.exists()
