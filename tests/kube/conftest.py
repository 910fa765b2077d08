# SPDX-License-Identifier: Apache-2.0
"""The API server of the tests, beside what the cluster tests have."""
import itertools
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from cluster.conftest import *  # noqa: E402,F403
from harness import SOURCE  # noqa: E402
from harness.kube import Api, server  # noqa: E402

namespaces = (f"ns{i}" for i in itertools.count(os.getpid() * 1000))


@pytest.fixture(scope="session")
def kube_dir():
    """The API server that CTest brought up, or one of our own."""
    if given := os.environ.get("FARSHORE_KUBE_DIR"):
        yield given
        return
    with server() as directory:
        yield directory


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
