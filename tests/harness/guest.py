# SPDX-License-Identifier: Apache-2.0
"""A real virtual machine with its two disks on RBD, by qemu's own driver: to Ceph a client like any
other. What runs in it is in tests/vm/guest/; it writes a journal of acknowledged records to both disks,
and says at the next start what is left of it. qemu emulates the processor, so that it works wherever
the tests do."""
import subprocess
import threading
import time

from . import MIB, SOURCE, wait_for
from .daemon import build_dir

DISKS = ("a", "b")
SIZE = 128 * MIB  # of a disk: room for a few minutes of records
BOOT_S = 90       # it takes about three seconds, on a machine that does nothing else
STOP_S = 60


def make_boot_files(directory):
    """Kernel and initramfs, in `directory`, for any number of guests."""
    subprocess.run([SOURCE / "tests/vm/guest/build", build_dir() / "tests/vm/guest-journal", directory],
                   check=True, stdin=subprocess.DEVNULL)


class Guest:
    """A running machine. Its disks are images POOL/NAME of one site, in the order of DISKS; `new` ones
    get a file system first, others are examined."""

    def __init__(self, boot, site, images, new=False):
        self.name = f"the guest on {', '.join(images)} at {site.name}"
        self.said = []          # every line for us, as (wall clock when it came, words)
        self.acknowledged = []  # (wall clock when it came, number of the record), ascending
        self.console = []       # all else
        drives = []
        for image in images:
            drives += ["-drive", f"file=rbd:{image}:conf={site.conf}:id=admin,format=raw,if=virtio,"
                                 f"cache=none,werror=report,rerror=report"]
        # Without rdrand mke2fs waits seconds for the kernel's randomness.
        with site.entered():
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults",
                 "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand", "-m", "256",
                 "-display", "none", "-serial", "stdio", "-no-reboot",
                 "-kernel", f"{boot}/vmlinuz", "-initrd", f"{boot}/initramfs.gz", *drives,
                 "-append", f"console=ttyS0 loglevel=1 panic=-1 disks={'new' if new else 'old'}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            now = time.time()
            text = line.decode(errors="replace").strip()
            if not text.startswith("@ "):
                self.console.append(text)
                continue
            words = text.split()[1:]
            if words[0] == "ack":
                self.acknowledged.append((now, int(words[1])))
            else:
                self.said.append((now, words))

    # --- what it says -------------------------------------------------------------------------

    def heard(self, *start):
        """The rest of the newest line that begins with these words, or None."""
        count = len(start)
        return next((words[count:] for _, words in reversed(self.said)
                     if tuple(words[:count]) == start), None)

    def wait(self, *start, timeout_s=BOOT_S):
        def check():
            found = self.heard(*start)
            if found is None and self.process.poll() is not None and not self.listener.is_alive():
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self}")
            return found is not None
        wait_for(check, timeout_s, lambda: f"{self.name} says {start}: {self}", every_s=0.02)
        return self.heard(*start)

    def ready(self):
        """It is up, its file systems are mounted."""
        self.wait("ready")
        return self

    def clean(self):
        """Whether fsck found nothing that the file systems' own journals had not mended."""
        # e2fsck: 0, or 1 where the replay itself counts as a repair; afterwards nothing is left to do.
        return all(replay in ("0", "1") and check == "0"
                   for replay, check in (self.heard("fsck", disk) for disk in DISKS))

    def journals(self):
        """The number of the last record on each disk. Asserts that none before it is missing."""
        found = []
        for disk in DISKS:
            last, *state = self.heard("journal", disk)
            assert state == ["clean"], f"{self.name}: the journal on {disk}: {last} {state}"
            found.append(int(last))
        return found

    def last(self):
        """Number of the last record that it acknowledged, 0: none."""
        return self.acknowledged[-1][1] if self.acknowledged else 0

    def last_before(self, moment):
        """The same, as it was then."""
        return max((number for when, number in self.acknowledged if when <= moment), default=0)

    def __str__(self):
        return f"{self.said[-5:]} {self.console[-20:]}, record {self.last()}"

    # --- what it does -------------------------------------------------------------------------

    def order(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def write(self, at_least=1):
        """It writes records from now on; returns once so many were acknowledged."""
        before = len(self.acknowledged)
        self.order("write")
        self.writes(at_least, before)

    def writes(self, more, before=None):
        """Waits until so many more records were acknowledged."""
        wanted = (len(self.acknowledged) if before is None else before) + more
        wait_for(lambda: len(self.acknowledged) >= wanted, BOOT_S, lambda: f"{self.name} writes: {self}",
                 every_s=0.02)

    def fails_to_write(self):
        """Waits until it does: it writes no more records then, and cannot even unmount."""
        failed = self.wait("failed", timeout_s=STOP_S)
        assert "Input/output error" in " ".join(failed), self

    def halt(self):
        """As its administrator would: the record under way is finished, the file systems are unmounted, the
        machine is off, and nobody has its images open."""
        self.order("halt")
        self.wait("halted", timeout_s=STOP_S)
        self.process.wait(STOP_S)
        assert self.process.returncode == 0, f"{self.name} ended with {self.process.returncode}: {self}"
        self.close()

    def kill(self):
        """As if its host had lost power."""
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        self.listener.join(10)
        self.process.stdin.close()
        self.process.stdout.close()
