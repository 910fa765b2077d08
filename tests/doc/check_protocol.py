#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds farshore-protocol.5 against the code, in both directions: the types of frames, the names, types
and order of every message's fields (as the encoders put them), the reasons of a refusal and the
limits. Usage: check_protocol.py SOURCE_DIR"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
findings = []
wire = (root / "include/farshore/wire.h").read_text()
sink = (root / "include/farshore/sink.h").read_text()
model = (root / "include/farshore/model.h").read_text()
code = "\n".join((root / f"ship/{name}.c").read_text()
                 for name in ("wire_control", "wire_fence", "wire_move", "wire_objects", "wire_offer", "wire_terms",
                              "wire_transfer",
                              "wire_verify"))
page = (root / "docs/man/farshore-protocol.5").read_text()


def differ(what, ours, manual):
    for name in sorted(set(ours) - set(manual)):
        findings.append(f"{what} {name}: not in the manual")
    for name in sorted(set(manual) - set(ours)):
        findings.append(f"{what} {name}: in the manual, not in the code")


# Types of frames, and what encodes each.
types = re.findall(r"FS_FRAME_(\w+) = (\d+)", wire)
sections = dict(((name, number), body) for name, number, body in
                re.findall(r"^\.Ss (\w+) \((\d+)\)\n(.*?)(?=^\.S[sh] )", page, re.M | re.S))
differ("frame", [f"{n} ({i})" for n, i in types], [f"{n} ({i})" for n, i in sections])
messages = re.findall(r"X\((\w+)\)", wire.split("#define FS_WIRE_MESSAGES(X)")[1].split("#define")[0])
encoder_of = {"BYE": "text", "ABORT": "text", "PONG": "ping", "CURRENT": "current_list",
              "CURRENT_ACK": "current_list"}
differ("message", messages, {encoder_of.get(name, name.lower()) for name, _ in sections})


def body_of(function):
    return re.search(rf"^(?:static )?void {function}\(.*?^}}$", code, re.M | re.S).group(0)


def field(expression):
    name = re.sub(r"^&?(\(\w+\))?&?", "", expression)
    name = re.sub(r"^(message|offered|volume|extent)->(extent\.)?", "", name)
    return re.sub(r"^(\w+)\[i\](\.|$)", lambda m: "" if m.group(2) == "." else m.group(1), name)


def encoded(function):
    """[(name, type)] in the order in which function puts them."""
    fields = []
    calls = (r"(fs_buf_put\w*|fs_codec_put_\w+)\(buf, ((?:\(\w+\))?[^,;()]+)[,)]"
             r"|(term_encode|volume_encode)\(([^,;]+), buf\)")
    for put, argument, nested, nested_argument in re.findall(calls, body_of(function)):
        kind = put.removeprefix("fs_buf_put_").removeprefix("fs_codec_put_")
        if nested == "term_encode":
            name = field(nested_argument)
            fields += [(f"{name}.number", "u64"), (f"{name}.site", "uuid")]
        elif nested == "volume_encode":
            fields += encoded("volume_encode")
        elif put == "fs_buf_put":
            fields.append((field(argument), "bytes"))
        else:
            name = "reserved" if argument == "0" else field(argument)
            fields.append((name, "string" if kind == "message" else kind))
    return fields


# The manual's tables; a row of an element type stands for the rows of the element's table.
elements = {}
tables = {}
for (name, _), body in sections.items():
    found = [re.findall(r"^\.It ([\w.]+) Ta (\w+) Ta ", table, re.M)
             for table in re.findall(r"^\.Bl -column.*?^\.El$", body, re.M | re.S)]
    tables[name] = found[0] if found else []
    for element, rows in zip(re.findall(r"^An? (\w+)(?:,.*)?:$", body, re.M), found[1:]):
        elements[element] = rows


def documented(name):
    fields = []
    for row in tables[name]:
        fields += elements.get(row[1], [row])
    return [(n, "u64" if t == "i64" else t) for n, t in fields]


count = 0
for name, _ in sections:
    ours = encoded(f"fs_{encoder_of.get(name, name.lower())}_encode")
    manual = documented(name)
    count += len(ours)
    if ours != manual:
        differ(f"{name}: field", [f"{n} ({t})" for n, t in ours], [f"{n} ({t})" for n, t in manual])
        findings.append(f"{name}: the code puts {ours}, the manual says {manual}")

reasons = {f"{name} {number}" for name, number in re.findall(r"FS_REFUSE_(\w+) = (\d+)", sink)}
listed = {f"{name} {number}" for number, name in re.findall(r"^\.It (\d+)\n\.Dv (\w+) :", page, re.M)}
differ("reason", reasons - {"NONE 0"}, listed)


def constant(name):
    text = re.search(rf"#define {name}\s+([^/\n]+)", wire + model).group(1)
    return eval(re.sub(r"UINT64_C|(?<=\d)u\b", "", text))  # numbers and shifts of our own header


for name, phrase in {
    "FS_FRAME_HEADER": "a header of {} bytes",
    "FS_FRAME_PAYLOAD_MAX": "a payload of at most {}.",
    "FS_SEGMENT_MAX": "sum of the DATA extents, at most {}",
    "FS_SEGMENT_EXTENTS_MAX": "n_extents Ta u32 Ta at most {}",
    "FS_LABELS_MAX": "labels Ta string Ta a JSON object, or empty; at most {} bytes",
    "FS_CREDIT_MIN": "bytes of segments that may be sent, {} to 2^40",
    "FS_LANES_WINDOW_MIN": "without a gap, {} to 2^40",
    "FS_LANES_MAX": "{} connections at most",
    "FS_CURRENT_MAX": "count Ta u32 Ta at most {}",
    "FS_SEEN_MAX": "count Ta u16 Ta at most {}",
    "FS_POINTS_MAX": "n_held Ta u16 Ta at most {}",
    "FS_VOLUMES_MAX": "n_volumes Ta u16 Ta 1 to {}",
    "FS_WIRE_VERSION": "farshore/{}",
}.items():
    if phrase.format(constant(name)) not in page:
        findings.append(f"{name}: the manual does not say \"{phrase.format(constant(name))}\"")

if len(types) < 10 or count < 50 or not reasons:
    findings.append("nothing was found to compare: the code's shape changed, mend this script")
print("\n".join(findings) or "farshore-protocol.5 agrees with the code")
sys.exit(1 if findings else 0)
