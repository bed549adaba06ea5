// The card of the cache of answers: size and savings as the API states them, and the purge.

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
  } finally {
    await cached.stop();
  }
}
