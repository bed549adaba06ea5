// First steps of an empty instance: a provider, a key, and the first request, which is shown when it arrives.

import { may } from "../access.js";
import { get, list, url } from "../api.js";
import { h, icon } from "../dom.js";
import { count } from "../format.js";
import { toast } from "../parts.js";
import { go, href } from "../router.js";

/** @param {HTMLElement} host @param {AbortSignal} signal @param {() => void} arrived draws the page with data */
export async function firstSteps(host, signal, arrived) {
  await draw(host, signal);
  void wait(signal, arrived).catch(() => {});
}

/** @param {HTMLElement} host @param {AbortSignal} signal */
async function draw(host, signal) {
  const [providers, keys] = await Promise.all([list("/v1/providers", {}, 200, signal), may("changeKeys") ? list("/v1/keys", { limit: 200 }, 200, signal) : { data: [] }]);
  const add = async () => (await import("./provider.js")).addProvider(signal, () => draw(host, signal));
  const names = providers.data.map((one) => one.name).join(", ");
  host.replaceChildren(h("h2", "First steps"), h("ol.steps",
    step(providers.data.length > 0, "A provider", providers.data.length ? `Configured: ${names}.` : "A vendor's API key, or the address of a server of your own. The key is stored sealed.",
      providers.data.length > 0 ? h("a.btn.slim", { href: href("models") }, "Test it") : may("changeInstance") && h("button.btn.main", { click: add }, "Add a provider")),
    step(keys.data.length > 0, "A key", keys.data.length ? `${count(keys.data.length)} made; another application gets its own.` : "It lets one application call models, within a budget of its own.",
      may("changeKeys") && h(`a.btn${keys.data.length ? ".slim" : ".main"}`, { href: href("keys", { create: "1" }) }, "Create a key")),
    step(false, "The first request", "It shows up here within a second. The key's dialog has the lines to paste.", h("a.btn.slim", { href: href("try") }, "Try it"))));
}

/** @param {boolean} done @param {string} name @param {any} text @param {Node | false} action */
const step = (done, name, text, action) => h(`li${done ? ".done" : ""}`, h("span.mark2", done && icon("check")), h("div", h("b", name, done && h("span.sr", ", done")), h("p.small.mute", text)), action);

/** Waits for a request to end; a hidden tab asks nothing. @param {AbortSignal} signal @param {() => void} arrived */
async function wait(signal, arrived) {
  let { data, follow } = await get("/v1/requests?limit=1", signal);
  while (!signal.aborted) {
    if (document.hidden) {
      await new Promise((done) => setTimeout(done, 500));
      continue;
    }
    const page = await get(url("/v1/requests", { after: follow, wait: 10 }), signal);
    follow = page.next ?? follow;
    const first = page.data[0] ?? data[0];
    data = [];
    if (!first) continue;
    toast("The first request arrived", ["Show it", () => go(href("requests", { id: first.id }))]);
    return arrived();
  }
}
