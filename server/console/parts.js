// What all views share: numbers as the command line prints them, and elements.
export const PAGE = 4096;
export const $ = (id) => document.getElementById(id);
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${Number.isInteger(n) ? n : n.toFixed(n < 10 ? 2 : 1)} ${units[i]}`;
}

export const count = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
export const percent = (part, whole) => (whole > 0 ? (part * 100) / whole : 0);
export const sum = (list, pick) => list.reduce((n, one) => n + pick(one), 0);

export function duration(ms) {
  const s = Math.floor(ms / 1000);
  if (s >= 86400) return `${Math.floor(s / 86400)}d${Math.floor(s / 3600) % 24}h`;
  if (s >= 3600) return `${Math.floor(s / 3600)}h${String(Math.floor(s / 60) % 60).padStart(2, "0")}m`;
  return s >= 60 ? `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s` : `${s}s`;
}

export function element(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// Text is set only when it changes: what is selected or read aloud stays.
export function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// A swatch and a word.
export const key = (kind, text) => element("li", "", element("i", kind), text);

// Parts of one bar; `parts` are [class, number] of `whole`.
export function bar(parts, whole) {
  const box = element("span", "bar");
  for (const [kind, n] of parts) {
    const part = element("i", kind);
    part.style.width = `${percent(n, whole)}%`;
    box.append(part);
  }
  return box;
}

// `columns` are words, `rows` lists of text or elements. The table is made once, its rows each time.
export function table(place, columns, rows) {
  if (!place.firstElementChild) {
    const head = element("tr", "", ...columns.map((name) => {
      const cell = element("th", "", name);
      cell.scope = "col";
      return cell;
    }));
    place.append(element("table", "", element("thead", "", head), element("tbody")));
  }
  place.querySelector("tbody").replaceChildren(
    ...rows.map((row) => element("tr", "", ...row.map((cell) => element("td", "", cell)))));
}
