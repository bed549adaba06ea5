// Cards of Settings that change how the instance keeps and reports: retention of rows, threshold and webhook of alerts.

import { may } from "../access.js";
import { call, get } from "../api.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { fieldError, problem, toast } from "../parts.js";

/** @typedef {{ name: string, value: string | null, managed_by_file: boolean, secret: boolean }} Setting */

/** @type {[name: string, text: string][]} */
const KEPT = [["retention.requests_days", "Requests, each with its record"], ["retention.refused_days", "Refused requests"], ["retention.hours_days", "Sums by the hour"], ["retention.days_days", "Sums by the day"]];

/** Both cards, with their values. @param {AbortSignal} signal */
export async function preferenceCards(signal) {
  const { data } = await get("/v1/settings", signal);
  /** @param {string} name @returns {Setting | undefined} */
  const setting = (name) => data.find((one) => one.name === name);
  return { retention: retention(setting, signal), alerts: alerts(setting, signal) };
}

/** Days of one setting; read only where the configuration file has it. @param {Setting | undefined} one @param {string} text @param {string} label */
function number(one, label, text) {
  if (!may("changeInstance") || one?.managed_by_file) return { name: one?.name ?? "", input: null, row: [h("span", label), h("span.mute", { title: one?.managed_by_file ? "set by the configuration file" : "" }, text)] };
  const input = h("input.input", { inputmode: "numeric", value: one?.value ?? "", "aria-label": label });
  return { name: one?.name ?? "", input, row: [h("span", label), input] };
}

/** A form that sends what changed. @param {ReturnType<typeof number>[]} rows @param {HTMLElement[]} notes @param {AbortSignal} signal */
function form(rows, notes, signal) {
  const fields = rows.filter((row) => row.input);
  const sent = h("form.stack", { novalidate: true },
    h("div.field", h("div.days", rows.flatMap((row) => row.row)), h("p.error", { hidden: true })), notes,
    fields.length > 0 && h("div.row", h("button.btn", { type: "submit" }, "Save")));
  sent.addEventListener("submit", async (event) => {
    event.preventDefault();
    fieldError(sent, null, {});
    const changed = fields.filter(({ input }) => input.value.trim() !== input.defaultValue);
    try {
      if (changed.length) await call("PATCH", "/v1/settings", Object.fromEntries(changed.map(({ name, input }) => [name, input.value.trim() ? Number(input.value) : null])), signal);
      for (const { input } of changed) input.defaultValue = input.value.trim();
      toast(changed.length ? "Saved; in force at once" : "Nothing was changed");
    } catch (error) { fieldError(sent, error, Object.fromEntries(fields.map((row) => [row.name, row.input]))); }
  });
  return sent;
}

/** @param {(name: string) => Setting | undefined} setting @param {AbortSignal} signal */
function retention(setting, signal) {
  const words = (one) => (!one?.value || one.value === "0" ? "for ever" : `${count(Number(one.value))} days`);
  const rows = KEPT.map(([name, text]) => number(setting(name), text, words(setting(name))));
  return form(rows, [h("p.small.mute", "In days; 0 keeps them for ever, empty is the default. Audit events are never deleted, and budgets need no deleted row.")], signal);
}

/** @param {(name: string) => Setting | undefined} setting @param {AbortSignal} signal */
function alerts(setting, signal) {
  const threshold = setting("alerts.threshold_percent");
  const webhook = Boolean(setting("alerts.webhook"));
  const result = h("span.small.mute", { role: "status" });
  const test = async () => {
    result.textContent = "sending …";
    try {
      const sent = await call("POST", "/v1/alerts/test", {}, signal);
      result.replaceChildren(h(`span.tag.${sent.ok ? "ok" : "bad"}`, sent.ok ? "delivered" : "not delivered"), sent.ok ? "" : ` ${sent.reason}`);
    } catch (error) { if (!signal.aborted) result.replaceChildren(problem(error)); }
  };
  return h("div.stack",
    form([number(threshold, "Alert at this share of a budget, in percent", `${threshold?.value ?? "–"}%`)], [h("p.small.mute", "An alert is recorded when a budget passes this share, and when it refuses.")], signal),
    h("p.row", h("span", "Webhook"), h(`span.tag${webhook ? ".ok" : ""}`, webhook ? "configured" : "none"), webhook && may("changeInstance") && h("button.btn.slim", { click: () => void test() }, "Send a test"), result),
    !webhook && h("p.small.mute", "Set ", h("code", "webhook"), " under ", h("code", "[alerts]"), " in the configuration file to have alerts sent."));
}
