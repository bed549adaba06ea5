// Models & providers: what each name leads to, its rates, and whether a provider answers.

import { may } from "../access.js";
import { call, get, list, url } from "../api.js";
import { h, icon } from "../dom.js";
import { count, duration, pico } from "../format.js";
import { deployments, readMetrics } from "../metrics.js";
import { empty, money, places, problem, searchBox, skeleton } from "../parts.js";
import { remember } from "../router.js";
import { addProvider, changeKey, removeProvider } from "./provider.js";

export const title = "Models & providers";

const PAGE = 100;

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  let text = query.get("q") ?? "";
  let rows = /** @type {any[]} */ ([]);
  let next = "";
  const health = h("section.card.flush", { "aria-label": "Deployments of routes", hidden: true });
  const [summary, providers, filters, table, more] = [h("p"), h("div", skeleton(120)), h("search.filters"), h("div.scroll", skeleton(300)), h("div.more", { hidden: true })];
  const add = may("changeInstance") && h("button.btn.slim", { click: () => addProvider(signal, changed) }, icon("plus"), "Add a provider");
  main.append(h("header.head", h("h1", title), summary, add), h("section.card.flush", { "aria-label": "Providers" }, providers), health, filters, h("section.card.flush", { "aria-label": "Models" }, table, more));

  async function drawProviders() {
    const { data } = await list("/v1/providers", {}, 200, signal);
    if (!data.length) {
      providers.replaceChildren(empty("No provider", "Add one here, with `gatekeeper providers add`, or in the configuration file."));
      return;
    }
    providers.replaceChildren(h("div.scroll", h("table.tbl",
      h("thead", h("tr", ["Provider", "Address", "Credential", "Price"].map((name) => h("th", { scope: "col" }, name)), h("th.num", { scope: "col" }, may("changeInstance") ? "Test" : ""))),
      h("tbody", data.map(provider)))));
  }

  const changed = async () => { await Promise.all([drawProviders(), read()]); };

  /** State of the deployments that routes name; without routes there is nothing to show. */
  async function drawHealth() {
    if (!may("readInstance")) return;
    const all = deployments(await readMetrics(signal));
    health.hidden = !all.length;
    health.replaceChildren(h("div.scroll", h("table.tbl",
      h("thead", h("tr", h("th", { scope: "col" }, "Deployment"), h("th", { scope: "col" }, "State"), h("th.num", { scope: "col" }, "Running"), h("th.num", { scope: "col" }, "Cooldowns since the start"))),
      h("tbody", all.map((one) => h("tr", h("th", { scope: "row" }, h("span.name", one.name)), h("td", h(`span.tag.${one.available ? "ok" : "bad"}`, one.available ? "available" : "in cooldown")), h("td.num", count(one.running)), h("td.num", count(one.cooldowns))))))));
  }

  /** @param {any} one */
  function provider(one) {
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
    return h("tr", h("th", { scope: "row" }, h("span.name", one.name), h("div.small.faint", one.type)), h("td.mute", one.base_url ?? "–"),
      h("td", one.has_credential === undefined ? "–" : h(`span.tag.${one.has_credential ? "ok" : ""}`, one.has_credential ? "set" : "none needed")), h("td.mute", price),
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
      h("thead", h("tr", h("th", { scope: "col" }, "Name"), h("th.desk", { scope: "col" }, "Leads to"), ["Input", "Cached", "Output"].map((name) => h("th.num", { scope: "col" }, `${name}, per million`)), h("th", { scope: "col" }, "Source"))),
      h("tbody", rows.map((row) => h("tr", h("th", { scope: "row" }, h("span.name", row.name)), h("td.mute.desk", `${row.provider}/${row.model}`),
        h("td.num", rate(row.input_per_million)), h("td.num.mute", rate(row.cached_input_per_million)), h("td.num", rate(row.output_per_million)),
        h("td", row.input_per_million === null && row.source !== "free" ? h("span.tag.warn", "unpriced") : h("span.tag", row.source)))))));
  }

  filters.append(searchBox("Model", (value) => { text = value; void read(); }));
  const box = filters.querySelector("input");
  if (box) box.value = text;
  await Promise.all([[drawProviders, providers], [read, table], [drawHealth, health]].map(async ([run, place]) => {
    try { await /** @type {() => Promise<void>} */ (run)(); } catch (error) { if (!signal.aborted) /** @type {HTMLElement} */ (place).replaceChildren(problem(error)); }
  }));
}
