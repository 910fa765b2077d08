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
    """slow: machines whose instance stays when it is stopped, or is never running. host: where they run.
    started: those that are Manual, and somebody started. A machine whose Secret is not there does not run."""

    def __init__(self, api, host=None):
        self.api = api
        self.host = host or Paper()
        self.slow, self.started = set(), set()
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

    def is_wanted(self, vm):
        spec, meta = vm["spec"], vm["metadata"]
        strategy = spec.get("runStrategy")
        machine = (meta["namespace"], meta["name"])
        if strategy != "Manual":
            self.started.discard(machine)
        return spec.get("running") or strategy in ("Always", "RerunOnFailure") or machine in self.started

    def phase(self, ns, vm):
        volumes = vm["spec"].get("template", {}).get("spec", {}).get("volumes", [])
        try:
            for name in [v["secret"]["secretName"] for v in volumes if "secret" in v]:
                self.api.get(f"{CORE}/namespaces/{ns}/secrets/{name}")
        except ApiError:
            return "Scheduling"
        return "Running"

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
                                       "status": {"phase": self.phase(ns, vm)}})
            elif machine in there and self.phase(ns, vm) == "Running":
                self.api.patch(f"{path}/{name}", {"status": {"phase": "Running"}})

    # --- what virt-api asks of them ---------------------------------------------------------------

    def instance(self, ns, name):
        try:
            return self.api.get(f"{VM_API}/namespaces/{ns}/virtualmachineinstances/{name}")
        except ApiError:
            return None

    def call_start(self, ns, name):
        """None, or why not."""
        vm = self.api.get(f"{VM_API}/namespaces/{ns}/virtualmachines/{name}")
        if self.instance(ns, name):
            return "VM is already running"
        if vm["spec"].get("runStrategy") != "Manual":
            return f"{vm['spec'].get('runStrategy')} does not support manual start requests"
        self.started.add((ns, name))
        return None

    def call_stop(self, ns, name, options):
        """A halted machine that is still there goes at once where it is given no time. None, or why not."""
        vm = self.api.get(f"{VM_API}/namespaces/{ns}/virtualmachines/{name}")
        if not self.instance(ns, name):
            return "VM is not running"
        if vm["spec"].get("runStrategy") == "Halted" and options.get("gracePeriod") != 0:
            return "Halted does not support manual stop requests"
        self.started.discard((ns, name))
        self.slow.discard(name)
        return None

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
