// SPDX-License-Identifier: Apache-2.0
// The overview, and what keeps the page live: the daemon is asked again and again, and only what
// changed is drawn anew, so that focus and scroll stay where they are.
import { showDetail } from "/detail.js";
import { bytes, chip, duration, element, kindOf, moment, show } from "/format.js";

const EVERY_MS = 2000, EVERY_LARGE_MS = 10000, LARGE = 400000, ANSWER_MS = 15000;
const EVENTS_SHOWN = 60;
const get = (id) => document.getElementById(id);
const filter = get("filter");
const rows = new Map(); // uuid: <tr>
let status, events = [], detail, failedSince, selected;

// --- figures of a group ------------------------------------------------------------------------

const never = (group) => group.rpo_lag_seconds === undefined;
const ageOf = (group) => group.rpo_lag_seconds ?? Math.max(0, Date.now() / 1000 - group.known_timestamp);
const ratioOf = (group) => ageOf(group) / group.interval_seconds;
const isSent = (group) => group.role === "primary";

function lagKind(group) {
  const lag = ageOf(group), alert = group.alert;
  if (alert && lag > alert.critical_seconds) return "bad";
  return alert && lag > alert.warning_seconds ? "warn" : "good";
}

function namespacesOf(group) {
  return new Set(group.volumes.flatMap((v) => [v.pvc_namespace, v.namespace]).filter(Boolean));
}

function matches(group) {
  const wanted = Object.fromEntries(new FormData(filter));
  const words = [group.name, ...group.volumes.flatMap((v) => [v.image, v.pvc, v.vm])].join(" ").toLowerCase();
  return words.includes(wanted.text.toLowerCase().trim()) &&
    (!wanted.role || (wanted.role === "primary") === isSent(group)) &&
    (!wanted.policy || group.policy === wanted.policy) &&
    (!wanted.state || group.state === wanted.state) &&
    (!wanted.namespace || namespacesOf(group).has(wanted.namespace));
}

function transferText({ phase, done_bytes: done, total_bytes: total }) {
  if (phase === "idle") return "—";
  return total ? `${phase} ${Math.floor((100 * done) / total)} %` : phase;
}

// --- parts of the overview ---------------------------------------------------------------------

function showHead() {
  const site = status.site;
  document.title = `Farshore ${site.name}`;
  show(get("site"), `at site ${site.name}`);
  show(get("version"), `farshored ${site.version}`);
  show(get("links"),
    element("li", {}, chip(`cluster ${site.cluster}`, site.cluster === "up" ? "good" : "bad"),
      site.cluster_reason && ` ${site.cluster_reason}`),
    site.kubernetes?.reason && element("li", {}, chip("Kubernetes down", "warn"), ` ${site.kubernetes.reason}`),
    site.lease === "standby" && element("li", {}, chip("standby: another daemon works here", "calm")),
    ...status.peers.map((peer) => element("li", {},
      chip(`${peer.name} ${peer.up ? "up" : "down"}`, peer.up ? "good" : "bad"), !peer.up && ` ${peer.reason}`)));
}

function tile(value, label) {
  return element("li", {}, element("b", {}, value), element("span", {}, label));
}

function showTiles() {
  const groups = status.groups, sent = groups.filter(isSent).length;
  const worst = Math.max(0, ...groups.filter((g) => !never(g)).map(ratioOf));
  const rate = groups.reduce((sum, g) => sum + (g.sync.rate_bytes_per_second ?? 0), 0);
  show(get("tiles"), tile(String(groups.length), `groups: ${sent} sent, ${groups.length - sent} received`),
    tile(`${worst.toFixed(1)} ×`, "worst lag, in intervals"),
    tile(String(groups.filter((g) => kindOf(g.state) !== "good").length), "not ok"),
    tile(String(groups.filter(never).length), "never synced"), tile(`${bytes(rate)}/s`, "moving now"));
}

function movingItem(group, what, done, total, text) {
  return element("li", {}, element("a", { href: `#${group.uuid}` }, group.name),
    element("progress", { value: done, max: total || 1, "aria-label": `${what} of ${group.name}` }),
    element("span", {}, text));
}

function showMoving() {
  const made = [];
  for (const group of status.groups) {
    const { sync, verify } = group;
    if (sync.total_bytes) {
      const eta = sync.eta_seconds === undefined ? "" : `, ${duration(sync.eta_seconds)} left`;
      made.push(movingItem(group, sync.phase, sync.done_bytes, sync.total_bytes,
        `${transferText(sync)} of ${bytes(sync.total_bytes)} ${isSent(group) ? "to" : "from"} ${group.peer}, ` +
        `${bytes(sync.rate_bytes_per_second)}/s${eta}`));
    }
    if (verify.phase === "running") {
      made.push(movingItem(group, "verification", verify.done_bytes, verify.total_bytes,
        `verifying: ${bytes(verify.read_bytes)} looked at, ${verify.different_objects} objects differ`));
    }
  }
  show(get("moving"), ...made);
  get("moving-none").hidden = made.length > 0;
}

function showOptions(name, values) {
  const select = filter.elements[name], chosen = select.value;
  const wanted = [...new Set([...values, chosen])].filter(Boolean).sort();
  show(select, element("option", { value: "" }, "all"),
    ...wanted.map((value) => element("option", { value }, value.replaceAll("_", " "))));
  select.value = chosen;
}

function rowOf(group) {
  if (!rows.has(group.uuid)) {
    const cells = ["State", "Lag", "Newest point", "Transfer"].map((label) => element("td", { "data-label": label }));
    cells[1].append(element("span"), element("div", { class: "meter", "aria-hidden": "true" }, element("i")));
    rows.set(group.uuid, element("tr", {}, element("th", { scope: "row" }), ...cells));
  }
  return rows.get(group.uuid);
}

function showRow(row, group) {
  const [name, state, lag, point, transfer] = row.children;
  show(name, element("a", { href: `#${group.uuid}` }, group.name),
    element("small", {}, `${isSent(group) ? "→ to" : "← from"} ${group.peer}, policy ${group.policy}`));
  show(state, chip(group.state, kindOf(group.state)), group.reason && element("small", {}, group.reason));
  show(lag.firstChild, `${never(group) ? "none for " : ""}${duration(ageOf(group))} of ${duration(group.interval_seconds)}`);
  lag.lastChild.className = `meter ${lagKind(group)}`;
  lag.lastChild.firstChild.style.width = `${Math.min(100, (100 * ratioOf(group)) / 3)}%`;
  show(point, group.recovery_point ? moment(group.recovery_point.taken_timestamp) : "none");
  show(transfer, transferText(group.sync));
}

function showRows(groups) {
  const body = get("rows"), wanted = groups.map(rowOf);
  groups.forEach((group, i) => showRow(wanted[i], group));
  if (wanted.length !== body.children.length || wanted.some((row, i) => body.children[i] !== row)) {
    const focused = document.activeElement;
    body.replaceChildren(...wanted);
    if (body.contains(focused)) focused.focus({ preventScroll: true });
  }
  const there = new Set(status.groups.map((g) => g.uuid));
  for (const uuid of rows.keys()) if (!there.has(uuid)) rows.delete(uuid);
}

function showGroups() {
  const groups = status.groups.filter(matches).sort((a, b) => ratioOf(b) - ratioOf(a) || (a.name < b.name ? -1 : 1));
  showOptions("policy", status.groups.map((g) => g.policy));
  showOptions("state", status.groups.map((g) => g.state));
  showOptions("namespace", status.groups.flatMap((g) => [...namespacesOf(g)]));
  showRows(groups);
  show(get("shown"), `${groups.length} of ${status.groups.length} groups`);
  get("rows-none").hidden = groups.length > 0;
  show(get("rows-none"), status.groups.length ? "No group matches." :
    "No groups yet: no volume matches a policy (policies.*.select.labels).");
  show(get("skipped"), ...status.skipped.map((s) => element("li", {}, chip("not protected", "warn"),
    ` ${[s.pvc && `pvc ${s.pvc_namespace}/${s.pvc}`, s.image].filter(Boolean).join(", ")} (policy ${s.policy}): ${s.reason}`)));
}

// Newest first; what came again and again is one entry, with its count.
function folded(list) {
  const found = new Map();
  for (const event of list) {
    const key = [event.event, event.group, event.text].join("\n");
    if (found.has(key)) found.get(key).count++;
    else found.set(key, { ...event, count: 1 });
  }
  return [...found.values()];
}

function showEvents() {
  const name = detail?.group.name;
  const wanted = folded(events.filter((e) => !selected || (e.group === name && e.event !== "operation"))).slice(0, EVENTS_SHOWN);
  show(get("events"), ...wanted.map((e) => element("tr", {}, element("th", { scope: "row" }, moment(e.timestamp)),
    element("td", {}, chip(e.event, { error: "bad", warning: "warn" }[e.level] ?? "calm"),
      e.count > 1 && element("small", {}, `${e.count} times`)),
    element("td", {}, e.group), element("td", {}, e.text))));
  get("history").hidden = false;
}

// --- life --------------------------------------------------------------------------------------

function draw() {
  if (!status) return;
  showHead();
  get("overview").hidden = Boolean(selected);
  get("detail").hidden = !selected;
  if (!selected) {
    showTiles();
    showMoving();
    showGroups();
  } else if (detail) {
    showDetail(get("detail"), detail, Date.now() / 1000);
  } else {
    show(get("detail"), element("p", {}, element("a", { href: "#" }, "← All groups")), element("p", {}, "Asking …"));
  }
  showEvents();
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
  if (!answer.ok && answer.status !== 404) throw new Error(`${path}: ${answer.status}`);
  const text = await answer.text();
  return { length: text.length, document: answer.ok ? JSON.parse(text) : undefined };
}

async function update() {
  const wanted = selected;
  const [site, happened, group] = await Promise.all([ask("/api/v1/status"), ask("/api/v1/events"),
    wanted && ask(`/api/v1/groups/${wanted}`)]);
  status = site.document;
  events = happened.document.events;
  if (wanted && wanted === selected) {
    detail = group.document;
    if (!detail) location.hash = ""; // it is gone
  }
  return site.length > LARGE ? EVERY_LARGE_MS : EVERY_MS;
}

async function updateAndTell() {
  let every = EVERY_MS;
  try {
    every = await update();
    failedSince = undefined;
    show(get("live"), "Live");
  } catch {
    failedSince ??= moment(Date.now() / 1000);
    show(get("live"), `The daemon does not answer since ${failedSince}: this is from before`);
  }
  get("live").className = failedSince ? "lost" : "";
  draw();
  return every;
}

let timer, running = false, again = false;
async function tick() {
  clearTimeout(timer);
  if (running) {
    again = true;
    return;
  }
  running = true;
  const every = document.hidden ? EVERY_MS : await updateAndTell();
  running = false;
  timer = setTimeout(tick, again ? 0 : every);
  again = false;
}

function select() {
  const before = selected, uuid = location.hash.slice(1);
  selected = /^[0-9a-f-]{36}$/.test(uuid) ? uuid : undefined;
  if (selected === before) return;
  detail = undefined;
  draw();
  get(selected ? "detail" : "groups").focus();
  tick();
}

filter.addEventListener("input", draw);
filter.addEventListener("reset", () => setTimeout(draw)); // the fields are reset after this
filter.addEventListener("submit", (event) => event.preventDefault());
matchMedia("(max-width: 46rem)").addEventListener("change", draw);
addEventListener("hashchange", select);
document.addEventListener("visibilitychange", tick);
select();
tick();
