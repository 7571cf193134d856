// The map of pages: a canvas for each zone, a cell for each group of pages, and all of it as text.
import { $, PAGE, bytes, colour, count, element, key, percent, say } from "./parts.js";

export const KINDS = { ".": ["nothing", "never written"], "#": ["dirty", "in memory, newer than below"],
  "=": ["clean", "in memory and in swap"], F: ["dirty", "in memory, newer than its file"],
  f: ["clean", "in memory and in its file"], s: ["swap", "in swap"], d: ["swap", "in its file"], r: ["reading", "being read"],
  P: ["clean", "pinned in memory"], "!": ["failed", "lost"] };
const zones = new Map();

const hex = (n) => n.toString(16).padStart(8, "0").replace(/(....)$/, " $1");

function cellWords(z, i) {
  const first = i * z.per, [, words] = KINDS[z.map[i]] ?? KINDS["."];
  return z.per === 1 ? `page ${hex(first)}: ${words}`
    : `pages ${hex(first)} to ${hex(first + z.per - 1)}: ${z.map[i] === "!" ? "one or more" : "most"} ${words}`;
}

function caption(z) {
  const tally = {};
  for (const g of z.map) tally[g] = (tally[g] ?? 0) + 1;
  const words = Object.keys(KINDS).filter((g) => tally[g]).map((g) => `${count(tally[g])} ${KINDS[g][1]}`);
  return `Zone ${z.zone}: one cell is ${bytes(z.per * PAGE)}. ${words.length ? `Cells: ${words.join("; ")}` : "Nothing is written"}`;
}

function describe(z) {
  say(z.words, caption(z));
  z.canvas.setAttribute("aria-label", `${caption(z)}`);
  say(z.at, z.cursor >= 0 && z.cursor < z.map.length ? cellWords(z, z.cursor) : "Point at a cell, or walk over the cells with the arrow keys.");
}

function draw(z) {
  const scale = window.devicePixelRatio || 1, width = z.canvas.clientWidth;
  z.columns = width >= 900 ? 128 : width >= 320 ? 64 : 32;
  z.cell = width / z.columns;
  const rows = Math.max(1, Math.ceil(z.map.length / z.columns)), gap = z.cell > 5 ? 1 : 0.5;
  z.canvas.width = width * scale;
  z.canvas.height = rows * z.cell * scale;
  const g = z.canvas.getContext("2d");
  g.scale(scale, scale);
  const paints = Object.fromEntries(Object.entries(KINDS).map(([k, [kind]]) => [k, colour(kind)]));
  for (let i = 0; i < z.map.length; i++) {
    const x = (i % z.columns) * z.cell, y = Math.floor(i / z.columns) * z.cell, side = z.cell - gap;
    g.fillStyle = paints[z.map[i]] ?? paints["."];
    g.fillRect(x, y, side, side);
    if (z.map[i] !== "!") continue;
    g.strokeStyle = colour("card"); // a cross: not by colour alone
    g.beginPath();
    g.moveTo(x, y);
    g.lineTo(x + side, y + side);
    g.moveTo(x + side, y);
    g.lineTo(x, y + side);
    g.stroke();
  }
  if (z.cursor < 0 || z.cursor >= z.map.length) return;
  g.strokeStyle = colour("ink");
  g.lineWidth = 2;
  g.strokeRect((z.cursor % z.columns) * z.cell - 0.5, Math.floor(z.cursor / z.columns) * z.cell - 0.5, z.cell, z.cell);
}

function move(z, cursor) {
  z.cursor = cursor;
  draw(z);
  describe(z);
}

function onKey(z, event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -z.columns, ArrowDown: z.columns };
  const ends = { Home: 0, End: z.map.length - 1, Escape: -1 };
  if (event.key in ends) move(z, ends[event.key]);
  else if (event.key in steps) move(z, Math.min(z.map.length - 1, Math.max(0, z.cursor + steps[event.key])));
  else return;
  event.preventDefault();
}

function onPoint(z, event) {
  const column = Math.floor(event.offsetX / z.cell), row = Math.floor(event.offsetY / z.cell);
  const i = row * z.columns + column;
  move(z, column < z.columns && i < z.map.length ? i : -1);
}

function zoneOf(n) {
  if (zones.has(n)) return zones.get(n);
  const z = { zone: n, cursor: -1, words: element("p"), at: element("p", "at"), canvas: element("canvas") };
  z.canvas.tabIndex = 0;
  z.canvas.setAttribute("role", "img");
  z.at.setAttribute("aria-live", "polite");
  z.canvas.addEventListener("keydown", (event) => onKey(z, event));
  z.canvas.addEventListener("pointermove", (event) => onPoint(z, event));
  z.canvas.addEventListener("pointerleave", () => move(z, -1));
  z.box = element("div", "zone", z.words, z.canvas, z.at);
  $("maps").append(z.box);
  zones.set(n, z);
  return z;
}

// 64 glyphs a line behind the number of the first page, as `farheap pages` prints them.
function textOf(document) {
  const lines = [Object.entries(KINDS).map(([g, [, words]]) => `${g} ${words}`).join("   ")];
  for (const { zone, pages_per_glyph: per, map } of document.zones) {
    lines.push("", `zone ${zone}   ${per} ${per === 1 ? "page" : "pages"} per glyph`);
    for (let i = 0; i < map.length; i += 64) lines.push(`${hex(i * per)}  ${map.slice(i, i + 64)}`);
  }
  return lines.join("\n");
}

export function maps(document) {
  for (const [n, z] of zones) {
    if (document.zones.some((one) => one.zone === n)) continue;
    z.box.remove();
    zones.delete(n);
  }
  for (const { zone, pages_per_glyph, map } of document.zones) {
    const z = zoneOf(zone);
    z.per = pages_per_glyph;
    z.map = map;
    draw(z);
    describe(z);
  }
  if ($("text").open) say($("map-text"), textOf(document));
}

export function redraw() {
  for (const z of zones.values()) draw(z);
}

// Where all pages are: one bar, and the same in words.
export function share(pages) {
  const whole = pages.frame + pages.slot + pages.failed + pages.nothing;
  const parts = [["memory", "in memory", pages.frame], ["swap", "in swap", pages.slot], ["failed", "lost", pages.failed],
    ["nothing", "never written (cost nothing)", pages.nothing]].filter(([kind, , n]) => n > 0 || kind !== "failed");
  const words = parts.map(([, name, n]) => `${bytes(n * PAGE)} ${name}, ${percent(n, whole).toFixed(1)}%`);
  $("share").replaceChildren(...parts.map(([kind, , n]) => {
    const part = element("i", kind);
    part.style.width = `${percent(n, whole)}%`;
    return part;
  }));
  $("share").setAttribute("aria-label", words.join("; "));
  $("share-legend").replaceChildren(...parts.map(([kind], i) => key(kind, words[i])));
}

export function legend() {
  $("legend").replaceChildren(...Object.entries(KINDS).map(([g, [kind, words]]) => key(kind, `${words} ( ${g} )`)));
}
