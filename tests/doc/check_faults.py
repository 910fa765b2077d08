#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the catalogue of fault points, the code that passes them and docs/replication.md against
each other. Usage: check_faults.py SOURCE_DIR"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
findings = []
catalogue = re.findall(r'X\("([a-z_.]+)",', (root / "include/farshore/fault.h").read_text())
# A step's name in the code is an argument of fs_fault, or of the one function that chooses.
passed = {}
for directory in ("daemon", "ship", "snapshot"):
    for path in (root / directory).rglob("*.c"):
        text = path.read_text()
        for call in re.findall(r"\b(?:fs_fault|pass_store)\(([^;]*)\);", text):
            for name in re.findall(r'"([a-z_.]+)"', call):
                passed.setdefault(name, []).append(path.name)
document = (root / "docs/replication.md").read_text()
rows = "\n".join(line.split("|")[1] for line in document.splitlines() if line.startswith("| `"))
told = re.findall(r"`([a-z_]+\.[a-z_]+)`", rows)

for name in sorted({n for n in catalogue if catalogue.count(n) > 1}):
    findings.append(f"{name}: twice in the catalogue")
for name in sorted(set(catalogue) - passed.keys()):
    findings.append(f"{name}: in the catalogue, but no code passes it")
for name in sorted(passed.keys() - set(catalogue)):
    findings.append(f"{name}: passed in {passed[name]}, not in the catalogue")
for name in sorted(set(catalogue) - set(told)):
    findings.append(f"{name}: docs/replication.md does not say what a crash there leaves")
for name in sorted(set(told) - set(catalogue)):
    findings.append(f"{name}: in docs/replication.md, not in the catalogue")
for name in sorted(n for n in passed if len(passed[n]) > 1):
    findings.append(f"{name}: passed at more than one place: {passed[name]}")
if len(catalogue) < 10:
    findings.append("no catalogue was found: the code's shape changed, mend this script")
print("\n".join(findings) or f"{len(catalogue)} fault points: catalogue, code and document agree")
sys.exit(1 if findings else 0)
