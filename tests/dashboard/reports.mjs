// Money on the pages: equal to the API to the last digit, in tables, sums and files; comparison; budgets after a burst.

import { readFileSync } from "node:fs";
import { equal, pico } from "./kit.mjs";

/** Rows of the usage table: names and the exact cost, which is the title of the amount. */
const table = (page) => page.evaluate(() => [...document.querySelectorAll("main tbody tr")].map((row) => ({
  name: row.querySelector("th")?.textContent ?? "", cost: row.querySelector(".money")?.getAttribute("title") ?? "", requests: row.querySelectorAll("td.num")[2]?.textContent ?? "",
})));

async function csvOf(page) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV", exact: true }).click()]);
  const [head, ...lines] = readFileSync(await download.path(), "utf8").trim().split("\r\n").map((line) => line.split(","));
  return lines.map((line) => Object.fromEntries(head.map((name, i) => [name, line[i]])));
}

const money = (rows) => rows.reduce((sum, row) => sum + pico(row.cost_usd), 0n);

export async function reports(kit, stage, page) {
  const day = async (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const period = `start=${await day(-27)}&end=${await day(1)}`;

  await kit.test("usage on the page equals the report to the last pico-dollar, drilled down too", async () => {
    await kit.show(page, "usage?by=team&period=28d&compare=no");
    const { json } = await stage.api("GET", `/v1/usage?group_by=team&${period}`);
    const total = await page.locator("#main .stats .big").first().getAttribute("title");
    equal(String(pico(total)), String(pico(json.total.cost_usd)), "the total");
    const shown = (await table(page)).map((row) => [row.name, String(pico(row.cost))]).sort();
    equal(shown, json.data.map((row) => [row.team_name, String(pico(row.cost_usd))]).sort(), "cost by team");

    await page.getByRole("button", { name: "engineering", exact: true }).last().click();
    await page.waitForURL(/team=engineering/);
    await page.locator("main tbody tr.in").first().waitFor();
    const { json: fine } = await stage.api("GET", `/v1/usage?group_by=team,provider&${period}`);
    const mine = fine.data.filter((row) => row.team_name === "engineering");
    const drilled = await page.locator("#main .stats .big").first().getAttribute("title");
    equal(String(pico(drilled)), String(money(mine)), "the total of one team");
    await page.goBack();
  });

  await kit.test("the CSV is the table: same rows, same filter, every digit", async () => {
    await kit.show(page, "usage?by=model&team=engineering&period=28d&compare=no");
    const rows = await csvOf(page);
    const shown = (await table(page)).map((row) => [row.name, String(pico(row.cost)), row.requests.replace(/,/g, "")]).sort();
    equal(rows.map((row) => [row.model, String(pico(row.cost_usd)), row.requests]).sort(), shown, "rows");
    const { json } = await stage.api("GET", `/v1/usage?group_by=team,model&${period}`);
    equal(String(money(rows)), String(money(json.data.filter((row) => row.team_name === "engineering"))), "their sum");
  });

  await kit.test("a period is compared with the one before, and says where data begins", async () => {
    await kit.show(page, "usage?by=team&period=7d");
    const [now, before] = await Promise.all([[-6, 1], [-13, -6]].map(async ([from, to]) => (await stage.api("GET", `/v1/usage?start=${await day(from)}&end=${await day(to)}`)).json.total));
    const change = new Intl.NumberFormat("en-US", { style: "percent", signDisplay: "exceptZero", maximumFractionDigits: 0 }).format(Number(now.cost_usd) / Number(before.cost_usd) - 1);
    equal(await page.locator("#main .stats .sub").first().textContent(), `${change} on the period before`, "the change");
    await kit.show(page, "usage?by=team&period=28d");
    const text = await page.locator("#main .stats .sub").first().textContent();
    if (!/^no data before \w+ \d+$/.test(text)) throw new Error(text);
    equal(await page.locator("#main .legend .dash").count(), 0, "ticks of a period without data");
  });

  await kit.test("a budget bar shows what a burst spent, held and left", async () => {
    const { json: team } = await stage.api("POST", "/v1/teams", { name: "burst", budgets: [{ limit: "0.001", period: "monthly", action: "block" }] });
    const { json: key } = await stage.api("POST", "/v1/keys", { name: "burst", team: team.id });
    const answers = await Promise.all(Array.from({ length: 20 }, () => stage.chat(key.key, "simulator-small", { max_tokens: 100 })));
    if (!answers.includes(402) || !answers.includes(200)) throw new Error(`answers ${answers}`);
    const { json } = await stage.api("GET", `/v1/budgets?team=${team.id}`);
    await kit.show(page, "teams?q=burst");
    const line = page.locator("tr", { hasText: "burst" }).locator(".budget .push").first();
    equal(String(pico(await line.getAttribute("title"))), String(pico(json.data[0].spent)), "spent");
    await kit.show(page, "requests?status=refused");
    await page.locator("tr.pick", { hasText: "burst" }).first().click();
    await page.locator(".panel .why", { hasText: "What would mend it" }).waitFor();
  });
}
