// Overview: is anything wrong, what does it cost, who is near the limit.

import { may } from "../access.js";
import { call, get, list } from "../api.js";
import { legend, spark, stacked } from "../chart.js";
import { h, icon, segmented } from "../dom.js";
import { change, compact, count, dayOf, daysBetween, duration, fullDay, fullDayOf, isoDay, percent, pico, plural, shiftDay, time, usd, usdExact, usdLimit, usdTicks, zoneName } from "../format.js";
import { deployments, readMetrics } from "../metrics.js";
import { barList, budgetBar, budgetOf, budgetRow, confirmed, empty, problem, skeleton, toast, topSeries } from "../parts.js";
import { href } from "../router.js";

export const title = "Overview";

const DAYS = 30;
const GROUPS = /** @type {const} */ (["provider", "model", "team"]);

/** @typedef {{ day: string, names: Record<string, string>, cost: bigint, requests: number, refused: number, failed: number }} Cell */

/** Degraded states of the gateway: what is the matter, and what would mend it. @type {Record<string, [fact: string, remedy: string, command?: string]>} */
const DEGRADED = {
  log_sync: ["The ledger's log is not synced", ". Requests go on, but a power cut would lose more of them. Repair the disk."],
  books: ["The books are not written", ". Requests go on, and the log keeps every record. Repair the disk."],
  restored: ["The books come from a backup", ". Revoke again what was revoked since it was taken, then accept it: ", "gatekeeper restore accept"],
  clock: ["The clock of the machine jumped", ". Budgets keep the time from before the jump until the clock is accepted: ", "gatekeeper clock accept"],
};

/** @param {import("../router.js").Context} context */
export async function show({ main, signal }) {
  const now = new Date();
  const [notes, stats, spend, near, teams, models, service] = [h("div.notes", { hidden: true }), h("div.card.flush.stats", CELLS.map((name) => cell(name, h("span.skel.num")))), h("div", skeleton(innerWidth > 900 ? 354 : 380)), h("div", skeleton(264)), h("div", skeleton(200)), h("div", skeleton(200)), h("div", skeleton(200))];
  main.append(
    h("header.head", h("h1", title), h("p", `${fullDay(now)}, ${time(now)} in ${zoneName()}`),
      may("changeKeys") && h("div.row", h("a.btn", { href: href("keys", { create: "1" }) }, icon("plus"), "Create key"))),
    notes, stats,
    h("div.cols",
      h("section.card.c8.fill", { "aria-label": "Spend per day" }, spend),
      card("Nearest to their limit", near, h("a.small", { href: href("teams") }, "Teams")),
      card("Teams, this month", teams, h("a.small", { href: href("usage", { by: "team", period: "month" }) }, "Usage")),
      card("Models, this month", models, h("a.small", { href: href("usage", { by: "model", period: "month" }) }, "Usage")),
      may("readInstance") && card("Service", service, h("a.small", { href: href("models") }, "Models & providers"))));

  const today = isoDay(now);
  const from = shiftDay(today, 1 - DAYS);
  const period = { start: from, end: shiftDay(today, 1) };
  const [perDay, month, budgets, metrics] = await Promise.all([
    usage({ ...period, group_by: "day,provider,model,status" }, signal), get("/v1/usage?group_by=team,model", signal), nearest(signal), may("readInstance") ? readMetrics(signal) : null,
  ]);
  const again = () => { main.replaceChildren(); return show({ main, signal, query: new URLSearchParams() }); };
  notes.append(...banners(month, metrics, signal, again));
  notes.hidden = !notes.children.length;
  if (metrics) drawService(service, metrics, month.total);
  if (!perDay.length) {
    const { firstSteps } = await import("./first.js");
    await firstSteps(spend, signal, () => void again());
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

const CELLS = ["Spent this month", "Spent today", "Requests today", "Refused today", "Failed today"];

/** @param {string} name @param {any} big @param {any} [sub] @param {any} [rest] @param {string} [exact] */
const cell = (name, big, sub = "", rest = false, exact = "") => h("section.stat", h("h2", name), h("p.big", { title: exact }, big), h("p.sub", sub), rest);

const card = (name, body, link) => h("section.card.c4", { "aria-label": name }, h("header", h("h2", name), link), body);

/** Rows of a report by day, with names. @param {Record<string, string>} query @param {AbortSignal} signal @returns {Promise<Cell[]>} */
async function usage(query, signal) {
  const groups = query.group_by.split(",").slice(1);
  const { data } = await list("/v1/usage", query, 20_000, signal);
  return data.map((row) => ({ day: row.day, names: Object.fromEntries(groups.map((by) => [by, nameOf(row, by)])), cost: pico(row.cost_usd), requests: row.requests, refused: row.refused_requests, failed: row.status === "failed" ? row.requests : 0 }));
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

/** One banner per degraded state, worst first. @param {any} month @param {import("../metrics.js").Metrics | null} metrics @param {AbortSignal} signal @param {() => Promise<void>} again */
function banners(month, metrics, signal, again) {
  const note = (...content) => h("div.note", { role: "group", "aria-label": "Notice" }, icon("warn"), content);
  const notes = [];
  if (metrics?.one("unready")) {
    const reason = h("span", ".");
    notes.push(note(h("p", h("b", "New requests are refused"), reason, " They go on by themselves once it is mended; ", h("code", "gatekeeper doctor"), " looks at the machine.")));
    fetch("/readyz", { signal }).then((response) => response.json()).then((state) => { reason.textContent = `: ${state.status}.`; }, () => {});
  }
  for (const { labels } of metrics?.every("degraded") ?? []) {
    const [fact, remedy, command] = DEGRADED[labels.reason] ?? [`The gateway reports ${labels.reason}`, ". See the log of the process."];
    notes.push(note(h("p", h("b", fact), remedy, command && h("code", command))));
  }
  const cooling = metrics ? deployments(metrics).filter((one) => !one.available) : [];
  if (cooling.length) notes.push(note(h("p", h("b", cooling.length === 1 ? `${cooling[0].name} is in cooldown` : `${count(cooling.length)} deployments are in cooldown`), cooling.length === 1 ? ". Its route uses the others until it answers again." : `: ${cooling.map((one) => one.name).join(", ")}. Their routes use the others until they answer again.`), h("a.btn.slim", { href: href("models") }, "Show deployments")));
  const n = month.orphans_uncorrected;
  if (n > 0) {
    notes.push(note(h("p", h("b", `${count(n)} ${n === 1 ? "request was" : "requests were"} in flight at a crash`), ` and ${n === 1 ? "is" : "are"} booked at ${n === 1 ? "its" : "their"} ceiling.`),
      h("a.btn.slim", { href: href("requests", { flag: "orphaned" }) }, "Show requests"),
      may("changeInstance") && h("button.btn.slim", { click: () => confirmed("Correct the orphans?", "Each is corrected to its estimate; the difference returns to the budgets. Corrections are recorded and cannot be taken back.", "Correct all", async () => {
        const made = await call("POST", "/v1/ledger/corrections", { orphans: true, reason: "orphans corrected to their estimates" }, signal);
        toast(`${count(made.corrected)} requests corrected, ${usd(-pico(made.amount_usd))} returned to budgets`);
        void again();
      }) }, "Correct all")));
  }
  const captured = metrics?.one("captures_on") ?? 0;
  if (captured) notes.push(h("div.note.info.capture-on", icon("info"), h("p", h("b", "Prompt capture is on"), ` for ${count(captured)} ${captured === 1 ? "team or key" : "teams and keys"}: prompts and answers are stored.`), h("a.btn.slim", { href: href("settings") }, "Settings")));
  return notes;
}

/** Latency of the month, and the state of this moment. @param {HTMLElement} host @param {import("../metrics.js").Metrics} metrics @param {any} month total of the report */
function drawService(host, metrics, month) {
  const all = deployments(metrics), cooling = all.filter((one) => !one.available);
  const measured = month.duration_histogram.reduce((sum, n) => sum + n, 0);
  const line = (name, histogram) => h("tr", h("th", { scope: "row" }, name), [50, 95, 99].map((percent) => { const ms = quantile(histogram, month.latency_bounds_ms, percent); return h("td", ms === null ? "–" : duration(ms)); }));
  /** @type {[string, any][]} */
  const rows = [
    ["Running now", count(metrics.one("requests_running") ?? 0)], ["Waiting for a budget", count(metrics.one("requests_waiting") ?? 0)],
    ["Held now", usd(pico((metrics.one("held_usd") ?? 0).toFixed(9)))],
    ["Deployments in cooldown", all.length ? h(cooling.length ? "b.lvl-bad" : "span", `${count(cooling.length)} of ${count(all.length)}`) : h("span.faint", "no routes")],
    ["Saved by the cache", month.cache_hits ? [`${usd(pico(month.saved_cost_usd))} `, h("span.faint", `in ${plural(month.cache_hits, "answer")}`)] : h("span.faint", "–")],
  ];
  host.replaceChildren(
    h("table.quantiles", h("thead", h("tr", h("th", { scope: "col" }, "Latency, this month"), ["p50", "p95", "p99"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", line("First content", month.first_content_histogram), line("Whole answer", month.duration_histogram))),
    h("dl.pairs", rows.map(([name, value]) => h("div", h("dt", name), h("dd", value)))),
    h("p.small.mute", measured ? `Latency of ${plural(measured, "call")} that ended by themselves.` : "No call has ended yet this month."));
}

/** Value below which `percent` of a histogram lie, interpolated in its bucket as the API does. @param {number[]} buckets @param {number[]} bounds upper ends; the last bucket has none @param {number} percent */
export function quantile(buckets, bounds, percent) {
  const rank = Math.max(1, Math.ceil((buckets.reduce((sum, n) => sum + n, 0) * percent) / 100));
  let below = 0;
  for (const [i, n] of buckets.entries()) {
    const from = i ? bounds[i - 1] : 0;
    if (n && below + n >= rank) return from + Math.floor(((rank - below) * ((bounds[i] ?? from) - from)) / n);
    below += n;
  }
  return null;
}

/** @param {HTMLElement} host @param {{ start: string, end: string }} period @param {Cell[]} first @param {AbortSignal} signal */
function draw(host, period, first, signal) {
  const days = Array.from({ length: DAYS }, (_, i) => shiftDay(period.start, i));
  const [legendHost, figure] = [h("div.legend"), h("figure.chart")];
  const paint = (rows, by) => {
    const names = [...new Set(rows.map((row) => row.names[by]))];
    const series = topSeries(names.map((id) => ({ id, name: id, values: days.map((day) => rows.reduce((sum, row) => (row.day === day && row.names[by] === id ? sum + row.cost : sum), 0n)) })));
    const view = stacked(figure, { label: `Spend per day by ${by}`, days, series, partial: true, dayText: dayOf, dayTitle: fullDayOf, ticks: usdTicks, text: usd });
    legend(legendHost, series, view.hide);
  };
  // one provider alone says nothing; its models do
  const initial = new Set(first.filter((row) => row.cost > 0n).map((row) => row.names.provider)).size > 1 ? "provider" : "model";
  const pick = async (by) => {
    try { paint(by in first[0].names ? first : await usage({ ...period, group_by: `day,${by},status` }, signal), by); } catch (error) { if (!signal.aborted) figure.replaceChildren(problem(error)); }
  };
  host.replaceChildren(
    h("header.row", h("h2", "Spend per day"), h("div.push", segmented("Stack by", GROUPS.map((by) => [by, by[0].toUpperCase() + by.slice(1)]), initial, pick))), legendHost, figure);
  paint(first, initial);
}

/** @param {HTMLElement} host @param {Cell[]} rows @param {any} month @param {{ budget: any }[]} budgets @param {string} today @param {string} from */
function drawStats(host, rows, month, budgets, today, from) {
  const days = Array.from({ length: DAYS }, (_, i) => shiftDay(from, i));
  const perDay = (of) => days.map((day) => rows.filter((row) => row.day === day).reduce((sum, row) => sum + of(row), 0));
  const requests = perDay((row) => row.requests), refused = perDay((row) => row.refused), failed = perDay((row) => row.failed), costs = perDay((row) => Number(row.cost) / 1e12);
  const costOn = (day) => rows.reduce((sum, row) => (row.day === day ? sum + row.cost : sum), 0n);
  const spent = pico(month.total.cost_usd), last = DAYS - 1;
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const [week, before] = [sum(costs.slice(-7)), sum(costs.slice(-14, -7))];
  host.replaceChildren(
    monthCell(spent, budgets, today),
    cell("Spent today", usd(costOn(today)), [`${usd(costOn(shiftDay(today, -1)))} yesterday`, before > 0 && h("span", { title: "cost of the last 7 days against the 7 before" }, `, week ${change(week, before)}`)], spark(costs), usdExact(costOn(today))),
    cell("Requests today", count(requests[last]), `${count(requests[last - 1])} yesterday, ${compact(sum(requests))} in ${DAYS} days`, spark(requests)),
    cell("Refused today", count(refused[last]), refused[last] ? `${percent(refused[last], requests[last] + refused[last])} of ${count(requests[last] + refused[last])} asked` : "by budgets, limits and lists", spark(refused)),
    cell("Failed today", count(failed[last]), sum(requests) ? `${percent(sum(failed), sum(requests))} of requests in ${DAYS} days` : "by a provider", spark(failed)));
}

/** Spend of the month against the budgets of the organizations, projected to its end. @param {bigint} spent @param {{ budget: any }[]} budgets @param {string} today */
function monthCell(spent, budgets, today) {
  const first = `${today.slice(0, 8)}01`;
  const next = shiftDay(shiftDay(first, 31), 0).slice(0, 8) + "01";
  const passed = daysBetween(first, today) + 1, all = daysBetween(first, next);
  const projected = (spent * BigInt(all)) / BigInt(passed);
  const monthly = budgets.map(({ budget }) => budget).filter((one) => one.period === "monthly" && one.owner_kind === "organization" && !one.model);
  if (!monthly.length) {
    const teamSum = budgets.map(({ budget }) => budget).filter((one) => one.period === "monthly" && one.owner_kind === "team" && !one.model).reduce((sum, one) => sum + budgetOf(one).limit, 0n);
    return h("section.stat", h("h2", "Spent this month"), h("p.big", { title: usdExact(spent) }, usd(spent)),
      h("p.sub", "Projected ", h("b", usd(projected)), ` by ${dayOf(shiftDay(next, -1))} at the pace of its ${passed} days`),
      h("p.sub.push-down", teamSum > 0n ? `Monthly budgets of the teams: ${usdLimit(teamSum)} together.` : "Neither an organization nor a team has a monthly budget."));
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

