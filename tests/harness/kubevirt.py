# SPDX-License-Identifier: Apache-2.0
"""What KubeVirt's and the PV controller do, as far as a client of the API sees it: instances come and go as
the virtual machines say, and PVCs are bound to the PV that they name."""
import threading
from http.client import HTTPException

from .kube import CORE, VM_API, ApiError


class Controllers:
    """slow: machines whose instance stays when it is stopped, or is never running."""

    def __init__(self, api):
        self.api = api
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
            ns, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
            path = f"{VM_API}/namespaces/{ns}/virtualmachineinstances"
            wanted = self.is_wanted(vm)
            if name in self.slow:
                continue
            if wanted and (ns, name) not in there:
                self.api.create(path, {"apiVersion": "kubevirt.io/v1",
                                       "kind": "VirtualMachineInstance",
                                       "metadata": {"name": name}, "spec": {},
                                       "status": {"phase": "Running"}})
            elif not wanted and (ns, name) in there:
                self.api.delete(f"{path}/{name}")

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
