// Overview: is anything wrong, what does it cost, who is near the limit.

import { call, get, list } from "../api.js";
import { legend, spark, stacked } from "../chart.js";
import { h, icon, segmented } from "../dom.js";
import { change, compact, count, dayOf, daysBetween, fullDay, fullDayOf, isoDay, percent, pico, shiftDay, time, usd, usdExact, usdLimit, usdTick, zoneName } from "../format.js";
import { barList, budgetBar, budgetOf, budgetRow, confirmed, empty, problem, skeleton, toast, topSeries } from "../parts.js";
import { href } from "../router.js";

export const title = "Overview";

const DAYS = 30;
const GROUPS = /** @type {const} */ (["provider", "model", "team"]);

/** @typedef {{ day: string, name: string, cost: bigint, requests: number, refused: number }} Cell */

/** @param {import("../router.js").Context} context */
export async function show({ main, signal }) {
  const now = new Date();
  const [notes, stats, spend, near, teams, models] = [h("div.notes"), h("div.card.flush.stats", skeleton(166)), h("div", skeleton(300)), h("div", skeleton(264)), h("div", skeleton(200)), h("div", skeleton(200))];
  main.append(
    h("header.head", h("h1", title), h("p", `${fullDay(now)}, ${time(now)} in ${zoneName()}`),
      h("div.row", h("a.btn", { href: href("keys", { create: "1" }) }, icon("plus"), "Create key"))),
    notes, stats,
    h("div.cols",
      h("section.card.c8.fill", { "aria-label": "Spend per day" }, spend),
      card("Nearest to their limit", near, h("a.small", { href: href("teams") }, "Teams")),
      card("Teams, this month", teams, h("a.small", { href: href("usage", { by: "team", period: "month" }) }, "Usage")),
      card("Models, this month", models, h("a.small", { href: href("usage", { by: "model", period: "month" }) }, "Usage"))));

  const today = isoDay(now);
  const from = shiftDay(today, 1 - DAYS);
  const period = { start: from, end: shiftDay(today, 1) };
  const [perDay, month, budgets] = await Promise.all([
    usage({ ...period, group_by: "day,provider" }, signal), get("/v1/usage?group_by=team,model", signal), nearest(signal),
  ]);
  const again = () => show({ main, signal, query: new URLSearchParams() });
  banners(notes, month, signal, again).catch((error) => { if (!signal.aborted) notes.append(problem(error)); });
  if (!perDay.length) {
    spend.replaceChildren(empty("No requests yet", "Create a key, give it to an application, and the first request shows up here within a second.", h("a.btn.main", { href: href("keys", { create: "1" }) }, "Create a key")));
  } else {
    draw(spend, period, perDay, signal);
  }
  drawStats(stats, perDay, month, budgets, today, from);
  near.replaceChildren(budgets.length ? h("ul.budgets", budgets.slice(0, 6).map((one) => h("li", budgetRow(one.budget, h("a", { href: one.href }, one.name))))) : empty("No budgets", "A budget refuses what could exceed it before it is sent."));
  const bars = (by) => {
    const sums = sumBy(month.data, by);
    return sums.length ? barList(sums.slice(0, 6).map(([name, cost]) => [name, cost, href("usage", { by, period: "month" })])) : empty("Nothing yet", "Names appear with their first request.");
  };
  teams.replaceChildren(bars("team"));
  models.replaceChildren(bars("model"));
}

const card = (name, body, link) => h("section.card.c4", { "aria-label": name }, h("header", h("h2", name), link), body);

/** Rows of a report by day, with names. @param {Record<string, string>} query @param {AbortSignal} signal @returns {Promise<Cell[]>} */
async function usage(query, signal) {
  const by = query.group_by.split(",")[1];
  const { data } = await list("/v1/usage", query, 20_000, signal);
  return data.map((row) => ({ day: row.day, name: nameOf(row, by), cost: pico(row.cost_usd), requests: row.requests, refused: row.refused_requests }));
}

/** @param {any} row @param {string} by */
const nameOf = (row, by) => row[`${by}_name`] || row[by] || "–";

/** Cost by name, largest first. @param {any[]} rows @param {string} by @returns {[string, bigint][]} */
function sumBy(rows, by) {
  /** @type {Map<string, bigint>} */
  const sums = new Map();
  for (const row of rows) sums.set(nameOf(row, by), (sums.get(nameOf(row, by)) ?? 0n) + pico(row.cost_usd));
  return [...sums].filter(([, cost]) => cost > 0n).sort((a, b) => (b[1] > a[1] ? 1 : -1));
}

/** Budgets by used share, largest first. @param {AbortSignal} signal */
async function nearest(signal) {
  const { data } = await list("/v1/budgets", { limit: 1000 }, 1000, signal);
  return data.map((budget) => ({ budget, name: budget.owner_name, href: href(budget.owner_kind === "key" ? "keys" : "teams", { q: budget.owner_name }) }))
    .sort((a, b) => share(b.budget) - share(a.budget));
}

/** @param {any} json */
function share(json) {
  const { limit, spent, held } = budgetOf(json);
  return limit > 0n ? Number(spent + held) / Number(limit) : 0;
}

/** One banner per degraded state, worst first. @param {HTMLElement} notes @param {any} month @param {AbortSignal} signal @param {() => void} again */
async function banners(notes, month, signal, again) {
  const note = (...content) => h("div.note", { role: "group", "aria-label": "Notice" }, icon("warn"), content);
  if (month.orphans_uncorrected > 0) {
    const n = month.orphans_uncorrected;
    notes.append(note(h("p", h("b", `${count(n)} ${n === 1 ? "request was" : "requests were"} in flight at a crash`), " and are booked at their ceiling."),
      h("a.btn.slim", { href: href("requests", { flag: "orphaned" }) }, "Show requests"),
      h("button.btn.slim", { click: () => confirmed("Correct the orphans?", "Each is corrected to its estimate; the difference returns to the budgets. Corrections are recorded and cannot be taken back.", "Correct all", async () => {
        const made = await call("POST", "/v1/ledger/corrections", { orphans: true, reason: "orphans corrected to their estimates" }, signal);
        toast(`${count(made.corrected)} requests corrected, ${usd(-pico(made.amount_usd))} returned to budgets`);
        again();
      }) }, "Correct all")));
  }
  const clock = await get("/v1/clock", signal);
  if (!clock.in_step) notes.append(note(h("p", h("b", "The clock of the machine jumped"), ". Budgets keep the time from before the jump until the clock is accepted: ", h("code", "gatekeeper clock accept"))));
}

/** @param {HTMLElement} host @param {{ start: string, end: string }} period @param {Cell[]} first @param {AbortSignal} signal */
function draw(host, period, first, signal) {
  const days = Array.from({ length: DAYS }, (_, i) => shiftDay(period.start, i));
  const [legendHost, figure] = [h("div.legend"), h("figure.chart")];
  const paint = (rows, by) => {
    const names = [...new Set(rows.map((row) => row.name))];
    const series = topSeries(names.map((id) => ({ id, name: id, values: days.map((day) => rows.reduce((sum, row) => (row.day === day && row.name === id ? sum + row.cost : sum), 0n)) })));
    const view = stacked(figure, { label: `Spend per day by ${by}`, days, series, partial: true, dayText: dayOf, dayTitle: fullDayOf, tick: usdTick, text: usd });
    legend(legendHost, series, view.hide);
  };
  const pick = async (by) => {
    try { paint(await usage({ ...period, group_by: `day,${by}` }, signal), by); } catch (error) { if (!signal.aborted) figure.replaceChildren(problem(error)); }
  };
  host.replaceChildren(
    h("header.row", h("h2", "Spend per day"), h("div.push", segmented("Stack by", GROUPS.map((by) => [by, by[0].toUpperCase() + by.slice(1)]), "provider", pick))), legendHost, figure);
  paint(first, "provider");
}

/** @param {HTMLElement} host @param {Cell[]} rows @param {any} month @param {{ budget: any }[]} budgets @param {string} today @param {string} from */
function drawStats(host, rows, month, budgets, today, from) {
  const days = Array.from({ length: DAYS }, (_, i) => shiftDay(from, i));
  const perDay = (of) => days.map((day) => rows.filter((row) => row.day === day).reduce((sum, row) => sum + of(row), 0));
  const requests = perDay((row) => row.requests), refused = perDay((row) => row.refused), costs = perDay((row) => Number(row.cost) / 1e12);
  const costOn = (day) => rows.reduce((sum, row) => (row.day === day ? sum + row.cost : sum), 0n);
  const spent = pico(month.total.cost_usd), last = DAYS - 1;
  const cell = (name, big, sub, rest, exact = "") => h("section.stat", h("h2", name), h("p.big", { title: exact }, big), h("p.sub", sub), rest);
  host.replaceChildren(
    monthCell(spent, budgets, today),
    cell("Today", usd(costOn(today)), `${usd(costOn(shiftDay(today, -1)))} yesterday`, spark(costs), usdExact(costOn(today))),
    cell("Requests today", count(requests[last]), `${compact(requests.reduce((a, b) => a + b, 0))} in ${DAYS} days`, spark(requests)),
    cell("Refused today", percent(refused[last], requests[last] + refused[last]), `${count(refused[last])} refused by budgets, limits and lists`, spark(refused)),
    cell("Against last week", change(costs.slice(-7).reduce((a, b) => a + b, 0), costs.slice(-14, -7).reduce((a, b) => a + b, 0)), "cost of 7 days, on the 7 before", spark(days.map((_, i) => costs.slice(Math.max(0, i - 6), i + 1).reduce((a, b) => a + b, 0)))));
}

/** Spend of the month against the budgets of the organizations, projected to its end. @param {bigint} spent @param {{ budget: any }[]} budgets @param {string} today */
function monthCell(spent, budgets, today) {
  const first = `${today.slice(0, 8)}01`;
  const next = shiftDay(shiftDay(first, 31), 0).slice(0, 8) + "01";
  const passed = daysBetween(first, today) + 1, all = daysBetween(first, next);
  const projected = (spent * BigInt(all)) / BigInt(passed);
  const monthly = budgets.map(({ budget }) => budget).filter((one) => one.period === "monthly" && one.owner_kind === "organization" && !one.model);
  if (!monthly.length) {
    return h("section.stat", h("h2", "Spent this month"), h("p.big", { title: usdExact(spent) }, usd(spent)),
      h("p.sub", "Projected ", h("b", usd(projected)), ` by ${dayOf(shiftDay(next, -1))} at the pace of its ${passed} days`),
      h("p.sub.push-down", "No organization has a monthly budget."));
  }
  const none = { limit: 0n, spent: 0n, held: 0n };
  const sum = monthly.map(budgetOf).reduce((a, b) => ({ limit: a.limit + b.limit, spent: a.spent + b.spent, held: a.held + b.held }), none);
  const left = sum.limit > projected ? `${usd(sum.limit - projected)} under the limit` : `${usd(projected - sum.limit)} over the limit`;
  const mark = Math.min(100, (Number(projected) / Number(sum.limit)) * 100);
  return h("section.stat", h("h2", "Spent this month"),
    h("p.big", { title: usdExact(spent) }, usd(spent), h("small", `of ${usdLimit(sum.limit)}`)),
    h("p.sub", "Projected ", h("b", usd(projected)), ` by ${dayOf(shiftDay(next, -1))}, ${left}`),
    h("div.push-down", h("div.mark", { vars: { v: mark } }), budgetBar(sum, "tall")),
    h("p.key3", h("span", "Spent"), h("span.k-held", "Held ", h("b", usd(sum.held))), h("span.k-left", "Left ", h("b", usd(sum.limit - sum.spent - sum.held))), h("span.plain", "▾ Projection")));
}

