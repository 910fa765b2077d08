# SPDX-License-Identifier: Apache-2.0
"""What stands behind the API's aggregation in the place of KubeVirt's virt-api: it freezes virtual
machines on request, has the controllers start and stop them, and is as slow, broken or rude as a test wants."""
import contextlib
import http.server
import json
import re
import ssl
import subprocess
import threading
import time

from . import wait_for
from .kube import ApiError

GROUP = "subresources.kubevirt.io"
VERB = re.compile(rf"/apis/{GROUP}/v1/namespaces/([^/]+)/(?:"
                  r"virtualmachineinstances/([^/]+)/(freeze|unfreeze)|"
                  r"virtualmachines/([^/]+)/(start|stop))$")


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body):
        self.send_response(status)
        text = json.dumps(body).encode() if body is not None else b""
        if text:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def status(self, code, reason, message):
        self.answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                           "reason": reason, "message": message})

    def do_GET(self):  # noqa: N802
        self.answer(200, {"kind": "APIResourceList", "apiVersion": "v1",
                          "groupVersion": f"{GROUP}/v1", "resources": []})

    def do_PUT(self):  # noqa: N802
        virt = self.server.virt
        ns, name, verb = (group for group in VERB.search(self.path).groups() if group)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mode = virt.modes.get(verb, "")
        with virt.lock:
            virt.calls.append((verb, f"{ns}/{name}", time.time(), json.loads(body or b"{}")))
        if mode == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if mode == "fail":
            self.status(500, "InternalError", "the guest agent does not answer")
            return
        if isinstance(mode, float):
            time.sleep(mode)
        if verb in ("start", "stop"):
            refused = virt.controllers.call_start(ns, name) if verb == "start" else \
                virt.controllers.call_stop(ns, name, json.loads(body or b"{}"))
            if refused:
                self.status(409, "Conflict", refused)
            else:
                self.answer(202, None)
            return
        if (ns, name) not in virt.running:
            self.status(404, "NotFound", f'virtualmachineinstance.kubevirt.io "{name}" not found')
            return
        with virt.lock:
            virt.frozen.discard((ns, name))
            if verb == "freeze":
                virt.frozen.add((ns, name))
        self.answer(200, None)


class VirtApi:
    """controllers: kubevirt.Controllers of the machines that are started and stopped."""

    def __init__(self, api, ns, directory, controllers=None):
        self.api, self.ns, self.controllers = api, ns, controllers
        self.lock = threading.Lock()
        self.modes, self.calls, self.frozen, self.running = {}, [], set(), set()
        key, certificate = directory / "virt.key", directory / "virt.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                        "-subj", "/CN=virt-api", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.virt = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.register()

    def register(self):
        """The API hands what is asked of the group to us, after it has seen who asks."""
        port = self.server.server_address[1]
        self.service = f"/api/v1/namespaces/{self.ns}/services"
        self.path = "/apis/apiregistration.k8s.io/v1/apiservices"
        self.api.create(self.service, {
            "metadata": {"name": "virt-api"},
            "spec": {"type": "ExternalName", "externalName": "localhost",
                     "ports": [{"port": port}]}})
        self.api.create(self.path, {
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": f"v1.{GROUP}"},
            "spec": {"group": GROUP, "version": "v1", "groupPriorityMinimum": 1000,
                     "versionPriority": 15, "insecureSkipTLSVerify": True,
                     "service": {"namespace": self.ns, "name": "virt-api", "port": port}}})

        def served():
            with contextlib.suppress(ApiError):
                return self.api.get(f"/apis/{GROUP}/v1")
            return None
        wait_for(served, 60, "the subresources are served")

    def close(self):
        self.api.delete(f"{self.path}/v1.{GROUP}")
        self.api.delete(f"{self.service}/virt-api")
        self.server.shutdown()
        self.server.server_close()

    def forget(self):
        with self.lock:
            self.calls.clear()

    def verbs(self):
        with self.lock:
            return [verb for verb, *_ in self.calls]
