// Me: what a virtual key may call, what is left, when it resets, its last requests, and client configuration.

import { get } from "../api.js";
import { h, segmented } from "../dom.js";
import { compact, count, duration, instant, pico } from "../format.js";
import { budgetRow, copy, empty, iconButton, money, places, problem, skeleton } from "../parts.js";
import { SNIPPETS } from "../snippets.js";

export const title = "Me";

/** @param {import("../router.js").Context} context */
export async function show({ main, signal }) {
  const [left, models, client, last] = [h("div.stack", skeleton(120)), h("div", skeleton(120)), h("div", skeleton(200)), h("div", skeleton(200))];
  const me = await get("/v1/me", signal);
  main.append(
    h("header.head", h("h1", me.key.name), h("p", `Key …${me.key.hint} of team ${me.team_name}, ${me.organization_name}`)),
    h("div.cols",
      h("section.card.c6", { "aria-label": "What is left" }, h("header", h("h2", "What is left")), left),
      h("section.card.c6", { "aria-label": "Models" }, h("header", h("h2", "What I may call")), models)),
    h("section.card", { "aria-label": "Configuration" }, h("header", h("h2", "Configure a client")), client),
    h("section.card.flush", { "aria-label": "My last requests" }, h("div.scroll", last)));
  drawBudgets(left, me);
  const configure = async () => client.replaceChildren(configuration(await drawModels(models, signal) ?? "gpt-5-mini"));
  await Promise.all([configure(), drawRequests(last, signal)]);
}

/** @param {HTMLElement} place @param {any} me */
function drawBudgets(place, me) {
  const own = me.key.budgets.map((budget) => budgetRow(budget, "this key"));
  const above = (me.above ?? []).flatMap((owner) => (owner.budgets ?? []).map((budget) => budgetRow(budget, owner.name ?? owner.owner)));
  const rows = [...own, ...above];
  const limits = [me.key.rpm && `${count(me.key.rpm)} requests per minute`, me.key.tpm && `${count(me.key.tpm)} tokens per minute`, me.key.max_parallel && `${count(me.key.max_parallel)} at once`].filter(Boolean);
  const who = (me.administrators ?? []).map((one) => one.email ?? one.name).join(", ");
  place.replaceChildren(
    rows.length ? h("div.stack", rows) : empty("No budget", "Nothing limits what this key may spend."),
    limits.length ? h("p.small.mute", limits.join(", ")) : "",
    h("p.small.mute", me.key.expires_at ? `The key ends ${instant(new Date(me.key.expires_at))}. ` : "The key has no end. ", who && `More budget or models: ask ${who}.`));
}

/** @param {HTMLElement} place @param {AbortSignal} signal @returns {Promise<string | undefined>} the first model */
async function drawModels(place, signal) {
  try {
    const { data } = await get("/v1/models", signal);
    place.replaceChildren(data.length ? h("ul.list", data.slice(0, 50).map((model) => h("li", h("code", model.id)))) : empty("No model", "The allow-lists of the key and its team have no model in common."));
    if (data.length > 50) place.append(h("p.small.mute", `and ${count(data.length - 50)} more in GET /v1/models`));
    return data[0]?.id;
  } catch (error) {
    if (!signal.aborted) place.replaceChildren(problem(error));
    return undefined;
  }
}

/** @param {string} model */
function configuration(model) {
  const pre = h("pre", { tabindex: "0", role: "region", "aria-label": "Snippet" });
  const draw = (tool) => { pre.textContent = SNIPPETS[tool]("YOUR_KEY", model); };
  draw("OpenAI SDK");
  return h("div.stack", segmented("Client", Object.keys(SNIPPETS).map((tool) => [tool, tool]), "OpenAI SDK", draw), h("div.snippet", pre, iconButton("Copy snippet", "copy", () => void copy(pre.textContent ?? "", pre), ".slim")));
}

/** @param {HTMLElement} place @param {AbortSignal} signal */
async function drawRequests(place, signal) {
  try {
    const { data } = await get("/v1/me/requests?limit=20", signal);
    if (!data.length) {
      place.replaceChildren(empty("No requests yet", "The first request of this key appears here within a second."));
      return;
    }
    place.replaceChildren(h("table.tbl", { vars: { frac: places(data.map((row) => pico(row.net_cost_usd))) } },
      h("caption", "My last requests"),
      h("thead", h("tr", h("th", { scope: "col" }, "Time"), h("th", { scope: "col" }, "Model"), h("th", { scope: "col" }, "Status"), h("th.num.desk", { scope: "col" }, "Tokens"), h("th.num.desk", { scope: "col" }, "Total"), h("th.num", { scope: "col" }, "Cost"))),
      h("tbody", data.map((row) => h("tr",
        h("td.mute", instant(new Date(row.at))), h("td.name", row.model_asked ?? "–"), h("td", h(`span.tag.${row.status === "ok" ? "ok" : "warn"}`, row.code ?? (row.status === "ok" ? "served" : row.status.replaceAll("_", " ")))),
        h("td.num.desk", `${compact(row.usage?.input_tokens ?? 0)} → ${compact(row.usage?.output_tokens ?? 0)}`), h("td.num.desk", duration(row.total_ms)), h("td.num", money(pico(row.net_cost_usd))))))));
  } catch (error) {
    if (!signal.aborted) place.replaceChildren(problem(error));
  }
}
