# SPDX-License-Identifier: Apache-2.0
"""quiesce.guest: the real API hands the subresources on to what stands for KubeVirt's virt-api, and
lets nobody do that who may not. The account has docs/kubernetes/rbac.yaml and nothing else."""
import pytest
from harness import wait_for
from harness.crash import arm, catalogue, killed
from harness.virt_api import VirtApi
from test_protection import GOLD, protect, volume  # noqa: F401  (protect: a fixture)

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/farshore"
NAME = "shop"


@pytest.fixture
def virt(api, ns, tmp_path):
    made = VirtApi(api, ns, tmp_path)
    yield made
    made.close()


class Machine:
    """A virtual machine with two disks, and its group."""

    def __init__(self, api, ns, virt, east, protect, **quiesce):  # noqa: F811
        self.virt, self.east = virt, east
        self.images = [volume(api, east, ns, disk, GOLD, seed=i)
                       for i, disk in enumerate(("root", "data"))]
        api.vm(ns, NAME, "root", "data")
        virt.running.add((ns, NAME))
        self.group = f"{ns}/{NAME}"
        self.pair = protect(quiesce={"guest": True, "timeout": "2s", **quiesce})
        self.pair.ready(self.group)
        self.seed = 10

    def write(self):
        self.seed += 1
        for image in self.images:
            self.east.fill(image, seed=self.seed, ranges=((0, 65536),))

    def point(self):
        """The consistency of one more point, which both sites agree upon."""
        self.virt.forget()
        self.write()
        self.pair.synced(self.group)
        found = {daemon.committed(self.group)[-1]["consistency"] for daemon in self.pair}
        assert len(found) == 1
        return found.pop()

    def is_thawed(self):
        wait_for(lambda: not self.virt.frozen, 30, "it is thawed")

    def becomes(self, state):
        def found():
            group = self.pair.east.group(self.group) or {}
            return group if group.get("state") == state else None
        return wait_for(found, 60, lambda: f"{state}: {self.pair.east.group(self.group)}")


@pytest.fixture
def machine(api, ns, virt, east, protect):  # noqa: F811
    def make(**quiesce):
        return Machine(api, ns, virt, east, protect, **quiesce)
    return make


def test_virtual_machine_is_frozen_once_around_each_point(machine, virt, same):
    shop = machine()
    for _ in range(3):
        assert shop.point() == "application"
        (first, name, frozen, body), (second, _, thawed, _) = virt.calls
        assert (first, second, name) == ("freeze", "unfreeze", shop.group)
        assert frozen < shop.pair.east.committed(shop.group)[-1]["taken_timestamp"] < thawed
        assert body == {"unfreezeTimeout": "17s"}  # timeout, snapshot_timeout and ten seconds
    assert not virt.frozen
    shop.becomes("ok")
    same(shop.pair, shop.group)


@pytest.mark.parametrize("mode", [10.0, "fail", "drop"], ids=str)
def test_freeze_that_is_slow_fails_or_is_cut_off(machine, virt, mode):
    shop = machine()
    virt.modes["freeze"] = mode
    assert shop.point() == "crash"
    assert virt.verbs()[:2] == ["freeze", "unfreeze"] or virt.verbs()[-1] == "unfreeze"
    shop.becomes("degraded")
    virt.modes.clear()
    shop.is_thawed()
    assert shop.point() == "application"
    shop.becomes("ok")


@pytest.mark.parametrize("mode", [10.0, "fail", "drop"], ids=str)
def test_thaw_is_tried_until_it_succeeds(machine, virt, mode):
    shop = machine()
    shop.pair.east.expect_error("event=thaw_failed")
    virt.modes["unfreeze"] = mode
    assert shop.point() == "application"
    assert "could not be thawed" in shop.becomes("error")["reason"]
    virt.modes.clear()
    shop.is_thawed()
    shop.becomes("ok")
    assert shop.point() == "application"


def test_no_point_where_the_policy_wants_none_without(machine, virt):
    shop = machine(on_failure="skip")
    before = shop.pair.west.committed(shop.group)[-1]["seq"]
    virt.modes["freeze"] = "fail"
    shop.write()
    shop.pair.ask(shop.group)
    assert "the guest agent does not answer" in shop.becomes("error")["reason"]
    assert shop.pair.west.committed(shop.group)[-1]["seq"] == before
    virt.modes.clear()
    wait_for(lambda: shop.pair.west.committed(shop.group)[-1]["seq"] > before, 60, "it goes on")
    assert shop.pair.west.committed(shop.group)[-1]["consistency"] == "application"


def test_virtual_machine_that_does_not_run_has_nothing_to_freeze(machine, virt):
    shop = machine(on_failure="skip")
    virt.running.clear()
    assert shop.point() == "crash"
    assert virt.verbs() == ["freeze"]
    shop.becomes("ok")


def test_without_the_right_it_says_so(api, machine, virt):
    shop = machine()
    role = api.get(ROLE)
    rules = [r for r in role["rules"] if r["apiGroups"] != ["subresources.kubevirt.io"]]
    assert len(rules) == len(role["rules"]) - 1
    shop.pair.east.expect_error("event=thaw_failed")
    api.patch(ROLE, {"rules": rules})
    wait_for(lambda: shop.point() == "crash", 30, "the right is taken away", every_s=1)
    assert virt.verbs() == []  # the API did not hand it on
    assert "rbac.yaml" in shop.becomes("error")["reason"]
    api.patch(ROLE, {"rules": role["rules"]})
    shop.becomes("degraded")
    wait_for(lambda: shop.point() == "application", 30, "the right is there again", every_s=1)


@pytest.mark.skipif(not catalogue(), reason="a build without fault points")
def test_daemon_that_dies_with_a_frozen_machine_thaws_it_first(machine, virt):
    shop = machine()
    east = shop.pair.east
    east.stop()
    east.fault = east.dir / "fault"
    east.environment["FARSHORE_FAULT"] = f"@{east.fault}"
    east.start()
    shop.pair.ready(shop.group)
    virt.forget()
    arm(east, "quiesce.frozen")
    shop.write()
    shop.pair.ask(shop.group)
    killed(east, "quiesce.frozen")
    assert virt.verbs() == ["freeze"] and virt.frozen
    east.start()
    shop.is_thawed()
    assert virt.verbs()[:2] == ["freeze", "unfreeze"]
    shop.pair.ready(shop.group)
    assert shop.point() == "application"
