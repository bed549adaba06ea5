// Prompt capture: switched in Settings, named by a banner, read on the page of the request by those who may.

import { equal } from "./kit.mjs";
import { until } from "./stage.mjs";

const QUESTION = "a captured question 4be1";

export async function captures(kit, stage) {
  await kit.test("capture is turned on in Settings, has its banner, and its prompt is read on the request", async () => {
    const page = await kit.enter(stage);
    const team = (await stage.api("GET", "/v1/teams")).json.data[0];
    equal(await page.locator(".capture-on").count(), 0, "banners before");
    await kit.show(page, "settings");
    await page.getByText("Off for every team and key.").waitFor();
    await page.getByLabel("Team or key").selectOption({ label: `team ${team.name}` });
    await page.getByLabel("Days kept").fill("9");
    await page.getByRole("button", { name: "Turn capture on" }).click();
    await page.getByText("On, 9 days").waitFor();
    await kit.axe(page, "the settings with capture");
    const key = (await stage.api("POST", "/v1/keys", { name: "captured", team: team.id })).json;
    const call = await stage.api("POST", "/v1/chat/completions", { model: "simulator-small", messages: [{ role: "user", content: QUESTION }] }, key.key);
    equal([call.status, call.headers.get("x-gatekeeper-capture")], [200, "on"], "the call");
    const id = call.headers.get("x-gatekeeper-request-id");
    await until("the request is booked", async () => (await stage.api("GET", `/v1/requests/${id}`)).status === 200);
    await kit.show(page, `requests?id=${id}`);
    await page.locator(".capture-on", { hasText: `${team.name} (9 days)` }).waitFor();
    await page.getByRole("button", { name: "Show prompt and answer" }).click();
    await page.locator(".captured", { hasText: QUESTION }).waitFor();
    equal(await page.locator(".captured").count(), 2, "request and response");
    await kit.axe(page, "a captured request");
    await page.screenshot({ path: `${kit.screens}/captured-light.png` });
    await kit.show(page, "overview");
    await page.locator(".capture-on", { hasText: "1 team or key" }).waitFor();
    await kit.axe(page, "the overview with capture");

    const viewer = (await stage.api("POST", "/v1/keys", { name: "looks", admin: true, role: "viewer" })).json.key;
    const other = await kit.enter(stage, viewer);
    await kit.show(other, `requests?id=${id}`);
    await other.getByText("the roles that an owner names may read it").waitFor();
    equal(await other.getByRole("button", { name: "Show prompt and answer" }).count(), 0, "buttons of a viewer");
    equal((await stage.api("GET", `/v1/requests/${id}/capture`, undefined, viewer)).status, 403, "a viewer's reading");
    await stage.api("PATCH", `/v1/teams/${team.id}/capture`, { readers: ["instance:viewer"] });
    await kit.show(other, "overview");
    await kit.show(other, `requests?id=${id}`);
    await other.getByRole("button", { name: "Show prompt and answer" }).click();
    await other.locator(".captured", { hasText: QUESTION }).waitFor();
    await other.context().close();
    await stage.api("PATCH", `/v1/teams/${team.id}/capture`, { readers: [] });

    await kit.show(page, "settings");
    await page.getByRole("button", { name: `Turn off capture of ${team.name}` }).click();
    await page.getByText("Off for every team and key.").waitFor();
    await page.getByRole("button", { name: "Purge captures" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Purge" }).click();
    await page.locator(".toast", { hasText: "1 entries purged" }).waitFor();
    equal((await stage.api("GET", `/v1/requests/${id}/capture`)).status, 404, "after the purge");
    await kit.show(page, "overview");
    equal(await page.locator(".capture-on").count(), 0, "banners afterwards");
    await page.context().close();
  });
}
