// Requests: live tail with filters, and one request explained beside it.

import { download, get, url } from "../api.js";
import { h, icon, s } from "../dom.js";
import { compact, count, duration, fullDay, instant, pico, time, usd, usdExact } from "../format.js";
import { choice, copy, empty, iconButton, money, places, problem, skeleton } from "../parts.js";
import { names } from "../names.js";
import { href, remember } from "../router.js";

export const title = "Requests";

/** Rows kept in the list while it is followed. */
const SHOWN_MAX = 500;
const STATUSES = /** @type {[string, string][]} */ ([["", "Any status"], ["ok", "Served"], ["refused", "Refused"], ["failed", "Failed"], ["client_gone", "Client gone"], ["orphaned", "Orphaned"]]);
/** Remedy by error code, for the person who reads the refusal. @type {Record<string, string>} */
const REMEDIES = {
  budget_exceeded: "Raise the budget that is named, or wait for its reset.",
  budget_held: "Ask again: the room is held by requests in flight and comes free when they end.",
  rate_limit_exceeded: "Ask again after the time in retry-after, or raise the rate limit.",
  model_not_allowed: "Add the model to the allow-list of the key and its team.",
  model_not_found: "Check the name; GET /v1/models lists what the key may call.",
  price_unknown: "Give the provider a price for this model, or remove the block budget.",
  cost_unbounded: "Set request_ceiling for the provider, or ask without the part that has no bound.",
};

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  const filter = { status: query.get("status") ?? "", team: query.get("team") ?? "", key: query.get("key") ?? "", model: query.get("model") ?? "", tag: query.get("tag") ?? "", flag: query.get("flag") ?? "" };
  let live = true;
  let chosen = query.get("id") ?? "";
  let rows = /** @type {any[]} */ ([]);
  let next = "", follow = "";
  let generation = 0;
  let named = /** @type {import("../names.js").Names} */ ((id) => id);
  const [state, tools, filters, list, more] = [h("p"), h("div.row"), h("search.filters"), h("div.scroll", skeleton(400)), h("div.more", { hidden: true })];
  const split = h("div.split.solo", h("section.card.flush", { "aria-label": "Requests" }, list, more));
  main.append(h("header.head", h("h1", title), state, tools), filters, split);

  const keep = () => remember({ ...filter, id: chosen });

  /** First page of the filters; what ends afterwards is followed. */
  async function read() {
    const mine = (generation += 1);
    try {
      const page = await get(url("/v1/requests", { ...filter, limit: 100 }), signal);
      if (mine !== generation) return;
      [rows, next, follow] = [page.data, page.next ?? "", page.follow ?? ""];
      draw();
      void tail(mine);
    } catch (error) {
      if (!signal.aborted && mine === generation) list.replaceChildren(problem(error, () => void read()));
    }
  }

  /** At most one waiting request per tab; a hidden tab pauses. @param {number} mine */
  async function tail(mine) {
    while (mine === generation && !signal.aborted) {
      if (!live || document.hidden || !follow) {
        await new Promise((done) => setTimeout(done, 500));
        continue;
      }
      try {
        const page = await get(url("/v1/requests", { ...filter, after: follow, wait: 10 }), signal);
        if (mine !== generation) return;
        follow = page.next ?? follow;
        if (page.data.length && live) {
          const fresh = page.data.map((row) => ({ ...row, fresh: true })).reverse();
          rows = [...fresh, ...rows].slice(0, SHOWN_MAX);
          draw();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error && /** @type {any} */ (error).status === 400) return void read();
        await new Promise((done) => setTimeout(done, 3000));
      }
    }
  }

  async function older() {
    const page = await get(url("/v1/requests", { ...filter, limit: 100, before: next }), signal);
    rows.push(...page.data);
    next = page.next ?? "";
    draw();
  }

  function draw() {
    drawTools();
    more.hidden = !next;
    more.replaceChildren(h("button.btn", { click: () => void older() }, "Show older requests"), h("span.small.mute", `${count(rows.length)} shown`));
    if (!rows.length) {
      const filtered = Object.values(filter).some(Boolean);
      list.replaceChildren(filtered
        ? empty("No request matches", "The list is searched page by page; older requests may match.", h("button.btn", { click: () => { for (const name of Object.keys(filter)) /** @type {any} */ (filter)[name] = ""; drawFilters(); keep(); void read(); } }, "Clear filters"))
        : empty("No requests yet", "The first request of any key appears here within a second.", h("a.btn", { href: href("keys", { create: "1" }) }, "Create a key")));
      return;
    }
    list.replaceChildren(h("table.tbl", { vars: { frac: places(rows.map((row) => pico(row.net_cost_usd))) } },
      h("thead", h("tr", h("th.desk", { scope: "col" }, "Time"), h("th", { scope: "col" }, "Model"), h("th.desk", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Status"),
        h("th.num.opt", { scope: "col" }, "Tokens"), h("th.num.opt", { scope: "col" }, "First"), h("th.num.desk", { scope: "col" }, "Total"), h("th.num", { scope: "col" }, "Cost"))),
      h("tbody", byDay(rows))));
    for (const row of rows) row.fresh = false;
  }

  /** Rows with a line where a new day begins. @param {any[]} all */
  const byDay = (all) => all.flatMap((row, i) => {
    const day = fullDay(new Date(row.at));
    const begins = i === 0 ? day !== fullDay(new Date()) : day !== fullDay(new Date(all[i - 1].at));
    return [begins && h("tr.day", h("th", { scope: "rowgroup", colspan: "8" }, day)), line(row)];
  });

  /** @param {any} row */
  const line = (row) => {
    const at = new Date(row.at), usage = row.usage ?? {};
    const tokens = usage.input_tokens || usage.output_tokens;
    const name = row.model_asked ?? row.model ?? "–";
    return h(`tr.pick${row.fresh ? ".fresh" : ""}`, { "aria-selected": String(row.id === chosen), "data-id": row.id, click: () => choose(row.id) },
      h("td.mute.desk", h("time", { datetime: row.at, title: instant(at) }, time(at))),
      h("td", h("button.link.name", { "aria-label": `Request for ${name}, ${row.status}` }, name),
        row.attempt > 1 && h("span.tag.gap", { title: `${row.attempt} attempts` }, `× ${row.attempt}`), h("div.small.mute.phone", `${time(at)}, ${named(row.key)}`)),
      h("td.desk", named(row.key), " ", h("span.faint.wide", named(row.team))),
      h("td", badge(row)),
      h("td.num.opt", { title: tokens ? `${count(usage.input_tokens ?? 0)} in, ${count(usage.output_tokens ?? 0)} out` : "" }, tokens ? `${compact(usage.input_tokens ?? 0)} → ${compact(usage.output_tokens ?? 0)}` : "–"),
      h("td.num.opt", row.first_content_ms ? duration(row.first_content_ms) : "–"), h("td.num.desk", row.total_ms ? duration(row.total_ms) : "–"), h("td.num", money(pico(row.net_cost_usd))));
  };

  /** @param {string} id */
  function choose(id) {
    chosen = id;
    keep();
    for (const row of list.querySelectorAll("tr.pick")) row.setAttribute("aria-selected", String(row.getAttribute("data-id") === id));
    void panel();
  }

  async function panel() {
    split.querySelector(".panel")?.remove();
    split.classList.toggle("solo", !chosen);
    if (!chosen) return;
    const aside = h("aside.panel", { "aria-label": "Request", tabindex: "-1" }, skeleton(320));
    split.append(aside);
    try {
      const { attempts } = await get(`/v1/requests/${encodeURIComponent(chosen)}`, signal);
      aside.replaceChildren(...detail(attempts[attempts.length - 1], attempts, named, () => choose("")));
    } catch (error) {
      if (!signal.aborted) aside.replaceChildren(h("header", h("h2", "Request"), iconButton("Close", "close", () => choose(""), ".bare.push")), h("section", problem(error)));
    }
  }

  function drawTools() {
    state.replaceChildren(h("span.row", h(`span.dot${live ? "" : ".off"}`), live ? "Live, new requests on top" : "Paused"));
    tools.replaceChildren(
      h("button.btn", { click: () => { live = !live; drawTools(); } }, icon(live ? "pause" : "play"), live ? "Pause" : "Resume"),
      h("button.btn", { click: () => void download(url("/v1/requests", { ...filter, limit: 500 }), "requests.csv") }, icon("download"), "CSV"));
  }

  function drawFilters() {
    /** @param {"key" | "model" | "tag"} name @param {string} label */
    const word = (name, label) => h("input.input.quiet", { type: "search", placeholder: label, "aria-label": label, value: filter[name], on: { change: (event) => { filter[name] = event.target.value.trim(); keep(); void read(); } } });
    const status = choice("Status", STATUSES, (value) => { filter.status = value; keep(); void read(); });
    status.value = filter.status;
    filters.replaceChildren(...[word("model", "Model or pattern"), word("key", "Key"), word("tag", "Tag")].map((input) => h("div.search", icon("search"), input)), status,
      ...(filter.flag ? [h("span.chip", filter.flag, h("button", { "aria-label": `Remove flag ${filter.flag}`, click: () => { filter.flag = ""; drawFilters(); keep(); void read(); } }, icon("close")))] : []));
  }

  document.addEventListener("keydown", (event) => {
    if (/** @type {HTMLElement} */ (event.target).matches("input, select, textarea") || document.querySelector("dialog[open]")) return;
    const move = /** @type {Record<string, number>} */ ({ j: 1, k: -1 })[event.key];
    if (event.key === "Escape" && chosen) choose("");
    if (move && rows.length) choose(rows[Math.max(0, Math.min(rows.length - 1, rows.findIndex((row) => row.id === chosen) + move))].id);
  }, { signal });

  drawTools();
  drawFilters();
  named = await names(signal);
  await read();
  if (chosen) await panel();
}

/** @param {any} row */
function badge(row) {
  const tone = row.status === "ok" ? "ok" : row.status === "refused" ? "warn" : row.status === "client_gone" ? "" : "bad";
  const word = row.status === "ok" ? "served" : row.status.replaceAll("_", " ");
  return h(`span.tag${tone && `.${tone}`}`, word, row.code && h("span.wide", row.code));
}

/** What is known of one request, whose last attempt is `row`. @param {any} row @param {any[]} attempts @param {import("../names.js").Names} named @param {() => void} close */
function detail(row, attempts, named, close) {
  const id = h("code.small", row.id);
  return [
    h("header", h("div", h("div.row", badge(row), h("h2", row.model_asked ?? row.model ?? "Request")), h("div.row.tight", id, iconButton("Copy id", "copy", () => void copy(row.id, id)))),
      iconButton("Close", "close", close, ".bare.push")),
    row.status === "refused" && h("section", h("div.why", h("h3", `Refused: ${row.code ?? "no reason recorded"}`), h("h3", "What would mend it"), h("p", REMEDIES[row.code] ?? "The message of the response names the remedy."))),
    row.upstream_error_detail && h("section", h("div.why", h("h3", "The provider failed"), h("p", row.upstream_error_detail))),
    attempts.length > 1 && h("section", h("h3", "Attempts"), h("ol.time", attempts.map(attempt))),
    row.total_ms > 0 && h("section", h("h3", "Time"), waterfall(row)),
    pico(row.cost_usd) !== 0n && h("section", h("h3", "Cost"), sum(row)),
    row.flags?.length > 0 && h("section", h("h3", "Flags"), h("div.row", row.flags.map((flag) => h("span.tag.info", flag)))),
    h("section", facts(row, named)),
  ].filter(Boolean);
}

/** @param {any} one */
const attempt = (one) => h(`li${one.status === "ok" ? ".ok" : ".bad"}`, h("span.name", `${one.attempt} ${one.provider}/${one.model}`), h("span.mute", duration(one.total_ms)), h("span.what", one.upstream_error_detail ?? one.status.replaceAll("_", " ")));

/** @param {any} row */
function waterfall(row) {
  const end = Math.max(row.total_ms, 1), first = row.first_content_ms ?? row.total_ms;
  const bar = (name, from, to, cls) => h("li", h("span", name),
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "bed", width: 100, height: 8, rx: 1 }), s("rect", { class: cls, x: (from / end) * 100, width: Math.max(0.6, ((to - from) / end) * 100), height: 8 })),
    h("span", duration(to - from)));
  return h("ol.fall", bar("First content", 0, first, ""), first < end && bar("Answer", first, end, "hot"));
}

/** The cost as it would be added up by hand. @param {any} row */
const sum = (row) => h("table.sum",
  h("thead", h("tr", h("th", { scope: "col" }, "Usage"), ["Count", "Rate", "Amount"].map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", row.cost_lines.map((line) => h("tr", h("th", { scope: "row" }, line.class), h("td", count(line.count)), h("td.mute", `× $${line.rate_usd}`), h("td", usdExact(pico(line.amount_usd))))),
    row.corrections.map((entry) => h("tr", h("th", { scope: "row" }, `corrected: ${entry.reason}`), h("td"), h("td"), h("td", usdExact(pico(entry.amount_usd)))))),
  h("tfoot", h("tr", h("th", { scope: "row" }, "Booked"), h("td"), h("td"), h("td", usdExact(pico(row.net_cost_usd))))));

/** @param {any} row @param {import("../names.js").Names} named */
function facts(row, named) {
  /** @type {[string, any][]} */
  const all = [["Key", h("a", { href: href("keys", { q: named(row.key) }) }, named(row.key))], ["Team", named(row.team)], ["Served by", row.provider ? `${row.provider}/${row.model}` : "not sent"],
    ["Dialect", row.dialect], ["Streamed", row.stream ? "yes" : "no"], ["Held", row.ceiling_usd ? usd(pico(row.ceiling_usd)) : "–"], ["Output cap", row.output_cap ? count(row.output_cap) : "–"], ["Tag", row.tag ?? "–"], ["Received", instant(new Date(row.at))]];
  return h("dl.facts", all.flatMap(([name, value]) => [h("dt", name), h("dd", value)]));
}
