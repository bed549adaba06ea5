// Pages by path, loaded on demand. A page draws into `main` and ends with the signal of its context.

import { at, h } from "./dom.js";
import { problem } from "./parts.js";

/** @typedef {{ query: URLSearchParams, signal: AbortSignal, main: HTMLElement }} Context */
/** @typedef {{ title: string, show: (context: Context) => void | Promise<void> }} Page */

/** @type {Record<string, () => Promise<Page>>} */
const PAGES = {
  overview: () => import("./pages/overview.js"),
  usage: () => import("./pages/usage.js"),
  requests: () => import("./pages/requests.js"),
  keys: () => import("./pages/keys.js"),
  teams: () => import("./pages/teams.js"),
  models: () => import("./pages/models.js"),
  audit: () => import("./pages/audit.js"),
  settings: () => import("./pages/settings.js"),
  try: () => import("./pages/try.js"),
  me: () => import("./pages/me.js"),
};

const BASE = "/ui/";
let current = new AbortController();

/** Name of the page that the address bar shows. */
export const pageName = () => location.pathname.slice(BASE.length).split("/")[0] || "overview";

/** Address of a page. @param {string} page @param {Record<string, string | undefined>} [query] */
export function href(page, query = {}) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) q.set(name, value);
  const text = q.toString();
  return `${BASE}${page}${text ? `?${text}` : ""}`;
}

/** @param {string} to */
export function go(to) {
  history.pushState(null, "", to);
  void open();
}

/** Keeps the view in the address bar without a new history entry. @param {Record<string, string | undefined>} query */
export const remember = (query) => history.replaceState(null, "", href(pageName(), query));

/** Draws the page of the address bar. */
export async function open() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const main = at("main");
  const name = pageName();
  const load = PAGES[name];
  for (const dialog of document.querySelectorAll("dialog[open]")) /** @type {HTMLDialogElement} */ (dialog).close();
  document.dispatchEvent(new CustomEvent("page", { detail: name }));
  if (!load) {
    main.replaceChildren(h("header.head", h("h1", "No such page")), h("p", "The address names no page of the dashboard. ", h("a", { href: href("overview") }, "Overview")));
    return;
  }
  try {
    const page = await load();
    if (signal.aborted) return;
    document.title = `${page.title} – Gatekeeper`;
    main.replaceChildren();
    await page.show({ query: new URLSearchParams(location.search), signal, main });
  } catch (error) {
    if (!signal.aborted) main.append(problem(error, () => void open()));
  }
}

/** Links of the same site open here; everything else is left to the browser. */
export function listen() {
  addEventListener("popstate", () => void open());
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.target || link.hasAttribute("download")) return;
    const to = new URL(link.href, location.href);
    if (to.origin !== location.origin || !to.pathname.startsWith(BASE) || to.pathname.startsWith(`${BASE}assets/`)) return;
    event.preventDefault();
    go(to.pathname + to.search);
    scrollTo(0, 0);
  });
}
