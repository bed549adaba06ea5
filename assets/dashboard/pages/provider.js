// Dialogs of a provider: add one, give it another key, remove it. The key goes to the gateway, which stores it sealed and never shows it.

import { call } from "../api.js";
import { h } from "../dom.js";
import { confirmed, field, fieldError, modal, select, toast } from "../parts.js";

/** Types, and whether each needs a key, an address, a region. */
const TYPES = /** @type {[string, string, string][]} */ ([
  ["openai", "OpenAI", "key"], ["anthropic", "Anthropic", "key"], ["gemini", "Google Gemini", "key"], ["mistral", "Mistral", "key"], ["groq", "Groq", "key"],
  ["cohere", "Cohere", "key"], ["together", "Together AI", "key"], ["deepseek", "DeepSeek", "key"], ["azure", "Azure OpenAI", "key url"], ["bedrock", "AWS Bedrock", "key region"],
  ["ollama", "Ollama", "url models"], ["openai_compatible", "Another server with OpenAI's API", "key url models price"]]);

/** @param {AbortSignal} signal @param {() => void | Promise<void>} done draws the providers */
export function addProvider(signal, done) {
  const text = (type = "text") => h("input.input", { type, autocomplete: "off", spellcheck: false });
  const [type, name, key, address, region, models, input, output] = [select(TYPES.map(([id, label]) => [id, label]), "openai"), text(), text("password"), text("url"), text(), text(), text(), text()];
  /** @type {Record<string, HTMLElement>} */
  const parts = {
    key: field("API key", key, "Stored sealed; nobody sees it again."),
    url: field("Address", address, "Scheme, host, port and path, such as http://10.0.0.5:8000/v1"),
    region: field("Region", region, "Such as eu-west-1"),
    models: field("Models", models, "Names with commas between them; only for names that the price sheet lacks."),
    price: h("div.stack", field("Dollars per million input tokens", input), field("Dollars per million output tokens", output, "Both empty: free.")),
  };
  const fit = () => {
    const needs = (TYPES.find(([id]) => id === type.value)?.[2] ?? "").split(" ");
    for (const [part, node] of Object.entries(parts)) node.hidden = !needs.includes(part);
    if (!name.dataset.typed) name.value = type.value;
  };
  type.addEventListener("change", fit);
  name.addEventListener("input", () => { name.dataset.typed = "1"; });
  const form = h("form", { novalidate: true }, h("div.body", field("Type", type), field("Name", name, "Prefixes its models: name/model."), Object.values(parts)),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Add provider")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const shown = (part, value) => (parts[part].hidden || !value ? {} : value);
    const body = { name: name.value.trim(), type: type.value,
      ...shown("key", key.value.trim() && { api_key: key.value.trim() }), ...shown("url", address.value.trim() && { base_url: address.value.trim() }),
      ...shown("region", region.value.trim() && { region: region.value.trim() }),
      ...shown("models", models.value.trim() && { models: models.value.split(",").map((one) => one.trim()).filter(Boolean) }),
      ...shown("price", { price: input.value.trim() || output.value.trim() ? { input: input.value.trim(), output: output.value.trim() } : "free" }) };
    try {
      const made = await call("POST", "/v1/providers", body, signal);
      dialog.close();
      toast(`Provider ${made.name} is in force`);
      await done();
    } catch (error) { fieldError(form, error, { type, name, api_key: key, base_url: address, region, models, price: input }); }
  });
  const dialog = modal("Add a provider", form);
  fit();
  key.focus();
}

/** @param {string} name @param {AbortSignal} signal @param {() => void | Promise<void>} done */
export function changeKey(name, signal, done) {
  const key = h("input.input", { type: "password", autocomplete: "off" });
  const form = h("form", { novalidate: true }, h("div.body", field("API key", key, "Replaces the present one at once; stored sealed.")),
    h("footer", h("button.btn", { click: () => dialog.close() }, "Cancel"), h("button.btn.main", { type: "submit" }, "Change key")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("PATCH", `/v1/providers/${encodeURIComponent(name)}`, { api_key: key.value.trim() }, signal);
      dialog.close();
      toast(`The key of ${name} is changed`);
      await done();
    } catch (error) { fieldError(form, error, { api_key: key }); }
  });
  const dialog = modal(`Key of ${name}`, form);
  key.focus();
}

/** @param {string} name @param {AbortSignal} signal @param {() => void | Promise<void>} done */
export const removeProvider = (name, signal, done) => confirmed(`Remove ${name}?`, "Its models resolve no more, and its key is deleted. A provider that a route leads to is not removed.", "Remove", async () => {
  await call("DELETE", `/v1/providers/${encodeURIComponent(name)}`, undefined, signal);
  await done();
});
