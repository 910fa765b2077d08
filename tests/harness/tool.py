# SPDX-License-Identifier: Apache-2.0
"""The tool, as a person or a script uses it."""
import subprocess

from .daemon import program


def farshore(daemon, *arguments, answer="", timeout_s=120):
    """What came of a command; `answer` is typed where it asks."""
    return subprocess.run([program("farshore"), "-S", daemon.config["control"], *arguments],
                          input=answer, capture_output=True, text=True, timeout=timeout_s,
                          check=False)
