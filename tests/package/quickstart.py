# SPDX-License-Identifier: Apache-2.0
"""docs/quickstart.md, literally: what it says to type is typed, in its order, at the sites that it names."""
import re
import subprocess
import time

from harness import SOURCE, wait_for

PAGE = SOURCE / "docs/quickstart.md"
FIRST_POINT_S = 120


def steps():
    """[(title, sites, commands)] of its numbered sections."""
    found = []
    for title, body in re.findall(r"^## (\d+\. .*?)\n(.*?)(?=^## )", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        where = title.split()[1].rstrip(":").lower()
        commands = "".join(re.findall(r"^```\n(.*?)^```$", body, re.M | re.S)).splitlines()
        found.append((title, ("east", "west") if where == "both" else (where,), commands))
    return found


def watch(container, command, group):
    """As somebody looks at it until the group is well."""
    with subprocess.Popen(container.argv(f"exec {command}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True) as watching:
        try:
            deadline = time.monotonic() + FIRST_POINT_S
            for line in watching.stdout:
                if re.search(rf"{group}\b.*\bok\b", line):
                    return line
                assert time.monotonic() < deadline, f"{group} has no point: {line}"
        finally:
            watching.terminate()
    raise AssertionError(f"{command} ended")


class Walk:
    def __init__(self, containers):
        self.containers = containers
        self.token = None
        self.begun = time.monotonic()
        self.times = {}  # title: seconds since the beginning, at its end

    def go(self):
        for title, sites, commands in steps():
            for site in sites:
                for command in commands:
                    self.type(self.containers[site], command)
            self.times[title] = time.monotonic() - self.begun
        return self

    def told(self):
        return "\n".join(f"{took:6.1f} s  {title}" for title, took in self.times.items())

    def type(self, container, command):
        if " -w" in command:
            watch(container, command, "rbd/vm1")
            return
        if command == "farshore doctor":  # nobody types so fast that the sites have not met
            wait_for(lambda: container.call(command).returncode == 0, 20, lambda: container.run(command))
        said = container.run(command.replace("TOKEN", self.token or "TOKEN"))
        if "enroll invite" in command:
            self.token = said.split()[-1]
