# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of this process's threads: made, entered, and left again. A thread, socket or
process that is started inside of one stays there. Needs root."""
import contextlib
import ctypes
import os

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@contextlib.contextmanager
def entered(path):
    """The calling thread is in the namespace at this path (None: it stays where it is)."""
    if path is None:
        yield
        return
    with open("/proc/thread-self/ns/net", "rb") as home:
        with open(path, "rb") as there:
            check(LIBC.setns(there.fileno(), CLONE_NEWNET), f"entering {path}")
        try:
            yield
        finally:
            check(LIBC.setns(home.fileno(), CLONE_NEWNET), "back from a namespace")


def new():
    """A descriptor of a new namespace, which lives as long as the descriptor or what runs in it."""
    with open("/proc/thread-self/ns/net", "rb") as home:
        check(LIBC.unshare(CLONE_NEWNET), "a new network namespace (root only)")
        try:
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        finally:
            check(LIBC.setns(home.fileno(), CLONE_NEWNET), "back from a new namespace")


def received_bytes(path, device):
    """What a device of the namespace has received, headers of IP included."""
    with entered(path), open("/proc/thread-self/net/dev", encoding="ascii") as devices:
        for line in devices:
            name, _, counters = line.partition(":")
            if name.strip() == device:
                return int(counters.split()[0])
    raise OSError(f"no device {device} in {path}")
