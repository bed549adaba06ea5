// Settings: people and their sessions, stored content, retention, alerts, backup, version and licence.

import { may } from "../access.js";
import { call, get, list } from "../api.js";
import { drawStored } from "../captures.js";
import { h, icon } from "../dom.js";
import { count, instant, since } from "../format.js";
import { instanceCards, known } from "./instance.js";
import { preferenceCards } from "./preferences.js";
import { confirmed, copy, empty, field, fieldError, modal, problem, select, skeleton, toast } from "../parts.js";

export const title = "Settings";

const ROLES = /** @type {[string, string][]} */ ([["owner", "owner"], ["auditor", "auditor"], ["viewer", "viewer"]]);

/** @param {import("../router.js").Context} context */
export async function show({ main, signal }) {
  const actor = await get("/v1/session", signal);
  const [people, sessions, content, release, upkeep, kept, told] = [87, 40, 511, 196, 132, 232, 160].map((height) => h("div.low", skeleton(height)));
  main.append(h("header.head", h("h1", title)),
    may("readUsers") ? h("section.card", { "aria-label": "People" }, h("header", h("h2", "People"), may("changeInstance") && h("button.btn.slim", { click: invite }, icon("plus"), "Invite")), people) : "",
    h("div.halves",
      h("div", card("Stored content", content), card("Sessions", sessions), actor.session && card("Password", own())),
      h("div", may("readInstance") && [card("Backup, certificate, prices", upkeep), card("Retention", kept), card("Alerts", told)], card("Release", release))));

  async function drawPeople() {
    const { data, more } = await list("/v1/users", { limit: 200 }, 1000, signal);
    if (!data.length) {
      people.replaceChildren(empty("Nobody yet", "People sign in with an e-mail address and a password; keys work without them."));
      return;
    }
    people.replaceChildren(h("div.scroll", h("table.tbl",
      h("thead", h("tr", ["Person", "Roles", "State"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span.sr", "Actions")))),
      h("tbody", data.map((user) => h("tr", h("th", { scope: "row" }, h("span.name", user.name), h("div.small.faint", user.email)),
        h("td.mute", user.memberships.map((one) => (one.scope === "instance" ? one.role : `${one.team ?? one.organization} ${one.role}`)).join(", ") || "none"),
        h("td", h(`span.tag${user.disabled ? "" : ".ok"}`, user.disabled ? "Disabled" : "Active")),
        h("td.num", may("changeInstance") && [h("button.btn.slim", { "aria-label": `New link for ${user.name}`, click: () => void link(user) }, "New link"), " ",
          h("button.btn.slim", { "aria-label": `${user.disabled ? "Enable" : "Disable"} ${user.name}`, click: () => toggle(user) }, user.disabled ? "Enable" : "Disable …")])))))), ...(more ? [h("p.more.small.mute", `${count(data.length)} shown`)] : []));
  }

  /** @param {any} user */
  function toggle(user) {
    const set = async (disabled) => { await call("PATCH", `/v1/users/${user.id}`, { disabled }, signal); await drawPeople(); };
    if (user.disabled) void set(false);
    else confirmed(`Disable ${user.name}?`, `All sessions of ${user.email} end at once, and its administrative keys with them.`, "Disable", () => set(true));
  }

  /** @param {any} user */
  async function link(user) {
    const made = await call("POST", `/v1/users/${user.id}/invitation`, {}, signal);
    showLink(user.email, made);
  }

  /** @param {string} email @param {any} made */
  function showLink(email, made) {
    const address = location.origin + made.path;
    const code = h("code.small", address);
    const dialog = modal(`Link for ${email}`, h("div.body", h("p", "Send it to the person. It sets a password, works once, and ends ", h("b", instant(new Date(made.expires_at))), "."),
      h("div.secret", code, h("button.btn.slim", { click: () => void copy(address, code) }, icon("copy"), "Copy"))),
    h("footer", h("button.btn.main", { click: () => dialog.close() }, "Done")));
  }

  function invite() {
    const [name, email, role] = [h("input.input", { autocomplete: "off" }), h("input.input", { type: "email", autocomplete: "off" }), select(ROLES, "viewer")];
    const form = h("form", { novalidate: true }, h("div.body", field("Name", name), field("E-mail", email), field("Role", role, "Of the whole instance. Roles of a team are given on the page of the team.")),
      h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Create and show link")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const user = await call("POST", "/v1/users", { name: name.value.trim(), email: email.value.trim(), memberships: [{ role: role.value }] }, signal);
        const made = await call("POST", `/v1/users/${user.id}/invitation`, {}, signal);
        dialog.close();
        await drawPeople();
        showLink(user.email, made);
      } catch (error) { fieldError(form, error, { name, email, memberships: role }); }
    });
    const dialog = modal("Invite a person", form);
    name.focus();
  }

  async function drawSessions() {
    const { data } = await get("/v1/sessions", signal);
    sessions.replaceChildren(data.length ? h("ul.list", data.map((one) => h("li", h("span.name", one.user), h("span.mute", one.address), h("span.mute", `last used ${since(new Date(one.last_used_at))}`), one.current && h("span.tag.info", "this browser"),
      h("button.btn.slim.push", { "aria-label": `End session of ${one.user} from ${one.address}`, click: async () => { await call("DELETE", `/v1/sessions/${one.id}`, undefined, signal); await drawSessions(); } }, "End")))) : h("p.small.mute", "No session; you came with a key."));
  }

  async function drawPreferences() {
    const drawn = await preferenceCards(signal);
    kept.replaceChildren(drawn.retention);
    told.replaceChildren(drawn.alerts);
  }

  async function drawInstance() {
    const drawn = await instanceCards(signal);
    upkeep.replaceChildren(drawn.upkeep);
    release.replaceChildren(drawn.release);
  }

  function own() {
    const [password, next] = [h("input.input", { type: "password", autocomplete: "current-password" }), h("input.input", { type: "password", autocomplete: "new-password" })];
    const form = h("form.stack", { novalidate: true }, field("Present password", password), field("New password", next, "At least 12 characters. Your other sessions end."), h("div.row", h("button.btn", { type: "submit" }, "Change password")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      fieldError(form, null, {});
      try {
        await call("POST", "/v1/session/password", { password: password.value, new_password: next.value }, signal);
        form.reset();
        toast("Password changed");
        await drawSessions();
      } catch (error) { fieldError(form, error, { password, new_password: next }); }
    });
    return form;
  }

  /** @type {[() => void | Promise<void>, HTMLElement][]} */
  const cards = [[drawSessions, sessions], [() => drawStored(content, signal), content]];
  if (may("readInstance")) cards.push([drawInstance, upkeep], [drawPreferences, kept]);
  else release.replaceChildren(known(actor.version));
  if (may("readUsers")) cards.push([drawPeople, people]);
  await Promise.all(cards.map(async ([draw, place]) => {
    try { await draw(); } catch (error) { if (!signal.aborted) place.replaceChildren(problem(error)); }
  }));
}

/** @param {string} name @param {HTMLElement} body */
const card = (name, body) => h("section.card", { "aria-label": name }, h("header", h("h2", name)), body);
