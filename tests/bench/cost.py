# SPDX-License-Identifier: Apache-2.0
"""What a stretch of work cost: wall time, CPU seconds of each process, bytes on the wire, peak memory."""
import contextlib
import json
import os
import pathlib
import socket
import struct
import time

TICKS = os.sysconf("SC_CLK_TCK")
QUIET_S, QUIET_CPU, QUIET_WAIT_S = 0.5, 0.1, 20


def cpu_of(pid):
    """Seconds of a process and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def peak_memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no VmHWM of {pid}")


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def osds(*sites):
    """{"osd SITE": pid}"""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                for site in sites:
                    if argv[0].endswith(b"ceph-osd") and str(site.conf).encode() in argv:
                        found[f"osd {site.name}"] = int(entry.name)
    return found


def operations(*sites):
    """How many RADOS operations the OSDs have done for clients so far."""
    total = 0
    for site in sites:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(str(site.conf.parent / "osd.0.asok"))
            s.sendall(b'{"prefix": "perf dump", "logger": "osd"}\0')
            with s.makefile("rb") as answer:
                length, = struct.unpack(">I", answer.read(4))
                total += json.loads(answer.read(length))["osd"]["op"]
    return total


def settle(*sites):
    """Returns when the OSDs have done what the step before left them (trimming, compaction), or do not
    get done with it."""
    pids = list(osds(*sites).values())
    deadline = time.monotonic() + QUIET_WAIT_S
    while time.monotonic() < deadline:
        before = sum(map(cpu_of, pids))
        time.sleep(QUIET_S)
        if sum(map(cpu_of, pids)) - before <= QUIET_CPU * QUIET_S * len(pids):
            return


class Meter:
    """From its making until end(). `processes` is {name: pid}: those whose work this is; the OSDs
    are always among them, their memory is not."""

    def __init__(self, sites, processes=None):
        self.sites = sites
        self.processes = dict(processes or {})
        self.pids = {**self.processes, **osds(*sites)}
        for pid in self.processes.values():
            forget_peak(pid)
        self.cpu = {name: cpu_of(pid) for name, pid in self.pids.items()}
        self.counted = self._count()
        self.begun = time.monotonic()

    def _count(self):
        return [site.received_bytes() for site in self.sites]

    def end(self, children=(), wall=None):
        """What it cost; `children` are (name, rusage) of programs that ran in it and have ended, `wall`
        what they know better than the clock here."""
        wall = wall or time.monotonic() - self.begun
        received = [now - before for now, before in zip(self._count(), self.counted)]
        cpu = {name: cpu_of(pid) - self.cpu[name] for name, pid in self.pids.items()}
        peaks = [peak_memory(pid) for pid in self.processes.values()]
        for name, usage in children:
            cpu[name] = cpu.get(name, 0) + usage.ru_utime + usage.ru_stime
            peaks.append(usage.ru_maxrss * 1024)
        return Cost(wall, cpu, received, max(peaks, default=0))


class Cost:
    """`metrics` by their names in the result; `processes` {name: CPU seconds}; `received` bytes of each
    site, headers of IP included; `our_part` are the seconds of the part of our cycle that theirs is to be
    compared with, where it is not the whole."""
    our_part = None

    def __init__(self, wall, processes, received, peak):
        self.processes = processes
        self.received = received
        self.metrics = {"wall": wall, "cpu": sum(processes.values()),
                        "wire_bytes": sum(received), "peak_memory": peak}

    def __str__(self):
        m = self.metrics
        each = ", ".join(f"{name} {cpu:.1f}" for name, cpu in sorted(self.processes.items()))
        return f"{m['wall']:7.2f} s wall {m['cpu']:6.2f} s cpu ({each}) " \
               f"{m['wire_bytes'] / (1 << 20):7.1f} MiB wire {m['peak_memory'] >> 20:4} MiB peak"
