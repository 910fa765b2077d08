# SPDX-License-Identifier: Apache-2.0
"""Two sites as their users have them: Debian under systemd, the package, a network of their own."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
pytest.register_assert_rewrite("harness")

from harness.container import Container  # noqa: E402
from harness.daemon import build_dir  # noqa: E402
from harness.fixtures import pytest_sessionfinish  # noqa: E402,F401
from harness.site import Site, lab  # noqa: E402


@pytest.fixture(scope="session")
def deb():
    found = list((build_dir() / "package").glob("*.deb"))
    assert len(found) == 1, f"tests/package/build {build_dir()}/package makes it"
    return found[0]


@pytest.fixture(scope="session")
def clusters():
    directory = tempfile.mkdtemp(prefix="farshore-lab-")
    try:
        lab("up", directory, "--wan", "", "east", "west")
        sites = [Site(directory, name) for name in ("east", "west")]
        yield sites
        for site in sites:
            site.close()
    finally:
        lab("down", directory)
        shutil.rmtree(directory, ignore_errors=True)


def mon_host(site):
    return re.search(r"^mon_host = .*$", site.conf.read_text(encoding="utf-8"), re.M)[0]


@pytest.fixture(scope="session")
def containers(clusters, deb):
    """On each: the package in root's home, Ceph's client with an administrator's key, and the other
    site's name. Nothing is installed."""
    tree = subprocess.run([HERE / "tree", deb.parent], check=True, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()[-1]
    made = {}
    try:
        for site in clusters:
            one = made[site.name] = Container(site, tree)
            one.write("/etc/ceph/ceph.conf", f"[global]\nfsid = {site.fsid}\n{mon_host(site)}\n")
            keyring = "ceph.client.admin.keyring"
            one.write(f"/etc/ceph/{keyring}", (site.conf.parent / keyring).read_text(encoding="utf-8"))
            one.run("cat >>/etc/hosts <<END\n" +
                    "".join(f"{s.address} {s.name}.example.net\n" for s in clusters) + "END\n")
            shutil.copy(deb, one.path("/root"))
            site.command(prefix="auth rm", entity="client.farshore")  # the lab's; the user makes one
        yield made
    finally:
        for one in made.values():
            one.end()
