# SPDX-License-Identifier: Apache-2.0
"""The lab's Kubernetes API as a test uses it: the administrator's hands, and those of the controllers
that the lab does not have."""
import base64
import contextlib
import json
import pathlib
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request

import pytest
import yaml

from . import SOURCE, wait_for

LAB = SOURCE / "tests/lab/kube"
CORE = "/api/v1"
PVC = "persistentvolumeclaims"
VM_API = "/apis/kubevirt.io/v1"
MERGE = "application/merge-patch+json"
IMPOSSIBLE = 77


def any_kind(plural, kind, group="kubevirt.io", version="v1"):
    """The definition of a kind of which the API checks nothing."""
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced",
                     "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
                     "versions": [{"name": version, "served": True, "storage": True, "schema": {
                         "openAPIV3Schema": {"type": "object",
                                             "x-kubernetes-preserve-unknown-fields": True}}}]}}


# Of KubeVirt's own definitions only what a client sees of them.
VM_KINDS = [any_kind("virtualmachines", "VirtualMachine"),
            any_kind("virtualmachineinstances", "VirtualMachineInstance"),
            any_kind("datavolumes", "DataVolume", "cdi.kubevirt.io", "v1beta1"),
            any_kind("virtualmachineinstancetypes", "VirtualMachineInstancetype",
                     "instancetype.kubevirt.io", "v1beta1")]


@contextlib.contextmanager
def server():
    """The directory of an API server that ends with it. Where none can be built the test is skipped."""
    with tempfile.TemporaryDirectory(prefix="farshore-kube-") as made:
        directory = f"{made}/lab"
        code = subprocess.run([LAB, "up", "--dir", directory], check=False,
                              stdin=subprocess.DEVNULL).returncode
        assert code in (0, IMPOSSIBLE)
        if code == IMPOSSIBLE:
            pytest.skip("there is no API server: tests/lab/kube up says why")
        try:
            yield directory
        finally:
            subprocess.run([LAB, "down", "--dir", directory], check=True, stdin=subprocess.DEVNULL)


class ApiError(Exception):
    def __init__(self, status, message):
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class Api:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.known = json.loads((self.dir / "kube.json").read_text())
        self.port = self.known["port"]
        trust = ssl.create_default_context(cafile=self.dir / "ca.crt")
        trust.load_cert_chain(self.dir / "admin.crt", self.dir / "admin.key")
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                                  urllib.request.HTTPSHandler(context=trust))

    def lab(self, command):
        """stop, start, pause, continue"""
        subprocess.run([LAB, command, "--dir", self.dir], check=True, stdin=subprocess.DEVNULL)

    def request(self, method, path, body=None, content="application/json"):
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content})
        try:
            with self.opener.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as failed:
            raise ApiError(failed.code, failed.read().decode(errors="replace")) from None

    def get(self, path):
        return self.request("GET", path)

    def create(self, path, body):
        return self.request("POST", path, body)

    def patch(self, path, body):
        return self.request("PATCH", path, body, MERGE)

    def delete(self, path):
        with contextlib.suppress(ApiError):  # gone is gone
            self.request("DELETE", path)

    def compact(self):
        """etcd forgets every version but the newest."""
        def ask(what, body):
            url = f"http://127.0.0.1:{self.known['etcd']}/v3/kv/{what}"
            with self.opener.open(urllib.request.Request(url, json.dumps(body).encode())) as answer:
                return json.loads(answer.read())
        header = ask("range", {"key": base64.b64encode(b"/").decode()})["header"]
        ask("compaction", {"revision": header["revision"], "physical": True})

    # --- what users make ----------------------------------------------------------------------

    def namespace(self, name):
        self.create(f"{CORE}/namespaces", {"metadata": {"name": name}})

    def define_vms(self):
        """KubeVirt's kinds of objects; there from the call's end on."""
        for definition in VM_KINDS:
            with contextlib.suppress(ApiError):
                self.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)

        def served():
            with contextlib.suppress(ApiError):
                return [self.get(f"/apis/{d['spec']['group']}/{d['spec']['versions'][0]['name']}/"
                                 f"{d['spec']['names']['plural']}") for d in VM_KINDS]
            return None
        wait_for(served, 30, "virtual machines are served")

    @staticmethod
    def pvc_path(ns, name=None):
        return f"{CORE}/namespaces/{ns}/{PVC}" + (f"/{name}" if name else "")

    def pvc(self, ns, name, labels=None, size="16Mi"):
        return self.create(self.pvc_path(ns), {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block",
                     "resources": {"requests": {"storage": size}}}})

    def label(self, ns, name, labels):
        """A value of None takes the label off."""
        self.patch(self.pvc_path(ns, name), {"metadata": {"labels": labels}})

    def vm(self, ns, name, *volumes):
        """A volume: the name of a PVC, or a dictionary as KubeVirt has it."""
        disks = [{"name": f"disk{i}", "persistentVolumeClaim": {"claimName": v}}
                 if isinstance(v, str) else {"name": f"disk{i}", **v}
                 for i, v in enumerate(volumes)]
        body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
                "metadata": {"name": name}, "spec": {"template": {"spec": {"volumes": disks}}}}
        path = f"{VM_API}/namespaces/{ns}/virtualmachines"
        try:
            return self.create(path, body)
        except ApiError as failed:
            if failed.status != 409:
                raise
            return self.patch(f"{path}/{name}", {"spec": body["spec"]})

    # --- what controllers do ------------------------------------------------------------------

    def bind(self, ns, name, image, cluster_id, pool="rbd", driver="rbd.csi.ceph.com", **more):
        """A PV for the PVC, as ceph-csi's provisioner makes it, and both are bound."""
        claim = self.get(self.pvc_path(ns, name))
        volume = f"pv-{claim['metadata']['uid']}"
        attributes = {"pool": pool, "imageName": image, "clusterID": cluster_id, **more}
        self.create(f"{CORE}/persistentvolumes", {
            "metadata": {"name": volume},
            "spec": {"accessModes": ["ReadWriteOnce"],
                     "capacity": claim["spec"]["resources"]["requests"],
                     "volumeMode": "Block", "persistentVolumeReclaimPolicy": "Retain",
                     "claimRef": {"namespace": ns, "name": name, "kind": "PersistentVolumeClaim",
                                  "apiVersion": "v1", "uid": claim["metadata"]["uid"]},
                     "csi": {"driver": driver, "volumeHandle": f"0001-{image}",
                             "volumeAttributes": attributes}}})
        self.patch(self.pvc_path(ns, name), {"spec": {"volumeName": volume}})
        for path in (f"{CORE}/persistentvolumes/{volume}", self.pvc_path(ns, name)):
            self.patch(f"{path}/status", {"status": {"phase": "Bound"}})
        return volume

    def remove(self, ns, name):
        """Deletes the PVC and its PV, past the finalizers that nobody here would take off."""
        with contextlib.suppress(ApiError):
            volume = self.get(self.pvc_path(ns, name))["spec"].get("volumeName")
            paths = [self.pvc_path(ns, name)] + \
                ([f"{CORE}/persistentvolumes/{volume}"] if volume else [])
            for path in paths:
                self.patch(path, {"metadata": {"finalizers": None}})
                self.delete(path)

    def clear(self, ns):
        """Nothing of the namespace is left, and no PV, but the namespace."""
        for name in [c["metadata"]["name"] for c in self.get(self.pvc_path(ns))["items"]]:
            self.remove(ns, name)
        for volume in self.get(f"{CORE}/persistentvolumes")["items"]:
            path = f"{CORE}/persistentvolumes/{volume['metadata']['name']}"
            self.patch(path, {"metadata": {"finalizers": None}})
            self.delete(path)
        for definition in VM_KINDS:
            spec = definition["spec"]
            path = (f"/apis/{spec['group']}/{spec['versions'][0]['name']}/namespaces/{ns}/"
                    f"{spec['names']['plural']}")
            with contextlib.suppress(ApiError):
                for name in [v["metadata"]["name"] for v in self.get(path)["items"]]:
                    self.delete(f"{path}/{name}")

    # --- accounts -----------------------------------------------------------------------------

    def apply(self, file):
        """Every document of a manifest; what is there is made anew, but namespaces."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        for document in yaml.safe_load_all(pathlib.Path(file).read_text()):
            metadata = document["metadata"]
            path = {"Namespace": f"{CORE}/namespaces",
                    "ServiceAccount":
                        f"{CORE}/namespaces/{metadata.get('namespace')}/serviceaccounts",
                    "ClusterRole": f"{rbac}/clusterroles",
                    "ClusterRoleBinding": f"{rbac}/clusterrolebindings"}[document["kind"]]
            if document["kind"] != "Namespace":
                self.delete(f"{path}/{metadata['name']}")
            with contextlib.suppress(ApiError):
                self.create(path, document)

    def token(self, ns, account):
        path = f"{CORE}/namespaces/{ns}/serviceaccounts/{account}/token"
        answer = self.create(path, {"apiVersion": "authentication.k8s.io/v1",
                                    "kind": "TokenRequest", "spec": {}})
        return answer["status"]["token"]

    def kubeconfig(self, path, user, port=None):
        """user: as in a kubeconfig. port: of what stands before the API."""
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": f"https://127.0.0.1:{port or self.port}",
                "certificate-authority": str(self.dir / "ca.crt")}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me"}}]}))
        return path
