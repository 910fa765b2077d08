# SPDX-License-Identifier: Apache-2.0
"""Events and the annotation alone (tell_events.c) against the real API: what `kubectl describe` finds of
them, with the rights of docs/kubernetes/rbac-events.yaml, and with less."""
import copy
import json
import os
import subprocess
import threading
import time

import pytest
from harness import SOURCE, wait_for
from harness.daemon import build_dir
from harness.kube import CORE, VM_API

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore-events"
NOTE = "farshore.io/recovery-point-time"


class Teller:
    def __init__(self, kubeconfig):
        self.lines = []
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", build_dir() / "tests/kube/tell-events", kubeconfig],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def tell(self, ns, name, kind="pvc", **what):
        self.process.stdin.write(json.dumps({"ns": ns, "name": name, "kind": kind, **what}) + "\n")
        self.process.stdin.flush()

    def say(self, ns, name, reason, message="as it is", **more):
        self.tell(ns, name, reason=reason, message=message, **more)

    def troubles(self):
        return [line["trouble"] for line in self.lines if "trouble" in line]


@pytest.fixture
def teller(api, ns, account):
    assert ns
    api.define_vms()
    api.apply(SOURCE / "docs/kubernetes/rbac-events.yaml")
    one = Teller(account[0])
    yield one
    assert one.process.poll() is None
    one.process.kill()
    one.process.wait()
    print("---", *one.lines[-5:], sep="\n")


def vm_path(ns, name):
    return f"{VM_API}/namespaces/{ns}/virtualmachines/{name}"


def described(api, path):
    """What `kubectl describe` asks for."""
    found = api.get(path)
    metadata = found["metadata"]
    fields = {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
              "kind": found["kind"]}
    query = "%2C".join(f"involvedObject.{k}%3D{v}" for k, v in fields.items())
    return api.get(f"{CORE}/namespaces/{metadata['namespace']}/events?fieldSelector={query}")["items"]


def reasons(api, path):
    return {e["reason"]: e["count"] for e in described(api, path)}


def test_event_is_what_kubectl_describes(api, ns, teller):
    api.pvc(ns, "data")
    api.vm(ns, "web", "data")
    for kind, name, path in (("pvc", "data", api.pvc_path(ns, "data")), ("vm", "web", vm_path(ns, "web"))):
        teller.say(ns, name, "ProtectionLate", "shop/web is late: 10 s", kind=kind, warning=True)
        event, = wait_for(lambda path=path: described(api, path), 20, "an Event")
        assert (event["type"], event["reason"], event["message"], event["count"]) == \
            ("Warning", "ProtectionLate", "shop/web is late: 10 s", 1)
        assert event["source"]["component"] == event["reportingComponent"] == "farshore"
        assert event["firstTimestamp"] == event["lastTimestamp"] and event["reportingInstance"] == "east"
    # The newer API of Events has it, too.
    newer = api.get(f"/apis/events.k8s.io/v1/namespaces/{ns}/events")["items"]
    assert {e["regarding"]["name"] for e in newer} == {"data", "web"}
    assert not teller.lines


def test_repeated_event_is_counted(api, ns, teller):
    api.pvc(ns, "data")
    path = api.pvc_path(ns, "data")
    for i in range(1, 6):
        teller.say(ns, "data", "ProtectionLate", f"for the {i}. time", warning=True)
        wait_for(lambda i=i: reasons(api, path) == {"ProtectionLate": i}, 20, f"it is counted to {i}")
    teller.say(ns, "data", "ProtectionRecovered")
    wait_for(lambda: reasons(api, path) == {"ProtectionLate": 5, "ProtectionRecovered": 1}, 20, "another")
    late = next(e for e in described(api, path) if e["reason"] == "ProtectionLate")
    assert late["message"] == "for the 5. time" and late["lastTimestamp"] >= late["firstTimestamp"]
    # The API forgot it: it is made anew.
    api.delete(f"{CORE}/namespaces/{ns}/events/{late['metadata']['name']}")
    teller.say(ns, "data", "ProtectionLate")
    wait_for(lambda: reasons(api, path) == {"ProtectionLate": 1, "ProtectionRecovered": 1}, 20, "made anew")
    # A PVC of the same name is another one, and has none of the first one's.
    api.remove(ns, "data")
    api.pvc(ns, "data")
    assert not described(api, path)
    teller.say(ns, "data", "ProtectionLate")
    wait_for(lambda: reasons(api, path) == {"ProtectionLate": 1}, 20, "its own")
    assert not teller.lines


def test_annotation_comes_and_goes(api, ns, teller):
    api.pvc(ns, "data", {"app": "x"})
    api.vm(ns, "web", "data")
    machine = vm_path(ns, "web")
    before = api.get(machine)
    for kind, name, path in (("pvc", "data", api.pvc_path(ns, "data")), ("vm", "web", machine)):
        def note(path=path):
            return (api.get(path)["metadata"].get("annotations") or {}).get(NOTE)
        teller.tell(ns, name, kind, taken_s=1700000000)
        wait_for(lambda note=note: note() == "2023-11-14T22:13:20Z", 20, "it is noted")
        version = api.get(path)["metadata"]["resourceVersion"]
        teller.tell(ns, name, kind, taken_s=1700000000)
        teller.say(ns, name, "Protected", kind=kind)  # Events go first, so once more
        teller.tell(ns, name, kind, taken_s=1700000000)
        wait_for(lambda path=path: described(api, path), 20, "an Event")
        time.sleep(1)
        assert api.get(path)["metadata"]["resourceVersion"] == version  # nobody who watches is woken
        teller.tell(ns, name, kind, taken_s=None)
        wait_for(lambda note=note: not note(), 20, "it is gone")
    after = api.get(machine)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert not teller.lines


def test_objects_that_are_not_there_are_no_trouble(api, ns, teller):
    teller.say(ns, "gone", "Protected")
    teller.tell(ns, "gone", "vm", taken_s=1)
    teller.say("no-such-namespace", "gone", "Protected")
    teller.say("../..", "x/../../secrets/y", "Protected")
    api.pvc(ns, "last")
    teller.say(ns, "last", "Protected")
    wait_for(lambda: described(api, api.pvc_path(ns, "last")), 20, "what is there is told")
    assert not teller.lines


def test_namespace_that_ends_is_no_trouble(api, ns, teller):
    name = f"{ns}-ends"
    api.namespace(name)
    api.pvc(name, "data")
    api.patch(api.pvc_path(name, "data"), {"metadata": {"finalizers": ["example.com/stays"]}})
    api.delete(f"{CORE}/namespaces/{name}")
    wait_for(lambda: api.get(f"{CORE}/namespaces/{name}")["status"]["phase"] == "Terminating", 20, "it ends")
    teller.say(name, "data", "ProtectionEnded")
    api.pvc(ns, "last")
    teller.say(ns, "last", "Protected")
    wait_for(lambda: described(api, api.pvc_path(ns, "last")), 20, "what is there is told")
    assert not teller.lines
    api.remove(name, "data")


def test_api_that_is_away_gets_it_later(api, ns, teller):
    api.pvc(ns, "data")
    api.lab("stop")
    for i in range(600):  # more than are kept
        teller.say(ns, "data", f"Reason{i}")
    wait_for(teller.troubles, 20, "it says so")
    assert len(teller.troubles()) == 1
    api.lab("start")
    path = api.pvc_path(ns, "data")
    wait_for(lambda: len(described(api, path)) > 2, 60, "what waited is told")
    time.sleep(2)  # at its pace, so as not to overrun an API that has just come back
    assert len(described(api, path)) < 200
    assert len(teller.troubles()) == 1 and "Reason600" not in reasons(api, path)


def test_every_right_is_needed(api, ns, teller, account):
    """Also: what is refused is said once, and tried again a minute later at the earliest."""
    api.pvc(ns, "data")
    api.vm(ns, "web", "data")
    role = api.get(ROLE)
    for i, rule in enumerate(role["rules"]):
        for verb in rule["verbs"]:
            less = copy.deepcopy(role["rules"])
            less[i]["verbs"] = [v for v in rule["verbs"] if v != verb]
            api.patch(ROLE, {"rules": less})
            fresh = Teller(account[0])
            kind, name = ("vm", "web") if rule["resources"] == ["virtualmachines"] else ("pvc", "data")

            def refused(fresh=fresh, kind=kind, name=name):
                fresh.say(ns, name, "Protected", kind=kind)
                fresh.say(ns, name, "Protected", kind=kind)  # counted up
                fresh.tell(ns, name, kind, taken_s=int(time.time()))
                return fresh.troubles()
            said = wait_for(refused, 30, f"{verb} {rule['resources']} is refused", every_s=0.5)
            assert len(said) == 1 and "HTTP status 403" in said[0] and rule["resources"][0] in said[0]
            fresh.process.kill()
            fresh.process.wait()
    api.patch(ROLE, {"rules": role["rules"]})
