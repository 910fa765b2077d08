# SPDX-License-Identifier: Apache-2.0
"""`farshore status -w` on a real terminal (tmux), and where there is none."""
import re
import signal
import subprocess

import pytest
from harness import MIB, wait_for
from harness.daemon import program


class Terminal:
    """A detached tmux of its own, with a shell in it."""

    def __init__(self, directory, columns, lines):
        self.tmux = ["tmux", "-S", f"{directory}/tmux", "-f", "/dev/null"]
        self.run("new-session", "-d", "-x", str(columns), "-y", str(lines), "env", "PS1=$ ", "sh")

    def run(self, *arguments):
        return subprocess.run([*self.tmux, *arguments], stdin=subprocess.DEVNULL, check=True,
                              capture_output=True, text=True, timeout=30).stdout

    def type(self, text):
        self.run("send-keys", "-l", text)

    def enter(self, text):
        self.type(text)
        self.run("send-keys", "Enter")

    def screen(self, colours=False):
        return self.run("capture-pane", "-p", *(["-e"] if colours else []))

    def shows(self, pattern, timeout_s=30):
        wait_for(lambda: re.search(pattern, self.screen()), timeout_s,
                 lambda: f"{pattern} in\n{self.screen()}")

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], check=False, timeout=30)


@pytest.fixture
def terminal(workdir):
    made = Terminal(workdir, 110, 12)
    yield made
    made.close()


@pytest.fixture
def pair(east, daemons):
    for name in ("shop", "desk"):
        east.create(name, 16 * MIB, labels={"farshore.io/policy": "gold"})
        east.fill(name)
    made = daemons()
    made.ready("rbd/shop")
    made.ready("rbd/desk")
    return made


def test_screen_is_live_fits_and_leaves_no_trace(pair, terminal):
    command = f"{program('farshore')} -S {pair.east.config['control']} status -w"
    terminal.enter("echo before")
    terminal.enter(f"{command}; echo ended $?")
    terminal.shows(r"Farshore east  cluster up  west up")
    terminal.shows(r"rbd/shop +ok .*\[")
    assert "\033[32m" in terminal.screen(colours=True)
    pair.east.request("pause", group="rbd/shop")
    terminal.shows(r"rbd/shop +paused")
    terminal.run("resize-window", "-x", "48", "-y", "5")
    terminal.shows(r"1 to 1 of 2")
    lines = terminal.screen().splitlines()
    assert len(lines) <= 5 and all(len(line) <= 48 for line in lines), lines
    first = next(line for line in lines if line.startswith("rbd/"))
    terminal.run("send-keys", "Down")
    terminal.shows(r"2 to 2 of 2")
    assert first.split()[0] not in terminal.screen()
    # A daemon that goes away is told, and the last figures stay.
    terminal.run("resize-window", "-x", "110", "-y", "12")
    pair.east.stop()
    terminal.shows(r"cannot reach the daemon")
    terminal.shows(r"rbd/shop")
    pair.east.start()
    terminal.shows(r"q quit")
    terminal.type("q")
    terminal.shows(r"ended 0")
    assert "before" in terminal.screen() and "rbd/shop" not in terminal.screen()
    # Ctrl-C ends it as cleanly, and without colours there are none.
    terminal.enter("clear")
    terminal.enter(f"{command} --color=never; echo ended $?")
    terminal.shows(r"rbd/shop")
    assert "\033[3" not in terminal.screen(colours=True)
    terminal.run("send-keys", "C-c")
    terminal.shows(r"ended 0")
    terminal.enter("echo typed")  # the terminal echoes again
    terminal.shows(r"echo typed")


def test_without_a_terminal_tables_follow_each_other(pair):
    command = [program("farshore"), "-S", pair.east.config["control"], "status", "-w"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True) as watch:
        heads = 0
        for line in watch.stdout:
            assert "\033" not in line
            heads += line.startswith("GROUP")
            if heads == 2:
                break
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(20) == 0
    pair.east.stop()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 5 and "cannot reach the daemon" in done.stderr
