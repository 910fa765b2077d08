# SPDX-License-Identifier: Apache-2.0
"""The client of the API alone (watch_claims.c) against the real one: what it makes of objects, and
that it stays true to them whatever the server and the line do."""
import contextlib
import json
import os
import subprocess
import threading
import time

import pytest
import yaml
from harness import SOURCE, wait_for
from harness.daemon import build_dir
from harness.kube import CORE, VM_API, ApiError
from harness.proxy import Proxy

FSID = "5ec1a5b2-0000-4000-8000-000000000001"
GOLD = {"farshore.io/policy": "gold"}
SELECT = "farshore.io/policy=gold"


class Watch:
    """watch-claims, and the newest line that it printed."""

    def __init__(self, source, page=200, environment=None, selectors=(SELECT,)):
        self.lines = []
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", build_dir() / "tests/kube/watch-claims", source,
             FSID, str(page), *selectors], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            text=True, env={**os.environ, **(environment or {})})
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def now(self):
        return self.lines[-1] if self.lines else {"whole": False, "trouble": None, "claims": []}

    def claims(self, ns):
        return {c["name"]: c for c in self.now()["claims"] if c["ns"] == ns}

    def until(self, check, what, timeout_s=20):
        return wait_for(check, timeout_s, lambda: f"{what}: {self.lines[-3:]}", every_s=0.02)

    def until_whole(self):
        self.until(lambda: self.now()["whole"], "everything was listed")
        return self

    def until_trouble(self, text=""):
        return self.until(lambda: self.now()["trouble"] and text in self.now()["trouble"] and
                          self.now(), f"there is trouble {text}")

    def until_well(self):
        self.until(lambda: self.now()["whole"] and not self.now()["trouble"], "it is well")

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def watch():
    made = []

    def make(*args, **options):
        made.append(Watch(*args, **options))
        return made[-1]
    yield make
    for one in made:
        assert one.process.poll() is None, f"it ended with {one.process.returncode}"
        one.end()
        print("---", *one.lines[-5:], sep="\n")  # pytest shows it where the test failed


@pytest.fixture
def proxy(api):
    proxy = Proxy(api.port)
    yield proxy
    proxy.close()


@pytest.fixture
def admin(api):
    return api.dir / "admin.kubeconfig"


def through(api, proxy, path):
    user = {"client-certificate": str(api.dir / "admin.crt"),
            "client-key": str(api.dir / "admin.key")}
    return api.kubeconfig(path / "proxied", user, proxy.port)


def test_pvc_comes_and_goes_with_its_label(api, ns, admin, watch):
    w = watch(admin).until_whole()
    api.pvc(ns, "data", {**GOLD, "app": "shop"})
    w.until(lambda: "data" in w.claims(ns), "the PVC is seen")
    assert "not bound" in w.claims(ns)["data"]["problem"]
    api.bind(ns, "data", "csi-vol-1", FSID, radosNamespace="tenant")
    claim = w.until(lambda: (c := w.claims(ns)["data"]) and not c["problem"] and c, "it is bound")
    assert (claim["pool"], claim["rados_ns"], claim["image"]) == ("rbd", "tenant", "csi-vol-1")
    assert claim["labels"] == {**GOLD, "app": "shop"} and claim["vm"] is None
    api.label(ns, "data", {"farshore.io/policy": None})
    w.until(lambda: w.claims(ns)["data"]["labels"] is None, "the label is gone, the image is known")
    api.label(ns, "data", GOLD)
    w.until(lambda: w.claims(ns)["data"]["labels"], "and back")
    api.remove(ns, "data")
    w.until(lambda: not w.claims(ns), "the PVC is gone")


def test_change_to_what_is_not_kept_is_no_change(api, ns, admin, watch):
    """Notes and states come all the time, our own among them: nobody looks at all images for them."""
    api.define_vms()
    api.pvc(ns, "data", GOLD)
    api.bind(ns, "data", "csi-vol-1", FSID)
    api.vm(ns, "web", "data")
    w = watch(admin).until_whole()
    w.until(lambda: (c := w.claims(ns).get("data")) and c["vm"] == "web", "it is known")
    time.sleep(1.5)
    before = len(w.lines)
    for i in range(5):
        for path in (api.pvc_path(ns, "data"), f"{VM_API}/namespaces/{ns}/virtualmachines/web"):
            api.patch(path, {"metadata": {"annotations": {"farshore.io/recovery-point-time": str(i)}}})
        time.sleep(0.6)
    assert len(w.lines) == before
    api.label(ns, "data", {"more": "x"})
    w.until(lambda: len(w.lines) > before, "a label is a change")


def test_pvc_that_cannot_be_protected_says_why(api, ns, admin, watch):
    for name in ("nfs", "elsewhere", "nameless", "again"):
        api.pvc(ns, name, GOLD)
    api.bind(ns, "nfs", "x", FSID, driver="nfs.csi.k8s.io")
    api.bind(ns, "elsewhere", "x", "another-cluster")
    api.bind(ns, "nameless", "", FSID)
    # A PVC that was made again is not the old one, though its name is in the old one's PV.
    volume = api.bind(ns, "again", "old-image", FSID)
    api.patch(api.pvc_path(ns, "again"), {"metadata": {"finalizers": None}})
    api.delete(api.pvc_path(ns, "again"))
    api.pvc(ns, "again", GOLD)
    w = watch(admin).until_whole()
    problems = {name: c["problem"] for name, c in w.claims(ns).items()}
    assert "nfs.csi.k8s.io" in problems["nfs"]
    assert "another-cluster" in problems["elsewhere"] and FSID in problems["elsewhere"]
    assert "imageName" in problems["nameless"]
    assert "not bound" in problems["again"], volume


def test_static_volume_is_named_by_its_handle(api, ns, admin, watch):
    api.pvc(ns, "static", GOLD)
    api.bind(ns, "static", "by-hand", FSID, driver="rook-ceph.rbd.csi.ceph.com", staticVolume="true",
             imageName="ignored")
    w = watch(admin).until_whole()
    assert w.claims(ns)["static"]["image"] == "0001-by-hand"


def test_pages_and_several_selectors(api, ns, admin, watch):
    for i in range(23):
        api.pvc(ns, f"pvc-{i:02}", {**GOLD} if i % 2 else {"tier": "silver"})
    api.pvc(ns, "none")
    w = watch(admin, page=3, selectors=(SELECT, "tier in (silver)")).until_whole()
    assert sorted(w.claims(ns)) == [f"pvc-{i:02}" for i in range(23)]


def test_list_whose_version_is_gone_begins_again(api, ns, watch, proxy, tmp_path):
    for i in range(20):
        api.pvc(ns, f"pvc-{i:02}", GOLD)
    proxy.slow(6000)
    w = watch(through(api, proxy, tmp_path), page=2)
    gone = gone_lists(api)
    # The first pages have passed. What they were a part of is forgotten before the last one.
    wait_for(lambda: proxy.passed > 14000, 20, "some pages have passed", every_s=0.01)
    api.pvc(ns, "late", GOLD)
    api.compact()
    time.sleep(0.5)
    proxy.heal()
    w.until_whole()
    w.until(lambda: len(w.claims(ns)) == 21, "all are there")
    assert gone_lists(api) > gone, "the server did refuse a page"


def gone_lists(api):
    """How many requests the server answered with 410."""
    with api.opener.open(f"https://127.0.0.1:{api.port}/metrics") as answer:
        return sum(float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                   if line.startswith("apiserver_request_total") and 'code="410"' in line)


def test_watch_whose_version_is_gone_lists_again(api, ns, watch, proxy, tmp_path):
    api.pvc(ns, "before", GOLD)
    api.pvc(ns, "deleted", GOLD)
    w = watch(through(api, proxy, tmp_path)).until_whole()
    version = api.get(f"{CORE}/persistentvolumeclaims")["metadata"]["resourceVersion"]
    proxy.refuse()
    proxy.cut()
    w.until_trouble()
    api.remove(ns, "deleted")
    api.pvc(ns, "after", GOLD)
    api.compact()
    api.lab("stop")
    api.lab("start")
    api.pvc(ns, "later", GOLD)
    assert watch_is_gone(api, version), "the version must be gone for this test"
    proxy.heal()
    w.until_well()
    w.until(lambda: sorted(w.claims(ns)) == ["after", "before", "later"], "the truth is known")


def watch_is_gone(api, version):
    path = f"{CORE}/persistentvolumeclaims?watch=1&timeoutSeconds=1&resourceVersion={version}"
    with contextlib.suppress(ApiError, json.JSONDecodeError):
        event = api.get(path)
        return event["type"] == "ERROR" and event["object"]["code"] == 410
    return False


def test_api_that_is_away_leaves_what_is_known(api, ns, admin, watch):
    api.pvc(ns, "data", GOLD)
    w = watch(admin).until_whole()
    begun = time.time()
    api.lab("stop")
    down = w.until_trouble()
    assert begun - 1 < down["since"] < time.time()
    assert down["whole"] and "data" in w.claims(ns)
    api.lab("start")
    w.until_well()
    api.pvc(ns, "more", GOLD)
    w.until(lambda: "more" in w.claims(ns), "it watches again")


def test_cut_connections_are_no_trouble(api, ns, watch, proxy, tmp_path):
    w = watch(through(api, proxy, tmp_path)).until_whole()
    for i in range(5):
        proxy.cut(reset=i % 2)
        api.pvc(ns, f"pvc-{i}", GOLD)
        w.until(lambda i=i: f"pvc-{i}" in w.claims(ns), "it is seen", timeout_s=5)
    assert not any(line["trouble"] for line in w.lines)


def test_token_is_rotated(api, ns, account, watch):
    kubeconfig, token = account
    w = watch(kubeconfig).until_whole()
    # The account is made again: the old token is worth nothing from now on.
    path = f"{CORE}/namespaces/farshore/serviceaccounts"
    api.delete(f"{path}/farshore")
    api.create(path, {"metadata": {"name": "farshore"}})
    api.lab("stop")  # ends the watches, which were allowed
    api.lab("start")
    w.until_trouble("HTTP status 401")
    token.write_text(api.token("farshore", "farshore") + "\n")
    w.until_well()
    api.pvc(ns, "data", GOLD)
    w.until(lambda: "data" in w.claims(ns), "it watches with the new one")


def test_service_account_of_a_pod(api, ns, account, watch, tmp_path):
    api.pvc(ns, "data", GOLD)
    pod = tmp_path / "serviceaccount"
    pod.mkdir()
    (pod / "token").write_text(account[1].read_text())
    (pod / "ca.crt").write_bytes((api.dir / "ca.crt").read_bytes())
    w = watch(pod, environment={"KUBERNETES_SERVICE_HOST": "127.0.0.1",
                                "KUBERNETES_SERVICE_PORT": str(api.port)}).until_whole()
    assert "data" in w.claims(ns)


def test_server_is_always_checked(api, account, watch, tmp_path):
    subprocess.run([SOURCE / "tests/lab/certs", tmp_path / "other", "x"], check=True,
                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    config = yaml.safe_load(account[0].read_text())
    cluster = config["clusters"][0]["cluster"]
    cluster["certificate-authority"] = str(tmp_path / "other/ca.crt")
    account[0].write_text(yaml.safe_dump(config))
    w = watch(account[0])
    w.until_trouble("certificate")
    cluster.pop("certificate-authority")
    cluster["insecure-skip-tls-verify"] = True
    account[0].write_text(yaml.safe_dump(config))
    w.until_trouble("insecure-skip-tls-verify")
    cluster.pop("insecure-skip-tls-verify")
    cluster["certificate-authority"] = str(api.dir / "ca.crt")
    account[0].write_text(yaml.safe_dump(config))
    w.until_well()


# The last of this file: from here on the server knows virtual machines.
def test_virtual_machines_come_with_their_definition(api, ns, admin, watch):
    for name in ("root", "data", "own"):
        api.pvc(ns, name, GOLD if name == "data" else {})
        api.bind(ns, name, f"csi-{name}", FSID)
    w = watch(admin).until_whole()
    assert w.claims(ns)["root"]["labels"] is None
    api.define_vms()
    api.vm(ns, "shop", "root", {"dataVolume": {"name": "data"}}, {"containerDisk": {"image": "x"}},
           "missing")
    w.until(lambda: w.claims(ns)["data"]["vm"] == "shop", "the machine is seen", timeout_s=30)
    claims = w.claims(ns)
    assert claims["root"]["labels"] == GOLD and claims["root"]["app"] == "shop"
    assert claims["own"]["labels"] is None
    assert "no bound PVC" in claims["missing"]["problem"]
    api.vm(ns, "shop", "data")
    w.until(lambda: w.claims(ns)["root"]["labels"] is None, "a disk was taken out")
    api.delete(f"{VM_API}/namespaces/{ns}/virtualmachines/shop")
    w.until(lambda: w.claims(ns)["data"]["vm"] is None, "the machine is gone")
