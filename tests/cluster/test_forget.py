# SPDX-License-Identifier: Apache-2.0
"""The end of a group at the target: not while it is shipped, nor with a drill or something kept aside;
then everything of it goes but its images, which are nobody's."""
import pytest
from harness import wait_for
from harness.crash import arm, catalogue, killed
from harness.linked import GROUP, NAMES, head
from harness.tool import farshore


def told(daemon, *arguments):
    done = farshore(daemon, "forget", *arguments, GROUP)
    return done.returncode, done.stdout + done.stderr


def objects(site):
    """Names in the state namespace that belong to one group, but for the log of its operations."""
    with site.ioctx("rbd", "farshore") as io:
        return [o.key for o in io.list_objects() if "." in o.key and not o.key.startswith("history.")]


def check_nobodys(site):
    for name in NAMES:
        with site.image(name) as image:  # and nobody has its lock
            image.write(b"mine", 0)
            assert not list(image.list_snaps())
            assert not [k for k, _ in image.metadata_list() if k.startswith("farshore")]


@pytest.mark.skipif(not catalogue(), reason="a build without fault points")
def test_crash_at_any_step_is_mended_by_another_try(linked, workdir):
    setup = linked(policy={"interval": "2s"}, environment={"FARSHORE_FAULT": f"@{workdir}/fault"})
    pair, (east, west) = setup.pair, setup.sites
    pair.west.fault = workdir / "fault"
    setup.point(2)
    pair.east.stop()
    for step in [name for name, _ in catalogue() if name.startswith("forget.")]:
        wait_for(lambda: pair.west.group(GROUP) and not pair.west.status()["peers"][0]["up"], 40,
                 "west works, east is away")
        arm(pair.west, step)
        assert told(pair.west, "--yes")[0] != 0
        killed(pair.west, step)
        pair.west.start()
    wait_for(lambda: pair.west.group(GROUP), 40, "west works")
    status, said = told(pair.west, "--yes")
    assert status == 0 and "forgotten" in said, said + pair.west.log(20)
    assert not pair.west.group(GROUP) and objects(west) == []
    check_nobodys(west)
    pair.east.start()


def test_group_that_nobody_ships_is_forgotten(linked):
    setup = linked(policy={"interval": "2s"})
    pair, (east, west) = setup.pair, setup.sites
    setup.point(2)
    status, said = told(pair.west, "--yes")
    assert status == 3 and "east still protects" in said
    status, said = told(pair.east, "--yes")
    assert status == 3 and "this site is primary" in said
    for name in NAMES:
        east.unlabel(name, "farshore.io/policy")
    wait_for(lambda: not pair.east.group(GROUP), 30, "east lets it go")
    wait_for(lambda: pair.west.group(GROUP)["rpo_lag_seconds"] > 7, 30, "three intervals")
    assert farshore(pair.west, "drill", GROUP).returncode == 0
    status, said = told(pair.west, "--yes")
    assert status == 3 and "drill" in said
    assert farshore(pair.west, "drill", "--end", GROUP).returncode == 0

    heads = {name: head(west, name) for name in NAMES}
    status, said = told(pair.west, "--dry-run")
    assert status == 0 and "the images stay" in " ".join(said.split()), said
    assert pair.west.group(GROUP)
    status, said = told(pair.west, "--yes")
    assert status == 0 and "forgotten" in said, said + pair.west.log(20)
    assert not pair.west.group(GROUP) and objects(west) == []
    assert {name: head(west, name) for name in NAMES} == heads
    check_nobodys(west)
    pair.west.stop()
    pair.west.start()
    assert not pair.west.group(GROUP)
    assert told(pair.west, "--yes")[0] == 3  # there is no such group
