// SPDX-License-Identifier: Apache-2.0
// The two drawings of a group: its lag over the last day against the objective, and its points.
import { bytes, drawing, duration, moment } from "/format.js";

const LEFT = 72, RIGHT = 12;
const narrow = matchMedia("(max-width: 46rem)");
const widthNow = () => narrow.matches ? 400 : 960; // so that text keeps its size

function timeAxis(width, from, to, y) {
  const made = [drawing("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y, y2: y })];
  const steps = narrow.matches ? 2 : 6;
  for (let i = 0; i <= steps; i++) {
    const at = moment(from + ((to - from) * i) / steps);
    const label = to - from > 90000 ? at.slice(5, 16) : at.slice(11, to - from < 600 ? 19 : 16);
    const anchor = i === 0 ? "start" : i === steps ? "end" : "middle";
    made.push(drawing("text", { x: LEFT + ((width - LEFT - RIGHT) * i) / steps, y: y + 22, "text-anchor": anchor }, label));
  }
  return made;
}

function limitLines(width, limits, most, y) {
  return limits.filter(([, at]) => at !== undefined && at <= most).flatMap(([name, at, label]) => [
    drawing("line", { class: name, x1: LEFT, x2: width - RIGHT, y1: y(at), y2: y(at) }),
    drawing("text", { x: width - RIGHT, y: y(at) - 4, "text-anchor": "end" }, `${label} ${duration(at)}`)]);
}

// lag: {end_timestamp, step_seconds, max_seconds: [oldest first, null where unknown]}
export function lagChart(lag, interval, alert) {
  const width = widthNow(), HEIGHT = 220, top = 24, bottom = HEIGHT - 32;
  const values = lag.max_seconds, known = values.filter((v) => v !== null);
  const worst = Math.max(0, ...known), most = 1.1 * Math.max(worst, interval);
  const y = (v) => bottom - ((bottom - top) * v) / most;
  const x = (i) => LEFT + ((width - LEFT - RIGHT) * (i + 0.5)) / values.length;
  let path = "", down = false;
  const dots = [];
  values.forEach((value, i) => {
    if (value !== null) path += `${down ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    if (value !== null && !down && (values[i + 1] ?? null) === null) { // a line of one point
      dots.push(drawing("circle", { class: "dot", cx: x(i), cy: y(value), r: 4 }));
    }
    down = value !== null;
  });
  const label = known.length
    ? `Lag over the last 24 hours: at most ${duration(worst)}; the objective is ${duration(interval)}.`
    : "Nothing is known of the lag yet.";
  return drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label },
    ...timeAxis(width, lag.end_timestamp - lag.step_seconds * values.length, lag.end_timestamp, bottom),
    ...limitLines(width, [["goal", interval, "interval"], ["warning", alert?.warning_seconds, "warn"],
      ["critical", alert?.critical_seconds, "critical"]], most, y),
    drawing("text", { x: LEFT - 6, y: bottom, "text-anchor": "end" }, "0"),
    drawing("text", { x: LEFT - 6, y: top, "text-anchor": "end" }, duration(most)),
    path && drawing("path", { class: "lag", d: path }), ...dots);
}

// points: committed ones, oldest first, each with proof ("same", "differs" or undefined) and drill
// ("": none).
export function pointChart(points, now) {
  const width = widthNow(), HEIGHT = 100, middle = 36, margin = LEFT + 26;
  const from = points[0].taken_timestamp, span = Math.max(1, now - from);
  const largest = Math.max(1, ...points.map((p) => p.bytes));
  const marks = points.flatMap((point) => {
    const cx = margin + ((width - RIGHT - 26 - margin) * (point.taken_timestamp - from)) / span;
    const r = 5 + 15 * Math.sqrt(point.bytes / largest);
    const title = `${point.name}, ${moment(point.taken_timestamp)}, ${bytes(point.bytes)} changed`;
    return [drawing("circle", { class: point.flags.length ? "point odd" : "point", cx, cy: middle, r }, drawing("title", {}, title)),
      point.drill && drawing("rect", { class: point.drill.startsWith("failed") ? "drill failed" : "drill", x: cx - 4, y: 1, width: 8, height: 8 },
        drawing("title", {}, `Drill: ${point.drill}`)),
      point.proof && drawing("circle", { class: point.proof === "same" ? "ring" : "ring differs", cx, cy: middle, r: r + 4 })];
  });
  const label = `${points.length} recovery points on a time line; the table below has them.`;
  return drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label },
    ...timeAxis(width, from, from + span, HEIGHT - 30), ...marks);
}
