// SPDX-License-Identifier: Apache-2.0
// One group: what is wrong and what helps, its lag, its points, its volumes.
import { lagChart, pointChart } from "/charts.js";
import { bytes, chip, duration, element, kindOf, moment, show } from "/format.js";

const FLAGS = { not_one_instant: "not one instant", volume_missing: "a volume is missing" };
const PROOFS = { same: "proved the same at both sites", differs: "differs from the other site" };

function table(caption, heads, rows) {
  return element("table", { class: "stack", "aria-label": caption },
    element("thead", {}, element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell, i) =>
      i ? element("td", { "data-label": heads[i] }, cell) : element("th", { scope: "row" }, cell))))));
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

function proofOf(point, verify) {
  if (verify.bad?.point === point.id) return "differs";
  return verify.last?.point === point.id && verify.last.outcome === "equal" ? "same" : undefined;
}

// What came of a drill of the point: "" where there was none that is known of.
function drillOf(point, group) {
  const last = group.drill?.point === point.name && group.drill;
  if (last) return `${last.exit_status ? `failed (${last.exit_status})` : "passed"} ${moment(last.ended_timestamp)}`;
  return group.drills.some((d) => d.point === point.name) ? "its copy is there" : "";
}

function points(detail, now) {
  const committed = detail.points.filter((p) => p.state === "committed");
  if (!committed.length) return [element("p", { class: "none" }, "There is no recovery point yet.")];
  for (const point of committed) {
    point.proof = proofOf(point, detail.group.verify);
    point.drill = drillOf(point, detail.group);
  }
  const size = (point) => point.volumes.reduce((sum, v) => sum + v.size_bytes, 0);
  return [pointChart(committed, now),
    element("p", { class: "none" }, "As large as what changed. Ring: a proof. Square: a drill. Amber: not all of one instant."),
    table("Recovery points, newest first",
    ["Point", "Taken", "Age", "Consistency", "Changed", "Size", "Proof", "Drill"],
    committed.toReversed().map((p) => [p.name, moment(p.taken_timestamp), duration(now - p.taken_timestamp),
      [p.consistency, ...p.flags.map((f) => FLAGS[f] ?? f)].join(", "), bytes(p.bytes), bytes(size(p)),
      PROOFS[p.proof] ?? "none", p.drill || "none"]))];
}

function volumes(group) {
  const path = (...parts) => parts.filter(Boolean).join("/");
  return table("Volumes", ["Image", "Size", "PVC", "VM"], group.volumes.map((v) => [path(v.pool, v.namespace, v.image),
    bytes(v.size_bytes), path(v.pvc_namespace, v.pvc) || "none", v.vm || "none"]));
}

function operations(list) {
  if (!list?.length) return element("p", { class: "none" }, list ? "None so far." : "Asking …");
  return table("Operations, newest first", ["When", "Step", "Term", "Who", "What"],
    list.toReversed().map((o) => [moment(o.timestamp), o.step.replaceAll("_", " "), String(o.term), o.who || "the daemon", o.detail]));
}

export function showDetail(node, detail, now) {
  const group = detail.group, lag = group.rpo_lag_seconds, kind = kindOf(group.state);
  show(node,
    element("p", {}, element("a", { href: "#" }, "← All groups")),
    element("h2", {}, group.name, " ", chip(group.state, kind)),
    group.reason && element("div", { class: `hint ${kind}` }, element("strong", {}, group.reason),
      group.hint && element("div", {}, "What helps: ", group.hint)),
    element("dl", {},
      fact("Lag", lag === undefined ? "never synced" : duration(lag)),
      fact("Interval", duration(group.interval_seconds)),
      fact(group.role === "primary" ? "Sent to" : "Received from", group.peer),
      fact("Role here", group.role), fact("Policy", group.policy), fact("Points", String(group.points)),
      fact("Last proof", group.verify.proved_timestamp ? moment(group.verify.proved_timestamp) : "none"),
      fact("Id", group.uuid)),
    element("h3", {}, "Lag over the last 24 hours"),
    lagChart(detail.lag, group.interval_seconds, group.alert),
    element("p", { class: "none" }, "The largest of each five minutes, since the daemon started."),
    element("h3", {}, "Recovery points"), ...points(detail, now),
    element("h3", {}, "Volumes"), volumes(group),
    ...group.volumes.filter((v) => v.kubernetes?.reason).map((v) =>
      element("div", { class: "hint warn" }, element("strong", {}, v.kubernetes.reason),
        element("div", {}, "What helps: ", v.kubernetes.hint))),
    group.slow_reason && element("p", {}, `Slow differences: ${group.slow_reason}`),
    element("h3", {}, "Operations"), operations(detail.operations));
}
