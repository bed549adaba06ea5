// Pieces that several pages share: budget bar, bar list, money cell, sortable head, dialog, form field, states of a card.

import { at, h, icon } from "./dom.js";
import { decimal, instant, percent, pico, until, usd, usdExact, usdLimit } from "./format.js";
import { ApiError } from "./api.js";

/** @typedef {{ limit: bigint, spent: bigint, held: bigint, action?: "block" | "warn" }} Budget */

/** Colour of a budget: bad from 95 %, warn from 80 %. @param {Budget} budget */
export function level(budget) {
  const used = Number(budget.spent + budget.held) / Number(budget.limit);
  return used >= 0.95 ? "bad" : used >= 0.8 ? "warn" : "";
}

/** Spent | held | left. @param {Budget} budget @param {string} [size] */
export function budgetBar(budget, size = "") {
  const { limit, spent, held } = budget;
  const part = (v) => Math.min(100, (Number(v) / Number(limit)) * 100).toFixed(2);
  const left = spent + held > limit ? 0n : limit - spent - held;
  const bar = h("div.bar", { role: "img", "aria-label": `Spent ${usd(spent)}, held ${usd(held)}, left ${usd(left)} of ${usd(limit)}` },
    h("i", { vars: { v: part(spent) } }), held > 0n && h("i.held", { vars: { v: part(held) } }));
  bar.className = `bar ${size} ${level(budget)}`.trim();
  return bar;
}

/** @param {[name: string, value: bigint, href: string][]} rows */
export function barList(rows) {
  const max = Math.max(...rows.map(([, v]) => Number(v)));
  const all = rows.reduce((sum, [, v]) => sum + Number(v), 0);
  return h("ul.bars", rows.map(([name, v, href]) => h("li", { vars: { v: ((Number(v) / max) * 100).toFixed(1) } },
    h("a", { href }, name), h("span", { title: usdExact(v) }, usd(v)), h("span.share", percent(Number(v), all)))));
}

const COLORS = ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6"];

/**
 * Series for a chart: largest first, at most six, the rest summed up as "others" in grey.
 * @param {{ id: string, name: string, values: bigint[] }[]} all
 */
export function topSeries(all) {
  const size = (one) => one.values.reduce((a, b) => a + b, 0n);
  const sorted = all.filter((one) => size(one) > 0n).sort((a, b) => Number(size(b) - size(a)));
  const shown = sorted.slice(0, sorted.length > 6 ? 5 : 6);
  const rest = sorted.slice(shown.length);
  const others = { id: "others", name: `${rest.length} others`, color: "--s0", values: all[0].values.map((_, i) => rest.reduce((sum, one) => sum + one.values[i], 0n)) };
  return [...shown.map((one, i) => ({ ...one, color: COLORS[i] })), ...(rest.length ? [others] : [])];
}

/** @param {string} placeholder @param {(text: string) => void} input */
export const searchBox = (placeholder, input) => h("div.search", icon("search"),
  h("input.input.quiet", { type: "search", placeholder, "aria-label": placeholder, on: { input: (event) => input(event.target.value) } }));

/** @param {string} label @param {[value: string, text: string][]} options @param {(value: string) => void} pick */
export const choice = (label, options, pick) => h("select.input.quiet", { "aria-label": label, on: { change: (event) => pick(event.target.value) } },
  options.map(([value, text]) => h("option", { value }, text)));

/** @param {string} label @param {Parameters<typeof icon>[0]} name @param {() => void} [click] @param {string} [cls] */
export const iconButton = (label, name, click = () => {}, cls = ".bare.slim") => h(`button.btn.icon-btn${cls}`, { "aria-label": label, on: { click } }, icon(name));

/** Decimal places that a column of amounts needs; set it as `--frac` of the table. @param {bigint[]} values */
export const places = (values) => Math.max(2, ...values.map((v) => usd(v).split(".")[1]?.length ?? 0));

/** Money whose decimal point lines up in its column; exact on hover. @param {bigint} v */
export function money(v) {
  const text = usd(v);
  const dot = text.lastIndexOf(".");
  const [whole, rest] = dot < 0 ? [text, ""] : [text.slice(0, dot), text.slice(dot)];
  return h("span.money", { title: usdExact(v), "data-csv": decimal(v) }, whole, h("i", rest));
}

/** @param {string} name @param {string | false} sorted @param {() => void} sort @param {string} [cls] */
export const sortHead = (name, sorted, sort, cls = "") =>
  h(`th${cls}`, { scope: "col", "aria-sort": sorted }, h("button", { click: sort }, name, icon("down")));

/** Budget of the API with its amounts as pico-dollars. @param {any} json */
export const budgetOf = (json) => ({ id: json.id, limit: pico(json.limit), spent: pico(json.spent), held: pico(json.held), action: json.action, period: json.period, model: json.model, resets: json.resets_at ? new Date(json.resets_at) : null });

/** @type {Record<string, string>} */
const WINDOWS = { daily: "per day", weekly: "per week", monthly: "per month", total: "in total" };

/** Amounts, bar and reset of one budget. @param {any} json budget of the API @param {Node | string | null} [name] */
export function budgetRow(json, name = null) {
  const b = budgetOf(json);
  const used = percent(Number(b.spent + b.held), Number(b.limit));
  const tone = level(b);
  return h("div.budget",
    h("div.line", name, h("span.mute", WINDOWS[b.period], b.model && ` for ${b.model}`), b.action === "warn" && h("span.tag", "warns"), h("span.push", { title: usdExact(b.spent) }, `${usd(b.spent)} `, h("span.mute", `of ${usdLimit(b.limit)}`))),
    budgetBar(b),
    h("div.line.small.mute", h("span", h("span", { class: tone && `lvl-${tone}` }, `${used} used`), b.held > 0n && `, ${usd(b.held)} held`),
      b.resets && h("span.push", { title: instant(b.resets) }, `resets in ${until(b.resets, new Date())}`)));
}

/** Confirms what happened. Errors stay beside their cause instead. @param {string} text @param {[string, () => void]} [action] */
export function toast(text, action) {
  const box = h("div.toast", h("span", text));
  if (action) box.append(h("button.btn", { click: () => { box.remove(); action[1](); } }, action[0]));
  at("toasts").append(box);
  setTimeout(() => box.remove(), 6000);
}

/** Copies; without the clipboard API (plain HTTP) it selects the text instead. @param {string} text @param {HTMLElement} source */
export async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    getSelection()?.selectAllChildren(source);
    toast("Selected; press Ctrl+C to copy");
  }
}

/** Puts a popover under its button whenever it opens, inside the window. @param {HTMLElement} button @param {HTMLElement} menu */
export function dropDown(button, menu) {
  menu.addEventListener("toggle", () => {
    const box = button.getBoundingClientRect();
    menu.style.top = `${box.bottom + scrollY + 4}px`;
    menu.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - menu.offsetWidth - 16))}px`;
  });
}

/** @param {string} title @param {string} text @param {...Node} actions */
export const empty = (title, text, ...actions) => h("div.empty", h("b", title), h("p", text), actions);

/** Card of a failure: what failed, what would mend it, and a second try. @param {unknown} error @param {() => void} [retry] */
export function problem(error, retry) {
  const text = error instanceof ApiError ? error.message : String(error);
  return h("div.note.bad", { role: "alert" }, icon("warn"), h("p", text), retry && h("button.btn.slim", { click: retry }, "Try again"));
}

/** Dialog with a title; it leaves the page when it closes. @param {string} title @param {...Node} content @returns {HTMLDialogElement} */
export function modal(title, ...content) {
  const dialog = h("dialog", { "aria-label": title }, h("header", h("h2", title), iconButton("Close", "close", () => dialog.close(), ".bare")), content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

let fields = 0;

/** Labelled control with its hint and the place of its error. @param {string} label @param {HTMLElement} control @param {string} [hint] */
export function field(label, control, hint = "") {
  const id = `field-${(fields += 1)}`;
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-note`);
  return h("div.field", h("label", { for: id }, label), control, h("p.error", { hidden: true }), h("p.hint", { id: `${id}-note` }, hint));
}

/** Shows the error of a call at the field that it names, else at the end of the form. @param {HTMLElement} form @param {unknown} error @param {Record<string, HTMLElement>} controls by API parameter */
export function fieldError(form, error, controls) {
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  for (const text of form.querySelectorAll(".error")) /** @type {HTMLElement} */ (text).hidden = true;
  if (!error) return;
  const param = error instanceof ApiError ? (error.param ?? "").split(/[.[]/)[0] : "";
  const control = controls[error instanceof ApiError ? (error.param ?? "") : ""] ?? controls[param] ?? Object.values(controls)[0];
  const text = control.closest(".field")?.querySelector(".error");
  control.setAttribute("aria-invalid", "true");
  if (text instanceof HTMLElement) {
    text.hidden = false;
    text.textContent = error instanceof Error ? error.message : String(error);
  }
  control.focus();
}

/** Select with options. @param {[value: string, text: string][]} options @param {string} [value] */
export const select = (options, value = "") => h("select.input", options.map(([id, text]) => h("option", { value: id, selected: id === value }, text)));

/** Asks before something that cannot be taken back; `text` names what it breaks. @param {string} title @param {string | Node} text @param {string} action @param {() => Promise<void>} run */
export function confirmed(title, text, action, run) {
  const failure = h("div");
  const dialog = modal(title, h("div.body", h("p", text), failure),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"),
      h("button.btn.main", { click: async () => {
        try { await run(); dialog.close(); } catch (error) { failure.replaceChildren(problem(error)); }
      } }, action)));
}

/** Skeleton of a card. @param {number} height */
export const skeleton = (height) => h("div.skel", { vars: { height: `${height}px` } });

/** Text to take away, with its copy button. @param {string} name @param {string} text */
export function snippet(name, text) {
  const pre = h("pre", { tabindex: "0", role: "region", "aria-label": name }, text);
  return h("div", h("h3.small.mute", name), h("div.snippet", pre, iconButton(`Copy: ${name}`, "copy", () => copy(text, pre), ".slim")));
}
