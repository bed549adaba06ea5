// Requests: live tail with filters, and one request explained beside it.

import { download, get, url } from "../api.js";
import { captureBanner, capturedCall } from "../captures.js";
import { h, icon, s } from "../dom.js";
import { compact, count, duration, fullDay, instant, pico, time, usd, usdExact, usdLimit } from "../format.js";
import { lookup } from "../lookup.js";
import { choice, copy, empty, iconButton, money, places, problem, skeleton } from "../parts.js";
import { href, remember } from "../router.js";
import { tableTools } from "../table.js";

export const title = "Requests";

/** Rows kept in the list while it is followed. */
const SHOWN_MAX = 500;
const STATUSES = /** @type {[string, string][]} */ ([["", "Any status"], ["ok", "Served"], ["refused", "Refused"], ["failed", "Failed"], ["client_gone", "Client gone"], ["orphaned", "Orphaned"]]);
/** Reason and remedy by error code, for the person who reads the refusal. @type {Record<string, [why: string, mend: string]>} */
const REFUSALS = {
  budget_exceeded: ["A budget had no room for the most that it could cost", "Raise the budget, wait for its reset, or ask for a shorter answer."],
  budget_held: ["Requests in flight hold the rest of a budget", "Ask again: the room comes free when they end."],
  rate_limit_exceeded: ["A rate limit was reached", "Ask again after the time in retry-after, or raise the rate limit."],
  model_not_allowed: ["The key may not call this model", "Add the model to the allow-list of the key and its team."],
  model_not_found: ["No provider has a model of this name", "Check the name; GET /v1/models lists what the key may call."],
  price_unknown: ["The model has no price, and a budget blocks", "Give the provider a price for this model, or remove the block budget."],
  cost_unbounded: ["Its cost has no upper bound, and a budget blocks", "Set request_ceiling for the provider, or ask without the part that has no bound."],
};

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  const filter = { status: query.get("status") ?? "", team: query.get("team") ?? "", key: query.get("key") ?? "", model: query.get("model") ?? "", tag: query.get("tag") ?? "", flag: query.get("flag") ?? "" };
  let live = true;
  let chosen = query.get("id") ?? "";
  let rows = /** @type {any[]} */ ([]);
  let next = "", follow = "";
  let generation = 0;
  const [state, tools, filters, list, more] = [h("p"), h("div.row"), h("search.filters"), h("div.scroll", skeleton(400)), h("div.more", { hidden: true })];
  const split = h("div.split.solo", h("section.card.flush", { "aria-label": "Requests" }, list, more));
  const columns = tableTools("requests", list);
  main.append(h("header.head", h("h1", title), state, tools), captureBanner(signal), filters, split);

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
        row.flags?.includes("captured") && h("span.tag.info.gap", { title: "Prompt capture was on" }, "captured"), row.attempt > 1 && h("span.tag.gap", { title: `${row.attempt} attempts` }, `× ${row.attempt}`), h("div.small.mute.phone", `${time(at)}, ${keyOf(row)}`)),
      h("td.desk", keyOf(row), " ", h("span.faint.wide", teamOf(row))),
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
      const record = await get(`/v1/requests/${encodeURIComponent(chosen)}`, signal);
      aside.replaceChildren(...detail(record, () => choose(""), signal));
    } catch (error) {
      if (!signal.aborted) aside.replaceChildren(h("header", h("h2", "Request"), iconButton("Close", "close", () => choose(""), ".bare.push")), h("section", problem(error)));
    }
  }

  function drawTools() {
    state.replaceChildren(h("span.row", h(`span.dot${live ? "" : ".off"}`), live ? "Live, new requests on top" : "Paused"));
    tools.replaceChildren(
      h("button.btn", { click: () => { live = !live; drawTools(); } }, icon(live ? "pause" : "play"), live ? "Pause" : "Resume"),
      h("button.btn", { click: () => void download(url("/v1/requests", { ...filter, limit: 500 }), "requests.csv") }, icon("download"), "CSV"), ...columns);
  }

  function drawFilters() {
    /** @param {"key" | "team" | "model" | "tag"} name @param {string} label */
    const word = (name, label) => h("input.input.quiet", { type: "search", placeholder: label, "aria-label": label, value: filter[name], on: { change: (event) => { filter[name] = event.target.value.trim(); keep(); void read(); } } });
    const status = choice("Status", STATUSES, (value) => { filter.status = value; keep(); void read(); });
    status.value = filter.status;
    const id = h("input.input.quiet", { type: "search", placeholder: "Request id", "aria-label": "Request id", value: chosen, on: { change: (event) => choose(event.target.value.trim()) } });
    filters.replaceChildren(...[word("model", "Model or pattern"), word("key", "Key"), word("team", "Team"), word("tag", "Tag"), id].map((input) => h("div.search", icon("search"), input)), status,
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
  await read();
  if (chosen) await panel();
}

/** @param {any} row @returns {string} */
const keyOf = (row) => row.key_name ?? row.key ?? "–";
/** @param {any} row @returns {string} */
const teamOf = (row) => row.team_name ?? row.team ?? "–";

/** @param {any} row */
function badge(row) {
  const tone = row.status === "ok" ? "ok" : row.status === "refused" ? "warn" : row.status === "client_gone" ? "" : "bad";
  const word = row.status === "ok" ? "served" : row.status.replaceAll("_", " ");
  return h(`span.tag${tone && `.${tone}`}`, word, row.code && h("span.wide", row.code));
}

/** What is known of one request: its last attempt or its refusal, and how it came to that. @param {any} record @param {() => void} close @param {AbortSignal} signal */
function detail(record, close, signal) {
  const { attempts } = record;
  const row = { ...(attempts[attempts.length - 1] ?? record.refusal), key_name: record.key_name, team_name: record.team_name };
  const id = h("code.small", row.id);
  return [
    h("header", h("div", h("div.row", badge(row), h("h2", row.model_asked ?? row.model ?? "Request")), h("div.row.tight", id, iconButton("Copy id", "copy", () => void copy(row.id, id)))),
      iconButton("Close", "close", close, ".bare.push")),
    row.status === "refused" && h("section", h("div.why", h("h3", "Why"), h("p", REFUSALS[row.code]?.[0] ?? "The message of the response names the reason", row.code && h("code.small", ` ${row.code}`)), h("h3", "What would mend it"), h("p", REFUSALS[row.code]?.[1] ?? "The message of the response names the remedy."),
      /^budget/.test(row.code ?? "") && h("p", h("a", { href: href("teams", { q: teamOf(row), team: row.team }) }, `Budgets of team ${teamOf(row)}`), " or ", h("a", { href: href("keys", { q: keyOf(row) }) }, `key ${keyOf(row)}`)))),
    row.upstream_error_detail && h("section", h("div.why", h("h3", "The provider failed"), h("p", row.upstream_error_detail))),
    attempts.some((one) => one.failure || one.chosen || one.attempt > 1) && h("section", h("h3", "Attempts"), h("ol.time", attempts.map(attempt))),
    row.total_ms > 0 && h("section", h("h3", "Time"), waterfall(row)),
    pico(row.cost_usd) !== 0n && h("section", h("h3", "Cost"), sum(row)),
    row.flags?.length > 0 && h("section", h("h3", "Flags"), h("div.row", row.flags.map((flag) => h("span.tag.info", flag)))),
    lookup(row, signal),
    capturedCall(row, signal),
    h("section", facts(row, record)),
  ].filter(Boolean);
}

/** @param {any} one */
const attempt = (one) => h(`li${one.status === "ok" ? ".ok" : ".bad"}`, h("span.name", `${one.attempt} ${one.provider}/${one.model}`), h("span.mute", duration(one.total_ms)), 
  h("span.what", [
    one.chosen && `Chosen: ${one.chosen}.`, one.wait_ms > 0 && `Waited ${duration(one.wait_ms)}.`,
    one.failure ? `${sentence(one.failure.class)}, so ${one.failure.decision.replaceAll("_", " ")}: ${one.failure.why}.` : `${sentence(one.status)}.`,
  ].filter(Boolean).join(" ")));

/** @param {string} word */
const sentence = (word) => word.charAt(0).toUpperCase() + word.slice(1).replaceAll("_", " ");

/** @param {any} row */
function waterfall(row) {
  const end = Math.max(row.total_ms, 1), first = row.first_content_ms ?? row.total_ms;
  const bar = (name, from, to, cls) => h("li", h("span", name),
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "bed", width: 100, height: 8, rx: 1 }), s("rect", { class: cls, x: (from / end) * 100, width: Math.max(0.6, ((to - from) / end) * 100), height: 8 })),
    h("span", duration(to - from)));
  return h("ol.fall", bar(row.first_content_ms ? "First content" : "Ended", 0, first, ""), first < end && bar("Answer", first, end, "hot"));
}

/** The cost as it would be added up by hand. @param {any} row */
const sum = (row) => h("table.sum",
  h("thead", h("tr", h("th", { scope: "col" }, "Usage"), ["Count", "Rate", "Amount"].map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", row.cost_lines.map((line) => h("tr", h("th", { scope: "row" }, line.class), h("td", count(line.count)), h("td.mute", `× $${line.rate_usd}`), h("td", usdExact(pico(line.amount_usd))))),
    row.corrections.map((entry) => h("tr", h("th", { scope: "row" }, `corrected: ${entry.reason}`), h("td"), h("td"), h("td", usdExact(pico(entry.amount_usd)))))),
  h("tfoot", h("tr", h("th", { scope: "row" }, "Booked"), h("td"), h("td"), h("td", usdExact(pico(row.net_cost_usd))))));

/** @param {any} row @param {any} record */
function facts(row, record) {
  /** @type {[string, any][]} */
  const all = [["Key", h("a", { href: href("keys", { q: keyOf(row) }) }, keyOf(row))], ["Team", teamOf(row)], ["Served by", row.provider ? `${row.provider}/${row.model}` : "not sent"],
    ["Dialect", row.dialect], ["Streamed", row.stream === null ? "–" : row.stream ? "yes" : "no"], ["Charged to", record.budgets.length ? record.budgets.map((one) => `${one.owner_name}, ${usdLimit(pico(one.limit))} ${one.period}`).join("; ") : "no budget"], ["Held", row.ceiling_usd ? usd(pico(row.ceiling_usd)) : "–"], ["Output cap", row.output_cap ? count(row.output_cap) : "–"], ["Tag", row.tag ?? "–"], ["Received", instant(new Date(row.at))]];
  const told = row.status === "refused" ? all.filter(([name]) => !["Streamed", "Charged to", "Held", "Output cap"].includes(name)) : all;
  return h("dl.facts", told.flatMap(([name, value]) => [h("dt", name), h("dd", value)]));
}
