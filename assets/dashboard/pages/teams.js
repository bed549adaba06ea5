// Organizations and teams: members and roles, allow-lists, budgets.

import { may } from "../access.js";
import { call, list } from "../api.js";
import { h, icon } from "../dom.js";
import { count, plural } from "../format.js";
import { budgetRow, confirmed, empty, field, fieldError, iconButton, modal, problem, searchBox, select, skeleton, toast } from "../parts.js";
import { href, remember } from "../router.js";
import { tableTools } from "../table.js";

export const title = "Teams";

const ROLES = /** @type {[string, string][]} */ ([["admin", "admin"], ["member", "member"], ["viewer", "viewer"]]);
const PERIODS = /** @type {[string, string][]} */ ([["monthly", "per month"], ["weekly", "per week"], ["daily", "per day"], ["total", "in total"]]);

/** @param {import("../router.js").Context} context */
export async function show({ main, query, signal }) {
  let [text, chosen] = [query.get("q") ?? "", query.get("team") ?? ""];
  let organizations = /** @type {any[]} */ ([]);
  let teams = /** @type {any[]} */ ([]);
  const [summary, tools, filters, host] = [h("p"), h("div.row"), h("search.filters"), h("div.scroll", skeleton(264))];
  const split = h("div.split.solo", h("section.card.flush", { "aria-label": "Teams" }, host));
  main.append(h("header.head", h("h1", title), summary, tools), filters, split);

  async function read() {
    const [orgs, all] = await Promise.all([may("readOrganizations") ? list("/v1/organizations", { limit: 200 }, 1000, signal) : { data: [] }, list("/v1/teams", { limit: 200 }, 2000, signal)]);
    [organizations, teams] = [orgs.data.length ? orgs.data : bare(all.data), all.data];
    draw();
    await panel();
  }

  function draw() {
    remember({ q: text, team: chosen });
    summary.textContent = `${plural(teams.length, "team")} in ${plural(organizations.length, "organization")}`;
    const found = teams.filter((team) => team.name.toLowerCase().includes(text.toLowerCase()));
    if (!found.length) {
      host.replaceChildren(teams.length ? empty("No team matches", `Nothing is called “${text}” here.`) : empty("No teams yet", "Teams share budgets and allow-lists.", ...(may("changeTeams") ? [h("button.btn.main", { click: create }, "Create a team")] : [])));
      return;
    }
    const groups = organizations.map((organization) => /** @type {const} */ ([organization, found.filter((team) => team.organization === organization.id)])).filter(([, rows]) => rows.length);
    host.replaceChildren(h("table.tbl",
      h("thead", h("tr", ["Team", "Budget", "Models"].map((name) => h("th", { scope: "col" }, name)), h("th.num.desk", { scope: "col" }, "Limits"))),
      h("tbody", groups.flatMap(([organization, rows]) => [
        h("tr.group", h("th", { scope: "row" }, organization.name), h("td", organization.budgets?.length ? h("div.mid", organization.budgets.map((budget) => budgetRow(budget))) : h("span.faint", organization.budgets ? "no budget" : "")), h("td.mute", organization.budgets ? words(organization.models, "all") : ""), h("td.num.desk", "")),
        ...rows.map(line)]))));
  }

  /** @param {any} team */
  const line = (team) => h("tr.pick.in", { "aria-selected": String(team.id === chosen), click: () => choose(team.id) },
    h("th", { scope: "row" }, h("button.link.name", team.name)),
    h("td", team.budgets.length ? h("div.mid", team.budgets.map((budget) => budgetRow(budget))) : h("span.faint", "no budget of its own")),
    h("td.mute", words(team.models, "all of the organization")),
    h("td.num.mute.desk", [team.rpm && `${count(team.rpm)} rpm`, team.tpm && `${count(team.tpm)} tpm`].filter(Boolean).join(", ") || "–"));

  /** @param {string} id */
  function choose(id) {
    chosen = id;
    draw();
    void panel();
  }

  async function panel() {
    split.querySelector(".panel")?.remove();
    const team = teams.find((one) => one.id === chosen);
    split.classList.toggle("solo", !team);
    if (!team) return;
    const members = h("div", skeleton(80));
    split.append(h("aside.panel", { "aria-label": `Team ${team.name}`, tabindex: "-1" },
      h("header", h("div", h("h2", team.name), h("code.small.mute", team.id)), iconButton("Close", "close", () => choose(""), ".bare.push")),
      h("section", h("h3", "Budgets"), team.budgets.length ? h("div.stack", team.budgets.map((budget) => budgetRow(budget))) : h("p.small.mute", "None of its own; the organization's count."), may("changeTeams") && h("p.row", h("button.btn.slim", { click: () => change(team) }, "Budget and models …"))),
      may("readUsers") && h("section", h("h3", "Members"), members),
      h("section.row", h("a.btn.slim", { href: href("keys", { q: team.name }) }, "Keys"), h("a.btn.slim", { href: href("usage", { by: "key", team: team.name }) }, "Usage"), h("a.btn.slim", { href: href("requests", { team: team.id }) }, "Requests"))));
    if (may("readUsers")) await drawMembers(team, members);
  }

  /** @param {any} team @param {HTMLElement} place */
  async function drawMembers(team, place) {
    try {
      const { data } = await list(`/v1/teams/${team.id}/members`, {}, 1000, signal);
      const rows = data.map((member) => h("li", h("span.name", member.name ?? member.email), h("span.mute", member.email), h("span.tag", member.role),
        may("changeMembers") && h("button.btn.slim.bare.push", { click: () => confirmed(`Remove ${member.name}?`, `${member.name} loses the role in ${team.name}; personal keys of the team end with it.`, "Remove", async () => { await call("DELETE", `/v1/teams/${team.id}/members/${member.user ?? member.id}`, undefined, signal); await drawMembers(team, place); }) }, "Remove")));
      place.replaceChildren(rows.length ? h("ul.list", rows) : h("p.small.mute", "No members; keys without a person belong to the team."), may("changeMembers") ? h("p.row", h("button.btn.slim", { click: () => addMember(team, place) }, icon("plus"), "Add a member")) : "");
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(problem(error));
    }
  }

  /** @param {any} team @param {HTMLElement} place */
  function addMember(team, place) {
    const email = h("input.input", { type: "email", autocomplete: "off" }), role = select(ROLES, "member");
    const form = h("form", { novalidate: true }, h("div.body", field("E-mail", email, "A person without an account is created; they sign in by the link that you send them."), field("Role", role)),
      h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Add")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const users = await list("/v1/users", { limit: 200 }, 5000, signal);
        const known = users.data.find((user) => user.email.toLowerCase() === email.value.trim().toLowerCase());
        const user = known ?? await call("POST", "/v1/users", { email: email.value.trim(), name: email.value.split("@")[0] }, signal);
        await call("POST", `/v1/teams/${team.id}/members`, { user: user.id, role: role.value }, signal);
        dialog.close();
        await drawMembers(team, place);
        toast(`${email.value} is ${role.value} of ${team.name}`);
      } catch (error) { fieldError(form, error, { email, user: email, role }); }
    });
    const dialog = modal(`Add a member to ${team.name}`, form);
    email.focus();
  }

  /** @param {any} team */
  function change(team) {
    const own = team.budgets[0];
    const limit = h("input.input", { inputmode: "decimal", value: own?.limit ?? "", placeholder: "none" }), period = select(PERIODS, own?.period ?? "monthly"), action = select([["block", "block"], ["warn", "warn only"]], own?.action ?? "block");
    const models = h("input.input", { value: (team.models ?? []).join(", "), placeholder: "all of the organization" });
    const form = h("form", { novalidate: true }, h("div.body",
      h("div.grid3", field("Budget in USD", limit), field("Window", period), field("At the limit", action)),
      field("Models", models, "Names and patterns, separated by commas. Empty means all.")),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Save")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const rest = team.budgets.slice(1).map((b) => ({ id: b.id, limit: b.limit, period: b.period, action: b.action, ...(b.model ? { model: b.model } : {}) }));
      const budgets = limit.value.trim() ? [{ ...(own ? { id: own.id } : {}), limit: limit.value.trim().replace("$", ""), period: period.value, action: action.value }, ...rest] : rest;
      const allowed = models.value.split(",").map((one) => one.trim()).filter(Boolean);
      try {
        await call("PATCH", `/v1/teams/${team.id}`, { budgets, models: allowed.length ? allowed : null }, signal);
        dialog.close();
        await read();
        toast(`Saved; ${team.name} obeys from the next request on`);
      } catch (error) { fieldError(form, error, { budgets: limit, models }); }
    });
    const dialog = modal(`Budget and models of ${team.name}`, form);
  }

  function create() {
    const name = h("input.input", { autocomplete: "off" });
    const organization = select(organizations.map((one) => /** @type {[string, string]} */ ([one.id, one.name])));
    const limit = h("input.input", { inputmode: "decimal", placeholder: "none" }), period = select(PERIODS, "monthly");
    const form = h("form", { novalidate: true }, h("div.body", field("Name", name), field("Organization", organization), h("div.grid2", field("Budget in USD", limit), field("Window", period))),
      h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Create team")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const made = await call("POST", "/v1/teams", { name: name.value.trim(), organization: organization.value, ...(limit.value.trim() ? { budgets: [{ limit: limit.value.trim().replace("$", ""), period: period.value, action: "block" }] } : {}) }, signal);
        dialog.close();
        chosen = made.id;
        await read();
      } catch (error) { fieldError(form, error, { name, organization, budgets: limit }); }
    });
    const dialog = modal("Create a team", form);
    name.focus();
  }

  filters.append(searchBox("Team", (value) => { text = value; draw(); }));
  const box = filters.querySelector("input");
  if (box) box.value = text;
  tools.append(...tableTools("teams", host));
  if (may("changeTeams")) tools.append(h("button.btn.main", { click: create }, icon("plus"), "Create team"));
  await read();
}

/** Organizations of teams, for a person who may not read organizations. @param {any[]} teams */
const bare = (teams) => [...new Set(teams.map((team) => team.organization))].map((id) => ({ id, name: id }));

/** @param {string[] | null | undefined} models @param {string} all */
const words = (models, all) => (models === null || models === undefined ? all : models.length ? models.join(", ") : "none");
