# SPDX-License-Identifier: Apache-2.0
"""What KubeVirt's and the PV controller do, as far as a client of the API sees it: instances come and go as
the virtual machines say, and PVCs are bound to the PV that they name."""
import threading
from http.client import HTTPException

from . import SOURCE, wait_for
from .kube import CORE, VM_API, ApiError

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


class Paper:
    """A host on which every machine runs at once, and nothing does. Machines are (namespace, name)."""

    def start(self, _machine, _vm):
        """Whether it runs now; else it is tried again."""
        return True

    def runs(self, _machine):
        return True

    def stop(self, _machine):
        pass


class Controllers:
    """slow: machines whose instance stays when it is stopped, or is never running. host: where they run."""

    def __init__(self, api, host=None):
        self.api = api
        self.host = host or Paper()
        self.slow = set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.stop.set()
        self.thread.join()

    def run(self):
        while not self.stop.wait(0.1):
            for work in (self.machines, self.volumes):
                try:
                    work()
                except (ApiError, OSError, KeyError, ValueError, HTTPException) as failed:
                    print("controller:", repr(failed))  # pytest shows it where the test failed

    @staticmethod
    def is_wanted(vm):
        spec = vm["spec"]
        return spec.get("running") or spec.get("runStrategy") in ("Always", "RerunOnFailure")

    def machines(self):
        there = {(i["metadata"]["namespace"], i["metadata"]["name"])
                 for i in self.api.get(f"{VM_API}/virtualmachineinstances")["items"]}
        for vm in self.api.get(f"{VM_API}/virtualmachines")["items"]:
            machine = ns, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
            path = f"{VM_API}/namespaces/{ns}/virtualmachineinstances"
            if name in self.slow:
                continue
            if machine in there and not (self.is_wanted(vm) and self.host.runs(machine)):
                self.host.stop(machine)
                self.api.delete(f"{path}/{name}")
            elif machine not in there and self.is_wanted(vm) and self.host.start(machine, vm):
                self.api.create(path, {"apiVersion": "kubevirt.io/v1",
                                       "kind": "VirtualMachineInstance",
                                       "metadata": {"name": name}, "spec": {},
                                       "status": {"phase": "Running"}})

    def volumes(self):
        for pvc in self.api.get(f"{CORE}/persistentvolumeclaims")["items"]:
            volume, phase = pvc["spec"].get("volumeName"), pvc.get("status", {}).get("phase")
            if not volume or phase == "Bound":
                continue
            meta = pvc["metadata"]
            self.api.patch(f"{CORE}/persistentvolumes/{volume}",
                           {"spec": {"claimRef": {"uid": meta["uid"]}}})
            for path in (f"{CORE}/persistentvolumes/{volume}",
                         self.api.pvc_path(meta["namespace"], meta["name"])):
                self.api.patch(f"{path}/status", {"status": {"phase": "Bound"}})


class Place:
    """One site's Kubernetes: its API, the account of the daemon with the rights of these manifests of
    docs/kubernetes/, its StorageClass `rbd`, the controllers. host: as for those."""

    def __init__(self, api, directory, site, manifests=("rbac", "rbac-workloads"), host=None):
        self.api, self.host = api, host
        for name in manifests:
            api.apply(SOURCE / f"docs/kubernetes/{name}.yaml")
        directory.mkdir()
        (directory / "token").write_text(api.token("farshore", "farshore"))
        self.kubeconfig = api.kubeconfig(directory / "kubeconfig",
                                         {"tokenFile": str(directory / "token")})
        api.define_vms()
        api.delete(f"{CLASSES}/rbd")
        api.create(CLASSES, {"metadata": {"name": "rbd"}, "provisioner": "rbd.csi.ceph.com",
                             "parameters": {"clusterID": site.fsid, "pool": "rbd"}})
        self.start_controllers()

    def start_controllers(self):
        self.controllers = Controllers(self.api, self.host)

    def come_back(self):
        """The API server is started; it refuses everybody until it has read its roles."""
        self.api.lab("start")
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:serviceaccount:farshore:farshore",
            "resourceAttributes": {"verb": "get", "resource": "persistentvolumeclaims"}}}
        wait_for(lambda: self.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews",
                                         review)["status"]["allowed"], 30, "the account is let in")

    def vm(self, ns, name):
        return self.api.get(f"{VM_API}/namespaces/{ns}/virtualmachines/{name}")

    def set_run(self, ns, name, strategy):
        """As its owner would: Always or Halted."""
        self.api.patch(f"{VM_API}/namespaces/{ns}/virtualmachines/{name}",
                       {"spec": {"runStrategy": strategy}})

    def runs(self, ns, name):
        """Whether it has an instance."""
        try:
            self.api.get(f"{VM_API}/namespaces/{ns}/virtualmachineinstances/{name}")
            return True
        except ApiError:
            return False
