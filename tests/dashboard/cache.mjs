// The cache of answers: the lookup of a request, the card with size and savings as the API states them, and the purge.

import { equal } from "./kit.mjs";
import { Cached, until } from "./stage.mjs";

export async function cache(kit, stage, binary) {
  const cached = await Cached.start(binary, await stage.simulator());
  try {
    const team = await cached.api("POST", "/v1/teams", { name: "rockets", models: ["*"] });
    const { json: key } = await cached.api("POST", "/v1/keys", { name: "ci", team: team.json.id, models: ["*"] });
    for (let n = 0; n < 3; n++) equal(await cached.chat(key.key, "cached", { max_tokens: 500 }), 200, "a call");
    await until("the usage is complete", async () => (await cached.api("GET", "/v1/usage")).json.total.cache_hits === 2);
    const page = await kit.enter(cached);
    await kit.test("the settings show the cache with its answers and its savings, and purge it", async () => {
      await kit.show(page, "settings");
      const line = page.locator("li", { hasText: "answers kept for equal" });
      await line.waitFor();
      const text = await line.innerText();
      if (!/1 stored/.test(text) || !/answered 2 requests and saved \$[\d.]+/.test(text)) throw new Error(text);
      await page.getByRole("button", { name: "Purge cache" }).click();
      await page.getByRole("button", { name: "Purge", exact: true }).click();
      await page.getByText("1 entries purged").waitFor();
      await page.locator("li", { hasText: "0 stored" }).filter({ hasText: "answers kept" }).waitFor();
      equal((await cached.api("GET", "/v1/cache")).json.entries, 0, "entries");
    });
    await kit.test("a request shows its lookup, the guard that refused the nearest question, and the words that differ", async () => {
      const ask = async (text) => {
        const body = { model: "alike", max_tokens: 500, messages: [{ role: "user", content: text }] };
        const call = await cached.api("POST", "/v1/chat/completions", body, key.key);
        equal(call.status, 200, "a call");
        return call.headers;
      };
      const open = async (headers) => {
        const id = headers.get("x-gatekeeper-request-id");
        await until("the request is booked", async () => (await cached.api("GET", `/v1/requests/${id}`)).status === 200);
        await kit.show(page, `requests?id=${id}`);
      };
      await ask("Convert 5 km to miles");
      const refused = await ask("Convert 50 km to miles");
      equal(refused.get("x-gatekeeper-cache"), "miss", "a number that differs");
      await open(refused);
      await page.getByText("was refused by the guard “number”").waitFor();
      await page.getByRole("button", { name: "Show the words that differ" }).click();
      const words = page.getByRole("region", { name: "Cache" });
      await words.getByText("50", { exact: true }).waitFor();
      await words.getByText("5", { exact: true }).waitFor();
      await kit.axe(page, "a request with a refused candidate");
      await until("the reading is audited", async () => (await cached.api("GET", "/v1/audit?action=cache.difference")).json.data.length === 1);
      const hit = await ask("convert 5 km to miles please");
      equal(hit.get("x-gatekeeper-cache"), "semantic", "the same question");
      await open(hit);
      await page.getByText(/Answer of a similar question \(0\.\d+|1\.000\).*Saved \$/).waitFor();
    });
  } finally {
    await cached.stop();
  }
}
