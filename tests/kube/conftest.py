# SPDX-License-Identifier: Apache-2.0
"""The API server of the tests, beside what the cluster tests have."""
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from cluster.conftest import *  # noqa: E402,F403
from harness import SOURCE  # noqa: E402
from harness.kube import LAB, Api  # noqa: E402

IMPOSSIBLE = 77
namespaces = (f"ns{i}" for i in itertools.count(os.getpid() * 1000))


@pytest.fixture(scope="session")
def kube_dir():
    """The API server that CTest brought up, or one of our own."""
    given = os.environ.get("FARSHORE_KUBE_DIR")
    directory = given or f"{tempfile.mkdtemp(prefix='farshore-kube-')}/lab"
    if not given:
        code = subprocess.run([LAB, "up", "--dir", directory], check=False,
                              stdin=subprocess.DEVNULL).returncode
        assert code in (0, IMPOSSIBLE)
    if not pathlib.Path(directory, "kube.json").exists():
        pytest.skip("there is no API server: tests/lab/kube up says why")
    yield directory
    if not given:
        subprocess.run([LAB, "down", "--dir", directory], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def api(kube_dir):
    api = Api(kube_dir)
    yield api
    api.lab("start")


@pytest.fixture
def ns(api):
    """A namespace of the test's own; its objects, and every PV, are gone afterwards."""
    name = next(namespaces)
    api.namespace(name)
    yield name
    api.lab("start")
    api.clear(name)


@pytest.fixture
def account(api, tmp_path):
    """What docs/ gives the daemon, and no more: (kubeconfig, file of the token)."""
    api.apply(SOURCE / "docs/kubernetes/rbac.yaml")
    token = tmp_path / "token"
    token.write_text(api.token("farshore", "farshore"))
    return api.kubeconfig(tmp_path / "kubeconfig", {"tokenFile": str(token)}), token
