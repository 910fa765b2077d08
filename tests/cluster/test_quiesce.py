# SPDX-License-Identifier: Apache-2.0
"""quiesce.command around real snapshots. What the order and the limits are worth on a scripted clock
is tests/scenario/test_quiesce.c's; what clients with quiesce hooks of librbd's get, check_source's."""
import re

import pytest
import yaml
from harness import SOURCE, wait_for
from harness.crash import arm, catalogue, killed
from harness.linked import GROUP, becomes, farshore


class Application:
    """What the command tells: when it was to freeze and to thaw. It fails where there is a file."""

    def __init__(self, directory):
        self.log, self.fails, self.hangs = (directory / name for name in ("calls", "fails", "hangs"))
        self.command = (f'echo "$FARSHORE_QUIESCE $(date +%s.%N) $FARSHORE_GROUP" >> {self.log}; '
                        f'if [ -e {self.hangs} ]; then sleep 600; fi; '
                        f'if [ -e {self.fails} ]; then echo no database here; exit 3; fi')

    def policy(self, **more):
        return {"quiesce": {"command": self.command, **more}}

    def calls(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        assert all(line.split()[2] == GROUP for line in lines)
        return [(what, float(at)) for what, at, _ in (line.split() for line in lines)]

    def forget(self):
        self.log.unlink(missing_ok=True)


@pytest.fixture
def application(workdir):
    return Application(workdir)


def consistency(daemon):
    return daemon.committed(GROUP)[-1]["consistency"]


def test_point_lies_between_freeze_and_thaw(linked, application, same):
    setup = linked(policy=application.policy())
    pair = setup.pair
    for seed in (1, 2, 3):
        application.forget()
        setup.point(seed)
        point = pair.east.committed(GROUP)[-1]
        (first, frozen), (second, thawed) = application.calls()
        assert (first, second) == ("freeze", "thaw")
        assert frozen < point["taken_timestamp"] < thawed
        assert consistency(pair.east) == consistency(pair.west) == "application"
    listed = farshore(pair.west, "points", GROUP)
    assert "CONSISTENCY" in listed.stdout and "application" in listed.stdout
    application.forget()
    setup.pair.ask(GROUP)  # nothing has changed: nobody is disturbed
    wait_for(lambda: pair.east.group(GROUP)["counters"]["unchanged"], 20, "it is unchanged")
    assert application.calls() == []


def guide(section):
    """The first block of each language in a section of the operations guide."""
    text = (SOURCE / "docs/operations.md").read_text().split(f"\n## {section}")[1].split("\n## ")[0]
    return dict(reversed(re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)))


def test_example_of_the_guide(linked, workdir, same):
    """As it stands there, with a virsh that writes down what it is told."""
    blocks = guide("Quiescing")
    script, told = workdir / "quiesce", workdir / "told"
    script.write_text(blocks["sh"])
    (workdir / "virsh").write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    for program in (script, workdir / "virsh"):
        program.chmod(0o755)
    quiesce = yaml.safe_load(blocks["yaml"])["policies"]["gold"]["quiesce"]
    assert quiesce["command"] == "/etc/farshore/quiesce"
    quiesce["command"] = f"PATH={workdir}:$PATH {script}"
    setup = linked(policy={"quiesce": quiesce})
    setup.point(1)
    assert consistency(setup.pair.west) == "application"
    assert told.read_text().splitlines()[-2:] == ["domfsfreeze vm", "domfsthaw vm"]


def test_failed_freeze_is_crash_consistent_or_no_point(linked, application, same):
    setup = linked(policy=application.policy(timeout="1s"))
    pair = setup.pair
    pair.east.expect_error("event=thaw_failed")
    setup.point(1)
    assert consistency(pair.west) == "application"
    application.fails.touch()
    setup.point(2)
    assert consistency(pair.east) == consistency(pair.west) == "crash"
    becomes(pair.east, "state", "error")  # the thaw failed as well, and is tried again
    assert "no database here" in pair.east.group(GROUP)["reason"]
    application.fails.unlink()
    becomes(pair.east, "state", "degraded")
    assert application.calls()[-1][0] == "thaw"
    application.hangs.touch()
    setup.point(3)
    assert consistency(pair.west) == "crash"
    application.hangs.unlink()
    becomes(pair.east, "state", "degraded")
    setup.point(4)
    assert consistency(pair.west) == "application"
    becomes(pair.east, "state", "ok")

    pair.east.config["policies"]["gold"]["quiesce"]["on_failure"] = "skip"
    pair.east.reload()
    application.fails.touch()
    newest = pair.west.committed(GROUP)[-1]["id"]
    setup.sites[0].fill("root", seed=5, ranges=((0, 4096),))
    pair.ask(GROUP)
    becomes(pair.east, "state", "error")
    assert "no point is taken" in pair.east.group(GROUP)["reason"]
    assert pair.west.committed(GROUP)[-1]["id"] == newest
    application.fails.unlink()
    wait_for(lambda: pair.west.committed(GROUP)[-1]["id"] != newest, 60, "it goes on by itself")
    assert consistency(pair.west) == "application"


@pytest.mark.skipif(not catalogue(), reason="a build without fault points")
@pytest.mark.parametrize("step", ["quiesce.recorded", "quiesce.frozen", "take.answered",
                                  "quiesce.thawed"])
def test_daemon_that_dies_between_thaws_before_anything_else(linked, application, same, step):
    setup = linked(policy=application.policy())
    pair, (east, _) = setup.pair, setup.sites
    pair.east.stop()
    pair.east.fault = pair.east.dir / "fault"
    pair.east.environment["FARSHORE_FAULT"] = f"@{pair.east.fault}"
    pair.east.start()
    pair.ready(GROUP)
    application.forget()
    arm(pair.east, step)
    east.fill("root", seed=5, ranges=((0, 4096),))
    pair.ask(GROUP)
    killed(pair.east, step)
    before = [what for what, _ in application.calls()]
    assert before == {"quiesce.recorded": [], "quiesce.thawed": ["freeze", "thaw"]}.get(
        step, ["freeze"])
    seq = pair.west.committed(GROUP)[-1]["seq"]
    pair.east.start()
    wait_for(lambda: len(application.calls()) > len(before), 30, "it thaws", every_s=0.02)
    assert application.calls()[len(before)][0] == "thaw"
    assert pair.west.committed(GROUP)[-1]["seq"] == seq
    wait_for(lambda: pair.west.committed(GROUP)[-1]["seq"] > seq, 60, "it goes on by itself")
    assert consistency(pair.west) == "application"
    calls = [what for what, _ in application.calls()]
    assert calls[-1] == "thaw" and calls.count("thaw") >= calls.count("freeze")
