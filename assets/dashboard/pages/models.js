// Models & providers: what each name leads to, its rates, and whether the deployments behind it answer.

import { may } from "../access.js";
import { call, get, list, url } from "../api.js";
import { h, icon } from "../dom.js";
import { count, duration, pico } from "../format.js";
import { empty, money, places, problem, searchBox, skeleton } from "../parts.js";
import { remember } from "../router.js";
import { tableTools } from "../table.js";
import { addProvider, changeKey, removeProvider } from "./provider.js";
import { failedCell, recentCalls } from "./recent.js";
import { drawRoutes } from "./routes.js";

export const title = "Models & providers";

const PAGE = 100;

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  let text = query.get("q") ?? "";
  let rows = /** @type {any[]} */ ([]);
  let next = "";
  const routes = h("section.card.flush", { "aria-label": "Routes", hidden: true });
  const [summary, providers, filters, table, more] = [h("p", "The price sheet in force is being read"), h("div", skeleton(92)), h("search.filters"), h("div.scroll", skeleton(300)), h("div.more", { hidden: true })];
  const add = may("changeInstance") && h("button.btn", { click: () => addProvider(signal, changed) }, icon("plus"), "Add a provider");
  main.append(h("header.head", h("h1", title), summary, add && h("div.row", add)), h("section.card.flush", { "aria-label": "Providers" }, providers), routes, filters, h("section.card.flush", { "aria-label": "Models" }, table, more));
  const recent = recentCalls(signal);

  async function drawProviders() {
    const [{ data }, calls] = await Promise.all([list("/v1/providers", {}, 200, signal), recent]);
    if (!data.length) {
      providers.replaceChildren(empty("No provider", "Add one here, with `gatekeeper providers add`, or in the configuration file."));
      return;
    }
    providers.replaceChildren(h("div.scroll", h("table.tbl",
      h("thead", h("tr", h("th", { scope: "col" }, "Provider"), h("th.desk", { scope: "col" }, "Address"), h("th", { scope: "col" }, "Credential"), h("th.desk", { scope: "col" }, "Price"), h("th.num", { scope: "col" }, `Calls since ${calls.since}`), h("th.num", { scope: "col" }, "Failed"), h("th.num", { scope: "col" }, may("changeInstance") ? "Test" : ""))),
      h("tbody", data.map((one) => provider(one, calls.of(one.name)))))));
  }

  const changed = async () => { await Promise.all([drawProviders(), drawRoutes(routes, recent, signal), read()]); };

  /** @param {any} one @param {import("./recent.js").Calls} calls */
  function provider(one, calls) {
    const verdict = h("span.small.mute", { role: "status" });
    const test = async () => {
      verdict.textContent = "asking …";
      try {
        const done = await call("POST", `/v1/providers/${encodeURIComponent(one.name)}/test`, {}, signal);
        verdict.replaceChildren(h(`span.tag.${done.ok ? "ok" : "bad"}`, done.ok ? "answers" : done.verdict), ` ${[done.status, duration(done.total_ms), done.reason].filter(Boolean).join(", ")}`);
      } catch (error) {
        if (!signal.aborted) verdict.replaceChildren(problem(error));
      }
    };
    const price = typeof one.price === "string" ? (one.price === "own" ? "own prices" : one.price) : one.price?.sheet ? "list prices" : one.price ? `$${one.price.input_per_million} in, $${one.price.output_per_million} out per million` : "–";
    return h("tr", h("th", { scope: "row" }, h("span.name", one.name), h("div.small.faint", one.type)), h("td.mute.desk", one.base_url ?? "–"),
      h("td", one.has_credential === undefined ? "–" : h(`span.tag.${one.has_credential ? "ok" : ""}`, one.has_credential ? "set" : "none needed")), h("td.mute.desk", price),
      h("td.num", count(calls.all)), failedCell(calls),
      h("td.num", one.fault && h("span.tag.bad", { title: one.fault }, "not in force"), verdict, " ", may("changeInstance") && [h("button.btn.slim", { "aria-label": `Test ${one.name}`, click: () => void test() }, "Test"), one.managed_by_file === false && [" ",
        h("button.btn.slim", { "aria-label": `Key of ${one.name}`, click: () => changeKey(one.name, signal, changed) }, "Key …"), " ", h("button.btn.slim.danger", { "aria-label": `Remove ${one.name}`, click: () => removeProvider(one.name, signal, changed) }, "Remove …")]]));
  }

  async function read() {
    remember({ q: text });
    const page = await get(url("/v1/prices", { model: text, limit: PAGE }), signal);
    [rows, next] = [page.data, page.next ?? ""];
    summary.textContent = page.as_of ? `Price sheet of ${page.as_of}` : "";
    draw();
  }

  async function older() {
    const page = await get(url("/v1/prices", { model: text, limit: PAGE, after: next }), signal);
    rows.push(...page.data);
    next = page.next ?? "";
    draw();
  }

  function draw() {
    more.hidden = !next;
    more.replaceChildren(h("button.btn", { click: () => void older() }, "Show more models"), h("span.small.mute", `${count(rows.length)} shown`));
    if (!rows.length) {
      table.replaceChildren(empty("No model matches", "A name resolves if a provider has it on its list or on the price sheet."));
      return;
    }
    const rate = (value) => (value === null || value === undefined ? "–" : money(pico(value)));
    table.replaceChildren(h("table.tbl", { vars: { frac: places(rows.flatMap((row) => [row.input_per_million, row.cached_input_per_million, row.output_per_million]).filter(Boolean).map(pico)) } },
      h("thead", h("tr", h("th", { scope: "col" }, "Name"), h("th.desk", { scope: "col" }, "Leads to"), ["Input", "Cached", "Output"].map((name) => h("th.num", { scope: "col" }, `${name}, per million`)), h("th.num.desk", { scope: "col" }, "Context"), h("th", { scope: "col" }, "Source"))),
      h("tbody", rows.map((row) => h("tr",
        h("th", { scope: "row" }, h("span.name", row.name), row.name !== row.model && h("span.tag.gap", { title: `${row.model} is ambiguous: several providers have it, so requests name the provider` }, "ambiguous")), h("td.mute.desk", `${row.provider}/${row.model}`),
        h("td.num", rate(row.input_per_million)), h("td.num.mute", rate(row.cached_input_per_million)), h("td.num", rate(row.output_per_million)),
        h("td.num.mute.desk", row.context ? count(row.context) : "–"),
        h("td", row.input_per_million === null && row.source !== "free" ? h("span.tag.warn", "unpriced") : h("span.tag", row.source)))))));
  }

  filters.append(searchBox("Model", (value) => { text = value; void read(); }), h("div.row.push", tableTools("models", table)));
  const box = filters.querySelector("input");
  if (box) box.value = text;
  await Promise.all([[drawProviders, providers], [read, table], [() => drawRoutes(routes, recent, signal), routes]].map(async ([run, place]) => {
    try { await /** @type {() => Promise<void>} */ (run)(); } catch (error) { if (!signal.aborted) { const at = /** @type {HTMLElement} */ (place); at.hidden = false; at.replaceChildren(problem(error)); } }
  }));
}
