// The cards, STOP and what else is on the page. What happens is heard by a worker that all tabs share (worker.js).
import { Listening } from "./listen.js";
import { given, local, noted, said, since, time, value } from "./words.js";

const WORKER_SILENT_S = 20;  // a worker that listens says something every 15 s at least
const EVENTS_KEPT = 60;
const LATELY_MS = 60000;   // how long a motion from outside, or a stop of what nobody holds, is shown
const SWITCHED_MS = 5000;  // what goes off so soon before or after a stop goes off by it
const EXPLAIN_MS = 10000;
const UNDELIVERED = "Stop not delivered: use the hardware stop.";
const find = id => document.getElementById(id);
const cards = new Map();  // equipment id -> {status, received, parts}
const seen = new Map();   // sequence number -> event
let seq = null, instance = null, tokenGiven = null, rights = null;  // rights: to each equipment, null where not known
let worker = null, listening = null, silentSeconds = 0;

const kept = (name, key, value) => {  // storage may be forbidden: the page then asks again
  try { if (value !== undefined) window[name].setItem(key, value); return window[name].getItem(key); } catch { return value ?? null; }
};
const myToken = () => kept("sessionStorage", "motorlock-token") ?? tokenGiven ?? "";
const bearer = () => (myToken() ? { Authorization: `Bearer ${myToken()}` } : {});
const at = path => new URL(`api/${path}`, document.baseURI);
function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}
function put(node, text) { if (node.textContent !== text) node.textContent = text; }

// --- cards -----------------------------------------------------------------------------------------------------
function card(id) {
  let made = cards.get(id);
  if (made) return made;
  const root = element("article"), top = element("div", "top"), list = element("dl"), parts = { root };
  root.dataset.equipment = id;
  top.append(parts.title = element("h2", "", id), parts.kind = element("span", "dim"), parts.more = element("button", "more"), parts.badge = element("span", "badge"));
  parts.position = element("div", "position");
  for (const row of ["holder", "queue", "running", "next"]) list.append(element("dt", "", row), parts[row] = element("dd", row));
  parts.next.append(parts.count = element("span", "count"), parts.why = element("span", "dim"));
  parts.way = element("div", "way");
  parts.way.append(parts.gone = element("i"));
  parts.story = element("p", "story");
  parts.clear = clearing(id);
  parts.more.type = "button";
  parts.more.addEventListener("click", () => { made.open = !made.open; show(id); });
  const says = parts.says = element("div", "says");
  parts.warn = element("p", "warn");
  parts.warn.setAttribute("role", "status");
  const stop = element("button", "stop", "STOP");
  stop.type = "button";
  stop.setAttribute("aria-label", `Stop ${id}`);
  stop.addEventListener("click", () => stopOne(id));
  says.append(parts.warn, parts.story);
  root.append(top, parts.position, parts.way, list, says, parts.clear, stop);
  made = { status: {}, received: 0, said: "", outside: null, stop: null, isOn: {}, offAt: {}, explained: 0, open: false, parts };
  cards.set(id, made);
  const after = [...cards.keys()].sort().find(other => other > id);
  find("cards").insertBefore(root, after ? cards.get(after).parts.root : null);
  return made;
}
function show(id, status, ageMs = 0) {
  const shown = card(id);
  if (status) {
    Object.assign(shown, { status, received: performance.now() - ageMs });
    noteSwitches(shown, status.readback);
  }
  const { parts } = shown, s = shown.status, state = s.state ?? "free";
  parts.root.className = state;
  put(parts.kind, s.label && s.label !== id ? s.label : (s.kind ?? "").replaceAll("_", " "));
  put(parts.badge, state === "held" ? (s.claimed === false ? "given, not claimed" : "in use") : state === "draining" ? "coming to rest" : state);
  showReading(parts, s.readback ?? {});
  put(parts.holder, s.holder ? `${noted(s.holder.user, s.holder.note)} since ${since(s.holder.since)}` : "nobody");
  parts.holder.title = s.holder ? `${s.holder.client_name ?? ""}${s.holder.user_verified ? "" : " (name not verified)"}`.trim() : "";
  put(parts.queue, (s.queue ?? []).map(entry => `${entry.position}. ${noted(entry.user, entry.note)}${asking(entry)}`).join("\n") || "empty");
  put(parts.running, s.running ? `${s.running.action}(${given(s.running.parameters)})` : "nothing");
  const promise = s.kept ? `kept until ${time(s.kept.until)}${s.kept.note ? ` (${s.kept.note})` : ""}; then ` : "";
  put(parts.why, promise + (s.ending ? s.ending.text + (s.ending.at ? ` (${time(s.ending.at)})` : "")
    : state !== "held" ? "–" : s.running ? "nothing ends this while the command runs" : "nothing ends this"));
  explain(id, shown);
  const story = parts.story.textContent;
  const alone = ["", UNDELIVERED].includes(shown.said) || state === "fault";
  const answer = alone ? shown.said : shown.said + cameOfStop(shown);
  put(parts.warn, answer || (story ? "" : warning(shown)) || lately(shown));
  const clears = state === "fault" && may("clear-fault", id);
  put(parts.more, clears ? "clear…" : "why?");
  parts.more.hidden = !story;
  parts.more.setAttribute("aria-expanded", shown.open);
  parts.story.classList.toggle("whole", shown.open);
  parts.clear.hidden = !shown.open || !clears;
  parts.warn.classList.toggle("done", shown.said !== "" && shown.said !== UNDELIVERED);
  tick(shown);
}
function showReading(parts, readback) {
  const way = readback.moving && typeof readback.target === "number" ? ` → ${value(readback.target)}` : "";
  const number = readback.position, values = Object.entries(readback.values ?? {});
  const text = readback.connected === false ? (readback.error || "not connected")
    : typeof number === "number" ? `${number.toFixed(3)}${way} ${readback.units ?? ""}` : values.map(([key, v]) => `${key} ${value(v)}`).join(" · ");
  put(parts.position, text + (readback.moving && !way ? " · moving" : ""));
  const gone = readback.moving && typeof readback.fraction === "number";
  parts.way.classList.toggle("moving", gone);
  parts.gone.style.width = gone ? `${100 * readback.fraction}%` : "0";
  parts.position.title = typeof number === "number" ? "" : parts.position.textContent;
  parts.says.classList.toggle("tall", values.some(([, v]) => typeof v === "boolean"));  // for what a stop switches off
  parts.position.classList.toggle("small", typeof number !== "number" || readback.connected === false);
}
function asking(entry) {
  const ask = entry.ask, others = (entry.equipment_ids ?? []).filter(id => id !== entry.equipment_id);
  const also = others.length ? `, with ${others.join(", ")}` : "";
  if (!ask) return also;
  return `${also}: ${local(ask.text)}`;
}
function warning(shown) {
  const s = shown.status;
  if (s.fault || s.holder?.suspect) return local(s.text);
  return s.stopped_by ? cameOfStop(shown).trim() : "";
}
function lately(shown) {
  const event = shown.stop?.event ?? shown.outside;
  if (!event || Date.now() - new Date(event.timestamp) > LATELY_MS) return "";
  return `${time(event.timestamp, true)} ${said(event)}.${shown.stop ? cameOfStop(shown) : ""}`;
}
function cameOfStop(shown) {
  const s = shown.status, off = switchedOff(shown);
  return (s.stopped_by ? ` ${local(s.stopped_by.text)}` : "") + (off.length ? ` Switched off: ${off.join(", ")}.` : "");
}
// A stop of a power supply stops no motion: what it switched off is what people want to know.
function noteSwitches(shown, readback) {
  for (const [key, now] of Object.entries(readback?.values ?? {})) {
    if (shown.isOn[key] === true && now === false) shown.offAt[key] = performance.now();
    if (now === true) delete shown.offAt[key];
    shown.isOn[key] = now;
  }
}
function switchedOff(shown) {
  const byStop = key => Math.abs(shown.offAt[key] - shown.stop.heard) < SWITCHED_MS;
  const off = shown.stop ? Object.keys(shown.offAt).filter(byStop) : [];
  return off.filter(key => !off.includes(key.replace(/_enabled$/, "")) || !key.endsWith("_enabled")).map(key => key.replaceAll("_", " "));
}

// --- why equipment is stuck, and a fault ------------------------------------------------------------------------
const stuck = shown => ["fault", "draining"].includes(shown.status.state);
async function explain(id, shown) {
  if (!stuck(shown)) { shown.explained = 0; shown.open = false; return put(shown.parts.story, ""); }
  if (performance.now() - shown.explained < EXPLAIN_MS) return;
  shown.explained = performance.now();
  try {
    const reply = await fetch(at(`equipment/${encodeURIComponent(id)}/why`), { headers: bearer() });
    const text = reply.ok ? (await reply.json()).text : "";
    if (stuck(shown) && text) { put(shown.parts.story, text); show(id); }
  } catch { /* the page says that it is stale */ }
}
function clearing(id) {
  const form = element("form", "clear"), reason = element("input"), button = element("button", "", "Clear fault");
  reason.required = true;
  reason.maxLength = 500;
  reason.placeholder = "what you found and did";
  reason.setAttribute("aria-label", `Why the fault of ${id} can be cleared`);
  button.type = "submit";
  form.hidden = true;
  form.append(reason, button);
  form.addEventListener("submit", async event => {
    event.preventDefault();
    say(id, "clearing…");
    const reply = await post(`equipment/${encodeURIComponent(id)}/clear-fault`, { user: myName(), reason: reason.value }).catch(() => null);
    say(id, reply?.ok ? "" : (reply && (await reply.json()).detail) || "The fault is not cleared: no word from the authority.");
    if (reply?.ok) reason.value = "";
  });
  return form;
}
function tick(shown) {
  const left = shown.status.ending?.in_seconds;
  if (typeof left !== "number") return put(shown.parts.count, "");
  const whole = Math.max(0, Math.ceil(left - (performance.now() - shown.received) / 1000));
  const two = n => String(n).padStart(2, "0"), hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole % 3600 / 60);
  put(shown.parts.count, `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)} `);
}

// --- stop ------------------------------------------------------------------------------------------------------
async function stopOne(id) {
  say(id, "stopping…");
  say(id, await stopped(id) ? `${time(Date.now(), true)} stopped.` : UNDELIVERED);
}
async function stopped(id) {
  try {
    const reply = await post(`equipment/${encodeURIComponent(id)}/stop`, { user: myName() });
    return reply.ok && (await reply.json()).delivered === true;
  } catch { return false; }
}
const myName = () => find("name").value.trim() || "the page";
async function post(path, body) {
  const reply = await fetch(at(path), {
    method: "POST", priority: "high", headers: { "Content-Type": "application/json", ...bearer() }, body: JSON.stringify(body),
    signal: AbortSignal.timeout(4000) });
  if (reply.status === 401) askToken();
  return reply;
}
function say(id, text) { const shown = card(id); shown.said = text; show(id); }

// --- events ----------------------------------------------------------------------------------------------------
function remember(event) { if (event && typeof event.seq === "number") seen.set(event.seq, event); }
function showEvents() {
  const newest = [...seen.keys()].sort((a, b) => b - a);
  newest.slice(EVENTS_KEPT).forEach(old => seen.delete(old));
  find("events").replaceChildren(...newest.slice(0, EVENTS_KEPT).map(number => {
    const event = seen.get(number), line = element("li"), when = element("time", "", time(event.timestamp, true));
    when.dateTime = event.timestamp;
    line.append(when, element("span", "", said(event)));
    return line;
  }));
}
async function history() {
  for (const id of [...cards.keys()]) {  // one after another: STOP is to find a free connection
    const reply = await fetch(at(`locks/events/${encodeURIComponent(id)}?limit=20`), { headers: bearer(), priority: "low" });
    if (reply.ok) (await reply.json()).events.forEach(remember);
  }
  showEvents();
}

// --- what is pushed --------------------------------------------------------------------------------------------
function hear(name, data, age) {
  silentSeconds = 0;
  if (name === "link") linked(data);
  else if (name === "token") askToken();
  else take(name, data, age ?? {});
}
function take(name, data, ages) {
  if (name === "snapshot") {
    if (instance && instance !== data.instance) cards.forEach(shown => { shown.said = ""; });
    const missed = instance !== data.instance || data.seq > seq;
    instance = data.instance;
    for (const [id, shown] of cards) if (!(id in data.equipment)) { shown.parts.root.remove(); cards.delete(id); }
    Object.entries(data.equipment).forEach(([id, status]) => show(id, status, ages[id]));
    if (missed) history().catch(() => {});  // the live events go on without it
    askRights().catch(() => {});  // what is not known is shown, and refused where it may not be
  } else if (name === "change") {
    remember(data.event);
    if (data.event?.equipment_id) {
      const shown = card(data.event.equipment_id), what = data.event.event;
      if (["command_started", "lock_acquired", "resumed", "fault"].includes(what)) Object.assign(shown, { said: "", stop: null });
      if (what === "moved_outside") Object.assign(shown, { outside: data.event, stop: null });
      if (what === "stopped") shown.stop = { event: data.event, heard: performance.now() };
      show(data.event.equipment_id, data.status);
    }
    showEvents();
  } else if (name === "status") {
    show(data.equipment_id, data);
  } else if (name === "progress" && cards.has(data.equipment_id)) {
    const shown = card(data.equipment_id);
    shown.status.readback = data.readback;
    noteSwitches(shown, data.readback);
    showReading(shown.parts, data.readback);
  }
  if (typeof data.seq === "number") seq = data.seq;
}
function connect() {
  silentSeconds = 0;
  if (worker) return worker.port.postMessage({ join: myToken() });
  listening?.end();
  listening = new Listening(new URL("./", document.baseURI), myToken(), hear).start();
}
function disconnect() {
  worker?.port.postMessage({ leave: true });
  listening?.end();
}
function listenAlone() {
  if (!worker) return;
  disconnect();
  worker = null;
  connect();
}
function startWorker() {
  try {
    worker = new SharedWorker("worker.js", { type: "module", name: "motorlock" });
    worker.onerror = listenAlone;
    worker.port.onmessage = ({ data }) => hear(data.name, data.data, data.age);
  } catch { worker = null; /* this browser has none: each tab listens for itself */ }
}
function linked({ live, asking }) {
  if (live) put(find("link"), asking ? "live, every 2 s" : "live");
  find("link").title = asking ? "What lies between passes no stream on, so this page asks." : "";
  if (live === find("stale").hidden) return;
  find("stale").hidden = live;
  document.body.classList.toggle("stale", !live);
  if (!live) put(find("link"), "no connection");
  put(find("stale"), live ? "" : `No connection to the authority: this page is stale since ${time(Date.now(), true)}. To stop something now, use the hardware stop.`);
}
async function askRights() {
  const reply = await fetch(at("whoami"), { headers: bearer() });
  rights = reply.ok ? (await reply.json()).rights : null;
  cards.forEach((shown, id) => show(id));
}
function may(right, id) { return rights === null || (rights[id] ?? []).includes(right); }
function askToken() { find("ask").hidden = false; find("token").focus(); }

find("ask").addEventListener("submit", event => {
  event.preventDefault();
  tokenGiven = find("token").value;
  kept("sessionStorage", "motorlock-token", tokenGiven);
  find("token").value = "";
  find("ask").hidden = true;
  connect();
});
find("name").value = kept("localStorage", "motorlock-name") ?? "";
find("name").addEventListener("change", () => kept("localStorage", "motorlock-name", find("name").value.trim()));
find("stop-all").addEventListener("click", () => [...cards.keys()].forEach(stopOne));
setInterval(() => {
  cards.forEach((shown, id) => shown.outside || shown.stop || stuck(shown) ? show(id) : tick(shown));
  silentSeconds += 1;  // counted, not timed: a laptop that slept has missed nothing yet
  if (silentSeconds > WORKER_SILENT_S) listenAlone();
}, 1000);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", event => { if (event.persisted) connect(); });
startWorker();
connect();
