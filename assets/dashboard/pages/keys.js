// Keys: what each may spend and whether it is still in use; creating or rotating one shows its secret once.

import { may } from "../access.js";
import { call, get, list, url } from "../api.js";
import { h, icon, segmented } from "../dom.js";
import { count, instant, plural, since, until } from "../format.js";
import { budgetRow, confirmed, copy, dropDown, empty, field, fieldError, iconButton, modal, problem, searchBox, select, skeleton, toast, withFirst } from "../parts.js";
import { remember } from "../router.js";
import { SNIPPETS } from "../snippets.js";
import { tableTools } from "../table.js";

export const title = "Keys";

const PAGE = 200;
/** Keys per call when all are searched, and most rows drawn at once. */
const SEARCH_PAGE = 1000;
const DAY_MS = 86_400_000;
const TABS = /** @type {[string, string][]} */ ([["", "All"], ["expiring", "Expiring"], ["unused", "Unused for 30 days"], ["disabled", "Disabled"]]);

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  let [tab, text] = [query.get("tab") ?? "", query.get("q") ?? ""];
  let keys = /** @type {any[]} */ ([]);
  let teams = /** @type {Map<string, any>} */ (new Map());
  let next = "";
  let searching = false;
  let isRead = false;
  let drawn = PAGE;
  const picked = new Set();
  const [summary, tools, filters, host, more] = [h("p"), h("div.row"), h("search.filters"), h("div.scroll", skeleton(264)), h("div.more", { hidden: true })];
  const columns = tableTools("keys", host);
  main.append(h("header.head", h("h1", title), summary, tools), filters, h("section.card.flush", { "aria-label": "Keys" }, host, more));

  async function read() {
    const [page, all] = await Promise.all([get(`/v1/keys?limit=${PAGE}`, signal), list("/v1/teams", { limit: PAGE }, 2000, signal)]);
    teams = new Map(all.data.map((team) => [team.id, team]));
    [keys, next] = [page.data, page.next ?? ""];
    isRead = true;
    draw();
  }

  async function older() {
    const page = await get(`/v1/keys?limit=${PAGE}&after=${encodeURIComponent(next)}`, signal);
    keys.push(...page.data);
    next = page.next ?? "";
    draw();
  }

  /** Reads the keys that are not read yet; a filter must not miss one. */
  async function readAll() {
    if (searching) return;
    searching = true;
    while (next && (text || tab) && !signal.aborted) {
      const page = await get(url("/v1/keys", { limit: SEARCH_PAGE, after: next }), signal);
      keys.push(...page.data);
      next = page.next ?? "";
      draw();
    }
    searching = false;
  }

  const filtered = () => {
    draw();
    readAll().catch((error) => { searching = false; if (!signal.aborted) host.prepend(problem(error)); });
  };

  const teamOf = (key) => teams.get(key.team)?.name ?? key.team;
  const lastUse = (key) => key.last_used_at ?? key.created_at;
  /** State in words and its tone. @param {any} key @returns {[string, string]} */
  function state(key) {
    const now = Date.now();
    if (key.disabled) return ["Disabled", ""];
    if (key.expires_at && +new Date(key.expires_at) <= now) return ["Expired", "bad"];
    if (key.previous_until && +new Date(key.previous_until) > now) return [`Rotating, ${until(new Date(key.previous_until), new Date())} left`, "info"];
    if (key.expires_at && +new Date(key.expires_at) - now < 14 * DAY_MS) return [`Expires in ${until(new Date(key.expires_at), new Date())}`, "warn"];
    return ["Active", "ok"];
  }
  /** @param {any} key */
  function inTab(key) {
    if (tab === "disabled") return key.disabled;
    if (tab === "expiring") return state(key)[0].startsWith("Expires");
    if (tab === "unused") return !key.disabled && Date.now() - +new Date(lastUse(key)) > 30 * DAY_MS;
    return true;
  }

  function draw() {
    drawTools();
    remember({ tab, q: text });
    const found = keys.filter((key) => inTab(key) && `${key.name} ${teamOf(key)} ${key.id}`.toLowerCase().includes(text.toLowerCase()));
    more.hidden = !next && found.length <= drawn;
    more.replaceChildren(h("button.btn", { click: () => { drawn += PAGE; if (next && found.length < drawn) void older(); else draw(); } }, "Show more keys"), h("span.small.mute", `${count(Math.min(found.length, drawn))} shown, ${count(keys.length)} read${next ? " so far" : ""}`));
    if (!found.length) {
      const why = text ? `Nothing is called “${text}” here.` : "No key is in this state.";
      host.replaceChildren(keys.length ? empty(next ? "Searching …" : "No key matches", next ? `${count(keys.length)} keys read so far.` : why) : empty("No keys yet", "A key lets one application call models, within its own budget.", ...(may("changeKeys") ? [h("button.btn.main", { click: create }, "Create a key")] : [])));
      return;
    }
    host.replaceChildren(h("table.tbl.keys",
      h("thead", h("tr", h("th.check", { scope: "col" }, h("span.sr", "Choose")), ["Key", "Budget", "State", "Models", "Last used", "Expires"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span.sr", "Actions")))),
      h("tbody", found.slice(0, drawn).map(line))));
  }

  /** @param {any} key */
  const line = (key) => {
    const [word, tone] = state(key);
    return h("tr", { "aria-selected": String(picked.has(key.id)) },
      h("td.check", may("changeKeys") && h("input", { type: "checkbox", "aria-label": `Choose ${key.name}`, checked: picked.has(key.id), on: { change: () => { if (!picked.delete(key.id)) picked.add(key.id); draw(); } } })),
      h("th", { scope: "row" }, h("span.name", key.name), h("div.small.faint", `${teamOf(key)}, …${key.hint}`, key.parent && `, child of ${keys.find((one) => one.id === key.parent)?.name ?? key.parent}`, key.imported && ", imported")),
      h("td", key.budgets.length ? h("div.mid", key.budgets.map((budget) => budgetRow(budget))) : h("span.faint", "team budget only")),
      h("td", h(`span.tag${tone && `.${tone}`}`, word)),
      h("td.mute", key.models?.length ? key.models.join(", ") : "all of the team"),
      h("td.mute", key.last_used_at ? since(new Date(key.last_used_at)) : "never"),
      h("td.mute", key.expires_at ? instant(new Date(key.expires_at)) : "never"),
      h("td.num", may("changeKeys") ? actions(key) : ""));
  };

  /** @param {any} key */
  function actions(key) {
    const menu = h("div.pop", { popover: "auto", id: `act-${key.id}` },
      h("button.item", { click: () => { menu.hidePopover(); rotate(key); } }, "Rotate …"),
      h("button.item", { click: () => { menu.hidePopover(); change(key); } }, "Budget and limits …"),
      key.disabled ? h("button.item", { click: () => { menu.hidePopover(); void enable(key); } }, "Enable") : h("button.item", { click: () => { menu.hidePopover(); disable([key]); } }, "Disable …"));
    const button = h("button.btn.icon-btn.bare.slim", { "aria-label": `Actions for ${key.name}`, popovertarget: `act-${key.id}` }, icon("dots"));
    dropDown(button, menu);
    return [button, menu];
  }

  function drawTools() {
    summary.textContent = keys.length ? `${plural(keys.length, "key", next ? "+" : "")} in ${plural(teams.size, "team")}` : isRead ? "" : "reading the keys …";
    const chosen = keys.filter((key) => picked.has(key.id));
    tools.replaceChildren(...(chosen.length ? [h("button.btn.danger", { click: () => disable(chosen) }, `Disable ${chosen.length}`)] : []), ...columns, ...(may("changeKeys") ? [h("button.btn.main", { click: create }, icon("plus"), "Create key")] : []));
  }

  /** A destructive action names what it breaks. @param {any[]} some */
  function disable(some) {
    const names = some.map((key) => key.name).join(", ");
    confirmed(some.length === 1 ? "Disable this key?" : `Disable ${some.length} keys?`, h("span", h("b", names), ": every request gets 401 from the next one on; requests in flight finish."), "Disable", async () => {
      for (const key of some) Object.assign(key, await call("PATCH", `/v1/keys/${key.id}`, { disabled: true }, signal));
      picked.clear();
      draw();
      toast(`Disabled ${names}`, ["Undo", () => some.forEach((key) => void enable(key))]);
    });
  }

  /** @param {any} key */
  async function enable(key) {
    try {
      Object.assign(key, await call("PATCH", `/v1/keys/${key.id}`, { disabled: false }, signal));
      draw();
    } catch (error) {
      host.prepend(problem(error));
    }
  }

  /** @param {any} key */
  function rotate(key) {
    const grace = select([["24h", "for 24 hours"], ["1h", "for 1 hour"], ["7d", "for 7 days"], ["0h", "not at all"]], "24h");
    const failure = h("div");
    const dialog = modal(`Rotate ${key.name}`, h("form", { on: { submit: async (event) => {
      event.preventDefault();
      try {
        const made = await call("POST", `/v1/keys/${key.id}/rotate`, { grace: grace.value }, signal);
        dialog.close();
        await secret(key.name, made.key, key.models);
        await read();
      } catch (error) { failure.replaceChildren(problem(error)); }
    } } }, h("div.body", h("p", "A new secret is made and shown once. Limits, budgets and history stay."), field("The old secret works", grace), failure),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Rotate"))));
  }

  /** @param {any} key */
  function change(key) {
    const own = key.budgets[0];
    const limit = h("input.input", { inputmode: "decimal", value: own?.limit ?? "", placeholder: "no budget of its own" });
    const period = select([["monthly", "per month"], ["weekly", "per week"], ["daily", "per day"], ["total", "in total"]], own?.period ?? "monthly");
    const action = select([["block", "block"], ["warn", "warn only"]], own?.action ?? "block");
    const rpm = h("input.input", { inputmode: "numeric", value: key.rpm ?? "" }), tpm = h("input.input", { inputmode: "numeric", value: key.tpm ?? "" });
    const form = h("form", { novalidate: true }, h("div.body",
      h("div.grid3", field("Budget in USD", limit), field("Window", period), field("At the limit", action)),
      h("div.grid2", field("Requests per minute", rpm, "Empty: no limit of its own."), field("Tokens per minute", tpm))),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Save")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const number = (input) => (input.value.trim() ? Number(input.value) : null);
      const budgets = withFirst(key.budgets, limit.value, period.value, action.value);
      try {
        Object.assign(key, await call("PATCH", `/v1/keys/${key.id}`, { budgets, rpm: number(rpm), tpm: number(tpm) }, signal));
        dialog.close();
        draw();
        toast(`Saved; ${key.name} obeys from the next request on`);
      } catch (error) { fieldError(form, error, { budgets: limit, budget_limit: limit, rpm, tpm }); }
    });
    const dialog = modal(`Budget and limits of ${key.name}`, form);
  }

  function create() {
    const names = [...teams.values()].map((team) => /** @type {[string, string]} */ ([team.id, team.name]));
    const name = h("input.input", { autocomplete: "off" });
    const team = names.length ? select(names, names[0][0]) : h("input.input", { placeholder: "a new team" });
    const expires = select([["", "Never"], ["7d", "In 7 days"], ["30d", "In 30 days"], ["90d", "In 90 days"]]);
    const models = h("input.input", { placeholder: "claude-*, gpt-5-mini" });
    const limit = h("input.input", { inputmode: "decimal", placeholder: "none" });
    const period = select([["monthly", "per month"], ["weekly", "per week"], ["daily", "per day"], ["total", "in total"]], "monthly");
    const action = select([["block", "block"], ["warn", "warn only"]]);
    const form = h("form", { novalidate: true }, h("div.body",
      field("Name", name), h("div.grid2", field("Team", team), field("Expires", expires)),
      field("Models", models, "Names and patterns, separated by commas. Empty means all of the team."),
      h("div.grid3", field("Budget in USD", limit), field("Window", period), field("At the limit", action)),
      h("p.hint", "Block refuses what could exceed the limit before it is sent.")),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Create key")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const allowed = models.value.split(",").map((one) => one.trim()).filter(Boolean);
      const body = { name: name.value.trim(), team: team.value.trim(), ...(allowed.length ? { models: allowed } : {}), ...(expires.value ? { expires: expires.value } : {}),
        ...(limit.value.trim() ? { budgets: [{ limit: limit.value.trim().replace("$", ""), period: period.value, action: action.value }] } : {}) };
      try {
        if (!body.name) throw new Error("A key needs a name.");
        if (!names.length) body.team = (await call("POST", "/v1/teams", { name: body.team }, signal)).id;
        const made = await call("POST", "/v1/keys", body, signal);
        dialog.close();
        await secret(made.name, made.key, allowed);
        await read();
      } catch (error) { fieldError(form, error, { name, team, models, budgets: limit, budget_limit: limit, expires }); }
    });
    const dialog = modal("Create a key", form);
    name.focus();
  }

  drawTools();
  filters.append(segmented("State", TABS, tab, (id) => { tab = id; drawn = PAGE; filtered(); }), searchBox("Name or team", (value) => { text = value; drawn = PAGE; filtered(); }));
  const box = filters.querySelector("input");
  if (box) box.value = text;
  await read();
  filtered();
  if (query.has("create") && may("changeKeys")) create();
}

/** A model for the snippets: the first that the key names, else the first with a price. @param {string[] | null | undefined} allowed */
async function example(allowed) {
  const named = allowed?.find((one) => !one.includes("*"));
  const pattern = allowed?.[0]?.replaceAll("*", "") ?? "";
  const { data } = named ? { data: [] } : await get(url("/v1/prices", { model: pattern, limit: 1 })).catch(() => ({ data: [] }));
  return named ?? data[0]?.name ?? "gpt-5-mini";
}

/** Shown once: the dialog closes only after the person says that the secret is stored. @param {string} name @param {string} key @param {string[] | null} [allowed] */
async function secret(name, key, allowed) {
  const model = await example(allowed);
  const code = h("code.small", key), pre = h("pre", { tabindex: "0", role: "region", "aria-label": "Snippet" });
  const draw = (tool) => { pre.textContent = SNIPPETS[tool](key, model); };
  const done = h("button.btn.main", { disabled: true, click: () => dialog.close() }, "Done");
  const dialog = modal("Copy the key now", h("div.body",
    h("p", h("b", name), " works at once. Only its hash is stored, so the key cannot be shown again."),
    h("div.secret", code, h("button.btn.slim", { click: () => void copy(key, code) }, icon("copy"), "Copy")),
    h("div.field", segmented("Client", Object.keys(SNIPPETS).map((tool) => [tool, tool]), "OpenAI SDK", draw), h("div.snippet", pre, iconButton("Copy snippet", "copy", () => void copy(pre.textContent ?? "", pre), ".slim"))),
    h("label.row", h("input", { type: "checkbox", on: { change: (event) => { done.disabled = !event.target.checked; } } }), "I have stored the key")),
  h("footer", done));
  dialog.addEventListener("cancel", (event) => { if (done.disabled) event.preventDefault(); });
  dialog.querySelector("header .btn")?.remove();
  draw("OpenAI SDK");
}
