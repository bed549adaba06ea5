// Routes of Models & providers: targets with weight and order, and how each deployment does now.

import { may } from "../access.js";
import { get, list } from "../api.js";
import { h } from "../dom.js";
import { count, duration, percent } from "../format.js";
import { failedCell } from "./recent.js";

/** Routes whose deployments are asked for their health; the others show targets only. */
const ASKED_MAX = 50;
const COLUMNS = 8;

/** @param {HTMLElement} host @param {Promise<import("./recent.js").Recent>} recent @param {AbortSignal} signal */
export async function drawRoutes(host, recent, signal) {
  if (!may("readInstance")) return;
  const [{ data }, calls] = await Promise.all([list("/v1/routes", { limit: 1000 }, 1000, signal), recent]);
  host.hidden = !data.length;
  const health = await Promise.all(data.slice(0, ASKED_MAX).map((route) => (route.targets ? get(`/v1/routes/${encodeURIComponent(route.name)}/health`, signal) : null)));
  host.replaceChildren(h("div.scroll", h("table.tbl",
    h("thead", h("tr", h("th", { scope: "col" }, "Route"), h("th", { scope: "col" }, "State"), ["Weight", "Running", "First content", "In the last minute", `Calls since ${calls.since}`, "Failed"].map((name) => h("th.num", { scope: "col" }, name)))),
    h("tbody", data.flatMap((route, i) => [head(route), ...targets(route, health[i]?.deployments ?? [], calls)])))));
}

/** @param {any} route */
const head = (route) => h("tr.group", h("th", { scope: "rowgroup", colspan: COLUMNS }, route.name,
  h("span.small.mute.gap", [`${(route.strategy ?? "").replaceAll("_", " ")}`, route.fallbacks?.length && `then ${route.fallbacks.join(", ")}`].filter(Boolean).join(", ")),
  route.fault && h("span.tag.bad.gap", { title: route.fault }, "not in force")));

/** A line per deployment; a target without one has a line with its weight. @param {any} route @param {any[]} deployments @param {import("./recent.js").Recent} calls */
function targets(route, deployments, calls) {
  const all = route.targets ?? [];
  return all.flatMap((target) => {
    const mates = all.filter((one) => one.order === target.order).reduce((sum, one) => sum + one.weight, 0);
    const found = deployments.filter((one) => one.target === target.model);
    return (found.length ? found : [null]).map((one) => line(target, target.weight / mates, one, calls));
  });
}

/** @param {any} target @param {number} share of the weights of its order @param {any} one deployment, or null @param {import("./recent.js").Recent} calls */
function line(target, share, one, calls) {
  const minute = one && [one.rpm && `${count(one.requests)} of ${count(one.rpm)} requests`, one.tpm && `${count(one.tokens)} of ${count(one.tpm)} tokens`].filter(Boolean).join(", ");
  const name = one?.deployment ?? target.model;
  return h("tr.in", h("th", { scope: "row" }, h("span.name", name), one?.key && h("span.faint", ` ${one.key}`), target.order > 0 && h("span.tag.gap", { title: "tried after the targets of a lower order" }, `order ${target.order}`)),
    h("td", one ? state(one) : "–"), h("td.num", { title: percent(share), "data-csv": target.weight }, count(target.weight), h("span.faint", ` ${percent(share)}`)),
    h("td.num", one ? count(one.in_flight) : "–"), h("td.num", one?.first_content_ms === null || !one ? "–" : duration(one.first_content_ms)),
    h("td.num.mute", minute || "no limit"), h("td.num", count(calls.of(name).all)), failedCell(calls.of(name)));
}

/** @param {any} one */
function state(one) {
  const past = one.cooldowns > 0 && h("span.small.faint.gap", { title: "since the start of the process" }, `${count(one.cooldowns)} ${one.cooldowns === 1 ? "cooldown" : "cooldowns"}`);
  if (one.state === "open") return [h("span.tag.bad", `in cooldown, ${duration(one.cooldown_ms)}`), past];
  return [h(`span.tag.${one.state === "half_open" ? "warn" : "ok"}`, one.state === "half_open" ? "probing" : "available"), past];
}
