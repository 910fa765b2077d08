# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
pytest.register_assert_rewrite("harness")

from harness.fixtures import *  # noqa: E402,F401,F403
from harness.guest import Guest, make_boot_files  # noqa: E402


@pytest.fixture(scope="session")
def boot_files():
    with tempfile.TemporaryDirectory(prefix="farshore-guest-") as directory:
        make_boot_files(directory)
        yield directory


@pytest.fixture
def guest(daemons, boot_files):
    """guest(site, images, ...) starts one; whatever is left is killed, before the daemons end."""
    assert daemons
    made = []

    def make(*args, **options):
        made.append(Guest(boot_files, *args, **options))
        return made[-1]
    yield make
    for one in made:
        if one.process.poll() is None:
            print(f"--- {one.name}", *one.console[-20:], one, sep="\n")
            one.kill()
