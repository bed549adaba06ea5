// Prompt capture: the banner while it is on, the captured call of a request, and the card that turns it on and off.

import { holds, may } from "./access.js";
import { call, get, list, url } from "./api.js";
import { h, icon } from "./dom.js";
import { count, instant, pico, plural, usdExact } from "./format.js";
import { confirmed, fieldError, field, problem, select, toast } from "./parts.js";

/** Settings of the teams and keys that the person may see. @param {AbortSignal} signal @returns {Promise<any[]>} */
const settings = async (signal) => (await get("/v1/captures", signal)).data;

/** Banner that names the teams and keys with capture; empty while it is off. @param {AbortSignal} signal @returns {HTMLElement} */
export function captureBanner(signal) {
  const place = h("div.notes");
  settings(signal).then((all) => {
    const on = all.filter((one) => one.on);
    if (!on.length) return;
    const names = on.slice(0, 5).map((one) => `${one.kind} ${one.name} (${one.keep_days} days)`).join(", ");
    place.append(h("div.note.info.capture-on", { role: "status" }, icon("info"), h("p", h("b", "Prompt capture is on"), ` for ${names}${on.length > 5 ? ` and ${count(on.length - 5)} more` : ""}: prompts and answers are stored.`)));
  }, () => {});
  return place;
}

/** Section of a captured request: its content is read on request, because each reading is recorded. @param {any} row @param {AbortSignal} signal @returns {HTMLElement | false} */
export function capturedCall(row, signal) {
  if (!row.flags?.includes("captured")) return false;
  const place = h("div.stack");
  const read = async () => {
    try {
      const capture = await get(`/v1/requests/${encodeURIComponent(row.id)}/capture`, signal);
      place.replaceChildren(
        h("p.small.mute", `Deleted after ${instant(new Date(capture.expires_at))}.${capture.media_replaced ? ` ${count(capture.media_replaced)} images are stored as their hash.` : ""}`),
        block("Request", pretty(capture.request_body)),
        block(capture.complete ? "Response" : "Response, not complete", pretty(capture.response_body)));
    } catch (error) { if (!signal.aborted) place.replaceChildren(problem(error)); }
  };
  const offer = () => place.replaceChildren(h("p.small.mute", "Prompt and answer of this call are captured. Each reading is an event of the audit log."),
    h("p.row", h("button.btn.slim", { click: () => void read() }, "Show prompt and answer")));
  const may_read = may("readCaptures") ? Promise.resolve(true) : settings(signal).then((all) => all.some((one) => one.owner === row.team && one.readers.some(holds)));
  may_read.then((yes) => (yes ? offer() : place.replaceChildren(h("p.small.mute", "This call is captured. Owners, administrators of the organization and the roles that an owner names may read it."))), () => {});
  return h("section", { "aria-label": "Captured call" }, h("h3", "Captured call"), place);
}

/** @param {string} name @param {string} text */
const block = (name, text) => h("div", h("h4.small.mute", name), h("div.answer.captured", { tabindex: "0", role: "region", "aria-label": name }, text));

/** JSON with line breaks; other text as it is. @param {string} text */
function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

/** Everything that stores content, and prompt capture with its switches. @param {HTMLElement} place @param {AbortSignal} signal */
export async function drawStored(place, signal) {
  const stored = may("readInstance") ? (await get("/v1/settings", signal)).stored_content : [];
  const all = await settings(signal);
  const again = () => drawStored(place, signal);
  const cache = stored.find((/** @type {any} */ one) => one.name === "cache" && one.on);
  const saved = cache ? savings((await get("/v1/usage", signal)).total) : "";
  place.replaceChildren(h("div.stack",
    stored.length > 0 && h("ul.list", { "aria-label": "Stored content" }, stored.map((one) => h("li", h("span.name", one.name.replaceAll("_", " ")), h(`span.tag${one.on ? ".info" : ""}`, one.on ? "On" : "Off"),
      h("span.mute.small.below", `${one.what}. Sealed in ${one.file}, in no backup${one.entries === null ? "" : `, ${count(one.entries)} stored`}.${one === cache ? saved : ""}`),
      may("changeInstance") && PURGES[one.name] && h("button.btn.slim.danger.push", { "aria-label": `Purge ${one.name.replaceAll("_", " ")}`, click: () => purge(one.name, again, signal) }, "Purge …")))),
    h("h3", "Prompt capture"),
    all.length ? h("ul.list", { "aria-label": "Prompt capture" }, all.map((one) => setting(one, again, signal))) : h("p.small.mute", "Off for every team and key."),
    may("changeCaptures") && await turnOn(again, signal)));
}

/** Answers of the cache this month, and the cost that they saved. @param {any} total */
const savings = (total) => ` This month it answered ${plural(total.cache_hits, "request")} and saved ${usdExact(pico(total.saved_cost_usd))}.`;

/** @type {Record<string, [path: string, warning: string]>} */
const PURGES = {
  reasoning_memory: ["/v1/reasoning-memory", "Running conversations with tools lose their stored reasoning; models then think anew."],
  captures: ["/v1/captures?all=true", "All captured prompts and answers are deleted for good."],
  cache: ["/v1/cache?all=true", "Every request is answered by its vendor again, at its cost, until answers are kept anew."],
};

/** @param {string} name @param {() => Promise<void>} again @param {AbortSignal} signal */
function purge(name, again, signal) {
  const [path, warning] = PURGES[name];
  confirmed(`Purge the ${name.replaceAll("_", " ")}?`, warning, "Purge", async () => {
    const purged = await call("DELETE", path, undefined, signal);
    toast(`${count(purged.entries)} entries purged`);
    await again();
  });
}

/** @param {any} one @param {() => Promise<void>} again @param {AbortSignal} signal */
const setting = (one, again, signal) => h("li", h("span.name", `${one.kind} ${one.name}`), h(`span.tag${one.on ? ".info" : ""}`, one.on ? `On, ${one.keep_days} days` : "Off"),
  one.readers.length > 0 && h("span.mute.small", `readers: ${one.readers.join(", ")}`),
  may("changeCaptures") && one.on && h("button.btn.slim.push", { "aria-label": `Turn off capture of ${one.name}`, click: async () => {
    await call("PATCH", `/v1/${one.kind}s/${one.owner}/capture`, { on: false }, signal);
    toast("Prompt capture is off; stored calls stay until they expire or are purged");
    await again();
  } }, "Turn off"));

/** @param {() => Promise<void>} again @param {AbortSignal} signal @returns {Promise<HTMLElement>} */
async function turnOn(again, signal) {
  const [teams, keys] = await Promise.all(["teams", "keys"].map((kind) => list(url(`/v1/${kind}`, {}), { limit: 200 }, 400, signal)));
  /** @type {[string, string][]} */
  const owners = [...teams.data.map((one) => /** @type {[string, string]} */ ([`teams/${one.id}`, `team ${one.name}`])), ...keys.data.map((one) => /** @type {[string, string]} */ ([`keys/${one.id}`, `key ${one.name}`]))];
  const owner = select(owners, owners[0]?.[0] ?? "");
  const days = h("input.input", { type: "number", min: "1", max: "365", value: "30" });
  const form = h("form.stack", { novalidate: true, "aria-label": "Turn prompt capture on" }, field("Team or key", owner), field("Days kept", days, "Prompts and answers are stored from now on, and every such request is marked."),
    h("div.row", h("button.btn", { type: "submit" }, "Turn capture on")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fieldError(form, null, {});
    try {
      await call("PATCH", `/v1/${owner.value}/capture`, { on: true, keep_days: Number(days.value) }, signal);
      toast("Prompt capture is on");
      await again();
    } catch (error) { fieldError(form, error, { keep_days: days }); }
  });
  return form;
}
