# SPDX-License-Identifier: Apache-2.0
"""The whole story, once: two real clusters, each with a real Kubernetes API, and a labelled virtual machine
that really runs, where and when its object says so. It moves to the other site without a loss, that site
is lost, it comes back with what the failover told, the lost site follows again, and it moves once more."""
import concurrent.futures
import contextlib
import json
import time

import pytest
from harness import wait_for
from harness.guest import SIZE
from harness.kube import CORE, VM_API, Api, server
from harness.kubevirt import Place
from harness.site import lab
from harness.tool import farshore
from harness.vm_host import VmHost
from workload import (LABELS, POLICY, becomes, check_survivors, failover, fenced, land, last_records, lose,
                      no_points, operate)

NS, VM, CLAIMS = "store", "web", ("root", "data")
GROUP = f"{NS}/shop"
MACHINE = (NS, VM)
IMAGES = [f"rbd/csi-vol-{claim}" for claim in CLAIMS]
# KubeVirt has minutes for each, too.
WORKLOAD = {"stop_timeout": "3m", "start_timeout": "3m"}
START_S = 180


@pytest.fixture(scope="module")
def servers():
    with contextlib.ExitStack() as made, concurrent.futures.ThreadPoolExecutor(2) as each:
        yield list(each.map(lambda _: made.enter_context(server()), range(2)))


@pytest.fixture
def places(servers, east, west, lab_dir, daemons, workdir, boot_files):
    """What runs there ends before the daemons do, and they find both clusters up, whatever happened."""
    assert daemons
    made = {}
    for site, directory in zip((east, west), servers):
        api = Api(directory)
        made[site.name] = Place(api, workdir / f"kube-{site.name}", site,
                                ("rbac", "rbac-objects", "rbac-workloads"), VmHost(api, site, boot_files))
    yield made
    for place in made.values():
        place.controllers.close()
        for guest in place.host.started:
            print(f"--- {guest.name}", guest, sep="\n")
        place.host.lose_power()
    start_cluster(west, lab_dir)


class Story:
    """What happens to the machine. How long each chapter took is printed, and nothing is made of it."""

    def __init__(self, pair, places, capsys):
        self.pair, self.places, self.capsys = pair, places, capsys
        self.began = time.monotonic()

    def chapter(self, title):
        now = time.monotonic()
        with self.capsys.disabled():
            print(f"\n{now - self.began:6.1f} s  {title}", end="", flush=True)
        self.began = now

    def guest(self, site):
        """The machine that runs there, once it does."""
        place = self.places[site]
        wait_for(lambda: place.runs(*MACHINE) and place.host.runs(MACHINE), START_S,
                 lambda: f"{VM} runs at {site}: {self.history(site)}")
        return place.host.guests[MACHINE].ready()

    def history(self, site):
        return farshore(getattr(self.pair, site), "history", GROUP).stdout

    def is_off(self, site):
        place = self.places[site]
        return not place.runs(*MACHINE) and not place.host.runs(MACHINE)

    def relocate(self, source, target, machine):
        """The machine is halted in order, and has every acknowledged record where it starts."""
        here, there = getattr(self.pair, source), getattr(self.pair, target)
        operate(here, "relocate", "--to", target, group=GROUP)
        assert self.is_off(source) and machine.heard("halted") is not None, machine
        moved = self.guest(target)
        assert last_records(moved) == (machine.last(), machine.last())
        becomes(here, "secondary", GROUP)
        moved.write(10)
        land(there, here, 2, GROUP)
        return moved


def make_machine(place, site):
    """As its owner does: PVCs with labels, a machine that uses them, and what it needs."""
    api = place.api
    api.namespace(NS)
    for claim in CLAIMS:
        image = f"csi-vol-{claim}"
        site.create(image, SIZE)
        api.pvc(NS, claim, {"app": LABELS["app"]}, f"{SIZE >> 20}Mi")
        api.bind(NS, claim, image, site.fsid)
        place.host.blank.add(f"rbd/{image}")
    api.create(f"{CORE}/namespaces/{NS}/configmaps",
               {"metadata": {"name": "settings", "labels": {"app": LABELS["app"]}}, "data": {"a": "1"}})
    api.vm(NS, VM, *CLAIMS, {"configMap": {"name": "settings"}})
    api.patch(f"{VM_API}/namespaces/{NS}/virtualmachines/{VM}",
              {"metadata": {"labels": {"app": LABELS["app"]}}, "spec": {"runStrategy": "Always"}})


def protect(daemons, places):
    pair = daemons(start=False)
    for daemon in pair:
        daemon.config["discovery"] = [{
            "source": "kubernetes", "kubeconfig": str(places[daemon.site.name].kubeconfig),
            "interval": "1s", "workloads": True, "storage_classes": {"*": "rbd"}}]
        daemon.config["policies"]["gold"].update({**POLICY, "workload": WORKLOAD})
        daemon.write_config()
    return pair.start()


def namespaces(place):
    return {n["metadata"]["name"] for n in place.api.get(f"{CORE}/namespaces")["items"]}


def left(site):
    """The images that have a snapshot with what only this site had."""
    found = set()
    for image in IMAGES:
        with site.image(image.removeprefix("rbd/"), read_only=True) as disk:
            found |= {image for s in disk.list_snaps() if s["name"].startswith("farshore.left.")}
    return found


def carried(daemon):
    """(kind, name) of what the newest point there has of Kubernetes."""
    told = json.loads(farshore(daemon, "objects", "-o", "json", GROUP).stdout or "{}")
    return {(o["kind"], o["name"]) for o in told.get("objects", []) if o["here"] != "not in the point"}


def lose_site(place, daemon, lab_dir):
    """At once: nobody is told, nothing is closed. Returns who was on its images."""
    users = clients(daemon.site)
    place.controllers.close()
    place.host.lose_power()
    place.api.lab("stop")
    lose(daemon, lab_dir)
    return users


def clients(site):
    """Addresses of those that have each image open."""
    return {image.replace("//", "/"): set(addresses) for image, addresses in site.watchers().items()}


def start_cluster(site, lab_dir):
    for ceph in ("mon", "osd"):
        lab("start", lab_dir, site.name, ceph)


def bring_back(place, site, dead, lab_dir):
    """All of it but Farshore. The machine's object is as it was, so it is started there: on each image is
    somebody who was not when the site was lost."""
    start_cluster(site, lab_dir)
    place.api.lab("start")
    place.start_controllers()

    def started():
        users = clients(site)
        return place.host.runs(MACHINE) and all(users.get(i, set()) - dead.get(i, set()) for i in IMAGES)
    wait_for(started, START_S, lambda: f"{VM} is started at {site.name}: {place.host.started[-1]}")


def test_the_whole_story(east, west, lab_dir, daemons, places, capsys):
    pair = protect(daemons, places)
    story = Story(pair, places, capsys)
    make_machine(places["east"], east)
    machine = story.guest("east")
    machine.write(10)
    for claim in CLAIMS:
        places["east"].api.label(NS, claim, LABELS)
    pair.ready(GROUP)
    whole = {("VirtualMachine", VM), ("ConfigMap", "settings"),
             *(("PersistentVolumeClaim", claim) for claim in CLAIMS)}
    wait_for(lambda: carried(pair.west) >= whole, 60, lambda: f"objects: {carried(pair.west)}")
    land(pair.east, pair.west, 2, GROUP)
    story.chapter("labelled, and points at west")
    assert NS not in namespaces(places["west"])
    machine = story.relocate("east", "west", machine)
    settings = places["west"].api.get(f"{CORE}/namespaces/{NS}/configmaps/settings")
    assert settings["data"] == {"a": "1"}
    assert ("farshore", "Apply") in {(m["manager"], m["operation"])
                                     for m in settings["metadata"]["managedFields"]}
    story.chapter("relocated to west")
    dead = lose_site(places["west"], pair.west, lab_dir)
    told, asked = failover(pair.east, "best-effort", GROUP)
    survivor = story.guest("east")
    there = check_survivors(machine, survivor, told, asked)
    survivor.write(10)
    story.chapter(f"failed over to east, at most {told['loss_seconds']:.1f} s lost")
    bring_back(places["west"], west, dead, lab_dir)
    story.chapter("the lost site is back, and starts its machine")
    pair.west.start()
    becomes(pair.west, "superseded", GROUP)
    wait_for(lambda: fenced(pair.west, GROUP) >= set(IMAGES), 90, lambda: f"fenced: {pair.west.group(GROUP)}")
    wait_for(lambda: "until farshore unfence" in story.history("west"), START_S,
             lambda: f"{VM} is fenced and off at west: {story.history('west')}")
    assert story.is_off("west")
    assert places["west"].vm(*MACHINE)["spec"]["runStrategy"] == "Halted"
    story.chapter("superseded, and its machine is fenced and stopped")
    assert farshore(pair.west, "unfence", GROUP).returncode == 0
    operate(pair.west, "failback", group=GROUP)
    assert left(west) == set(IMAGES) or machine.last() == there
    land(pair.east, pair.west, 2, GROUP)
    story.chapter("west follows")
    machine = story.relocate("east", "west", survivor)
    with no_points(pair.west, GROUP):
        places["west"].set_run(*MACHINE, "Halted")
        wait_for(lambda: story.is_off("west"), START_S, "it is off at west")
    story.chapter("relocated to west again")
