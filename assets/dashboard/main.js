// Start of the dashboard: sign-in, then the page of the address bar.

import { ApiError, get, useCredential } from "./api.js";
import { at, h } from "./dom.js";
import { setZone } from "./format.js";
import { field, fieldError } from "./parts.js";
import { go, href, listen, open, pageName } from "./router.js";
import { brand, mountShell } from "./shell.js";

/** Pages of a person who holds a virtual key. */
const OWN = ["me", "try"];

/** @param {string} key */
async function enter(key) {
  useCredential(key);
  try {
    const administers = /^sk-gk-(master|admin)-/.test(key);
    const clock = administers ? await get("/v1/clock") : await get("/v1/me");
    setZone(clock.timezone ?? "UTC");
    mountShell({ name: administers ? "Administrative key" : clock.key.name, role: administers ? `…${key.slice(-4)}` : `team ${clock.team.name}`, administers, leave: () => location.assign(href("overview")) });
    if (administers || OWN.includes(pageName())) await open();
    else go(href("me"));
  } catch (error) {
    useCredential("");
    throw error;
  }
}

function door() {
  const key = h("input.input", { type: "password", autocomplete: "off", spellcheck: "false", placeholder: "sk-gk-…", required: true });
  const form = h("form.card", { novalidate: true },
    brand(), h("div", h("h1", "Sign in"), h("p.small.mute", "With an administrative key, or with a virtual key to see what it may do. The key stays in this tab and is forgotten when it closes.")),
    field("Key", key), h("button.btn.main", { type: "submit" }, "Continue"),
    h("p.small.mute", "No key yet? On the gateway's machine: ", h("code", "gatekeeper keys create --admin")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fieldError(form, null, {});
    try {
      await enter(key.value.trim());
    } catch (error) {
      fieldError(form, error instanceof ApiError && error.status === 401 ? new Error("No such key, or it is disabled or expired.") : error, { key });
    }
  });
  document.body.classList.add("bare");
  document.title = "Sign in – Gatekeeper";
  at("main").replaceChildren(h("div.door", form));
  key.focus();
}

listen();
door();
