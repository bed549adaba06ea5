// Try it: one request with a key that the person pastes; the answer streams in, and its record is one click away.

import { h } from "../dom.js";
import { duration, usdExact, pico } from "../format.js";
import { field, problem, toast } from "../parts.js";
import { href } from "../router.js";

export const title = "Try it";

/** @param {import("../router.js").Context} context */
export function show({ main, query, signal }) {
  const key = h("input.input", { type: "password", autocomplete: "off", placeholder: "sk-gk-…" });
  const model = h("input.input", { value: query.get("model") ?? "", placeholder: "gpt-5-mini", list: "models", autocomplete: "off" });
  const prompt = h("textarea.input", { rows: "4" }, "Say hello in one sentence.");
  const models = h("datalist", { id: "models" });
  const [answer, facts] = [h("div.answer.wait", { "aria-live": "polite", tabindex: "0", role: "region", "aria-label": "Text of the answer" }), h("p.row.small.mute", " ")];
  const button = h("button.btn.main", { type: "submit" }, "Send");
  const form = h("form.card.stack", { novalidate: true, "aria-label": "Request" },
    h("div.grid2", field("Virtual key", key, "Used for this request only and kept nowhere."), field("Model", model)), models, field("Prompt", prompt), h("div.row", button));
  main.append(h("header.head", h("h1", title), h("p", "One request through the gateway, booked like any other.")), form, h("section.card.stack", { "aria-label": "Answer" }, h("h2", "Answer"), answer, facts));
  answer.textContent = "The answer streams in here, with its cost and a link to its record.";

  key.addEventListener("change", async () => {
    const response = await fetch("/v1/models", { headers: { authorization: `Bearer ${key.value.trim()}` }, signal });
    if (response.ok) models.replaceChildren(...(await response.json()).data.map((one) => h("option", { value: one.id })));
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.textContent = "";
    answer.classList.remove("wait");
    facts.textContent = " ";
    button.disabled = true;
    try {
      await run();
    } catch (error) {
      if (!signal.aborted) answer.replaceChildren(problem(error));
    }
    button.disabled = false;
  });

  async function run() {
    const begun = performance.now();
    const response = await fetch("/v1/chat/completions", {
      method: "POST", signal,
      headers: { authorization: `Bearer ${key.value.trim()}`, "content-type": "application/json" },
      body: JSON.stringify({ model: model.value.trim(), stream: true, messages: [{ role: "user", content: prompt.value }] }),
    });
    const id = response.headers.get("x-gatekeeper-request-id") ?? "";
    if (!response.ok || !response.body) {
      const text = await response.text();
      let message = text;
      try { message = JSON.parse(text).error.message; } catch { /* not JSON: shown as it is */ }
      answer.textContent = message;
      facts.replaceChildren(h("span.tag.warn", String(response.status)), ...link(id));
      return;
    }
    let [cost, rest, first] = ["", "", 0];
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        cost = /^: x-gatekeeper-cost-usd (\S+)/.exec(line)?.[1] ?? cost;
        const delta = piece(line);
        if (delta && !first) first = performance.now() - begun;
        if (delta) answer.append(delta);
      }
    }
    facts.replaceChildren(h("span.tag.ok", "served"), h("span", `first content ${duration(first)}, total ${duration(performance.now() - begun)}`), cost && h("span", `cost ${usdExact(pico(cost))}`), ...link(id));
    toast("Booked");
  }
}

/** Text of one line of the stream. @param {string} line */
function piece(line) {
  if (!line.startsWith("data: {")) return "";
  const event = JSON.parse(line.slice(6));
  if (event.error) throw new Error(event.error.message);
  return event.choices?.[0]?.delta?.content ?? "";
}

/** @param {string} id */
const link = (id) => (id ? [h("a", { href: href("requests", { id }) }, "Its record")] : []);
