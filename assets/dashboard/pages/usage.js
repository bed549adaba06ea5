// Usage: cost by any grouping, as chart and table; the address bar holds the whole view.

import { list, save } from "../api.js";
import { legend, stacked } from "../chart.js";
import { h, icon } from "../dom.js";
import { change, compact, count, csv, dayOf, decimal, daysBetween, fullDayOf, isoDay, percent, pico, shiftDay, usd, usdExact, usdTicks } from "../format.js";
import { dropDown, empty, money, places, problem, skeleton, sortHead, topSeries } from "../parts.js";
import { href, remember } from "../router.js";
import { tableTools } from "../table.js";

export const title = "Usage";

const GROUPS = ["provider", "model", "team", "key", "organization", "status", "tag", "user"];
/** Kept by day beside team and key only. */
const STATED = ["tag", "user"];
/** @type {[id: string, name: string, days: number][]} */
const PERIODS = [["today", "Today", 1], ["7d", "Last 7 days", 7], ["28d", "Last 28 days", 28], ["month", "This month", 0], ["last", "Last month", 0]];
/** Most rows that a report is read for. */
const ROWS_MAX = 20_000;

/** @param {string} name @param {any} big @param {any} [sub] @param {string} [exact] */
const cell = (name, big, sub = "", exact = "") => h("section.stat", h("h2", name), h("p.big", { title: exact }, big), h("p.sub", sub || "\u00a0"));

/** True for groups that one report can have. @param {string[]} groups */
const fit = (groups) => !groups.some((one) => STATED.includes(one)) || groups.filter((one) => one !== "team" && one !== "key").length === 1;

/** @typedef {{ name: Record<string, string>, day: string, cost: bigint, requests: number, refused: number, input: number, cached: number, output: number }} Row */

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  const view = {
    period: query.get("period") ?? "28d",
    start: query.get("start") ?? "", end: query.get("end") ?? "",
    by: (query.get("by") ?? "team,model").split(",").filter((one) => GROUPS.includes(one)).slice(0, 2),
    filters: /** @type {[string, string][]} */ (GROUPS.flatMap((group) => (query.get(group) ? [[group, query.get(group)]] : []))),
    compare: query.get("compare") !== "no", sort: "cost", down: true,
  };
  const [range, tools, groups, stats, chartTitle, legendHost, figure, tableHost] = [h("p", " "), h("div.row"), h("div.filters"), h("div.card.flush.stats.even", ["Cost", "Requests", "Refused", "Input tokens", "Output tokens"].map((name) => cell(name, h("span.skel.num")))), h("h2", "Cost per day"), h("div.legend"), h("figure.chart", skeleton(264)), h("div.scroll.tall", { tabindex: "0", role: "region", "aria-label": "Usage by group" }, skeleton(200))];
  main.append(h("header.head", h("h1", title), range, tools), groups, stats,
    h("section.card", { "aria-label": "Cost per day" }, h("header", chartTitle), legendHost, figure),
    h("section.card.flush", { "aria-label": "Table" }, tableHost));
  const columns = tableTools("usage", tableHost);
  /** @type {Row[]} */
  let now = [];
  /** @type {Row[]} */
  let before = [];
  /** Why the two periods cannot be compared; empty: they can. */
  let gap = "";

  /** Dates of the view, the end exclusive. */
  function dates() {
    const today = isoDay(new Date());
    const first = `${today.slice(0, 8)}01`;
    if (view.period === "month") return { start: first, end: shiftDay(today, 1) };
    if (view.period === "last") return { start: `${shiftDay(first, -1).slice(0, 8)}01`, end: first };
    if (view.period === "own" && view.start && view.end) return { start: view.start, end: shiftDay(view.end, 1) };
    const days = PERIODS.find(([id]) => id === view.period)?.[2] || 28;
    return { start: shiftDay(today, 1 - days), end: shiftDay(today, 1) };
  }

  /** The report by day and by the groups and filters of the view. @param {{ start: string, end: string }} period @returns {Promise<Row[]>} */
  async function read(period) {
    const wanted = [...new Set([...view.by, ...view.filters.map(([group]) => group)])];
    const { data, more } = await list("/v1/usage", { ...period, group_by: ["day", ...wanted].join(",") }, ROWS_MAX, signal);
    if (more) throw new Error(`The report has more than ${count(ROWS_MAX)} rows; choose a shorter period or fewer groups.`);
    const rows = data.map((row) => ({ name: Object.fromEntries(wanted.map((group) => [group, row[`${group}_name`] || row[group] || "–"])), day: row.day, cost: pico(row.cost_usd), requests: row.requests, refused: row.refused_requests, input: row.input_tokens, cached: row.cached_tokens, output: row.output_tokens }));
    return rows.filter((row) => view.filters.every(([group, id]) => row.name[group] === id));
  }

  async function update() {
    remember({ period: view.period, start: view.period === "own" ? view.start : undefined, end: view.period === "own" ? view.end : undefined, by: view.by.join(","), compare: view.compare ? undefined : "no", ...Object.fromEntries(view.filters) });
    const period = dates();
    range.textContent = `${fullDayOf(period.start)} to ${fullDayOf(shiftDay(period.end, -1))}`;
    drawTools(period);
    if (!now.length) drawGroups();
    try {
      const length = daysBetween(period.start, period.end);
      const earlier = { start: shiftDay(period.start, -length), end: period.start };
      [now, before] = await Promise.all([read(period), view.compare ? read(earlier) : []]);
      gap = view.compare ? gapOf(earlier, length) : "";
    } catch (error) {
      if (!signal.aborted) tableHost.replaceChildren(problem(error, () => void update()));
      return;
    }
    drawGroups();
    stats.hidden = !now.length;
    if (!now.length) {
      tableHost.replaceChildren(empty("No usage in this period", "No request matches these filters between the two dates."));
      figure.replaceChildren(empty("Nothing to draw", "Choose a longer period or remove a filter."));
      legendHost.replaceChildren();
      return;
    }
    drawStats();
    drawChart(period);
    drawTable();
  }

  /**
   * A first day of data after the first quarter of the earlier period makes every change a number about the start, not about use.
   * @param {{ start: string, end: string }} earlier @param {number} length
   */
  function gapOf(earlier, length) {
    const first = [...before, ...now].map((row) => row.day).sort()[0];
    return first && first > shiftDay(earlier.start, Math.ceil(length / 4) - (length === 1 ? 1 : 0)) ? `no data before ${dayOf(first)}` : "";
  }

  /** Rows of the table without its sums, each group once, largest first. */
  function leaves() {
    const leaf = (row) => JSON.stringify(view.by.map((group) => row.name[group]));
    /** @type {Map<string, Row[]>} */
    const sorted = new Map();
    for (const row of now) sorted.set(leaf(row), [...(sorted.get(leaf(row)) ?? []), row]);
    return [...sorted.values()].sort((a, b) => (cost(b) > cost(a) ? 1 : -1));
  }

  /** The table as CSV: names, exact cost, and counts. */
  const table = () => csv([...view.by, "cost_usd", "requests", "refused_requests", "input_tokens", "cached_tokens", "output_tokens"],
    leaves().map((rows) => [...view.by.map((group) => rows[0].name[group]), decimal(cost(rows)), ...["requests", "refused", "input", "cached", "output"].map((name) => sum(rows, name))]));

  /** @param {{ start: string, end: string }} period */
  function drawTools(period) {
    const from = h("input.input", { type: "date", value: period.start }), to = h("input.input", { type: "date", value: shiftDay(period.end, -1) });
    const name = PERIODS.find(([id]) => id === view.period)?.[1] ?? "Own dates";
    const menu = h("div.pop", { popover: "auto", id: "periods" },
      PERIODS.map(([id, text]) => h("button.item", { click: () => { view.period = id; menu.hidePopover(); void update(); } }, text, id === view.period && icon("check"))),
      h("div.dates", h("label.field", h("span.small.mute", "From"), from), h("label.field", h("span.small.mute", "To, included"), to)),
      h("button.btn.slim", { click: () => { if (from.value && to.value && from.value <= to.value) { Object.assign(view, { period: "own", start: from.value, end: to.value }); menu.hidePopover(); void update(); } } }, "Show these dates"));
    const open = h("button.btn", { popovertarget: "periods" }, icon("calendar"), name, icon("down"));
    dropDown(open, menu);
    tools.replaceChildren(open, menu,
      h("button.btn", { "aria-pressed": String(view.compare), click: () => { view.compare = !view.compare; void update(); } }, view.compare && icon("check"), "Compare with the period before"),
      h("button.btn", { click: () => save(new Blob([table()], { type: "text/csv" }), `usage-${period.start}-${shiftDay(period.end, -1)}.csv`) }, icon("download"), "CSV"), ...columns);
  }

  function drawGroups() {
    /** @param {string} name @param {[string, () => void][]} items */
    const adder = (name, items) => {
      const menu = h("div.pop", { popover: "auto", id: `add-${name}` }, items.map(([text, run]) => h("button.item", { click: () => { menu.hidePopover(); run(); } }, text)));
      const button = h("button.btn.slim.add", { popovertarget: `add-${name}` }, icon("plus"), name);
      dropDown(button, menu);
      return items.length ? [button, menu] : [];
    };
    const chip = (text, label, remove) => h("span.chip", text, h("button", { "aria-label": label, click: () => { remove(); void update(); } }, icon("close")));
    const first = view.by[0];
    const known = first ? [...new Set(now.map((row) => row.name[first]))].sort().slice(0, 50) : [];
    groups.replaceChildren(h("span.small.mute", "Group by"),
      ...view.by.map((group) => chip(group, `Remove group ${group}`, () => { view.by = view.by.filter((one) => one !== group); })),
      ...(view.by.length < 2 ? adder("group", GROUPS.filter((one) => !view.by.includes(one) && fit([...view.by, one, ...view.filters.map(([group]) => group)])).map((one) => [one, () => { view.by.push(one); void update(); }])) : []),
      h("span.rule"), h("span.small.mute", "Filter"),
      ...view.filters.map(([group, id]) => chip([h("span.mute", `${group} `), id], `Remove filter ${group} ${id}`, () => { view.filters = view.filters.filter(([one]) => one !== group); })),
      ...adder("filter", known.map((id) => [`${first} is ${id}`, () => drill(first, id)])));
  }

  /** @param {string} group @param {string} id */
  function drill(group, id) {
    view.filters = [...view.filters.filter(([one]) => one !== group), [group, id]];
    const next = GROUPS.find((one) => !view.by.includes(one) && one !== "organization" && fit([...view.by, one]));
    if (view.by.length === 1 && view.by[0] === group && next) view.by.push(next);
    void update();
  }

  const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
  const cost = (rows) => rows.reduce((total, row) => total + row.cost, 0n);
  const values = (rows, group) => [...new Set(rows.map((row) => row.name[group]))];

  function drawStats() {
    const input = sum(now, "input");
    const versus = (a, b) => view.compare && (gap || `${change(a, b)} on the period before`);
    stats.replaceChildren(
      cell("Cost", usd(cost(now)), versus(Number(cost(now)), Number(cost(before))), usdExact(cost(now))),
      cell("Requests", count(sum(now, "requests")), versus(sum(now, "requests"), sum(before, "requests"))),
      cell("Refused", count(sum(now, "refused")), `${percent(sum(now, "refused"), sum(now, "requests") + sum(now, "refused"))} of requests`),
      cell("Input tokens", compact(input), `${percent(sum(now, "cached"), input)} cached by providers`, count(input)),
      cell("Output tokens", compact(sum(now, "output")), versus(sum(now, "output"), sum(before, "output")), count(sum(now, "output"))));
  }

  /** @param {{ start: string, end: string }} period */
  function drawChart(period) {
    const length = daysBetween(period.start, period.end);
    const days = Array.from({ length }, (_, i) => shiftDay(period.start, i));
    const group = view.by[0];
    const perDay = (rows, from) => days.map((_, i) => rows.reduce((total, row) => (row.day === shiftDay(from, i) ? total + row.cost : total), 0n));
    const series = topSeries((group ? values(now, group) : ["all"]).map((id) => ({ id, name: id, values: perDay(group ? now.filter((row) => row.name[group] === id) : now, period.start) })));
    const compared = view.compare && before.length > 0 && !gap;
    chartTitle.textContent = group ? `Cost per day by ${group}` : "Cost per day";
    const partial = period.end > isoDay(new Date());
    const drawn = stacked(figure, { label: chartTitle.textContent, days, series, before: compared ? perDay(before, shiftDay(period.start, -length)) : undefined, partial, dayText: dayOf, dayTitle: fullDayOf, ticks: usdTicks, text: usd });
    const earlier = `Period before, ${dayOf(shiftDay(period.start, -length))} to ${dayOf(shiftDay(period.start, -1))}`;
    legend(legendHost, series, drawn.hide, compared ? earlier : "");
  }

  /** @type {[string, string][]} */
  const COLUMNS = [["cost", "Cost"], ["requests", "Requests"], ["refused", "Refused"], ["input", "Input"], ["cached", "Cached"], ["output", "Output"]];

  function drawTable() {
    const order = (rows) => (view.sort === "cost" ? Number(cost(rows)) : sum(rows, view.sort));
    const head = h("thead", h("tr", h("th.caps", { scope: "col" }, view.by.join(" / ") || "all"),
      COLUMNS.flatMap(([id, name]) => [
        sortHead(name, view.sort === id && (view.down ? "descending" : "ascending"), () => { view.down = view.sort === id ? !view.down : true; view.sort = id; drawTable(); }, ".num"),
        id === "cost" && h("th.num", { scope: "col" }, "Share"), id === "cost" && view.compare && h("th.num", { scope: "col" }, "Change")])));
    const cells = (rows, old) => [
      h("td.num", money(cost(rows))), h("td.num.mute", percent(Number(cost(rows)), Number(cost(now)))),
      view.compare && h("td.num.mute", { title: gap }, gap ? "–" : change(Number(cost(rows)), Number(cost(old)))),
      ...["requests", "refused"].map((name) => h("td.num", { "data-csv": sum(rows, name) }, count(sum(rows, name)))),
      ["input", "cached", "output"].map((name) => h("td.num", { title: count(sum(rows, name)), "data-csv": sum(rows, name) }, compact(sum(rows, name))))];
    /** @param {Row[]} rows @param {Row[]} old @param {string[]} by @param {number} depth @returns {any[]} */
    const level = (rows, old, by, depth) => {
      const [group, ...rest] = by;
      if (!group) return [];
      const sign = view.down ? 1 : -1;
      return values(rows, group).map((id) => /** @type {const} */ ([id, rows.filter((row) => row.name[group] === id), old.filter((row) => row.name[group] === id)]))
        .sort((a, b) => sign * (order(b[1]) - order(a[1])))
        .flatMap(([id, mine, theirs]) => [
          h(`tr${rest.length ? ".group" : ""}${depth ? ".in" : ""}`, h("th", { scope: "row" }, h("button.link", { title: "Filter by this", click: () => drill(group, id) }, id)), cells(mine, theirs)),
          ...level(mine, theirs, rest, depth + 1)]);
    };
    tableHost.replaceChildren(h("table.tbl", { vars: { frac: places([...leaves().map(cost), cost(now)]) } }, head, h("tbody", level(now, before, view.by, 0)),
      h("tfoot", h("tr", h("th", { scope: "row" }, "Total"), cells(now, before)))));
  }

  await update();
}

/** Address of this page for one value of a group. @param {string} group @param {string} id */
export const usageOf = (group, id) => href("usage", { by: group, [group]: id });
