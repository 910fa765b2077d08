# SPDX-License-Identifier: Apache-2.0
"""What must be so when the daemons of a test have done their work."""
from .daemon import STOP_S
from .site import POOLS


def check_end(pair, east, west):
    for daemon in pair:
        if daemon.running():
            took = daemon.stop()
            assert took < STOP_S, f"{daemon.site.name}'s daemon took {took:.1f} s to stop"
        complaints = daemon.complaints()
        assert not complaints, f"in the log of {daemon.site.name}:\n" + "\n".join(complaints[:20])
        assert not daemon.processes()
    for site in (east, west):
        watchers = site.watchers()
        assert not watchers, f"{site.name}: images are still open: {watchers}"
    check_snapshots(pair, east)


def check_snapshots(pair, source):
    """A source keeps a base and at most one point on its way, each with at most one mark."""
    for pool in POOLS:
        for name in source.names(pool):
            points, marks = source.farshore_snapshots(name, pool)
            assert len(points) <= 2 and len(marks) <= 2, \
                f"{pool}/{name}: points {points}, marks {marks}\n{pair.east.log()}"
