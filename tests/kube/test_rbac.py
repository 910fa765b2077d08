# SPDX-License-Identifier: Apache-2.0
"""docs/kubernetes/rbac.yaml is what the daemon needs: all of it, and nothing else."""
import copy
import ssl
import urllib.error
import urllib.request

import pytest
from harness import wait_for
from harness.kube import CORE, VM_API
from test_client import watch  # noqa: F401  (a fixture)

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore"


def status(api, token, method, path):
    """What the server answers to the account itself."""
    trust = ssl.create_default_context(cafile=api.dir / "ca.crt")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                         urllib.request.HTTPSHandler(context=trust))
    request = urllib.request.Request(f"https://127.0.0.1:{api.port}{path}", method=method,
                                     data=b"{}" if method == "PATCH" else None,
                                     headers={"Authorization": f"Bearer {token}",
                                              "Content-Type": "application/merge-patch+json"})
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as failed:
        return failed.code


def test_it_is_enough(api, account, watch):  # noqa: F811
    api.define_vms()
    watch(account[0]).until_whole()


def test_it_is_all_needed(api, account, watch):  # noqa: F811
    api.define_vms()
    role = api.get(ROLE)
    watch(account[0]).until_whole()
    paths = {"virtualmachines": f"{VM_API}/virtualmachines"}
    for i, rule in enumerate(role["rules"]):
        if rule["verbs"] == ["update"]:  # freezing: test_quiesce.py's
            continue
        for verb in rule["verbs"]:
            less = copy.deepcopy(role["rules"])
            less[i]["verbs"] = [v for v in rule["verbs"] if v != verb]
            api.patch(ROLE, {"rules": less})
            resource = rule["resources"][0]
            query = "?watch=1&timeoutSeconds=1" if verb == "watch" else ""
            path = paths.get(resource, f"{CORE}/{resource}") + query
            token = account[1].read_text()
            wait_for(lambda path=path, token=token: status(api, token, "GET", path) == 403, 20,
                     f"{verb} {resource} is forbidden")
            said = watch(account[0]).until_trouble("HTTP status 403")["trouble"]
            assert resource in said and "rbac.yaml" in said
    api.patch(ROLE, {"rules": role["rules"]})


@pytest.mark.parametrize("method, path", [
    ("GET", f"{CORE}/secrets"), ("GET", f"{CORE}/pods"), ("GET", f"{CORE}/namespaces"),
    ("PATCH", f"{CORE}/namespaces/farshore/persistentvolumeclaims/x"),
    ("DELETE", f"{CORE}/persistentvolumes/x")])
def test_it_allows_nothing_else(api, account, method, path):
    assert status(api, account[1].read_text(), method, path) == 403
