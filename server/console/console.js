// The console: asks for the server's documents again and again and shows them. No library, nothing from outside.
import { overview } from "./cards.js";
import { legend, maps, redraw, share } from "./map.js";
import { $, say } from "./parts.js";
import { buddy, slabs, zones } from "./tables.js";

const PRESSURES = { ok: "ok", reclaiming: "reclaiming", parking: "parking requests", full: "full" };
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let paused = false, busy = false, timer;

async function get(view) {
  const answer = await fetch(`/api/v1/${view}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${view}: ${answer.status}`);
  return answer.json();
}

function state(text, pressure) {
  say($("state"), text);
  say($("pressure"), PRESSURES[pressure] ?? pressure);
  $("pressure").className = `pill ${pressure in PRESSURES ? pressure : "away"}`;
  document.body.classList.toggle("stale", !(pressure in PRESSURES));
}

// Seconds to the next look: fewer looks where nobody looks, or where movement is not wanted.
const interval = () => (document.hidden || calm.matches ? 10 : 1);

async function refresh() {
  clearTimeout(timer);
  if (busy) return;
  busy = true;
  try {
    const [info, ...others] = await Promise.all(["info", "pages", "zones", "slabs", "buddy"].map(get));
    overview(info);
    share(info.pages);
    [maps, zones, slabs, buddy].forEach((show, i) => show(others[i]));
    state(`${paused ? "paused" : "live"}, as of ${new Date().toLocaleTimeString()}`, info.pressure);
  } catch (e) {
    state(`no answer (${e.message}); ${paused ? "paused" : "trying again"}`, "no answer");
  }
  busy = false;
  if (!paused) timer = setTimeout(refresh, interval() * 1000);
}

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Resume" : "Pause";
  refresh();
}

legend();
$("pause").addEventListener("click", pause);
$("text").addEventListener("toggle", refresh);
document.addEventListener("visibilitychange", () => document.hidden || paused || refresh());
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
refresh();
