# SPDX-License-Identifier: Apache-2.0
"""Where the controllers of kubevirt.py run machines for real: a guest under qemu for each, on the images that
its PVCs are bound to at this site."""
from .guest import Guest
from .kube import CORE


class VmHost:
    def __init__(self, api, site, boot):
        self.api, self.site, self.boot = api, site, boot
        self.blank = set()  # images POOL/NAME that get a file system at the first start
        self.guests = {}    # those that run, by machine
        self.started = []   # all that ever did, the newest last

    def images(self, ns, vm):
        """In the order of the machine's disks, as the site's CSI driver finds them; None: one is not bound."""
        found = []
        for disk in vm["spec"]["template"]["spec"]["volumes"]:
            if "persistentVolumeClaim" not in disk:
                continue
            claim = self.api.get(self.api.pvc_path(ns, disk["persistentVolumeClaim"]["claimName"]))
            if claim.get("status", {}).get("phase") != "Bound":
                return None
            volume = self.api.get(f"{CORE}/persistentvolumes/{claim['spec']['volumeName']}")
            attributes = volume["spec"]["csi"]["volumeAttributes"]
            if attributes["clusterID"] != self.site.fsid:
                raise ValueError(f"the driver at {self.site.name} knows no cluster of {attributes}")
            found.append(f"{attributes['pool']}/{attributes['imageName']}")
        return found

    def start(self, machine, vm):
        images = self.images(machine[0], vm)
        if not images:
            return False
        guest = Guest(self.boot, self.site, images, new=self.blank.issuperset(images))
        self.blank -= set(images)
        self.guests[machine] = guest
        self.started.append(guest)
        return True

    def runs(self, machine):
        guest = self.guests.get(machine)
        return guest is not None and guest.process.poll() is None

    def stop(self, machine):
        """Asked to halt, and switched off where it does not: it has not started, or its disks fail."""
        guest = self.guests.pop(machine, None)
        if guest is None:
            return
        try:
            if guest.heard("ready") is None:
                raise RuntimeError(f"{guest.name} hears nothing yet")
            guest.halt()
        except (RuntimeError, OSError) as failed:
            print("host:", failed)
            guest.kill()

    def lose_power(self):
        while self.guests:
            self.guests.popitem()[1].kill()
