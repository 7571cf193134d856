// The overview: each card has a number, what it is made of, and its last two minutes as a line.
import { $, PAGE, bytes, colour, count, duration, element, percent, say } from "./parts.js";

const SPAN_MS = 120000;
const cards = {};
let last;

function card(title) {
  if (cards[title]) return cards[title];
  const c = { samples: [], value: element("strong"), note: element("p", "note"), extent: element("p", "extent"),
    canvas: element("canvas") };
  c.canvas.setAttribute("aria-hidden", "true"); // the extent says the same in words
  c.box = element("div", "card", element("h3", "", title), c.value, c.note, c.canvas, c.extent);
  $("cards").append(c.box);
  return (cards[title] = c);
}

function draw(c, now, top) {
  const scale = window.devicePixelRatio || 1, width = c.canvas.clientWidth, height = c.canvas.clientHeight;
  c.canvas.width = width * scale;
  c.canvas.height = height * scale;
  const g = c.canvas.getContext("2d");
  g.scale(scale, scale);
  g.strokeStyle = colour("line");
  g.strokeRect(-1, height - 0.5, width + 2, 2);
  const points = c.samples.map(([at, v]) => [width - ((now - at) / SPAN_MS) * width, height - 1.5 - (v / top) * (height - 4)]);
  if (points.length < 2) return;
  g.beginPath();
  points.forEach(([x, y]) => g.lineTo(x, y));
  g.strokeStyle = colour("clean");
  g.lineWidth = 1.75;
  g.lineJoin = "round";
  g.stroke();
  g.lineTo(points.at(-1)[0], height);
  g.lineTo(points[0][0], height);
  g.globalAlpha = 0.12;
  g.fillStyle = colour("clean");
  g.fill();
}

// `top` is the value at the upper edge; without it, the largest seen.
function show(title, { value, note, sample, top, extent }, now) {
  const c = card(title);
  if (sample !== undefined) c.samples.push([now, sample]);
  while (c.samples.length && c.samples[0][0] < now - SPAN_MS) c.samples.shift();
  say(c.value, value);
  say(c.note, note);
  const most = Math.max(0, ...c.samples.map(([, v]) => v));
  say(c.extent, c.samples.length ? extent(most) : "measuring");
  draw(c, now, top ?? Math.max(1, most));
}

function totals(d) {
  return { requests: d.requests.total, swap: d.faults.swap, reclaimed: d.reclaimed.clean + d.reclaimed.dirty + d.reclaimed.zero,
    parked: d.requests.parked_total };
}

// What happened each second since the document before; nothing after a restart of the server.
function rates(d) {
  const now = d.uptime_ms, sums = totals(d);
  if (last && now < last.now) for (const c of Object.values(cards)) c.samples = [];
  const seconds = last ? (now - last.now) / 1000 : 0;
  const old = seconds > 0 ? last.sums : undefined;
  last = { now, sums };
  return Object.fromEntries(Object.entries(sums).map(([k, n]) => [k, old && Math.max(0, (n - old[k]) / seconds)]));
}

// Why there is more or less memory than was asked for, in words; nothing while there is just that.
function budgetOf(m) {
  const words = [];
  if (m.budget_bytes < m.configured_bytes) words.push(`${bytes(m.configured_bytes)} asked for`);
  if (m.limit_bytes !== undefined && m.limit_bytes < m.configured_bytes) words.push(`control group leaves ${bytes(m.limit_bytes)} in all`);
  if (m.pressure_permille > 0) words.push(`others wait for memory ${(m.pressure_permille / 10).toFixed(1)}% of the time`);
  const moving = { growing: "growing", shrinking: "shrinking", stopped: `stopped: what lives here needs ${bytes(m.least_bytes)}, on the way` }[m.budget_state];
  if (moving) words.push(`${moving} to ${bytes(m.budget_bytes)}`);
  return words.map((w) => `; ${w}`).join("");
}

export function overview(d) {
  const now = d.uptime_ms, m = d.memory, s = d.swap, f = d.faults, r = d.reclaimed, rate = rates(d);
  const spoken = (n) => (n === undefined ? "\u2026" : `${count(n)}/s`);
  const most = (n) => `peak ${count(n)}/s in 2 min`;
  const peak = (whole) => (n) => `peak ${percent(n, whole).toFixed(0)}% in 2 min`;
  say($("node"), `${d.version} on ${d.node}, ${d.zones} ${d.zones === 1 ? "zone" : "zones"}, io ${d.io}, TLS ${d.tls ? "on" : "off"}, up ${duration(now)}`);
  show("Memory", { value: `${bytes(m.frames_used * PAGE)}`, sample: m.frames_used, top: m.frames_total, extent: peak(m.frames_total),
    note: `of ${bytes(m.bytes)} in frames, ${percent(m.frames_used, m.frames_total).toFixed(0)}%${m.pages_pinned ? `; ${bytes(m.pages_pinned * PAGE)} pinned` : ""}${budgetOf(m)}` }, now);
  show("Swap", { value: bytes(s.used_bytes), sample: s.used_bytes, top: Math.max(1, s.total_bytes), extent: peak(s.total_bytes),
    note: `of ${bytes(s.total_bytes)}, with the copies of clean pages${s.quarantined_bytes ? `, ${bytes(s.quarantined_bytes)} quarantined` : ""}` }, now);
  show("Objects", { value: count(d.objects.count), sample: d.objects.count, extent: (n) => `peak ${count(n)} in 2 min`,
    note: `${bytes(d.objects.bytes)}, ${count(d.objects.names)} names` }, now);
  show("Process, resident", { value: bytes(d.rss_bytes), sample: d.rss_bytes, extent: (n) => `peak ${bytes(n)} in 2 min`,
    note: `region ${bytes(d.region_bytes)}, metadata ${bytes(d.metadata_bytes)}` }, now);
  show("Requests", { value: spoken(rate.requests), sample: rate.requests, extent: most,
    note: `${count(d.requests.total)} in all, ${count(d.connections.now)} connections` }, now);
  show("Faults from swap", { value: spoken(rate.swap), sample: rate.swap, extent: most,
    note: `${count(f.swap)} in all; ${count(f.first_write)} first write, ${count(f.copy_on_write)} copy on write` }, now);
  show("Reclaimed pages", { value: spoken(rate.reclaimed), sample: rate.reclaimed, extent: most,
    note: `${count(r.clean)} clean, ${count(r.dirty)} written to swap, ${count(r.zero)} zero` }, now);
  show("Requests parked", { value: spoken(rate.parked), sample: rate.parked, extent: most,
    note: `${count(d.requests.parked_now)} now, ${count(d.requests.parked_total)} in all` }, now);
}
