# SPDX-License-Identifier: Apache-2.0
"""An admission webhook that says no to whatever it is asked about."""
import base64
import http.server
import json
import ssl
import subprocess
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": asked["uid"], "allowed": False, "status": {
                "code": 403, "message": f"nobody may make a {asked['kind']['kind']} here"}}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Webhook:
    """Asked by the API server while it lives, before a core resource of that plural is made."""

    def __init__(self, api, name, resource, directory):
        self.api = api
        key, certificate = directory / "hook.key", directory / "hook.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                        "-subj", "/CN=hook", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                        "-out", certificate], check=True, capture_output=True)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        self.path = f"{hooks}/{name}"
        api.create(hooks, {"metadata": {"name": name}, "webhooks": [{
            "name": "no.example.net", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 5,
            "clientConfig": {"url": f"https://127.0.0.1:{self.server.server_address[1]}/no",
                             "caBundle": base64.b64encode(certificate.read_bytes()).decode()},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                       "resources": [resource]}]}]})

    def close(self):
        self.api.delete(self.path)
        self.server.shutdown()
        self.server.server_close()
