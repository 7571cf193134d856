// Zones, slabs and buddy classes.
import { $, PAGE, bar, bytes, count, percent, sum, table } from "./parts.js";

export function zones(document) {
  table($("zones"), ["zone", "memory used", "of", "share", "pinned", "swap used", "of", "share", "objects", "their bytes", "connections", "parked", "loop lag"],
    document.zones.map((z) => {
      const used = z.frames_total - z.frames_free;
      return [z.zone, bytes(used * PAGE), bytes(z.frames_total * PAGE), bar([["memory", used]], z.frames_total),
        bytes(z.pages_pinned * PAGE), bytes(z.swap_used_bytes), bytes(z.swap_total_bytes), bar([["swap", z.swap_used_bytes]], z.swap_total_bytes),
        count(z.objects), bytes(z.object_bytes), count(z.connections), count(z.parked), `${(z.lag_us / 1000).toFixed(1)} ms`];
    }));
}

// The caches of all zones and tenants, by what their objects are.
function grouped(list, name) {
  const groups = new Map();
  for (const one of list) groups.set(name(one), [...(groups.get(name(one)) ?? []), one]);
  return [...groups.values()];
}

export function slabs(document) {
  const rows = grouped(document.caches, (c) => `${c.size} ${c.cache ?? ""}`).map((caches) => {
    const add = (field) => sum(caches, (c) => c[field]);
    return { name: caches[0].cache ? ` ${caches[0].cache}` : "", size: caches[0].size, slabs: add("slabs"),
      used: add("used"), free: add("free"), pages: add("pages"), out: add("pages") - add("resident_pages"),
      moves: add("moves") };
  }).sort((a, b) => b.pages - a.pages || a.size - b.size);
  table($("slabs"), ["size", "slabs", "used", "free", "full", "pages", "in swap", "moved", "share"], rows.map((r) => [
    bytes(r.size) + r.name, count(r.slabs), count(r.used), count(r.free), `${percent(r.used, r.used + r.free).toFixed(0)}%`,
    count(r.pages), count(r.out), count(r.moves), bar([["swap", r.out]], r.pages)]));
}

export function buddy(document) {
  const all = document.zones.flatMap((z) => z.classes);
  const rows = grouped(all, (c) => c.class).map((classes) => {
    const add = (field) => sum(classes, (c) => c[field]);
    return { block: classes[0].block_bytes, used: add("used"), free: add("free"), splits: add("splits"), merges: add("merges") };
  });
  const largest = Math.max(0, ...document.zones.map((z) => z.largest_free_bytes));
  $("system").textContent = `${document.zones[0]?.system ?? ""}; blocks of addresses, not of memory; largest free ${bytes(largest)}`;
  table($("buddy"), ["block", "used", "free", "bytes used", "bytes free", "share used", "splits", "merges"], rows.map((r) => [
    bytes(r.block), count(r.used), count(r.free), bytes(r.used * r.block), bytes(r.free * r.block),
    bar([["used", r.used]], r.used + r.free), count(r.splits), count(r.merges)]));
}
