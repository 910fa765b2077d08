#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the alerts against the metrics that there are, the runbook and their tests: every alert says
what to run and where its section is, fires, clears and stays quiet in a test. Usage: check_alerts.py SOURCE_DIR"""
import pathlib
import re
import sys

import yaml

root = pathlib.Path(sys.argv[1])
findings = []
RUNBOOK = "file:///usr/share/doc/farshore/operations.md#"


def metrics():
    text = (root / "daemon/metrics.c").read_text()
    names = set(re.findall(r'"(farshore_\w+?)(?:\{)?"', text))
    for name in re.findall(r'put_histogram\([^"]*"(\w+)"', text):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


def anchors():
    text = (root / "docs/operations.md").read_text()
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.M)}


known, titles = metrics(), anchors()
rules = yaml.safe_load((root / "docs/prometheus/farshore.rules.yaml").read_text())
alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
for name, rule in alerts.items():
    notes = rule["annotations"]
    for key in ("summary", "description", "runbook_url"):
        if not notes.get(key):
            findings.append(f"{name}: no {key}")
    link = notes["runbook_url"].removeprefix(RUNBOOK)
    if link != name.lower() or link not in titles:
        findings.append(f"{name}: {notes['runbook_url']} is no section of docs/operations.md")
    if rule["labels"]["severity"] not in ("warning", "critical"):
        findings.append(f"{name}: severity {rule['labels']['severity']}")
    for metric in set(re.findall(r"\bfarshore_\w+", rule["expr"])) - known:
        findings.append(f"{name}: there is no {metric}")

fires, clears, quiet = set(), set(), set()
cases = yaml.safe_load((root / "tests/prometheus/farshore.rules.test.yaml").read_text())["tests"]
for number, case in enumerate(cases):
    burning = set()
    for check in case["alert_rule_test"]:
        name = check["alertname"]
        if name not in alerts:
            findings.append(f"{case['name']}: there is no alert {name}")
        if check["exp_alerts"]:
            fires.add(name)
            burning.add(name)
        elif name in burning:
            clears.add(name)
        elif number == 0:
            quiet.add(name)
for what, having in (("fires", fires), ("clears after it fired", clears),
                     ("stays quiet beside a healthy pair", quiet)):
    for name in sorted(alerts.keys() - having):
        findings.append(f"{name}: no test in which it {what}")

if len(alerts) < 10 or len(known) < 10:
    findings.append("too little was found to compare: the shape changed, mend this script")
print("\n".join(findings) or f"{len(alerts)} alerts: metrics, runbook and tests agree")
sys.exit(1 if findings else 0)
