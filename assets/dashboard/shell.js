// Frame of every page: navigation, search palette, shortcuts, theme switch.

import { may } from "./access.js";
import { at, h, icon, s, segmented } from "./dom.js";
import { go, href, pageName } from "./router.js";
import { setTheme, theme } from "./theme.js";
import { iconButton } from "./parts.js";
import { list } from "./api.js";

/** @typedef {[page: string, name: string, shortcut: string, group?: string]} Place */

/** @type {Place[]} */
const PLACES = [
  ["overview", "Overview", "g o"], ["usage", "Usage", "g u"], ["requests", "Requests", "g r"],
  ["keys", "Keys", "g k", "Access"], ["teams", "Teams", "g t"],
  ["models", "Models & providers", "g m", "Gateway"], ["audit", "Audit log", "g a"], ["settings", "Settings", "g s"], ["try", "Try it", "g y"],
];
/** @type {Place[]} */
const OWN = [["me", "Me", "g o"], ["try", "Try it", "g y"]];

/** @type {Place[]} */
let places = PLACES;
let administers = true;
const creates = () => administers && may("changeKeys");

export const brand = () => h("a.brand", { href: "/ui/", "aria-label": "Gatekeeper" },
  s("svg", { viewBox: "0 0 22 22", "aria-hidden": "true" },
    s("path", { d: "M2 21V9a9 9 0 0 1 18 0v12h-4.5V9a4.5 4.5 0 0 0-9 0v12z", fill: "currentColor" }),
    s("path", { d: "M9.25 21v-9.5h3.5V21z", fill: "var(--s1)" })),
  "Gatekeeper");

const navigation = () => h("nav.nav", { "aria-label": "Main" }, places.flatMap(([id, name, , group]) => [
  group && h("p", group),
  h("a", { href: href(id), "data-page": id, "aria-current": id === pageName() && "page" }, icon(/** @type {any} */ (id === "me" ? "keys" : id)), name),
]));

const themes = () => segmented("Theme", [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]], theme(), setTheme);

/** @param {{ name: string, role: string, leave: () => void }} who */
const foot = (who) => h("div.foot", themes(),
  h("span", who.name, h("br"), h("span.faint", who.role)),
  h("button.btn.slim", { click: who.leave }, "Sign out"));

const searchButton = () => h("button.find", { click: openPalette }, icon("search"), "Search", h("kbd.push", "/"));

/** Draws the frame. @param {{ name: string, role: string, administers: boolean, leave: () => void }} who */
export function mountShell(who) {
  administers = who.administers;
  places = administers ? PLACES.filter(([id]) => id !== "audit" || may("readAudit")) : OWN;
  const sidebar = () => [brand(), searchButton(), navigation(), foot(who)];
  document.body.classList.remove("bare");
  at("side").replaceChildren(...sidebar());
  const drawer = h("dialog.drawer", { "aria-label": "Navigation" }, h("div.side", sidebar()));
  drawer.addEventListener("click", (event) => { if (event.target === drawer || event.target.closest("a")) drawer.close(); });
  at("top").replaceChildren(brand(),
    h("button.btn.bare.icon-btn.push", { "aria-label": "Search", click: openPalette }, icon("search")),
    h("button.btn.bare.icon-btn", { "aria-label": "Navigation", click: () => drawer.showModal() }, icon("menu")));
  document.querySelector("dialog.drawer")?.remove();
  document.body.append(drawer);
}

document.addEventListener("page", (event) => {
  const page = /** @type {CustomEvent} */ (event).detail;
  for (const link of document.querySelectorAll(".nav a")) {
    if (link.getAttribute("data-page") === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
});

let leader = 0;
document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (document.body.classList.contains("bare") || event.metaKey || event.ctrlKey || event.altKey) return;
  if (target.matches("input, select, textarea") || document.querySelector("dialog[open]")) return;
  if (event.key === "/") { event.preventDefault(); openPalette(); }
  else if (event.key === "?") { event.preventDefault(); openHelp(); }
  else if (event.key === "g") leader = event.timeStamp;
  else if (event.key === "c" && creates()) { event.preventDefault(); go(href("keys", { create: "1" })); }
  else if (event.timeStamp - leader < 1200) {
    const place = places.find(([, , keys]) => keys === `g ${event.key}`);
    if (place) go(href(place[0]));
  }
});

function openHelp() {
  const rows = [["/", "search"], ["?", "this list"], ...(creates() ? [["c", "create a key"]] : []), ["j, k", "next, previous row"], ["Esc", "close"], ...places.map(([, name, keys]) => [keys, name])];
  const dialog = h("dialog", { "aria-label": "Keyboard" }, h("header", h("h2", "Keyboard"), iconButton("Close", "close", () => dialog.close(), ".bare")),
    h("div.body", h("dl.facts", rows.flatMap(([keys, what]) => [h("dt", h("kbd", keys)), h("dd", what)]))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @typedef {[name: string, hint: string, run: () => void]} Entry */

/** Keys, teams and a request id that the words name. @param {string} text @returns {Promise<Entry[]>} */
async function lookUp(text) {
  if (/^req_[0-9a-z]{20,}$/.test(text)) return [[`Request ${text}`, "request", () => go(href("requests", { id: text }))]];
  const [keys, teams] = await Promise.all([list("/v1/keys", { limit: 200 }, 1000), list("/v1/teams", { limit: 200 }, 1000)]);
  const matches = (one) => one.name.toLowerCase().includes(text.toLowerCase());
  return [
    ...keys.data.filter(matches).slice(0, 8).map((key) => /** @type {Entry} */ ([`Key ${key.name}`, "key", () => go(href("keys", { q: key.name }))])),
    ...teams.data.filter(matches).slice(0, 8).map((team) => /** @type {Entry} */ ([`Team ${team.name}`, "team", () => go(href("teams", { q: team.name }))])),
  ];
}

/** Search over pages, actions, keys, teams and request ids. */
function openPalette() {
  /** @type {Entry[]} */
  const fixed = [
    ...places.map(([id, name, keys]) => /** @type {Entry} */ ([name, keys, () => go(href(id))])),
    ...(creates() ? [/** @type {Entry} */ (["Create a key", "c", () => go(href("keys", { create: "1" }))])] : []),
  ];
  let chosen = 0;
  let found = fixed;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const results = h("ul", { role: "listbox", id: "found", "aria-label": "Results" });
  const input = h("input", { type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "found", "aria-label": "Search", placeholder: "Page, key, team or request id", autocomplete: "off" });
  const dialog = h("dialog.palette", { "aria-label": "Search" }, input, results,
    h("footer", h("span", h("kbd", "↑"), " ", h("kbd", "↓"), " choose"), h("span", h("kbd", "↵"), " open"), h("span", h("kbd", "Esc"), " close")));
  const run = (i) => { dialog.close(); found[i]?.[2](); };
  const show = () => {
    chosen = Math.max(0, Math.min(chosen, found.length - 1));
    results.replaceChildren(...found.map(([name, hint], i) => h("li", { role: "option", id: `found-${i}`, "aria-selected": String(i === chosen), click: () => run(i) }, name, hint && h("kbd", hint))));
    input.setAttribute("aria-activedescendant", found.length ? `found-${chosen}` : "");
    if (!found.length) results.append(h("li.mute", { role: "option", "aria-disabled": "true" }, `Nothing found for “${input.value}”`));
    results.children[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const search = () => {
    const text = input.value.trim();
    const pages = fixed.filter(([name]) => name.toLowerCase().includes(text.toLowerCase()));
    chosen = 0;
    found = pages;
    show();
    clearTimeout(timer);
    if (text.length < 2 || !administers) return;
    timer = setTimeout(() => lookUp(text).then((more) => { if (input.value.trim() === text) { found = [...pages, ...more]; show(); } }, () => {}), 150);
  };
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    const move = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 })[event.key];
    if (move) { event.preventDefault(); chosen = (chosen + move + found.length) % (found.length || 1); show(); }
    if (event.key === "Enter") run(chosen);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  show();
  dialog.showModal();
}
