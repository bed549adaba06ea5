// Keys: made, shown once, used, followed in the list, disabled, rotated, and found among many.

import { equal } from "./kit.mjs";
import { until } from "./stage.mjs";

/** Keys of the large list; the long run takes 10,000. */
const MANY = Number(process.env.GK_DASHBOARD_KEYS ?? 1500);
const LIVE_MS = 1000;

export async function keys(kit, stage, page) {
  await kit.test("a new key is shown once, works at once, and its first request arrives within a second", async () => {
    await kit.show(page, "keys?create=1");
    await page.getByLabel("Name", { exact: true }).fill("from-the-dashboard");
    await page.getByLabel("Budget in USD").fill("5");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    stage.made = await page.locator(".secret code").textContent();
    await page.getByRole("button", { name: "Claude Code" }).click();
    const snippet = await page.getByLabel("Snippet", { exact: true }).textContent();
    if (!snippet.includes(stage.made)) throw new Error(snippet);
    if (await page.getByRole("button", { name: "Done" }).isEnabled()) throw new Error("closed before the key was stored");
    await kit.axe(page, "the dialog of the secret");
    await page.getByLabel("I have stored the key").check();
    await page.getByRole("button", { name: "Done" }).click();
    await kit.show(page, "requests");
    const row = page.locator("tr.pick", { hasText: "from-the-dashboard" }).first();
    equal(await stage.chat(stage.made), 200, "a call with the new key");
    await row.waitFor({ timeout: LIVE_MS });
    await row.click();
    await page.locator(".panel .sum").waitFor();
    const id = await page.locator(".panel code").first().textContent();
    const { json } = await stage.api("GET", `/v1/requests/${id}`);
    const booked = await page.locator(".panel .sum tfoot td").last().textContent();
    equal(Number(booked.replace("$", "")), Number(json.attempts[0].net_cost_usd), "the booked sum");
  });

  await kit.test("a disabled key is refused on its next request, and enabled again by undo", async () => {
    await kit.show(page, "keys?q=from-the-dashboard");
    await page.getByRole("button", { name: "Actions for from-the-dashboard" }).click();
    await page.getByRole("button", { name: "Disable …" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await page.locator(".toast", { hasText: "Disabled from-the-dashboard" }).waitFor();
    equal(await stage.chat(stage.made), 401, "a call with the disabled key");
    await page.getByRole("button", { name: "Undo" }).click();
    await until("the key works again", async () => (await stage.chat(stage.made)) === 200);
  });

  await kit.test("a rotated key has a new secret, and its old one works no longer", async () => {
    await kit.show(page, "keys?q=from-the-dashboard");
    await page.getByRole("button", { name: "Actions for from-the-dashboard" }).click();
    await page.getByRole("button", { name: "Rotate …" }).click();
    await page.getByLabel("The old secret works").selectOption("0h");
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    const fresh = await page.locator(".secret code").textContent();
    equal([await stage.chat(stage.made), await stage.chat(fresh)], [401, 200], "the old and the new secret");
    stage.made = fresh;
    await page.getByLabel("I have stored the key").check();
    await page.getByRole("button", { name: "Done" }).click();
  });

  await kit.test(`one of ${MANY} keys is found, and no more than a page of them is drawn`, async () => {
    const { json: team } = await stage.api("POST", "/v1/teams", { name: "crowd" });
    for (let made = 0; made < MANY; made += 50) {
      await Promise.all(Array.from({ length: Math.min(50, MANY - made) }, (_, i) => stage.api("POST", "/v1/keys", { name: `crowd-${made + i}`, team: team.id })));
    }
    await kit.show(page, "keys");
    if (await page.locator("tbody tr").count() > 200) throw new Error(`${await page.locator("tbody tr").count()} rows`);
    await page.getByLabel("Name or team").fill(`crowd-${MANY - 1}`);
    await page.locator("tbody tr", { hasText: `crowd-${MANY - 1}` }).waitFor({ timeout: 10_000 });
  });
}
