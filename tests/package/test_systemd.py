# SPDX-License-Identifier: Apache-2.0
"""The package under a real systemd, from the quick start to its removal, between two real clusters. The
sites are the same in all tests, each of which leaves them at work."""
import json
import re
import shutil
import subprocess

import pytest
from harness import MIB, content, wait_for
from quickstart import Walk

GROUP, NAMES = "rbd/vm1", ("vm1-root", "vm1-data")
SIZE = 64 * MIB
CONFIG = "/etc/farshore/farshored.yaml"
SLOW, CRAWL, FAST = "16 Mbit/s", "1 Mbit/s", "10 Gbit/s"
WATCHDOG = "/etc/systemd/system/farshored.service.d/watchdog.conf"


@pytest.fixture(scope="module")
def walked(clusters, containers):
    for name in NAMES:
        clusters[0].create(name, SIZE)
        clusters[0].fill(name, ranges=((0, SIZE),))
    return Walk(containers).go()


@pytest.fixture
def east(walked):
    return walked.containers["east"]


@pytest.fixture
def west(walked):
    return walked.containers["west"]


def status(container):
    return json.loads(container.run("farshore status -o json"))


def group(container):
    return next((g for g in status(container)["groups"] if g["name"] == GROUP), None)


def comes_back(container, old_pid, timeout_s=60):
    """Another process of the daemon works, and the sites have met again."""
    def done():
        return container.unit("MainPID") not in ("0", old_pid) and container.call("farshore status").returncode == 0 \
            and status(container)["peers"][0]["up"] and group(container)
    wait_for(done, timeout_s, lambda: container.run("journalctl -u farshored -n 40"))


def limit_link(east, rate):
    """Edits east's file and puts it in force as the quick start says."""
    path = east.path(CONFIG)
    text, edits = re.subn(r'"west": {.*}', f'"west": {{bandwidth: {rate}}}', path.read_text(encoding="utf-8"))
    assert edits == 1
    path.write_text(text, encoding="utf-8")
    east.run("farshored --check && systemctl reload farshored")


def done_bytes(container):
    return (group(container) or {"sync": {}})["sync"].get("done_bytes", 0)


def test_the_quick_start(walked, east, west):
    print(walked.told())
    for one in (east, west):
        assert one.run("systemctl is-enabled farshored").strip() == "enabled"
        assert one.unit("ActiveState") == "active"
        assert one.unit("User") == "farshore"


def test_the_unit_is_exposed_to_little(east):
    assert east.unit("WatchdogUSec") == "30s"
    print(east.run("systemd-analyze security --no-pager --threshold=15 farshored.service").splitlines()[-1])


def test_a_reload_keeps_the_process_and_refuses_what_is_wrong(east):
    pid, reloads = east.unit("MainPID"), len(east.events("reloaded"))
    limit_link(east, SLOW)
    wait_for(lambda: len(east.events("reloaded")) > reloads, 10, "it is in force")
    limit_link(east, FAST)
    text = east.path(CONFIG).read_text(encoding="utf-8")
    east.path(CONFIG).write_text(text + "nonsense: 1\n", encoding="utf-8")
    east.run("systemctl reload farshored")
    wait_for(lambda: east.events("reload_refused"), 10, "what is wrong is refused")
    east.path(CONFIG).write_text(text, encoding="utf-8")
    assert east.unit("MainPID") == pid and east.unit("NRestarts") == "0"
    assert status(east)["peers"][0]["up"]


def later(deb, directory, version):
    """The package again, of a later version."""
    work = directory / "later"
    subprocess.run(["dpkg-deb", "-R", deb, work], check=True)
    control = work / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
    made = directory / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", work, made], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(work)
    return made


def test_an_upgrade_in_a_transfer_goes_on_where_it_was(clusters, deb, east, west, tmp_path):
    for site in (east, west):
        version = site.run("dpkg-query -W -f '${Version}' farshore") + "+1"
        shutil.copy(later(deb, tmp_path, version), site.path("/root/later.deb"))
    for name in NAMES:
        clusters[0].fill(name, seed=1, ranges=((0, 32 * MIB),))
    limit_link(east, SLOW)
    east.run(f"farshore sync {GROUP}")
    wait_for(lambda: done_bytes(east) > 16 * MIB, 60, "a good part of it is there")
    limit_link(east, CRAWL)  # it will not end before both are upgraded
    for site in (east, west):
        wait_for(lambda: done_bytes(east) > 0, 30, "the transfer is under way")
        pid = site.unit("MainPID")
        site.run("apt-get install ./later.deb")
        comes_back(site, pid)
        assert site.run("dpkg-query -W -f '${Version}' farshore") == version
        assert site.unit("NRestarts") == "0", "it did not end as it should"
    wait_for(lambda: done_bytes(east) > 0, 30, "it goes on")
    limit_link(east, FAST)
    resumed = wait_for(lambda: east.events("sync_resumed"), 20, "it was resumed")
    assert min(int(event["FARSHORE_RESUMED_BYTES"]) for event in resumed) >= 8 * MIB, resumed
    east.run(f"farshore sync --wait {GROUP}")
    east.run(f"farshore verify {GROUP}")
    assert not [e for one in (east, west) for e in one.events("sync_failed") if e["PRIORITY"] < "4"]
    same_bytes(clusters, east, west)


def same_bytes(clusters, east, west):
    """By Ceph's own means."""
    def newest(container):
        points = json.loads(container.run(f"farshore points {GROUP} -o json"))["points"]
        return [p for p in points if p["state"] == "committed"][-1]
    here, there = newest(east), newest(west)
    assert here["id"] == there["id"]
    content.same_point((clusters[0], here), (clusters[1], there))


def test_a_restart_is_clean_and_a_crash_is_mended(east):
    pid = east.unit("MainPID")
    east.run("systemctl restart farshored")
    comes_back(east, pid)
    assert east.unit("NRestarts") == "0" and east.unit("Result") == "success"
    pid = east.unit("MainPID")
    east.run(f"kill -SEGV {pid}")
    comes_back(east, pid)
    assert east.unit("NRestarts") == "1"
    east.run(f"farshore sync --wait {GROUP}")


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(east):
    east.write(WATCHDOG, "[Service]\nWatchdogSec=5\n")  # the unit's own half minute, in less time
    east.run("systemctl daemon-reload && systemctl restart farshored")
    pid, restarts = east.unit("MainPID"), int(east.unit("NRestarts"))
    comes_back(east, None)
    east.run(f"kill -STOP {pid}")
    comes_back(east, pid)
    assert int(east.unit("NRestarts")) == restarts + 1
    assert "Watchdog timeout" in east.run("journalctl -u farshored -n 100")
    east.run(f"farshore sync --wait {GROUP}")
    east.path(WATCHDOG).unlink()
    east.run("systemctl daemon-reload")


def test_it_ends_with_its_package_and_its_keys_stay(east, west):
    for one in (east, west):
        one.run("apt-get remove farshore")
        assert one.call("systemctl is-active farshored").stdout.strip() == "inactive"
        assert not one.path("/run/farshore").exists()
        one.run("apt-get purge farshore")
        assert not one.path(CONFIG).exists()
    assert east.path("/etc/farshore/pki/east.key").exists()
