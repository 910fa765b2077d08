# SPDX-License-Identifier: Apache-2.0
"""Calls of the API alone (call_api.c): against the real one, and against servers that answer what no
API would."""
import errno
import http.server
import json
import ssl
import subprocess
import threading
import time

import pytest
from harness.daemon import build_dir
from harness.kube import CORE
from harness.proxy import Proxy

TRANSIENT, PEER, PERMANENT = 1, 2, 5
APPLY = "application/apply-patch+yaml"


class Calls:
    """call-api, asked call by call."""

    def __init__(self, source):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", build_dir() / "tests/kube/call-api", source],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, method, path, body=None, **more):
        call = {"method": method, "path": path, **more}
        if body is not None:
            call["body"] = body
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


@pytest.fixture
def calls():
    made = []

    def make(source):
        made.append(Calls(source))
        return made[-1]
    yield make
    for one in made:
        one.end()


@pytest.fixture
def admin(api):
    return api.dir / "admin.kubeconfig"


class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers what the test says: (status, headers, body), or nothing at all."""
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        said = self.server.says
        if said is None:
            time.sleep(2)
            return
        status, headers, body = said
        self.send_response_only(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_args):
        pass


def test_every_method(api, ns, admin, calls):
    call = calls(admin)
    path = f"{CORE}/namespaces/{ns}/configmaps"
    made = call("POST", path, {"metadata": {"name": "one"}, "data": {"a": "1"}})
    assert made["status"] == 201 and made["error"] is None and made["code"] == 0
    assert call("GET", f"{path}/one")["answer"]["data"] == {"a": "1"}
    put = call("PUT", f"{path}/one", {"metadata": {"name": "one"}, "data": {"b": "2"}})
    assert put["status"] == 200 and put["answer"]["data"] == {"b": "2"}
    merged = call("PATCH", f"{path}/one", {"data": {"c": "3"}},
                  content_type="application/merge-patch+json")
    assert merged["answer"]["data"] == {"b": "2", "c": "3"}
    patch = [{"op": "remove", "path": "/data/b"}]
    assert call("PATCH", f"{path}/one", patch, content_type="application/json-patch+json")[
        "answer"]["data"] == {"c": "3"}
    applied = call("PATCH", f"{path}/two?fieldManager=test",
                   {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two"},
                    "data": {"large": "x" * 200_000}}, content_type=APPLY)
    assert applied["error"] is None and len(api.get(f"{path}/two")["data"]["large"]) == 200_000
    assert call("DELETE", f"{path}/one")["error"] is None
    gone = call("GET", f"{path}/one")
    assert (gone["status"], gone["code"], gone["class"]) == (404, errno.ENOENT, PERMANENT)
    assert f"GET {path}/one" in gone["error"] and 'configmaps "one" not found' in gone["error"]
    assert gone["answer"]["kind"] == "Status"


def test_refusals_say_what_the_api_says(api, ns, admin, account, calls):
    call = calls(admin)
    path = f"{CORE}/namespaces/{ns}/configmaps"
    call("POST", path, {"metadata": {"name": "one"}})
    again = call("POST", path, {"metadata": {"name": "one"}})
    assert (again["status"], again["code"]) == (409, errno.EEXIST)
    assert "already exists" in again["error"]
    bad = call("POST", path, {"metadata": {"name": "Not A Name"}})
    assert (bad["status"], bad["code"], bad["class"]) == (422, errno.EINVAL, PERMANENT)
    denied = calls(account[0])("DELETE", f"{path}/one")
    assert (denied["status"], denied["code"]) == (403, errno.EACCES)
    assert "cannot delete" in denied["error"] and "docs/kubernetes/" in denied["error"]
    account[1].write_text("worthless")
    unknown = calls(account[0])("GET", f"{path}/one")
    assert (unknown["status"], unknown["code"]) == (401, errno.EACCES)


def test_access_is_read_for_each_call(api, ns, account, calls):
    kubeconfig, token = account
    call = calls(kubeconfig)
    path = f"{CORE}/persistentvolumes?limit=1"
    good = token.read_text()
    assert call("GET", path)["error"] is None
    token.unlink()
    away = call("GET", path)
    assert away["status"] == 0 and away["class"] == TRANSIENT and "token" in away["error"]
    token.write_text(good)
    assert call("GET", path)["error"] is None


def test_api_that_is_away(api, admin, calls, tmp_path):
    call = calls(admin)
    path = f"{CORE}/namespaces"
    api.lab("stop")
    away = call("GET", path)
    assert away["status"] == 0 and away["class"] == TRANSIENT and away["error"]
    api.lab("start")
    assert call("GET", path)["error"] is None
    proxy = Proxy(api.port)
    user = {"client-certificate": str(api.dir / "admin.crt"),
            "client-key": str(api.dir / "admin.key")}
    behind = calls(api.kubeconfig(tmp_path / "proxied", user, proxy.port))
    assert behind("GET", path)["error"] is None
    proxy.hold()
    slow = behind("GET", path, timeout_s=0.5)
    assert (slow["status"], slow["code"], slow["class"]) == (0, errno.ETIMEDOUT, TRANSIENT)
    assert behind("GET", path, cancel_s=0.2) == {"cancelled": True}
    proxy.heal()
    assert behind("GET", path)["error"] is None
    proxy.close()


def test_answers_of_no_api(api, calls, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(api.dir / "server.crt", api.dir / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    call = calls(api.kubeconfig(tmp_path / "hostile", {"token": "secret"}, server.server_port))

    def said(status, body, **headers):
        server.says = (status, headers, body)
        return call("PATCH", "/x", {"a": 1})
    for body in (b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000):
        got = said(200, body)
        assert (got["status"], got["code"], got["class"]) == (200, errno.EPROTO, PEER), body[:9]
    assert said(200, b"")["error"] is None
    assert said(302, b"", Location="https://127.0.0.1:1/")["code"] == errno.EPROTO
    assert [seen[1] for seen in server.seen] == ["/x"] * 7, "no redirect is followed"
    assert all("Expect" not in seen[2] for seen in server.seen)
    for status, code, kind in ((429, errno.EAGAIN, TRANSIENT), (503, errno.EAGAIN, TRANSIENT),
                               (418, errno.EINVAL, PERMANENT)):
        got = said(status, b"<html>")
        assert (got["code"], got["class"]) == (code, kind) and f"{status}" in got["error"]
    long = said(500, json.dumps({"message": "m" * 9000}).encode())
    assert 200 < len(long["error"]) < 600
    assert said(500, b'{"message": {}}')["error"].endswith("without a reason")
    large = said(200, b'"' + b"x" * (33 << 20) + b'"')
    assert (large["code"], large["class"]) == (errno.EMSGSIZE, PEER)
    cut = said(200, b"{}", **{"Content-Length": "5000", "Connection": "close"})
    assert cut["class"] == TRANSIENT and cut["status"] == 0
    server.says = None
    assert call("GET", "/x", timeout_s=0.3)["code"] == errno.ETIMEDOUT
    server.shutdown()
