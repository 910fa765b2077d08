// SPDX-License-Identifier: Apache-2.0
// Figures for people, as `farshore status` writes them, and elements in which text is never markup.

export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s), two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let value = count, unit = 0;
  while (value >= 1023.95 && unit + 1 < units.length) {
    value /= 1024;
    unit++;
  }
  return unit ? `${value.toFixed(1)} ${units[unit]}` : `${Math.round(value)} B`;
}

export function moment(timestamp) {
  const d = new Date(timestamp * 1000), two = (n) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
    `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

const KINDS = {
  good: ["ok", "syncing"],
  calm: ["never_synced", "paused", "demoted"],
  warn: ["late", "not_one_instant", "stalled", "writer_silent", "superseded", "peer_down"],
};
const MARKS = { good: "✓", calm: "○", warn: "▲", bad: "✕" };

export function kindOf(state) {
  return Object.keys(KINDS).find((kind) => KINDS[kind].includes(state)) ?? "bad";
}

export function chip(text, kind) {
  return element("span", { class: `chip ${kind}` }, `${MARKS[kind]} ${text.replaceAll("_", " ")}`);
}

// Children are text or elements; nothing, false and "" are left out.
export function element(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function drawing(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children.filter(Boolean));
  return made;
}

// Replace what is in a node; leave it alone, with its focus, where nothing changed.
export function show(node, ...children) {
  const wanted = element("div", {}, ...children);
  if (node.innerHTML !== wanted.innerHTML) node.replaceChildren(...wanted.childNodes);
}
