#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the shells themselves what they complete of farshore, and holds that against the tool's own
tables of commands and options, in both directions. Usage: check_completions.py SOURCE_DIR"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(sys.argv[1])
completions = root / "packaging/completions"
ALWAYS = {"socket", "help", "usage", "version"}
# Which options a flag in the table of commands brings.
FLAGS = {
    "takes_output": {"output"},
    "takes_wait": {"wait", "timeout"},
    "takes_point": {"point"},
    "drills": {"end", "exec"},
    "manifests": {"secrets"},
    "takes_many": {"policy", "all", "fence"},
    "takes_dry_run": {"dry-run"},
    "needs_from": {"from"},
    "needs_to": {"to"},
    "needs_snapshot": {"snapshot"},
    "takes_watch": {"watch", "color"},
    "asks": {"yes"},
    "enrolls": {"site", "as", "endpoint", "pools", "config"},
}
ACTIONS = {"enroll": {"invite", "join"}}
GROUPS = {"rbd/shop", "rbd/vm-1"}
STATUS = "site east\n\nGROUP     ROLE     STATE\n{}\n\nnotes  follow\n".format(
    "\n".join(f"{group}  primary  ok" for group in sorted(GROUPS))
)
findings = []


def tool():
    """What the tool takes: {command: options}, and which commands take a group."""
    text = (root / "daemon/tool/main_farshore.c").read_text()
    table = text.split("commands[] = {")[1].split("\n};")[0]
    known = set(re.findall(r'^ +\{"([\w-]+)",\s*(?:\'\w\'|OPTION_\w+)', text, re.M))
    takes, grouped = {}, set()
    for name, body in re.findall(r'\{"(\w+)",(.*?)\}', table, re.S):
        flags = set(re.findall(r"\.(\w+) = true", body))
        takes[name] = set().union(*(FLAGS.get(flag, set()) for flag in flags))
        if flags & {"takes_group", "needs_group"}:
            grouped.add(name)
    takes["doctor"].add("bandwidth")  # the tool asks for it by name
    if missing := known - ALWAYS - set().union(*takes.values()):
        findings.append(f"the tool takes {sorted(missing)}, but no command does: mend this script")
    return takes, grouped


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.split("\n")


def bash(words):
    script = f"""
        source {completions}/farshore.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _farshore
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    return run("bash", "-c", script, "bash", *words)


def fish(words):
    script = f"source {completions}/farshore.fish; complete -C '{' '.join(words)}'"
    return [line.split("\t")[0] for line in run("fish", "--no-config", "-c", script)]


def zsh(words):
    """zsh completes only at a terminal; _arguments gets what it would offer there."""
    script = f"""
        _arguments() {{ printf '%s\\n' "$@" }}
        compadd() {{ shift; printf '%s\\n' "${{(@P)1}}" }}
        words=("$@")
        source {completions}/_farshore
        _farshore_groups"""
    lines = run("zsh", "-f", "-c", script, "zsh", *words)
    if words[-1].startswith("-"):
        return [m[1] + m[2] for line in lines if (m := re.match(r"(?:\([^)]*\))?(--)([\w-]+)", line))]
    if len(words) == 2:
        return next(line for line in lines if line.startswith("1:command:"))[11:-1].split()
    if action := next((line for line in lines if line.startswith("2:action:")), None):
        return action[10:-1].split()
    return [line for line in lines if line in GROUPS] if "2:group:_farshore_groups" in lines else []


def names(answers):
    return {answer[2:].rstrip("=") for answer in answers if answer.startswith("--")}


def hold(shell, what, offered, wanted):
    for name in sorted(wanted - offered):
        findings.append(f"{shell}: {what}: does not offer {name}")
    for name in sorted(offered - wanted):
        findings.append(f"{shell}: {what}: offers {name}, which the tool does not take there")


with tempfile.TemporaryDirectory() as home:
    program = pathlib.Path(home) / "farshore"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{STATUS}END\n")
    program.chmod(0o755)
    environment = {"HOME": home, "PATH": f"{home}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    takes, grouped = tool()
    for shell, ask in (("bash", bash), ("zsh", zsh), ("fish", fish)):
        hold(shell, "the first word", set(filter(None, ask(["farshore", ""]))), set(takes))
        for command, options in takes.items():
            hold(shell, command, names(ask(["farshore", command, "--"])), options | ALWAYS)
            groups = set(filter(None, ask(["farshore", command, ""])))
            hold(shell, f"{command} GROUP", groups, GROUPS if command in grouped else ACTIONS.get(command, set()))

if len(takes) < 5:
    findings.append("no table of commands was found: the code's shape changed, mend this script")
print("\n".join(findings) or f"{len(takes)} commands: the tool, bash, zsh and fish agree")
sys.exit(1 if findings else 0)
