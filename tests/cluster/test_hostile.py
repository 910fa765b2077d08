# SPDX-License-Identifier: Apache-2.0
"""Peers that mean no good, with and without a certificate: a clear refusal, bounded memory, nothing
written, and the others do not notice."""
import contextlib
import re
import socket
import ssl
import subprocess
import time

import pytest
from harness import MIB, wait_for
from harness import hostile as h
from harness.daemon import CERTS

GOLD = {"farshore.io/policy": "gold"}
LIMIT = 64 * MIB


def peak(daemon):
    text = open(f"/proc/{daemon.process.pid}/status", encoding="ascii").read()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * 1024


def port_of(daemon):
    return int(daemon.config["listen"].rsplit(":", 1)[1])


@pytest.fixture
def pair(east, daemons):
    east.create("disk", 16 * MIB, labels=GOLD)
    east.fill("disk")
    made = daemons(limits={"memory": "64MiB"})
    made.ready("rbd/disk")
    return made


def test_strangers_get_no_session_and_disturb_nobody(east, pair, same):
    certs, port = pair.dir / "certs", port_of(pair.west)
    subprocess.run([CERTS, certs / "other", "east"], check=True, stdin=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    subprocess.run([CERTS, certs, "north"], check=True, stdin=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    instance = pair.west.status()["peers"][0]["since_timestamp"]

    # No certificate, one of another authority: in TLS 1.3 the client learns it when it reads.
    for name, directory in ((None, certs), ("east", certs / "other")):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            with h.Hostile(port, directory, name, ca=certs / "ca.crt") as peer:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    peer.send(h.HELLO, h.hello())
                assert peer.read() is None
    # A good one for another name: it may not say that it is east, nor be unknown.
    for site in ("east", "north"):
        with h.Hostile(port, certs, "north") as peer:
            peer.send(h.HELLO, h.hello(site))
            text = h.farewell(peer.expect(h.BYE))
            assert ("certificate" if site == "east" else "no peer of that name") in text
    # Connections that never go on, far more than the limit; some say something wrong.
    before = peak(pair.west)
    with contextlib.ExitStack() as stack:
        for i in range(1500):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            if i % 3 == 0:
                with contextlib.suppress(OSError):
                    silent.sendall(b"\x16\x03\x01" if i % 2 else b"GET / HTTP/1.1\r\n\r\n")
        east.fill("disk", seed=1)
        pair.east.sync("rbd/disk")  # the session that is up
        pair.east.stop()
        pair.east.start()  # a new one
        begun = time.monotonic()
        pair.synced("rbd/disk", timeout_s=15)
        assert time.monotonic() - begun < 15
    same(pair, "rbd/disk")
    assert peak(pair.west) - before < 32 * MIB
    assert pair.west.status()["peers"][0]["since_timestamp"] > instance


FRAMES = {
    "magic": lambda: h.frame(h.PING, magic=b"XXXX"),
    "checksum": lambda: h.frame(h.PING, spoil=1),
    "length": lambda: h.frame(h.PING, length=h.PAYLOAD_MAX + 1),
    "longest length": lambda: h.frame(h.PING, length=0xffffffff),
    "unknown critical type": lambda: h.frame(999),
    "second hello": lambda: h.frame(h.HELLO, h.hello()),
    "short ping": lambda: h.frame(h.PING, b"x"),
    "segment of no stream": lambda: h.frame(h.SEGMENT, h.segment(b"x" * 512), stream=1),
    "stream of the other side": lambda: h.frame(h.OFFER, h.offer(), stream=2),
    "no credit at all": lambda: h.frame(h.CREDIT, bytes(8)),
    "counts in current": lambda: h.frame(h.CURRENT, b"\xff\xff\xff\xff"),
    "no volumes": lambda: h.frame(h.OFFER, h.offer([]), stream=1),
    "too many volumes": lambda: h.frame(h.OFFER, h.offer([h.volume() for _ in range(65)]), stream=1),
    "more volumes said than sent": lambda: h.frame(h.OFFER, h.offer(n=64), stream=1),
    "more points said than sent": lambda: h.frame(h.OFFER, h.offer(held=1024), stream=1),
    "size": lambda: h.frame(h.OFFER, h.offer([h.volume(size=1 << 63)]), stream=1),
    "order": lambda: h.frame(h.OFFER, h.offer([h.volume(order=63)]), stream=1),
    "stripes": lambda: h.frame(h.OFFER, h.offer([h.volume(unit=3)]), stream=1),
    "control characters": lambda: h.frame(h.OFFER, h.offer(name="rbd/\x1b[2J"), stream=1),
    "not UTF-8": lambda: h.frame(h.OFFER, h.offer([h.volume(name=b"\xff\xfe")]), stream=1),
    "NUL": lambda: h.frame(h.OFFER, h.offer([h.volume(name="a\0b")]), stream=1),
}
DATA = b"\xee" * 65536
SEGMENTS = {
    "beyond the image": lambda: h.segment(DATA, start=0, end=8 * MIB, offset=6 * MIB),
    "beyond 2^64": lambda: h.segment(DATA, extents=[((1 << 64) - 512, 65536, 0, 0)]),
    "volume that is not offered": lambda: h.segment(DATA, index=7),
    "extents out of order": lambda: h.segment(
        DATA, extents=[(65536, 32768, 0, 0), (0, 32768, 0, 0)]),
    "number of extents": lambda: h.segment(DATA)[:28] + b"\xff\xff\xff\xff" + h.segment(DATA)[32:],
    "bomb": lambda: h.segment(h.bomb(2 << 30), raw_length=65536, codec=1),
    "bomb of the largest segment": lambda: h.segment(h.bomb(64 << 20), raw_length=MIB, codec=1),
    "garbage for zstd": lambda: h.segment(b"garbage", raw_length=65536, codec=1),
    "wrong hash": lambda: h.segment(DATA, extents=[(0, 65536, 0, 1)]),
}


def test_valid_peer_that_lies_is_turned_away(east, west, pair, same):
    pair.west.expect_error("event=digest_mismatch")
    pair.east.stop()
    certs, port = pair.dir / "certs", port_of(pair.west)
    wait_for(lambda: not pair.west.status()["peers"][0]["up"], 10, "east is gone")
    uuid = pair.west.group("rbd/disk")["uuid"]
    before = peak(pair.west)
    points = pair.west.points("rbd/disk")

    def connect():
        return h.Hostile(port, certs, "east").greet()

    for name, make in FRAMES.items():
        with connect() as peer:
            peer.socket.sendall(make())
            found = peer.expect(h.BYE, h.ACCEPT, h.REFUSE)
            assert found is None or found[0] == h.BYE, f"{name}: {found}"
    with connect() as peer:  # unknown and optional: skipped
        peer.send(999, b"anything", flags=0)
        assert h.reason(peer.offered(h.offer(policy="nobody's")))[0] == 1

    # Offers that are well-formed: refused for what they say.
    with connect() as peer:
        for stream, (more, number, text) in enumerate((
                ({"volumes": [h.volume(pool="secret")]}, 2, "secret"),
                ({"volumes": [h.volume(ns="../..")]}, 2, ".."),
                ({"volumes": [h.volume(labels="[1")]}, 12, "labels"),
                ({"policy": "../../etc/passwd"}, 1, "no policy"),
                ({"volumes": [h.volume(name="disk")]}, 3, "disk"),
                ({"group": h.group_id(uuid)}, 5, "split brain"))):
            got = h.reason(peer.offered(h.offer(**more), stream=2 * stream + 1))
            assert got[0] == number and text in got[1], (more, got)
    assert pair.west.points("rbd/disk") == points

    # A transfer that is accepted: what is in it is checked, too.
    for name, make in SEGMENTS.items():
        message = make()  # a bomb takes longer to make than a silent peer is waited for
        with connect() as peer:
            found = wait_for(lambda p=peer, s=iter(range(1, 999, 2)): accepted(p, next(s)), 20, name)
            assert found[0] == h.ACCEPT
            peer.send(h.SEGMENT, message, stream=found[1])
            end = peer.expect(h.BYE, h.REFUSE, h.COMMITTED)
            assert end is None or end[0] in (h.BYE, h.REFUSE), f"{name}: {end}"
    assert "victim" in west.names()
    with west.image("victim", read_only=True) as image:
        assert image.size() == 4 * MIB and not list(image.list_snaps())
    assert peak(pair.west) - before < LIMIT, f"{before >> 20} MiB, then {peak(pair.west) >> 20}"
    pair.east.start()
    pair.synced("rbd/disk")
    same(pair, "rbd/disk")


GROUP, VOLUME, SITE = b"G" * 16, b"V" * 16, b"S" * 16


def accepted(peer, stream):
    """The same group again and again; the end of the one before may still be under way."""
    found = peer.offered(h.offer([h.volume(uuid=VOLUME)], group=GROUP, site=SITE), stream=stream)
    return found if found and found[0] == h.ACCEPT else None
