# SPDX-License-Identifier: Apache-2.0
"""What `farshore doctor` finds of Kubernetes: rights of the account, and PVs that would delete a replica."""
import copy
import json
import re
import shlex

import pytest
from harness import MIB, SOURCE, wait_for
from harness.kube import CORE, MERGE
from harness.tool import farshore

GOLD = {"farshore.io/policy": "gold"}
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore"


@pytest.fixture
def start(api, ns, account, east, daemons):
    assert ns and east
    api.define_vms()
    api.apply(SOURCE / "docs/kubernetes/rbac-events.yaml")
    source = {"source": "kubernetes", "kubeconfig": str(account[0]), "interval": "2s"}
    return lambda: daemons(policies={"gold": {}}, settings={"discovery": [source]})


def findings(daemon, check):
    """[(level, message, hint)] of one check."""
    said = json.loads(farshore(daemon, "doctor", "-o", "json").stdout)["checks"]
    return [(c["level"], c["message"], c["hint"]) for c in said if c["check"] == check]


def levels(daemon, check):
    return [level for level, _, _ in findings(daemon, check)]


def test_rights_that_are_missing_or_too_many(api, start):
    role = api.get(ROLE)
    rules = copy.deepcopy(role["rules"])
    rules[1]["verbs"] = ["list"]
    rules.append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
    api.patch(ROLE, {"rules": rules})
    pair = start()
    wait_for(lambda: levels(pair.east, "rights") == ["error", "warning"], 20, lambda: findings(pair.east, "rights"))
    missing, needless = findings(pair.east, "rights")
    assert "may not watch persistentvolumes" in missing[1] and "kubectl apply" in missing[2]
    assert "get secrets" in needless[1]
    # The other site's daemon asks for itself, and mending it is all that it takes.
    api.patch(ROLE, {"rules": role["rules"]})
    wait_for(lambda: levels(pair.east, "rights") == levels(pair.west, "rights") == ["ok"], 30,
             lambda: findings(pair.east, "rights"))


def apply(api, hint):
    """Does what `kubectl patch` of the hint would."""
    kubectl, patch, kind, name, option, body = shlex.split(re.search("`(.*)`", hint)[1])
    assert (kubectl, patch, kind, option) == ("kubectl", "patch", "pv", "-p")
    api.request("PATCH", f"{CORE}/persistentvolumes/{name}", json.loads(body), MERGE)


def test_volumes_that_would_be_deleted_with_their_claim(api, ns, east, west, start):
    pair = start()
    east.create("csi-vol-data", 16 * MIB)
    api.pvc(ns, "data", GOLD)
    here = api.bind(ns, "data", "csi-vol-data", east.fsid)
    pair.ready(f"{ns}/data")
    assert levels(pair.east, "reclaim") == levels(pair.west, "reclaim") == []
    # At the other site, one that was made for the replica in advance.
    api.pvc(ns, "data-west", {})
    there = api.bind(ns, "data-west", "csi-vol-data", west.fsid)
    for name in (here, there):
        api.patch(f"{CORE}/persistentvolumes/{name}", {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    for daemon, name, words in ((pair.east, here, "once the other site is primary"),
                                (pair.west, there, "which is the replica")):
        wait_for(lambda: levels(daemon, "reclaim") == ["warning"], 20, lambda: farshore(daemon, "doctor").stdout)
        (_, message, hint), = findings(daemon, "reclaim")
        assert name in message and "rbd/csi-vol-data" in message and words in message
        shown = farshore(daemon, "status").stdout
        assert f"{ns}/data: when the PVC of PV {name} is deleted" in shown and hint in shown
        apply(api, hint)
        wait_for(lambda: not levels(daemon, "reclaim"), 20, "it is mended")
