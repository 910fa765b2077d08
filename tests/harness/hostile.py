# SPDX-License-Identifier: Apache-2.0
"""A peer that speaks farshore-protocol(5) and means no good. It is built from the manual alone, in
Python, so that it shares no code with what it tests."""
import ctypes
import os
import socket
import ssl
import struct
import subprocess
import time
import uuid

xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = (ctypes.c_char_p, ctypes.c_size_t)

HELLO, BYE, PING, PONG, CREDIT = 1, 2, 3, 4, 5
OFFER, ACCEPT, REFUSE, SEGMENT, PROGRESS, COMMIT, COMMITTED, ABORT = range(16, 24)
CURRENT = 32
CRITICAL = 1
PAYLOAD_MAX = 4 << 20


def xxh3(data):
    return xxhash.XXH3_64bits(bytes(data), len(data))


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<H", len(data)) + data


def frame(kind, payload=b"", stream=0, flags=CRITICAL, magic=b"FSH1", length=None, spoil=0):
    head = struct.pack("<4sHHIIQ", magic, kind, flags,
                       len(payload) if length is None else length, stream, 0)
    covered = payload
    if kind == SEGMENT and len(payload) >= 32:  # not its content
        covered = payload[:32 + 25 * struct.unpack_from("<I", payload, 24)[0]]
    return head + struct.pack("<Q", xxh3(head + covered) ^ spoil) + payload


def hello(site="east", **more):
    field = {"min": 1, "max": 1, "features": 0, "site_uuid": os.urandom(16),
             "instance": os.urandom(16), "credit": 64 << 20, **more}
    return (struct.pack("<HHQ", field["min"], field["max"], field["features"]) + string(site) +
            field["site_uuid"] + field["instance"] +
            struct.pack("<Qq", field["credit"], time.time_ns()) + string("hostile"))


def volume(**more):
    field = {"uuid": os.urandom(16), "pool_id": 1, "pool": "rbd", "ns": "", "id": "abc",
             "name": "victim", "labels": "{}", "size": 4 << 20, "order": 22, "unit": 4 << 20,
             "count": 1, **more}
    return (field["uuid"] + struct.pack("<q", field["pool_id"]) + string(field["pool"]) +
            string(field["ns"]) + string(field["id"]) + string(field["name"]) + string("") +
            string("") + string("") + string(field["labels"]) + string("x/1//abc") +
            struct.pack("<QBQQ", field["size"], field["order"], field["unit"], field["count"]))


def offer(volumes=None, **more):
    site = os.urandom(16)
    field = {"group": os.urandom(16), "name": "rbd/victim", "policy": "gold", "number": 1,
             "site": site, "id": os.urandom(16), "seq": 1, "version": 1, "seen": 0, "held": 0,
             **more}
    volumes = [volume()] if volumes is None else volumes
    term = struct.pack("<Q", field["number"]) + field["site"]
    return (field["group"] + string(field["name"]) + string(field["policy"]) + term + field["id"] +
            term + struct.pack("<QIQQQQ", field["seq"], 0, 0, 10**9, field["version"], field["seen"]) +
            struct.pack("<H", field["held"]) + struct.pack("<H", more.get("n", len(volumes))) +
            b"".join(volumes))


def segment(payload, raw_length=None, codec=0, start=0, end=4 << 20, offset=0, index=0,
            extents=None):
    raw = len(payload) if raw_length is None else raw_length
    if extents is None:
        extents = [(offset, raw, 0, xxh3(payload))]
    return (struct.pack("<HBBIQQII", index, codec, 0, raw, start, end, len(extents),
                        len(payload)) +
            b"".join(struct.pack("<QQBQ", *e) for e in extents) + payload)


def bomb(size):
    """So many zeroes, compressed."""
    with open("/dev/zero", "rb") as zeroes:
        head = subprocess.Popen(["head", "-c", str(size)], stdin=zeroes, stdout=subprocess.PIPE)
        done = subprocess.run(["zstd", "-q", "-c", "-19", "--long=27"], stdin=head.stdout,
                              capture_output=True, check=True)
        head.wait()
    return done.stdout


def group_id(text):
    return uuid.UUID(text).bytes


class Hostile:
    """One connection. certs is a directory of tests/lab/certs; name the certificate to show."""

    def __init__(self, port, certs, name, ca=None, alpn="farshore/1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.load_verify_locations(ca or certs / "ca.crt")
        if name:
            context.load_cert_chain(certs / f"{name}.crt", certs / f"{name}.key")
        if alpn:
            context.set_alpn_protocols([alpn])
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
        self.socket.settimeout(20)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *args, **options):
        self.socket.sendall(frame(*args, **options))

    def read(self):
        """(type, stream, payload), or None at the end."""
        while True:
            if len(self.data) >= 32:
                _, kind, _, length, stream, _ = struct.unpack("<4sHHIIQ", self.data[:24])
                if len(self.data) >= 32 + length:
                    payload = self.data[32:32 + length]
                    self.data = self.data[32 + length:]
                    return kind, stream, payload
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not more:
                return None
            self.data += more

    def expect(self, *kinds):
        """The first frame of one of these types, or None at the end; PINGs are answered."""
        while (found := self.read()) is not None:
            if found[0] == PING:
                self.send(PONG, found[2])
            if found[0] in kinds:
                return found
        return None

    def greet(self, **more):
        self.send(HELLO, hello(**more))
        assert self.expect(HELLO), "no HELLO"
        return self

    def offered(self, payload, stream=1):
        self.send(OFFER, payload, stream=stream)
        return self.expect(ACCEPT, REFUSE, BYE)


def reason(found):
    """(number, text) of a REFUSE."""
    assert found and found[0] == REFUSE, found
    number, length = struct.unpack("<HH", found[2][:4])
    return number, found[2][4:4 + length].decode()


def farewell(found):
    """The text of a BYE; None where the connection just ended."""
    if found is None:
        return None
    assert found[0] == BYE, found
    return found[2][2:].decode()
