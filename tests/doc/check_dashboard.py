#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the dashboard against the metrics that there are, and against what Grafana's schema asks of a
dashboard of this kind. Usage: check_dashboard.py SOURCE_DIR"""
import json
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
board = json.loads((root / "docs/grafana/farshore.json").read_text())
findings = []
COLUMNS = 24
TYPES = {"row", "stat", "bargauge", "table", "heatmap", "timeseries", "state-timeline"}
UNITS = {"none", "s", "bytes", "Bps"}
# Every panel shows a source that its user chooses.
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
BUILT_IN = {"__rate_interval", "__interval", "__range"}
SHAPE = {"uid": str, "title": str, "description": str, "schemaVersion": int, "version": int, "editable": bool,
         "tags": list, "time": dict, "refresh": str, "templating": dict, "annotations": dict, "panels": list}


def metrics():
    text = (root / "daemon/metrics.c").read_text()
    names = set(re.findall(r'"(farshore_\w+?)(?:\{)?"', text))
    for name in re.findall(r'put_histogram\([^"]*"(\w+)"', text):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


def squares(panel):
    place = panel["gridPos"]
    return {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}


def check_targets(panel):
    targets = panel.get("targets", [])
    if (panel["type"] == "row") == bool(targets):
        findings.append(f"{panel['title']}: a row with queries, or a panel without")
    refs = [target["refId"] for target in targets]
    if len(set(refs)) != len(refs):
        findings.append(f"{panel['title']}: two queries with one refId")
    if any(target["datasource"] != SOURCE for target in targets):
        findings.append(f"{panel['title']}: a query of another source")


def check_panel(panel, taken):
    title = panel["title"]
    if panel["type"] not in TYPES:
        findings.append(f"{title}: type {panel['type']}")
    here = squares(panel)
    if max(x for x, _ in here) >= COLUMNS or here & taken:
        findings.append(f"{title}: beyond the page, or over another panel")
    taken |= here
    check_targets(panel)
    if panel["type"] != "row":
        if not panel.get("description"):
            findings.append(f"{title}: says not what it shows")
        if panel["datasource"] != SOURCE or panel["fieldConfig"]["defaults"]["unit"] not in UNITS:
            findings.append(f"{title}: another source, or an unknown unit")


for key, kind in SHAPE.items():
    if not isinstance(board.get(key), kind):
        findings.append(f"{key} is not there, or is no {kind.__name__}")
ids, occupied = [panel["id"] for panel in board["panels"]], set()
if len(set(ids)) != len(ids):
    findings.append("two panels with one id")
for one in board["panels"]:
    check_panel(one, occupied)

queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
variables = {variable["name"] for variable in board["templating"]["list"]}
used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"])))
for name in used - variables - BUILT_IN:
    findings.append(f"there is no variable {name}")
for name in variables - used:
    findings.append(f"variable {name} is not used")
asked, known = set(re.findall(r"\bfarshore_\w+", " ".join(queries))), metrics()
for name in asked - known:
    findings.append(f"there is no {name}")
if len(queries) < 20 or len(known) < 10 or len(asked) < 10:
    findings.append("too little was found to compare: the shape changed, mend this script")
print("\n".join(findings) or f"{len(board['panels'])} panels, {len(queries)} queries: schema and metrics agree")
sys.exit(1 if findings else 0)
