// Lookup of a request in the cache of answers: its outcome, and for a refused candidate the words that the request does not share with it.

import { get, url } from "./api.js";
import { h } from "./dom.js";
import { duration, pico, usdExact } from "./format.js";
import { problem } from "./parts.js";

/** Section of a request that was looked up; nothing where the cache is off. @param {any} row @param {AbortSignal} signal @returns {HTMLElement | false} */
export function lookup(row, signal) {
  const { cache } = row;
  if (!cache) return false;
  const place = h("div.stack", h("p", told(row)));
  if (cache.outcome === "miss" && cache.entry && cache.own_entry) place.append(difference(cache, signal));
  return h("section", { "aria-label": "Cache" }, h("h3", "Cache"), place);
}

/** @param {any} row @returns {string} */
function told({ cache, saved_cost_usd: saved }) {
  if (cache.outcome === "exact") return `Answer of an equal request, ${age(cache)} old. Saved ${usdExact(pico(saved))}.`;
  if (cache.outcome === "semantic") return `Answer of a similar question (${cache.similarity}), ${age(cache)} old. Saved ${usdExact(pico(saved))}.`;
  if (cache.outcome === "bypass") return `Not looked up: ${cache.reason}.`;
  if (cache.entry) return `Nothing served. The nearest question (${cache.similarity}) was refused by the guard “${cache.reason}”.`;
  return cache.reason ? `Nothing found; not compared with other questions: ${cache.reason.replaceAll("_", " ")}.` : "Nothing found.";
}

/** @param {any} cache */
const age = (cache) => duration(cache.age_s * 1000);

/** Words of both questions, read on request, because each reading is recorded. @param {any} cache @param {AbortSignal} signal */
function difference(cache, signal) {
  const place = h("div.stack");
  const read = async () => {
    try {
      const words = await get(url("/v1/cache/difference", { entry: cache.own_entry, other: cache.entry }), signal);
      place.replaceChildren(h("dl.facts",
        h("dt", "Only in this question"), h("dd", words.entry.join(" ") || "–"),
        h("dt", "Only in the nearest one"), h("dd", words.other.join(" ") || "–")));
    } catch (error) { if (!signal.aborted) place.replaceChildren(problem(error)); }
  };
  place.append(h("p.row", h("button.btn.slim", { click: () => void read() }, "Show the words that differ")),
    h("p.small.mute", "For readers of captured calls, while both answers are kept. Each reading is an event of the audit log."));
  return place;
}
