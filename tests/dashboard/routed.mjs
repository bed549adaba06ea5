// Models & providers with a route: weight, health and failed calls of each deployment; the test of the webhook.

import { equal } from "./kit.mjs";
import { Routed, until } from "./stage.mjs";

const CALLS = 24;

export async function routed(kit, stage, binary) {
  const instance = await Routed.start(binary, await stage.simulator());
  try {
    const { json: team } = await instance.api("POST", "/v1/teams", { name: "eng" });
    const { json: key } = await instance.api("POST", "/v1/keys", { name: "ci", team: team.id });
    for (let n = 0; n < CALLS; n++) equal(await instance.chat(key.key, "fast"), 200, "a call");
    const failed = async () => (await instance.api("GET", "/v1/usage?group_by=provider,status")).json.data.find((row) => row.provider === "west" && row.status === "failed")?.requests;
    await until("the failed attempts are booked", failed);
    const page = await kit.enter(instance);
    await kit.test("a route shows weight, state and failed calls of each deployment as the API states them", async () => {
      await kit.show(page, "models");
      const card = page.locator("section[aria-label='Routes']");
      await card.locator("tr", { hasText: "west/simulator-small" }).waitFor();
      const cells = async (name) => (await card.locator("tr", { hasText: name }).locator("th, td").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
      const [east, west] = [await cells("east/simulator-small"), await cells("west/simulator-small")];
      equal([east[1], east[2], east[7]], ["available", "3 75%", "0"], "the one that answers");
      if (!/^(in cooldown|probing)/.test(west[1]) || !west[1].includes("cooldown")) throw new Error(west[1]);
      equal([west[2], west[7]], ["1 25%", `${await failed()} 100%`], "the one that does not answer");
      if (!east[5].endsWith("of 100 requests")) throw new Error(east[5]);
      equal(await page.locator("section[aria-label='Providers'] tr", { hasText: "west" }).locator("td").nth(4).innerText(), `${await failed()} 100%`, "failed calls of the provider");
      equal(await page.locator("section[aria-label='Models'] .tag", { hasText: "ambiguous" }).count(), 2, "ambiguous names");
      await kit.axe(page, "models with a route");
      await page.screenshot({ path: `${kit.screens}/models-routes-light.png` });
    });
    await kit.test("settings send a test to the webhook and say how it went", async () => {
      await kit.show(page, "settings");
      const card = page.locator("section[aria-label='Alerts']");
      await card.getByRole("button", { name: "Send a test" }).click();
      await card.locator(".tag", { hasText: /delivered/ }).waitFor();
    });
    await kit.test("settings change retention and threshold at once, and say what is wrong at the field", async () => {
      const card = page.locator("section[aria-label='Retention']");
      await card.getByLabel("Refused requests").fill("45");
      await card.getByRole("button", { name: "Save" }).click();
      await page.locator(".toast", { hasText: "Saved; in force at once" }).last().waitFor();
      const value = async (name) => (await instance.api("GET", "/v1/settings")).json.data.find((row) => row.name === name).value;
      equal(await value("retention.refused_days"), "45", "the setting");
      await card.getByLabel("Sums by the hour").fill("-3");
      await card.getByRole("button", { name: "Save" }).click();
      await card.locator(".error:visible").waitFor();
      equal(await card.getByLabel("Sums by the hour").getAttribute("aria-invalid"), "true", "the field with the error");
      equal(await value("retention.hours_days"), "400", "the setting after a refused change");
    });
  } finally {
    await instance.stop();
  }
}
