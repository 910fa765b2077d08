# SPDX-License-Identifier: Apache-2.0
"""The link between the sites, as a test can spoil it: a TCP proxy inside the test's process.

Nothing that it forwards is changed, reordered or invented; bytes are only late, or never come. Each
connection has two directions, OUT (from who dialed) and BACK. What spoils a connection for good
(`swallow`, `half_open`) stays with it after `heal`: bytes that were lost cannot come back, as with a
firewall that forgot the connection."""
import contextlib
import random
import socket
import struct
import threading
import time

OUT, BACK = "out", "back"
BOTH = (OUT, BACK)
CHUNK = 64 << 10
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset


class Connection:
    """Two sockets and a thread for each direction."""

    def __init__(self, proxy, near, far):
        self.proxy, self.near, self.far = proxy, near, far
        self.swallowed = set()  # directions whose bytes vanish from now on
        self.open = True
        for direction, source, sink in ((OUT, near, far), (BACK, far, near)):
            threading.Thread(target=self.pump, args=(direction, source, sink), daemon=True).start()

    def pump(self, direction, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if direction not in self.swallowed and not self.forward(direction, sink, data):
                    break
        # A half-open connection stays so: its other end is not told.
        if self.open and not self.swallowed:
            self.cut(reset=False)

    def forward(self, direction, sink, data):
        """False where the connection was cut in the middle of it."""
        while data:
            allowed = self.proxy.allowed(self, direction, len(data))
            if allowed == 0:
                self.cut()
                return False
            sink.sendall(data[:allowed])
            data = data[allowed:]
        return True

    def cut(self, reset=True):
        self.open = False
        for one in (self.near, self.far):
            close(one, reset)
        self.proxy.forget(self)


def close(one, reset):
    with contextlib.suppress(OSError):
        if reset:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        else:
            one.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    with contextlib.suppress(OSError):
        if reset:
            # A thread in recv() holds the socket open: it wakes up, and the close is a reset.
            one.shutdown(socket.SHUT_RD)
        one.close()


class Proxy:
    """Listens on a port of its own and connects to `target` for each connection."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.changed = threading.Condition()
        self.connections = set()
        self.held = set()       # directions that stand still, in every connection
        self.refusing = False   # new connections are closed at once
        self.rate = None        # bytes a second of each direction of each connection
        self.budget = None      # bytes that may still pass before all is cut, or None
        self.passed = 0         # bytes so far
        self.cuts = 0           # that the budget made
        self.ended = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(near,), daemon=True).start()

    def connect(self, near):
        with self.changed:  # behind a black hole nobody answers
            self.changed.wait_for(lambda: self.ended or OUT not in self.held)
        if self.refusing or self.ended:
            return close(near, reset=True)
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            return close(near, reset=True)
        far.settimeout(None)
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            self.connections.add(Connection(self, near, far))
        return None

    def allowed(self, connection, direction, length):
        """How many of these bytes may go now; waits while none may. 0: cut the connection."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or not connection.open or
                                  direction not in self.held)
            rate = self.rate
            if self.ended or not connection.open:
                return 0
            if rate:
                length = min(length, max(1, rate // 20))
            if self.budget is not None:
                length = min(length, self.budget)
                self.budget -= length
                if length == 0:
                    self.budget = None
                    self.cuts += 1
                    return 0
            self.passed += length
        if rate:
            time.sleep(length / rate)
        return length

    def forget(self, connection):
        with self.changed:
            self.connections.discard(connection)
            self.changed.notify_all()

    def now(self):
        with self.changed:
            return list(self.connections)

    # --- what a test does to it ---------------------------------------------------------------

    def cut(self, reset=True):
        """Every connection ends now."""
        for connection in self.now():
            connection.cut(reset)

    def cut_after(self, count):
        """The connection that carries the byte after so many more is cut there, once."""
        with self.changed:
            self.budget = count

    def hold(self, *directions):
        """Bytes stand still, and new connections are not answered: a cut cable, or with one
        direction a peer that stops reading. After heal() everything comes, as TCP does it."""
        with self.changed:
            self.held |= set(directions or BOTH)

    def swallow(self, *directions):
        """The bytes of the connections that there are now vanish; no end is told."""
        for connection in self.now():
            connection.swallowed |= set(directions or BOTH)

    def half_open(self, direction):
        """One end is told that the connection is over (OUT: who was dialed), the other is not."""
        for connection in self.now():
            connection.swallowed |= set(BOTH)
            close(connection.far if direction == OUT else connection.near, reset=True)

    def refuse(self, refusing=True):
        self.refusing = refusing

    def slow(self, bytes_per_s):
        with self.changed:
            self.rate = bytes_per_s

    def flap(self, stop, seed=0, period_s=1.0):
        """Cuts everything once in a period, at a random moment of it, until the event is set."""
        source = random.Random(seed)

        def run():
            while not stop.wait(period_s * source.uniform(0.5, 1.5)):
                self.cut(reset=source.random() < 0.5)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def heal(self):
        with self.changed:
            self.held.clear()
            self.rate = self.budget = None
            self.refusing = False
            self.changed.notify_all()

    def close(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        close(self.listener, reset=False)
        self.cut()
