// The console: asks for two documents each second and draws them. No library, nothing from outside.
const $ = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const GLYPHS = { ".": "nothing", "#": "dirty", "=": "clean", s: "swap", r: "reading", "!": "failed" };
const history = {};

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i ? n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0) : n} ${units[i]}`;
}
const count = (n) => n.toLocaleString("en").replaceAll(",", "\u202f");

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function card(title, value, note, share) {
  const c = element("div", undefined, "card");
  c.append(element("h3", title), element("strong", value), element("p", note));
  if (share !== undefined) {
    const m = element("meter");
    m.value = share;
    m.title = `${(share * 100).toFixed(1)}%`;
    c.append(m);
  }
  return c;
}

function overview(d) {
  const m = d.memory, s = d.swap;
  $("node").textContent = `${d.node}, version ${d.version}, ${d.zones} zones, io ${d.io}, up ${Math.floor(d.uptime_ms / 1000)} s`;
  $("pressure").textContent = d.pressure;
  $("pressure").className = `pill ${d.pressure}`;
  const f = d.faults, r = d.reclaimed;
  $("cards").replaceChildren(
    card("memory", bytes(m.frames_used * 4096), `of ${bytes(m.bytes)} in frames`, m.frames_used / m.frames_total),
    card("swap", bytes(s.used_bytes), `of ${bytes(s.total_bytes)}`, s.total_bytes ? s.used_bytes / s.total_bytes : 0),
    card("objects", count(d.objects.count), `${count(d.objects.names)} names, ${bytes(d.objects.bytes)}`),
    card("process", bytes(d.rss_bytes), `resident; region ${bytes(d.region_bytes)}`),
    card("faults", count(f.first_write + f.swap + f.copy_on_write), `${count(f.swap)} from swap, ${count(f.copy_on_write)} copy on write`),
    card("reclaimed", count(r.clean + r.dirty + r.zero), `${count(r.dirty)} dirty, ${count(r.clean)} clean, ${count(r.zero)} zero`),
    card("requests", count(d.requests.total), `${count(d.requests.parked_now)} parked now`),
    card("connections", count(d.connections.now), `${count(d.connections.total)} so far`));
}

function spark(title, total, now) {
  const h = (history[title] ??= { last: undefined, at: now, rates: [] });
  if (h.last !== undefined && now > h.at) {
    h.rates.push(Math.max(0, total - h.last) / ((now - h.at) / 1000));
    if (h.rates.length > 120) h.rates.shift();
  }
  h.last = total;
  h.at = now;
  const box = element("div", undefined, "card");
  const canvas = element("canvas");
  const rate = h.rates.at(-1) ?? 0;
  box.append(element("h3", title), element("strong", `${count(Math.round(rate))}/s`), canvas);
  canvas.width = 480;
  canvas.height = 96;
  const g = canvas.getContext("2d"), most = Math.max(1, ...h.rates);
  g.strokeStyle = colour("clean");
  g.lineWidth = 3;
  g.beginPath();
  h.rates.forEach((v, i) => g.lineTo((i + 120 - h.rates.length) * 4, 92 - (v / most) * 84));
  g.stroke();
  return box;
}

function sparks(d, now) {
  const r = d.reclaimed;
  $("sparks").replaceChildren(
    spark("requests", d.requests.total, now),
    spark("pages from swap", d.faults.swap, now),
    spark("pages reclaimed", r.clean + r.dirty + r.zero, now),
    spark("requests parked", d.requests.parked_total, now));
}

function drawMap(zone) {
  const box = element("div", undefined, "zone");
  const tally = {};
  for (const g of zone.map) tally[g] = (tally[g] ?? 0) + 1;
  const words = Object.entries(tally).map(([g, n]) => `${GLYPHS[g] ?? g} ${count(n)}`).join(", ");
  box.append(element("p", `zone ${zone.zone}: one cell is ${bytes(zone.pages_per_glyph * 4096)}; ${words || "nothing in use"}`));
  const canvas = element("canvas");
  const columns = 128, cell = 8, rows = Math.max(1, Math.ceil(zone.map.length / columns));
  canvas.width = columns * cell;
  canvas.height = rows * cell;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", words);
  const g = canvas.getContext("2d");
  const paints = Object.fromEntries(Object.entries(GLYPHS).map(([k, v]) => [k, colour(v)]));
  [...zone.map].forEach((k, i) => {
    g.fillStyle = paints[k] ?? paints["."];
    g.fillRect((i % columns) * cell, Math.floor(i / columns) * cell, cell - 1, cell - 1);
  });
  box.append(canvas);
  return box;
}

async function get(view) {
  const answer = await fetch(`/api/v1/${view}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${view}: ${answer.status}`);
  return answer.json();
}

async function refresh() {
  try {
    const [info, pages] = await Promise.all([get("info"), get("pages")]);
    overview(info);
    sparks(info, info.uptime_ms);
    $("maps").replaceChildren(...pages.zones.map(drawMap));
    $("status").textContent = "live";
    document.body.classList.remove("stale");
  } catch (e) {
    $("status").textContent = `no answer (${e.message}); trying again`;
    document.body.classList.add("stale");
  }
  setTimeout(refresh, document.hidden ? 5000 : 1000);
}

$("legend").replaceChildren(...Object.values(GLYPHS).map((name) => {
  const s = element("span", undefined), i = element("i");
  i.style.background = `var(--${name})`;
  s.append(i, document.createTextNode(name === "swap" ? "in swap" : name === "nothing" ? "never written" : name));
  return s;
}));
refresh();
