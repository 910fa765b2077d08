#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds farshored.8 against the event catalogue and the metrics, and farshore.1 against the tool's
commands and options, in both directions. Usage: check_farshored.py SOURCE_DIR"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
findings = []


def differ(what, code, manual):
    for name in sorted(code - manual):
        findings.append(f"{what} {name}: not in the manual")
    for name in sorted(manual - code):
        findings.append(f"{what} {name}: in the manual, not in the code")


def section(page, name):
    return page.split(f".Sh {name}\n")[1].split("\n.Sh ")[0]


log = (root / "include/farshore/log.h").read_text().replace("\\\n", " ")
page = (root / "docs/man/farshored.8").read_text()
events = set(
    f"{name} ({level.lower()})"
    for name, level in re.findall(r'X\(FS_EV_\w+,\s*"(\w+)",\s*FS_LOG_(\w+)', log)
)
listed = set(f"{n} ({l})" for n, l in re.findall(r"^\.It Cm (\w+) Pq (\w+)$", page, re.M))
differ("event", events, listed)

metrics = (root / "daemon/metrics.c").read_text()
series = set(re.findall(r'"(farshore_\w+?)(?:\{)?"', metrics))
differ("metric", series, set(re.findall(r"^\.It Cm (farshore_\w+)$", section(page, "METRICS"), re.M)))

tool = (root / "daemon/tool/main_farshore.c").read_text()
page = (root / "docs/man/farshore.1").read_text()
description = section(page, "DESCRIPTION")
commands = set(re.findall(r'^ +\{"(\w+)", \.', tool, re.M))
differ("command", commands, set(re.findall(r"^\.It Cm (\w+)", description, re.M)))
options = set(re.findall(r'^ +\{"([\w-]+)",\s*(?:\'\w\'|OPTION_\w+)', tool, re.M))
listed = set(re.findall(r"Fl -([\w-]+)(?: |$)", "\n".join(re.findall(r"^\.It .*$", description, re.M)), re.M))
differ("option", options, listed - {"help", "usage", "version"})

if not (events and series and commands and options):
    findings.append("nothing was found to compare: the code's shape changed, mend this script")
print("\n".join(findings) or "farshored.8 and farshore.1 agree with the code")
sys.exit(1 if findings else 0)
