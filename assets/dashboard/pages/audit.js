// Audit log: who changed what, from which value to which, and whether the log verifies.

import { call, download, get, send, url } from "../api.js";
import { h, icon } from "../dom.js";
import { count, fullDay, instant, time } from "../format.js";
import { empty, problem, searchBox, skeleton, snippet } from "../parts.js";
import { names } from "../names.js";
import { remember } from "../router.js";

export const title = "Audit log";

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  const filter = { text: query.get("text") ?? "", actor: query.get("actor") ?? "", action: query.get("action") ?? "" };
  let events = /** @type {any[]} */ ([]);
  let next = "";
  let named = /** @type {import("../names.js").Names} */ ((id) => id);
  const [filters, log, more, result, kept] = [h("search.filters"), h("div.log", skeleton(300)), h("div.more", { hidden: true }), h("div.row.small.mute", { role: "status" }), h("div", skeleton(innerWidth > 900 ? 134 : 222))];
  main.append(
    h("header.head", h("h1", title), h("div.row", h("button.btn", { click: () => void download("/v1/audit/export", "audit-export.jsonl") }, icon("download"), "Export"))),
    h("section.card", { "aria-label": "Verification" }, h("header", h("h2", "Verification"), result, h("button.btn.slim", { click: () => void verify() }, "Verify now")), kept),
    filters, h("section.card.flush", { "aria-label": "Events" }, log, more));

  async function read() {
    remember(filter);
    try {
      const page = await get(url("/v1/audit", { ...filter, limit: 100 }), signal);
      [events, next] = [page.data, page.next ?? ""];
      named = await names(signal).catch(() => named);
      draw();
    } catch (error) {
      if (!signal.aborted) log.replaceChildren(problem(error, () => void read()));
    }
  }

  async function older() {
    const page = await get(url("/v1/audit", { ...filter, limit: 100, before: next }), signal);
    events.push(...page.data);
    next = page.next ?? "";
    draw();
  }

  function draw() {
    more.hidden = !next;
    more.replaceChildren(h("button.btn", { click: () => void older() }, "Show older events"), h("span.small.mute", `${count(events.length)} shown`));
    if (!events.length) {
      log.replaceChildren(empty("No event matches", Object.values(filter).some(Boolean) ? "Remove a filter or search for another object." : "The first change to a key, budget, route or role is recorded here."));
      return;
    }
    let last = "";
    log.replaceChildren(...events.flatMap((event) => {
      const day = fullDay(new Date(event.at));
      const head = day === last ? [] : [h("h2.day", (last = day))];
      return [...head, entry(event, named(event.subject))];
    }));
  }

  async function checkpoint() {
    const text = await (await send("GET", "/v1/audit/checkpoint", undefined, signal)).text();
    kept.replaceChildren(h("div.check2", snippet("Checkpoint to keep elsewhere", text.trim()), snippet("Check an export on another machine", "gatekeeper audit export DIR\ngatekeeper audit verify DIR --checkpoint saved.txt")));
  }

  /** Starts the check on the server and asks until it has an end. */
  async function verify() {
    result.replaceChildren(h("span.tag.info", "Verifying"), "Reading every event …");
    try {
      let job = await call("POST", "/v1/audit/verify", {}, signal);
      while (job.state === "running") {
        await new Promise((done) => setTimeout(done, 300));
        job = await get("/v1/audit/verify", signal);
      }
      const good = job.state === "done" && job.result.verified;
      result.replaceChildren(h(`span.tag.${good ? "ok" : "bad"}`, icon(good ? "check" : "warn"), good ? "Intact" : "Does not verify"), good ? `${count(job.result.last)} events up to ${instant(new Date())}` : job.error ?? `${count(job.result.findings.length)} findings; the first: ${job.result.findings[0]?.says ?? ""}`);
    } catch (error) {
      if (!signal.aborted) result.replaceChildren(problem(error));
    }
  }

  filters.append(...[["text", "Key, team, route, action"], ["actor", "Actor"], ["action", "Action"]].map(([name, label]) => {
    const box = searchBox(label, () => {});
    const input = box.querySelector("input");
    if (input) {
      input.value = /** @type {any} */ (filter)[name];
      input.addEventListener("change", () => { /** @type {any} */ (filter)[name] = input.value.trim(); void read(); });
    }
    return box;
  }));
  await Promise.all([read(), checkpoint().catch((error) => { if (!signal.aborted) kept.replaceChildren(problem(error)); })]);
}

/** @param {any} event @param {string} name of the subject, if it has one */
const entry = (event, name) => h("details",
  h("summary", h("time.mute", { datetime: event.at }, time(new Date(event.at))), icon("right"),
    h("span.act", event.action.replaceAll("_", " ").replace(".", ": "), " ", h("b", name), name !== event.subject && h("span.faint", ` ${event.subject}`)), h("span.by.mute", event.actor), h("code.hash.faint", String(event.seq))),
  h("div.more", diff(event), h("p.small.faint", [event.address && `From ${event.address}`, event.request && `request ${event.request}`, `event ${event.seq}`].filter(Boolean).join(", "))));

/** Removed above added, with signs as well as colour. @param {any} event */
function diff(event) {
  const fields = [...flat(event.detail ?? {}).entries()];
  const before = flat(event.before ?? {}), after = flat(event.after ?? {});
  const names = [...new Set([...before.keys(), ...after.keys()])];
  const rows = names.length
    ? names.flatMap((name) => [
      before.has(name) && h("tr", h("th", { scope: "row", rowspan: after.has(name) ? 2 : 1 }, name), h("td.was", { "data-sign": "−" }, h("span.sr", "before "), before.get(name))),
      after.has(name) && h("tr", !before.has(name) && h("th", { scope: "row" }, name), h("td.is", { "data-sign": "+" }, h("span.sr", "after "), after.get(name)))])
    : fields.map(([name, value]) => h("tr", h("th", { scope: "row" }, name), h("td", value)));
  return rows.length > 0 && h("div.diff", { tabindex: "0", role: "region", "aria-label": "Change" }, h("table", h("tbody", rows)));
}

/** Members by path, as text. @param {any} value @param {string} path @returns {Map<string, string>} */
function flat(value, path = "") {
  if (value === null || typeof value !== "object") return new Map([[path || "value", String(value)]]);
  return new Map(Object.entries(value).flatMap(([name, inner]) => [...flat(inner, path ? (Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`) : name)]));
}
