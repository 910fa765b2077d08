# SPDX-License-Identifier: Apache-2.0
"""What the cluster tests, the benchmark and the demo share: the lab's sites, daemons, writers, and
the comparison of both sites' bytes with tools that are not ours (Debian's python3-rbd)."""
import pathlib
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


def wait_for(check, timeout_s, what, every_s=0.1):
    """The first true result of check(); TimeoutError naming `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        if result := check():
            return result
        if time.monotonic() > deadline:
            said = what() if callable(what) else what
            raise TimeoutError(f"after {timeout_s} s still not: {said}")
        time.sleep(every_s)
