#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds farshored.yaml.5 and the example against the schema, in both directions: every key with
what it holds and its default, and every example must load, the guides' too.
Usage: check_config.py SOURCE_DIR KEYS"""
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

root = pathlib.Path(sys.argv[1])
keys = sys.argv[2]
findings = []

schema = {}
for line in subprocess.run([keys], check=True, capture_output=True, text=True).stdout.splitlines():
    path, holds, default = line.split("\t")
    schema[path] = f"{holds}; {default}"

page = (root / "docs/man/farshored.yaml.5").read_text()
manual = {}
lists = page.split(".Sh DESCRIPTION\n")[1].split("\n.Sh ")[0]
for path, body in re.findall(r"^\.It Cm (\S+)\n(.*?)(?=^\.It |^\.El)", lists, re.M | re.S):
    if path in manual:
        findings.append(f"{path}: twice in the manual")
    note = re.match(r'\.\\" key: (.*)\n', body)
    manual[path] = note.group(1) if note else "(no comment with type and default)"
    # The comment is for this test; people read the text, which must name the same values.
    text = body.split("\n", 1)[-1]
    for value in re.findall(r"(?:from|to|default) (\S+(?: [KMGT]iB)?)", manual[path]):
        if not re.search(rf"(?<![\w/]){re.escape(value)}(?!\w)", text) and "pool[" not in value:
            findings.append(f"{path}: the manual's text does not say {value}")

for path in sorted(schema.keys() - manual.keys()):
    findings.append(f"{path}: not in the manual")
for path in sorted(manual.keys() - schema.keys()):
    findings.append(f"{path}: in the manual, not in the schema")
for path in sorted(schema.keys() & manual.keys()):
    if schema[path] != manual[path]:
        findings.append(f"{path}: the schema says \"{schema[path]}\", the manual \"{manual[path]}\"")

# The example shows every key, so that nobody has to guess how one is written.
example = (root / "docs/example/farshored.yaml").read_text()
for path in sorted(schema):
    word = path.rsplit(".", 1)[-1]
    if not re.search(rf"\b{word}:", example):
        findings.append(f"{path}: not in the example")

examples = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", page, re.M | re.S)
if len(examples) < 2 or len(schema) < 20:
    findings.append("too little was found to compare: the shape changed, mend this script")
# What the guides show of a configuration is merged into a whole one.
BASE = {"site": "here", "listen": "0.0.0.0:7430",
        "tls": {"cert": "/c.crt", "key": "/c.key", "ca": "/ca.crt"}, "peers": {"west": {}},
        "discovery": [{"source": "kubernetes"}, {"source": "images"}],
        "policies": {"gold": {"peer": "west", "interval": "5m", "pools": {"rbd": "rbd"},
                              "select": {"labels": "farshore.io/policy=gold"}}}}


def merged(base, part):
    if not isinstance(base, dict) or not isinstance(part, dict):
        return part
    return {**base, **{key: merged(base.get(key), value) for key, value in part.items()}}


parts = []
for guide in sorted((root / "docs").glob("*.md")):
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", guide.read_text(), re.M | re.S)):
        part = yaml.load(text, yaml.BaseLoader)  # `on` is a word
        if "scrape_configs" not in part:
            parts.append((f"{guide.stem}-{number}", merged(BASE, part)))
if len(parts) < 8:
    findings.append("the guides' examples were not found: the shape changed, mend this script")

with tempfile.TemporaryDirectory() as directory:
    files = [root / "docs/example/farshored.yaml"]
    for name, whole in parts:
        files.append(pathlib.Path(directory) / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(whole))
    for number, text in enumerate(examples):
        files.append(pathlib.Path(directory) / f"manual-example-{number}.yaml")
        files[-1].write_text(text)
    done = subprocess.run([keys, *files], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        findings.append(done.stdout.rstrip())

print("\n".join(findings) or f"farshored.yaml.5 agrees with the schema's {len(schema)} keys")
sys.exit(1 if findings else 0)
