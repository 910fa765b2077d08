# SPDX-License-Identifier: Apache-2.0
"""Two sites that come to trust each other in two commands, and what those get who should not."""
import base64
import contextlib
import hashlib
import json
import re
import shutil
import ssl
import struct
import subprocess
import time

import pytest
import yaml
from harness import MIB, wait_for
from harness.daemon import Daemon, free_port, program
from harness.hostile import Hostile

GOLD = {"farshore.io/policy": "gold"}
ALPN = "farshore-enroll/1"


def farshore(*arguments, exit_status=0):
    done = subprocess.run([program("farshore"), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == exit_status, done
    return done.stdout.strip() if exit_status == 0 else done.stderr


class Pair:
    """Two directories in place of /etc/farshore; what the commands wrote is only moved to the lab."""

    def __init__(self, east, west, directory):
        self.sites = {"east": east, "west": west}
        self.config = {name: directory / name / "farshored.yaml" for name in self.sites}
        self.pki = {name: directory / name / "pki" for name in self.sites}
        self.port = free_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.made = []

    def daemon(self, name):
        config = yaml.safe_load(self.config[name].read_text())
        config["ceph"]["conf"] = str(self.sites[name].conf)
        config["http"] = f"127.0.0.1:{free_port()}"
        config["control"] = str(self.config[name].parent / "control.sock")
        config["discovery"][0]["interval"] = "1s"
        self.made.append(Daemon(self.sites[name], self.config[name].parent, config))
        return self.made[-1].start()

    def invite(self, site="west", **more):
        """At the running daemon; its own file is the configuration that is there."""
        return self.made[0].request("enroll", site=site, endpoints=[self.endpoint],
                                    **{"ttl_seconds": 600, **more})["token"]


@pytest.fixture
def pair(east, west, workdir):
    pair = Pair(east, west, workdir)
    yield pair
    for daemon in pair.made:
        daemon.stop()
        assert not daemon.complaints(), daemon.complaints()


def joined(pair):
    token = farshore("enroll", "invite", "--site=west", "--as=east", f"--endpoint={pair.endpoint}",
                     "--pools=rbd:rbd2", "--config", pair.config["east"])
    east = pair.daemon("east")
    said = farshore("enroll", "join", token, "--config", pair.config["west"])
    assert "pool rbd of east goes to pool rbd2 here" in said
    return token, east


def conversation(pair, question, certs=None, name=None):
    """The answer to what is sent; None where the connection ends without one."""
    ca = pair.pki["east"] / "ca.crt"
    with Hostile(pair.port, certs or pair.pki["east"], name, ca=ca, alpn=ALPN) as peer:
        data = question if isinstance(question, bytes) else json.dumps({"format": 1, **question}).encode()
        with contextlib.suppress(OSError):
            peer.socket.sendall(data if isinstance(question, bytes) else struct.pack("<I", len(data)) + data)
        answer = b""
        with contextlib.suppress(OSError):
            while more := peer.socket.recv(65536):
                answer += more
                if len(answer) > 4 and len(answer) == 4 + struct.unpack("<I", answer[:4])[0]:
                    return json.loads(answer[4:])
    return None


def request_of(directory, key, name="west"):
    """A request for a certificate, of that key; a new one where there is none."""
    if not key.exists():
        subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-out", key], check=True)
    made = directory / "request"
    subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", made], check=True)
    return made.read_text()


def test_from_nothing_to_a_recovery_point(pair, east):
    token, _ = joined(pair)
    for name in ("east", "west"):
        for secret in pair.pki[name].glob("*.key"):
            assert secret.stat().st_mode & 0o077 == 0, secret
    # Keys never travel: the authority's is at one site only, and each site's own is its own.
    assert sorted(p.name for p in pair.pki["west"].iterdir()) == ["ca.crt", "west.crt", "west.key"]
    assert not list(pair.pki["east"].glob("west*")) and not list(pair.pki["east"].glob("invitation*"))
    # Once, and not over what is there.
    assert "lets nobody join" in farshore("enroll", "join", token, "--config", pair.config["west"].parent / "again/c.yaml",
                                          exit_status=3)
    assert "already" in farshore("enroll", "join", token, "--config", pair.config["west"], exit_status=3)

    west = pair.daemon("west")
    wait_for(lambda: west.status()["peers"][0]["up"], 20, lambda: f"they meet: {west.status()['peers']}")
    east.create("disk", 16 * MIB, labels=GOLD)
    east.fill("disk")
    point = wait_for(lambda: (west.group("rbd/disk") or {}).get("recovery_point"), 30,
                     lambda: f"a point is there:\n{pair.made[0].log(20)}\n{west.log(20)}")
    assert point and west.group("rbd/disk")["volumes"][0]["pool"] == "rbd2"

    # A certificate near its end is renewed, at both ends, for the key that it is of.
    for daemon, name in zip(pair.made, ("east", "west")):
        key = (pair.pki[name] / f"{name}.key").read_bytes()
        shorten(pair, name)
        daemon.stop()
        daemon.start()
        wait_for(lambda: daemon.events("certificate_renewed"), 20, lambda: f"renewed:\n{daemon.log(20)}")
        wait_for(lambda: daemon.status()["site"]["certificate_expiry_timestamp"] > time.time() + 300 * 86400, 20,
                 "the new one is used")
        assert key == (pair.pki[name] / f"{name}.key").read_bytes()
    wait_for(lambda: west.status()["peers"][0]["up"], 20, "they still meet")


def shorten(pair, name):
    """In place of the site's certificate one of the same authority and key with 20 days."""
    pki = pair.pki["east"]
    extensions = pki.parent / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{name}\n")
    request_of(pki.parent, pair.pki[name] / f"{name}.key", name)
    subprocess.run(["openssl", "x509", "-req", "-in", pki.parent / "request", "-CA", pki / "ca.crt", "-CAkey",
                    pki / "ca.key", "-days", "20", "-extfile", extensions, "-set_serial", "7", "-out",
                    pair.pki[name] / f"{name}.crt"], check=True, capture_output=True)


def altered(token, **changes):
    """The token with other contents and a check that fits, as an attacker would make it."""
    body = token.split(".")[1]
    content = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    content.update(changes)
    body = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    return f"farshore-join-1.{body}.{hashlib.sha256(body.encode()).hexdigest()[:8]}"


@pytest.mark.sanitized
def test_who_should_not_join_does_not(pair, workdir):
    _, east = joined(pair)
    fresh = iter(workdir / f"try{i}/farshored.yaml" for i in range(99))

    def refused(token, words, status=3):
        config = next(fresh)
        said = farshore("enroll", "join", token, "--config", config, exit_status=status)
        assert re.search(words, said), said
        assert not config.parent.exists(), "something was written"

    refused("farshore-join-1.nonsense", "damaged")
    good = pair.invite()
    refused(good[:-9], "damaged")
    refused(altered(good, ca="00" * 32), "stands in between")
    refused(altered(good, secret="00" * 32), "not good")
    refused(altered(good, site="north"), "not good")
    refused(altered(good, inviter="north"), "not site north")
    refused(altered(good, endpoints=["127.0.0.1:1"]), "cannot connect", status=1)
    refused(altered(good, until=1), "good until")
    # Another authority that calls itself the same, where a man in the middle would be.
    (workdir / "fake").mkdir()
    fake = Pair(*pair.sites.values(), workdir / "fake")
    farshore("enroll", "invite", "--site=west", "--as=east", f"--endpoint={fake.endpoint}", "--config",
             fake.config["east"])
    pair.made.append(fake.daemon("east"))
    refused(altered(good, endpoints=[fake.endpoint]), "stands in between")
    # None of that used it up; its time does.
    brief = pair.invite(ttl_seconds=1)
    refused(good, "not good")  # the newer one withdrew it
    time.sleep(1.1)
    refused(altered(brief, until=int(time.time()) + 600), "lets nobody join")
    # A site that the configuration does not know cannot even be invited.
    with pytest.raises(Exception, match="no peer of east"):
        pair.invite(site="north")
    good = pair.invite()
    farshore("enroll", "join", good, "--config", next(fresh))
    assert len(east.events("enrolled")) == 2


@pytest.mark.sanitized
def test_strangers_at_the_port_get_nothing(pair, workdir):
    joined(pair)
    own = workdir / "own.key"
    question = {"site": "west", "request": request_of(workdir, own)}
    west = pair.pki["west"]

    # Without an invitation to hope for, and without a certificate, nobody is heard.
    assert conversation(pair, question) is None
    pair.invite()
    assert "not good" in conversation(pair, {**question, "secret": "ab" * 32})["refusal"]
    assert "renewed only" in conversation(pair, question)["refusal"]
    # A site renews its own certificate, for its own key, and gets none of another name.
    assert "renewed only" in conversation(pair, question, west, "west")["refusal"]
    mine = {"site": "west", "request": request_of(workdir, west / "west.key")}
    assert "renewed only" in conversation(pair, {**mine, "site": "east"}, west, "west")["refusal"]
    assert conversation(pair, mine, west, "west")["cert"].startswith("-----BEGIN CERTIFICATE")
    # One of another authority does not even pass the handshake.
    subprocess.run([program("farshore"), "enroll", "invite", "--site=x", "--as=west", "--config",
                    workdir / "other/farshored.yaml"], check=True, capture_output=True)
    assert conversation(pair, mine, workdir / "other/pki", "west") is None
    wait_for(lambda: pair.made[0].events("peer_refused"), 5, "it is refused")

    # What is no question ends the connection; who says nothing is let go of, and the others are served.
    for data in (b"\0\0\0\0", struct.pack("<I", 1 << 20), b"\xff" * 4, struct.pack("<I", 2) + b"{}more",
                 b"GET / HTTP/1.1\r\n\r\n"):
        assert conversation(pair, data) is None
    assert "not understood" in conversation(pair, struct.pack("<I", 2) + b"{}")["refusal"]
    idle = [Hostile(pair.port, pair.pki["east"], None, ca=pair.pki["east"] / "ca.crt", alpn=ALPN) for _ in range(20)]
    assert conversation(pair, mine, west, "west")["cert"]
    for peer in idle:
        peer.socket.close()
    # The session's protocol still wants a certificate.
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)), \
            Hostile(pair.port, pair.pki["east"], None, ca=pair.pki["east"] / "ca.crt") as peer:
        peer.greet()


def test_own_pki_signs_nothing(pair, workdir):
    _, daemon = joined(pair)
    shutil.move(pair.pki["east"] / "ca.key", workdir / "ca.key")  # as with an authority kept elsewhere
    daemon.stop()
    daemon.start()
    with pytest.raises(Exception, match="cannot sign"):
        pair.invite()
    # And there is no such protocol at its port then.
    with pytest.raises(ssl.SSLError):
        Hostile(pair.port, pair.pki["east"], None, ca=pair.pki["east"] / "ca.crt", alpn=ALPN)
