// Start of the dashboard: the session of the browser if it has one, else sign-in; then the page of the address bar.

import { ApiError, call, get, useCredential } from "./api.js";
import { at, h, segmented } from "./dom.js";
import { setZone } from "./format.js";
import { field, fieldError } from "./parts.js";
import { go, href, listen, open, pageName } from "./router.js";
import { brand, mountShell } from "./shell.js";

/** Pages of a person who holds a virtual key. */
const OWN = ["me", "try"];
/** Page of one-time links; the secret stands after the hash sign, which browsers send to nobody. */
const LINK = "link";

/** Draws the frame for an actor with roles. @param {any} actor */
async function enter(actor) {
  setZone(actor.timezone);
  const roles = actor.memberships.map((one) => (one.scope === "instance" ? one.role : `${one.scope} ${one.role}`));
  mountShell({ name: actor.email ?? actor.name, role: roles.join(", "), administers: true, leave: () => void leave(actor) });
  if (pageName() === LINK) history.replaceState(null, "", href("overview"));
  await open();
}

/** @param {any} actor */
async function leave(actor) {
  if (actor.session) await call("DELETE", "/v1/session");
  location.assign(href("overview"));
}

/** Enters with a key, which stays in this tab. @param {string} key */
async function enterWithKey(key) {
  useCredential(key);
  try {
    if (/^sk-gk-(master|admin)-/.test(key)) return await enter(await get("/v1/session"));
    const me = await get("/v1/me");
    mountShell({ name: me.key.name, role: `team ${me.team_name}`, administers: false, leave: () => location.assign(href("me")) });
    if (OWN.includes(pageName())) await open();
    else go(href("me"));
  } catch (error) {
    useCredential("");
    throw error;
  }
}

/** Page without the frame: a card with a form. @param {string} title @param {string} text @param {HTMLElement[]} fields @param {string} action @param {(event: SubmitEvent) => Promise<void>} submit */
function card(title, text, fields, action, submit) {
  const form = h("form.card", { novalidate: true }, brand(), h("div", h("h1", title), h("p.small.mute", text)), fields, h("button.btn.main", { type: "submit" }, action));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    fieldError(form, null, {});
    void submit(event);
  });
  document.body.classList.add("bare");
  document.title = `${title} – Gatekeeper`;
  return form;
}

function signIn() {
  const email = h("input.input", { type: "email", autocomplete: "username", required: true });
  const password = h("input.input", { type: "password", autocomplete: "current-password", required: true });
  const form = card("Sign in", "With your account, or with a key.", [ways("account"), field("E-mail", email), field("Password", password)], "Sign in", async () => {
    try {
      await call("POST", "/v1/sign-in", { email: email.value.trim(), password: password.value });
      await enter(await get("/v1/session"));
    } catch (error) {
      fieldError(form, error, { password, email });
    }
  });
  void offerIssuer(form);
  form.append(h("p.small.mute", "No account yet? On the gateway's machine: ", h("code", "gatekeeper setup")));
  at("main").replaceChildren(h("div.door", form));
  email.focus();
}

/** Adds the way through an issuer, where the gateway has one. @param {HTMLElement} form */
async function offerIssuer(form) {
  const { oidc } = await get("/v1/sign-in");
  if (oidc) form.append(h("a.btn", { href: oidc.path }, `Sign in with ${oidc.issuer}`));
}

function signInWithKey() {
  const key = h("input.input", { type: "password", autocomplete: "off", spellcheck: "false", placeholder: "sk-gk-…", required: true });
  const form = card("Sign in", "An administrative key opens everything that its role allows; a virtual key shows what it may do itself. The key stays in this tab.", [ways("key"), field("Key", key)], "Continue", async () => {
    try {
      await enterWithKey(key.value.trim());
    } catch (error) {
      fieldError(form, error instanceof ApiError && error.status === 401 ? new Error("No such key, or it is disabled or expired.") : error, { key });
    }
  });
  at("main").replaceChildren(h("div.door", form));
  key.focus();
}

/** @param {string} way */
const ways = (way) => segmented("Way", [["account", "Account"], ["key", "Key"]], way, (to) => (to === "key" ? signInWithKey() : signIn()));

/** Sets the password of a one-time link. */
function useLink() {
  const token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const [name, email] = [h("input.input", { autocomplete: "name" }), h("input.input", { type: "email", autocomplete: "username" })];
  const password = h("input.input", { type: "password", autocomplete: "new-password" });
  const form = card("Set your password", "The link works once. Name and e-mail are needed only for the first owner.", [field("Name", name), field("E-mail", email), field("New password", password, "At least 12 characters.")], "Continue", async () => {
    const owner = name.value.trim() && email.value.trim() ? { name: name.value.trim(), email: email.value.trim() } : {};
    try {
      await call("POST", "/v1/sign-in/link", { token, password: password.value, ...owner });
      await enter(await get("/v1/session"));
    } catch (error) {
      fieldError(form, error, { password, email, name, token: password });
    }
  });
  at("main").replaceChildren(h("div.door", form));
  name.focus();
}

async function start() {
  listen();
  if (pageName() === LINK) return useLink();
  try {
    await enter(await get("/v1/session"));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) signIn();
    else at("main").replaceChildren(h("p", error instanceof Error ? error.message : String(error)));
  }
}

void start();
